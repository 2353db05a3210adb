//! Whether an automatic rollback stands on a change, and on enough: the numbers are judged by [`gate`], here they are
//! gathered, and what it says is put into words.

use super::{Incident, target};
use crate::{
    domain::{
        change::Change,
        firing::{Basis, Firing},
        gate::{self, OldRevision, Refusal},
        guard::{self, Guard, Says, Verdict},
        plan::Plan,
        policy::LooksAt,
        situation::{Situation, whole_seconds},
        watch::{Before, Counts, acknowledged},
    },
    units::UnixMs,
};

/// What was gathered, and why not to act on it.
pub(super) struct Grounds<'a> {
    s: &'a Situation<'a>,
    incident: &'a Incident,
    /// When the breach began that is to be acted upon.
    onset: UnixMs,
    /// The change that the breach is held against, if it can be its doing.
    pub(super) change: Option<&'a Change>,
    plan: Option<&'a Plan>,
    posted: bool,
    /// Whether what leads compares the revision of a change with those beside it: before the change there was nothing to
    /// compare, so that it cannot have fired then, however noisy the service is.
    compares: bool,
    before: Option<Before>,
    fired_before: u32,
    counts: Option<Counts>,
    /// How the old revision does beside the new, and that in words.
    old: Option<(OldRevision, String)>,
    refusals: Vec<Refusal>,
}

impl<'a> Grounds<'a> {
    /// Gathers the numbers, and has them judged.
    pub(super) fn of(
        s: &'a Situation<'a>,
        incident: &'a Incident,
        lead: Option<&'a Firing>,
        plan: Option<&'a Plan>,
    ) -> Self {
        let guards = &s.policy.guards;
        // The change that counts is the one known now: a post can come after the breach, and so can a fix.
        let onset = s.onset_of(incident);
        let behind = s.state.change_behind(onset, guards.max_change_age);
        let newest = behind.or(s.state.changes.last()).filter(|c| !c.is_rollback);
        let lead_of_ours =
            lead.filter(|f| !matches!(f.basis, Basis::Posted { .. } | Basis::Database));
        let compared = newest.zip(lead_of_ours);
        let before = compared.map(|(change, lead)| {
            s.watch.before(&lead.trigger, change.started_at, guards.burning_window)
        });
        let fired_before = compared.map_or(0, |(change, lead)| {
            let dealt_with = acknowledged(s.state);
            let window = guards.noisy_window;
            s.watch.fired_before(&lead.trigger, change.started_at, window, &dealt_with)
        });
        let by_window = lead.filter(|f| f.basis == Basis::Window);
        let counts = by_window.and_then(|f| s.watch.counts(&f.trigger));
        let looks_at = lead.and_then(|f| s.looks_at(&f.trigger));
        // Whether responses are slow, or probes are answered, the counts of failed requests do not tell.
        let by_errors = matches!(looks_at, Some(LooksAt::ErrorRate | LooksAt::NewAgainstOld));
        // What may be compared with a threshold only where there is one.
        let known = by_errors && matches!(before, Some(Before::Known { .. }));
        let of_change = |c: &Change| s.watch.old_revision(&c.to, s.now.wall);
        let old = newest.filter(|_| known).and_then(of_change);
        let mut grounds = Self {
            s,
            incident,
            onset,
            change: behind.filter(|c| !c.is_rollback),
            plan,
            posted: lead.is_some() && lead_of_ours.is_none(),
            before,
            fired_before,
            counts,
            old,
            compares: looks_at == Some(LooksAt::NewAgainstOld),
            refusals: vec![],
        };
        grounds.refusals = gate::refusals(&grounds.facts(newest), &grounds.limits());
        grounds
    }

    fn limits(&self) -> gate::Limits {
        let guards = &self.s.policy.guards;
        gate::Limits {
            max_change_age: guards.max_change_age,
            requests: guards.thin_requests,
            plain: crate::units::Percent(guards.thin_lower_bound),
            cooldown: guards.cooldown,
            ..gate::Limits::default()
        }
    }

    fn facts(&self, change: Option<&Change>) -> gate::Facts {
        let state = self.s.state;
        let automatic = || state.rollbacks.iter().filter(|r| r.automatic);
        let rolled_back = |c: &Change| {
            let quarantined = state.ledger.entry(c.component, &c.to);
            automatic().any(|r| r.change.as_ref() == Some(&c.id))
                || quarantined.is_some_and(|entry| entry.quarantine.is_some())
        };
        let (before, threshold) = match &self.before {
            Some(Before::Known { value, limit, .. }) => (Some(*value), *limit),
            // What was judged when the windows still knew it has not changed since: it is past.
            Some(Before::NoData { .. }) if self.judged_before().is_some() => (Some(0.0), 0.0),
            Some(Before::NoData { .. }) => (None, 0.0),
            None => (Some(0.0), 0.0),
        };
        gate::Facts {
            at: self.s.now.steady,
            onset: self.onset,
            change: change.map(|c| gate::Change {
                start: c.started_at,
                end: c.ended_at,
                rolled_back: rolled_back(c),
            }),
            before,
            threshold,
            fired_before: self.fired_before,
            old: self.old.as_ref().map(|(old, _)| *old),
            counted: self.counts.map(|c| gate::Counted { total: c.total, bound: c.lower_bound }),
            last_rollback: automatic().map(|r| r.at).max(),
        }
    }

    /// What the newest decision, of the same severity, found before the change.
    fn judged_before(&self) -> Option<&str> {
        let decision = self.incident.decision.as_ref()?;
        let same = decision.severity == self.incident.severity;
        let verdict = decision.guards.iter().find(|v| v.guard == Guard::AlreadyBurning)?;
        match &verdict.says {
            Says::Pass { note } if same => Some(note),
            Says::Pass { .. } | Says::Refuse { .. } | Says::NotApplicable { .. } => None,
        }
    }

    /// What one of the guards that stand on these numbers says.
    pub(super) fn verdict(&self, guard: Guard) -> Verdict {
        let refused = self.refusals.iter().find(|r| guard_of(r) == guard);
        match (refused, guard) {
            (Some(refusal), _) => Verdict::refuse(guard, self.why(refusal)),
            (None, Guard::NoChange) => self.change_in_words(),
            (None, Guard::AlreadyBurning | Guard::Noisy) if self.posted => {
                Verdict::not_applicable(guard, "posted evidence has no history")
            }
            (None, Guard::AlreadyBurning) => match &self.before {
                None => Verdict::not_applicable(guard, "there is no change to compare with"),
                Some(Before::Known { note, .. }) => Verdict::pass(guard, note.clone()),
                Some(Before::NoData { .. }) => {
                    Verdict::pass(guard, self.judged_before().unwrap_or_default())
                }
            },
            (None, Guard::Noisy) if self.compares => Verdict::not_applicable(
                guard,
                "it compares with what serves beside the change: before it there was nothing to compare",
            ),
            (None, Guard::Noisy) if self.before.is_none() => {
                Verdict::not_applicable(guard, "there is no change to compare with")
            }
            (None, Guard::Noisy) => {
                let window = self.s.policy.guards.noisy_window;
                Verdict::pass(guard, format!("it did not fire in the {window} before the change"))
            }
            (None, Guard::ThinEvidence) => match self.counts {
                Some(counts) => Verdict::pass(guard, counted(&counts)),
                None => Verdict::not_applicable(guard, "no requests were counted of a breach"),
            },
            (None, Guard::Loop) => self.budgets(),
            (None, Guard::OldRevisionEquallyBad) if let Some((_, note)) = &self.old => {
                Verdict::pass(guard, note.clone())
            }
            (None, _) => {
                Verdict::not_applicable(guard, "the old revision is not compared with the new")
            }
        }
    }

    fn change_in_words(&self) -> Verdict {
        let not_undone = |change| target::not_undone_by(self.s, change, self.plan);
        match self.change {
            Some(change) if let Some(why) = not_undone(change) => {
                Verdict::refuse(Guard::NoChange, why)
            }
            Some(change) => {
                let after = whole_seconds(self.onset.since(change.started_at));
                let note = format!("it began {after} after the change to {}", change.to);
                Verdict::pass(Guard::NoChange, note)
            }
            None => Verdict::refuse(Guard::NoChange, "no change of this service is known"),
        }
    }

    fn budgets(&self) -> Verdict {
        let (state, fleet) = (self.s.state, self.s.fleet);
        let of_service = self.s.policy.guards.service_budget_per_hour;
        let of_fleet = (fleet.rollbacks_in_the_hour, self.s.fleet_policy.budget_per_hour);
        match guard::spent(&state.rollbacks, of_service, of_fleet, self.s.now.steady) {
            Some(why) => Verdict::refuse(Guard::Loop, why),
            None => Verdict::pass(Guard::Loop, "not rolled back before, and budgets are not spent"),
        }
    }

    fn why(&self, refusal: &Refusal) -> String {
        let guards = &self.s.policy.guards;
        let last = self.s.state.changes.last();
        let to = || last.map_or_else(String::new, |c| c.to.to_string());
        match refusal {
            Refusal::NoDeploy => match last {
                Some(last) => format!("the last change, to {}, was itself a rollback", last.to),
                None => "no change of this service is known".to_owned(),
            },
            Refusal::OutsideWatchWindow { onset } => match last {
                Some(last) if *onset < last.started_at => {
                    let early = whole_seconds(last.started_at.since(*onset));
                    format!("it began {early} before the last change, to {}", last.to)
                }
                Some(last) => {
                    let late = whole_seconds(onset.since(last.settled_at()));
                    let to = &last.to;
                    format!(
                        "it began {late} after the last change, to {to}: too late to be its doing"
                    )
                }
                None => "no change of this service is known".to_owned(),
            },
            Refusal::AlreadyRolledBack => format!("{} was already rolled back once", to()),
            Refusal::NoPredeployData => match &self.before {
                Some(Before::NoData { why }) => {
                    format!("nothing is known from before the change: {why}")
                }
                Some(Before::Known { .. }) | None => {
                    "nothing is known from before the change".to_owned()
                }
            },
            Refusal::BreachPredatesDeploy { .. } => match &self.before {
                Some(Before::Known { note, .. }) => {
                    format!("the breach predates the change: {note}")
                }
                Some(Before::NoData { .. }) | None => "the breach predates the change".to_owned(),
            },
            Refusal::RuleNoisy { fired } => {
                let times = if *fired == 1 { "once".to_owned() } else { format!("{fired} times") };
                format!("it fired {times} in the {} before the change", guards.noisy_window)
            }
            Refusal::OldRevisionEquallyBad { .. } => "the old revision suffers alike".to_owned(),
            Refusal::ThinEvidence { .. } => {
                let numbers = self.counts.as_ref().map(counted).unwrap_or_default();
                format!("{numbers}: fewer than {} requests", guards.thin_requests)
            }
            Refusal::Cooldown { until } => {
                let ago = whole_seconds(self.s.now.steady.since(*until - guards.cooldown));
                format!("the last automatic rollback was {ago} ago, less than {}", guards.cooldown)
            }
        }
    }
}

fn counted(counts: &Counts) -> String {
    let percent = counts.lower_bound * 100.0;
    format!("{} of {} requests since onset, at least {percent:.1}%", counts.bad, counts.total)
}

fn guard_of(refusal: &Refusal) -> Guard {
    match refusal {
        Refusal::NoDeploy | Refusal::OutsideWatchWindow { .. } => Guard::NoChange,
        Refusal::AlreadyRolledBack | Refusal::Cooldown { .. } => Guard::Loop,
        Refusal::NoPredeployData | Refusal::BreachPredatesDeploy { .. } => Guard::AlreadyBurning,
        Refusal::RuleNoisy { .. } => Guard::Noisy,
        Refusal::OldRevisionEquallyBad { .. } => Guard::OldRevisionEquallyBad,
        Refusal::ThinEvidence { .. } => Guard::ThinEvidence,
    }
}
