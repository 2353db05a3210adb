//! What is true of the whole fleet at one moment, so that not all of the journal need be folded again.

use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
};

use serde::{Deserialize, Serialize};

use super::{Fleet, departed::Departed};
use crate::{
    domain::{event::Now, service::ServiceId, state::ServiceState},
    units::UnixMs,
};

/// What is true at one moment. It borrows what it writes: a large fleet's states are not held twice for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kept<'f> {
    states: Cow<'f, BTreeMap<ServiceId, Box<ServiceState>>>,
    kill_switch: Cow<'f, Option<String>>,
    rollbacks: Cow<'f, VecDeque<UnixMs>>,
    #[serde(default)]
    clock_sets: Cow<'f, VecDeque<(UnixMs, i64)>>,
    #[serde(default)]
    departed: Cow<'f, Departed>,
}

impl Fleet {
    /// What to write down.
    pub fn checkpoint(&self) -> Kept<'_> {
        Kept {
            states: Cow::Borrowed(&self.states),
            kill_switch: Cow::Borrowed(&self.kill_switch),
            rollbacks: Cow::Borrowed(&self.rollbacks),
            clock_sets: Cow::Borrowed(&self.clock_sets),
            departed: Cow::Borrowed(&self.departed),
        }
    }

    /// Continues from a checkpoint.
    pub fn restore(&mut self, kept: Kept<'_>) {
        self.kill_switch = kept.kill_switch.into_owned();
        self.rollbacks = kept.rollbacks.into_owned();
        self.clock_sets = kept.clock_sets.into_owned();
        self.departed = kept.departed.into_owned();
        for (id, state) in kept.states.into_owned() {
            // Whatever is due will be found so by the first tick.
            let now = Now { wall: UnixMs(0), steady: UnixMs(0) };
            self.states.insert(id.clone(), state);
            self.index(&id, now);
        }
    }
}
