//! Policies that are equal stand in memory once: ten thousand services of one template differ in their names alone.

use std::{collections::BTreeMap, sync::Arc};

use crate::domain::{
    policy::{SignalPolicy, TriggerPolicy},
    trigger::Rule,
};

/// Values that differ.
struct Distinct<T>(Vec<Arc<T>>);

impl<T: PartialEq> Distinct<T> {
    /// More different ones are not looked through for each service.
    const MOST: usize = 100;

    /// An equal value that is there already, or this one.
    fn share(&mut self, value: Arc<T>) -> Arc<T> {
        // Neighbours in the file follow one template more often than not.
        match self.0.iter().rev().find(|known| **known == value) {
            Some(known) => Arc::clone(known),
            None => {
                if self.0.len() < Self::MOST {
                    self.0.push(Arc::clone(&value));
                }
                value
            }
        }
    }
}

impl<T> Default for Distinct<T> {
    fn default() -> Self {
        Self(vec![])
    }
}

/// What services share.
#[derive(Default)]
pub(super) struct Shared {
    rules: Distinct<Rule>,
    signals: Distinct<BTreeMap<String, SignalPolicy>>,
    triggers: Distinct<BTreeMap<String, TriggerPolicy>>,
}

impl Shared {
    /// The signals of a service.
    pub(super) fn signals(
        &mut self,
        signals: BTreeMap<String, SignalPolicy>,
    ) -> Arc<BTreeMap<String, SignalPolicy>> {
        self.signals.share(Arc::new(signals))
    }

    /// The triggers of a service; those that differ from another service's may follow equal rules.
    pub(super) fn triggers(
        &mut self,
        mut triggers: BTreeMap<String, TriggerPolicy>,
    ) -> Arc<BTreeMap<String, TriggerPolicy>> {
        for trigger in triggers.values_mut() {
            trigger.rule = self.rules.share(Arc::clone(&trigger.rule));
        }
        self.triggers.share(Arc::new(triggers))
    }
}
