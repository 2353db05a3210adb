//! Accounts of AWS.

use super::{loaded, refused, told};
use crate::{
    aws::{Access, Role},
    config::Read,
    notifiers::Notifier,
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

/// A service that is rolled back, so that something can be restarted.
const RESTARTED: &str = "[service.shop.rollback.application.release]\nroot = '/srv/shop'\nrestart.unit = 'shop.service'\nrunning.unit = 'shop.service'\n";
const MAIN: &str = "[aws.main]\nregion = 'eu-central-1'\n";

#[test]
fn a_secret_that_is_read_is_looked_at_and_goes_back_with_what_reads_it() {
    let said =
        format!("{MAIN}{RESTARTED}[service.shop.secret.db]\nsecret = 'production/shop/db'\n");
    let (config, problems) = loaded(&said);
    assert!(!told(&problems).contains("secret"), "{}", told(&problems));
    let (service, read) = config.secrets.first_key_value().unwrap();
    let it = &read[0];
    assert_eq!(
        (it.name.as_str(), it.at.to_string().as_str()),
        ("db", "the secret production/shop/db of aws main")
    );
    assert_eq!((it.every, it.every_watched), (Span::seconds(30), Span::seconds(5)));
    assert_eq!((it.label, it.even_if_rotated), (true, false));
    let runbook = config.policy.services[service].runbook.as_ref().unwrap();
    assert_eq!((runbook.secrets[0].at.clone(), runbook.secrets[0].attempts), (it.at.clone(), 2));
}

#[test]
fn what_is_wrong_with_a_secret_is_told_with_what_to_write() {
    let db = |text: &str| format!("{RESTARTED}[service.shop.secret.db]\n{text}");
    for (text, what, instead) in [
        (format!("{MAIN}{}", db("")), "which secret is meant", "add secret ="),
        (format!("{MAIN}{}", db("secret = 'shop db'")), "' ' cannot stand", "production/shop/db"),
        (
            format!(
                "{MAIN}{}",
                db("secret = 'arn:aws:secretsmanager:us-east-1:123456789012:secret:db-1'")
            ),
            "it is in us-east-1",
            "ARN",
        ),
        (db("secret = 'db'"), "which account of AWS", "add"),
        (format!("{MAIN}{}", db("secret = 'db'\nfrom = 'mian'")), "no account `mian`", "`main`"),
        (
            format!("{MAIN}{}", db("secret = 'db'\n[service.shop.secret.twice]\nsecret = 'db'")),
            "are both the secret db",
            "leave one",
        ),
        (
            format!("{MAIN}{}", db("secret = 'db'\nlook_every = '2s'\nlook_every_watched = '3s'")),
            "slower while it matters",
            "2s",
        ),
        (
            format!(
                "{MAIN}[service.shop]\nwatch_only = true\n[service.shop.secret.db]\nsecret = 'db'"
            ),
            "what is restarted",
            "rollback.application",
        ),
    ] {
        let told = refused(&text);
        assert!(told.contains(what) && told.contains(instead), "{text}\n{told}");
    }
}

const SHOP: &str = "[aws.main]\nregion = 'eu-central-1'\n[service.shop]\nwatch_only = true\n";

#[test]
fn a_signal_of_cloudwatch_is_read_once_each_period_some_time_after_it() {
    let (config, _) = loaded(&format!(
        "{SHOP}[service.shop.signal.error_rate]\nlag = '3m'\n[service.shop.signal.error_rate.cloudwatch]\nperiod = '1m'\n\
         bad = {{ expression = 'a + a' }}\ntotal = {{ namespace = 'Shop', metric = 'requests' }}\n\
         [service.shop.signal.error_rate.cloudwatch.metric.a]\nnamespace = 'Shop'\nmetric = 'errors'\nstat = 'SampleCount'"
    ));
    let poll = &config.polls[0];
    let Read::CloudWatch(options, spec) = &poll.read else { panic!("{poll:?}") };
    let one = Span::minutes(1);
    assert_eq!(
        (options.period, options.lag, options.access.name.as_str()),
        (one, Span::minutes(3), "main")
    );
    assert_eq!((poll.every, poll.every_watched), (one, one));
    assert_eq!(spec.named["a"].stat, "SampleCount");
    let policy = config.policy.services.values().next().unwrap();
    assert_eq!(policy.signals["error_rate"].lag, Span::minutes(4), "the period has to end first");
}

#[test]
fn what_is_wrong_with_a_signal_of_cloudwatch_is_told_with_what_to_write() {
    let total = "total = { namespace = 'Shop', metric = 'requests' }";
    for (signal, text, what, instead) in [
        (
            "error_rate",
            format!("bad = {{ expression = 'x / 2' }}\n{total}"),
            "no metric `x`",
            "metric.x",
        ),
        (
            "error_rate",
            format!("bad = {{ metric = 'x' }}\n{total}"),
            "namespace and a name",
            "AWS/",
        ),
        (
            "error_rate",
            format!("bad = {{ namespace = 'Shop', metric = 'x', stat = 'p95' }}\n{total}"),
            "does not count",
            "Sum",
        ),
        ("error_rate", total.to_owned(), "not what error_rate is read from", "`bad` and `total`"),
        (
            "latency",
            "value = { namespace = 'Shop', metric = 'x' }".to_owned(),
            "which statistic",
            "p95",
        ),
        (
            "cpu",
            "value = { namespace = 'Shop', metric = 'x', stat = 'Mean' }".to_owned(),
            "`Mean`",
            "Average",
        ),
        (
            "cpu",
            "value = { namespace = 'Shop', metric = 'x', stat = 'Average' }\nperiod = '90s'"
                .to_owned(),
            "no periods of 1m 30s",
            "whole minutes",
        ),
        (
            "cpu",
            "value = { expression = 'x', stat = 'Average' }".to_owned(),
            "an expression and a metric",
            "metric.NAME",
        ),
        (
            "cpu",
            "value = { expression = '1' }\nmetric.X = { namespace = 'Shop', metric = 'x' }"
                .to_owned(),
            "cannot stand in an expression",
            "small letter",
        ),
        (
            "cpu",
            "value = { expression = '1' }\nfrom = 'other'".to_owned(),
            "no account `other`",
            "aws.other",
        ),
    ] {
        let told = refused(&format!("{SHOP}[service.shop.signal.{signal}.cloudwatch]\n{text}"));
        assert!(told.contains(what) && told.contains(instead), "{text}\n{told}");
    }
    let paced = "[service.shop.signal.cpu]\nevery = '15s'\n[service.shop.signal.cpu.cloudwatch]\nvalue = { expression = '1' }";
    let told = refused(&format!("{SHOP}{paced}"));
    assert!(told.contains("once for each period"), "{told}");
}

#[test]
fn a_topic_is_spoken_to_by_the_account_of_its_region() {
    let topic = "arn:aws:sns:eu-central-1:123456789012:ops";
    let (config, _) = loaded(&format!("{SHOP}[notify.ops.sns]\ntopic_arn = '{topic}'"));
    let Notifier::Sns(options) = &config.channels[0].notifier else { panic!("{config:?}") };
    assert_eq!((options.access.name.as_str(), options.topic_arn.as_str()), ("main", topic));
    let told = refused(&format!(
        "{SHOP}[notify.ops.sns]\ntopic_arn = 'arn:aws:sns:us-east-1:123456789012:ops'"
    ));
    assert!(told.contains("us-east-1"), "{told}");
    let told = refused(&format!("[notify.ops.sns]\ntopic_arn = '{topic}'"));
    assert!(
        told.contains("which account of AWS is meant") && told.contains("[aws.main]"),
        "{told}"
    );
}
