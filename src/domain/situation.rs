//! Everything that a decision about one service looks at, gathered for the length of one decision.

use std::collections::BTreeMap;

use super::{
    change::Change,
    event::{Alert, Now},
    firing::{Basis, Firing},
    incident::Incident,
    inventory::PLATFORM,
    policy::{FleetPolicy, LooksAt, ServicePolicy},
    service::{Mode, ServiceId},
    state::ServiceState,
    trigger::State,
    watch::{ServiceWatch, own_name},
};
use crate::units::{Span, UnixMs};

/// What is true of all services together, as far as one of them must know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetView {
    /// How many services there are.
    pub services: u32,
    /// How many of them fire, or are about to, within the storm's window.
    pub alarmed: u32,
    /// Automatic rollbacks of all services in the last hour.
    pub rollbacks_in_the_hour: u32,
    /// What the plans of other services hold, and whose they are.
    pub locked: BTreeMap<String, ServiceId>,
    /// Another service for which people were paged about a storm, not long ago.
    pub storm_paged: Option<ServiceId>,
    /// For how many other services people were paged, not long ago, that the same source tells nothing; by source.
    pub blind_paged: BTreeMap<String, u32>,
    /// The reason in the `HOLD` file, while there is one.
    pub kill_switch: Option<String>,
    /// Whether the daemon is ending.
    pub stopping: bool,
    /// The reason of a freeze in force.
    pub freeze: Option<String>,
    /// Why nothing can be written down, while it cannot: then nothing is decided or done.
    pub unwritable: Option<String>,
    /// When this daemon started, on the steady clock.
    pub started: Option<UnixMs>,
}

/// Whether a breach is still there. Three-valued: missing is not healthy and not broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holds {
    /// It is.
    Yes,
    /// It is getting better.
    Recovering,
    /// Nobody can tell, and why.
    Unknown(String),
}

/// Everything that a decision looks at.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// What the operator decided.
    pub policy: &'a ServicePolicy,
    /// The same for the fleet.
    pub fleet_policy: &'a FleetPolicy,
    /// What is true of the service.
    pub state: &'a ServiceState,
    /// What its windows see.
    pub watch: &'a ServiceWatch,
    /// What is true of the others.
    pub fleet: &'a FleetView,
    /// The time.
    pub now: Now,
    /// The daemon's epoch.
    pub epoch: u64,
}

impl Situation<'_> {
    /// A name for an incident that opens now: unique, for a service has one incident at a time.
    pub fn new_incident_id(&self) -> String {
        let digits: String =
            self.now.wall.to_string().chars().filter(char::is_ascii_digit).take(14).collect();
        let id = &self.state.id;
        // Reports and runs are found by this name alone, whatever the environment.
        let base = match id.environment() {
            "production" => format!("{}-{digits}", id.name()),
            other => format!("{}.{other}-{digits}", id.name()),
        };
        let taken = self.state.past.each().filter(|i| i.id.starts_with(&base)).count();
        if taken == 0 { base } else { format!("{base}-{}", taken + 1) }
    }

    /// What forbids the next step of a rollback, whoever wanted it: the kill switch, a person's hold, the mode.
    pub fn forbidden(&self) -> Option<String> {
        let hold = || self.state.hold.as_ref().map(|h| format!("{} holds it: {}", h.by, h.reason));
        let observed = || {
            (self.policy.mode == Mode::Observe)
                .then(|| "mode is observe: decide and tell, never touch".to_owned())
        };
        let switch = self.fleet.kill_switch.as_ref().map(|why| format!("the HOLD file: {why}"));
        let unwritable =
            self.fleet.unwritable.as_ref().map(|why| format!("nothing can be written down: {why}"));
        let stopping = || self.fleet.stopping.then(|| "the daemon is stopping".to_owned());
        unwritable.or(switch).or_else(hold).or_else(observed).or_else(stopping)
    }

    /// The firing that counts: the most severe, and of those one that may act, our own before an alert's.
    pub fn leading(&self, incident: &Incident) -> Option<&Firing> {
        let mine = incident.triggers.keys().filter_map(|name| self.state.firing.get(name));
        mine.min_by_key(|f| (f.severity, !f.may_act, f.basis != Basis::Window, f.onset))
    }

    /// When the breach began that is to be acted upon: not the mild one that may have gone on for days before.
    pub fn onset_of(&self, incident: &Incident) -> UnixMs {
        let lead = self.leading(incident).filter(|f| !incident.severity.is_worse_than(f.severity));
        lead.map_or(incident.acute_onset(), |f| f.onset)
    }

    /// Whether the daemon has just started and the next poll tells whether this still holds.
    pub fn is_unasked(&self, incident: &Incident) -> bool {
        let firing =
            |name: &&String| self.state.firing.get(*name).is_some_and(|f| f.basis == Basis::Window);
        incident.triggers.keys().filter(firing).any(|name| self.watch.is_unasked(name))
    }

    /// What fires, one sentence each, the most severe first.
    pub fn what_fires(&self, incident: &Incident) -> Vec<String> {
        let mut firing: Vec<&Firing> =
            incident.triggers.keys().filter_map(|name| self.state.firing.get(name)).collect();
        firing.sort_by_key(|f| (f.severity, f.onset));
        firing.iter().map(|f| format!("{} ({}): {}", f.trigger, f.severity, f.says)).collect()
    }

    /// The mark on the database, where a migration came before the breach: whatever fires, it may be its doing.
    pub fn suspect_migration(&self, incident: &Incident) -> Option<String> {
        let (onset, age) = (self.onset_of(incident), self.policy.guards.max_change_age);
        let suspect = |c: &&Change| c.carried_migration() && c.explains(onset, age);
        let change = self.state.changes.iter().rev().find(suspect)?;
        Some(format!("the database: the change to {} carried a migration", change.to))
    }

    /// What a decision stands on: everything that fires, and what is suspect.
    pub fn grounds(&self, incident: &Incident) -> Vec<String> {
        let suspect = self.suspect_migration(incident).map(|what| format!("suspect is {what}"));
        self.what_fires(incident).into_iter().chain(suspect).collect()
    }

    /// Whether the breach that opened the incident is still there: by its most severe firings.
    pub fn still_holds(&self, incident: &Incident) -> Holds {
        let mut unknown = None;
        let of_this_severity = incident
            .triggers
            .keys()
            .filter_map(|name| self.state.firing.get(name))
            .filter(|f| f.severity == incident.severity);
        for firing in of_this_severity {
            match self.still_holds_firing(firing) {
                Holds::Yes => return Holds::Yes,
                Holds::Recovering => {}
                Holds::Unknown(why) => unknown = Some(why),
            }
        }
        unknown.map_or(Holds::Recovering, Holds::Unknown)
    }

    /// Whether what one firing stands on is still there.
    pub fn still_holds_firing(&self, firing: &Firing) -> Holds {
        match &firing.basis {
            Basis::Posted { .. } => Holds::Yes,
            Basis::Database if firing.is_of_the_data() => self.watch.integrity.holds(self),
            Basis::Database => match (self.watch.database.unknown(), self.policy.database.as_ref())
            {
                (Some(why), _) => {
                    Holds::Unknown(format!("nobody can tell how the database is: {why}"))
                }
                (None, Some(policy)) if self.watch.database.trouble(policy).is_some() => Holds::Yes,
                (None, _) => Holds::Recovering,
            },
            Basis::Window => match self.watch.state_of(&firing.trigger) {
                Some(State::Firing | State::Pending) => {
                    match self.evidence_freshness(&firing.trigger) {
                        Ok(_) => Holds::Yes,
                        Err(why) => Holds::Unknown(why),
                    }
                }
                Some(State::Recovering | State::Ok) => Holds::Recovering,
                Some(State::NoData) | None => Holds::Unknown("its window has no data".into()),
            },
            Basis::Alert { fingerprint, trigger, .. } => self.alert_holds(fingerprint, trigger),
        }
    }

    /// Whether a trigger still fires only because nobody comes: a window never clears on silence. It begins nothing
    /// and is held against nothing; the next requests tell.
    pub fn is_silent(&self, firing: &Firing) -> bool {
        firing.basis == Basis::Window
            && self.watch.is_idle(&firing.trigger)
            && matches!(self.still_holds_firing(firing), Holds::Unknown(_))
    }

    /// A lost resolve is normal: our own windows must agree, or Alertmanager must still have it active. CloudWatch is not asked.
    fn alert_holds(&self, fingerprint: &str, trigger: &Option<String>) -> Holds {
        let breaches =
            |name: &&str| matches!(self.watch.state_of(name), Some(State::Firing | State::Pending));
        let own = trigger.as_deref().filter(breaches);
        if own.is_some_and(|name| self.evidence_freshness(name).is_ok()) {
            return Holds::Yes;
        }
        match self.watch.alerts_seen.get(fingerprint) {
            Some(at) if self.now.wall.since(*at) <= Span::minutes(2) => Holds::Yes,
            Some(_) | None if Alert::is_of_cloudwatch(fingerprint) => Holds::Unknown(
                "no window of our own confirms the alarm, and CloudWatch is not asked whether it lasts".into(),
            ),
            Some(_) | None => Holds::Unknown(
                "neither our own windows nor Alertmanager, asked, confirm the alert".into(),
            ),
        }
    }

    /// How old the newest sample behind a trigger is, or why that is too old to act on. Nobody coming is told, too.
    pub fn freshness(&self, trigger: &str) -> Result<String, String> {
        self.fresh(trigger, self.watch.newest_sample(trigger))
    }

    /// The same of what a breach stands on: requests that stopped coming neither fail nor go well.
    pub fn evidence_freshness(&self, trigger: &str) -> Result<String, String> {
        self.fresh(trigger, self.watch.newest_judged(trigger))
    }

    fn fresh(&self, trigger: &str, newest: Option<(&str, UnixMs)>) -> Result<String, String> {
        if self.watch.is_unasked(trigger) {
            return Err("its source was not asked since the daemon started".into());
        }
        let Some((signal, newest)) = newest else {
            return Err("it has no sample".into());
        };
        if newest > self.now.wall + Span::minutes(2) {
            return Err(format!("its newest sample is of {}: a clock was set", newest.clock()));
        }
        let (age, bound) = (self.now.wall.since(newest), self.freshness_bound(signal));
        let note = format!("its newest sample is {} old", whole_seconds(age));
        if age <= bound { Ok(note) } else { Err(format!("{note}, more than {bound}")) }
    }

    fn freshness_bound(&self, signal: &str) -> Span {
        let poll = self.policy.signals.get(signal).map_or(Span::ZERO, |p| p.poll_every + p.lag);
        let guards = &self.policy.guards;
        (poll * i64::from(guards.freshness_polls)).max(guards.freshness_min)
    }

    /// What nobody can see now: a signal that tells nothing, or what is deployed. Nobody coming is seen.
    pub fn unseen(&self) -> Option<String> {
        if self.state.blind.contains_key(PLATFORM) {
            return Some("nobody can tell what is deployed".to_owned());
        }
        let stale = |(signal, newest, _): &(&str, Option<UnixMs>, Option<&str>)| {
            let bound = self.freshness_bound(signal);
            self.watch.is_signal_unasked(signal)
                || newest.is_none_or(|at| self.now.wall.since(at) > bound)
        };
        self.watch.signals().find(stale).map(|(signal, _, fault)| {
            format!("{signal} tells nothing: {}", fault.unwrap_or("it was not asked"))
        })
    }

    /// What a trigger looks at, when it is one of ours; by whatever name it fires.
    pub fn looks_at(&self, trigger: &str) -> Option<LooksAt> {
        self.policy.triggers.get(own_name(trigger)).map(|t| t.looks_at)
    }

    /// The wall-clock time of a moment on the steady clock, for people.
    pub fn wall_of(&self, steady: UnixMs) -> UnixMs {
        UnixMs(self.now.wall.0 + (steady.0 - self.now.steady.0))
    }
}

/// For people: `1.2 s` of age is `1s`, never `1s 234ms`.
pub fn whole_seconds(span: Span) -> Span {
    if span.ms() < 1000 { span } else { Span(span.ms() / 1000 * 1000) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{examples, service::Mode};

    #[test]
    fn people_read_whole_seconds_unless_there_are_none() {
        let read = |ms| whole_seconds(Span(ms)).to_string();
        assert_eq!([1_234, 1_000, 999, 61_500].map(read), ["1s", "1s", "999ms", "1m 1s"]);
    }

    /// A lost resolve is normal: who is not heard any more confirms nothing.
    #[test]
    fn an_alert_that_alertmanager_had_active_a_while_ago_is_unknown() {
        let policy = examples::service("shop/production", Mode::Auto);
        let state = ServiceState::new(policy.id.clone());
        let mut watch = ServiceWatch::new(&policy);
        let seen_at = UnixMs(1_000_000);
        watch.alerts_seen.insert("f".to_owned(), seen_at);
        let (fleet, fleet_policy) = (FleetView::default(), FleetPolicy::default());
        let holds = |after: Span| {
            let now = Now { wall: seen_at + after, steady: seen_at };
            let (policy, fleet_policy, state, watch, fleet) =
                (&policy, &fleet_policy, &state, &watch, &fleet);
            let s = Situation { policy, fleet_policy, state, watch, fleet, now, epoch: 1 };
            s.alert_holds("f", &None) == Holds::Yes
        };
        assert_eq!([holds(Span::minutes(2)), holds(Span::minutes(3))], [true, false]);
    }

    #[test]
    fn what_comes_late_is_fresh_for_as_much_longer() {
        let mut policy = examples::service("shop/production", Mode::Auto);
        let mut signals = (*policy.signals).clone();
        let slow = signals.get_mut("error_rate").unwrap();
        (slow.poll_every, slow.lag) = (Span::minutes(5), Span::minutes(2));
        policy.signals = signals.into();
        let (state, watch) = (ServiceState::new(policy.id.clone()), ServiceWatch::new(&policy));
        let (fleet, fleet_policy) = (FleetView::default(), FleetPolicy::default());
        let now = Now { wall: UnixMs(0), steady: UnixMs(0) };
        let (policy, fleet_policy, state, watch, fleet) =
            (&policy, &fleet_policy, &state, &watch, &fleet);
        let s = Situation { policy, fleet_policy, state, watch, fleet, now, epoch: 1 };
        let polls = i64::from(policy.guards.freshness_polls);
        assert_eq!(s.freshness_bound("error_rate"), Span::minutes(7) * polls);
    }
}
