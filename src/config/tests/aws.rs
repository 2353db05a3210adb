//! Accounts of AWS.

use super::{loaded, refused, told};
use crate::{
    aws::{Access, Role},
    units::Span,
};

#[test]
fn an_account_needs_a_region_and_has_deadlines() {
    let (config, problems) =
        loaded("[service.shop]\nwatch_only = true\n[aws.main]\nregion = 'eu-central-1'");
    assert!(!told(&problems).contains("aws"), "{}", told(&problems));
    assert_eq!(config.accounts["main"], Access::new("main", "eu-central-1"));
    let (config, _) = loaded(
        "[aws.eu]\nregion = 'eu-west-1'\nrole_arn = 'arn:aws:iam::123456789012:role/r'\nexternal_id = 'of-the-shop'\n\
         [aws.us]\nregion = 'us-east-1'\nprofile = 'payments'\nattempts = 1\nattempt_timeout = '2s'",
    );
    let role = config.accounts["eu"].role.clone().unwrap();
    let external_id = Some("of-the-shop".to_owned());
    let arn = "arn:aws:iam::123456789012:role/r".to_owned();
    assert_eq!(role, Role { arn, external_id, session_name: "rollbackd".to_owned() });
    let us = &config.accounts["us"];
    assert_eq!((us.profile.as_deref(), us.attempts), (Some("payments"), 1));
    assert_eq!((us.attempt_timeout, us.operation_timeout), (Span::seconds(2), Span::seconds(30)));
    assert_eq!(us.connect_timeout, Span::seconds(2), "a part is no longer than the whole");
}

#[test]
fn what_is_wrong_with_an_account_is_told_with_what_to_write() {
    for (text, what, instead) in [
        ("", "`region` is missing here", "add a line"),
        ("region = 'Frankfurt'", "not a region", "eu-central-1"),
        ("region = 'eu-west-1'\nrole_arn = 'rollbackd'", "not the ARN of a role", "arn:aws:iam::"),
        ("region = 'eu-west-1'\nexternal_id = 'x1'", "`external_id` is said of a role", "role_arn"),
        (
            "region = 'eu-west-1'\nrole_arn = 'arn:aws:iam::123456789012:role/r'\nsession_name = 'a b'",
            "cannot stand in it",
            "letters",
        ),
        ("region = 'eu-west-1'\nattempts = 0", "0 lets nothing through", "write 3"),
        (
            "region = 'eu-west-1'\nattempt_timeout = '6s'\noperation_timeout = '5s'",
            "longer than `operation_timeout`",
            "5s",
        ),
        ("region = 'eu-west-1'\nendpoint = 'ftp://x'", "not an address for HTTP", "http://"),
        ("region = 'eu-west-1'\ncredentials_file = '/nowhere'", "cannot be read", "may read"),
        ("region = 'eu-west-1'\naccess_key_id = 'AKIA'", "not a key that is known", ""),
    ] {
        let told = refused(&format!("[aws.main]\n{text}"));
        assert!(told.contains(what) && told.contains(instead), "{text}\n{told}");
    }
    let (_, problems) =
        loaded("[aws.main]\nregion = 'eu-west-1'\nendpoint = 'http://aws.internal'");
    assert!(told(&problems).contains("can read along"), "{}", told(&problems));
}
