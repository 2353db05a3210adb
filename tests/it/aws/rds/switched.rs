//! What was restored is asked over SQL, and then the service is led there: with two real servers, one in the place of the other.

use std::{collections::BTreeMap, sync::OnceLock};

use rollbackd::{
    aws::{
        address::{self, Change, Keys},
        secrets,
    },
    databases::{Kind, Session},
    domain::{
        change::Revision,
        plan::Action,
        rds::{Endpoint, Pointer, RdsRestore, RdsSwitch, Restored, SnapshotKind, Wanted, choose},
        run::{Outcome, Report},
        secret::SecretAt,
    },
    executors::rds::rds_preflight,
    units::{Span, UnixMs},
};

use super::bench::{Bench, RESTORE, schema, why};
use crate::{
    aws::proxy::Twist,
    databases::{
        histories::{history, look},
        server::{Fresh, Server},
    },
};

const WRITE: &str = "PutSecretValue";
const MOVE: &str = "UpdateSecretVersionStage";
const TABLE: &str = "CREATE TABLE flyway_schema_history (installed_rank INT PRIMARY KEY, version VARCHAR(50), description VARCHAR(200), \
                     type VARCHAR(20), script VARCHAR(1000), checksum INT, installed_by VARCHAR(100), \
                     installed_on TIMESTAMP NOT NULL DEFAULT now(), execution_time INT, success BOOLEAN)";

/// A shop that was migrated after its snapshot was taken, and what is made of that: where each answers is another server.
pub(super) struct Shop {
    pub(super) bench: Bench,
    pub(super) old: Fresh<'static>,
    pub(super) new: Fresh<'static>,
    pointer: Pointer,
    restored: Restored,
    pub(super) from: Revision,
    pub(super) to: Revision,
}

/// The one that plays what was restored, for all tests of it.
fn other() -> &'static Server {
    static OTHER: OnceLock<Server> = OnceLock::new();
    OTHER.get_or_init(|| Server::like(Server::shared(Kind::Postgresql)))
}

pub(crate) async fn migrate(database: &Fresh<'_>, rank: u32, before: &str) {
    let sql = format!(
        "INSERT INTO flyway_schema_history VALUES ({rank}, '{rank}', 'x', 'SQL', 'V{rank}__x.sql', {rank}, 'shop', \
         timezone('UTC', now()) - interval '{before}', 5, true)"
    );
    database.run(&sql).await;
}

pub(crate) fn endpoint(server: &Server) -> Endpoint {
    Endpoint { host: "127.0.0.1".into(), port: server.port() }
}

/// What the secret holds, as a person typed it.
pub(crate) fn held_of(name: &str, port: u16) -> String {
    format!(
        r#"{{ "username": "app", "password": "hunter2", "host": "127.0.0.1", "port": {port},
  "dbInstanceIdentifier": "{name}", "account": 123456789012345678901234 }}"#
    )
}

/// One database on two servers, both as of the day before: one that is there, and what is made of its snapshot.
pub(crate) async fn twins() -> [Fresh<'static>; 2] {
    let old = Fresh::of(Kind::Postgresql).await;
    let server = tokio::task::spawn_blocking(other).await.unwrap();
    let new = Fresh { server, kind: Kind::Postgresql, name: old.name.clone() };
    let make = format!("CREATE DATABASE {}", new.name);
    let mut session = Session::open_to_write(&server.options("postgres")).await.unwrap();
    session.rows(&make).await.unwrap();
    for database in [&old, &new] {
        database.run(TABLE).await;
        migrate(database, 1, "30 hours").await;
    }
    [old, new]
}

impl Shop {
    pub(super) async fn open(name: &str) -> Self {
        Box::pin(Self::opened(name)).await
    }

    async fn opened(name: &str) -> Self {
        let [old, new] = twins().await;
        let to = look(&new).await.revision();
        migrate(&old, 2, "-2 hours").await;
        let from = look(&old).await.revision();
        let bench = Bench::new(name).await;
        bench.face(&bench.name, |face| face.endpoint = Some(endpoint(old.server)));
        let made = bench.clients.secrets().create_secret().name(&bench.secret);
        let held = held_of(&bench.name, old.server.port());
        made.secret_string(held).send().await.unwrap();
        let pointer = bench.seen().await.pointer.unwrap();
        let what = bench.planned().await;
        let new_name = what.candidates[0].restored.clone();
        bench.face(&new_name, |face| face.endpoint = Some(endpoint(new.server)));
        bench
            .executor
            .histories
            .adopt([(schema(), history(old.options(), "flyway_schema_history"))].into());
        let report = bench.restores(&what, false).await;
        assert_eq!(report.outcome, Outcome::Done, "{report:?}");
        let names = what.candidates.iter().map(|it| it.restored.clone()).collect();
        let restored = Restored { at: bench.at(), names };
        Self { bench, old, new, pointer, restored, from, to }
    }

    async fn verifies(&self, queries: &[(&str, &str)]) -> Report {
        let own = |(what, query): &(&str, &str)| ((*what).to_owned(), (*query).to_owned());
        let action = Action::RdsVerify {
            schema: schema(),
            restored: self.restored.clone(),
            to: self.to.clone(),
            verify: queries.iter().map(own).collect::<BTreeMap<_, _>>(),
        };
        self.bench.attempt(action, false).await
    }

    fn led(&self) -> RdsSwitch {
        RdsSwitch {
            restored: self.restored.clone(),
            secret: SecretAt { account: "main".into(), secret: self.bench.secret.clone() },
            arn: self.pointer.arn.clone(),
            version: self.pointer.version.clone(),
            old: self.pointer.endpoint.clone(),
            hosts: vec![],
            host_key: "host".into(),
            port_key: "port".into(),
        }
    }

    async fn readies(&self, restore: &RdsRestore) -> Report {
        let (schema, from) = (schema(), self.from.clone());
        let (restore, switch) = (Box::new(restore.clone()), Box::new(self.led()));
        self.bench.attempt(Action::RdsReady { schema, from, restore, switch }, false).await
    }

    pub(super) async fn switches(&self, resumed: bool) -> Report {
        let what = self.led();
        let (from, to) = (self.from.clone(), self.to.clone());
        let action = Action::RdsSwitch { schema: schema(), from, to, what: Box::new(what) };
        self.bench.attempt(action, resumed).await
    }

    /// Where the service finds it now.
    async fn leads_to(&self) -> Pointer {
        let keys = Keys { host: "host".into(), port: "port".into() };
        address::read(&self.bench.access, &self.bench.secret, (&keys, 1)).await.unwrap()
    }

    fn writes_asked(&self) -> usize {
        self.bench.proxy.asked(WRITE).len()
    }
}

#[tokio::test]
async fn the_service_is_led_to_what_was_restored_and_all_that_was_there_is_kept() {
    let shop = Shop::open("led").await;
    let report = shop.verifies(&[("nothing", "SELECT 1 WHERE false")]).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    let report = shop.switches(false).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    for part in ["is kept, with all that was written to it", &shop.pointer.version] {
        assert!(report.after.contains(part), "{report:?}");
    }
    let now = shop.leads_to().await;
    assert_eq!(now.endpoint, endpoint(shop.new.server));
    let secrets = shop.bench.clients.secrets();
    let held = secrets.get_secret_value().secret_id(&shop.bench.secret).send().await.unwrap();
    let told = |name: &str, server: &Server| held_of(name, server.port());
    let wanted = told(&shop.restored.names[0], shop.new.server);
    assert_eq!(held.secret_string(), Some(wanted.as_str()), "everything else is as it was");
    let before = secrets.get_secret_value().secret_id(&shop.bench.secret);
    let before = before.version_id(&shop.pointer.version).send().await.unwrap();
    let wanted = told(&shop.bench.name, shop.old.server);
    assert_eq!(before.secret_string(), Some(wanted.as_str()));
    let report = shop.switches(false).await;
    assert_eq!((report.outcome, shop.writes_asked()), (Outcome::AlreadyDone, 1));
}

#[tokio::test]
async fn an_answer_that_is_lost_makes_one_version_and_is_found() {
    let shop = Shop::open("one-version").await;
    // Nobody is given what was written before its label is moved: it is written again, and is one version.
    shop.bench.proxy.twist(WRITE, 1, Twist::Lost);
    shop.bench.proxy.twist(MOVE, 1, Twist::Lost);
    for resumed in [false, true] {
        let report = shop.switches(resumed).await;
        assert_eq!((report.outcome, shop.writes_asked()), (Outcome::Done, 2));
        assert_eq!(shop.bench.proxy.asked(MOVE).len(), 1);
    }
    let all = shop.bench.clients.secrets().list_secret_version_ids();
    let all = all.secret_id(&shop.bench.secret).include_deprecated(true).send().await.unwrap();
    assert_eq!(all.versions().len(), 2, "{all:?}");
}

#[tokio::test]
async fn whoever_changed_the_secret_or_migrated_in_between_wins() {
    let shop = Shop::open("between").await;
    migrate(&shop.old, 3, "0 hours").await;
    let report = shop.switches(false).await;
    assert!(why(&report).contains("somebody migrated it in between"), "{report:?}");
    shop.old.run("DELETE FROM flyway_schema_history WHERE installed_rank = 3").await;
    let other = serde_json::json!({ "host": "else.internal", "port": 5432 }).to_string();
    let put = shop.bench.clients.secrets().put_secret_value().secret_id(&shop.bench.secret);
    put.secret_string(other).send().await.unwrap();
    let report = shop.switches(false).await;
    assert!(why(&report).contains("somebody changed the secret"), "{report:?}");
    assert_eq!(shop.writes_asked(), 0);
    assert_eq!(shop.leads_to().await.endpoint.host, "else.internal");
}

#[tokio::test]
async fn whoever_writes_the_secret_between_the_look_and_the_write_wins() {
    let shop = Shop::open("quicker").await;
    let other = serde_json::json!({ "host": "else.internal", "port": 5432 }).to_string();
    let put = shop.bench.clients.secrets().put_secret_value().secret_id(&shop.bench.secret);
    put.secret_string(other).send().await.unwrap();
    let keys = Keys { host: "host".into(), port: "port".into() };
    let new = endpoint(shop.new.server);
    let change = Change {
        of: &shop.pointer.version,
        old: &shop.pointer.endpoint,
        new: &new,
        hosts: &[],
        names: ("shop", "shop-restored-1"),
        version: "00000000-0000-4000-8000-000000000001",
    };
    let asked = address::write(&shop.bench.access, &shop.bench.secret, (&keys, change)).await;
    assert_eq!(asked.unwrap_err().action, secrets::CHANGE);
    assert_eq!(shop.leads_to().await.endpoint.host, "else.internal");
}

#[tokio::test]
async fn a_label_that_may_not_be_moved_leads_nobody_elsewhere_and_the_pods_may_come_back() {
    let shop = Shop::open("unmovable").await;
    let denied = Twist::Refuse { status: 400, code: "AccessDeniedException", said: "" };
    shop.bench.proxy.twist(MOVE, 9, denied);
    let report = shop.switches(false).await;
    assert!(why(&report).contains("allow secretsmanager:UpdateSecretVersionStage"), "{report:?}");
    assert!(report.unmoved, "{report:?}");
    assert_eq!(shop.leads_to().await, shop.pointer);
}

#[tokio::test]
async fn nobody_is_led_to_what_holds_something_else_or_cannot_be_read() {
    let shop = Shop::open("else").await;
    let report = shop.verifies(&[("no row", "SELECT 1")]).await;
    assert!(why(&report).contains("`no row` gives 1 rows"), "{report:?}");
    migrate(&shop.new, 2, "0 hours").await;
    let report = shop.verifies(&[]).await;
    assert!(why(&report).contains("it is not used, and nothing was switched"), "{report:?}");
    assert!(report.left.contains(&shop.restored.names[0]) && report.unmoved, "{report:?}");
    let report = shop.switches(false).await;
    assert!(why(&report).contains("nothing was begun") && report.unmoved, "{report:?}");
    // As the snapshot's password is the earlier one.
    let mut other = history(shop.old.options(), "flyway_schema_history");
    other.options.password = Some(rollbackd::units::Secret::new("hunter2"));
    shop.bench.executor.histories.adopt([(schema(), other)].into());
    let report = shop.verifies(&[]).await;
    assert!(why(&report).contains("changed since the snapshot was taken"), "{report:?}");
    assert_eq!(shop.writes_asked(), 0);
}

#[tokio::test]
async fn the_last_that_was_made_is_the_one_also_where_an_earlier_one_is_available() {
    let mut shop = Shop::open("last").await;
    let led = |shop: &Shop, name: &str, server: &Server, statuses: &[&'static str]| {
        shop.bench.face(name, |face| {
            face.run = Some(super::bench::RUN.into());
            face.endpoint = Some(endpoint(server));
            face.statuses = statuses.to_vec().into();
        });
    };
    // As of a cluster whose instance failed: it is there itself, and holds what nobody wants.
    let first = shop.bench.name.clone();
    led(&shop, &first, shop.old.server, &[]);
    shop.restored.names.insert(0, first);
    let report = shop.verifies(&[]).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert!(report.after.starts_with(&shop.restored.names[1]), "{report:?}");
    // One that has failed is not passed over.
    led(&shop, &shop.restored.names[1], shop.new.server, &["storage-full"]);
    let report = shop.verifies(&[]).await;
    assert!(why(&report).contains("is `storage-full`") && report.unmoved, "{report:?}");
}

#[tokio::test]
async fn a_status_that_goes_by_and_an_answer_that_does_not_come_are_waited_out() {
    let shop = Shop::open("waits").await;
    let name = shop.restored.names[0].clone();
    let looks = "DescribeDBInstances";
    shop.bench.face(&name, |face| face.statuses = vec!["storage-optimization"; 9].into());
    for (status, code) in [(400, "Throttling"), (403, "ExpiredToken")] {
        shop.bench.proxy.twist(looks, 1, Twist::Refuse { status, code, said: "" });
    }
    let report = shop.verifies(&[]).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    shop.bench.face(&name, |face| face.statuses = vec!["backing-up"; 9].into());
    let report = shop.switches(false).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
}

/// In the hours of a restore a session ends; nothing was written, and the service may have its pods back.
#[tokio::test]
async fn credentials_that_run_out_before_the_service_is_led_away_are_looked_for_anew() {
    let shop = Shop::open("expired").await;
    let expired = || Twist::Refuse { status: 400, code: "ExpiredTokenException", said: "" };
    shop.bench.proxy.twist("GetSecretValue", 99, expired());
    let report = shop.switches(false).await;
    let Outcome::Failed { why, retry: true } = &report.outcome else { panic!("{report:?}") };
    assert!(why.contains("by anybody whom AWS knows") && report.unmoved, "{report:?}");
    let shop = Shop::open("expired-once").await;
    shop.bench.proxy.twist("GetSecretValue", 1, expired());
    let report = shop.switches(false).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
}

/// Hours may lie between a plan and its approval.
#[tokio::test]
async fn what_is_not_as_planned_any_more_is_seen_before_anything_is_stopped() {
    let shop = Shop::open("ready").await;
    let what = shop.bench.planned().await;
    let made = shop.bench.made().await;
    let report = shop.readies(&what).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert_eq!(shop.bench.made().await, made, "nothing is made");
    for (asked, code) in [(RESTORE, "InvalidVPCNetworkStateFault"), (MOVE, "AccessDenied")] {
        shop.bench.proxy.twist(asked, 1, Twist::Refuse { status: 400, code, said: "" });
        let report = shop.readies(&what).await;
        assert!(why(&report).contains(&format!("{asked} was ")), "{report:?}");
    }
    let mut gone = what.clone();
    for candidate in &mut gone.candidates {
        candidate.taken_at = candidate.taken_at - Span::hours(1);
    }
    let report = shop.readies(&gone).await;
    assert!(why(&report).contains("another snapshot has that name now"), "{report:?}");
    gone.candidates[1] = what.candidates[1].clone();
    assert_eq!(shop.readies(&gone).await.outcome, Outcome::Done, "the next one is there");
    migrate(&shop.old, 3, "0 hours").await;
    let report = shop.readies(&what).await;
    assert!(why(&report).contains("somebody migrated it in between"), "{report:?}");
    let other = serde_json::json!({ "host": "else.internal", "port": 5432 }).to_string();
    let put = shop.bench.clients.secrets().put_secret_value().secret_id(&shop.bench.secret);
    put.secret_string(other).send().await.unwrap();
    let report = shop.readies(&what).await;
    assert!(why(&report).contains("somebody changed the secret"), "{report:?}");
}

const QUOTAS: &str = "<DescribeAccountAttributesResponse><DescribeAccountAttributesResult><AccountQuotas>\
    <AccountQuota><AccountQuotaName>DBInstances</AccountQuotaName><Used>40</Used><Max>40</Max></AccountQuota>\
    <AccountQuota><AccountQuotaName>AllocatedStorage</AccountQuotaName><Used>100</Used><Max>100000</Max></AccountQuota>\
    </AccountQuotas></DescribeAccountAttributesResult></DescribeAccountAttributesResponse>";

#[tokio::test]
async fn what_is_missing_for_a_restore_is_told_before_there_is_need() {
    let shop = Shop::open("preflight").await;
    let place = shop.bench.place(shop.new.options());
    let wanted = Wanted { name: &shop.bench.name, kind: None, age_max: None, fallbacks: 1 };
    let now = || UnixMs(jiff::Timestamp::now().as_millisecond());
    shop.bench.proxy.twist("DescribeAccountAttributes", 1, Twist::Answer(QUOTAS.into()));
    let checks = rds_preflight(&place, wanted, now()).await;
    let told: Vec<bool> = checks.iter().map(|it| it.ok).collect();
    assert_eq!(told, [true, true, true, true, false, true], "{checks:?}");
    assert!(checks[0].why.contains("db.m6g.large"), "{checks:?}");
    assert!(checks[3].why.contains("-newest holds 1"), "{checks:?}");
    assert!(checks[4].why.contains("of DBInstances 40 of 40 are used"), "{checks:?}");
    assert_eq!(shop.leads_to().await, shop.pointer, "nothing is written");
    assert_eq!(shop.bench.made().await.len(), 1, "and nothing made");
    let automated = Wanted { kind: Some(SnapshotKind::Automated), ..wanted };
    shop.bench.proxy.twist(
        "DescribeAccountAttributes",
        9,
        Twist::Refuse { status: 403, code: "AccessDenied", said: "" },
    );
    shop.bench.face(&shop.bench.name, |face| {
        face.endpoint = Some(Endpoint { host: "proxy.internal".into(), port: 5432 });
    });
    let denied = Twist::Refuse { status: 400, code: "AccessDenied", said: "" };
    shop.bench.proxy.twist(RESTORE, 1, denied);
    let checks = rds_preflight(&place, automated, now()).await;
    let told: Vec<bool> = checks.iter().map(|it| it.ok).collect();
    assert_eq!(told, [true, false, true, false, false, false], "{checks:?}");
    assert!(checks[1].why.contains("answers at proxy.internal:5432"), "{checks:?}");
    assert!(checks[3].why.contains("not of the kind"), "{checks:?}");
    for (nth, right) in [
        (4, "allow rds:DescribeAccountAttributes"),
        (5, "allow rds:RestoreDBInstanceFromDBSnapshot"),
    ] {
        assert!(checks[nth].why.contains(right), "{checks:?}");
    }
    let unusual = "InvalidParameterCombination";
    // What would be said to a real one as well is no yes.
    shop.bench.proxy.twist(RESTORE, 1, Twist::Refuse { status: 400, code: unusual, said: "" });
    let checks = rds_preflight(&place, automated, now()).await;
    assert!(!checks[5].ok && checks[5].why.contains(unusual), "{checks:?}");
}

/// When each was applied is read as a moment, whatever zone the server is in.
#[tokio::test]
async fn which_snapshot_holds_the_earlier_schema_follows_from_the_history_that_is_there() {
    let shop = Shop::open("chosen").await;
    let schema = look(&shop.old).await;
    let seen = shop.bench.seen().await;
    let wanted = Wanted { name: &shop.bench.name, kind: None, age_max: None, fallbacks: 1 };
    let now = UnixMs(jiff::Timestamp::now().as_millisecond());
    let chosen = choose(&seen, wanted, (&schema, &shop.to), now).unwrap();
    assert_eq!(chosen.len(), 2, "{chosen:?}");
    assert!(chosen[0].snapshot.ends_with("-newest"), "{chosen:?}");
    assert_eq!(chosen[0].restored, format!("{}-restored-2", shop.bench.name), "one is there");
    shop.old
        .run("UPDATE flyway_schema_history SET installed_on = timezone('UTC', now()) - interval '1 hour' WHERE installed_rank = 2")
        .await;
    let schema = look(&shop.old).await;
    let why = choose(&seen, wanted, (&schema, &shop.to), now).unwrap_err();
    assert!(why.contains("what is to go was begun at"), "{why}");
    let mut east = history(shop.old.options(), "flyway_schema_history");
    east.zone = "Etc/GMT-2".into();
    let there = east.read().await.unwrap();
    let at = |schema: &rollbackd::domain::schema::Schema| schema.newest[0].installed_at.unwrap();
    assert_eq!(at(&schema).since(at(&there)), Span::hours(2));
}
