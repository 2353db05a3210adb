//! A step that takes long says how far it is, and people are told so at a calm pace: half an hour is no silence.

use serde::{Deserialize, Serialize};

use super::{Fact as Incidental, Incident};
use crate::{
    domain::{
        fact::Fact,
        run::{Phase, Run},
        situation::{Situation, whole_seconds},
    },
    units::{Span, UnixMs},
};

/// What was told last of a step that takes long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoesOn {
    /// Which.
    pub step: usize,
    /// How far it is, in its own words; empty where it does not say.
    pub said: String,
    /// When, on the steady clock.
    pub at: UnixMs,
}

/// What follows from what a running attempt says of itself: nothing before it has run for long, and then no more often than that.
pub(in crate::domain) fn told(
    s: &Situation<'_>,
    (run, step, attempt): (&str, usize, u32),
    said: &str,
) -> Vec<Fact> {
    let Some(incident) = &s.state.incident else { return vec![] };
    let Some(own) = incident.run.as_ref().filter(|own| own.id == run) else { return vec![] };
    let Phase::Begun { at: begun_at, .. } = own.phase else { return vec![] };
    let is_newest = own.attempts.last().is_some_and(|it| it.attempt == attempt);
    if own.cursor != step || !is_newest {
        return vec![];
    }
    let before = incident.goes_on.as_ref().map_or(begun_at, |it| it.at.max(begun_at));
    if s.now.steady.since(before) < s.policy.people.progress_every {
        return vec![];
    }
    vec![Fact::Incident(Incidental::GoesOn { step, said: said.to_owned() })]
}

impl Incident {
    /// The step that runs now, for people: which, for how long, until when, and what it said last of how far it is.
    pub fn stands(&self, s: &Situation<'_>) -> Option<Stands> {
        let run = self.run.as_ref()?;
        let Phase::Begun { at, .. } = run.phase else { return None };
        let step = run.current()?;
        let said = self.goes_on.as_ref().filter(|it| it.step == run.cursor && it.at >= at);
        Some(Stands {
            which: which(run),
            title: step.title.clone(),
            for_: whole_seconds(s.now.steady.since(at)),
            since: s.wall_of(at),
            until: s.wall_of(at + step.timeout),
            said: said.map(|it| it.said.clone()).filter(|it| !it.is_empty()),
        })
    }
}

/// A step that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stands {
    /// `step 2 of 5`.
    pub which: String,
    /// What it does.
    pub title: String,
    /// For how long.
    pub for_: Span,
    /// Since when.
    pub since: UnixMs,
    /// Until when it is waited for.
    pub until: UnixMs,
    /// How far it is, as it was told last.
    pub said: Option<String>,
}

impl Stands {
    /// In one sentence.
    pub fn in_words(&self) -> String {
        let Self { which, title, for_, until, said, .. } = self;
        let said = said.as_ref().map_or_else(String::new, |said| format!(": {said}"));
        format!("{which} runs for {for_}, until {} UTC at most: {title}{said}", until.clock())
    }
}

fn which(run: &Run) -> String {
    let fallback = if run.in_fallback { "the fallback of " } else { "" };
    format!("{fallback}step {} of {}", run.cursor + 1, run.plan.steps.len())
}
