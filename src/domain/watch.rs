//! What the windows of one service see. Not journaled: a snapshot survives a restart, facts do not depend on it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    event::{Now, What},
    firing,
    inventory::Inventory,
    policy::ServicePolicy,
    situation::Situation,
    state::ServiceState,
    trigger::{State, Trigger},
};
use crate::units::{Span, UnixMs};

/// What a source read, before any difference is taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "read")]
pub enum Raw {
    Up { at: UnixMs },
}

/// x
#[derive(Clone, Debug, PartialEq)]
pub enum Before {
    Healthy { note: String },
    Breached { note: String },
    NoData { why: String },
}

#[derive(Clone, Debug)]
pub struct Counts {
    pub bad: u64,
    pub total: u64,
    pub lower_bound: f64,
}

#[derive(Clone, Debug)]
pub struct Tally {
    pub samples: u32,
    pub unknown_now: bool,
    pub bad: u64,
    pub total: u64,
    pub before_upper: Option<f64>,
    pub value: Option<f64>,
    pub up_in_a_row: u32,
}

#[derive(Debug)]
pub struct ServiceWatch {
    pub inventory: Option<Inventory>,
    pub alerts_seen: BTreeMap<String, UnixMs>,
    triggers: BTreeMap<String, Trigger>,
}

impl ServiceWatch {
    pub fn new(_p: &ServicePolicy) -> Self {
        Self { inventory: None, alerts_seen: BTreeMap::new(), triggers: BTreeMap::new() }
    }
    pub fn triggers(&self) -> impl Iterator<Item = (&str, &Trigger)> {
        self.triggers.iter().map(|(name, trigger)| (name.as_str(), trigger))
    }
    pub fn adopt(&mut self, _p: &ServicePolicy) {}
    pub fn see(&mut self, w: &What, _p: &ServicePolicy, _s: &ServiceState, _n: Now) {
        if let What::Seen { inventory, .. } = w {
            self.inventory = Some(inventory.clone());
        }
    }
    pub fn is_alarmed(&self) -> bool {
        false
    }
    pub fn next_look(&self, _n: Now) -> Option<UnixMs> {
        None
    }
    pub fn state_of(&self, t: &str) -> Option<State> {
        self.triggers.get(t).map(|t| t.state())
    }
    pub fn newest_sample(&self, _t: &str) -> Option<(&str, UnixMs)> {
        None
    }
    pub fn before(&self, _t: &str, _at: UnixMs, _w: Span) -> Before {
        Before::NoData { why: String::new() }
    }
    pub fn fired_before(&self, _t: &str, _at: UnixMs, _w: Span) -> u32 {
        0
    }
    pub fn counts(&self, _t: &str) -> Option<Counts> {
        None
    }
    pub fn second_witness(&self, _w: UnixMs) -> Option<String> {
        None
    }
    pub fn verified_since(&self) -> Option<UnixMs> {
        None
    }
    pub fn tally(&self, _s: &str) -> Option<Tally> {
        None
    }
    pub fn transitions(&self, _s: &Situation<'_>) -> Vec<firing::Fact> {
        vec![]
    }
    pub fn healthy_for(&self, _s: UnixMs) -> Option<Span> {
        None
    }
}
