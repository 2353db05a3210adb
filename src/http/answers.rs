//! What was answered under an idempotency key, so that a repeated post gets the same answer and causes nothing twice.

use sha2::{Digest, Sha256};

use super::{Interface, problem::Problem};
use crate::{domain::plan::hex, store::Answer};

/// What is known of a post.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing: it is new.
    New,
    /// The very same was answered with this.
    Same(String),
    /// The key was used for something else.
    Other,
}

impl Interface {
    /// What is known of `body` under the sender's key.
    pub(super) async fn recall(
        &self,
        sender: &str,
        key: &str,
        body: &[u8],
    ) -> Result<Known, Problem> {
        let (sender, key) = (sender.to_owned(), key.to_owned());
        let recall = self.handle.store(move |store, now| store.recall(&sender, &key, now.wall));
        let known = recall.await?.map_err(|why| Problem::unavailable(why.to_string()))?;
        Ok(match known {
            None => Known::New,
            Some(answer) if answer.body_hash == digest(body) => Known::Same(answer.response),
            Some(_) => Known::Other,
        })
    }

    /// Keeps an answer. Where that fails the answer is given all the same: what it tells of is durable, and told
    /// again it changes nothing.
    pub(super) async fn remember(&self, sender: &str, key: &str, body: &[u8], response: &str) {
        let (sender, key) = (sender.to_owned(), key.to_owned());
        let (body_hash, response) = (digest(body), response.to_owned());
        let remember = self.handle.store(move |store, now| {
            store.remember(&Answer { sender, key, body_hash, response, at: now.wall })
        });
        if let Ok(Err(why)) = remember.await {
            tracing::warn!(error = %why, "an answer could not be kept: {why}");
        }
    }
}

fn digest(body: &[u8]) -> String {
    hex(&Sha256::digest(body))
}
