//! The windows written down, so that a restart does not forget four minutes of breach.
//!
//! What a service was like before is long and changes by a slot a minute: it is written whole now and then ([`Past`]), and
//! a snapshot holds what came since.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{ServiceWatch, reading::Chain, served::Served, tally::Tallies};
use crate::{
    domain::{
        baseline::Baseline,
        history,
        inventory::Inventory,
        policy::ServicePolicy,
        schema::{script::Trial, trouble::Looks},
        trigger::{self, Trigger},
    },
    units::UnixMs,
};

/// The windows of one service at one moment.
#[derive(Debug, Serialize, Deserialize)]
pub struct Snapshot {
    signals: BTreeMap<String, Kept>,
    triggers: BTreeMap<String, trigger::Snapshot>,
    taus: BTreeMap<String, f64>,
    #[serde(default)]
    normals: BTreeMap<String, Baseline>,
    learned_at: Option<UnixMs>,
    tallies: Option<Tallies>,
    healthy_since: Option<UnixMs>,
    #[serde(default)]
    served: Served,
    #[serde(default)]
    heard_at: Option<UnixMs>,
    inventory: Option<Inventory>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    database: Option<Looks>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trial: Option<Box<Trial>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    checks: BTreeMap<String, super::integrity::Kept>,
    alerts_seen: BTreeMap<String, UnixMs>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    alarms_ended: BTreeMap<String, UnixMs>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    chain: Chain,
    #[serde(default)]
    history: history::Kept,
    newest: Option<UnixMs>,
    unknown_since: Option<UnixMs>,
    fault: Option<String>,
    idle: bool,
    #[serde(default)]
    backfilled: bool,
}

impl Snapshot {
    /// When its service was last heard of, on the steady clock: what happened later is not in it.
    pub fn heard_at(&self) -> Option<UnixMs> {
        self.heard_at
    }
}

/// The whole history of one service's signals.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Past(BTreeMap<String, history::Kept>);

/// The first answer after a long time down begins counters anew, and only the second is compared with it.
pub(super) const UNASKED: u8 = 2;

impl ServiceWatch {
    /// What to write down, where no past is.
    pub fn snapshot(&self) -> Snapshot {
        self.written(history::History::keep)
    }

    /// What to write down, where the past of this moment is written down.
    pub fn snapshot_since(&self, past: UnixMs) -> Snapshot {
        self.written(|history| history.keep_since(past))
    }

    /// The past to write down.
    pub fn past(&self) -> Past {
        Past(self.signals.iter().map(|(name, s)| (name.clone(), s.history.keep())).collect())
    }

    fn written(&self, history: impl Fn(&history::History) -> history::Kept) -> Snapshot {
        let kept = |s: &super::Signal| Kept {
            chain: s.chain.clone(),
            history: history(&s.history),
            newest: s.newest,
            unknown_since: s.unknown_since,
            fault: s.fault.clone(),
            idle: s.idle,
            backfilled: s.backfilled,
        };
        Snapshot {
            signals: self.signals.iter().map(|(name, s)| (name.clone(), kept(s))).collect(),
            triggers: self
                .triggers
                .iter()
                .map(|(key, i)| (key.clone(), i.trigger.snapshot()))
                .collect(),
            taus: self.taus.clone(),
            normals: self.normals.clone(),
            learned_at: self.learned_at,
            tallies: self.tallies.clone(),
            healthy_since: self.healthy_since,
            served: self.served.clone(),
            heard_at: self.heard_at,
            inventory: self.inventory.clone(),
            database: self.database.looks().cloned(),
            trial: self.database.ways.trial.clone(),
            checks: self.integrity.kept(),
            alerts_seen: self.alerts_seen.clone(),
            alarms_ended: self.alarms_ended.clone(),
        }
    }

    /// Continues from a past that was written down, before the snapshot that came after it.
    pub fn restore_past(&mut self, past: &Past) {
        for (name, kept) in &past.0 {
            if let Some(signal) = self.signals.get_mut(name) {
                signal.history.refill(kept);
            }
        }
    }

    /// Continues from what was written down, as far as the policy still asks for it.
    pub fn restore(&mut self, snapshot: Snapshot, policy: &ServicePolicy) {
        for (name, kept) in snapshot.signals {
            if let Some(signal) = self.signals.get_mut(&name) {
                signal.chain = kept.chain;
                if let Some(read) = policy.signals.get(&name) {
                    signal.chain.follow(read);
                }
                signal.history.refill(&kept.history);
                signal.newest = kept.newest;
                signal.unknown_since = kept.unknown_since;
                signal.fault = kept.fault;
                signal.idle = kept.idle;
                signal.unasked = UNASKED;
                signal.restored = true;
                signal.backfilled = kept.backfilled;
            }
        }
        self.triggers.change(|triggers| {
            for (key, kept) in &snapshot.triggers {
                let Some(instance) = triggers.get_mut(key) else { continue };
                let (Some(rule), Some(signal)) =
                    (policy.triggers.get(&instance.name), policy.signals.get(&instance.signal))
                else {
                    continue;
                };
                let rule = Arc::clone(&rule.rule);
                instance.trigger = Trigger::restore(rule, signal.poll_every, kept);
                // What was well when it was written down is well again only from the next answer on.
                instance.ok_since = None;
            }
        });
        self.taus = snapshot.taus;
        self.normals = snapshot.normals;
        self.learned_at = snapshot.learned_at;
        self.tallies = snapshot.tallies;
        self.healthy_since = snapshot.healthy_since;
        self.served = snapshot.served;
        self.heard_at = snapshot.heard_at;
        self.inventory = snapshot.inventory;
        self.database.restore(snapshot.database);
        self.database.ways.trial = snapshot.trial;
        self.integrity.restore(snapshot.checks, policy);
        self.alerts_seen = snapshot.alerts_seen;
        self.alarms_ended = snapshot.alarms_ended;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{examples, service::Mode},
        units::UnixMs,
    };

    #[test]
    fn a_past_that_was_written_down_is_there_again() {
        let policy = examples::service("shop/production", Mode::Auto);
        let mut watch = ServiceWatch::new(&policy);
        let all = |watch: &ServiceWatch| {
            let counts = watch.signals["error_rate"].history.counts(UnixMs(0), UnixMs(600_000));
            counts.map(|(_, total)| total)
        };
        if let Some(signal) = watch.signals.get_mut("error_rate") {
            (1..=10).for_each(|m| signal.history.record_counts(UnixMs(m * 60_000), 1, 100));
        }
        let mut again = ServiceWatch::new(&policy);
        assert_eq!(all(&again), None);
        again.restore_past(&watch.past());
        assert_eq!((all(&watch), all(&again)), (Some(1_000), Some(1_000)));
    }
}
