//! The demo's shop and the load on it, over real sockets.

use std::{future::Future, net::TcpListener, thread::JoinHandle, time::Duration};

use rollbackd::demo::{
    load::{self, Load},
    shop::{self, Behaviour},
};
use tokio::sync::oneshot;

use crate::rig::{client, eventually};

const SOON: Duration = Duration::from_secs(20);

/// A shop on a runtime of its own, so that its end takes its connections along, as a process's end does.
struct Shop {
    port: u16,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Shop {
    fn open(options: shop::Options) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", options.port)).expect("the port is free");
        listener.set_nonblocking(true).expect("a socket can be non-blocking");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                tokio::select! {
                    ended = shop::serve_on(listener, options) => ended.expect("the shop serves"),
                    _ = stopped => {}
                }
            });
        });
        Self { port, stop: Some(stop), thread: Some(thread) }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let response = client().get(self.url(path)).send().await.expect("the shop answers");
        (response.status().as_u16(), response.text().await.expect("a body"))
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))), "the shop panicked");
    }
}

fn within<F: Future<Output = Option<T>>, T>(
    what: &str,
    ask: impl FnMut() -> F,
) -> impl Future<Output = T> {
    eventually(what, SOON, ask)
}

#[tokio::test]
async fn a_healthy_shop_sells_says_its_version_and_counts() {
    let shop = Shop::open(shop::Options::new(0, "1.4.2", Behaviour::Healthy));
    assert_eq!(shop.get("/healthz").await, (200, "ok\n".into()));
    assert_eq!(shop.get("/version").await, (200, "1.4.2\n".into()));
    for path in ["/", "/checkout"] {
        assert_eq!(shop.get(path).await, (200, "sold\n".into()));
    }
    let (status, metrics) = shop.get("/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "http_requests_total{code=\"200\"} 2",
        "http_requests_total{code=\"500\"} 0",
        "http_request_duration_seconds_count 2",
        "shop_build_info{version=\"1.4.2\"} 1",
    ] {
        assert!(metrics.lines().any(|has| has == line), "no `{line}` in\n{metrics}");
    }
    // A parser of other people's making reads all of it.
    let parsed = prometheus_parse::Scrape::parse(metrics.lines().map(|line| Ok(line.to_owned())));
    let start =
        parsed.expect("parses").samples.into_iter().find(|s| s.metric.starts_with("process"));
    assert!(start.is_some());
}

#[tokio::test]
async fn a_quarter_of_the_requests_fails_in_a_release_with_errors() {
    let shop = Shop::open(shop::Options::new(0, "2", Behaviour::Errors));
    let mut failed = 0;
    for _ in 0..40 {
        failed += u32::from(shop.get("/checkout").await.0 == 500);
    }
    assert_eq!(failed, 10);
    assert_eq!(shop.get("/healthz").await.0, 200);
}

#[tokio::test]
async fn a_shop_that_is_down_is_down_on_every_path() {
    let shop = Shop::open(shop::Options::new(0, "2", Behaviour::Down));
    for path in ["/", "/checkout", "/healthz", "/version", "/metrics"] {
        assert_eq!(shop.get(path).await.0, 503, "{path}");
    }
}

#[tokio::test]
async fn a_slow_shop_answers_and_takes_its_time_without_slowing_its_customers() {
    let mut options = shop::Options::new(0, "2", Behaviour::Slow);
    options.slow_ms = 300;
    let shop = Shop::open(options);
    let load = Load::start(client(), load::Options::new(shop.url("/"), 50));
    let counts =
        within("forty sales", async || Some(load.counts()).filter(|counts| counts.ok >= 40)).await;
    assert_eq!(counts.failed + counts.other + counts.unanswered, 0, "{counts:?}");
    assert!(counts.answered_in_ms >= 300 * counts.ok, "{counts:?}");
}

#[tokio::test]
async fn the_load_goes_on_over_a_restart_into_a_worse_release() {
    let first = Shop::open(shop::Options::new(0, "1", Behaviour::Healthy));
    let port = first.port;
    let load = Load::start(client(), load::Options::new(first.url("/checkout"), 200));
    let before =
        within("sales", async || Some(load.counts()).filter(|counts| counts.ok >= 20)).await;
    assert_eq!(before.failed, 0, "{before:?}");

    drop(first);
    within("refusals", async || Some(()).filter(|()| load.counts().unanswered >= 5)).await;
    let _second = Shop::open(shop::Options::new(port, "2", Behaviour::Down));
    within("failures", async || Some(()).filter(|()| load.counts().failed >= 20)).await;
}

#[tokio::test]
async fn refused_connections_are_counted_and_the_load_finds_the_shop_when_it_opens() {
    let closed = Shop::open(shop::Options::new(0, "1", Behaviour::Healthy));
    let (port, url) = (closed.port, closed.url("/"));
    drop(closed);
    let load = Load::start(client(), load::Options::new(url, 100));
    within("refusals", async || Some(()).filter(|()| load.counts().unanswered >= 5)).await;
    let waiting = tokio::spawn(shop::serve(shop::Options::new(port, "1", Behaviour::Healthy)));
    within("sales", async || Some(()).filter(|()| load.counts().ok >= 5)).await;
    waiting.abort();
}

#[tokio::test]
async fn what_would_exceed_the_number_in_flight_is_not_sent() {
    let shop = Shop::open(shop::Options::new(0, "2", Behaviour::Slow));
    let mut options = load::Options::new(shop.url("/"), 100);
    options.in_flight_max = 3;
    let load = Load::start(client(), options);
    let counts =
        within("refused by ourselves", async || Some(load.counts()).filter(|c| c.not_sent >= 20))
            .await;
    assert!(counts.sent() <= 6, "{counts:?}");
}

#[tokio::test]
async fn a_release_waits_for_the_port_of_the_one_before_it() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let next = tokio::spawn(shop::serve(shop::Options::new(port, "2", Behaviour::Healthy)));
    tokio::task::yield_now().await;
    drop(taken);
    let version = within("the next release", async || {
        client()
            .get(format!("http://127.0.0.1:{port}/version"))
            .send()
            .await
            .ok()?
            .text()
            .await
            .ok()
    })
    .await;
    assert_eq!(version, "2\n");
    next.abort();
}
