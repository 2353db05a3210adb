//! The daemon under a real systemd, with the unit, the drop-ins and the polkit rule that are shipped.
//!
//! There is one unit of that name on a machine, so that a machine's stories are told one after the other; the machines
//! run side by side.

mod machine;
mod release;

mod service;
mod shop;
