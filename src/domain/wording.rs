//! From facts to notices: what people are told, in words. A pure function of what happened.

pub(in crate::domain) mod copied;
mod health;
mod maintenance;
mod printed;
mod stopped;
mod trouble;

pub use health::{dropped, fleet_notice, left_at_stop, left_on};

use super::{
    event::Said,
    fact::{Fact, Fleet, Service},
    guard::{Guard, Verdict},
    incident::{self, Choice, Closing, Decision, Incident, Phase},
    notice::{self, Audience, Kind, Notice, Urgency},
    plan::Plan,
    policy::Response,
    run,
    service::Mode,
    severity::Severity,
    situation::{Situation, whole_seconds},
};
use crate::units::Span;

/// How an audience is called in a sentence.
pub fn audience(audience: Audience) -> &'static str {
    match audience {
        Audience::OnCall => "on-call",
        Audience::Stakeholders => "stakeholders",
    }
}

/// What people are told of one fact; `s` is the situation in which the fact is already so.
pub fn notices(fact: &Fact, s: &Situation<'_>) -> Vec<Notice> {
    let told: Vec<Draft> = match fact {
        Fact::Incident(fact) => of_incident(fact, s),
        Fact::Trigger(fact) => health::of_trigger(fact, s).into_iter().collect(),
        Fact::Maintenance(fact) => maintenance::of(fact, s).into_iter().collect(),
        Fact::Run(fact) => maintenance::not_on(fact, s).into_iter().collect(),
        Fact::Service(Service::Reminded) => vec![health::reminder(s)],
        Fact::Service(Service::SetAgain(again)) => vec![trouble::set_again(again, s)],
        Fact::Service(Service::Held { by, reason }) => paused(by, reason, s).into_iter().collect(),
        Fact::Service(Service::FollowedUp { incident }) => vec![health::follow_up(s, incident)],
        Fact::Fleet(
            Fleet::KillSwitch { .. }
            | Fleet::Undelivered { .. }
            | Fleet::ClockSet { .. }
            | Fleet::Configured { .. }
            | Fleet::ConfigRefused { .. }
            | Fleet::Discovered { .. }
            | Fleet::Left { .. }
            | Fleet::Forgotten { .. }
            | Fleet::Started { .. },
        )
        | Fact::Service(_)
        | Fact::Ledger(_)
        | Fact::Told(_) => vec![],
    };
    let numbered = told.into_iter().enumerate();
    numbered.map(|(index, draft)| draft.into_notice(s, index)).collect()
}

/// A notice without its identity.
struct Draft {
    audience: Audience,
    urgency: Urgency,
    kind: Kind,
    subject: String,
    fields: Vec<(String, String)>,
    lines: Vec<String>,
    choices: Vec<notice::Choice>,
    incident: Option<String>,
    severity: Option<Severity>,
}

impl Draft {
    fn new(kind: Kind, urgency: Urgency, subject: String) -> Self {
        Self {
            audience: Audience::OnCall,
            urgency,
            kind,
            subject,
            fields: vec![],
            lines: vec![],
            choices: vec![],
            incident: None,
            severity: None,
        }
    }

    fn field(mut self, name: &str, value: impl Into<String>) -> Self {
        self.fields.push((name.to_owned(), value.into()));
        self
    }

    fn lines(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.lines.extend(lines);
        self
    }

    fn of(mut self, incident: &Incident) -> Self {
        self.incident = Some(incident.id.clone());
        self.severity = Some(incident.severity);
        self
    }

    fn into_notice(self, s: &Situation<'_>, index: usize) -> Notice {
        let number = s.state.told + index as u64 + 1;
        let mut subject = self.subject;
        if subject.len() > 99 {
            let cut = (0..=96).rev().find(|at| subject.is_char_boundary(*at)).unwrap_or(0);
            subject.truncate(cut);
            subject.push('…');
        }
        Notice {
            id: format!("{}#{number}", s.state.id),
            service: Some(s.state.id.clone()),
            incident: self.incident,
            severity: self.severity,
            audience: self.audience,
            urgency: self.urgency,
            kind: self.kind,
            subject,
            fields: self.fields,
            lines: self.lines,
            choices: self.choices,
            at: s.now.wall,
        }
    }
}

fn of_incident(fact: &incident::Fact, s: &Situation<'_>) -> Vec<Draft> {
    let past = || s.state.past.each().next_back();
    let Some(incident) = s.state.incident.as_ref().or_else(past) else { return vec![] };
    match fact {
        incident::Fact::Decided(decision) => decided(decision, incident, s),
        incident::Fact::Planned { plan, by, .. } => in_progress(plan, by.as_deref(), incident, s),
        incident::Fact::Entered(Phase::Watching { .. }) => complete(incident, s),
        incident::Fact::Entered(Phase::Escalated { why, by }) => {
            let mut draft = trouble::escalated(why, incident, s);
            let half_done = incident.run.as_ref().is_some_and(run::Run::is_half_done);
            if by.is_some() && half_done {
                draft.subject = format!("{} - left half rolled back", headline(incident, s));
            } else if by.is_some() {
                // Whoever decided it has seen it, and the others need not get up for it.
                draft.urgency = Urgency::Info;
                draft.subject = format!("{} - left to people", headline(incident, s));
            }
            vec![draft]
        }
        incident::Fact::Entered(Phase::Verifying { .. }) if incident.run.is_none() => {
            vec![trouble::restored(incident, s)]
        }
        incident::Fact::Entered(Phase::Closed { outcome }) => closed(outcome, incident, s),
        incident::Fact::Late(clock) => {
            // Whoever was paged this minute knows that time passes, but not that a rollback does not help.
            let told = incident.escalation.told_at;
            let again = *clock == incident::Clock::Helped
                || told.is_none_or(|at| s.now.steady.since(at) >= Span::minutes(1));
            again.then(|| trouble::late(*clock, incident, s)).into_iter().collect()
        }
        incident::Fact::Reminded => vec![trouble::reminder(incident, s)],
        incident::Fact::GoesOn { .. } => goes_on(incident, s).into_iter().collect(),
        incident::Fact::Raised { because, .. } => {
            trouble::worse(because, incident, s).into_iter().collect()
        }
        incident::Fact::Unseen { why } => vec![trouble::unseen(why, incident, s)],
        incident::Fact::Relapsed { trigger } => vec![trouble::relapsed(trigger, incident, s)],
        incident::Fact::Joined { .. }
        | incident::Fact::Opened { .. }
        | incident::Fact::Checked { .. }
        | incident::Fact::Offered { .. }
        | incident::Fact::Entered(
            Phase::Assessing
            | Phase::Gathering { .. }
            | Phase::Monitoring { .. }
            | Phase::Deciding
            | Phase::Scheduled
            | Phase::RollingBack
            | Phase::Verifying { .. },
        )
        | incident::Fact::Said {
            said:
                Said::Acknowledge
                | Said::Approve { .. }
                | Said::Reject { .. }
                | Said::Dismiss { .. }
                | Said::Hold { .. }
                | Said::Unhold
                | Said::RollBack { .. }
                | Said::Lift { .. },
            ..
        } => vec![],
    }
}

/// Nobody need get up for it.
fn goes_on(incident: &Incident, s: &Situation<'_>) -> Option<Draft> {
    let stands = incident.stands(s)?;
    let subject = format!("{} - {} goes on", headline(incident, s), stands.which);
    let said = stands.said.unwrap_or_else(|| "it does not say how far it is".to_owned());
    let mut draft = Draft::new(Kind::RollbackInProgress, Urgency::Info, subject)
        .of(incident)
        .field("Step", stands.title)
        .field("Progress", said)
        .field("Runs since", format!("{} UTC ({})", stands.since.clock(), stands.for_))
        .field("At most until", format!("{} UTC", stands.until.clock()));
    draft.choices = choices(incident, s);
    Some(draft)
}

fn headline(incident: &Incident, s: &Situation<'_>) -> String {
    // What somebody asked for was never seen to fire, and has not cleared.
    let other = || incident.asked_for().unwrap_or("its triggers cleared");
    let lead = s.leading(incident).map_or_else(other, |f| f.trigger.as_str());
    format!("{} {}: {lead}", incident.severity, s.state.id)
}

/// The sentence for an incident's impact, from the matrix.
pub(super) fn impact(severity: Severity) -> &'static str {
    match severity {
        Severity::P0 => "service down or data at risk",
        Severity::P1 => "significant degradation",
        Severity::P2 => "minor issues affecting some users",
        Severity::P3 => "cosmetic or non-critical",
    }
}

fn issue(incident: &Incident, s: &Situation<'_>) -> String {
    let firing = s.what_fires(incident);
    if firing.is_empty() {
        incident.triggers.keys().cloned().collect::<Vec<_>>().join(", ")
    } else {
        firing.join("; ")
    }
}

fn choices(incident: &Incident, s: &Situation<'_>) -> Vec<notice::Choice> {
    let id = &s.state.id;
    let choice = |label: &str, command: String| notice::Choice { label: label.into(), command };
    let mut choices = vec![choice("acknowledge", format!("rollbackd ack {id}"))];
    let may = incident.run.is_none() && s.policy.mode != Mode::Observe;
    if let Some(plan) = incident.offered.as_ref().filter(|_| may) {
        let hash = plan.hash();
        choices.push(choice("roll back", format!("rollbackd approve {id} {hash}")));
        choices.push(choice("do not", format!("rollbackd reject {id} --reason '…'")));
    }
    choices.push(choice("hold", format!("rollbackd hold {id} --reason '…'")));
    choices.push(choice("look", format!("rollbackd explain {id}")));
    choices
}

fn decided(decision: &Decision, incident: &Incident, s: &Situation<'_>) -> Vec<Draft> {
    let reason = |v: &Verdict| v.refusal().map(|why| format!("{}: {why}", v.guard));
    let reasons: Vec<String> = decision.refusing().filter_map(reason).collect();
    let storm = decision.refusing().any(|v| v.guard == Guard::Storm);
    // A storm pages once: who is paged for one service looks at all of them.
    let in_storm = s.fleet.storm_paged.as_ref().filter(|_| storm);
    let wanted =
        matches!(decision.row.response, Response::RollBack | Response::MonitorThenRollBack);
    let (kind, urgency) = match &decision.verdict {
        // The notice of the rollback itself follows in the same turn.
        Choice::RollBackNow => return vec![],
        Choice::Ask if wanted && in_storm.is_some() => (Kind::Refused, Urgency::Info),
        Choice::Ask if wanted => (Kind::Refused, Urgency::Page),
        Choice::Ask => (Kind::Ask, Urgency::Page),
        Choice::MonitorUntil { .. } if in_storm.is_some() => (Kind::Incident, Urgency::Info),
        Choice::MonitorUntil { .. } => (Kind::Incident, Urgency::Page),
        // The page comes with the decision, a moment later.
        Choice::GatherUntil { .. } | Choice::Tell => (Kind::Incident, Urgency::Info),
    };
    let subject = match kind {
        Kind::Refused => {
            let only_mode = decision.refusing().all(|v| v.guard == Guard::Mode);
            let why = match s.policy.mode {
                Mode::Observe if only_mode => "would be rolled back now, but mode is observe",
                Mode::Approve if only_mode => "please approve the rollback",
                _ if in_storm.is_some() => "not rolled back: one of many",
                Mode::Observe | Mode::Approve | Mode::Auto => {
                    "not rolled back: a person must decide"
                }
            };
            format!("{} - {why}", headline(incident, s))
        }
        Kind::Ask => format!("{} - please decide", headline(incident, s)),
        Kind::Incident
        | Kind::RollbackInProgress
        | Kind::RollbackComplete
        | Kind::Trouble
        | Kind::Reminder
        | Kind::Closed
        | Kind::Health
        | Kind::Followup => headline(incident, s),
    };
    let mut draft = Draft::new(kind, urgency, subject)
        .of(incident)
        .field("Issue", issue(incident, s))
        .field("Impact", impact(incident.severity))
        .field("Decision", decision.verdict.to_string());
    if let Some(plan) = &decision.plan {
        draft = draft.field("Plan", format!("{} ({})", plan.summary(), plan.hash()));
    }
    if let Some(by) = incident.act_by(s.policy) {
        draft = draft.field("Act by", format!("{} UTC", s.wall_of(by).clock()));
    }
    if let Some(other) = in_storm {
        draft = draft.field("Paged", format!("{other}, for all of them"));
    }
    if let Some(suspect) = s.suspect_migration(incident) {
        draft = draft.field("Suspect", suspect);
    }
    if let Some(change) = &incident.change {
        draft = draft.field("Change", format!("to {} at {}", change.to, change.started_at));
    }
    let heading = (!reasons.is_empty()).then(|| "Guards that refuse:".to_owned());
    let bullets = reasons.into_iter().map(|why| format!("• {why}"));
    let beyond_guards = |why: &&String| why.starts_with("no plan") || why.starts_with("not by");
    let because = decision.because.iter().filter(beyond_guards).cloned();
    draft = draft.lines(heading).lines(bullets).lines(because).lines(warned(s));
    draft.choices = choices(incident, s);
    vec![draft]
}

fn in_progress(
    plan: &Plan,
    by: Option<&str>,
    incident: &Incident,
    s: &Situation<'_>,
) -> Vec<Draft> {
    // The runbook's notice, word for word, to everybody.
    let eta = s.wall_of(s.now.steady + plan.estimate);
    let to = |audience: Audience| {
        let what = match (audience, s.leading(incident)) {
            (Audience::Stakeholders, Some(lead)) => format!("{}: {}", lead.trigger, lead.says),
            (Audience::Stakeholders | Audience::OnCall, _) => issue(incident, s),
        };
        let mut draft = Draft::new(
            Kind::RollbackInProgress,
            Urgency::Info,
            format!("URGENT - Rollback in Progress - {}", s.state.id.environment()),
        )
        .of(incident)
        .field("Service", s.state.id.to_string())
        .field("Issue", what)
        .field("Impact", impact(incident.severity))
        .field("Action", format!("Rolling back to version {}", plan.to_versions()))
        .field("ETA", format!("{} UTC (in {})", eta.clock(), plan.estimate));
        draft.audience = audience;
        draft
    };
    let who = by.unwrap_or("rollbackd").to_owned();
    let steps = plan.steps.iter().enumerate().map(|(n, step)| format!("{}. {}", n + 1, step.title));
    let guards = incident.decision.iter().flat_map(|d| &d.guards).map(|v| format!("• {v}"));
    let mut on_call = to(Audience::OnCall)
        .field("Started by", who)
        .field("From -> to", plan.summary())
        .lines((!plan.scope.is_empty()).then(|| plan.scope.clone()))
        .lines(steps);
    if by.is_some() {
        // By itself the daemon asks the guard, which says so.
        on_call = on_call.lines(owners(s));
    } else {
        on_call = on_call.lines(guards);
        on_call.urgency = Urgency::Page;
    }
    on_call.choices = choices(incident, s);
    vec![on_call, to(Audience::Stakeholders)]
}

/// What else sets what is rolled back, and what comes of that; a sentence each.
pub fn owners(s: &Situation<'_>) -> Vec<String> {
    let rule = s.policy.owner_rule().unwrap_or_default();
    let owners = s.watch.inventory.iter().flat_map(|inventory| inventory.owners());
    owners.map(|owner| owner.outlook(rule)).collect()
}

/// What the cluster warns of, where that is known.
pub(super) fn warned(s: &Situation<'_>) -> Vec<String> {
    let warnings = s.watch.inventory.as_ref().map(|it| it.warnings()).unwrap_or_default();
    let heading = (!warnings.is_empty()).then(|| "Its cluster warns:".to_owned());
    let bullets = warnings.iter().map(|warning| format!("• {}", warning.in_words()));
    heading.into_iter().chain(bullets).collect()
}

/// What stays of a rollback until people take it back, and what they do before that.
pub(super) fn to_take_back(incident: &Incident) -> Vec<String> {
    let Some(run) = &incident.run else { return vec![] };
    let left = run.left().into_iter().map(str::to_owned);
    if !run.leaves_suspended() {
        return left.collect();
    }
    let from: Vec<String> = run.plan.targets.iter().map(|t| t.from.to_string()).collect();
    let told = incident.change.as_ref().and_then(|change| change.told.as_ref());
    let runs = told.filter(|told| !told.runs.is_empty());
    let runs = runs.map_or_else(String::new, |told| format!(" ({})", told.runs.join(", ")));
    let first = format!(
        "What is suspended still wants it: take {}{runs} back in git first",
        from.join(", ")
    );
    std::iter::once(first).chain(left).collect()
}

/// A hold that stops a rollback between two steps leaves the service between two versions.
fn paused(by: &str, reason: &str, s: &Situation<'_>) -> Option<Draft> {
    let incident = s.state.incident.as_ref()?;
    let run = incident.run.as_ref().filter(|_| matches!(incident.phase, Phase::RollingBack))?;
    let how = match run.phase {
        run::Phase::Begun { .. } => "the rollback pauses after the step under way",
        run::Phase::Ready | run::Phase::Halted { .. } | run::Phase::Finished { .. } => {
            "the rollback is paused"
        }
    };
    let subject = format!("{} {}: {how}", incident.severity, s.state.id);
    let mut draft = Draft::new(Kind::Trouble, Urgency::Page, subject)
        .of(incident)
        .field("Why", format!("{by} holds it: {reason}"))
        .field("Steps", run.account())
        .lines(super::maintenance::in_words(s));
    let unhold = format!("rollbackd unhold {}", s.state.id);
    draft.choices = vec![notice::Choice { label: "go on".into(), command: unhold }];
    Some(draft)
}

fn complete(incident: &Incident, s: &Situation<'_>) -> Vec<Draft> {
    let serving = s
        .state
        .ledger
        .serving(super::change::Component::Application)
        .map_or_else(|| "unknown".to_owned(), ToString::to_string);
    let version = incident.run.as_ref().map_or(serving, |run| run.plan.to_versions());
    let to = |audience: Audience| {
        let mut draft = Draft::new(
            Kind::RollbackComplete,
            Urgency::Info,
            format!("Rollback Complete - {}", s.state.id.environment()),
        )
        .of(incident)
        .field("Service", s.state.id.to_string())
        .field("Rollback status", "Success")
        .field("Current version", version.clone())
        .field("System status", "Operational")
        .field("Root cause analysis", "In progress");
        draft.audience = audience;
        draft
    };
    let found = super::verification::verify(s, incident);
    let checks = found.checks.iter().map(|c| format!("• {}: {:?}, {}", c.name, c.standing, c.note));
    let took = whole_seconds(incident.age(s.now));
    let on_call = to(Audience::OnCall).field("Verified after", took.to_string()).lines(checks);
    let on_call = on_call.lines(incident.run.iter().flat_map(copied::told));
    let on_call = on_call.lines(to_take_back(incident));
    vec![on_call, to(Audience::Stakeholders)]
}

fn closed(outcome: &Closing, incident: &Incident, s: &Situation<'_>) -> Vec<Draft> {
    let subject = format!("{} {}: {outcome}", incident.severity, s.state.id);
    let draft = Draft::new(Kind::Closed, Urgency::Info, subject)
        .of(incident)
        .field("Incident", incident.id.clone())
        .field("Open for", whole_seconds(incident.age(s.now)).to_string())
        .field("Report", format!("rollbackd report {}", incident.id));
    let half_done = incident.run.as_ref().filter(|run| run.is_half_done());
    let draft = half_done.into_iter().fold(draft, |d, run| d.field("Steps", run.account()));
    let draft = draft.lines(incident.run.iter().flat_map(copied::told));
    let draft = draft.lines(to_take_back(incident)).lines(stopped::still(incident, s));
    let mut all = vec![draft];
    if incident.run.is_some() {
        let mut to = Draft::new(
            Kind::Closed,
            Urgency::Info,
            format!("Closed - {} - {}", s.state.id.name(), s.state.id.environment()),
        )
        .of(incident)
        .field("Outcome", outcome.to_string());
        to.audience = Audience::Stakeholders;
        all.push(to);
    }
    all
}
