//! A target that answers nonsense: it is told, it is counted, and nothing follows from it.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
    routing::any,
};
use rollbackd::demo::shop::Behaviour;

use super::world::{SOON, Setup, World};
use crate::rig::{Small, patiently};

/// What the target answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    Well,
    CutOff,
    Binary,
    ErrorPage,
    Duplicates,
}

/// Counters that grow by 50 with each request; nine of ten requests failed, unless all is well.
fn body(answers: Answers, asked: u64) -> Vec<u8> {
    let good = format!("http_requests_total{{code=\"200\"}} {}\n", 50 * asked);
    let bad = format!("http_requests_total{{code=\"500\"}} {}\n", 450 * asked);
    match answers {
        Answers::Well => (good + "http_requests_total{code=\"500\"} 0\n").into_bytes(),
        // In the middle of the number: nobody can know how it went on.
        Answers::CutOff => {
            let whole = good + &bad;
            whole.as_bytes()[..whole.len() - 3].to_vec()
        }
        Answers::Binary => (0..2000).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect(),
        Answers::ErrorPage => {
            b"<!DOCTYPE html>\n<html><body><h1>502 Bad Gateway</h1>\n<p>http_requests_total</p></body></html>\n".to_vec()
        }
        // Two values of one series: nobody knows which of them is true.
        Answers::Duplicates => (good + "http_requests_total{code=\"500\"} 0\n" + &bad).into_bytes(),
    }
}

type Page = Arc<Mutex<(Answers, u64)>>;

async fn page(State(page): State<Page>) -> Response {
    let mut page = page.lock().expect("the page's lock");
    page.1 += 1;
    let body = Bytes::from(body(page.0, page.1));
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], body).into_response()
}

async fn polls(world: &World, result: &str) -> u64 {
    let text = world.get("/metrics").await;
    let polls = text.lines().filter(|line| {
        line.starts_with("rollbackd_polls_total{")
            && line.contains("signal=\"error_rate\"")
            && line.contains(&format!("result=\"{result}\""))
    });
    polls.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

pub(super) async fn nonsense_is_told_and_counted_and_nothing_follows() {
    let said: Page = Arc::new(Mutex::new((Answers::Well, 0)));
    let target =
        Small::start(Router::new().fallback(any(page)).with_state(Arc::clone(&said))).await;
    let config = format!(
        "[service.shop.scrape]\nurl = \"http://127.0.0.1:{}/metrics\"\n[people]\nblind_watched = \"2s\"\nblind_idle = \"2s\"\n",
        target.port
    );
    let mut world = World::open(&Setup::with(Behaviour::Healthy, &config)).await;
    world.start().await;
    world.settled().await;
    world.stage.deploy("v2").expect("v2 is deployed");
    world.explained("the change is seen", |e| e.service.serving.as_deref() == Some("v2")).await;

    let cases = [
        (Answers::CutOff, "partial", "cut off"),
        (Answers::Binary, "failed", "this is binary"),
        (Answers::ErrorPage, "failed", "this looks like HTML"),
        (Answers::Duplicates, "partial", "1 series are there twice"),
    ];
    for (answers, result, why) in cases {
        let before = polls(&world, result).await;
        said.lock().expect("the page's lock").0 = answers;
        let blind = world.explained("the signal is blind", |e| !e.service.blind.is_empty()).await;
        let told = &blind.service.blind[0];
        assert_eq!(told.signal, "error_rate");
        assert!(told.why.contains(why), "{answers:?}: {}", told.why);
        assert!(polls(&world, result).await > before, "{answers:?} is not counted as {result}");
        said.lock().expect("the page's lock").0 = Answers::Well;
        world.explained("it is seen again", |e| e.service.blind.is_empty()).await;
    }
    patiently("people were told", SOON, async || {
        (world.told.all().iter().filter(|n| n.text("kind") == "health").count() >= cases.len())
            .then_some(())
    })
    .await;
    assert_eq!(world.eye().incidents().await.expect("it answers"), [], "nothing was made of it");
    assert_eq!(world.stage.linked().as_deref(), Some("v2"));
    world.ended().await;
}
