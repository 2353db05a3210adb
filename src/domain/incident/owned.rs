//! What people who own an incident were told of it: theirs is not forgotten, and news reaches them.

use serde::{Deserialize, Serialize};

use crate::{
    domain::event::Now,
    units::{Span, UnixMs},
};

/// Who has acknowledged an incident is reminded of it this often while it stays open.
const REMIND_EVERY: Span = Span::hours(24);

/// An incident in people's hands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owned {
    /// Since when.
    pub since: Now,
    /// Up to when they know what fires, on the wall clock.
    pub told_until: UnixMs,
    /// When they were last reminded, on the steady clock.
    pub reminded_at: UnixMs,
}

impl Owned {
    /// It is theirs from now on, with what they were just told.
    pub(super) fn from(now: Now) -> Self {
        Self { since: now, told_until: now.wall, reminded_at: now.steady }
    }

    /// When they are to be reminded, on the steady clock.
    pub(super) fn remind_at(&self) -> UnixMs {
        self.reminded_at + REMIND_EVERY
    }

    /// The wall clock was set by so much.
    pub(in crate::domain) fn clock_set(&mut self, by_ms: i64) {
        self.since.wall = self.since.wall.set_by(by_ms);
        self.told_until = self.told_until.set_by(by_ms);
    }
}
