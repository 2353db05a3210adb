use std::sync::Mutex;

use super::*;
use crate::{
    config::{self, Config},
    daemon::past,
    sources::{
        http::fake::{Fake, closed_port},
        prometheus,
    },
};

const CONFIG: &str = r#"
state_dir = "/nonexistent"
[prometheus.main]
url = "http://127.0.0.1:9090"
[service.shop]
watch_only = true
[service.shop.signal.latency.prometheus]
value = 'p95_seconds'
[notify.log]
audiences = ["on_call"]
"#;

fn config() -> Config {
    config::load_text("test", CONFIG).unwrap().0
}

fn at(seconds: i64) -> UnixMs {
    UnixMs(1_700_000_000_000) + Span::seconds(seconds)
}

/// A Prometheus of which each question has this answer.
struct Rig {
    servers: BTreeMap<String, Arc<Prometheus>>,
    kept: Kept,
    _home: tempfile::TempDir,
    _fake: Option<Fake>,
}

impl Rig {
    async fn answering(status: u16, body: &str) -> Self {
        let fake = Fake::answers(status, "", body).await;
        Self::at(fake.url.clone(), Some(fake))
    }

    fn at(url: reqwest::Url, fake: Option<Fake>) -> Self {
        let server = Prometheus::new(prometheus::Options::at(url)).unwrap();
        let servers = [("main".to_owned(), Arc::new(server))].into();
        let home = tempfile::tempdir().unwrap();
        let kept = Kept::open(home.path()).unwrap();
        Self { servers, kept, _home: home, _fake: fake }
    }

    /// What is recorded of half an hour, and how far it came.
    async fn asked(&self) -> (Result<Recorded, Broken>, Progress) {
        let last = Mutex::new(Progress::default());
        let (from, until) = (at(0), at(1800));
        let asking = Asking { servers: &self.servers, from, until, step: None, kept: &self.kept };
        let questions = past::questions(&config());
        let asked = asking.ask(&questions, |progress| *last.lock().unwrap() = progress).await;
        (asked, last.into_inner().unwrap())
    }
}

fn matrix(rest: &str, times: impl Iterator<Item = i64>) -> String {
    let values: Vec<String> =
        times.map(|second| format!("[{},\"1\"]", at(second).as_seconds())).collect();
    format!(
        r#"{{"status":"success",{rest}"data":{{"resultType":"matrix","result":[{{"metric":{{}},"values":[{}]}}]}}}}"#,
        values.join(",")
    )
}

/// Seconds that are multiples of 15 since the epoch, as all that are asked for.
fn beat() -> impl Iterator<Item = i64> {
    (0..1800).filter(|second| (1_700_000_000 + second) % 15 == 0)
}

#[tokio::test]
async fn what_was_answered_once_is_not_asked_again() {
    let mut rig = Rig::answering(200, &matrix("", beat())).await;
    let (recorded, first) = rig.asked().await;
    // Of the pulse and of the signal; that the newest sample is of 1970 is a server that does not scrape.
    assert_eq!((first.done, first.kept, first.total), (2, 0, 2));
    let stale = recorded.unwrap().heard.remove(0);
    assert_eq!(stale.readings, 0);
    rig.servers = Rig::at(rig._fake.as_ref().unwrap().url.clone(), None).servers;
    drop(rig._fake.take());
    let (recorded, second) = rig.asked().await;
    assert!(recorded.is_ok(), "nobody listens any more: {recorded:?}");
    assert_eq!((second.done, second.kept), (2, 2));
}

#[tokio::test]
async fn a_partial_answer_is_unknown_told_and_not_kept() {
    let body = matrix(r#""warnings":["a store is gone"],"#, beat());
    let rig = Rig::answering(200, &body).await;
    for _ in 0..2 {
        let (recorded, progress) = rig.asked().await;
        let recorded = recorded.unwrap();
        assert_eq!(progress.kept, 0);
        let misleads = recorded.misleads();
        assert_eq!(misleads, ["100.0 % of latency of shop/production could not be used"]);
        assert!(recorded.said(&config())[0].contains("120 partial"));
    }
}

#[tokio::test]
async fn a_question_that_is_refused_is_told_in_the_servers_words() {
    let body = r#"{"status":"error","errorType":"bad_data","error":"unclosed left parenthesis"}"#;
    let (recorded, progress) = Rig::answering(400, body).await.asked().await;
    let said = recorded.unwrap().said(&config());
    assert!(said[0].contains("unclosed left parenthesis"), "{said:?}");
    assert_eq!(progress.done, progress.total);
}

#[tokio::test]
async fn a_server_that_is_gone_ends_it() {
    let rig = Rig::at(closed_port().await, None);
    let (broken, progress) = rig.asked().await;
    let broken = broken.unwrap_err().to_string();
    assert!(broken.contains("main stopped answering"), "{broken}");
    assert_eq!((progress.done, rig.kept.dir().read_dir().unwrap().count()), (0, 0));
}

#[tokio::test]
async fn what_is_too_much_is_asked_for_in_halves() {
    let body = r#"{"status":"error","errorType":"execution","error":"too many samples"}"#;
    let rig = Rig::answering(422, body).await;
    let mut asking = Run {
        asking: &Asking {
            servers: &rig.servers,
            from: at(0),
            until: at(1800),
            step: None,
            kept: &rig.kept,
        },
        so_far: Progress::default(),
        progress: |_| {},
    };
    let (server, step) = (&rig.servers["main"], Span::seconds(15));
    let mut line = Line { name: "main", server, query: "up", step, points_max: POINTS_MAX };
    let answer = asking.answer(&mut line, at(0), at(1800)).await;
    assert!(matches!(answer, Err(Unanswered::Refused(_))));
    assert!((POINTS_MIN / 2..=POINTS_MIN).contains(&line.points_max), "{}", line.points_max);
}

#[test]
fn the_pieces_of_a_later_run_are_the_same_but_the_last() {
    let kept = Kept::open(&std::env::temp_dir()).unwrap();
    let spans = |late: i64| {
        let (from, until) = (at(late), at(late + 86_400));
        Asking { servers: &BTreeMap::new(), from, until, step: None, kept: &kept }
            .spans(Span::seconds(15), 1_000)
    };
    let (one, other) = (spans(0), spans(301));
    assert_eq!(one[..one.len() - 1], other[..other.len() - 1]);
    assert!(one[0].0 <= at(0) && one.last().unwrap().1 > at(86_400 - 15));
    for pair in one.windows(2) {
        assert_eq!(pair[0].1 + Span::seconds(15), pair[1].0, "neither a gap nor a double");
    }
}

#[test]
fn a_server_that_stood_still_knew_nothing() {
    let pulse =
        Pulse([(at(0), at(-10)), (at(180), at(-10))].map(|(at, n)| (at, n.as_seconds())).into());
    assert!(pulse.beats(at(0)));
    assert!(!pulse.beats(at(180)) && !pulse.beats(at(360)));
    assert!(Pulse(BTreeMap::new()).beats(at(0)), "without a target of its own it is fed by others");
}
