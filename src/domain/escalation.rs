//! A page that nobody has acknowledged is told again; an acknowledgement stops it and decides nothing.

use serde::{Deserialize, Serialize};

use crate::units::{Span, UnixMs};

/// The state of what a person must acknowledge. One level, repeated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escalation {
    /// When people were last told, on the steady clock; `None` while nothing was paged.
    pub told_at: Option<UnixMs>,
    /// How often the page was repeated since it was first told.
    pub repeats: u32,
    /// How many pages went out, repetitions too.
    #[serde(default)]
    pub pages: u32,
    /// Who has seen it.
    pub acknowledged_by: Option<String>,
}

impl Escalation {
    /// A page was told: a new one asks for a new acknowledgement, a repetition counts.
    pub fn told(&mut self, repeated: bool, at: UnixMs) {
        self.pages = self.pages.saturating_add(1);
        if repeated {
            self.repeats += 1;
        } else {
            self.repeats = 0;
            self.acknowledged_by = None;
        }
        self.told_at = Some(at);
    }

    /// A person has seen it.
    pub fn acknowledged(&mut self, by: &str) {
        self.acknowledged_by = Some(by.to_owned());
    }

    /// Nobody need acknowledge any more; who has is not forgotten.
    pub fn over(&mut self) {
        self.told_at = None;
    }

    /// Whether a person is still to acknowledge.
    pub fn is_open(&self) -> bool {
        self.told_at.is_some() && self.acknowledged_by.is_none()
    }

    /// When to repeat the page, while nobody has acknowledged it.
    pub fn due(&self, every: Span) -> Option<UnixMs> {
        self.told_at.filter(|_| self.is_open()).map(|at| at + every)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_repeats_until_somebody_acknowledges_and_a_new_page_asks_again() {
        let every = Span::minutes(5);
        let mut escalation = Escalation::default();
        assert_eq!(escalation.due(every), None);
        escalation.told(false, UnixMs(0));
        assert_eq!(escalation.due(every), Some(UnixMs(300_000)));
        escalation.told(true, UnixMs(300_000));
        assert_eq!((escalation.repeats, escalation.due(every)), (1, Some(UnixMs(600_000))));
        escalation.acknowledged("ada");
        assert_eq!(escalation.due(every), None);
        escalation.told(false, UnixMs(900_000));
        assert!(escalation.is_open());
    }
}
