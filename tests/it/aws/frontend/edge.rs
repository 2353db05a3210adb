//! What people open: serves a bucket, and what it has once served until it is told to forget.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    body::{Body, Bytes},
    http::{Request, Response},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinHandle};

#[derive(Debug, Default)]
struct Kept {
    /// Whether it keeps anything.
    keeps: bool,
    by_path: BTreeMap<String, (u16, Bytes)>,
    /// What it answers instead of what is there.
    status: Option<u16>,
}

/// Ends when dropped.
#[derive(Debug)]
pub(crate) struct Edge {
    port: u16,
    kept: Arc<Mutex<Kept>>,
    task: JoinHandle<()>,
}

impl Edge {
    /// Before a bucket at this URL, which ends in a slash.
    pub(crate) async fn before(bucket: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("a bound address").port();
        let kept = Arc::<Mutex<Kept>>::default();
        let client = reqwest::Client::builder().no_proxy().no_gzip().build();
        let way = (bucket, client.expect("a client can be built"), Arc::clone(&kept));
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let way = way.clone();
                tokio::spawn(async move {
                    let each = service_fn(move |request| served(way.clone(), request));
                    let _ =
                        http1::Builder::new().serve_connection(TokioIo::new(stream), each).await;
                });
            }
        });
        Self { port, kept, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// From now on it keeps what it serves.
    pub(crate) fn keep(&self) {
        self.lock().keeps = true;
    }

    /// As after an invalidation of everything.
    pub(crate) fn forget(&self) {
        self.lock().by_path.clear();
    }

    /// What it answers whatever is asked for; what is there again with none.
    pub(crate) fn answer(&self, status: Option<u16>) {
        self.lock().status = status;
    }

    /// What somebody is served who opens a path.
    pub(crate) async fn open(&self, path: &str) -> String {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client can be built");
        let answer = client.get(format!("{}{path}", self.url())).send().await.expect("it answers");
        answer.text().await.expect("a whole answer")
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("the edge's lock")
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn served(
    (bucket, client, kept): (String, reqwest::Client, Arc<Mutex<Kept>>),
    request: Request<Incoming>,
) -> Result<Response<Body>, std::convert::Infallible> {
    let whole = request.uri().to_string();
    let path = request.uri().path().trim_start_matches('/').to_owned();
    let name = if path.is_empty() { "index.html" } else { &path };
    let (known, status) = {
        let kept = kept.lock().expect("the edge's lock");
        (kept.by_path.get(&whole).cloned(), kept.status)
    };
    let (status, body) = match (known, status) {
        (_, Some(status)) => (status, Bytes::from_static(b"told to")),
        (Some(known), None) => known,
        (None, None) => {
            let answer =
                client.get(format!("{bucket}{name}")).send().await.expect("the bucket answers");
            let status = answer.status().as_u16();
            let body = answer.bytes().await.expect("a whole answer");
            let mut kept = kept.lock().expect("the edge's lock");
            if kept.keeps {
                kept.by_path.insert(whole, (status, body.clone()));
            }
            (status, body)
        }
    };
    let answer = Response::builder().status(status).body(Body::from(body));
    Ok(answer.expect("an answer"))
}
