//! Copies of a database that were taken earlier, of which one can be put in its place; and what would be lost with it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{domain::change::Revision, units::UnixMs};

/// As long as a database's name can be.
const NAME_MAX: usize = 63;
/// Snapshots that one sentence names.
const NAMED_MAX: usize = 3;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its file.
    pub file: String,
    /// How large that is.
    pub bytes: u64,
    /// A hash over its beginning, which says what is in it and when it was taken.
    pub fingerprint: String,
    /// When it was taken, as it says itself.
    pub taken_at: UnixMs,
    /// Which schema is in it; or why nobody would use it.
    pub schema: Result<Revision, String>,
    /// What was written since, as the operator's queries count it.
    pub lost: Vec<Lost>,
}

/// What would be gone of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// What, in the operator's words.
    pub what: String,
    /// How many; or why nobody can tell.
    pub rows: Result<u64, String>,
}

/// What a look at them gave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshots {
    /// The newest first, bounded.
    pub newest: Vec<Snapshot>,
    /// The names that are taken on the server.
    pub databases: BTreeSet<String>,
}

impl Snapshots {
    /// The newest that holds exactly the schema `good`; and why none does.
    pub fn of(&self, good: &Revision) -> Result<&Snapshot, String> {
        let holds = |it: &&Snapshot| it.schema.as_ref().is_ok_and(|it| it.agrees_with(good));
        let found = self.newest.iter().filter(holds).max_by_key(|it| it.taken_at);
        found.ok_or_else(|| {
            let told: Vec<String> =
                self.newest.iter().take(NAMED_MAX).map(Snapshot::in_words).collect();
            match told.as_slice() {
                [] => "there is no snapshot".to_owned(),
                told => {
                    let all = self.newest.len();
                    format!("none of {all} snapshots holds {good}: {}", told.join("; "))
                }
            }
        })
    }

    /// `shop_restored_1`: the first name of that kind which nobody has.
    pub fn free(&self, database: &str, kind: &str) -> String {
        let named = |number: usize| {
            let end = format!("_{kind}_{number}");
            let mut begin = database.to_owned();
            while begin.len() + end.len() > NAME_MAX {
                begin.pop();
            }
            begin + &end
        };
        // One more than there are names, so one of them is free.
        let free =
            (1..=self.databases.len() + 1).map(named).find(|name| !self.databases.contains(name));
        free.unwrap_or_else(|| named(1))
    }
}

impl Snapshot {
    fn in_words(&self) -> String {
        let Self { file, taken_at, .. } = self;
        match &self.schema {
            Ok(schema) => format!("{file} of {taken_at} holds {schema}"),
            Err(why) => format!("{file} cannot be used: {why}"),
        }
    }

    /// What is gone once it is put in the place of what is there at `now`.
    pub fn loss(&self, now: UnixMs) -> String {
        loss(self.taken_at, &self.lost, now)
    }
}

/// What is gone once a copy that was taken then is put in the place of what is there at `now`.
pub fn loss(taken_at: UnixMs, lost: &[Lost], now: UnixMs) -> String {
    let ago = now.since(taken_at).to_read();
    let begin = format!("everything that was written since {taken_at}, {ago} ago, is lost with it");
    let told: Vec<String> = lost
        .iter()
        .map(|Lost { what, rows }| match rows {
            Ok(rows) => format!("{rows} {what}"),
            Err(why) => format!("of {what} nobody can tell: {why}"),
        })
        .collect();
    match told.as_slice() {
        [] => format!("{begin}; how much that is, nobody counts"),
        told => format!("{begin}: {}", told.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: UnixMs = UnixMs(1_772_452_800_000);

    fn revision(version: &str) -> Revision {
        Revision { version: version.into(), digest: Some(format!("{version}:sha256:ab")) }
    }

    fn snapshot(file: &str, hours: i64, schema: Result<Revision, String>) -> Snapshot {
        let taken_at = UnixMs(NOON.0 - hours * 3_600_000);
        let (fingerprint, lost) = (String::new(), vec![]);
        Snapshot { file: file.into(), bytes: 7, fingerprint, taken_at, schema, lost }
    }

    #[test]
    fn the_newest_that_holds_exactly_that_schema_is_meant() {
        let other = Revision { digest: Some("5:sha256:cd".into()), ..revision("5") };
        let all = Snapshots {
            newest: vec![
                snapshot("d", 0, Ok(revision("6"))),
                snapshot("c", 1, Err("it ends too early".into())),
                snapshot("b", 2, Ok(revision("5"))),
                snapshot("a", 3, Ok(revision("5"))),
                snapshot("x", 1, Ok(other)),
            ],
            databases: [].into(),
        };
        assert_eq!(all.of(&revision("5")).unwrap().file, "b");
        let why = all.of(&revision("4")).unwrap_err();
        assert!(why.starts_with("none of 5 snapshots holds 4"), "{why}");
        assert!(why.contains("c cannot be used: it ends too early"), "{why}");
        assert_eq!(Snapshots::default().of(&revision("4")).unwrap_err(), "there is no snapshot");
    }

    #[test]
    fn a_name_that_is_taken_is_not_taken_again_and_none_is_too_long() {
        let taken = ["shop_restored_1", "shop_restored_2"].map(str::to_owned).into();
        let all = Snapshots { newest: vec![], databases: taken };
        assert_eq!(all.free("shop", "restored"), "shop_restored_3");
        assert_eq!(all.free("shop", "replaced"), "shop_replaced_1");
        let long = all.free(&"ü".repeat(31), "restored");
        assert!(long.len() <= NAME_MAX && long.ends_with("ü_restored_1"), "{long}");
    }

    #[test]
    fn what_is_lost_is_counted_or_said_not_to_be() {
        let one = snapshot("a", 3, Ok(revision("5")));
        assert_eq!(
            one.loss(NOON),
            "everything that was written since 2026-03-02T09:00:00.000Z, 3h ago, is lost with it; how much that is, nobody counts"
        );
        let rows = |what: &str, rows| Lost { what: what.into(), rows };
        let lost = vec![rows("orders", Ok(120)), rows("payments", Err("no answer".into()))];
        assert!(
            Snapshot { lost, ..one }
                .loss(NOON)
                .ends_with("is lost with it: 120 orders, of payments nobody can tell: no answer")
        );
    }
}
