//! Notices about maintenance mode that does not go off.

use super::{Draft, printed};
use crate::domain::{
    maintenance::{self, Fact},
    notice::{self, Kind, Urgency},
    run::{self, Outcome},
    situation::Situation,
};

/// What people are told of a fact; `s` is the situation in which it is so.
pub(super) fn of(fact: &Fact, s: &Situation<'_>) -> Option<Draft> {
    match fact {
        Fact::Begun { .. } => None,
        Fact::Stays { why, .. } => {
            let subject = format!("{}: maintenance mode is still on", s.state.id);
            let draft = Draft::new(Kind::Trouble, Urgency::Page, subject).field("Why", why);
            Some(with_what_to_type(draft, s))
        }
        // Whoever was told that it stays must not have to look.
        Fact::Ended { report, was_told: true, .. } => {
            matches!(report.outcome, Outcome::Done | Outcome::AlreadyDone).then(|| {
                let subject = format!("{}: maintenance mode is off", s.state.id);
                Draft::new(Kind::Trouble, Urgency::Info, subject).field("Seen", &report.after)
            })
        }
        Fact::Ended { .. } => None,
    }
}

/// It could not be switched on, and the rollback goes on without it.
pub(super) fn not_on(fact: &run::Fact, s: &Situation<'_>) -> Option<Draft> {
    let run::Fact::Ended { step, report, .. } = fact else { return None };
    let (Outcome::Failed { why, .. } | Outcome::Unknown { why }) = &report.outcome else {
        return None;
    };
    let incident = s.state.incident.as_ref()?;
    incident.run.as_ref().filter(|run| run.was_skipped(*step))?;
    let id = &s.state.id;
    let subject =
        format!("{id}: maintenance mode could not be switched on, the rollback goes on without it");
    Some(
        Draft::new(Kind::Trouble, Urgency::Info, subject)
            .of(incident)
            .field("Why", why)
            .lines(printed::in_short(report)),
    )
}

/// Nobody has acknowledged that it stays on.
pub(super) fn reminder(s: &Situation<'_>) -> Draft {
    let subject = format!("{}: maintenance mode is still on, nobody has acknowledged", s.state.id);
    with_what_to_type(Draft::new(Kind::Reminder, Urgency::Page, subject), s)
}

fn with_what_to_type(draft: Draft, s: &Situation<'_>) -> Draft {
    let id = &s.state.id;
    let choice = |label: &str, command| notice::Choice { label: label.into(), command };
    let mut draft = draft.lines(maintenance::in_words(s));
    draft.choices = vec![
        choice("acknowledge", format!("rollbackd ack {id}")),
        choice("look", format!("rollbackd explain {id}")),
    ];
    draft
}
