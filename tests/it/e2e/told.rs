//! Whoever is told: a webhook that keeps every notice, and is there while daemons come and go.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::any};
use serde_json::Value;

use crate::rig::Small;

/// Everything that was posted, in order.
#[derive(Debug)]
pub(super) struct Told {
    small: Small,
    notices: Arc<Mutex<Vec<Notice>>>,
}

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
        let notices = Arc::<Mutex<Vec<Notice>>>::default();
        let keep = async |State(notices): State<Arc<Mutex<Vec<Notice>>>>,
                          headers: HeaderMap,
                          body: Bytes| {
            let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok());
            let notice = Notice {
                idempotency_key: key.unwrap_or_default().to_owned(),
                body: serde_json::from_slice(&body).expect("a notice is JSON"),
            };
            notices.lock().expect("the notices' lock").push(notice);
        };
        let app = Router::new().fallback(any(keep)).with_state(Arc::clone(&notices));
        Self { small: Small::start(app).await, notices }
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.small.port)
    }

    /// Everything that arrived, twice what arrived twice.
    pub(super) fn all(&self) -> Vec<Notice> {
        self.notices.lock().expect("the notices' lock").clone()
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
