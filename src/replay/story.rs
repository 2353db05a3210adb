//! What follows from the facts of one replay: what fired when, what was decided, and what a guard refused.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    domain::{
        fact::Fact,
        firing,
        guard::Guard,
        incident::{self, Choice, Phase},
        notice::{Audience, Kind, Urgency},
        policy::Response,
        service::ServiceId,
        severity::Severity,
    },
    units::{Span, UnixMs},
};

/// A trigger that would have fired.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fired {
    /// Which.
    pub trigger: String,
    /// How bad.
    pub severity: Severity,
    /// When the breach began.
    pub onset: UnixMs,
    /// When it fired.
    pub at: UnixMs,
    /// When it cleared.
    pub cleared: Option<UnixMs>,
    /// The numbers that it fired with, for people.
    pub says: String,
    /// What the value was compared with, in the trigger's unit.
    pub threshold: Option<f64>,
}

/// A decision about an incident.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decided {
    /// When.
    pub at: UnixMs,
    /// Of what severity it was.
    pub severity: Severity,
    /// What was decided, in words.
    pub verdict: String,
    /// Guards that refused, with their reasons; the mode is not among them, for nobody acts in a replay.
    pub refused: Vec<(Guard, String)>,
    /// What would have been rolled back, from which version to which, where nothing but the mode refused.
    pub rollback: Option<String>,
}

/// An incident that would have been opened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Incident {
    /// What the daemon would have called it.
    pub id: String,
    /// The trigger that opened it.
    pub trigger: String,
    /// When the breach began.
    pub onset: UnixMs,
    /// When it was opened.
    pub opened: UnixMs,
    /// How severe it was, and from when on.
    pub severities: Vec<(UnixMs, Severity)>,
    /// Every decision.
    pub decisions: Vec<Decided>,
    /// When somebody was first paged.
    pub paged: Option<UnixMs>,
    /// When and how it closed; `None` where the recording ends before.
    pub closed: Option<(UnixMs, String)>,
}

impl Incident {
    /// The worst that it was.
    pub fn worst(&self) -> Option<Severity> {
        self.severities.iter().map(|(_, severity)| *severity).min()
    }

    /// The first decision after which something would have been rolled back.
    pub fn rollback(&self) -> Option<&Decided> {
        self.decisions.iter().find(|decided| decided.rollback.is_some())
    }
}

/// What would have happened to one service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Story {
    /// Which service.
    pub service: ServiceId,
    /// The first poll.
    pub from: UnixMs,
    /// The last one.
    pub until: UnixMs,
    /// What fired, in order.
    pub fired: Vec<Fired>,
    /// Incidents, in order.
    pub incidents: Vec<Incident>,
    /// Readings that were dropped or mended, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Signals that told nothing for so long that somebody would have been paged.
    pub blind: Vec<(UnixMs, String)>,
    /// From when to when it counted for a storm.
    #[serde(skip)]
    pub(super) alarms: Vec<(UnixMs, UnixMs)>,
}

impl Story {
    /// A story in which nothing has happened yet.
    pub(super) fn new(service: ServiceId, from: UnixMs, until: UnixMs) -> Self {
        let (fired, incidents, blind, alarms) = (vec![], vec![], vec![], vec![]);
        Self { service, from, until, fired, incidents, dropped: BTreeMap::new(), blind, alarms }
    }

    /// Its triggers fire, or are about to: it counts for a storm for so long.
    pub(super) fn alarm(&mut self, at: UnixMs, counts_for: Span) {
        let until = at + counts_for;
        match self.alarms.last_mut().filter(|(_, before)| *before >= at) {
            Some((_, before)) => *before = until,
            None => self.alarms.push((at, until)),
        }
    }

    /// How long was recorded.
    pub fn span(&self) -> Span {
        self.until.since(self.from)
    }

    /// What became true at `at`.
    pub(super) fn tell(&mut self, fact: &Fact, at: UnixMs) {
        // Another service's record began earlier: that nothing was heard of this one then says nothing about it.
        if at < self.from {
            return;
        }
        match fact {
            Fact::Trigger(fact) => self.trigger(fact, at),
            Fact::Incident(fact) => self.incident(fact, at),
            Fact::Told(notice) => {
                let pages = notice.urgency == Urgency::Page
                    && notice.audience == Audience::OnCall
                    && notice.kind != Kind::Reminder;
                let open = self.incidents.last_mut().filter(|i| i.closed.is_none());
                if let (true, Some(incident)) = (pages && notice.incident.is_some(), open) {
                    incident.paged.get_or_insert(at);
                }
            }
            Fact::Service(_)
            | Fact::Ledger(_)
            | Fact::Run(_)
            | Fact::Maintenance(_)
            | Fact::Fleet(_) => {}
        }
    }

    fn trigger(&mut self, fact: &firing::Fact, at: UnixMs) {
        match fact {
            firing::Fact::Fired(firing) => {
                let known = self.fired.iter_mut().rev().find(|f| f.trigger == firing.trigger);
                // Fired worse than before: the same firing.
                if let Some(known) = known.filter(|f| f.cleared.is_none()) {
                    known.severity = known.severity.worse(firing.severity);
                    return;
                }
                self.fired.push(Fired {
                    trigger: firing.trigger.clone(),
                    severity: firing.severity,
                    onset: firing.onset,
                    at,
                    cleared: None,
                    says: firing.says.clone(),
                    threshold: firing.evidence.as_ref().and_then(|evidence| evidence.threshold),
                });
            }
            firing::Fact::Cleared { trigger, .. } => {
                let known = self.fired.iter_mut().rev().find(|f| f.trigger == *trigger);
                if let Some(known) = known {
                    known.cleared.get_or_insert(at);
                }
            }
            firing::Fact::Blind { signal, why, .. } => {
                self.blind.push((at, format!("{signal}: {why}")));
            }
            firing::Fact::Sighted { .. } => {}
        }
    }

    fn incident(&mut self, fact: &incident::Fact, at: UnixMs) {
        if let incident::Fact::Opened { id, severity, trigger, onset, .. } = fact {
            self.incidents.push(Incident {
                id: id.clone(),
                trigger: trigger.clone(),
                onset: *onset,
                opened: at,
                severities: vec![(at, *severity)],
                decisions: vec![],
                paged: None,
                closed: None,
            });
        }
        let Some(incident) = self.incidents.last_mut().filter(|i| i.closed.is_none()) else {
            return;
        };
        match fact {
            incident::Fact::Raised { to, .. } => incident.severities.push((at, *to)),
            incident::Fact::Decided(decision) => incident.decisions.push(decided(decision, at)),
            incident::Fact::Entered(Phase::Closed { outcome }) => {
                incident.closed = Some((at, outcome.to_string()));
            }
            incident::Fact::Opened { .. }
            | incident::Fact::Joined { .. }
            | incident::Fact::Checked { .. }
            | incident::Fact::Offered { .. }
            | incident::Fact::Entered(_)
            | incident::Fact::Planned { .. }
            | incident::Fact::GoesOn { .. }
            | incident::Fact::Said { .. }
            | incident::Fact::Late(_)
            | incident::Fact::Relapsed { .. }
            | incident::Fact::Unseen { .. }
            | incident::Fact::Reminded => {}
        }
    }
}

fn decided(decision: &incident::Decision, at: UnixMs) -> Decided {
    let refusing = decision.refusing().filter(|verdict| verdict.guard != Guard::Mode);
    let refused: Vec<_> = refusing
        .map(|verdict| (verdict.guard, verdict.refusal().unwrap_or_default().to_owned()))
        .collect();
    let acts = matches!(decision.row.response, Response::RollBack | Response::MonitorThenRollBack);
    let waits = matches!(
        decision.verdict,
        Choice::GatherUntil { .. } | Choice::MonitorUntil { .. } | Choice::Tell
    );
    let plan = decision.plan.as_ref().filter(|_| acts && !waits && refused.is_empty());
    Decided {
        at,
        severity: decision.severity,
        verdict: decision.verdict.to_string(),
        refused,
        rollback: plan.map(|plan| plan.summary()),
    }
}
