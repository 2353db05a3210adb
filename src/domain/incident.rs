//! The life of one incident, from the first trigger to its closing.
//!
//! Nothing here waits, reads a clock or talks to anything. [`advance`] says what is now true, [`Incident::evolve`]
//! makes it so, and [`Incident::next_deadline`] says when to ask again. Recovery after a crash is `evolve` folded
//! over the journal, so a fact, once written, must keep its meaning across releases.

mod account;
pub mod advance;
mod after;
mod decision;
pub mod goes_on;
mod grounds;
pub mod judge;
mod owned;
mod phase;
pub mod pulled;
mod rds;
mod schema;
mod scope;
pub mod script;
pub mod speak;
pub mod target;
mod witness;

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

pub use self::{
    account::Account,
    decision::{Choice, Decision},
    goes_on::GoesOn,
    owned::Owned,
    phase::{Closing, Phase},
};
use super::{
    change::Change,
    escalation::Escalation,
    event::{Now, Said},
    plan::Plan,
    policy::ServicePolicy,
    run::{self, Run},
    severity::Severity,
    verification::Check,
};
use crate::units::{Span, UnixMs};

/// Lines kept of one incident's timeline; the first ones and the newest ones matter most, the middle makes room.
pub const TIMELINE_MAX: usize = 500;
/// When to look again at a deadline that passed without effect; samples come sooner.
const LOOK_AGAIN: Span = Span::seconds(5);
/// How long what only asks or tells waits while something worse is about to fire.
const WORSE_WAIT: Span = Span::minutes(1);

/// What an incident's clocks run for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// The rollback is under way.
    Acted,
    /// What fired has begun to recover since the restored revision serves.
    Helped,
    /// The rollback is verified.
    Verified,
}

/// What is now true of an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "incident")]
pub enum Fact {
    /// A trigger fired for a service that had no incident.
    Opened {
        /// Its name, unique.
        id: String,
        /// By what the trigger says.
        severity: Severity,
        /// Which trigger.
        trigger: String,
        /// When the breach began, by its source's time.
        onset: UnixMs,
        /// The change that may have done it.
        change: Option<Change>,
    },
    /// Another trigger fired.
    Joined {
        /// Which.
        trigger: String,
        /// By what it says alone.
        severity: Severity,
    },
    /// It is worse than it was. Only a person lowers a severity.
    Raised {
        /// To this.
        to: Severity,
        /// Why.
        because: String,
        /// When the breach began that made it worse, by its source's time.
        #[serde(default)]
        onset: Option<UnixMs>,
        /// The change that may have done that breach.
        #[serde(default)]
        change: Option<Change>,
    },
    /// It was decided what to do.
    Decided(Box<Decision>),
    /// How the checklist stood when the verification ended.
    Checked {
        /// Every check.
        checks: Vec<Check>,
    },
    /// The plan offered to people is another one now.
    Offered {
        /// The plan.
        plan: Arc<Plan>,
    },
    /// It goes on.
    Entered(Phase),
    /// A plan is carried out.
    Planned {
        /// The run's name.
        run: String,
        /// What is carried out.
        plan: Arc<Plan>,
        /// The person who wanted it; the daemon itself when absent.
        by: Option<String>,
    },
    /// A step of the rollback takes long, and goes on.
    GoesOn {
        /// Which.
        step: usize,
        /// How far it is, in its own words; empty where it does not say.
        said: String,
    },
    /// A person spoke.
    Said {
        /// Who.
        by: String,
        /// What.
        said: Said,
    },
    /// A deadline passed.
    Late(Clock),
    /// A trigger fires that was clear, while people own it.
    Relapsed {
        /// Which.
        trigger: String,
    },
    /// The watch after the rollback is over, and nobody can see whether all is well.
    Unseen {
        /// What tells nothing.
        why: String,
    },
    /// A page that nobody acknowledged is due again, or people are reminded of what they own.
    Reminded,
}

/// What stands between who asked for a rollback and why, in the name of what it is for.
const ASKED: &str = " asked: ";

/// What an incident is called after that a person opened.
fn asked(by: &str, reason: &str) -> String {
    format!("{by}{ASKED}{reason}")
}

/// One incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Its name, unique.
    pub id: String,
    /// How bad it is; only rises by itself.
    pub severity: Severity,
    /// Where it is.
    pub phase: Phase,
    /// When the first breach began, by its source's time.
    pub onset: UnixMs,
    /// When the breach began that made it worse than it was at first: what is acted upon.
    #[serde(default)]
    pub raised_onset: Option<UnixMs>,
    /// When the first trigger fired, on both clocks.
    pub fired: Now,
    /// When it came to be as severe as it is: both deadlines run from then.
    pub rose: Now,
    /// The change that may have done it.
    pub change: Option<Change>,
    /// The triggers that take part, with their severity.
    pub triggers: BTreeMap<String, Severity>,
    /// The newest decision.
    pub decision: Option<Decision>,
    /// The plan offered to people.
    pub offered: Option<Arc<Plan>>,
    /// The rollback, once there is one.
    pub run: Option<Run>,
    /// What was told last of a step that takes long.
    #[serde(default)]
    pub goes_on: Option<GoesOn>,
    /// Who started the rollback; the daemon when absent.
    pub started_by: Option<String>,
    /// Whether an earlier revision was restored, by us or by hand: then clear triggers alone do not end it.
    #[serde(default)]
    pub restored: bool,
    /// When the rollback was verified, on the steady clock.
    pub verified_at: Option<UnixMs>,
    /// When it closed.
    pub closed_at: Option<Now>,
    /// What told nothing when its watch was over; it closes once everything tells.
    #[serde(default)]
    pub unseen: Option<String>,
    /// What people were told who own it.
    #[serde(default)]
    pub owned: Option<Owned>,
    /// Which deadlines passed.
    pub late: Vec<Clock>,
    /// Whether people have seen it.
    pub escalation: Escalation,
    /// Whether a person ever said that they have seen it.
    #[serde(default)]
    pub acknowledged: bool,
    /// What is remembered for the report.
    #[serde(default)]
    pub account: Account,
    /// What happened, for people: wall-clock time and a sentence.
    pub timeline: Vec<(UnixMs, String)>,
}

impl Incident {
    /// What a person asked for, where that opened it: no trigger of ours that could fire or clear.
    pub fn asked_for(&self) -> Option<&str> {
        self.triggers.keys().find(|name| name.contains(ASKED)).map(String::as_str)
    }

    /// A new incident from the fact that opened it.
    pub fn opened(fact: &Fact, now: Now) -> Option<Self> {
        let Fact::Opened { id, severity, trigger, onset, change } = fact else { return None };
        Some(Self::new(id.clone(), trigger, *severity, *onset, change.clone(), now))
    }

    /// An incident in which nothing was decided yet.
    pub fn new(
        id: String,
        trigger: &str,
        severity: Severity,
        onset: UnixMs,
        change: Option<Change>,
        now: Now,
    ) -> Self {
        Self {
            id,
            severity,
            phase: Phase::Assessing,
            onset,
            raised_onset: None,
            fired: now,
            rose: now,
            change,
            triggers: BTreeMap::from([(trigger.to_owned(), severity)]),
            decision: None,
            offered: None,
            run: None,
            goes_on: None,
            started_by: None,
            restored: false,
            verified_at: None,
            closed_at: None,
            unseen: None,
            owned: None,
            late: vec![],
            escalation: Escalation::default(),
            acknowledged: false,
            account: Account::default(),
            timeline: vec![],
        }
    }

    /// Makes a fact so.
    pub fn evolve(&mut self, fact: &Fact, now: Now) {
        match fact {
            Fact::Opened { .. } => {}
            Fact::Joined { trigger, severity } => {
                self.triggers.insert(trigger.clone(), *severity);
            }
            Fact::Raised { to, onset, change, .. } => {
                self.severity = *to;
                // Once it was acted upon both clocks run on, and it is still the rollback of that change.
                if self.is_before_action() {
                    self.rose = now;
                    self.late.clear();
                    self.phase = Phase::Assessing;
                    if onset.is_some() {
                        self.raised_onset = *onset;
                        self.change.clone_from(change);
                    }
                }
                self.tell_owners(now);
            }
            Fact::Checked { checks } => self.account.checks.clone_from(checks),
            Fact::Decided(decision) => {
                self.account.decided(now.wall, decision);
                self.offered = decision.plan.clone();
                self.decision = Some((**decision).clone());
            }
            Fact::Offered { plan } => self.offered = Some(Arc::clone(plan)),
            Fact::Entered(phase) => {
                self.restored |= matches!(phase, Phase::Verifying { .. });
                if matches!(phase, Phase::Watching { .. }) {
                    self.verified_at = Some(now.steady);
                    // Nobody need get up for what is over: the pages before it are answered.
                    self.escalation.over();
                }
                if matches!(phase, Phase::Closed { .. }) {
                    self.closed_at = Some(now);
                }
                self.owned = matches!(phase, Phase::Escalated { .. }).then(|| Owned::from(now));
                self.phase = phase.clone();
            }
            Fact::Planned { run, plan, by } => {
                self.phase = Phase::RollingBack;
                self.owned = None;
                self.late.retain(|clock| *clock == Clock::Acted);
                self.unseen = None;
                self.run = Some(Run::new(run.clone(), Arc::clone(plan)));
                self.started_by.clone_from(by);
                self.goes_on = None;
            }
            Fact::GoesOn { step, said } => {
                self.goes_on = Some(GoesOn { step: *step, said: said.clone(), at: now.steady });
            }
            Fact::Said { by, said } => {
                if !matches!(said, Said::Hold { .. } | Said::Unhold | Said::Lift { .. }) {
                    self.escalation.acknowledged(by);
                    self.acknowledged = true;
                }
            }
            Fact::Late(clock) => self.late.push(*clock),
            Fact::Relapsed { .. } => self.tell_owners(now),
            Fact::Unseen { why } => self.unseen = Some(why.clone()),
            Fact::Reminded => {
                if let Some(owned) = &mut self.owned {
                    owned.reminded_at = now.steady;
                }
            }
        }
    }

    fn tell_owners(&mut self, now: Now) {
        if let Some(owned) = &mut self.owned {
            owned.told_until = now.wall;
        }
    }

    /// Makes a fact of its run so.
    pub fn evolve_run(&mut self, fact: &run::Fact, now: Now) {
        if let Some(run) = &mut self.run {
            self.account.maintenance_began(run, fact, now.wall);
            run.evolve(fact, now.steady);
        }
    }

    /// When the breach began that it is as severe as it is for. A mild one may have gone on for days before.
    pub fn acute_onset(&self) -> UnixMs {
        self.raised_onset.unwrap_or(self.onset)
    }

    /// Writes down a sentence of what happened.
    pub fn note(&mut self, at: UnixMs, line: String) {
        if self.timeline.len() >= TIMELINE_MAX {
            self.timeline.remove(TIMELINE_MAX / 2);
        }
        self.timeline.push((at, line));
    }

    /// Whether no plan was begun yet and none is to be verified.
    pub fn is_before_action(&self) -> bool {
        match self.phase {
            Phase::Assessing
            | Phase::Gathering { .. }
            | Phase::Monitoring { .. }
            | Phase::Deciding
            | Phase::Scheduled => true,
            Phase::RollingBack
            | Phase::Verifying { .. }
            | Phase::Watching { .. }
            | Phase::Escalated { .. }
            | Phase::Closed { .. } => false,
        }
    }

    /// By when the action must have started, on the steady clock.
    pub fn act_by(&self, policy: &ServicePolicy) -> Option<UnixMs> {
        policy.matrix.row(self.severity).act_within.map(|within| self.rose.steady + within)
    }

    /// By when the rollback must be verified, on the steady clock: what the matrix says, but never sooner than the plan
    /// itself estimates from its beginning. Monitoring, or a late yes, must not make every rollback late.
    pub fn verify_by(&self, policy: &ServicePolicy) -> UnixMs {
        let by_matrix = self.rose.steady + policy.matrix.row(self.severity).verify_within;
        let begun = self.run.as_ref().and_then(|r| Some((r.started_at()?, r.plan.estimate)));
        let by_hand = self.phase.verifying_since().map(|at| (at, policy.verification.hold * 2));
        begun.or(by_hand).map_or(by_matrix, |(at, estimate)| by_matrix.max(at + estimate))
    }

    /// When a verification that does not succeed is given up: one more hold than it needs.
    pub fn verification_ends(&self, since: UnixMs, policy: &ServicePolicy) -> UnixMs {
        (since + policy.verification.hold * 2).max(self.verify_by(policy))
    }

    /// When to look again even if nothing happens, and what for. What has passed without effect (a monitoring period
    /// that ended while the service recovers) is looked at again after a while, not in a loop.
    pub fn next_deadline(
        &self,
        policy: &ServicePolicy,
        steady: UnixMs,
    ) -> Option<(UnixMs, &'static str)> {
        let again = |(at, why)| if at <= steady { (steady + LOOK_AGAIN, why) } else { (at, why) };
        self.deadlines(policy).into_iter().map(again).min()
    }

    fn deadlines(&self, policy: &ServicePolicy) -> Vec<(UnixMs, &'static str)> {
        let repeat = self.escalation.due(policy.people.repeat_page_every);
        let mut due: Vec<(UnixMs, &'static str)> =
            repeat.into_iter().map(|at| (at, "nobody acknowledged the page")).collect();
        let act = || {
            self.act_by(policy)
                .filter(|_| !self.late.contains(&Clock::Acted))
                .map(|at| (at, "the action's deadline"))
        };
        match &self.phase {
            Phase::Assessing => due.push((self.rose.steady + WORSE_WAIT, "something worse")),
            Phase::Gathering { until } => {
                due.push((*until, "enough time for company"));
                due.extend(act());
            }
            Phase::Monitoring { until } => {
                due.push((*until, "the monitoring period ends"));
                due.extend(act());
            }
            Phase::Deciding => due.extend(act()),
            Phase::Verifying { since, .. } => {
                due.push((*since + policy.verification.hold, "the verification's hold ends"));
                due.push((self.verification_ends(*since, policy), "the verification is given up"));
                if !self.late.contains(&Clock::Verified) {
                    due.push((self.verify_by(policy), "the verification's deadline"));
                }
            }
            Phase::RollingBack => {
                let pause = self.run.as_ref().and_then(Run::paused_until);
                due.extend(pause.map(|at| (at, "a withheld step may be tried again")));
                if !self.late.contains(&Clock::Verified) {
                    due.push((self.verify_by(policy), "the verification's deadline"));
                }
            }
            Phase::Watching { until } => due.push((*until, "the watch after the rollback ends")),
            Phase::Escalated { .. } => {
                let own = self.owned.as_ref().map(Owned::remind_at);
                due.extend(own.map(|at| (at, "people are reminded of what they own")));
            }
            Phase::Scheduled | Phase::Closed { .. } => {}
        }
        due
    }

    /// How long it has been open, or was.
    pub fn age(&self, now: Now) -> Span {
        self.closed_at.unwrap_or(now).steady.since(self.fired.steady)
    }
}

#[cfg(test)]
mod tests;
