//! The daemon under a real systemd, with the unit, the drop-ins and the polkit rule that are shipped.
//!
//! There is one unit of that name on a machine, so that a machine's stories are told one after the other; the machines
//! run side by side.

mod machine;
mod package;
mod release;

mod service;
mod shop;

use crate::e2e::together;

#[test]
fn under_a_real_systemd_the_unit_keeps_its_promises_and_the_package_leaves_no_trace() {
    together(&[
        ("a rollback of a unit", || Box::pin(release::a_rollback())),
        ("the unit", || Box::pin(service::the_unit())),
        ("the package", || Box::pin(package::a_package())),
    ]);
}
