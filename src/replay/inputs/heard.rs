//! How well one series was recorded: what was there, what could not be used, and whether that misleads.

use std::collections::BTreeMap;

use crate::{
    domain::{service::ServiceId, signal::Unknown, watch::Raw},
    replay::tape::Track,
    units::{Span, UnixMs},
};

/// The share of a series above which what could not be used makes the result misleading.
pub(super) const UNUSABLE_MAX: f64 = 0.01;
/// A record that begins so much later than was asked for is told.
const LATE: Span = Span::hours(1);

/// How one signal was heard.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// Whose.
    pub service: ServiceId,
    /// Which signal.
    pub signal: String,
    /// How many readings there are, from the first that could be used.
    pub readings: usize,
    /// Those among them that could not be used, by why.
    pub unusable: BTreeMap<&'static str, usize>,
    /// What was wrong and mended, or was nobody's, by what was done.
    pub mended: BTreeMap<&'static str, usize>,
    /// When it was asked for from, and when it begins, where that is much later.
    pub late: Option<(UnixMs, UnixMs)>,
    /// Why there is nothing, in the source's words.
    pub why: Option<String>,
}

impl Heard {
    /// Of a signal, nothing as yet.
    pub fn nothing(service: ServiceId, signal: String) -> Self {
        Self {
            service,
            signal,
            readings: 0,
            unusable: BTreeMap::new(),
            mended: BTreeMap::new(),
            late: None,
            why: None,
        }
    }

    /// Counts polls, and takes away those before the first that could be used: nobody was there yet.
    pub(super) fn polls(&mut self, mut polls: Vec<(UnixMs, Vec<Raw>)>) -> Track {
        let unknown = |readings: &[Raw]| match readings {
            [Raw::Unknown { why, .. }] => Some(*why),
            [] => Some(Unknown::Absent),
            _ => None,
        };
        let asked = polls.first().map(|(at, _)| *at);
        let nobody = |why| matches!(why, Some(Unknown::Absent | Unknown::Stale));
        let first = polls.iter().position(|(_, readings)| !nobody(unknown(readings)));
        polls.drain(..first.unwrap_or(polls.len()));
        let begins = polls.first().map(|(at, _)| *at);
        self.late = asked.zip(begins).filter(|(asked, begins)| begins.since(*asked) >= LATE);
        self.readings = polls.len();
        for why in polls.iter().filter_map(|(_, readings)| unknown(readings)) {
            *self.unusable.entry(word(why)).or_default() += 1;
        }
        Track::Polls(polls)
    }

    /// What is to be said of it, if anything.
    pub fn says(&self) -> Option<String> {
        let name = format!("{} of {}", self.signal, self.service);
        if self.readings == 0 {
            let why = self.why.as_ref().map_or_else(String::new, |why| format!(": {why}"));
            let odd = self.counted();
            let odd = if odd.is_empty() { odd } else { format!(" ({odd})") };
            return Some(format!("{name}: nothing was recorded{odd}{why}"));
        }
        let mut told = vec![];
        if !self.unusable.is_empty() || !self.mended.is_empty() {
            told.push(format!("{} readings: {}", self.readings, self.counted()));
        }
        if let Some((asked, begins)) = self.late {
            told.push(format!("begins {} after what was asked for", begins.since(asked).to_read()));
        }
        told.extend(self.why.clone());
        (!told.is_empty()).then(|| format!("{name}: {}", told.join("; ")))
    }

    fn counted(&self) -> String {
        let all = self.unusable.iter().chain(&self.mended);
        all.map(|(what, count)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
    }

    /// Why what is made of it would mislead, if it would.
    pub fn misleads(&self) -> Option<String> {
        let name = format!("{} of {}", self.signal, self.service);
        let unusable: usize = self.unusable.values().sum();
        if self.readings == 0 {
            return Some(format!("{name} is missing"));
        }
        let partial = self.unusable.contains_key(word(Unknown::Partial));
        let share = unusable as f64 / self.readings as f64;
        (partial || share > UNUSABLE_MAX)
            .then(|| format!("{:.1} % of {name} could not be used", share * 100.0))
    }
}

fn word(why: Unknown) -> &'static str {
    match why {
        Unknown::Absent | Unknown::Missed => "gaps",
        Unknown::Invalid => "no numbers",
        Unknown::Stale => "while the server itself read nothing",
        Unknown::Partial => "partial",
        Unknown::Failed | Unknown::ClientError | Unknown::NoDelta => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(readings: &[Option<Unknown>]) -> (Heard, Track) {
        let mut heard = Heard::nothing("shop/production".parse().unwrap(), "latency".to_owned());
        let poll = |(i, why): (usize, &Option<Unknown>)| {
            let at = UnixMs(i as i64 * 3_600_000);
            let reading = match why {
                Some(why) => Raw::Unknown { at, why: *why },
                None => Raw::Gauge { at, value: 1.0, n: None },
            };
            (at, vec![reading])
        };
        let track = heard.polls(readings.iter().enumerate().map(poll).collect());
        (heard, track)
    }

    #[test]
    fn what_came_before_the_first_reading_is_no_gap_and_what_came_after_is() {
        let absent = Some(Unknown::Absent);
        let (heard, track) =
            heard(&[absent, absent, None, absent, Some(Unknown::Invalid), None, absent]);
        assert_eq!((track.len(), heard.readings), (5, 5));
        insta::assert_snapshot!(heard.says().unwrap(), @"latency of shop/production: 5 readings: 2 gaps, 1 no numbers; begins 2h after what was asked for");
        insta::assert_snapshot!(heard.misleads().unwrap(), @"60.0 % of latency of shop/production could not be used");
    }

    #[test]
    fn one_partial_answer_misleads_and_one_gap_in_a_hundred_does_not() {
        let mut readings = vec![None; 200];
        readings[7] = Some(Unknown::Absent);
        assert_eq!(heard(&readings).0.misleads(), None);
        readings[7] = Some(Unknown::Partial);
        assert!(heard(&readings).0.misleads().is_some());
        readings[7] = None;
        assert_eq!((heard(&readings).0.misleads(), heard(&readings).0.says()), (None, None));
    }

    #[test]
    fn a_signal_of_which_nothing_is_there_is_missing() {
        let (heard, track) = heard(&[Some(Unknown::Absent); 3]);
        assert!(track.is_empty());
        assert_eq!(heard.misleads().unwrap(), "latency of shop/production is missing");
        assert!(heard.says().unwrap().ends_with("nothing was recorded"));
    }
}
