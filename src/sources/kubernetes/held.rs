//! ConfigMaps and Secrets, by the hash of what they hold: that itself is let go of as soon as it was read.

use super::{
    cluster::{Said, nobody},
    kept::Kept,
    objects::{self, Held, Key, Uid},
    who,
};
use crate::{
    domain::owner::Owner,
    kubernetes::{content, owners},
};

/// What is known of one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HeldKept {
    pub(super) uid: Uid,
    pub(super) digest: [u8; 32],
    pub(super) immutable: bool,
    /// Who last wrote what it holds, and when.
    pub(super) written: Option<who::Written>,
    /// What else sets it.
    pub(super) owners: Box<[Owner]>,
}

/// Takes what was said of one; which one it is about, where anything of it is news.
pub(super) fn take(kept: &mut Kept<HeldKept>, said: Said<Held>) -> Option<Key> {
    match said {
        Said::Begins => kept.begin(),
        Said::Whole => kept.finish(),
        Said::Listed(object) => kept.arrive(nobody(), Key::of(&object.metadata), record(&object)),
        Said::Is(object) => {
            let (key, record) = (Key::of(&object.metadata), record(&object));
            // Whoever elects a leader by one writes to it all the time.
            if kept.get(nobody(), &key) == Some(&record) {
                return None;
            }
            kept.put(nobody(), key.clone(), record);
            return Some(key);
        }
        Said::Gone(object) => {
            let key = Key::of(&object.metadata);
            kept.take(&key);
            return Some(key);
        }
    }
    None
}

fn record(object: &Held) -> HeldKept {
    let meta = &object.metadata;
    HeldKept {
        uid: objects::uid(meta),
        digest: content::digest(&object.data),
        immutable: object.data["immutable"].as_bool().unwrap_or(false),
        written: who::wrote_content(meta.managed_fields.as_deref().unwrap_or_default()),
        owners: owners::of(meta),
    }
}
