//! Notices of an incident that does not go as it should: left to people, late, worse, forgotten.

use super::{Draft, choices, copied, headline, issue, printed, stopped, to_take_back, warned};
use crate::{
    domain::{
        change::Component,
        firing::Firing,
        incident::{Clock, Incident, Phase},
        maintenance,
        notice::{self, Kind, Urgency},
        owner::SetAgain,
        situation::{Situation, whole_seconds},
        verification,
    },
    units::Span,
};

pub(super) fn escalated(why: &str, incident: &Incident, s: &Situation<'_>) -> Draft {
    let mut draft =
        Draft::new(Kind::Trouble, Urgency::Page, format!("{} - yours now", headline(incident, s)))
            .of(incident)
            .field("Why", why)
            .field("Issue", issue(incident, s));
    if let Some(run) = &incident.run {
        draft = draft.field("Rollback", run.plan.summary()).field("Steps", run.account());
        draft = draft.lines(printed::by(run)).lines(copied::told(run));
    }
    draft = draft.lines(to_take_back(incident)).lines(stopped::at_its_end(incident, s));
    draft = draft.lines(maintenance::in_words(s)).lines(warned(s));
    draft.choices = choices(incident, s);
    draft.choices.push(close(s));
    draft
}

pub(super) fn late(clock: Clock, incident: &Incident, s: &Situation<'_>) -> Draft {
    let (what, why) = match clock {
        Clock::Acted => ("no action yet", "The deadline for acting passed."),
        Clock::Helped => (
            "not better yet",
            "An earlier revision serves again, and what fired has not begun to recover: the release may not be its cause.",
        ),
        Clock::Verified => ("not verified yet", "The deadline for a verified rollback passed."),
    };
    let mut draft = Draft::new(
        Kind::Trouble,
        Urgency::Page,
        format!("{} - late: {what}", headline(incident, s)),
    )
    .of(incident)
    .field("Issue", issue(incident, s))
    .field("Phase", incident.phase.name())
    .lines([why.to_owned()]);
    let due = match clock {
        Clock::Acted => incident.act_by(s.policy),
        Clock::Helped => None,
        Clock::Verified => Some(incident.verify_by(s.policy)),
    };
    if let (Some(due), Some(started)) =
        (due, s.fleet.started.filter(|at| due.is_some_and(|due| due < *at)))
    {
        draft = draft.lines([format!(
            "It passed at {} UTC while rollbackd was down; it is up since {} UTC.",
            s.wall_of(due).clock(),
            s.wall_of(started).clock()
        )]);
    }
    if clock != Clock::Acted {
        let found = verification::verify(s, incident);
        draft = draft.lines([format!("Open: {}", found.open_points())]);
    }
    draft.choices = choices(incident, s);
    draft
}

/// Somebody restored an earlier revision while the daemon was about to decide: what it announced does not come.
pub(super) fn restored(incident: &Incident, s: &Situation<'_>) -> Draft {
    let serving = s.state.ledger.serving(Component::Application);
    let version = serving.map_or_else(|| "an earlier revision".to_owned(), ToString::to_string);
    let until = incident.phase.verifying_since().map(|at| incident.verification_ends(at, s.policy));
    let until =
        until.map_or_else(String::new, |at| format!(" until {} UTC", s.wall_of(at).clock()));
    let subject = format!("{} - {version} was restored by hand", headline(incident, s));
    Draft::new(Kind::Trouble, Urgency::Info, subject).of(incident).field("Issue", issue(incident, s)).lines([
        format!(
            "It was not rollbackd: it rolls back nothing more, and verifies {version}{until}. Where it does not get better, people are paged."
        ),
    ])
}

/// A rollback that was put back, by whatever puts it back.
pub(super) fn set_again(again: &SetAgain, s: &Situation<'_>) -> Draft {
    let (id, version) = (&s.state.id, &again.revision);
    let subject = format!("{id}: {version} is set again, and was rolled away from");
    let mut draft = Draft::new(Kind::Trouble, Urgency::Page, subject)
        .field("Why", again.to_string())
        .lines([
            "What it does is judged as that of any change, and it is not known good.".to_owned()
        ]);
    if let Some(incident) = &s.state.incident {
        draft = draft.of(incident);
    }
    let choice = |label: &str, command| notice::Choice { label: label.into(), command };
    draft.choices = vec![
        choice("acknowledge", format!("rollbackd ack {id}")),
        choice("roll back", format!("rollbackd rollback {id} --reason '…'")),
        choice("it is meant", format!("rollbackd lift {id} {version}")),
        choice("look", format!("rollbackd explain {id}")),
    ];
    draft
}

/// It got worse although it was acted upon already: nobody decides anew, and people must know all the more.
pub(super) fn worse(because: &str, incident: &Incident, s: &Situation<'_>) -> Option<Draft> {
    let untold = match incident.phase {
        // The new decision is told.
        Phase::Assessing
        | Phase::Gathering { .. }
        | Phase::Monitoring { .. }
        | Phase::Deciding
        | Phase::Scheduled
        | Phase::Closed { .. } => false,
        Phase::RollingBack | Phase::Verifying { .. } | Phase::Escalated { .. } => true,
        // What hurts ends the watch, and that is told.
        Phase::Watching { .. } => verification::hurting(s, incident).is_empty(),
    };
    let subject = format!("{} - it got worse", headline(incident, s));
    untold.then(|| news(subject, incident, s).field("Why", because))
}

pub(super) fn relapsed(trigger: &str, incident: &Incident, s: &Situation<'_>) -> Draft {
    let subject =
        format!("{} {}: {trigger} fires, and the incident is yours", incident.severity, s.state.id);
    news(subject, incident, s)
}

/// Another check of the data is violated while an incident knows of one: what is as severe joins it in silence else. Who owns it is
/// told of whatever begins.
pub(super) fn more_corrupt(firing: &Firing, s: &Situation<'_>) -> Option<Draft> {
    let incident = s.state.incident.as_ref()?;
    let is_owned = matches!(incident.phase, Phase::Escalated { .. });
    let is_known = incident.triggers.contains_key(&firing.trigger);
    let subject = format!("{} {}: more of its data is corrupt", incident.severity, s.state.id);
    (firing.is_of_the_data() && is_known && !is_owned)
        .then(|| news(subject, incident, s).field("Data", firing.says.clone()))
}

/// What is blind pages by itself; this says what it keeps open.
pub(super) fn unseen(why: &str, incident: &Incident, s: &Situation<'_>) -> Draft {
    let subject = format!("{} {}: its watch cannot end unseen", incident.severity, s.state.id);
    let mut draft =
        Draft::new(Kind::Trouble, Urgency::Info, subject).of(incident).field("Why", why);
    draft.choices = choices(incident, s);
    draft.choices.push(close(s));
    draft
}

fn news(subject: String, incident: &Incident, s: &Situation<'_>) -> Draft {
    let mut draft = Draft::new(Kind::Trouble, Urgency::Page, subject)
        .of(incident)
        .field("Issue", issue(incident, s))
        .field("Phase", incident.phase.name());
    draft.choices = choices(incident, s);
    draft
}

/// Nobody has acknowledged it; or somebody has, and it is open still.
pub(super) fn reminder(incident: &Incident, s: &Situation<'_>) -> Draft {
    let open_for: Span = whole_seconds(incident.age(s.now));
    let told = incident.escalation.repeats + 1;
    let (urgency, what) = match incident.escalation.is_open() {
        true => (Urgency::Page, "nobody has acknowledged this"),
        false => (Urgency::Info, "still open, and yours"),
    };
    let mut draft =
        Draft::new(Kind::Reminder, urgency, format!("{} - {what}", headline(incident, s)))
            .of(incident)
            .field("Issue", issue(incident, s))
            .field("Phase", incident.phase.name())
            .field("Open for", open_for.to_string());
    draft.choices = choices(incident, s);
    if urgency == Urgency::Page {
        return draft.field("Told before", format!("{told} times"));
    }
    draft.choices.push(close(s));
    draft
}

fn close(s: &Situation<'_>) -> notice::Choice {
    let command = format!("rollbackd dismiss {} --reason '…'", s.state.id);
    notice::Choice { label: "close".into(), command }
}
