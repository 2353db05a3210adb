//! A site that goes back, with a server that is S3 and CloudFront as far as it can, and an edge that keeps what it has.

mod edge;
mod faults;
mod goes_back;
mod recorded;
pub(crate) mod shop;
