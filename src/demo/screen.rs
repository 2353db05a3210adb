//! The demo's terminal: what the windows see, and what was decided, as it happens.

use std::{cell::RefCell, time::Instant};

use crate::{
    domain::{shown, trigger::State},
    http::views::{Explain, TriggerView},
    units::UnixMs,
};

/// How wide a sparkline is.
const WIDTH: usize = 24;

/// Lines on standard output, each with the seconds since the start.
#[derive(Debug)]
pub(super) struct Screen {
    begun: Instant,
    last: RefCell<String>,
}

impl Screen {
    /// A screen whose time starts at `begun`.
    pub(super) fn new(begun: Instant) -> Self {
        Self { begun, last: RefCell::new(String::new()) }
    }

    /// Says something.
    #[expect(clippy::print_stdout, reason = "the demo's terminal is what the demo is for")]
    pub(super) fn say(&self, text: &str) {
        println!("{:5.1}s  {text}", self.begun.elapsed().as_secs_f64());
    }

    /// Tells a line of the incident's timeline.
    pub(super) fn tell(&self, at: UnixMs, what: &str) {
        self.say(&format!("  ▶ {} {what}", at.clock()));
    }

    /// Shows what the windows see, once a change of it is worth a line.
    pub(super) fn show(&self, seen: &Explain) {
        let of_interest = |t: &&TriggerView| {
            matches!(
                t.name.as_str(),
                "critical-errors" | "performance-degradation" | "service-outage"
            )
        };
        let windows: Vec<&TriggerView> = seen.triggers.iter().filter(of_interest).collect();
        let serving = seen.service.serving.as_deref().unwrap_or("?");
        let phase = seen.service.incident.as_ref().map_or("no incident", |i| i.phase.as_str());
        let state: Vec<String> = windows.iter().map(|t| format!("{:?}", t.state)).collect();
        let key = format!("{serving}{phase}{state:?}");
        if key == *self.last.borrow() {
            return;
        }
        *self.last.borrow_mut() = key;
        self.say(&format!("{serving} serves, {phase}"));
        for trigger in windows {
            self.say(&format!(
                "    {:<24} {:<width$} {:<10} {}",
                trigger.name,
                line(trigger),
                word(trigger.state),
                trigger.sees,
                width = WIDTH
            ));
        }
    }
}

fn line(trigger: &TriggerView) -> String {
    let newest = trigger.drawn.len().saturating_sub(WIDTH);
    shown::sparkline(&trigger.drawn[newest..], trigger.evidence.threshold)
}

fn word(state: State) -> &'static str {
    match state {
        State::NoData => "no data",
        State::Ok => "ok",
        State::Pending => "pending",
        State::Firing => "FIRING",
        State::Recovering => "recovering",
    }
}
