//! What of the configuration a step needs, by its name there: a reload names others for all who hold it.

use std::{
    borrow::Borrow,
    collections::BTreeMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

/// Everything of one kind, as the newest configuration has it.
pub struct Adopted<K, V>(Arc<RwLock<BTreeMap<K, V>>>);

impl<K: Ord, V: Clone> Adopted<K, V> {
    /// From now on these.
    pub fn adopt(&self, all: BTreeMap<K, V>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = all;
    }

    pub(super) fn find<Q: Ord + ?Sized>(&self, name: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}

impl<K, V> Clone for Adopted<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, V> Default for Adopted<K, V> {
    fn default() -> Self {
        Self(Arc::new(RwLock::new(BTreeMap::new())))
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Adopted<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
