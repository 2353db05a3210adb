//! Whoever is told: a webhook that keeps every notice, and is there while daemons come and go.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::any,
};
use serde_json::Value;

use crate::rig::Small;

/// Everything that was posted, in order.
#[derive(Debug)]
pub(super) struct Told {
    small: Small,
    kept: Arc<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    notices: Mutex<Vec<Notice>>,
    troubled: AtomicBool,
    asked: AtomicUsize,
    refusing: AtomicUsize,
}

/// How long an endpoint in trouble takes for an answer.
const SLOW: Duration = Duration::from_millis(300);

/// One notice as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Notice {
    pub(super) idempotency_key: String,
    pub(super) body: Value,
}

impl Notice {
    pub(super) fn text(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap_or_default()
    }

    pub(super) fn id(&self) -> &str {
        self.text("id")
    }

    pub(super) fn is_page(&self) -> bool {
        self.text("urgency") == "page"
    }
}

impl Told {
    pub(super) async fn listen() -> Self {
        let kept = Arc::<Kept>::default();
        let app = Router::new().fallback(any(keep)).with_state(Arc::clone(&kept));
        Self { small: Small::start(app).await, kept }
    }

    /// From now on every answer is slow, and every other one a failure, of which half were taken all the same.
    pub(super) fn trouble(&self) {
        self.kept.troubled.store(true, Ordering::Relaxed);
    }

    /// So many of the next attempts fail, and nothing of them was taken.
    pub(super) fn fail_next(&self, attempts: usize) {
        self.kept.refusing.store(attempts, Ordering::Relaxed);
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.small.port)
    }

    /// Everything that arrived, twice what arrived twice.
    pub(super) fn all(&self) -> Vec<Notice> {
        self.kept.notices.lock().expect("the notices' lock").clone()
    }

    pub(super) fn ids(&self) -> BTreeSet<String> {
        self.all().iter().map(|notice| notice.id().to_owned()).collect()
    }

    /// The pages whose subject or text says this.
    pub(super) fn pages_that_say(&self, words: &str) -> Vec<Notice> {
        let mut pages = self.all();
        pages.retain(|notice| notice.is_page() && notice.text("text").contains(words));
        pages
    }
}

async fn keep(State(kept): State<Arc<Kept>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok());
    let notice = Notice {
        idempotency_key: key.unwrap_or_default().to_owned(),
        body: serde_json::from_slice(&body).expect("a notice is JSON"),
    };
    let asked = kept.asked.fetch_add(1, Ordering::Relaxed);
    let less = |left: usize| left.checked_sub(1);
    if kept.refusing.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok() {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let troubled = kept.troubled.load(Ordering::Relaxed);
    if troubled {
        let nothing = std::future::pending::<()>();
        let _ = tokio::time::timeout(SLOW, nothing).await;
    }
    if !troubled || asked % 4 != 1 {
        kept.notices.lock().expect("the notices' lock").push(notice);
    }
    if troubled && asked % 2 == 1 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
}
