//! What is true of the whole fleet at one moment, so that not all of the journal need be folded again.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::{Fleet, departed::Departed};
use crate::{
    domain::{event::Now, service::ServiceId, state::ServiceState},
    units::UnixMs,
};

/// What is true at one moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kept {
    states: BTreeMap<ServiceId, ServiceState>,
    kill_switch: Option<String>,
    rollbacks: VecDeque<UnixMs>,
    #[serde(default)]
    departed: Departed,
}

impl Fleet {
    /// What is true, to be written down so that not all of the journal need be folded again.
    pub fn checkpoint(&self) -> Kept {
        Kept {
            states: self.states.clone(),
            kill_switch: self.kill_switch.clone(),
            rollbacks: self.rollbacks.clone(),
            departed: self.departed.clone(),
        }
    }

    /// Continues from a checkpoint.
    pub fn restore(&mut self, kept: Kept) {
        self.kill_switch = kept.kill_switch;
        self.rollbacks = kept.rollbacks;
        self.departed = kept.departed;
        for (id, state) in kept.states {
            // Whatever is due will be found so by the first tick.
            let now = Now { wall: UnixMs(0), steady: UnixMs(0) };
            self.states.insert(id.clone(), state);
            self.index(&id, now);
        }
    }
}
