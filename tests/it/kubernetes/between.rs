//! Something between the daemon and the API server that answers otherwise, for faults that a real one shows seldom.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header::AUTHORIZATION},
    response::{IntoResponse, Response},
    routing::any,
};
use kube::Client;
use rollbackd::{
    kubernetes::access::{Access, Options},
    units::Span,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::cluster::Cluster;
use crate::rig::Small;

/// A request as it comes by.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) token: String,
}

impl Asked {
    pub(crate) fn is_watch(&self) -> bool {
        self.query.split('&').any(|pair| pair == "watch=true")
    }
}

/// What becomes of it.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The API server answers.
    None,
    /// Nobody does, for as long as whoever asks waits.
    Silent,
    /// This is answered instead.
    Answer(u16, HeaderMap, String),
    /// The API server does it, and that is answered, as if nobody could tell.
    Done(u16),
}

impl Fault {
    /// As an API server refuses.
    pub(crate) fn status(code: u16, reason: &str, message: &str) -> Self {
        let body = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message });
        Self::Answer(code, HeaderMap::new(), body.to_string())
    }
}

type Rule = Box<dyn FnMut(&Asked) -> Fault + Send>;

/// Passes everything on, by every right, until it is told otherwise.
pub(crate) struct Between {
    rule: Arc<Mutex<Rule>>,
    home: TempDir,
    _small: Small,
}

#[derive(Clone)]
struct Passing {
    client: Client,
    rule: Arc<Mutex<Rule>>,
}

impl Between {
    pub(crate) async fn start(cluster: &Cluster) -> Self {
        let rule: Arc<Mutex<Rule>> = Arc::new(Mutex::new(Box::new(|_| Fault::None)));
        let passing = Passing { client: cluster.client().await, rule: Arc::clone(&rule) };
        let app = Router::new().fallback(any(pass)).with_state(passing);
        let small = Small::start(app).await;
        let home = TempDir::new().unwrap();
        let between = Self { rule, home, _small: small };
        between.say_token("first");
        let port = between._small.port;
        let text = format!(
            r#"
apiVersion: v1
kind: Config
current-context: between
clusters: [{{ name: between, cluster: {{ server: "http://127.0.0.1:{port}" }} }}]
users: [{{ name: daemon, user: {{ tokenFile: "{}" }} }}]
contexts: [{{ name: between, context: {{ cluster: between, user: daemon, namespace: default }} }}]
"#,
            between.home.path().join("token").display()
        );
        std::fs::write(between.kubeconfig(), text).unwrap();
        between
    }

    /// From now on this becomes of what is asked.
    pub(crate) fn lets(&self, rule: impl FnMut(&Asked) -> Fault + Send + 'static) {
        *self.rule.lock().unwrap() = Box::new(rule);
    }

    /// What the daemon proves who it is with, as it is projected into a pod: the file is replaced.
    pub(crate) fn say_token(&self, token: &str) {
        let path = self.home.path();
        std::fs::write(path.join("token.new"), token).unwrap();
        std::fs::rename(path.join("token.new"), path.join("token")).unwrap();
    }

    fn kubeconfig(&self) -> PathBuf {
        self.home.path().join("kubeconfig")
    }

    pub(crate) fn options(&self, namespace: &str) -> Options {
        let access = Access::Kubeconfig { path: self.kubeconfig(), context: None };
        Options {
            namespace: Some(namespace.to_owned()),
            stale_after: Span::seconds(2),
            reopen_every: Span::seconds(2),
            ..Options::new("main", access)
        }
    }
}

async fn pass(State(passing): State<Passing>, request: Request) -> Response {
    let uri = request.uri();
    let bearer = request.headers().get(AUTHORIZATION).and_then(|said| said.to_str().ok());
    let asked = Asked {
        method: request.method().clone(),
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        token: bearer.unwrap_or_default().trim_start_matches("Bearer ").to_owned(),
    };
    let fault = (passing.rule.lock().unwrap())(&asked);
    match fault {
        Fault::None | Fault::Done(_) => {}
        Fault::Silent => std::future::pending().await,
        Fault::Answer(code, headers, body) => {
            return (StatusCode::from_u16(code).unwrap(), headers, body).into_response();
        }
    }
    let (mut parts, body) = request.into_parts();
    // Who asks, and where, is said anew.
    parts.headers.remove(AUTHORIZATION);
    parts.headers.remove("host");
    parts.uri = parts.uri.path_and_query().unwrap().as_str().parse().unwrap();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let request = Request::from_parts(parts, kube::client::Body::from(body.to_vec()));
    let answer = passing.client.send(request).await;
    if let Fault::Done(code) = fault {
        return StatusCode::from_u16(code).unwrap().into_response();
    }
    match answer {
        Ok(answer) => answer.map(Body::new),
        Err(fault) => (StatusCode::BAD_GATEWAY, fault.to_string()).into_response(),
    }
}

/// An event of a watch that says it cannot go on from where it was.
pub(crate) fn expired() -> String {
    let status: Value = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 410, "reason": "Expired", "message": "too old resource version: 1 (2)" });
    format!("{}\n", json!({ "type": "ERROR", "object": status }))
}
