//! A database that RDS keeps, and how it goes back.

use super::{loaded, refused};
use crate::{domain::rds::SnapshotKind, units::Span};

const IN_RDS: &str = "[aws.main]\nregion = 'eu-central-1'\n[database.shop]\nurl = 'postgres://rollbackd@db/shop'\naddress = { secret = 'shop/db', port_key = 'dbport' }\n[service.shop.database]\nfrom = 'shop'\n\
     [service.shop.rollback.application.release]\nroot = '/srv/shop'\nrestart = { unit = 'shop.service' }\nrunning = { unit = 'shop.service' }\n\
     [service.shop.rollback.rds]\n";

#[test]
fn a_database_that_rds_keeps_goes_back_as_its_table_says() {
    let (config, _) = loaded(&format!(
        "{IN_RDS}cluster = 'shop-production'\nsnapshots = 'automated'\nmax_age = '26h'\nstop_writes = 'no'\ntime_zone = 'Europe/Berlin'\n\
         verify = {{ x = 'SELECT 1 WHERE false' }}"
    ));
    let service = config.policy.services.values().next().unwrap();
    let rds = service.runbook.as_ref().unwrap().rds.as_ref().unwrap();
    assert_eq!(rds.at.to_string(), "the RDS cluster shop-production of aws main");
    assert_eq!((rds.kind, rds.age_max), (Some(SnapshotKind::Automated), Some(Span::hours(26))));
    assert_eq!((rds.fallbacks, rds.restore_timeout), (1, Span::hours(2)));
    assert_eq!((rds.host_key.as_str(), rds.port_key.as_str()), ("host", "dbport"));
    assert_eq!((rds.automatic, rds.verify.len()), (false, 1));
    let database = config.databases.values().next().unwrap();
    let kept = database.rds.as_ref().unwrap();
    assert_eq!((kept.every, kept.every_watched), (Span::minutes(30), Span::minutes(2)));
    assert_eq!(kept.place.snapshots_max, 20);
    assert_eq!(database.history().unwrap().zone, "Europe/Berlin", "what decides is read so");
}

#[test]
fn what_could_not_restore_from_rds_is_refused_before_there_is_need() {
    let usual = "instance = 'shop'\nstop_writes = 'no'";
    for (said, told) in [
        ("stop_writes = 'no'", "nobody knows which database of RDS"),
        ("instance = 'a'\ncluster = 'b'", "either an instance or a cluster"),
        ("instance = 'Shop'", "cannot stand in an identifier of RDS"),
        ("instance = 'arn:aws:rds:x:1:db:shop'", "the identifier is meant"),
        (&format!("{usual}\nfallbacks = 9"), "at most 5 are tried"),
        (&format!("{usual}\nfrom = 'mian'"), "did you mean `main`?"),
        (&format!("{usual}\nsnapshots = 'all'"), "one of any, automated, manual"),
        (&format!("{usual}\ntime_zone = 'Mars'"), "knows no time zone"),
        (&format!("{usual}\ntimeout = '10s'"), "before it is looked at"),
        (&format!("{usual}\nlost = {{ x = 'SELECT 1' }}"), "was written since"),
        (&format!("{usual}\nverify = {{ x = 'DELETE FROM y' }}"), "no single query"),
    ] {
        let all = refused(&format!("{IN_RDS}{said}"));
        assert!(all.contains(told), "{said}: {all}");
    }
    let both = format!(
        "{IN_RDS}{usual}\n[service.shop.rollback.snapshot]\nfiles = '/tmp/*'\nthrough = 'shop'"
    );
    assert!(refused(&both).contains("from files that pg_dump wrote already"));
    for (said, told) in [
        ("", "nobody knows where the service finds its database"),
        (
            "address = { secret = 'arn:aws:secretsmanager:eu-central-1:1:secret:rds!db-1' }",
            "kept by RDS itself",
        ),
        (
            "address = { secret = 'arn:aws:secretsmanager:us-east-1:1:secret:x' }",
            "it is in us-east-1",
        ),
        ("address = { secret = 'x', from = 'mian' }", "did you mean `main`?"),
        ("address = { secret = 'x', refresh = '1h' }", "where it was, for 1h"),
        ("address = { }", "secret"),
    ] {
        let usually = "address = { secret = 'shop/db', port_key = 'dbport' }";
        let all = refused(&format!("{}{usual}", IN_RDS.replace(usually, said)));
        assert!(all.contains(told), "{said}: {all}");
    }
    let unseen = IN_RDS.replace("[service.shop.database]\nfrom = 'shop'\n", "");
    let all = refused(&format!("{unseen}{usual}"));
    assert!(all.contains("table of migrations is looked at"), "{all}");
}

#[test]
fn who_would_be_led_elsewhere_after_a_restore_by_rds_is_refused() {
    let usual = format!("{IN_RDS}instance = 'shop'\nstop_writes = 'no'\n");
    let replica = usual.replace(
        "[service.shop.database]",
        "replica_url = 'postgres://x@replica/shop'\n[service.shop.database]",
    );
    let all = refused(&replica);
    assert!(all.contains("goes on following the database that was left"), "{all}");
    assert!(all.contains("replica_url = '***"), "a password may stand there: {all}");
    for id in ["shop/db", "arn:aws:secretsmanager:eu-central-1:1:secret:shop/db-AbCdEf"] {
        let all = refused(&format!("{usual}[service.shop.secret.db]\nsecret = '{id}'\n"));
        assert!(all.contains("[database.shop.address] names the same secret"), "{all}");
    }
    loaded(&format!("{usual}[service.shop.secret.api]\nsecret = 'shop/api'\n"));
}
