//! A database that RDS keeps goes back to a snapshot: which one, with what that loses said first, and with another address.

use rollbackd::{
    domain::{
        event::{Said, What},
        plan::SchemaAt,
        policy::Policy,
        rds::{Endpoint, Form, Pointer, RdsAt, Seen, Settings, Snapshot, SnapshotKind, Source},
        runbook::{DatabaseRunbook, RdsRunbook, StopWrites},
        schema::{self, snapshot::Lost},
        secret::SecretAt,
    },
    units::{Span, UnixMs},
};

use super::{
    databases::{after, at, migrated_and_bad, refusals, scaled, with_an_undo},
    policy::{id, services_mut},
    town::{NOON, Town, failed},
};

/// With when each was applied: the sixth the day before, the seventh now.
fn applied(seen: schema::Seen) -> schema::Seen {
    let schema::Seen::Known(mut schema) = seen else { panic!() };
    for it in &mut schema.newest {
        let at = if it.rank == 7 { NOON + Span::hours(1) } else { NOON - Span::hours(30) };
        it.installed_at = Some(at);
    }
    schema::Seen::Known(schema)
}

fn before() -> schema::Seen {
    applied(at("6"))
}

fn now() -> schema::Seen {
    applied(after("7", "orders"))
}

fn runbook(automatic: bool) -> RdsRunbook {
    let account = "main".to_owned();
    RdsRunbook {
        schema: SchemaAt { database: "shop".into(), history_table: "history".into() },
        at: RdsAt { account: account.clone(), form: Form::Instance, name: "shop".into() },
        secret: SecretAt { account, secret: "shop/db".into() },
        host_key: "host".into(),
        port_key: "port".into(),
        kind: None,
        age_max: None,
        fallbacks: 1,
        look_every: Span::seconds(30),
        restore_timeout: Span::hours(2),
        verify: [].into(),
        stop_writes: StopWrites::No,
        automatic,
    }
}

fn with_rds(automatic: bool) -> Policy {
    let mut policy = with_an_undo(false);
    for service in services_mut(&mut policy) {
        let own = service.runbook.as_mut().unwrap();
        own.database = None;
        own.rds = Some(runbook(automatic));
    }
    policy
}

fn snapshot(name: &str, taken_at: UnixMs, orders: u64) -> Snapshot {
    Snapshot {
        arn: format!("arn:aws:rds:eu-central-1:123456789012:snapshot:{name}"),
        name: name.into(),
        of: None,
        kind: SnapshotKind::Automated,
        status: "available".into(),
        taken_at: Some(taken_at),
        engine: "postgres".into(),
        encrypted: true,
        version: None,
        storage_gib: Some(100),
        lost: vec![Lost { what: "orders".into(), rows: Ok(orders) }],
    }
}

fn seen(snapshots: Vec<Snapshot>) -> Seen {
    let endpoint = Endpoint { host: "shop.rds".into(), port: 5432 };
    Seen {
        region: "eu-central-1".into(),
        source: Source {
            arn: "arn:aws:rds:eu-central-1:123456789012:db:shop".into(),
            resource: None,
            status: "available".into(),
            engine: "postgres".into(),
            version: "15.4".into(),
            endpoint: Some(endpoint.clone()),
            encrypted: true,
            settings: Settings { class: Some("db.m6g.large".into()), ..Settings::default() },
            beside: vec!["Performance Insights".into()],
            members: vec![],
            hosts: vec![],
            bars: None,
        },
        snapshots,
        names: ["shop".into(), "shop-restored-1".into()].into(),
        pointer: Ok(Pointer { arn: "arn:secret".into(), version: "v1".into(), endpoint }),
    }
}

/// One of the night, one of the day before, and one that was taken after the migration.
fn usual() -> Seen {
    seen(vec![
        snapshot("late", NOON + Span::hours(2), 1),
        snapshot("night", NOON - Span::hours(8), 120),
        snapshot("yesterday", NOON - Span::hours(20), 900),
    ])
}

fn looked(town: &mut Town, seen: Result<Seen, String>) {
    let seen = seen.map(Box::new);
    town.turn(What::RdsSeen { service: id("shop"), seen });
}

/// A migration of a release that fails, with what RDS showed before it.
fn bad(policy: Policy, seen: Result<Seen, String>) -> Town {
    let mut town = Town::healthy(policy);
    looked(&mut town, seen);
    migrated_and_bad(&mut town, &before(), &now());
    town
}

const STEPS: [&str; 3] =
    ["make shop-restored-2", "verify shop-restored-2", "lead away from shop.rds:5432"];

#[test]
fn what_would_be_lost_with_each_snapshot_is_in_the_page_before_anybody_approves() {
    let mut town = bad(with_rds(false), Ok(usual()));
    assert_eq!(town.rollbacks(), 0, "{}", town.transcript());
    let page = format!("{:?}", town.notices("a person must decide").pop().unwrap());
    for part in [
        "snapshot:night",
        "is lost with it: 120 orders",
        "with arn:aws:rds:eu-central-1:123456789012:snapshot:yesterday instead",
        "is lost with it: 900 orders",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("snapshot:late"), "it holds the bad migration: {page}");
    let plan = town.incident().decision.as_ref().unwrap().plan.clone().unwrap();
    let titles: Vec<&str> = plan.steps.iter().map(|step| step.title.as_str()).collect();
    let titles = titles.join("; ");
    for part in [
        "see that the snapshots, the secret shop/db of aws main",
        "Left to do by hand then, for no restore can be told of it: Performance Insights",
        "Nobody else who reads this secret is stopped or restarted",
    ] {
        assert!(titles.contains(part), "{part}: {titles}");
    }
    assert!(
        plan.resources.contains("rds:arn:aws:rds:eu-central-1:123456789012:db:shop"),
        "{:?}",
        plan.resources
    );
    let plan = town.offered();
    town.says("ada", Said::Approve { plan }).unwrap();
    town.run("5m");
    let done = &town.place().done;
    assert_eq!(done[..3], STEPS.map(str::to_owned), "a name that is taken is not taken again");
    assert_eq!(done[3..], ["switch to v1".to_owned(), "restart on v1".to_owned()]);
}

#[test]
fn the_instance_that_is_kept_and_what_was_lost_are_told_when_it_is_over() {
    let mut town = bad(with_rds(true), Ok(usual()));
    for _ in 0..30 {
        super::databases::looked(&mut town, before());
        town.run("1m");
    }
    let told: String = town.notices("Rollback Complete").iter().map(|it| it.plain()).collect();
    assert!(told.contains("is lost with it: 120 orders"), "{told}");
    assert!(told.contains("Kept: the instance shop at shop.rds:5432 is as it was"), "{told}");
}

#[test]
fn by_itself_only_where_that_is_said_for_this_very_service() {
    let mut town = bad(with_rds(true), Ok(usual()));
    assert_eq!(town.place().done[..3], STEPS.map(str::to_owned));
}

#[test]
fn pods_are_taken_away_for_it_and_as_many_are_given_back() {
    let mut town = Town::new(scaled_rds(true));
    town.place().owners = Some(vec![]);
    town.warm_up();
    looked(&mut town, Ok(usual()));
    migrated_and_bad(&mut town, &before(), &now());
    let done = &town.place().done;
    assert_eq!((done[0].as_str(), &done[1..4]), ("stop 3 pods", &STEPS.map(str::to_owned)[..]));
    assert_eq!(done[4..], ["undo to v1", "start 3 pods", "rollout of v1"].map(str::to_owned));
}

/// Whose Deployment is scaled away for it.
fn scaled_rds(automatic: bool) -> Policy {
    let mut policy = with_rds(automatic);
    for service in services_mut(&mut policy) {
        let own = service.runbook.as_mut().unwrap();
        own.rds.as_mut().unwrap().stop_writes = StopWrites::Scale;
        // What `scaled` is made for.
        own.database = Some(DatabaseRunbook {
            schema: own.rds.as_ref().unwrap().schema.clone(),
            undo: None,
            script: None,
            undo_timeout: Span::minutes(1),
            stop_writes: StopWrites::No,
            automatic: false,
        });
    }
    let mut policy = scaled(policy);
    for service in services_mut(&mut policy) {
        service.runbook.as_mut().unwrap().database = None;
    }
    policy
}

#[test]
fn pods_are_given_back_where_it_fails_before_anybody_is_led_elsewhere() {
    for fails in 0..STEPS.len() {
        let mut town = Town::new(scaled_rds(false));
        town.place().owners = Some(vec![]);
        town.warm_up();
        looked(&mut town, Ok(usual()));
        migrated_and_bad(&mut town, &before(), &now());
        town.place().unmoved = true;
        let plan = town.offered();
        town.says("ada", Said::Approve { plan }).unwrap();
        while town.place().done.len() <= fails {
            town.run("1s");
        }
        town.place().outcomes.push_back(failed("it could not be done", false));
        town.run("2m");
        let done = town.place().done.clone();
        let wanted = ["stop 3 pods"].into_iter().chain(STEPS).take(fails + 1);
        let wanted: Vec<&str> = wanted.chain(["start 3 pods"]).collect();
        assert_eq!(done, wanted, "{}", town.transcript());
    }
}

#[test]
fn where_no_snapshot_serves_people_are_told_why_with_a_text_for_aws() {
    let late = snapshot("late", NOON + Span::hours(2), 1);
    let creating = Snapshot { status: "creating".into(), ..snapshot("night", NOON, 1) };
    let mut elsewhere = usual();
    if let Ok(pointer) = &mut elsewhere.pointer {
        pointer.endpoint.host = "proxy.rds".into();
    }
    let barred = || {
        let mut seen = usual();
        seen.source.bars = Some("it is a replica of other".into());
        seen
    };
    let lost = Seen { pointer: Err("secretsmanager:GetSecretValue was denied".into()), ..usual() };
    for (seen, told) in [
        (Ok(seen(vec![])), "there is no snapshot of shop"),
        (Ok(seen(vec![late, creating])), "it is `creating`"),
        (Ok(seen(vec![])), "For a case with AWS's support"),
        (Ok(elsewhere), "shop/db of aws main says proxy.rds:5432"),
        (Ok(barred()), "it is a replica of other"),
        (Ok(lost), "GetSecretValue was denied"),
        (Err("rds:DescribeDBInstances was denied".into()), "nobody can tell which snapshots"),
    ] {
        let town = bad(with_rds(true), seen);
        assert_eq!(town.rollbacks(), 0, "{}", town.transcript());
        let plan = town.incident().decision.as_ref().unwrap().plan.clone().unwrap();
        assert!(plan.scope.contains(told), "{told}: {}", plan.scope);
        let said = refusals(&town);
        assert!(said.contains("applied since"), "{said}");
    }
}

#[test]
fn what_could_not_be_restored_halts_before_anybody_is_sent_there() {
    let mut town = Town::healthy(with_rds(true));
    looked(&mut town, Ok(usual()));
    town.place().outcomes.push_back(failed("none of 2 could be restored: incompatible", false));
    migrated_and_bad(&mut town, &before(), &now());
    town.run("2m");
    let page = format!("{:?}", town.notices("yours now").pop().unwrap());
    assert!(page.contains("none of 2 could be restored"), "{page}");
    assert!(town.place().done.is_empty(), "{:?}", town.place().done);
}
