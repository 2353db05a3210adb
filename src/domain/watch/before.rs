//! What a service was like before a change: whether it was failing already, and what is normal for it.

use super::{Channel, ServiceWatch};
use crate::{
    domain::{
        baseline::{self, Baseline},
        event::Now,
        history::{Excluded, History},
        incident::Incident,
        policy::{LooksAt, ServicePolicy},
        state::ServiceState,
        trigger::Kind,
        wilson,
    },
    units::{Span, UnixMs},
};

/// How a service was before a change, seen by one trigger.
#[derive(Clone, Debug, PartialEq)]
pub enum Before {
    /// It was watched.
    Known {
        /// The lower bound of what failed (for a value: its median).
        value: f64,
        /// What that must not exceed.
        limit: f64,
        /// With which numbers.
        note: String,
    },
    /// Nobody can tell.
    NoData {
        /// Why not.
        why: String,
    },
}

/// A share of failing probes that counts as failing: for what has no threshold of its own.
const PROBES_DOWN: f64 = 0.05;
/// Without a change the baseline is learned anew this often.
const RELEARN: Span = Span::minutes(10);

impl ServiceWatch {
    /// How the service was in the `window` before `change`, by what `trigger` looks at.
    pub fn before(&self, trigger: &str, change: UnixMs, window: Span) -> Before {
        let Some(instance) = self.instance(trigger) else {
            return Before::NoData { why: "no signal of ours covers it".into() };
        };
        let Some(signal) = self.signals.get(&instance.signal) else {
            return Before::NoData { why: "its signal is not read".into() };
        };
        let (from, rule) = (change - window, instance.trigger.rule());
        match &rule.kind {
            // What is slow is a multiple of what was normal: p95 above it is the same as 5 % slow.
            Kind::Ratio(_) if instance.channel == Some(Channel::Slow) => gauge_before(
                &signal.history,
                from,
                change,
                self.taus.get(&instance.signal).copied(),
            ),
            Kind::Ratio(ratio) => {
                ratio_before(&signal.history, from, change, ratio.above.0, ratio.z)
            }
            Kind::Boolean => ratio_before(&signal.history, from, change, PROBES_DOWN, wilson::Z),
            Kind::Gauge(_) => {
                let limit = instance.trigger.evidence().threshold;
                gauge_before(&signal.history, from, change, limit)
            }
            // It has no threshold but the old revision. It was already burning if, before the change, the service surely
            // failed as often as the new revision surely does now: then the old one is merely luckier than it was.
            Kind::Comparison(_) => match instance.trigger.evidence().lower_bound {
                Some(now) => ratio_before(&signal.history, from, change, now, wilson::Z),
                None => Before::NoData { why: "nothing was compared yet".into() },
            },
            Kind::Traffic(_) | Kind::Event { .. } => {
                Before::NoData { why: "this trigger has no history".into() }
            }
        }
    }

    /// How often the same rule fired, or would have, in the `window` before `change`.
    pub fn fired_before(
        &self,
        trigger: &str,
        change: UnixMs,
        window: Span,
        calm: &[Excluded],
    ) -> u32 {
        let Some(instance) = self.instance(trigger) else { return 0 };
        let Some(signal) = self.signals.get(&instance.signal) else { return 0 };
        let rule = std::sync::Arc::new(instance.trigger.rule().clone());
        let normal = instance.trigger.baseline();
        signal.history.fired(&rule, normal, change - window, change, calm)
    }

    /// What response times are normal by, for a trigger that compares with that; before which moment it was learned, and
    /// above which time a request is slow, in seconds, where the trigger counts those.
    pub fn normal(&self, trigger: &str) -> Option<(Baseline, UnixMs, Option<f64>)> {
        let instance = self.instance(trigger)?;
        let normal = *self.normals.get(&instance.signal)?;
        let slow = match instance.channel {
            Some(Channel::Slow) => Some(*self.taus.get(&instance.signal)?),
            Some(Channel::P95) if instance.trigger.baseline().is_some() => None,
            _ => return None,
        };
        Some((normal, self.learned_at?, slow))
    }

    /// Learns what is normal: before the change that is being judged, and anew from time to time while none is.
    pub(super) fn learn(&mut self, policy: &ServicePolicy, state: &ServiceState, now: Now) {
        // An incident alone freezes what is known already: it is not looked for before some change of last week.
        let frozen_at = state.watched_change(policy, now.wall).map(|c| c.started_at);
        let due = match (frozen_at, self.learned_at) {
            (Some(at), Some(learned)) => learned != at,
            (None, Some(learned)) => {
                now.wall.since(learned) >= RELEARN && state.incident.is_none() && !self.is_alarmed()
            }
            (_, None) => true,
        };
        let tried = self.tried_at.is_some_and(|at| now.wall.since(at) < policy.history_slot);
        if !due || tried {
            return;
        }
        self.tried_at = Some(now.wall);
        let at = frozen_at.unwrap_or(now.wall);
        let calm = excluded(state);
        for (name, signal) in &self.signals {
            let Some(normal) = baseline::learn(&signal.history, at, &calm, &policy.baseline) else {
                continue;
            };
            self.learned_at = Some(at);
            self.normals.insert(name.clone(), normal);
            for trigger in policy.triggers.values() {
                if let LooksAt::SlowShare(times) = trigger.looks_at {
                    self.taus.insert(name.clone(), times.0 * normal.p95);
                }
            }
            self.triggers.over(signal.number, |_, instance| {
                if instance.channel == Some(Channel::P95) {
                    instance.trigger.set_baseline(Some(normal.p95));
                }
            });
        }
        self.learn_traffic(policy, at, &calm);
    }

    fn learn_traffic(&mut self, policy: &ServicePolicy, at: UnixMs, calm: &[Excluded]) {
        let mut learned = false;
        for signal in self.signals.values() {
            self.triggers.over(signal.number, |_, instance| {
                let looks = policy.triggers.get(&instance.name).map(|t| t.looks_at);
                if looks != Some(LooksAt::Traffic) {
                    return;
                }
                let (from, to) = (at - policy.baseline.begins, at - policy.baseline.ends);
                let rate = signal.history.requests_per_minute(from, to, calm);
                if rate.is_some() {
                    learned = true;
                    instance.trigger.set_baseline(rate);
                }
            });
        }
        if learned {
            self.learned_at = Some(at);
        }
    }
}

/// Periods in which a rule fired for a reason that somebody dealt with: incidents that a person acknowledged, or
/// that a rollback ended. What came and went by itself is noise.
pub fn acknowledged(state: &ServiceState) -> Vec<Excluded> {
    let dealt_with = |i: &&Incident| i.acknowledged || i.run.is_some();
    let end = |i: &Incident| i.closed_at.map_or(UnixMs(i64::MAX), |now| now.wall);
    let all = state.past.each().chain(state.incident.iter());
    all.filter(dealt_with).map(|i| i.onset..end(i)).collect()
}

/// Periods that say nothing about what is normal: incidents, past and open.
fn excluded(state: &ServiceState) -> Vec<Excluded> {
    let open = state.incident.iter().map(|i| i.onset..UnixMs(i64::MAX));
    let past = state.past.each().map(|i| i.onset..i.closed_at.map_or(i.fired.wall, |now| now.wall));
    past.chain(open).collect()
}

/// What a service never was better than, before the change behind its incident.
pub(super) fn upper(
    history: &History,
    channel: Channel,
    state: &ServiceState,
    in_incident: bool,
) -> Option<f64> {
    let change = state.incident.as_ref().filter(|_| in_incident)?.change.as_ref()?;
    let (from, to) = (change.started_at - Span::minutes(30), change.started_at);
    match channel {
        Channel::Errors => {
            let (bad, total) = history.counts(from, to).filter(|(_, total)| *total > 0)?;
            Some(1.0 - wilson::lower_bound(total - bad, total, wilson::Z))
        }
        Channel::P95 => history.p95s(from, to, &[]).into_iter().max_by(f64::total_cmp),
        Channel::Slow | Channel::Probe | Channel::Reach | Channel::Usage | Channel::Arms => None,
    }
}

fn ratio_before(history: &History, from: UnixMs, to: UnixMs, above: f64, z: f64) -> Before {
    match history.counts(from, to) {
        Some((bad, total)) if total > 0 => {
            let note =
                format!("{bad} of {total} failed in the {} before the change", to.since(from));
            Before::Known { value: wilson::lower_bound(bad, total, z), limit: above, note }
        }
        Some(_) => Before::NoData { why: "there were no requests before it".into() },
        None => Before::NoData { why: "it was not watched before it".into() },
    }
}

fn gauge_before(history: &History, from: UnixMs, to: UnixMs, limit: Option<f64>) -> Before {
    let mut values = history.p95s(from, to, &[]);
    let (Some(median), Some(limit)) = (baseline::median(&mut values), limit) else {
        return Before::NoData { why: "there is no value from before it".into() };
    };
    let note = format!("a median of {:.0} ms before the change", median * 1000.0);
    Before::Known { value: median, limit, note }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_time_before_a_change_says_nothing_about_errors() {
        let mut history = History::new(Span::minutes(1));
        let ratio =
            |history: &History| ratio_before(history, UnixMs(0), UnixMs(600_000), 0.05, wilson::Z);
        history.record_counts(UnixMs(300_000), 0, 0);
        assert!(matches!(ratio(&history), Before::NoData { .. }));
        history.record_counts(UnixMs(360_000), 1, 1);
        assert!(matches!(ratio(&history), Before::Known { .. }));
    }
}
