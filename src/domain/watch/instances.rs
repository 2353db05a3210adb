//! The triggers over the signals of one service, and how many of them are at rest: most of most services, most of the time, so that
//! whoever asks whether anything is wrong need not look at each of them at every poll.

use std::collections::BTreeMap;

use super::Instance;
use crate::domain::trigger::State;

/// Triggers by their keys.
#[derive(Debug, Default)]
pub(super) struct Instances {
    // Boxed: a tree keeps room for eleven of what it holds in each of its nodes, and these are large.
    by_key: BTreeMap<String, Box<Instance>>,
    /// How many are neither clean nor without data.
    restless: usize,
}

impl Instances {
    /// Whether one of them is neither clean nor without data.
    pub(super) fn is_restless(&self) -> bool {
        debug_assert_eq!(self.restless, count(&self.by_key));
        self.restless > 0
    }

    pub(super) fn get(&self, key: &str) -> Option<&Instance> {
        self.by_key.get(key).map(Box::as_ref)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Instance)> {
        self.by_key.iter().map(|(key, instance)| (key, instance.as_ref()))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Instance> {
        self.by_key.values().map(Box::as_ref)
    }

    /// Those that are in breach or recover from one.
    pub(super) fn restless(&self) -> impl Iterator<Item = &Instance> {
        let all = self.is_restless().then(|| self.values().filter(|i| is_restless(i)));
        all.into_iter().flatten()
    }

    /// Lets `see` change every one that looks at the signal of this number.
    pub(super) fn over(&mut self, number: u16, mut see: impl FnMut(&str, &mut Instance)) {
        for (key, instance) in self.by_key.iter_mut().filter(|(_, i)| i.over == number) {
            let before = is_restless(instance);
            see(key, instance);
            match (before, is_restless(instance)) {
                (false, true) => self.restless += 1,
                (true, false) => self.restless -= 1,
                (true, true) | (false, false) => {}
            }
        }
    }

    /// Lets `change` change what it likes.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut BTreeMap<String, Box<Instance>>)) {
        change(&mut self.by_key);
        self.restless = count(&self.by_key);
    }
}

fn count(all: &BTreeMap<String, Box<Instance>>) -> usize {
    all.values().filter(|i| is_restless(i)).count()
}

fn is_restless(instance: &Instance) -> bool {
    !matches!(instance.trigger.state(), State::NoData | State::Ok)
}
