//! One channel after the other, over real sockets and a real outbox.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Router,
    http::{HeaderMap, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
    routing::post,
};

use super::*;
use crate::domain::notice::Kind;
use crate::{
    domain::{event::Now, notice::Audience},
    handle::Ask,
    notifiers::{self, Notifier, webhook},
    store::{self, OutboxDraft, Store},
    units::Secret,
};

/// An outbox, the thread that owns it, and what was told to it.
struct Outbox {
    handle: Handle,
    news: watch::Sender<u64>,
    told: Arc<Mutex<Vec<Event>>>,
    /// How often it was read or written.
    asked: Arc<AtomicUsize>,
}

impl Outbox {
    fn open() -> Arc<Self> {
        let (handle, mut asks) = Handle::channel(64);
        let told = Arc::new(Mutex::new(vec![]));
        let log = Arc::clone(&told);
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        std::thread::spawn(move || {
            let dir = tempfile::tempdir().unwrap();
            let mut store = Store::open(store::Options::new(dir.path())).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            while let Some(ask) = runtime.block_on(asks.recv()) {
                let wall = crate::daemon::clock::wall();
                let now = Now { wall, steady: wall };
                match ask {
                    Ask::Store(work) => {
                        count.fetch_add(1, Ordering::SeqCst);
                        work(&mut store, now);
                    }
                    Ask::Told { event, .. } => log.lock().unwrap().push(*event),
                    Ask::Look(_) | Ask::Adopt(..) | Ask::Stop => {}
                }
            }
        });
        Arc::new(Self { handle, news: watch::Sender::new(0), told, asked })
    }

    async fn put(&self, channel: &str, notices: impl IntoIterator<Item = Notice>) {
        let channel = channel.to_owned();
        let drafts =
            notices.into_iter().map(|notice| OutboxDraft { channel: channel.clone(), notice });
        let notices: Vec<OutboxDraft> = drafts.collect();
        let write = self.handle.store(move |store, _| {
            store.append(&store::Turn { facts: &[], notices: &notices, answers: &[] }).unwrap();
        });
        write.await.unwrap();
        self.news.send_modify(|count| *count += 1);
    }

    async fn waiting(&self) -> usize {
        let listed = self.handle.store(|store, _| store.view().outbox(10).unwrap()).await.unwrap();
        listed.iter().filter(|row| row.state == store::outbox::State::Queued).count()
    }

    /// Delivers to a receiver that answers with this.
    fn deliver(&self, name: &str, address: std::net::SocketAddr, permits: &Arc<Semaphore>) {
        let channel = Channel {
            name: name.to_owned(),
            notifier: Notifier::Webhook(webhook::Options {
                url: Secret::new(format!("http://{address}/")),
                auth: None,
                headers: vec![],
                signing_key: None,
            }),
            audiences: [Audience::OnCall].into(),
            deadline: notifiers::http::TOTAL,
        };
        let client = notifiers::http::client(notifiers::http::CONNECT).unwrap();
        let (handle, news) = (self.handle.clone(), self.news.subscribe());
        tokio::spawn(deliver(Arc::new(channel), client, handle, news, permits.clone()));
    }
}

fn notice(id: &str, urgency: Urgency) -> Notice {
    Notice {
        id: id.to_owned(),
        service: None,
        // Each in a lane of its own.
        incident: Some(id.to_owned()),
        severity: None,
        audience: Audience::OnCall,
        urgency,
        kind: Kind::Incident,
        subject: id.to_owned(),
        fields: vec![],
        lines: vec![],
        choices: vec![],
        at: crate::units::UnixMs(0),
    }
}

/// A receiver that tells what arrives, and answers as it is told to for each.
async fn receiver<F: Future<Output = Response> + Send>(
    answer: impl Fn(String) -> F + Clone + Send + Sync + 'static,
) -> std::net::SocketAddr {
    let take = move |headers: HeaderMap| {
        let id = headers.get("idempotency-key").and_then(|id| id.to_str().ok());
        answer(id.unwrap_or_default().to_owned())
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().route("/", post(take));
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

#[tokio::test]
async fn a_page_that_comes_late_goes_before_the_news_that_waits() {
    let outbox = Outbox::open();
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let to = Arc::clone(&outbox);
    let address = receiver(move |id| {
        let (outbox, arrived) = (Arc::clone(&to), arrived.clone());
        async move {
            // It comes while the first one is being delivered.
            if id == "info-0" {
                outbox.put("hook", [notice("page", Urgency::Page)]).await;
            }
            let _ = arrived.send(id);
            StatusCode::OK.into_response()
        }
    })
    .await;
    outbox.put("hook", (0..15).map(|n| notice(&format!("info-{n}"), Urgency::Info))).await;
    outbox.deliver("hook", address, &Arc::new(Semaphore::new(1)));
    let mut order = vec![];
    while order.len() < 16 {
        order.push(arrivals.recv().await.unwrap());
    }
    assert_eq!(order[..2], ["info-0", "page"], "{order:?}");
    order.sort_unstable();
    order.dedup();
    assert_eq!(order.len(), 16, "each of them once");
}

#[tokio::test]
async fn a_notice_is_in_the_outbox_until_the_receiver_has_taken_it() {
    let outbox = Outbox::open();
    let (looked, mut looks) = mpsc::unbounded_channel();
    let to = Arc::clone(&outbox);
    // While it is asked, the receiver looks how many wait; a daemon that died now would send these again.
    let address = receiver(move |_| {
        let (outbox, looked) = (Arc::clone(&to), looked.clone());
        async move {
            let _ = looked.send(outbox.waiting().await);
            StatusCode::OK.into_response()
        }
    })
    .await;
    outbox.put("hook", [notice("page", Urgency::Page)]).await;
    outbox.deliver("hook", address, &Arc::new(Semaphore::new(1)));
    assert_eq!(looks.recv().await, Some(1));
    let emptied = async {
        while outbox.waiting().await > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), emptied).await.expect("it was taken");
}

#[tokio::test]
async fn a_receiver_that_asks_for_silence_silences_no_other_channel() {
    let outbox = Outbox::open();
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let silent = receiver(|_| async {
        (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "600")]).into_response()
    });
    let other = receiver(move |id| {
        let arrived = arrived.clone();
        async move {
            let _ = arrived.send(id);
            StatusCode::OK.into_response()
        }
    });
    let (silent, other) = (silent.await, other.await);
    outbox.put("silent", ["a", "b"].map(|id| notice(id, Urgency::Info))).await;
    let permits = Arc::new(Semaphore::new(1));
    outbox.deliver("silent", silent, &permits);
    let attempts = async || {
        let depth = outbox.handle.store(|store, _| store.view().outbox(10).unwrap()).await.unwrap();
        depth.iter().map(|listed| listed.attempts).sum::<u32>()
    };
    while attempts().await == 0 {
        tokio::task::yield_now().await;
    }
    outbox.put("other", [notice("page", Urgency::Page)]).await;
    outbox.deliver("other", other, &permits);
    let first = tokio::time::timeout(Duration::from_secs(10), arrivals.recv()).await;
    assert_eq!(first.expect("it does not wait for the silent one"), Some("page".into()));
}

#[tokio::test]
async fn a_page_that_is_refused_is_told_so_that_the_other_channels_can() {
    let outbox = Outbox::open();
    let address = receiver(|_| async { StatusCode::FORBIDDEN.into_response() }).await;
    outbox.put("hook", [notice("page", Urgency::Page)]).await;
    outbox.deliver("hook", address, &Arc::new(Semaphore::new(1)));
    let told = loop {
        let told = outbox.told.lock().unwrap().pop();
        match told {
            Some(event) => break event.what,
            None => tokio::task::yield_now().await,
        }
    };
    let What::Undelivered { subject, channel, again, .. } = told else { panic!("{told:?}") };
    assert_eq!((subject.as_str(), channel.as_str(), again), ("page", "hook", false));
}

/// A storm brought news with every turn, and a channel that had to wait read its whole queue each time.
#[tokio::test]
async fn however_much_news_there_is_a_channel_that_waits_looks_now_and_then() {
    let outbox = Outbox::open();
    let silent = receiver(|_| async {
        (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "600")]).into_response()
    });
    outbox.put("silent", ["a", "b"].map(|id| notice(id, Urgency::Info))).await;
    outbox.deliver("silent", silent.await, &Arc::new(Semaphore::new(1)));
    let begun = Instant::now();
    let news = 500;
    for _ in 0..news {
        outbox.news.send_modify(|count| *count += 1);
        outbox.waiting().await;
    }
    let looks = outbox.asked.load(Ordering::SeqCst) - news;
    // What was put, one attempt that failed, and a look at once and after each pause.
    let pauses = begun.elapsed().div_duration_f64(LOOK_PAUSE);
    assert!(looks as f64 <= 4.0 + pauses, "{looks} of {news} news in {pauses:.1} pauses");
}
