//! What lies between a schema that an earlier application ran well on and the schema that is there now.

use super::{Migration, MigrationState, Schema, version::compare};
use crate::domain::change::Revision;

/// Migrations that one sentence names.
const NAMED_MAX: usize = 5;

/// What lies between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Between {
    /// Nothing that was applied since.
    Nothing,
    /// Migrations whose authors say that the earlier application runs on what they leave.
    Compatible(String),
    /// Migrations of which nobody says so.
    Incompatible(String),
    /// Nobody can tell; why not.
    Unknown(String),
}

/// What was applied since the history looked like `good`. A migration is compatible where its script's name or its description
/// holds the marker.
pub fn between(schema: &Schema, good: &Revision, marker: Option<&str>) -> Between {
    let since = match since(schema, good) {
        Ok(since) => since,
        Err(why) => return Between::Unknown(why),
    };
    if since.is_empty() {
        return Between::Nothing;
    }
    let says_so = |it: &&Migration| {
        let says = |text: &str| marker.is_some_and(|marker| text.contains(marker));
        says(&it.script) || says(&it.description)
    };
    // Of one that failed nobody knows what is there, whatever its author meant to leave.
    let is_unsaid = |it: &&Migration| it.state.is_failed() || !says_so(it);
    let silent: Vec<&Migration> = since.iter().copied().filter(is_unsaid).collect();
    match silent.as_slice() {
        [] => Between::Compatible(named(&since)),
        silent => Between::Incompatible(named(silent)),
    }
}

/// The versions to take back, in that order, until the history is again as it was when it looked like `good`.
pub fn way_back(schema: &Schema, good: &Revision) -> Result<Vec<String>, String> {
    if let Some(failed) = schema.failed().next() {
        return Err(format!(
            "{} failed and is not mended: what is there of it nobody knows, and no undo script begins from there",
            failed.called()
        ));
    }
    if let Some(run) = &schema.run {
        return Err(format!("somebody migrates it at this moment: {}", run.session));
    }
    let since = since(schema, good)?;
    let version = |it: &Migration| {
        it.version.clone().ok_or_else(|| {
            format!("{} has no version, and no tool takes a repeatable one back", it.called())
        })
    };
    let undone: Vec<String> = since.into_iter().map(version).collect::<Result<_, _>>()?;
    if undone.is_empty() {
        return Err(format!("nothing was applied since {good}"));
    }
    Ok(undone)
}

/// Whether a tool that goes back to a version takes back exactly those: it takes back all that is above, and nothing below.
pub fn are_all_above(undone: &[String], to: &Revision) -> Result<(), String> {
    let is_below = |it: &&String| to.version != "none" && compare(it, &to.version).is_le();
    match undone.iter().find(is_below) {
        None => Ok(()),
        Some(late) => Err(format!(
            "{late} was applied late, below {to}, which stays: a tool takes back all that is above the version that it goes to, and nothing else"
        )),
    }
}

/// Newest first. What was undone or deleted since is not there any more.
fn since<'s>(schema: &'s Schema, good: &Revision) -> Result<Vec<&'s Migration>, String> {
    let last = rank_of(good).ok_or_else(|| {
        format!("how far the history went when it was at {good} was not written down")
    })?;
    let newest = schema.newest.iter();
    let oldest = newest.clone().map(|it| it.rank).min();
    let all_read = schema.rows == schema.newest.len() as u64;
    if !all_read && oldest.is_none_or(|oldest| oldest > last) {
        return Err(format!("so much was applied since {good} that not all of it is read"));
    }
    Ok(newest.filter(|it| it.rank > last && is_there(it)).collect())
}

fn is_there(migration: &Migration) -> bool {
    let is_undo = migration.kind.starts_with("UNDO") || migration.kind.starts_with("DELETE");
    !is_undo
        && match migration.state {
            MigrationState::Success
            | MigrationState::OutOfOrder
            | MigrationState::MissingSuccess
            | MigrationState::FutureSuccess
            | MigrationState::Outdated
            | MigrationState::Failed
            | MigrationState::MissingFailed
            | MigrationState::FutureFailed => true,
            MigrationState::Pending
            | MigrationState::AboveTarget
            | MigrationState::BelowBaseline
            | MigrationState::BaselineIgnored
            | MigrationState::Baseline
            | MigrationState::Ignored
            | MigrationState::Undone
            | MigrationState::Available
            | MigrationState::Superseded
            | MigrationState::Deleted => false,
        }
}

fn named(all: &[&Migration]) -> String {
    let mut names: Vec<String> = all.iter().take(NAMED_MAX).map(|it| it.called()).collect();
    if all.len() > NAMED_MAX {
        names.push(format!("{} more", all.len() - NAMED_MAX));
    }
    names.join(", ")
}

/// What a schema's revision holds beside its version: the number of its newest row, and a hash over all of them.
pub fn digest(last: i64, hash: &str) -> String {
    format!("{last}:{hash}")
}

/// The number of the newest row that a schema of this revision had.
pub fn rank_of(revision: &Revision) -> Option<i64> {
    revision.digest.as_deref()?.split_once(':')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::examples;

    fn schema(newest: Vec<Migration>) -> Schema {
        let rows = newest.len() as u64;
        Schema { newest, rows, ..examples::schema("7") }
    }

    fn at(version: &str, last: i64) -> Revision {
        Revision { version: version.into(), digest: Some(digest(last, "sha256:ab")) }
    }

    fn row(rank: i64, version: Option<&str>) -> Migration {
        examples::migration(rank, version)
    }

    #[test]
    fn only_what_came_since_counts_and_what_was_taken_back_does_not() {
        let undone = Migration { state: MigrationState::Undone, ..row(3, Some("7")) };
        let undo = Migration { kind: "UNDO_SQL".into(), ..row(4, Some("7")) };
        let now = schema(vec![undo, undone, row(2, Some("6")), row(1, Some("5"))]);
        assert_eq!(between(&now, &at("6", 2), None), Between::Nothing);
        let Between::Incompatible(which) = between(&now, &at("5", 1), None) else { panic!() };
        assert_eq!(which, "V6__x.sql (version 6, \"x\")");
    }

    #[test]
    fn one_that_failed_is_compatible_whatever_it_says_of_itself_to_nothing() {
        let mut newest = Migration { description: "compatible".into(), ..row(2, Some("6")) };
        let marker = Some("compatible");
        let of = |newest: &Migration| {
            between(&schema(vec![newest.clone(), row(1, Some("5"))]), &at("5", 1), marker)
        };
        assert!(matches!(of(&newest), Between::Compatible(_)));
        newest.state = MigrationState::Failed;
        assert!(matches!(of(&newest), Between::Incompatible(_)));
    }

    #[test]
    fn a_marker_in_every_one_makes_them_compatible() {
        let marked = |rank, version| Migration {
            description: "add note rollbackd compatible".into(),
            ..row(rank, Some(version))
        };
        let marker = Some("rollbackd compatible");
        let both = schema(vec![marked(3, "7"), marked(2, "6"), row(1, Some("5"))]);
        assert!(matches!(between(&both, &at("5", 1), marker), Between::Compatible(_)));
        assert!(matches!(between(&both, &at("5", 1), None), Between::Incompatible(_)));
        let one = schema(vec![row(3, Some("7")), marked(2, "6"), row(1, Some("5"))]);
        let Between::Incompatible(which) = between(&one, &at("5", 1), marker) else { panic!() };
        assert!(which.contains("V7") && !which.contains("V6"), "{which}");
    }

    #[test]
    fn they_are_taken_back_newest_first_also_where_an_older_version_came_later() {
        let late = Migration { state: MigrationState::OutOfOrder, ..row(3, Some("4")) };
        let now = schema(vec![late, row(2, Some("6")), row(1, Some("5"))]);
        assert_eq!(way_back(&now, &at("5", 1)).unwrap(), ["4", "6"]);
        let both = ["4".to_owned(), "6".to_owned()];
        let why = are_all_above(&both, &at("5", 1)).unwrap_err();
        assert!(why.starts_with("4 was applied late, below 5"), "{why}");
        assert_eq!(are_all_above(&both[1..], &at("5", 1)), Ok(()));
        assert_eq!(are_all_above(&both, &Revision::named("none")), Ok(()));
        assert!(way_back(&now, &at("6", 3)).unwrap_err().contains("nothing was applied since"));
        let repeatable = schema(vec![row(2, None), row(1, Some("5"))]);
        assert!(way_back(&repeatable, &at("5", 1)).unwrap_err().contains("repeatable"));
    }

    #[test]
    fn what_failed_or_cannot_be_told_has_no_way_back() {
        let failed = Migration { state: MigrationState::Failed, ..row(2, Some("6")) };
        let now = schema(vec![failed, row(1, Some("5"))]);
        assert!(way_back(&now, &at("5", 1)).unwrap_err().contains("failed and is not mended"));
        assert!(matches!(between(&now, &at("5", 1), None), Between::Incompatible(_)));
        let named = Revision::named("5");
        assert!(matches!(between(&now, &named, None), Between::Unknown(_)));
        let cut = Schema { rows: 9_000, ..schema(vec![row(8_999, Some("6"))]) };
        assert!(way_back(&cut, &at("5", 7)).unwrap_err().contains("not all of it is read"));
        let read = Schema { rows: 9_000, ..schema(vec![row(8_999, Some("6")), row(7, Some("5"))]) };
        assert_eq!(way_back(&read, &at("5", 7)).unwrap(), ["6"]);
    }
}
