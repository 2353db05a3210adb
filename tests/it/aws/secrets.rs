//! Secrets Manager: which version is current, moved back to an exact one, and labelled so that it stays.

use rollbackd::{
    aws::{Access, Clients, secrets},
    domain::{
        plan::{Action, Step},
        run::{Order, Outcome, Report},
        secret::{CURRENT, Secret, SecretAt, SecretMove, labels},
        service::ServiceId,
    },
    executors,
    store::{self, Store},
    units::Span,
};
use serde_json::json;
use tempfile::TempDir;

use super::{
    proxy::{Proxy, Twist},
    server::{Server, unique},
};

const MOVE: &str = "UpdateSecretVersionStage";

/// A secret of three versions, of which the last is current, and who moves its label.
struct Bench {
    proxy: Proxy,
    access: Access,
    /// Past the proxy.
    direct: Access,
    clients: Clients,
    name: String,
    versions: [String; 3],
    executor: executors::Options,
    store: Store,
    home: TempDir,
}

impl Bench {
    async fn new(name: &str) -> Self {
        let server = Server::shared().await;
        let proxy = Proxy::before(&server.url()).await;
        let own = unique(name);
        let mut access = server.access_through(&own, &proxy.url());
        access.attempts = 1;
        let direct = server.access(&own);
        let (clients, name) = (server.clients().await, unique(name));
        let secret = clients.secrets();
        let first = secret.create_secret().name(&name).secret_string("hunter2-1").send().await;
        let mut versions = vec![first.unwrap().version_id().unwrap().to_owned()];
        // What nobody has labelled is deleted: here at once, at AWS when there are too many.
        let label = secret.update_secret_version_stage().secret_id(&name).version_stage("blue");
        label.move_to_version_id(&versions[0]).send().await.unwrap();
        for held in ["hunter2-2", "hunter2-3"] {
            let put = secret.put_secret_value().secret_id(&name).secret_string(held).send().await;
            versions.push(put.unwrap().version_id().unwrap().to_owned());
        }
        let home = TempDir::new().unwrap();
        let store = Store::open(store::Options::new(home.path())).unwrap();
        let executor = executors::Options::new(home.path().to_owned()).unwrap();
        executor.accounts.adopt([("main".to_owned(), access.clone())].into());
        let versions = versions.try_into().unwrap();
        Self { proxy, access, direct, clients, name, versions, executor, store, home }
    }

    fn id(&self, nth: usize) -> &str {
        &self.versions[nth - 1]
    }

    fn at(&self) -> SecretAt {
        SecretAt { account: "main".into(), secret: self.name.clone() }
    }

    async fn seen(&self) -> Secret {
        secrets::look(&self.direct, &self.name).await.unwrap()
    }

    async fn current(&self) -> usize {
        let seen = self.seen().await;
        1 + self.versions.iter().position(|id| seen.current() == Some(id)).unwrap()
    }

    /// Somebody else does it.
    async fn is_moved(&self, from: usize, to: usize) {
        let asked = self.clients.secrets().update_secret_version_stage().secret_id(&self.name);
        let asked = asked.version_stage(CURRENT).remove_from_version_id(self.id(from));
        asked.move_to_version_id(self.id(to)).send().await.unwrap();
    }

    async fn attempt(&self, from: &str, to: &str, resumed: bool) -> Report {
        let arn = Some(self.seen().await.arn);
        let what = SecretMove { at: self.at(), arn, from: from.into(), to: to.into() };
        let step = Step {
            title: "a step".into(),
            action: Action::SecretMove { what },
            needs: vec![],
            timeout: Span::seconds(30),
            attempts: 1,
            fallback: None,
        };
        let order = Order {
            run: "run-7".into(),
            step: 0,
            attempt: 1,
            fallback: false,
            resumed,
            what: step,
        };
        let report = executors::carry_out(&order, &self.executor, self.store.lease()).await;
        assert!(!format!("{report:?}").contains("hunter2"), "{report:?}");
        report
    }

    async fn goes_back(&self, resumed: bool) -> Report {
        self.attempt(self.id(3), self.id(1), resumed).await
    }

    fn moves_asked(&self) -> usize {
        self.proxy.asked(MOVE).len()
    }
}

fn refusal(report: &Report) -> &str {
    let Outcome::Failed { why, retry: false } = &report.outcome else { panic!("{report:?}") };
    why
}

fn refuse(code: &'static str) -> Twist {
    Twist::Refuse { status: 400, code, said: "" }
}

#[tokio::test]
async fn a_secret_goes_back_to_an_exact_version_and_not_to_the_one_before() {
    let bench = Bench::new("exact").await;
    let report = bench.goes_back(false).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert!(
        report.before.contains(bench.id(3)) && report.after.contains(bench.id(1)),
        "{report:?}"
    );
    assert_eq!(bench.current().await, 1);
    let seen = bench.seen().await;
    let previous = |it: &&_| {
        let it: &&rollbackd::domain::secret::Version = it;
        it.labels.iter().any(|label| label == "AWSPREVIOUS")
    };
    let previous = seen.versions.iter().find(previous).unwrap();
    assert_eq!(previous.id, bench.id(3), "which is the bad one: it means nothing");
    let again = bench.goes_back(false).await;
    assert_eq!((again.outcome, bench.moves_asked()), (Outcome::AlreadyDone, 1));
    assert!(bench.proxy.asked("GetSecretValue").is_empty(), "nobody asks for what it holds");
}

#[tokio::test]
async fn whoever_moved_it_in_between_wins_also_between_the_look_and_the_move() {
    let bench = Bench::new("between").await;
    let stale: Vec<_> = (1..=3)
        .map(|nth| {
            let labels = if nth == 3 { vec![CURRENT] } else { vec![] };
            json!({ "VersionId": bench.id(nth), "VersionStages": labels })
        })
        .collect();
    bench.is_moved(3, 2).await;
    let report = bench.goes_back(false).await;
    let why = refusal(&report);
    assert!(why.contains("in between") && why.contains(bench.id(2)), "{why}");
    assert_eq!(bench.moves_asked(), 0);
    // It was seen where the plan saw it, and is not there any more when AWS is asked.
    let body = json!({ "Name": bench.name, "Versions": stale }).to_string().into_bytes();
    bench.proxy.twist("ListSecretVersionIds", 1, Twist::Answer(body));
    let report = bench.goes_back(false).await;
    assert!(refusal(&report).contains("in between"), "{report:?}");
    assert_eq!((bench.moves_asked(), bench.current().await), (1, 2));
}

#[tokio::test]
async fn a_right_that_is_missing_is_named_and_nothing_is_tried_again() {
    let bench = Bench::new("denied").await;
    bench.proxy.twist(MOVE, 9, refuse("AccessDeniedException"));
    let report = bench.goes_back(false).await;
    let why = refusal(&report);
    assert!(why.contains("allow secretsmanager:UpdateSecretVersionStage"), "{why}");
    assert_eq!((bench.moves_asked(), bench.current().await), (1, 3));
    bench.proxy.twist("DescribeSecret", 9, refuse("AccessDeniedException"));
    let report = bench.goes_back(false).await;
    assert!(refusal(&report).contains("allow secretsmanager:DescribeSecret"), "{report:?}");
}

#[tokio::test]
async fn who_is_throttled_looks_and_asks_again_and_knows_that_nothing_was_done() {
    let bench = Bench::new("throttled").await;
    bench.proxy.twist("DescribeSecret", 1, refuse("ThrottlingException"));
    bench.proxy.twist(MOVE, 2, refuse("ThrottlingException"));
    let report = bench.goes_back(false).await;
    assert_eq!((report.outcome, bench.current().await), (Outcome::Done, 1));
    bench.is_moved(1, 3).await;
    bench.proxy.twist(MOVE, 99, refuse("ThrottlingException"));
    let report = bench.goes_back(false).await;
    assert!(matches!(report.outcome, Outcome::Failed { retry: true, .. }), "{report:?}");
}

/// A session ends, or a file is replaced, in the middle of a plan: whoever asks next has others.
#[tokio::test]
async fn credentials_that_run_out_in_the_middle_do_not_end_it() {
    let bench = Bench::new("expired").await;
    bench.proxy.twist("DescribeSecret", 1, refuse("ExpiredTokenException"));
    bench.proxy.twist(MOVE, 1, refuse("ExpiredTokenException"));
    let report = bench.goes_back(false).await;
    assert_eq!((report.outcome, bench.current().await), (Outcome::Done, 1));
    let bench = Bench::new("expired-for-long").await;
    bench.proxy.twist("DescribeSecret", 99, refuse("ExpiredTokenException"));
    let report = bench.goes_back(false).await;
    let Outcome::Failed { why, retry: true } = &report.outcome else { panic!("{report:?}") };
    assert!(why.contains("by anybody whom AWS knows"), "{why}");
    assert_eq!(bench.moves_asked(), 0);
}

#[tokio::test]
async fn an_answer_that_is_lost_after_the_effect_is_found_done_and_not_asked_for_twice() {
    let bench = Bench::new("lost").await;
    bench.proxy.twist(MOVE, 1, Twist::Lost);
    let report = bench.goes_back(false).await;
    assert_eq!((report.outcome, bench.moves_asked()), (Outcome::Done, 1));
    assert_eq!(bench.current().await, 1);
    // The same where nothing was done: it is seen, and done.
    bench.is_moved(1, 3).await;
    bench.proxy.twist(MOVE, 1, Twist::Cut);
    let report = bench.goes_back(false).await;
    assert_eq!((report.outcome, bench.moves_asked()), (Outcome::Done, 3));
}

#[tokio::test]
async fn who_cannot_look_after_an_answer_was_lost_says_that_nobody_can_tell() {
    let bench = Bench::new("unseen").await;
    bench.proxy.twist("DescribeSecret", 1, Twist::Rewrite(str::to_owned));
    bench.proxy.twist("DescribeSecret", 99, refuse("InternalServiceError"));
    bench.proxy.twist(MOVE, 1, Twist::Lost);
    let report = bench.goes_back(false).await;
    assert!(matches!(report.outcome, Outcome::Unknown { .. }), "{report:?}");
    bench.proxy.straighten();
    let report = bench.goes_back(true).await;
    assert_eq!((report.outcome, bench.moves_asked()), (Outcome::Done, 1), "the next one finds it");
}

#[tokio::test]
async fn who_was_ended_between_the_label_and_the_move_goes_on_where_that_was() {
    let bench = Bench::new("ended").await;
    let shop = ServiceId::new("shop", "production").unwrap();
    let good = [bench.id(1).to_owned()];
    let relabel = async |good: &[String]| {
        let wanted = labels::labels(&shop, &bench.seen().await, good);
        let lease = bench.store.lease();
        executors::relabel(&bench.access, &bench.name, &wanted.changes, lease).await.unwrap();
        wanted.changes.len()
    };
    assert_eq!(relabel(&good).await, 1);
    let labelled = async || -> Vec<String> {
        let seen = bench.seen().await.versions.into_iter();
        let own = |it: &rollbackd::domain::secret::Version| {
            it.labels.contains(&labels::label(&shop, &it.id))
        };
        seen.filter(own).map(|it| it.id).collect()
    };
    assert_eq!(labelled().await, good);
    let report = bench.goes_back(true).await;
    assert_eq!((report.outcome, bench.current().await), (Outcome::Done, 1));
    // And after the move, whose end nobody saw.
    let asked = bench.moves_asked();
    let report = bench.goes_back(true).await;
    assert_eq!((report.outcome, bench.moves_asked()), (Outcome::Done, asked));
    assert_eq!((relabel(&good).await, labelled().await), (0, good.to_vec()));
    assert_eq!(relabel(&[bench.id(2).to_owned()]).await, 2, "one is taken off, one put on");
    assert_eq!(labelled().await, [bench.id(2)]);
    assert_eq!(bench.current().await, 1, "no label of ours is what anybody is given");
}

#[tokio::test]
async fn what_is_gone_is_not_gone_to_and_the_kill_switch_holds() {
    let bench = Bench::new("gone").await;
    let nobody = "11111111-2222-3333-4444-555555555555";
    let report = bench.attempt(bench.id(3), nobody, false).await;
    assert!(refusal(&report).contains("is not there any more"), "{report:?}");
    std::fs::write(bench.home.path().join("HOLD"), "").unwrap();
    let report = bench.goes_back(false).await;
    assert!(matches!(report.outcome, Outcome::Withheld { .. }), "{report:?}");
    assert_eq!((bench.moves_asked(), bench.current().await), (0, 3));
    let wanted = [labels::Change::Add { label: "x".into(), version: bench.id(1).into() }];
    let said = executors::relabel(&bench.access, &bench.name, &wanted, bench.store.lease()).await;
    assert!(said.unwrap_err().contains("HOLD"));
}

#[tokio::test]
async fn a_preflight_names_the_right_that_is_missing_and_changes_nothing() {
    let bench = Bench::new("preflight").await;
    let look = async || {
        let checks = executors::secret_preflight(&bench.access, &bench.at(), false).await;
        checks.iter().map(|it| (it.ok, it.why.clone())).collect::<Vec<_>>()
    };
    let before = bench.seen().await.versions;
    let all = look().await;
    assert!(all.iter().all(|(ok, _)| *ok), "{all:?}");
    assert!(all[0].1.contains(bench.id(3)) && all[0].1.contains("2 others"), "{all:?}");
    bench.proxy.twist(MOVE, 1, refuse("AccessDeniedException"));
    let all = look().await;
    assert!(all[0].0 && !all[1].0, "{all:?}");
    assert!(all[1].1.contains("allow secretsmanager:UpdateSecretVersionStage"), "{all:?}");
    bench.proxy.twist("ListSecretVersionIds", 1, refuse("AccessDeniedException"));
    let all = look().await;
    assert!(all[0].1.contains("allow secretsmanager:ListSecretVersionIds"), "{all:?}");
    assert_eq!(bench.seen().await.versions, before);
}
