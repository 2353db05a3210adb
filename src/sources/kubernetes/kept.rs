//! Records by their owner, and a new set of them that takes the place of the old one when it is whole.

use std::collections::BTreeMap;

use super::objects::{Key, Uid};

/// What is kept of one kind of object.
#[derive(Debug)]
pub(super) struct Kept<T> {
    now: Held<T>,
    /// A list on its way: until it is whole, what was known before stands.
    arriving: Option<Held<T>>,
}

#[derive(Debug)]
struct Held<T> {
    by_owner: BTreeMap<Uid, BTreeMap<Key, T>>,
    owner_of: BTreeMap<Key, Uid>,
}

impl<T> Default for Held<T> {
    fn default() -> Self {
        Self { by_owner: BTreeMap::new(), owner_of: BTreeMap::new() }
    }
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { now: Held::default(), arriving: None }
    }
}

impl<T> Held<T> {
    fn put(&mut self, owner: Uid, key: Key, record: T) {
        if self.owner_of.get(&key).is_some_and(|before| *before != owner) {
            self.take(&key);
        }
        self.by_owner.entry(owner).or_default().insert(key.clone(), record);
        self.owner_of.insert(key, owner);
    }

    fn take(&mut self, key: &Key) -> Option<Uid> {
        let owner = self.owner_of.remove(key)?;
        if let Some(of) = self.by_owner.get_mut(&owner) {
            of.remove(key);
            if of.is_empty() {
                self.by_owner.remove(&owner);
            }
        }
        Some(owner)
    }
}

impl<T> Kept<T> {
    /// A list begins.
    pub(super) fn begin(&mut self) {
        self.arriving = Some(Held::default());
    }

    /// An object of the list that began.
    pub(super) fn arrive(&mut self, owner: Uid, key: Key, record: T) {
        self.arriving.get_or_insert_default().put(owner, key, record);
    }

    /// The list is whole: what it does not name is gone.
    pub(super) fn finish(&mut self) {
        if let Some(arrived) = self.arriving.take() {
            self.now = arrived;
        }
    }

    /// An object that is new, or changed.
    pub(super) fn put(&mut self, owner: Uid, key: Key, record: T) {
        self.now.put(owner, key, record);
    }

    /// An object that is gone; whose it was.
    pub(super) fn take(&mut self, key: &Key) -> Option<Uid> {
        self.now.take(key)
    }

    /// All of one owner, by name.
    pub(super) fn of(&self, owner: Uid) -> impl Iterator<Item = (&Key, &T)> {
        self.now.by_owner.get(&owner).into_iter().flatten()
    }

    /// One of an owner's.
    pub(super) fn get(&self, owner: Uid, key: &Key) -> Option<&T> {
        self.now.by_owner.get(&owner)?.get(key)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.now.owner_of.len()
    }
}
