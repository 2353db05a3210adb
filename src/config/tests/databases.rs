//! Databases, and what of them is a service's.

use super::{loaded, refused};
use crate::{
    config::load_text,
    databases::{Kind, Tls},
    units::Span,
};

#[test]
fn a_services_database_is_the_one_that_it_names_or_the_only_one() {
    let (config, _) = loaded(
        "[database.shop]\nurl = 'mysql://rollbackd@db/shop'\ntls = 'prefer'\n\
         [service.shop]\nwatch_only = true\n[service.shop.database]\nhistory_table = 'audit.history'\nevery = '5s'",
    );
    let (id, database) = config.databases.iter().next().unwrap();
    let options = &database.history.options;
    assert_eq!((options.database.kind, options.tls), (Kind::Mysql, Tls::Prefer));
    assert_eq!(
        (database.history.name.to_string().as_str(), database.every),
        ("audit.history", Span::seconds(5))
    );
    let policy = config.policy.services[id].database.as_ref().unwrap();
    assert_eq!((policy.place.as_str(), policy.stuck_after), ("shop at db:3306", Span::minutes(30)));
    let (config, _) = loaded("[service.shop]\nwatch_only = true");
    assert!(config.databases.is_empty());
}

#[test]
fn every_fault_of_a_database_is_told_at_once_and_no_password_with_it() {
    let told = refused(
        "[database.shop]\nurl = 'postgres://rollbackd:hunter2@db/shop'\nconnect_timeout = '0s'\n\
         [database.other]\nurl = 'postgres://rollbackd@db/other'\npassword = { file = '/nowhere/at-all' }\n\
         [service.shop]\nwatch_only = true\n[service.shop.database]\nfrom = 'shopp'\n\
         [service.cart]\nwatch_only = true\n[service.cart.database]\nhistory_max = 0",
    );
    for part in [
        "line 2, column 7",
        "a password must not stand in a URL",
        "password = { file",
        "takes no time at all",
        "`/nowhere/at-all` cannot be read",
        "there is no database `shopp`",
        "did you mean `shop`?",
        "one of other, shop",
        "0 lets nothing through",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains("hunter2"), "{told}");
    let plain =
        load_text("rollbackd.toml", "[database.x]\nurl = 'postgres://x@h/d'\npassword = 'hunter2'");
    assert!(!format!("{plain:?}").contains("hunter2"));
}
