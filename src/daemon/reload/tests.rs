use std::convert::Infallible;

use tokio::sync::{mpsc, watch};

use super::*;
use crate::{
    domain::{event::Now, examples, service::Mode},
    executors,
    handle::{Ask, Asks},
    sources::{
        http::fake::Fake,
        prometheus::{self, Prometheus},
    },
    store::{self, Store},
    units::{Span, UnixMs},
};

const FILE: &str = r#"
[prometheus.main]
url = "http://127.0.0.1:9"
[template.web]
watch_only = true
signal.error_rate.prometheus = { label = "service", bad = 'sum by (service) (bad)', total = 'sum by (service) (total)' }
[discover.web]
template = "web"
query = 'count by (service) (requests)'
label = "service"
"#;

/// A daemon of which only the loop is not real.
struct Rig {
    reload: Reload,
    followers: Followers,
    handle: Handle,
    told: mpsc::UnboundedReceiver<(Vec<String>, Option<Vec<String>>)>,
    _dir: tempfile::TempDir,
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let executor = executors::Options::new(dir.path().to_owned()).unwrap();
        let (config, _) = config::load_text("rollbackd.toml", FILE).unwrap();
        let store = Store::open(store::Options::new(dir.path())).unwrap();
        let executor = (executor, store.lease().clone());
        let (handle, asks) = Handle::channel(8);
        let (tell, told) = mpsc::unbounded_channel();
        tokio::spawn(serve(asks, store, Fleet::new(config.policy.clone(), 1), tell));
        let (outbox, watched) = (watch::channel(0).1, watch::channel(BTreeSet::new()).1);
        let client = reqwest::Client::new();
        let followers = Followers::new(handle.clone(), client, executor, outbox, watched);
        let reload = Reload {
            path: "rollbackd.toml".into(),
            text: FILE.into(),
            config,
            rosters: BTreeMap::new(),
            written: discovery::Written::default(),
            refused: None,
            interface: None,
        };
        Self { reload, followers, handle, told, _dir: dir }
    }

    /// Prometheus answers so: who is watched then, and what is told of it.
    async fn answered(&mut self, body: &str) -> (usize, Vec<String>) {
        let fake = Fake::answers(200, "", body).await;
        let server = Arc::new(Prometheus::new(prometheus::Options::at(fake.url.clone())).unwrap());
        let (answering, mut answers) = mpsc::channel(1);
        let discovery = self.reload.config.discoveries[0].clone();
        let asks = tokio::spawn(discovery::discover(discovery, Some(server), answering));
        let answer = answers.recv().await.unwrap();
        asks.abort();
        self.reload.found(answer, &self.handle, &mut self.followers).await;
        let watched = self.reload.config.policy.services.len();
        let told = self
            .told
            .try_recv()
            .map_or(vec![], |(changes, odd)| odd.into_iter().flatten().chain(changes).collect());
        (watched, told)
    }
}

async fn serve(
    mut asks: Asks,
    mut store: Store,
    mut fleet: Fleet,
    tell: mpsc::UnboundedSender<(Vec<String>, Option<Vec<String>>)>,
) {
    while let Some(ask) = asks.recv().await {
        let now = Now { wall: clock::wall(), steady: UnixMs(0) };
        match ask {
            Ask::Look(look) => look(&fleet, now),
            Ask::Store(work) => work(&mut store, now),
            Ask::Adopt(policy, _) => fleet.adopt(*policy),
            Ask::Told { event, answer } => {
                let Ok(_) = fleet.turn(&event, now, |_| Ok::<(), Infallible>(()));
                if let What::Discovered { changes, odd, .. } = event.what {
                    tell.send((changes, odd)).unwrap();
                }
                answer.into_iter().for_each(|answer| _ = answer.send(Ok(None)));
            }
            Ask::Stop => return,
        }
    }
}

fn rows(names: impl IntoIterator<Item = String>) -> String {
    let at = clock::wall().as_seconds();
    let row = |name| serde_json::json!({ "metric": { "service": name }, "value": [at, "1"] });
    let rows: Vec<_> = names.into_iter().map(row).collect();
    serde_json::json!({ "status": "success", "data": { "resultType": "vector", "result": rows } })
        .to_string()
}

fn names(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|n| format!("svc-{n:04}"))
}

/// The list of bad input: none of it costs a service that was watched, and each is told once.
#[tokio::test]
async fn a_query_that_answers_oddly_loses_nobody_and_is_told_once() {
    let mut rig = Rig::new();
    let (watched, told) = rig.answered(&rows(names(20))).await;
    assert_eq!((watched, told.len()), (20, 1), "{told:?}");

    let (watched, told) = rig.answered(&rows([])).await;
    assert_eq!(
        (watched, &told[..]),
        (20, &["the query finds no service; 20 stay watched".into()][..])
    );
    assert_eq!(rig.answered(&rows([])).await, (20, vec![]));

    let (watched, told) = rig.answered(&rows(names(200))).await;
    assert!(watched == 20 && told[0].starts_with("the query finds 200 services"), "{told:?}");
    assert_eq!(rig.answered(&rows(names(200))).await, (20, vec![]));

    let odd =
        ["say \"hi\"", "two\nlines", "it's", "../../etc", "{service}", "a/b", "\u{202e}x", ""];
    let odd = odd.map(str::to_owned).into_iter().chain(["a".repeat(5_000)]);
    let (watched, told) = rig.answered(&rows(names(21).chain(odd))).await;
    assert_eq!((watched, told.len()), (21, 2), "{told:?}");
    assert!(told[0].starts_with("9 names cannot be a service's, first "), "{told:?}");
    assert!(told.iter().all(|told| !told.contains('\n') && told.len() < 300), "{told:?}");

    for nonsense in ["<html>Sign in</html>", "", "{}", &rows(names(5))[..200]] {
        let (watched, told) = rig.answered(nonsense).await;
        assert_eq!((watched, told), (21, vec![]), "no answer for a moment is nothing to tell");
    }
    let (watched, told) = rig.answered(&rows(names(21))).await;
    assert_eq!((watched, told), (21, vec![]), "that nothing is odd any more has no words here");
}

/// A fleet in which a rollback has switched maintenance mode on.
fn maintained() -> Fleet {
    let service = examples::service("shop/production", Mode::Auto);
    let id = service.id.clone();
    let policy = examples::policy([service]);
    let mut before = Fleet::new(policy.clone(), 1);
    let on = serde_json::json!([{
        "incident": "i-1", "run": "r-1", "step": 3,
        "mode": { "service": id, "cluster": "main", "manifest": "sha256:page", "objects": [] },
        "timeout": Span::seconds(30), "page_after": Span::minutes(30), "since": UnixMs(0),
        "touched": true, "tries": 0, "fails": 0, "begun": null, "failed": null, "told": null,
    }]);
    before.states.get_mut(&id).unwrap().maintained = serde_json::from_value(on).unwrap();
    let mut fleet = Fleet::new(policy, 2);
    fleet.restore(before.checkpoint());
    fleet
}

/// Who leaves what was found has nobody to switch it off.
#[test]
fn who_is_in_maintenance_mode_is_busy() {
    assert_eq!(busy(&maintained()), ["shop".to_owned()].into());
}

const DEPLOYMENT: &str = "
[service.shop.rollback.application.kubernetes]
namespace = 'shop'
deployment = 'shop'
container = 'app'
[service.shop.signal.health_pods.kubernetes]
";

#[test]
fn a_cluster_is_not_exchanged_for_another_while_maintenance_mode_is_on_there() {
    let with = |cluster: &str, labels: &str| {
        let more = format!("[kubernetes.{cluster}]\nin_cluster = true\n{labels}\n{DEPLOYMENT}");
        config::load_text("rollbackd.toml", &more).unwrap().0
    };
    let (now, same, other) = (with("main", ""), with("main", "labels = 'a=b'"), with("else", ""));
    assert!(moved(&now, &same).is_empty());
    let moved = moved(&now, &other);
    assert_eq!(moved, ["main".to_owned()].into());
    let why = left_behind(&maintained(), &moved);
    assert!(why[0].starts_with("shop/production is in maintenance mode in main"), "{why:?}");
    assert!(left_behind(&maintained(), &["else".to_owned()].into()).is_empty());
}
