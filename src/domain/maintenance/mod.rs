//! Maintenance mode that a rollback switched on, from then until it is seen to be off.
//!
//! Switching it on is a step of the plan. Switching it off is none: it is wanted from whatever moment the rollback does not need
//! it any more, however that ended, and tried until it is off. Where that does not come about, people are told what to type.

mod advance;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::advance::{advance, in_words, is_needed};
use super::{
    event::Now,
    plan::{Action, CommandLine, Step},
    run::{self, Order, Outcome, Report, Run},
    service::ServiceId,
};
use crate::units::{Span, UnixMs};

/// Between two attempts at switching it off: doubled each time, up to the longest.
const PAUSE: Span = Span::seconds(5);
const PAUSE_MAX: Span = Span::minutes(10);
/// How many attempts may fail before people are told.
const FAILS_MAX: u32 = 3;

/// One object that is there while maintenance mode is on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectAt {
    /// `v1`, or a group and its version.
    pub api_version: String,
    /// What it is: `Ingress`.
    pub kind: String,
    /// The same as a part of an address: `ingresses`.
    pub plural: String,
    /// Where it is.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl ObjectAt {
    /// The group of its kind; empty for the oldest ones.
    pub fn group(&self) -> &str {
        self.api_version.rsplit_once('/').map_or("", |(group, _)| group)
    }

    /// What a person types to be rid of it.
    pub fn delete(&self) -> String {
        let Self { plural, namespace, name, .. } = self;
        let group = self.group();
        let dot = if group.is_empty() { "" } else { "." };
        format!("kubectl delete {plural}{dot}{group} {name} -n {namespace}")
    }
}

impl fmt::Display for ObjectAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// Programs that switch it on and off, on the daemon's own machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commands {
    /// Switches it on.
    pub on: CommandLine,
    /// Switches it off.
    pub off: CommandLine,
    /// Exits 0 while it is on and 3 while it is off; everything else says nothing.
    pub observe: CommandLine,
}

/// What is made while it is on, or what is run for it, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaintenanceMode {
    /// Whose: by this the objects are known again.
    pub service: ServiceId,
    /// The cluster's name in the configuration; empty where programs are run.
    pub cluster: String,
    /// The hash of all that the objects hold; the same.
    pub manifest: String,
    /// In the order in which they are made; never empty unless programs are run.
    pub objects: Vec<ObjectAt>,
    /// What is run instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commands: Option<Box<Commands>>,
}

impl fmt::Display for MaintenanceMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(commands) = &self.commands {
            return write!(f, "by `{}`", commands.on.argv.join(" "));
        }
        let each: Vec<String> = self.objects.iter().map(ToString::to_string).collect();
        f.write_str(&each.join(", "))
    }
}

impl MaintenanceMode {
    fn on_in_words(&self) -> String {
        match &self.commands {
            Some(commands) => format!("run `{}`", commands.on.argv.join(" ")),
            None => format!("make {self}"),
        }
    }

    fn off_in_words(&self) -> String {
        match &self.commands {
            Some(commands) => format!("run `{}`", commands.off.argv.join(" ")),
            None => format!("delete {self}"),
        }
    }
}

/// Whether and how a service is put into maintenance mode for a rollback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaintenanceRunbook {
    /// What is made.
    pub mode: MaintenanceMode,
    /// How long one attempt at switching it on, or off, may take.
    pub timeout: Span,
    /// How often switching it on may be tried; at least 1.
    pub attempts: u32,
    /// Whether there is no rollback where it cannot be switched on.
    pub required: bool,
    /// People are paged when it has been on for so long.
    pub page_after: Span,
}

impl MaintenanceRunbook {
    /// The step that switches it on.
    pub fn step(&self) -> Step {
        let MaintenanceMode { cluster, objects, .. } = &self.mode;
        let need = |at: &ObjectAt| {
            let (plural, namespace) = (&at.plural, &at.namespace);
            format!("permission to get, create and delete {plural} in {namespace} of {cluster}")
        };
        let mut needs: Vec<String> = objects.iter().map(need).collect();
        needs.dedup();
        for line in self.mode.commands.iter().flat_map(|it| [&it.on, &it.off, &it.observe]) {
            needs.push(format!("the program {}", line.argv.first().map_or("", String::as_str)));
        }
        needs.dedup();
        Step {
            title: format!(
                "switch maintenance mode on: {}; switched off again however the rollback ends",
                self.mode.on_in_words()
            ),
            action: Action::MaintenanceOn {
                mode: self.mode.clone(),
                page_after: self.page_after,
                required: self.required,
            },
            needs,
            timeout: self.timeout,
            attempts: self.attempts.max(1),
            fallback: None,
        }
    }

    /// What a plan locks.
    pub fn resources(&self) -> impl Iterator<Item = String> {
        let cluster = &self.mode.cluster;
        let objects = self.mode.objects.iter().map(move |at| {
            format!("maintenance:{cluster}/{}/{}/{}", at.plural, at.namespace, at.name)
        });
        let commands = self.mode.commands.iter();
        objects.chain(commands.map(|it| format!("maintenance:{}", it.on.argv.join(" "))))
    }
}

/// What is now true of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "maintenance")]
pub enum Fact {
    /// An attempt at switching it off is about to begin; written before anything outside is touched.
    Begun {
        /// Which run switched it on.
        run: String,
        /// From 1.
        attempt: u32,
        /// The daemon's epoch.
        epoch: u64,
    },
    /// The attempt ended.
    Ended {
        /// Which run switched it on.
        run: String,
        /// From 1.
        attempt: u32,
        /// What the executor saw.
        report: Report,
        /// Whether people were told before that it stays on.
        was_told: bool,
    },
    /// It stays on although nothing needs it, or for too long: people must know.
    Stays {
        /// Which run switched it on.
        run: String,
        /// Why.
        why: String,
        /// Of which kind that is; earlier daemons did not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<Reason>,
    },
}

/// Why it stays on. Who has acknowledged one of these knows nothing of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It may not be switched off.
    Forbidden,
    /// It cannot be.
    Failed,
    /// It has been on for long.
    Long,
}

impl Fact {
    fn run(&self) -> &str {
        match self {
            Self::Begun { run, .. } | Self::Ended { run, .. } | Self::Stays { run, .. } => run,
        }
    }
}

/// Maintenance mode that is on, or may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct On {
    /// The incident in which it was switched on.
    pub incident: String,
    /// The run that did.
    pub run: String,
    /// As which step attempts at switching it off are told: the one after the plan's last.
    pub step: usize,
    /// What is there.
    pub mode: MaintenanceMode,
    /// How long one attempt may take.
    pub timeout: Span,
    /// People are paged when it has been on for so long.
    pub page_after: Span,
    /// Since when, on the steady clock.
    pub since: UnixMs,
    /// Whether anything may have been made: it is not so sure while the first attempt was not even begun.
    pub touched: bool,
    /// Attempts at switching it off.
    pub tries: u32,
    /// How many of them failed.
    pub fails: u32,
    /// The one under way: the daemon's epoch, and since when.
    pub begun: Option<(u64, UnixMs)>,
    /// The newest one that did not switch it off: when, why, and whether trying again can help.
    pub failed: Option<(UnixMs, String, bool)>,
    /// Why people were told that it stays on.
    pub told: Option<String>,
    /// Of which kind that was; none where an earlier run was meant, or an earlier daemon did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_of: Option<Reason>,
}

impl On {
    /// Before that nothing is tried again, on the steady clock.
    fn again_at(&self) -> UnixMs {
        let Some((at, ..)) = &self.failed else { return self.since };
        let doubled = PAUSE.ms() << self.tries.saturating_sub(1).min(10);
        *at + Span(doubled.min(PAUSE_MAX.ms()))
    }

    fn order(&self, epoch: u64) -> Option<Order> {
        let (begun, _) = self.begun?;
        Some(Order {
            run: self.run.clone(),
            step: self.step,
            attempt: self.tries,
            fallback: false,
            resumed: begun != epoch,
            what: Step {
                title: format!("switch maintenance mode off: {}", self.mode.off_in_words()),
                action: Action::MaintenanceOff { mode: self.mode.clone() },
                needs: vec![],
                timeout: self.timeout,
                attempts: u32::MAX,
                fallback: None,
            },
        })
    }
}

/// All that is on of one service: one, unless the configuration named another since.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Maintained(Vec<On>);

impl Maintained {
    /// Whether nothing is on.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each that is on, or may be.
    pub fn iter(&self) -> impl Iterator<Item = &On> {
        self.0.iter()
    }

    /// Whether people were told of one that is still on.
    pub fn is_told(&self) -> bool {
        self.0.iter().any(|on| on.told.is_some())
    }

    /// Whether an attempt at switching it off is under way: nothing else is begun meanwhile.
    pub fn is_going_off(&self) -> bool {
        self.0.iter().any(|on| on.begun.is_some())
    }

    /// The attempt that must be under way.
    pub fn wanted(&self, epoch: u64) -> Option<Order> {
        self.0.iter().find_map(|on| on.order(epoch))
    }

    /// What follows from an executor's report; nothing where it is of no attempt under way.
    pub fn on_report(&self, run: &str, step: usize, attempt: u32, report: &Report) -> Option<Fact> {
        let is_it = |on: &&On| on.run == run && on.step == step && on.tries == attempt;
        let on = self.0.iter().find(is_it).filter(|on| on.begun.is_some())?;
        let (report, was_told) = (report.clone(), on.told.is_some());
        Some(Fact::Ended { run: run.to_owned(), attempt, report, was_told })
    }

    /// Makes a fact so. Returns what is off since.
    pub fn evolve(&mut self, fact: &Fact, now: Now) -> Option<On> {
        let at = self.0.iter().position(|on| on.run == fact.run())?;
        let on = &mut self.0[at];
        match fact {
            Fact::Begun { attempt, epoch, .. } => {
                on.tries = *attempt;
                on.begun = Some((*epoch, now.steady));
            }
            Fact::Stays { why, of, .. } => (on.told, on.told_of) = (Some(why.clone()), *of),
            Fact::Ended { report, .. } => {
                on.begun = None;
                match &report.outcome {
                    Outcome::AlreadyDone | Outcome::Done => return Some(self.0.remove(at)),
                    Outcome::Failed { why, retry } => {
                        on.fails += 1;
                        on.failed = Some((now.steady, why.clone(), *retry));
                    }
                    Outcome::Unknown { why } => {
                        on.fails += 1;
                        on.failed = Some((now.steady, why.clone(), true));
                    }
                    Outcome::Withheld { why } => on.failed = Some((now.steady, why.clone(), true)),
                }
            }
        }
        None
    }

    /// Follows the rollback of an incident: from the intent to switch it on it may be on. Returns what of an earlier run is
    /// not off yet, and is this one's from now on.
    pub fn follow(&mut self, incident: &str, run: &Run, fact: &run::Fact, now: Now) -> Option<On> {
        let step = match fact {
            run::Fact::Begun { step, .. } | run::Fact::Ended { step, .. } => *step,
            run::Fact::Halted { .. } | run::Fact::Finished => return None,
        };
        let step = run.plan.steps.get(step)?;
        let Action::MaintenanceOn { mode, page_after, .. } = &step.action else { return None };
        let known = self.0.iter().position(|on| on.mode == *mode);
        match fact {
            run::Fact::Begun { .. } if known.is_some_and(|at| self.0[at].run == run.id) => {}
            run::Fact::Begun { .. } => {
                let earlier = known.map(|at| self.0.remove(at));
                self.0.push(On {
                    incident: incident.to_owned(),
                    run: run.id.clone(),
                    step: run.plan.steps.len(),
                    mode: mode.clone(),
                    timeout: step.timeout,
                    page_after: *page_after,
                    since: earlier.as_ref().map_or(now.steady, |earlier| earlier.since),
                    touched: earlier.is_some(),
                    tries: 0,
                    fails: 0,
                    begun: None,
                    failed: None,
                    // The page about it is still open, or was acknowledged for what it said.
                    told: earlier.as_ref().and_then(|earlier| earlier.told.clone()),
                    told_of: None,
                });
                return earlier;
            }
            run::Fact::Ended { report, resumed, .. } => {
                let at = known?;
                let untouched = matches!(report.outcome, Outcome::Withheld { .. }) && !resumed;
                if !untouched {
                    self.0[at].touched = true;
                } else if !self.0[at].touched {
                    self.0.remove(at);
                }
            }
            run::Fact::Halted { .. } | run::Fact::Finished => {}
        }
        None
    }
}

#[cfg(test)]
mod tests;
