//! Which snapshot is meant: the newest that was taken while the schema was the one on which the earlier code ran well.

use super::{AVAILABLE, Candidate, Seen, Snapshot, SnapshotKind};
use crate::{
    domain::{
        change::Revision,
        schema::{Migration, Schema, between::rank_of},
    },
    units::{Span, UnixMs},
};

/// So far from a migration it must have been taken: neither clock is exact, and what is begun first may be in it last.
const APART: Span = Span::minutes(1);
/// From this version on PostgreSQL's major version is one number.
const POSTGRES_OF_ONE_PART: u32 = 10;
/// Snapshots that one sentence names.
const NAMED_MAX: usize = 5;

/// What the operator wants of one.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'w> {
    /// What it is of.
    pub name: &'w str,
    /// Of which kind; any where none is said.
    pub kind: Option<SnapshotKind>,
    /// How old it may be.
    pub age_max: Option<Span>,
    /// How many older ones may be tried where the newest cannot be restored.
    pub fallbacks: usize,
}

/// While the schema was so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// When the last migration that belongs to it was done; always, where none does.
    pub since: Option<UnixMs>,
    /// When the first that does not was begun; it is so now, where none was.
    pub until: Option<UnixMs>,
}

/// While the schema was `good`, as the history of migrations tells that is there now.
pub fn window(schema: &Schema, good: &Revision) -> Result<Window, String> {
    let last = rank_of(good).ok_or_else(|| {
        format!("how far the history went when it was at {good} was not written down")
    })?;
    let (later, earlier): (Vec<&Migration>, Vec<&Migration>) =
        schema.newest.iter().partition(|it| it.rank > last);
    if earlier.is_empty() && schema.rows != schema.newest.len() as u64 {
        return Err(format!("so much was applied since {good} that not all of it is read"));
    }
    let at = |it: &&Migration| {
        let at = it
            .installed_at
            .ok_or_else(|| format!("when {} was applied nobody can tell", it.called()))?;
        Ok::<_, String>((at, Span(it.execution_ms.max(0))))
    };
    let begun = later.iter().map(at).map(|it| it.map(|(at, took)| at - took));
    let until = begun.collect::<Result<Vec<_>, _>>()?.into_iter().min();
    let done = earlier.iter().map(at).map(|it| it.map(|(at, took)| at + took));
    // Of those long before it the newest counts alone, and one without a time may be that.
    let since = done.collect::<Result<Vec<_>, _>>()?.into_iter().max();
    Ok(Window { since, until })
}

/// Those that can be restored, the newest first, each with a name for what is made of it; or why none can.
pub fn choose(
    seen: &Seen,
    wanted: Wanted<'_>,
    (schema, good): (&Schema, &Revision),
    now: UnixMs,
) -> Result<Vec<Candidate>, String> {
    let window = window(schema, good)?;
    let mut usable = vec![];
    let mut told = vec![];
    for snapshot in &seen.snapshots {
        match why_not(seen, snapshot, wanted, window, now) {
            Some(why) => told.push(format!("{}: {why}", snapshot.name)),
            None => usable.extend(snapshot.taken_at.map(|at| (at, snapshot.arn.clone()))),
        }
    }
    usable.sort_by(|a, b| b.cmp(a));
    usable.truncate(wanted.fallbacks + 1);
    if usable.is_empty() {
        let all = told.len();
        told.truncate(NAMED_MAX);
        return Err(match told.as_slice() {
            [] => format!("there is no snapshot of {}", wanted.name),
            told => format!("none of {all} snapshots holds {good}: {}", told.join("; ")),
        });
    }
    let names = seen.free(wanted.name, usable.len());
    let named = usable.into_iter().zip(names);
    Ok(named
        .map(|((taken_at, snapshot), restored)| Candidate { snapshot, taken_at, restored })
        .collect())
}

/// The version of the snapshot, where its parameter group is not that of what is there: the groups that a new one is told are of one major version.
fn other_major<'s>(seen: &Seen, snapshot: &'s Snapshot) -> Option<&'s str> {
    let Seen { source, .. } = seen;
    let version = snapshot.version.as_deref().filter(|_| !source.version.is_empty())?;
    let is_other = major(&source.engine, version) != major(&source.engine, &source.version);
    is_other.then_some(version)
}

/// `15` of PostgreSQL's 15.4, `8.0` of MySQL's 8.0.36, `19` of Oracle's 19.0.0.0.
fn major(engine: &str, version: &str) -> Vec<String> {
    let parts: Vec<&str> = version.split('.').collect();
    let first = parts.first().and_then(|it| it.parse::<u32>().ok()).unwrap_or(0);
    let by_first = match engine {
        _ if engine.contains("postgres") => first >= POSTGRES_OF_ONE_PART,
        _ => !engine.contains("mysql") && !engine.contains("mariadb"),
    };
    let many = if by_first { 1 } else { 2 };
    parts.into_iter().take(many).map(str::to_owned).collect()
}

fn why_not(
    seen: &Seen,
    snapshot: &Snapshot,
    wanted: Wanted<'_>,
    window: Window,
    now: UnixMs,
) -> Option<String> {
    if wanted.kind.is_some_and(|kind| kind != snapshot.kind) {
        return Some("it is not of the kind that `snapshots` names".to_owned());
    }
    let is_of_it = |of: &String| seen.source.resource.as_ref().is_none_or(|it| it == of);
    if !snapshot.of.as_ref().is_none_or(is_of_it) {
        return Some("it is of another one, that had this name before".to_owned());
    }
    if snapshot.status != AVAILABLE {
        return Some(format!("it is `{}`", snapshot.status));
    }
    if snapshot.engine != seen.source.engine {
        return Some(format!("it is of {}, and not of {}", snapshot.engine, seen.source.engine));
    }
    if let Some(version) = other_major(seen, snapshot) {
        return Some(format!("it is of version {version}, and not of {}", seen.source.version));
    }
    if seen.source.encrypted && !snapshot.encrypted {
        return Some("it is not encrypted, and what is there is".to_owned());
    }
    let Some(taken_at) = snapshot.taken_at else {
        return Some("AWS does not say when it was taken".to_owned());
    };
    let age = now.since(taken_at);
    if let Some(age_max) = wanted.age_max.filter(|age_max| age > *age_max) {
        return Some(format!("it is {} old, which is more than {age_max}", age.to_read()));
    }
    if let Some(since) = window.since.filter(|since| taken_at < *since + APART) {
        return Some(format!(
            "it was taken at {taken_at}, and the schema was at that only from {since} on"
        ));
    }
    let until = window.until.filter(|until| taken_at + APART > *until)?;
    Some(format!("it was taken at {taken_at}, and what is to go was begun at {until}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        examples,
        rds::tests::{seen, snapshot},
        schema::between::digest,
    };

    const NOON: UnixMs = UnixMs(1_772_452_800_000);

    fn hours(hours: i64) -> UnixMs {
        NOON - Span::hours(hours)
    }

    fn row(rank: i64, version: &str, at: Option<UnixMs>) -> Migration {
        Migration {
            installed_at: at,
            execution_ms: 60_000,
            ..examples::migration(rank, Some(version))
        }
    }

    fn schema(newest: Vec<Migration>) -> Schema {
        let rows = newest.len() as u64;
        Schema { newest, rows, ..examples::schema("7") }
    }

    fn good() -> Revision {
        Revision { version: "5".into(), digest: Some(digest(1, "sha256:ab")) }
    }

    fn wanted(fallbacks: usize) -> Wanted<'static> {
        Wanted { name: "shop", kind: None, age_max: None, fallbacks }
    }

    fn migrated() -> Schema {
        schema(vec![row(2, "7", Some(hours(2))), row(1, "5", Some(hours(30)))])
    }

    fn chosen(seen: &Seen, wanted: Wanted<'_>) -> Result<Vec<Candidate>, String> {
        choose(seen, wanted, (&migrated(), &good()), NOON)
    }

    #[test]
    fn the_newest_that_was_taken_between_the_two_migrations_is_meant_and_older_ones_are_named() {
        let all = seen(vec![
            snapshot("after", hours(1)),
            snapshot("old", hours(20)),
            snapshot("newest", hours(5)),
            snapshot("older", hours(25)),
            snapshot("before", hours(40)),
        ]);
        let chosen = |fallbacks| chosen(&all, wanted(fallbacks)).unwrap();
        let names = |all: Vec<Candidate>| -> Vec<String> {
            let name = |it: Candidate| it.snapshot.rsplit(':').next().unwrap().to_owned();
            all.into_iter().map(name).collect()
        };
        assert_eq!(names(chosen(0)), ["newest"]);
        assert_eq!(names(chosen(1)), ["newest", "old"]);
        assert_eq!(names(chosen(9)), ["newest", "old", "older"]);
        assert_eq!(chosen(1)[1].restored, "shop-restored-2", "each has a name of its own");
    }

    #[test]
    fn one_that_was_taken_while_somebody_migrated_is_none() {
        for (taken_at, is_used) in [
            (hours(2), false),
            // It took a minute, and was written down when it was done.
            (hours(2) - Span::seconds(90), false),
            (hours(2) - Span::minutes(3), true),
            (hours(30) + Span::minutes(1), false),
            (hours(30) + Span::minutes(2), true),
        ] {
            let all = seen(vec![snapshot("s", taken_at)]);
            assert_eq!(chosen(&all, wanted(0)).is_ok(), is_used, "{taken_at}");
        }
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        let fine = || snapshot("s", hours(5));
        let other = Snapshot { kind: SnapshotKind::Manual, ..fine() };
        let cases = [
            (Snapshot { status: "creating".into(), ..fine() }, "`creating`"),
            (Snapshot { engine: "mysql".into(), ..fine() }, "of mysql"),
            (Snapshot { version: Some("14.9".into()), ..fine() }, "of version 14.9, and not of 15"),
            (Snapshot { encrypted: false, ..fine() }, "not encrypted"),
            (Snapshot { taken_at: None, ..fine() }, "when it was taken"),
            (Snapshot { of: Some("db-2".into()), ..fine() }, "had this name before"),
            (other, "not of the kind"),
            (snapshot("s", hours(11)), "more than 10h"),
        ];
        let wanted = Wanted {
            kind: Some(SnapshotKind::Automated),
            age_max: Some(Span::hours(10)),
            ..wanted(3)
        };
        for (one, why) in cases {
            let said = chosen(&seen(vec![one]), wanted).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
        assert!(chosen(&seen(vec![fine()]), wanted).is_ok());
        let said = chosen(&seen(vec![]), wanted).unwrap_err();
        assert_eq!(said, "there is no snapshot of shop");
    }

    #[test]
    fn a_major_version_is_what_its_parameter_groups_are_of() {
        for (engine, one, other, is_same) in [
            ("postgres", "15.4", "15.10", true),
            ("aurora-postgresql", "15.4", "16.1", false),
            ("postgres", "9.5.2", "9.6.1", false),
            ("mysql", "8.0.36", "8.0.40", true),
            ("mysql", "8.0.36", "8.4.3", false),
            ("aurora-mysql", "8.0.mysql_aurora.3.04.0", "5.7.mysql_aurora.2.11.2", false),
            ("mariadb", "10.6.14", "10.11.6", false),
            ("oracle-ee", "19.0.0.0.ru-1", "19.0.0.0.ru-2", true),
            ("sqlserver-se", "15.00.4198.2.v1", "16.00.4003.1.v1", false),
        ] {
            assert_eq!(major(engine, one) == major(engine, other), is_same, "{engine} {other}");
        }
    }

    #[test]
    fn without_knowing_when_a_migration_was_applied_nobody_can_tell() {
        let all = seen(vec![snapshot("s", hours(5))]);
        for schema in [
            schema(vec![row(2, "7", None), row(1, "5", Some(hours(30)))]),
            schema(vec![row(2, "7", Some(hours(2))), row(1, "5", None)]),
        ] {
            let said = choose(&all, wanted(0), (&schema, &good()), NOON).unwrap_err();
            assert!(said.contains("nobody can tell"), "{said}");
        }
        let cut = Schema { rows: 900, ..schema(vec![row(2, "7", Some(hours(2)))]) };
        assert!(window(&cut, &good()).unwrap_err().contains("not all of it is read"));
        let first = schema(vec![row(2, "7", Some(hours(2)))]);
        assert_eq!(window(&first, &good()).unwrap().since, None);
        let named = Revision::named("5");
        assert!(window(&migrated(), &named).unwrap_err().contains("not written down"));
    }
}
