//! From the rows of a history to how each migration stands, and which version all of them make.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use sha2::{Digest, Sha256};

use super::{Migration, MigrationState, Schema, version};
use crate::domain::plan::hex;

/// A row as it is written, before anything is known of how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The row, with a state that says nothing yet.
    pub migration: Migration,
    /// Whether it was applied.
    pub success: bool,
}

/// What the rows say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The highest version that is applied and not undone.
    pub current: Option<String>,
    /// A hash over them and their number.
    pub digest: String,
    /// Each with its state, newest first.
    pub newest: Vec<Migration>,
}

impl Told {
    /// As a look shows it: of `table`, which has so many rows. Nobody migrates, as far as this says.
    pub fn schema(self, table: String, rows: u64, transactional: bool) -> Schema {
        let Self { current, digest, newest } = self;
        Schema { table, current, digest, rows, newest, waiting: vec![], run: None, transactional }
    }
}

/// Reads them, whatever their order; `rows_in_all` are there with those that were not read.
pub fn told(mut rows: Vec<Row>, rows_in_all: u64) -> Told {
    rows.sort_by_key(|row| row.migration.rank);
    let mut applied: BTreeMap<String, usize> = BTreeMap::new();
    let mut repeatable: BTreeMap<String, usize> = BTreeMap::new();
    for at in 0..rows.len() {
        let state = standing(&mut rows, at, &mut applied, &mut repeatable);
        rows[at].migration.state = state;
    }
    let current = applied.keys().max_by(|a, b| version::compare(a, b)).cloned();
    let digest = digest(rows.iter().map(|row| &row.migration), rows_in_all);
    let newest = rows.into_iter().rev().map(|row| row.migration).collect();
    Told { current, digest, newest }
}

/// Reads what somebody told who knows already how each of them stands: those that are written down, whatever their order.
pub fn of_states(mut all: Vec<Migration>, rows_max: usize) -> Told {
    all.sort_by_key(|it| it.rank);
    let is_applied = |it: &&Migration| it.state.is_applied() && !it.kind.starts_with("UNDO");
    let versions = all.iter().filter(is_applied).filter_map(|it| it.version.as_deref());
    let current = versions.max_by(|a, b| version::compare(a, b)).map(str::to_owned);
    let rows = all.len();
    let newest = all.split_off(rows.saturating_sub(rows_max));
    let digest = digest(newest.iter(), rows as u64);
    Told { current, digest, newest: newest.into_iter().rev().collect() }
}

/// How one stands after those before it, which it may undo.
fn standing(
    rows: &mut [Row],
    at: usize,
    applied: &mut BTreeMap<String, usize>,
    repeatable: &mut BTreeMap<String, usize>,
) -> MigrationState {
    let row = &rows[at];
    if !row.success {
        return MigrationState::Failed;
    }
    let (kind, version) = (row.migration.kind.clone(), row.migration.version.clone());
    let takes_back = match kind.as_str() {
        "DELETE" | "DELETED" => Some(MigrationState::Deleted),
        kind if kind.starts_with("UNDO") => Some(MigrationState::Undone),
        _ => None,
    };
    if let Some(state) = takes_back {
        let script = row.migration.script.clone();
        let gone = match &version {
            Some(version) => applied.remove(version),
            None => repeatable.remove(&script),
        };
        if let Some(gone) = gone {
            rows[gone].migration.state = state;
        }
        // An undo is itself applied; a deletion is only a mark.
        let undid = state == MigrationState::Undone;
        return if undid { MigrationState::Success } else { MigrationState::Deleted };
    }
    let Some(version) = version else {
        // The mark with which Flyway made a schema is no migration.
        if kind == "SCHEMA" {
            return MigrationState::Success;
        }
        if let Some(before) = repeatable.insert(row.migration.script.clone(), at) {
            rows[before].migration.state = MigrationState::Superseded;
        }
        return MigrationState::Success;
    };
    let is_late = applied.keys().any(|it| version::compare(it, &version) == Ordering::Greater);
    applied.insert(version, at);
    match kind.as_str() {
        "BASELINE" | "SQL_BASELINE" | "SCRIPT_BASELINE" | "JDBC_BASELINE" => {
            MigrationState::Baseline
        }
        _ if is_late => MigrationState::OutOfOrder,
        _ => MigrationState::Success,
    }
}

fn digest<'r>(rows: impl Iterator<Item = &'r Migration>, rows_in_all: u64) -> String {
    let mut hash = Sha256::new();
    hash.update(rows_in_all.to_be_bytes());
    for it in rows {
        let version = it.version.as_deref().unwrap_or("-");
        // What an author wrote cannot end a field: its length stands before it.
        for field in [version, &it.script, &it.kind, it.state.to_the_database().named()] {
            hash.update((field.len() as u64).to_be_bytes());
            hash.update(field.as_bytes());
        }
        hash.update(it.rank.to_be_bytes());
        hash.update(it.checksum.unwrap_or(i64::MIN).to_be_bytes());
    }
    format!("sha256:{}", hex(&hash.finalize()))
}

/// Scripts that were applied by `new` and not by `old`, oldest first.
pub fn added<'n>(old: &[Migration], new: &'n [Migration]) -> Vec<&'n Migration> {
    let known: BTreeSet<i64> = old.iter().map(|it| it.rank).collect();
    new.iter().rev().filter(|it| !known.contains(&it.rank)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::examples::migration;

    fn row(rank: i64, version: Option<&str>, kind: &str, success: bool) -> Row {
        let script = version.map_or("R__view.sql".into(), |it| format!("V{it}__x.sql"));
        let migration = Migration { kind: kind.into(), script, ..migration(rank, version) };
        Row { migration, success }
    }

    fn states(told: &Told) -> Vec<MigrationState> {
        told.newest.iter().rev().map(|it| it.state).collect()
    }

    #[test]
    fn the_version_is_the_highest_that_was_not_taken_back() {
        use MigrationState::{Baseline, Deleted, OutOfOrder, Success, Undone};
        let told_of = |rows: Vec<Row>| told(rows, 9);
        let all = told_of(vec![
            row(1, Some("1"), "BASELINE", true),
            row(2, Some("10"), "SQL", true),
            row(3, Some("9"), "SQL", true),
            row(4, Some("10"), "UNDO_SQL", true),
        ]);
        assert_eq!(all.current.as_deref(), Some("9"), "not the highest row, nor the newest");
        assert_eq!(states(&all), [Baseline, Undone, OutOfOrder, Success]);
        let deleted =
            told_of(vec![row(1, Some("1"), "SQL", true), row(2, Some("1"), "DELETE", true)]);
        assert_eq!((deleted.current.clone(), states(&deleted)), (None, vec![Deleted, Deleted]));
        assert_eq!(told_of(vec![]).current, None);
    }

    #[test]
    fn a_repeatable_one_has_no_version_and_is_superseded_by_itself() {
        use MigrationState::{Failed, Success, Superseded};
        let rows = vec![
            row(1, Some("1"), "SQL", true),
            row(2, None, "SQL", true),
            row(3, None, "SQL", true),
            row(4, Some("2"), "SQL", false),
        ];
        let all = told(rows, 4);
        assert_eq!(states(&all), [Success, Superseded, Success, Failed]);
        assert_eq!(all.current.as_deref(), Some("1"), "what failed is no version");
    }

    #[test]
    fn the_hash_is_of_everything_that_counts() {
        let hash = |rows: Vec<Row>, all| told(rows, all).digest;
        let one = || row(1, Some("1"), "SQL", true);
        let same = hash(vec![one()], 1);
        assert_eq!(hash(vec![one()], 1), same);
        let mut other = one();
        other.migration.checksum = Some(8);
        for rows in [vec![other], vec![row(1, Some("1"), "SQL", false)], vec![]] {
            assert_ne!(hash(rows, 1), same);
        }
        assert_ne!(hash(vec![one()], 2), same, "one more that is not read");
    }
}
