//! RDS: another instance of a snapshot, waited for, seen to hold what it should, and the service led there.

pub(crate) mod bench;
mod clusters;
mod followed;
mod restored;
pub(crate) mod switched;
