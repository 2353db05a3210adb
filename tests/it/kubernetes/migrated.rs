//! Migrations taken back by a Job of the cluster, which a real controller runs; the history is a real database's.

use axum::http::Method;
use rollbackd::{
    databases::Kind,
    domain::{
        plan::{Action, SchemaAt},
        run::{Outcome, Report},
        schema::{
            Schema,
            undo::{UndoBy, UndoJob},
        },
    },
    units::Span,
};
use serde_json::json;

use super::{
    between::{Asked, Between, Fault},
    cluster::Cluster,
    jobs::{cron_job, jobs},
    kubelet::Fate,
    place::{Place, SOON},
    undo::{Hands, refusal},
};
use crate::{
    databases::{
        flyway::Flyway,
        histories::{history, look},
        server::Fresh,
    },
    rig::eventually,
};

const TABLE: &str = "flyway_schema_history";

/// A database with a migration that is to go, and who takes it back.
struct Migrated<'p> {
    place: &'p Place,
    hands: Hands,
    database: Fresh<'static>,
    before: Schema,
    after: Schema,
}

impl<'p> Migrated<'p> {
    async fn new(place: &'p Place, cluster: &Cluster) -> Self {
        let database = Fresh::of(Kind::Postgresql).await;
        let flyway = Flyway::of(&database);
        flyway.script("V1__one.sql", "CREATE TABLE one (id INT);");
        flyway.succeed(&["migrate"]).await;
        let before = look(&database).await;
        flyway.script("V2__two.sql", "CREATE TABLE two (id INT);");
        flyway.succeed(&["migrate"]).await;
        let after = look(&database).await;
        let hands = Hands::new(place, cluster, None);
        hands.options.histories.adopt([(at(), history(database.options(), TABLE))].into());
        Self { place, hands, database, before, after }
    }

    async fn undo(&self, cron_job: &str, resumed: bool) -> Report {
        self.undo_within(Span::seconds(60), cron_job, resumed).await
    }

    /// The same through something between, that does so with what is asked of the Jobs.
    async fn undo_between(
        &self,
        between: &Between,
        mut with: impl FnMut(&Asked) -> Fault + Send + 'static,
        resumed: bool,
    ) -> Report {
        let reached = between.options(&self.place.namespace);
        self.hands.options.clusters.adopt([("main".to_owned(), reached)].into());
        between.lets(move |asked| match asked.path.contains("/jobs") {
            true => with(asked),
            false => Fault::None,
        });
        self.undo_within(Span::seconds(4), "undo", resumed).await
    }

    async fn undo_within(&self, timeout: Span, cron_job: &str, resumed: bool) -> Report {
        let job = UndoBy::Job(UndoJob {
            cluster: "main".into(),
            namespace: self.place.namespace.clone(),
            cron_job: cron_job.to_owned(),
            timeout: Span::minutes(1),
            keep: Span::hours(1),
            env: [].into(),
        });
        let undone = vec!["2".to_owned()];
        let action = Action::MigrationsUndo {
            schema: at(),
            from: self.after.revision(),
            to: self.before.revision(),
            by: job.filled("1", &undone),
            undone,
        };
        self.hands.carry_out(action, timeout, resumed).await
    }

    /// What its container would do, and then ends.
    async fn does_it(&self, cluster: &Cluster, tag: &str) {
        let made = async || (!jobs(self.place, cluster).await.is_empty()).then_some(());
        eventually("the Job is made", SOON, made).await;
        let sql = "DROP TABLE two; DELETE FROM flyway_schema_history WHERE version = '2'";
        self.database.run(sql).await;
        self.place.kubelet.let_be(tag, Fate::Succeeds);
    }
}

fn at() -> SchemaAt {
    SchemaAt { database: "shop".into(), history_table: TABLE.into() }
}

#[tokio::test]
async fn a_job_is_told_how_far_to_go_and_what_the_history_says_counts_once_it_has_ended() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    cron_job(&place, cluster, "undo", "slow-undo").await;
    let migrated = Migrated::new(&place, cluster).await;
    let (report, ()) =
        tokio::join!(migrated.undo("undo", false), migrated.does_it(cluster, "slow-undo"));
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert_eq!(report.after, "public.flyway_schema_history has version 1");
    let made = jobs(&place, cluster).await;
    let [job] = made.as_slice() else { panic!("{made:?}") };
    let spec = job.spec.as_ref().unwrap();
    assert_eq!(spec.backoff_limit, Some(0));
    let env = serde_json::to_value(&spec.template.spec.as_ref().unwrap().containers[0].env);
    let told = |name: &str, value: &str| json!({ "name": name, "value": value });
    let all = [told("ROLLBACK_COUNT", "1"), told("ROLLBACK_LAST", "2"), told("ROLLBACK_TO", "1")];
    assert_eq!(env.unwrap(), json!(all));
    // Whoever finds it done makes no other.
    let again = migrated.undo("undo", false).await;
    assert_eq!(again.outcome, Outcome::AlreadyDone, "{again:?}");
    assert_eq!(jobs(&place, cluster).await.len(), 1);
}

#[tokio::test]
async fn one_that_an_earlier_daemon_made_is_waited_for_and_no_second_is_made() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    cron_job(&place, cluster, "undo", "slow-again").await;
    let migrated = Migrated::new(&place, cluster).await;
    {
        let first = migrated.undo("undo", false);
        let made = async || (!jobs(&place, cluster).await.is_empty()).then_some(());
        tokio::select! {
            report = first => panic!("{report:?}"),
            () = eventually("the Job is made", SOON, made) => {}
        }
    }
    let (report, ()) =
        tokio::join!(migrated.undo("undo", true), migrated.does_it(cluster, "slow-again"));
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert_eq!(jobs(&place, cluster).await.len(), 1);
}

#[tokio::test]
async fn a_job_that_takes_nothing_back_is_told_whether_it_failed_or_not() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    let migrated = Migrated::new(&place, cluster).await;
    for (name, tag, told) in
        [("well", "done-1", "has succeeded"), ("badly", "fails-1", "has failed")]
    {
        cron_job(&place, cluster, name, tag).await;
        let report = migrated.undo(name, false).await;
        let (why, retry) = refusal(&report);
        assert!(why.contains(told) && why.contains("and nothing was taken back"), "{why}");
        assert!(!retry && report.before == report.after, "{report:?}");
    }
}

fn unknown(report: &Report) -> &str {
    let Outcome::Unknown { why } = &report.outcome else { panic!("{report:?}") };
    why
}

/// It was told that nothing was taken back, and a script was offered, while the Job went on.
#[tokio::test]
async fn a_job_whose_end_nobody_saw_may_go_on_and_is_not_said_to_have_taken_nothing_back() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    cron_job(&place, cluster, "undo", "slow-unseen").await;
    let migrated = Migrated::new(&place, cluster).await;
    let between = Between::start(cluster).await;
    let mut made = false;
    let silent_once_made = move |asked: &Asked| match asked.method == Method::POST {
        true => {
            made = true;
            Fault::None
        }
        false if made => Fault::Silent,
        false => Fault::None,
    };
    let report = migrated.undo_between(&between, silent_once_made, false).await;
    let why = unknown(&report);
    assert!(why.contains("it may go on, and the history is at version 2 now"), "{why}");
    assert_eq!(jobs(&place, cluster).await.len(), 1);
    // A daemon that comes after it cannot look for it.
    let forbidden = |_: &Asked| Fault::status(403, "Forbidden", "jobs.batch is forbidden");
    let report = migrated.undo_between(&between, forbidden, true).await;
    assert!(unknown(&report).contains("it may go on"), "{report:?}");
    assert_eq!(jobs(&place, cluster).await.len(), 1);
}

#[tokio::test]
async fn a_job_that_may_have_been_made_is_not_said_to_have_taken_nothing_back() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    cron_job(&place, cluster, "undo", "slow-lost").await;
    let migrated = Migrated::new(&place, cluster).await;
    let between = Between::start(cluster).await;
    let refuses = |_: &Asked| Fault::status(403, "Forbidden", "jobs.batch is forbidden");
    let report = migrated.undo_between(&between, refuses, false).await;
    let (why, _) = refusal(&report);
    assert!(why.contains("and nothing was taken back"), "none was made: {why}");
    let mut asked_for = false;
    let lost = move |asked: &Asked| match asked.method == Method::POST {
        true => {
            asked_for = true;
            Fault::Done(504)
        }
        false if asked_for => Fault::status(403, "Forbidden", "jobs.batch is forbidden"),
        false => Fault::None,
    };
    let report = migrated.undo_between(&between, lost, false).await;
    assert!(unknown(&report).contains("it may go on"), "{report:?}");
    assert_eq!(jobs(&place, cluster).await.len(), 1, "it was made");
}

/// A second was made where the first was gone with the time that it is kept.
#[tokio::test]
async fn one_that_an_earlier_daemon_may_have_made_and_that_is_gone_is_not_made_again() {
    let cluster = Cluster::shared();
    let place = Place::new(cluster).await;
    cron_job(&place, cluster, "undo", "done-gone").await;
    let migrated = Migrated::new(&place, cluster).await;
    let report = migrated.undo("undo", true).await;
    assert!(unknown(&report).contains("no second is made"), "{report:?}");
    assert!(jobs(&place, cluster).await.is_empty());
}
