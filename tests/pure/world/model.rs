//! What must be true outside, in the words of the design: who was told what, what serves, how often it was changed.
//!
//! It knows the truth that the daemon can only guess, and nothing of how the daemon decides. Each check names its invariant:
//!
//! * I1, I2, I4, I6, I7, I9, I11, I13, I14, I15, I16: `deeds.rs`, at each plan and each change that is made outside.
//! * I3: `deeds.rs`, at each plan and each end. I5, I8: `owed.rs`, after each turn and at the end.
//! * I9: `owed.rs`, after each turn and at the end.
//! * I10, I12: `memory.rs`, after each turn and at the end.

mod deeds;
mod memory;
mod owed;

use std::collections::{BTreeMap, BTreeSet};

use rollbackd::domain::{
    change::Component,
    event::{Event, Said},
    fact::{self, Fact},
    firing,
    guard::Guard,
    incident::{self, Clock, Closing, Phase},
    ledger, maintenance,
    plan::Step,
    policy::Policy,
    schema::script::{ScriptRun, Trial},
    service::{Mode, ServiceId},
    severity::Severity,
};

use super::{operator, readings::Sources, site::Site};

/// The truth at one moment.
pub(crate) struct Look<'a> {
    pub(crate) at: i64,
    pub(crate) sites: &'a [Site],
    pub(crate) sources: &'a [Sources],
    pub(crate) policy: &'a Policy,
}

/// An incident that the daemon told of.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) severity: Severity,
    pub(super) opened: i64,
    /// Since when it is as severe.
    pub(super) rose: i64,
    /// Nothing was done about it yet.
    pub(super) waits: bool,
    pub(super) late: bool,
    /// People were asked, or it was acted upon, since it is as severe.
    pub(super) decided: bool,
    /// It rests on what somebody told, too.
    pub(super) hearsay: bool,
    /// It rests on probes alone.
    pub(super) probed: bool,
}

impl Open {
    fn new(severity: Severity, at: i64, trigger: &str) -> Self {
        let (waits, late, decided) = (true, false, false);
        let (hearsay, probed) = (is_hearsay(trigger), is_probed(trigger));
        Self { severity, opened: at, rose: at, waits, late, decided, hearsay, probed }
    }
}

fn is_hearsay(trigger: &str) -> bool {
    trigger.starts_with("alert:") || trigger.contains("corruption") || trigger.contains("asked")
}

fn is_probed(trigger: &str) -> bool {
    trigger == "service-outage" || trigger == "failed-health-checks"
}

/// A plan under way.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) run: String,
    pub(super) resources: BTreeSet<String>,
    pub(super) to: String,
    pub(super) steps: Vec<Step>,
    pub(super) since: i64,
    /// Whether the daemon decided it.
    pub(super) own: bool,
    /// Whether the schema goes back with it.
    pub(super) moves_schema: bool,
}

/// What is known of one service.
#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) index: usize,
    pub(super) mode: Mode,
    /// What runs, and since when it is really well.
    pub(super) runs: Option<String>,
    pub(super) well_since: Option<i64>,
    /// Everything that ran well for the bake time.
    pub(super) earned: BTreeSet<String>,
    pub(super) quarantined: BTreeSet<String>,
    /// Which version of its secret it was given; and every one with which all was well for the bake time.
    pub(super) given: Option<String>,
    pub(super) earned_by_secrets: BTreeSet<String>,
    pub(super) hurt_at: i64,
    /// When a counter may last have begun anew where nobody could tell.
    pub(super) disorderly_at: i64,
    /// When no probe got through, whatever the service did.
    pub(super) unreachable_at: i64,
    /// Since when it hurts badly; and the same while everybody can see it.
    pub(super) worst_since: Option<i64>,
    pub(super) was_up: bool,
    pub(super) bad_since: Option<i64>,
    pub(super) changed_at: i64,
    /// A person said that it is nothing; they know of it until it is over.
    pub(super) dismissed: bool,
    pub(super) paged_at: i64,
    pub(super) drained_at: Option<i64>,
    /// Since when maintenance mode is really on; and when people were told that it stays.
    pub(super) maintained_at: Option<i64>,
    pub(super) maintenance_paged_at: i64,
    /// When its last rollback ended, in whatever way.
    pub(super) ended_at: i64,
    pub(super) held: bool,
    pub(super) open: Option<Open>,
    pub(super) running: Option<Running>,
    /// By the daemon's own time.
    pub(super) rolled_back_at: Option<i64>,
    /// What people asked for: who says nothing has nothing done in their name.
    pub(super) asked: u32,
    /// Plans that a person named by their hash.
    pub(super) named: BTreeSet<String>,
    /// Scripts that were tried, each with the hash of what it changed.
    pub(super) tried: Vec<(ScriptRun, String)>,
    /// A page that this turn owes.
    pub(super) owed: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Model {
    pub(super) services: BTreeMap<ServiceId, Service>,
    pub(crate) violation: Option<String>,
    pub(super) memory: memory::Memory,
    pub(super) kill_switch: bool,
    /// Attempts that are in the journal.
    pub(super) begun: BTreeSet<(String, usize, u32)>,
    /// The same of switching maintenance mode off.
    pub(super) begun_off: BTreeSet<(String, u32)>,
    pub(super) deeds: BTreeMap<(String, usize, String), (u32, i64)>,
    pub(super) pages: BTreeMap<String, String>,
    pub(super) received: BTreeSet<String>,
    /// Since when the daemon runs and can write.
    pub(super) able_since: Option<i64>,
    /// When something was last written: that the daemon lived on nobody knows who reads it.
    pub(super) written_at: i64,
    /// For how long a clock that is set hid that time passed.
    pub(super) unwritten_ms: i64,
    /// By how much clocks that were set forward while the daemon was down were taken for a longer time down.
    pub(super) ahead_ms: i64,
    pub(super) down: bool,
    pub(super) stepped_at: Option<i64>,
    pub(super) reloaded_at: i64,
}

impl Clone for Model {
    /// What the shadow remembers is folded anew in each world.
    fn clone(&self) -> Self {
        Self {
            services: self.services.clone(),
            violation: self.violation.clone(),
            memory: memory::Memory::default(),
            begun: self.begun.clone(),
            begun_off: self.begun_off.clone(),
            deeds: self.deeds.clone(),
            pages: self.pages.clone(),
            received: self.received.clone(),
            ..*self
        }
    }
}

impl Model {
    pub(crate) fn new(policy: &Policy, at: i64) -> Self {
        let ids = (0..policy.services.len()).map(operator::id);
        let service = |(index, id): (usize, ServiceId)| {
            let mode = policy.services[&id].mode;
            (id, Service::new(index, mode, at))
        };
        Self {
            services: ids.enumerate().map(service).collect(),
            violation: None,
            memory: memory::Memory::default(),
            kill_switch: false,
            begun: BTreeSet::new(),
            begun_off: BTreeSet::new(),
            deeds: BTreeMap::new(),
            pages: BTreeMap::new(),
            received: BTreeSet::new(),
            able_since: None,
            written_at: at,
            unwritten_ms: 0,
            ahead_ms: 0,
            down: false,
            stepped_at: None,
            reloaded_at: at,
        }
    }

    /// The first thing that is wrong is what is told.
    pub(crate) fn violated(&mut self, invariant: &str, at: i64, how: String) {
        let at = at as f64 / 60_000.0;
        self.violation.get_or_insert(format!("{invariant} at minute {at:.2}: {how}"));
    }

    pub(crate) fn up(&mut self, at: i64) {
        self.able_since = Some(at);
        if std::mem::take(&mut self.down) {
            self.unwritten_ms += at - self.written_at;
        }
    }

    pub(crate) fn down(&mut self) {
        self.able_since = None;
        self.down = true;
        self.services.values_mut().for_each(|s| s.owed = None);
    }

    pub(crate) fn writable(&mut self, at: i64) {
        self.able_since.get_or_insert(at);
    }

    pub(crate) fn unwritable(&mut self) {
        self.able_since = None;
        self.services.values_mut().for_each(|s| s.owed = None);
    }

    pub(crate) fn clock_stepped(&mut self, at: i64, by: i64) {
        self.stepped_at = Some(at);
        if self.down {
            self.ahead_ms += by.max(0);
        }
    }

    pub(crate) fn adopted(&mut self, policy: &Policy, at: i64) {
        self.reloaded_at = at;
        self.memory.adopted(policy);
        for (id, service) in &mut self.services {
            service.mode = policy.services[id].mode;
        }
    }

    pub(crate) fn spoke(&mut self, id: &ServiceId, said: &Said) {
        if let (Some(service), Said::Approve { .. } | Said::RollBack { .. }) =
            (self.services.get_mut(id), said)
        {
            service.asked += 1;
            service.named.extend(match said {
                Said::Approve { plan } => Some(plan.clone()),
                Said::RollBack { plan, .. } => plan.clone(),
                _ => None,
            });
        }
    }

    /// A script was run and taken back, and the daemon was told what it changes.
    pub(crate) fn tried(&mut self, id: &ServiceId, trial: &Trial) {
        if let (Some(service), Ok(changes)) = (self.services.get_mut(id), &trial.came) {
            service.tried.push((trial.of.clone(), changes.sha256.clone()));
        }
    }

    /// A person was told yes.
    pub(crate) fn heeded(&mut self, id: &ServiceId, said: &Said) {
        let Some(service) = self.services.get_mut(id) else { return };
        match said {
            Said::Lift { version } => drop(service.quarantined.remove(version)),
            Said::Acknowledge
            | Said::Hold { .. }
            | Said::Unhold
            | Said::Approve { .. }
            | Said::Reject { .. }
            | Said::Dismiss { .. }
            | Said::RollBack { .. } => {}
        }
    }

    /// What the daemon wrote down.
    pub(crate) fn fact(
        &mut self,
        id: Option<&ServiceId>,
        fact: &Fact,
        event: &Event,
        look: &Look<'_>,
    ) {
        self.written_at = look.at;
        match fact {
            Fact::Told(notice) => self.told(notice, look.at),
            Fact::Fleet(fact::Fleet::KillSwitch { reason }) => self.kill_switch = reason.is_some(),
            _ => {}
        }
        let Some(id) = id else { return };
        match fact {
            Fact::Incident(fact) => {
                self.check_plan(id, fact, look);
                self.check_end(id, fact, look);
                self.incident(id, fact, look);
            }
            Fact::Run(fact) => self.run(id, fact, event, look),
            Fact::Maintenance(maintenance::Fact::Begun { run, attempt, .. }) => {
                self.begun_off.insert((run.clone(), *attempt));
            }
            Fact::Trigger(firing::Fact::Fired(firing)) => self.check_firing(id, firing, look.at),
            Fact::Service(fact) => {
                let held = match fact {
                    fact::Service::Held { .. } => true,
                    fact::Service::Unheld { .. } => false,
                    _ => return,
                };
                if let Some(service) = self.services.get_mut(id) {
                    service.held = held;
                }
            }
            Fact::Ledger(ledger::Fact::Quarantined { revision, .. }) => {
                if let Some(service) = self.services.get_mut(id) {
                    service.quarantined.insert(revision.version.clone());
                }
            }
            _ => {}
        }
    }

    fn incident(&mut self, id: &ServiceId, fact: &incident::Fact, look: &Look<'_>) {
        let at = look.at;
        // A storm is paged once.
        let fresh = |s: &Service| at - s.paged_at <= look.policy.fleet.storm_window.ms();
        let storm_paged = self.services.values().any(fresh);
        let Some(service) = self.services.get_mut(id) else { return };
        match fact {
            incident::Fact::Opened { severity, trigger, .. } => {
                service.open = Some(Open::new(*severity, at, trigger));
            }
            incident::Fact::Joined { trigger, .. } => {
                if let Some(open) = &mut service.open {
                    open.hearsay |= is_hearsay(trigger);
                    open.probed &= is_probed(trigger);
                }
            }
            incident::Fact::Raised { to, .. } => {
                if let Some(open) = &mut service.open {
                    open.severity = *to;
                    if open.waits {
                        (open.rose, open.late, open.decided) = (at, false, false);
                    }
                }
            }
            incident::Fact::Decided(decision) => {
                if let Some(open) = &mut service.open {
                    open.decided |= !matches!(
                        decision.verdict,
                        incident::Choice::GatherUntil { .. }
                            | incident::Choice::MonitorUntil { .. }
                    );
                }
                let storm = decision
                    .guards
                    .iter()
                    .any(|v| v.guard == Guard::Storm && v.refusal().is_some());
                if decision.verdict == incident::Choice::Ask && !(storm && storm_paged) {
                    service.owed = Some("people are asked".into());
                }
            }
            incident::Fact::Planned { run, plan, by, .. } => {
                service.quarantined.extend(plan.targets.iter().map(|t| t.from.version.clone()));
                let application =
                    plan.targets.iter().find(|it| it.component == Component::Application);
                let to = application.map_or_else(String::new, |it| it.to.version.clone());
                let (run, own) = (run.clone(), by.is_none());
                let resources = plan.resources.clone();
                let steps = plan.steps.clone();
                let moves_schema =
                    plan.targets.iter().any(|it| it.component == Component::Database);
                service.running =
                    Some(Running { run, resources, to, steps, since: at, own, moves_schema });
            }
            incident::Fact::Late(Clock::Acted) => {
                if let Some(open) = &mut service.open {
                    open.late = true;
                }
                // Whoever was paged this very minute knows.
                if at - service.paged_at > 60_000 {
                    service.owed = Some("it is late".into());
                }
            }
            incident::Fact::Entered(phase) => {
                if service.running.is_some() && !matches!(phase, Phase::RollingBack) {
                    service.ended_at = at;
                }
                service.entered(phase);
            }
            _ => {}
        }
        if let (incident::Fact::Planned { .. }, Some(open)) = (fact, &mut service.open) {
            open.waits = false;
        }
    }
}

impl Service {
    fn new(index: usize, mode: Mode, at: i64) -> Self {
        Self {
            index,
            mode,
            runs: None,
            well_since: None,
            earned: BTreeSet::new(),
            quarantined: BTreeSet::new(),
            given: None,
            earned_by_secrets: BTreeSet::new(),
            hurt_at: i64::MIN / 2,
            disorderly_at: i64::MIN / 2,
            unreachable_at: i64::MIN / 2,
            worst_since: None,
            was_up: true,
            bad_since: None,
            changed_at: at,
            dismissed: false,
            paged_at: i64::MIN / 2,
            drained_at: None,
            maintained_at: None,
            maintenance_paged_at: i64::MIN / 2,
            ended_at: i64::MIN / 2,
            held: false,
            open: None,
            running: None,
            rolled_back_at: None,
            asked: 0,
            named: BTreeSet::new(),
            tried: vec![],
            owed: None,
        }
    }

    fn entered(&mut self, phase: &Phase) {
        let waits = matches!(
            phase,
            Phase::Assessing | Phase::Gathering { .. } | Phase::Monitoring { .. } | Phase::Deciding
        );
        if let Some(open) = &mut self.open {
            open.waits = waits;
        }
        match phase {
            Phase::Escalated { by: None, why } => self.owed = Some(why.clone()),
            Phase::Closed { outcome } => {
                self.open = None;
                self.dismissed |= matches!(outcome, Closing::Dismissed { .. });
            }
            _ => {}
        }
        if matches!(phase, Phase::Escalated { .. } | Phase::Closed { .. } | Phase::Verifying { .. })
        {
            self.running = None;
        }
    }
}
