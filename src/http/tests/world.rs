//! An event loop on a thread of its own, a real socket, and a client.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use metrics_exporter_prometheus::PrometheusBuilder;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
};

use crate::{
    config::{Http, Scope, Tls, Token},
    domain::{
        event::{Event, Now, What},
        examples,
        fleet::Fleet,
        service::Mode,
    },
    handle::{Ask, Asks, Handle},
    http::{Interface, Server, auth::Tokens},
    store::{self, Store},
    units::{Secret, UnixMs},
};

/// The time at which every test happens.
pub(super) const NOW: UnixMs = UnixMs(1_795_383_652_000);

pub(super) struct World {
    pub(super) address: std::net::SocketAddr,
    pub(super) unwritable: Arc<AtomicBool>,
    pub(super) told: Arc<Mutex<Vec<Event>>>,
    pub(super) handle: Handle,
    scheme: &'static str,
    client: reqwest::Client,
    _stop: oneshot::Sender<()>,
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut Http)) -> Self {
        let (handle, asks) = Handle::channel(64);
        let unwritable = Arc::new(AtomicBool::new(false));
        let told = Arc::new(Mutex::new(vec![]));
        let (fail, log) = (Arc::clone(&unwritable), Arc::clone(&told));
        std::thread::spawn(move || event_loop(asks, &fail, &log));
        let mut options = Http { listen: ([127, 0, 0, 1], 0).into(), ..Http::default() };
        change(&mut options);
        let recorder = PrometheusBuilder::new().build_recorder();
        let metrics = recorder.handle();
        let interface = Interface::new(handle.clone(), metrics, tokens(), &options).unwrap();
        let server = Server::bind(&options, &interface).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        let address = server.address();
        tokio::spawn(server.serve(async {
            let _ = stopped.await;
        }));
        let scheme = if options.tls.is_some() { "https" } else { "http" };
        let client = client(options.tls.as_ref());
        Self { address, unwritable, told, handle, scheme, client, _stop: stop }
    }

    pub(super) async fn happened(&self, what: What) {
        self.handle.tell(Event { id: "test".into(), what }).await.unwrap();
    }

    pub(super) fn told(&self) -> Vec<What> {
        self.told.lock().unwrap().iter().map(|event| event.what.clone()).collect()
    }

    pub(super) fn request(&self, method: Method, path: &str, token: &str) -> RequestBuilder {
        let url = format!("{}://localhost:{}{path}", self.scheme, self.address.port());
        let request = self.client.request(method, url);
        if token.is_empty() { request } else { request.bearer_auth(token) }
    }

    pub(super) async fn get(&self, path: &str, token: &str) -> (StatusCode, Value) {
        answer(self.request(Method::GET, path, token)).await
    }

    pub(super) async fn post(
        &self,
        path: &str,
        token: &str,
        body: impl Into<reqwest::Body>,
    ) -> (StatusCode, Value) {
        answer(self.request(Method::POST, path, token).body(body)).await
    }

    /// Sends bytes as they are and reads until the other side closes.
    pub(super) async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text).await;
        text
    }
}

pub(super) async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

fn client(tls: Option<&Tls>) -> reqwest::Client {
    crate::tls::install();
    let builder = reqwest::Client::builder().no_proxy();
    let builder = match tls {
        Some(tls) => {
            let pem = std::fs::read(&tls.cert).unwrap();
            builder.tls_certs_only([reqwest::Certificate::from_pem(&pem).unwrap()])
        }
        None => builder.tls_certs_only([]),
    };
    builder.build().unwrap()
}

fn tokens() -> Tokens {
    let all =
        [Scope::Alerts, Scope::Changes, Scope::Evidence, Scope::View, Scope::Operate, Scope::Admin];
    Tokens::new(all.map(|scope| Token {
        name: format!("{}-sender", scope.name()),
        scopes: BTreeSet::from([scope]),
        secret: Secret::new(scope.name()),
    }))
}

fn event_loop(mut asks: Asks, unwritable: &AtomicBool, told: &Mutex<Vec<Event>>) {
    let now = Now { wall: NOW, steady: NOW };
    let services = [
        ("checkout/production", Mode::Approve),
        ("cart/production", Mode::Auto),
        ("cart/staging", Mode::Observe),
    ];
    let policy = examples::policy(services.map(|(id, mode)| examples::service(id, mode)));
    let mut fleet = Fleet::new(policy, 1);
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(store::Options::new(dir.path())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    while let Some(ask) = runtime.block_on(asks.recv()) {
        match ask {
            Ask::Look(look) => look(&fleet, now),
            Ask::Store(work) => work(&mut store, now),
            Ask::Adopt(policy, _) => fleet.adopt(*policy),
            Ask::Stop => return,
            Ask::Told { event, answer } => {
                let append = |_: &_| match unwritable.load(Ordering::Relaxed) {
                    true => Err("disk full".to_owned()),
                    false => Ok(()),
                };
                let turned = fleet.turn(&event, now, append);
                if turned.is_ok() {
                    told.lock().unwrap().push(*event);
                }
                if let Some(answer) = answer {
                    let _ = answer.send(turned.map(|turned| turned.reply));
                }
            }
        }
    }
}
