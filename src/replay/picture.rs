//! What is kept of a tape to show an incident: a row of blocks for the terminal, a line for the page. Drawn while the tape is there, for
//! a tape is let go of as soon as it was played.

use super::{
    line::line,
    story::{Incident, Story},
    tape::Tape,
};
use crate::{
    domain::{
        policy::{ServicePolicy, TriggerPolicy},
        shown::sparkline,
        watch::own_name,
    },
    units::{Span, UnixMs},
};

/// What is drawn of a signal before the onset, and behind the firing, for the terminal.
const BEFORE: Span = Span::minutes(15);
const BEHIND: Span = Span::minutes(10);
const SPARKS: usize = 30;
/// What a chart shows before the onset and behind the end.
const AROUND: Span = Span::minutes(30);
/// So long after it was opened an incident is shown.
const SHOWN_MAX: Span = Span::hours(12);
const POINTS: usize = 240;

/// What is drawn of each incident.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drawing {
    /// The row of blocks.
    pub blocks: bool,
    /// The line of the chart.
    pub charts: bool,
}

/// What the trigger looked at around an incident.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    /// As blocks; empty where nothing was drawn.
    pub(super) blocks: String,
    /// The trigger, and what it looked at over [`shown`].
    pub(super) chart: Option<(TriggerPolicy, Vec<Option<f64>>)>,
}

/// A picture of each incident of a story.
pub fn draw(tape: &Tape, story: &Story, policy: &ServicePolicy, drawing: Drawing) -> Vec<Picture> {
    let picture = |incident: &Incident| {
        let Some(trigger) = policy.triggers.get(own_name(&incident.trigger)) else {
            return Picture::default();
        };
        let line = |span, most| line(tape, trigger.looks_at, span, most);
        let blocks = || {
            let values = line((incident.onset - BEFORE, incident.opened + BEHIND), SPARKS);
            let values: Vec<Option<f32>> = values.iter().map(|v| v.map(|v| v as f32)).collect();
            sparkline(&values, None)
        };
        let chart = || (trigger.clone(), line(shown(story, incident), POINTS));
        Picture {
            blocks: drawing.blocks.then(blocks).unwrap_or_default(),
            chart: drawing.charts.then(chart),
        }
    };
    story.incidents.iter().map(picture).collect()
}

/// What a chart shows.
pub(super) fn shown(story: &Story, incident: &Incident) -> (UnixMs, UnixMs) {
    let ends = incident.closed.as_ref().map_or(story.until, |(at, _)| *at);
    let from = (incident.onset - AROUND).max(story.from);
    (from, (ends + AROUND).min(story.until).min(incident.opened + SHOWN_MAX))
}
