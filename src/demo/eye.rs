//! What a person at a terminal would look at: the daemon's own interface.

use std::{path::Path, time::Duration};

use anyhow::Context;
use serde::de::DeserializeOwned;

use crate::http::{
    auth,
    views::{Explain, IncidentLine, IncidentView},
};

/// Looks at one daemon.
#[derive(Debug)]
pub struct Eye {
    client: reqwest::Client,
    base: String,
    token: String,
}

impl Eye {
    /// Waits until the daemon listens and its token is there.
    pub async fn open(port: u16, state_dir: &Path) -> anyhow::Result<Self> {
        crate::tls::install();
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(2))
            .build()
            .context("an HTTP client")?;
        let base = format!("http://127.0.0.1:{port}");
        for _ in 0..200 {
            let token = tokio::fs::read_to_string(auth::token_file(state_dir)).await;
            if let Ok(token) = token {
                let eye =
                    Self { client: client.clone(), base: base.clone(), token: token.trim().into() };
                if eye.explain().await.is_ok() {
                    return Ok(eye);
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::bail!("the daemon does not answer on {base}")
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let answer = self
            .client
            .get(format!("{}{path}", self.base))
            .bearer_auth(&self.token)
            .send()
            .await?
            .error_for_status()?;
        Ok(answer.json().await?)
    }

    /// What the daemon sees and would do.
    pub async fn explain(&self) -> anyhow::Result<Explain> {
        self.get("/v1/services/shop/demo/explain").await
    }

    /// All incidents, open ones first.
    pub async fn incidents(&self) -> anyhow::Result<Vec<IncidentLine>> {
        self.get("/v1/incidents").await
    }

    /// One incident, whole.
    pub async fn incident(&self, id: &str) -> anyhow::Result<IncidentView> {
        self.get(&format!("/v1/incidents/{id}")).await
    }
}
