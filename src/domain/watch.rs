//! What the windows of one service see. Not journaled: a snapshot survives a restart, facts do not depend on it.
//!
//! It takes what the sources read and judges nothing but its own triggers; what follows from them is decided from
//! here *and* from what is true already, so that a lost window can neither open nor close an incident by itself.

mod alarms;
mod arms;
mod backfill;
mod before;
mod continuity;
mod database;
mod instances;
mod integrity;
mod latency;
mod pods;
mod reading;
pub mod says;
mod served;
mod signals;
mod snapshot;
mod tally;
#[cfg(test)]
mod tests;
mod transitions;
mod ways;

use std::{collections::BTreeMap, sync::Arc};

pub use self::{
    before::{Before, acknowledged},
    database::DatabaseSeen,
    integrity::IntegritySeen,
    pods::PodsSeen,
    reading::Raw,
    snapshot::{Past, Snapshot},
    tally::Tally,
};
use self::{
    instances::Instances,
    reading::{Chain, Channel},
    served::Served,
    tally::Tallies,
};
use super::{
    baseline::Baseline,
    counter::{Drops, Poll},
    event::{Now, What},
    history::History,
    inventory::{Inventory, Serving},
    policy::{LooksAt, ServicePolicy, SignalKind},
    severity::Severity,
    signal::{Reading, Sample},
    state::ServiceState,
    trigger::{Evidence, State, Transition, Trigger},
};
use crate::units::{Span, UnixMs};

/// A trigger over one signal.
#[derive(Debug)]
pub(super) struct Instance {
    /// The trigger's name in the policy.
    pub(super) name: String,
    pub(super) signal: String,
    /// The number of that signal.
    over: u16,
    pub(super) trigger: Trigger,
    /// What it looks at of its signal.
    channel: Option<Channel>,
    /// Since when it has been ok without having been seen to recover: after a restart, which loses or ages its window.
    pub(super) ok_since: Option<UnixMs>,
}

/// One signal.
#[derive(Debug)]
pub(super) struct Signal {
    /// Its place among the signals: to whom its samples are shown is asked for each of them, and a name is slow to compare.
    number: u16,
    kind: SignalKind,
    /// How long a process stays young for the triggers that compare what this signal counts.
    young: Span,
    chain: Chain,
    pub(super) history: History,
    /// The newest sample that told something.
    pub(super) newest: Option<UnixMs>,
    /// Since when it tells nothing, on the wall clock.
    pub(super) unknown_since: Option<UnixMs>,
    /// What its source says, while it tells nothing.
    pub(super) fault: Option<String>,
    /// What is wrong with the source, though it tells something.
    note: Option<String>,
    /// Whether the source is fine and there are merely no requests.
    pub(super) idle: bool,
    /// When the service itself last answered a probe, and said that it is not well.
    pub(super) refused_at: Option<UnixMs>,
    /// Answers awaited before it stands for itself again and no longer as an earlier daemon left it.
    pub(super) unasked: u8,
    /// Whether an earlier daemon's windows are all that is known: nothing fires or clears by them.
    restored: bool,
    /// Whether what its triggers say comes from backfill, which decides nothing before the next answer.
    backfilled: bool,
}

/// Numbers that a trigger counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counts {
    /// Failed requests since onset.
    pub bad: u64,
    /// All requests since onset.
    pub total: u64,
    /// Wilson's lower bound.
    pub lower_bound: f64,
}

/// What the windows of one service see.
#[derive(Debug)]
pub struct ServiceWatch {
    /// Its platform, as last looked at.
    pub inventory: Option<Inventory>,
    looked_at: Option<UnixMs>,
    /// Its database, as last looked at.
    pub database: DatabaseSeen,
    /// Its data, as last checked.
    pub integrity: IntegritySeen,
    /// Since when nobody can tell what is deployed, on the wall clock.
    undeployed_since: Option<UnixMs>,
    /// When Alertmanager, asked, last had an alert active, by fingerprint.
    pub alerts_seen: BTreeMap<String, UnixMs>,
    /// When alarms of CloudWatch ended, by fingerprint and CloudWatch's own clock: an end may overtake its beginning.
    pub alarms_ended: BTreeMap<String, UnixMs>,
    // Boxed: a tree keeps room for eleven of what it holds in each of its nodes, and these are large.
    signals: BTreeMap<String, Box<Signal>>,
    triggers: Instances,
    /// What "slow" means for each latency signal, in seconds; frozen while a change is judged.
    taus: BTreeMap<String, f64>,
    /// What is normal for each latency signal, as of then.
    normals: BTreeMap<String, Baseline>,
    learned_at: Option<UnixMs>,
    /// When learning was last tried, whether or not there was enough to learn from.
    tried_at: Option<UnixMs>,
    tallies: Option<Tallies>,
    healthy_since: Option<UnixMs>,
    served: Served,
    /// When the newest poll came, on the steady clock.
    heard_at: Option<UnixMs>,
    /// Silence longer than this breaks what must hold without a gap.
    patience: Span,
}

impl ServiceWatch {
    /// A watch that has seen nothing.
    pub fn new(policy: &ServicePolicy) -> Self {
        let mut watch = Self {
            inventory: None,
            looked_at: None,
            database: DatabaseSeen::default(),
            integrity: IntegritySeen::default(),
            undeployed_since: None,
            alerts_seen: BTreeMap::new(),
            alarms_ended: BTreeMap::new(),
            signals: BTreeMap::new(),
            triggers: Instances::default(),
            taus: BTreeMap::new(),
            normals: BTreeMap::new(),
            learned_at: None,
            tried_at: None,
            tallies: None,
            healthy_since: None,
            served: Served::default(),
            heard_at: None,
            patience: Span::ZERO,
        };
        watch.adopt(policy);
        watch
    }

    /// Follows another policy from now on, keeping what was seen.
    pub fn adopt(&mut self, policy: &ServicePolicy) {
        self.signals.retain(|name, _| policy.signals.contains_key(name));
        self.integrity.adopt(policy);
        let slowest = policy.signals.values().map(|s| s.poll_every + s.lag).max();
        let polls = i64::from(policy.guards.freshness_polls);
        self.patience = (slowest.unwrap_or(Span::ZERO) * polls).max(policy.guards.freshness_min);
        for (name, signal) in policy.signals.iter() {
            match self.signals.get_mut(name) {
                Some(known) if known.kind == signal.kind => known.follow(policy, signal),
                Some(_) | None => {
                    self.signals.insert(name.clone(), Box::new(Signal::new(policy, signal)));
                }
            }
        }
        (0..).zip(self.signals.values_mut()).for_each(|(number, signal)| signal.number = number);
        let signals = &self.signals;
        self.triggers.change(|triggers| adopt_triggers(triggers, signals, policy));
        for signal in self.signals.values_mut() {
            signal.young = arms::young(&self.triggers, signal.number);
        }
    }

    /// Takes what an event tells of this service.
    pub fn see(&mut self, what: &What, policy: &ServicePolicy, state: &ServiceState, now: Now) {
        match what {
            What::Polled { signal, readings, fault, .. } => {
                self.note_gap(now);
                self.learn(policy, state, now);
                self.follow_verification(state);
                self.polled(signal, readings, fault.as_deref(), state, now);
                self.note_health(policy, now);
            }
            What::Backfilled { signal, polls, .. } => {
                self.backfilled(signal, polls, state, now);
            }
            What::Seen { inventory, .. } => {
                // Another revision earns its own health, on the clock that never steps.
                let is_other =
                    self.inventory.as_ref().is_some_and(|k| k.linked != inventory.linked);
                if is_other || inventory.runs_another() {
                    self.healthy_since = None;
                }
                self.undeployed_since = match inventory.linked {
                    Some(_) => None,
                    None => self.undeployed_since.or(Some(now.wall)),
                };
                self.see_pods(inventory, policy, state, now);
                self.inventory = Some(inventory.clone());
                self.looked_at = Some(now.wall);
            }
            What::SchemaSeen { seen, .. } => self.database.see(seen, now),
            What::SnapshotsSeen { .. }
            | What::RdsSeen { .. }
            | What::ScriptsSeen { .. }
            | What::ScriptTried { .. } => {
                self.database.ways.see(what);
            }
            What::IntegritySeen { check, answer, took, .. } => {
                self.integrity.see((check, policy), state, (answer, *took), now);
            }
            What::AlertsActive { fingerprints, .. } => self.alerts_active(fingerprints, now),
            What::Alerted { alert, .. } => self.alarm_ended(alert, now),
            What::ChangePosted { .. }
            | What::EvidencePosted { .. }
            | What::StepReported { .. }
            | What::StepGoesOn { .. }
            | What::Spoke { .. }
            | What::Undelivered { .. }
            | What::KillSwitch { .. }
            | What::ClockSet { .. }
            | What::Configured { .. }
            | What::ConfigRefused { .. }
            | What::Discovered { .. }
            | What::Started
            | What::Tick => {}
        }
    }

    fn polled(
        &mut self,
        name: &str,
        readings: &[Raw],
        fault: Option<&str>,
        state: &ServiceState,
        now: Now,
    ) {
        let Some(signal) = self.signals.get_mut(name) else { return };
        let tau = if signal.kind == SignalKind::Latency { self.taus.get(name) } else { None };
        let poll = Poll { now: now.wall, backfill: false };
        let taken = signal.chain.take(signal.kind, readings, tau.copied(), poll, signal.young);
        let samples = &taken.samples;
        signal.note(samples, fault, now.wall);
        let known = |s: &(Channel, Sample)| !matches!(s.1.reading, Reading::Unknown { .. });
        let told = fault.is_some() || samples.iter().any(known);
        signal.unasked = if told { 0 } else { signal.unasked.saturating_sub(1) };
        signal.backfilled &= signal.unasked > 0;
        signal.restored &= !samples.iter().any(known);
        if readings.iter().any(|r| matches!(r, Raw::Down { answered: true, .. })) {
            signal.refused_at = Some(now.wall);
        }
        if let Some(Serving::Version(running)) = self.inventory.as_ref().map(|i| &i.running) {
            self.served.count(running, name, samples, now.wall);
        }
        let in_incident = state.incident.is_some();
        for (channel, sample) in samples.iter() {
            signal.record(*channel, sample);
            if let Some(tallies) = &mut self.tallies {
                let upper = before::upper(&signal.history, *channel, state, in_incident);
                tallies.count(name, *channel, sample, upper);
            }
        }
        arms::show(&mut self.triggers, signal.number, &taken, state);
    }

    /// Whether a trigger is about to fire that is worse than `severity`.
    pub fn pends_worse_than(&self, severity: Severity) -> bool {
        let pends = |i: &Instance| i.trigger.state() == State::Pending;
        self.triggers.restless().any(|i| pends(i) && i.trigger.severity().is_worse_than(severity))
    }

    /// Whether a trigger fires or is about to: counts for a storm, and polls faster.
    pub fn is_alarmed(&self) -> bool {
        self.triggers.restless().any(|i| {
            matches!(i.trigger.state(), State::Firing | State::Pending)
                && i.trigger.severity().is_worse_than(Severity::P2)
        })
    }

    /// Whether a trigger is neither clean nor without data.
    pub fn is_unsettled(&self) -> bool {
        self.triggers.is_restless()
    }

    /// Whether every trigger is clean or without data, and every signal, the platform and the database tell something.
    pub(super) fn is_at_rest(&self) -> bool {
        !self.triggers.is_restless()
            && self.undeployed_since.is_none()
            && self.database.is_at_rest()
            && self.integrity.is_at_rest()
            && self.signals.values().all(|signal| signal.unknown_since.is_none())
    }

    /// Every trigger over every signal it looks at: its key, its signal and itself.
    pub fn triggers(&self) -> impl Iterator<Item = (&str, &str, &Trigger)> {
        self.triggers.iter().map(|(key, i)| (key.as_str(), i.signal.as_str(), &i.trigger))
    }

    /// The trigger that a firing goes by, or that an alert stands for.
    fn instance(&self, key: &str) -> Option<&Instance> {
        let named = || self.triggers.values().find(|i| i.name == own_name(key));
        self.triggers.get(key).or_else(named)
    }

    /// What a trigger sees now.
    pub fn state_of(&self, trigger: &str) -> Option<State> {
        self.instance(trigger).map(|i| i.trigger.state())
    }

    /// What a trigger stands on now.
    pub fn evidence(&self, trigger: &str) -> Option<Evidence> {
        self.instance(trigger).map(|i| i.trigger.evidence())
    }

    /// The signal behind a trigger, and the newest sample by which the trigger knew something.
    pub fn newest_sample(&self, trigger: &str) -> Option<(&str, UnixMs)> {
        let instance = self.instance(trigger)?;
        let newest = self.signals.get(&instance.signal)?.newest?;
        let known = instance.trigger.evidence().known?;
        Some((&instance.signal, newest.min(known)))
    }

    /// The same, but by which the trigger was in breach or clean: requests that stopped coming are no breach.
    pub fn newest_judged(&self, trigger: &str) -> Option<(&str, UnixMs)> {
        let (signal, newest) = self.newest_sample(trigger)?;
        let judged = self.instance(trigger)?.trigger.judged_at()?;
        Some((signal, newest.min(judged)))
    }

    /// Whether a trigger stands as an earlier daemon left it: the next answer of its source, or the lack of one,
    /// comes within a poll and tells more.
    pub fn is_unasked(&self, trigger: &str) -> bool {
        let signal = self.instance(trigger).and_then(|i| self.signals.get(&i.signal));
        signal.is_some_and(|s| s.unasked > 0)
    }

    /// The same of a signal.
    pub fn is_signal_unasked(&self, signal: &str) -> bool {
        self.signals.get(signal).is_some_and(|s| s.unasked > 0)
    }

    /// Whether the source behind a trigger is well, and merely nobody comes.
    pub fn is_idle(&self, trigger: &str) -> bool {
        let instance = self.triggers.get(trigger);
        instance.and_then(|i| self.signals.get(&i.signal)).is_some_and(|s| s.idle)
    }

    /// Whether the platform, or the service itself, said since then that it does not serve.
    pub fn platform_or_service_says_so(&self, since: UnixMs) -> Option<String> {
        let after = |at: Option<UnixMs>| at.is_some_and(|at| at >= since);
        if let Some(Serving::NotRunning(why)) = self.inventory.as_ref().map(|i| &i.running)
            && after(self.looked_at)
        {
            return Some(format!("the platform confirms it: {why}"));
        }
        let refused = self.signals.values().any(|signal| after(signal.refused_at));
        refused.then(|| {
            "the service itself answers that it is not well: it is not our network".to_owned()
        })
    }

    /// When each signal last told something, and what is wrong with its source or with a part of it.
    pub fn signals(&self) -> impl Iterator<Item = (&str, Option<UnixMs>, Option<&str>)> {
        self.signals.iter().map(|(name, s)| {
            (name.as_str(), s.newest, s.fault.as_ref().or(s.note.as_ref()).map(String::as_str))
        })
    }

    /// What was dropped of a signal's readings so far, by reason.
    pub fn drops(&self, signal: &str) -> Option<&Drops> {
        self.signals.get(signal).map(|s| s.chain.drops())
    }

    /// The same of every signal.
    pub fn all_drops(&self) -> impl Iterator<Item = &Drops> {
        self.signals.values().map(|s| s.chain.drops())
    }

    /// What a trigger counted since onset, where it counts.
    pub fn counts(&self, trigger: &str) -> Option<Counts> {
        let evidence = self.evidence(trigger)?;
        let lower_bound = evidence.lower_bound?;
        Some(Counts { bad: evidence.bad, total: evidence.total, lower_bound })
    }
}

/// Follows another policy's triggers, keeping what those that stay have seen.
fn adopt_triggers(
    triggers: &mut BTreeMap<String, Box<Instance>>,
    signals: &BTreeMap<String, Box<Signal>>,
    policy: &ServicePolicy,
) {
    let mut kept = std::mem::take(triggers);
    for (name, trigger) in policy.triggers.iter() {
        let channel = channel_of(trigger.looks_at);
        let speaks = |kind| channel.is_some_and(|channel| speaks(kind, channel));
        let over: Vec<_> = policy.signals.iter().filter(|(_, s)| speaks(s.kind)).collect();
        for (signal, read) in &over {
            let key = if over.len() == 1 { name.clone() } else { format!("{name}@{signal}") };
            let mut instance = match kept.remove(&key).filter(|i| i.signal == **signal) {
                Some(mut old) => {
                    old.trigger.adopt(Arc::clone(&trigger.rule), read.poll_every);
                    old.channel = channel;
                    old
                }
                None => Box::new(Instance {
                    name: name.clone(),
                    signal: (*signal).clone(),
                    over: 0,
                    trigger: Trigger::new(Arc::clone(&trigger.rule), read.poll_every),
                    channel,
                    ok_since: None,
                }),
            };
            instance.over = signals.get(*signal).map_or(u16::MAX, |signal| signal.number);
            triggers.insert(key, instance);
        }
    }
}

impl Instance {
    fn observe(&mut self, sample: &Sample) {
        self.follow(sample.at, |trigger| trigger.observe(sample));
    }

    /// Lets the trigger see something that ended at `at`.
    fn follow(&mut self, at: UnixMs, see: impl FnOnce(&mut Trigger) -> Option<Transition>) {
        let before = self.trigger.state();
        see(&mut self.trigger);
        match (before, self.trigger.state()) {
            (State::Recovering, State::Ok) => self.ok_since = Some(UnixMs(0)),
            (State::Ok, State::Ok) => drop(self.ok_since.get_or_insert(at)),
            (_, State::Ok) => self.ok_since = Some(at),
            (_, State::NoData | State::Pending | State::Firing | State::Recovering) => {
                self.ok_since = None;
            }
        }
    }

    /// Whether it has been clean for as long as a recovery takes, seen or not.
    fn is_clear(&self) -> bool {
        let recovery = self.trigger.rule().hold.recovery;
        let newest = self.trigger.evidence().newest;
        self.trigger.state() == State::Ok
            && matches!((self.ok_since, newest), (Some(ok), Some(at)) if at.since(ok) >= recovery)
    }
}

/// A trigger's name in the policy: over several signals it goes by `name@signal`, an alert that stands for it by
/// `alert:name#fingerprint`.
pub fn own_name(key: &str) -> &str {
    let key = key.strip_prefix("alert:").unwrap_or(key);
    key.split(['@', '#']).next().unwrap_or(key)
}

fn channel_of(looks_at: LooksAt) -> Option<Channel> {
    match looks_at {
        LooksAt::ErrorRate | LooksAt::Traffic => Some(Channel::Errors),
        LooksAt::SlowShare(_) => Some(Channel::Slow),
        LooksAt::LatencyP95 => Some(Channel::P95),
        LooksAt::Health => Some(Channel::Probe),
        LooksAt::Availability => Some(Channel::Reach),
        LooksAt::NewAgainstOld => Some(Channel::Arms),
        LooksAt::Event => None,
    }
}

fn speaks(kind: SignalKind, channel: Channel) -> bool {
    match kind {
        SignalKind::ErrorRate => matches!(channel, Channel::Errors | Channel::Arms),
        SignalKind::Latency => matches!(channel, Channel::Slow | Channel::P95),
        SignalKind::Health => matches!(channel, Channel::Probe | Channel::Reach),
        SignalKind::Cpu | SignalKind::Memory | SignalKind::Logs => channel == Channel::Usage,
    }
}
