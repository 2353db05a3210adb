//! How far a service's database is migrated, and what is wrong with that.

use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        change::Component,
        integrity::CheckPolicy,
        schema::{Doing, Migration, Run},
        situation::Situation,
        verification::Standing,
    },
    units::Span,
};

/// So many of the newest migrations are shown.
const NEWEST_MAX: usize = 5;

/// A database's history of migrations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseView {
    /// Which database.
    pub place: String,
    /// The history's table.
    pub table: Option<String>,
    /// The highest version that is applied and not undone.
    pub version: Option<String>,
    /// Whether the application has served healthily on it for the bake time.
    pub is_known_good: bool,
    /// How many rows its history has.
    pub rows: u64,
    /// The newest of them, newest first, each with its state.
    pub newest: Vec<String>,
    /// What is to be applied and was not yet, where that is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<String>,
    /// A migration under way, and what it does.
    pub runs: Option<String>,
    /// What is wrong, in a sentence.
    pub trouble: Option<String>,
    /// Why nobody can tell.
    pub unknown: Option<String>,
    /// What its data must be, and is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckView>,
}

/// A check of the data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckView {
    /// Its name.
    pub name: String,
    /// Where it is asked.
    pub place: String,
    /// How it stands, in words.
    pub says: String,
    /// Whether it is violated and confirmed.
    pub is_violated: bool,
    /// Whether it passes, is violated, or nobody can tell.
    #[serde(default = "unknown")]
    pub standing: Standing,
    /// How long the newest query took.
    pub took: Option<Span>,
}

/// Of a daemon that does not say it.
fn unknown() -> Standing {
    Standing::Unknown
}

impl DatabaseView {
    pub(super) fn of(s: &Situation<'_>) -> Option<Self> {
        let policy = s.policy.database.as_ref()?;
        let (seen, ledger) = (&s.watch.database, &s.state.ledger);
        let entry = ledger
            .serving(Component::Database)
            .and_then(|revision| ledger.entry(Component::Database, revision));
        let schema = seen.known();
        let line = |it: &Migration| format!("{}: {}", it.called(), it.state);
        let newest = schema.into_iter().flat_map(|it| &it.newest).take(NEWEST_MAX);
        let waiting = schema.into_iter().flat_map(|it| &it.waiting).take(NEWEST_MAX);
        Some(Self {
            place: policy.place.clone(),
            table: schema.map(|it| it.table.clone()),
            version: schema.and_then(|it| it.current.clone()),
            is_known_good: entry.is_some_and(|it| it.known_good_at.is_some()),
            rows: schema.map_or(0, |it| it.rows),
            newest: newest.map(line).collect(),
            waiting: waiting.map(line).collect(),
            runs: schema.and_then(|it| it.run.as_ref()).map(in_words),
            trouble: schema.and_then(|_| seen.trouble(policy)).map(|it| it.says),
            unknown: seen.unknown().map(str::to_owned),
            checks: s.policy.checks.iter().map(|(name, it)| checked(s, name, it)).collect(),
        })
    }
}

fn checked(s: &Situation<'_>, name: &str, policy: &CheckPolicy) -> CheckView {
    let shown = s.watch.integrity.shown(name);
    CheckView {
        name: name.to_owned(),
        place: policy.place.clone(),
        says: shown.says,
        is_violated: shown.is_violated,
        standing: shown.standing,
        took: shown.took,
    }
}

fn in_words(run: &Run) -> String {
    let doing = match &run.doing {
        Doing::Works => "works".to_owned(),
        Doing::Waits { what, .. } => format!("waits for {what}"),
        Doing::Nothing { span } => format!("does nothing since {}", span.to_read()),
        Doing::Hidden { why } => format!("is not shown: {why}"),
    };
    let span = run.span.map_or_else(String::new, |span| format!(" for {}", span.to_read()));
    format!("a migration runs{span}: {} {doing}", run.session)
}
