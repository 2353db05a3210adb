//! What AWS's support wants to know, ready to be sent.

use super::{RdsAt, RdsRestore, Seen, Snapshot};

/// Things of one kind that are named.
const NAMED_MAX: usize = 5;

/// What a case with AWS's support is about.
#[derive(Clone, Debug)]
pub struct Case<'c> {
    /// Which one.
    pub at: &'c RdsAt,
    /// Its ARN, in which the region is, and its engine.
    pub what: (&'c str, String),
    /// The snapshots, each with what is known of it.
    pub snapshots: Vec<String>,
    /// By these AWS finds what was asked for.
    pub requests: &'c [String],
}

impl<'c> Case<'c> {
    /// Of what was seen, before anything was asked for.
    pub fn of_look(at: &'c RdsAt, seen: &'c Seen) -> Self {
        let source = &seen.source;
        let engine =
            format!("{} {}, {}, in {}", source.engine, source.version, source.status, seen.region);
        let snapshots = seen.snapshots.iter().map(Snapshot::in_words).collect();
        Self { at, what: (&source.arn, engine), snapshots, requests: &[] }
    }

    /// Of a restore that failed; `ends` says of each candidate what became of it.
    pub fn of_restore(what: &'c RdsRestore, ends: &[String], requests: &'c [String]) -> Self {
        let engine = format!("{} {}", what.engine, what.version);
        Self { at: &what.at, what: (&what.arn, engine), snapshots: ends.to_vec(), requests }
    }

    /// The text.
    pub fn text(&self, why: &str) -> String {
        let (RdsAt { form, name, .. }, (arn, engine)) = (self.at, &self.what);
        let snapshots: Vec<&str> =
            self.snapshots.iter().take(NAMED_MAX).map(String::as_str).collect();
        let snapshots = match snapshots.as_slice() {
            [] => "none".to_owned(),
            named => named.join("; "),
        };
        let newest = self.requests.iter().rev().take(NAMED_MAX).map(String::as_str);
        let requests = match newest.collect::<Vec<_>>().as_slice() {
            [] => String::new(),
            ids => format!(" Request ids: {}.", ids.join(", ")),
        };
        format!(
            "For a case with AWS's support: \"We cannot restore the {form} {name} ({arn}; {engine}): {why}. Snapshots: {snapshots}.{requests}\""
        )
    }
}

impl Snapshot {
    fn in_words(&self) -> String {
        let at = self.taken_at.map_or_else(|| "an unknown time".to_owned(), |at| at.to_string());
        format!("{} of {at}, {}", self.arn, self.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::rds::{
            Form,
            tests::{seen, snapshot},
        },
        units::UnixMs,
    };

    #[test]
    fn all_that_support_asks_for_first_is_in_it() {
        let at = RdsAt { account: "main".into(), form: Form::Instance, name: "shop".into() };
        let all = seen(vec![snapshot("night", UnixMs(1_772_452_800_000))]);
        let requests = ["r-1".to_owned(), "r-2".to_owned()];
        let case = Case { requests: &requests, ..Case::of_look(&at, &all) };
        let text = case.text("incompatible-restore");
        for part in [
            "arn:aws:rds:eu-central-1:123456789012:db:shop",
            "in eu-central-1",
            "snapshot:night of 2026-03-02T12:00:00.000Z, available",
            "incompatible-restore",
            "r-2, r-1",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
