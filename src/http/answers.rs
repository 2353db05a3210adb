//! What was answered under an idempotency key, so that a repeated post gets the same answer and causes nothing twice.
//!
//! In memory and bounded; the domain merges a change that is told twice, so a forgotten key does no harm.

use std::collections::{BTreeMap, VecDeque};

use sha2::{Digest, Sha256};

/// Answers that are remembered; the oldest are forgotten first.
const ANSWERS_MAX: usize = 4096;

/// Who asked, and under which key.
type Key = (String, String);

/// The memory.
#[derive(Debug, Default)]
pub(super) struct Answers {
    known: BTreeMap<Key, ([u8; 32], String)>,
    oldest_first: VecDeque<Key>,
}

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

impl Answers {
    /// What is known of `body` under the sender's key.
    pub(super) fn recall(&self, sender: &str, key: &str, body: &[u8]) -> Known {
        match self.known.get(&(sender.to_owned(), key.to_owned())) {
            None => Known::New,
            Some((hash, answer)) if *hash == digest(body) => Known::Same(answer.clone()),
            Some(_) => Known::Other,
        }
    }

    /// Keeps an answer that is durable.
    pub(super) fn remember(&mut self, sender: &str, key: &str, body: &[u8], answer: String) {
        let key = (sender.to_owned(), key.to_owned());
        if self.known.insert(key.clone(), (digest(body), answer)).is_some() {
            return;
        }
        self.oldest_first.push_back(key);
        if self.oldest_first.len() > ANSWERS_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

fn digest(body: &[u8]) -> [u8; 32] {
    Sha256::digest(body).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_senders_key_is_not_anothers_and_the_oldest_is_forgotten() {
        let mut answers = Answers::default();
        answers.remember("ci", "1", b"a", "noted".into());
        assert_eq!(answers.recall("ci", "1", b"a"), Known::Same("noted".into()));
        assert_eq!(answers.recall("ci", "1", b"b"), Known::Other);
        assert_eq!(answers.recall("cd", "1", b"a"), Known::New);
        for n in 0..ANSWERS_MAX {
            answers.remember("ci", &format!("k{n}"), b"a", String::new());
        }
        assert_eq!(answers.recall("ci", "1", b"a"), Known::New);
        assert_eq!(answers.known.len(), ANSWERS_MAX);
    }
}
