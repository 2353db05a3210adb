//! What a service's data must be.

use std::collections::BTreeMap;

use toml::Spanned;

use super::Reached;
use crate::{
    config::{check::found::Found, raw},
    databases::{
        Options,
        checks::{Asks, Check},
    },
    domain::integrity::Expects,
    units::{Percent, Span},
};

/// Names stand in pages and in a metric's label.
const NAME_MAX: usize = 60;
/// The one that is made for a replica.
const LAG: &str = "replica-lag";
const FOREIGN_KEYS_MAX: usize = 200;
const INSTEAD: &str = "write one of no_row = true, within = [0, 100], drops_at_most = \"10%\" and foreign_keys = true";

/// Every `[service.KEY.database.check.NAME]`.
pub(super) fn checks(
    found: &mut Found<'_>,
    said: &raw::Table<raw::Check>,
    reached: &Reached,
    schema: Option<&str>,
) -> BTreeMap<String, Check> {
    let of = |(name, said): (&Spanned<String>, &raw::Check)| {
        let check = check(found, name, said, (reached, schema))?;
        Some((name.get_ref().clone(), check))
    };
    let mut all: BTreeMap<String, Check> = said.iter().filter_map(of).collect();
    if let Some(max) = reached.lag_max {
        if let Some(name) = said.keys().find(|name| name.get_ref() == LAG) {
            let instead = "call it something else";
            found.error(name.span(), "replica_lag_max makes a check of that name", instead);
        }
        all.insert(LAG.to_owned(), lag(reached, max));
    }
    all
}

/// Of the replica itself.
fn lag(reached: &Reached, max: Span) -> Check {
    Check {
        options: reached.replica.clone(),
        asks: Asks::Lag { primary: Box::new(reached.options.clone()) },
        expects: Expects::LagAtMost { max },
        every: Span::minutes(1),
        every_watched: Span::minutes(1),
        shows_after: Span::ZERO,
        confirm_after: Span::seconds(10),
        share: reached.share,
    }
}

fn check(
    found: &mut Found<'_>,
    name: &Spanned<String>,
    said: &raw::Check,
    (reached, schema): (&Reached, Option<&str>),
) -> Option<Check> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.get_ref().is_empty()
        || name.get_ref().len() > NAME_MAX
        || !name.get_ref().chars().all(legal)
    {
        let instead = format!("use letters, digits and . _ -, at most {NAME_MAX} of them");
        found.error(name.span(), format!("`{name}` cannot be a check's name"), instead);
    }
    let expects = expects(found, name, said);
    let most = found.at_least_one(&said.foreign_keys_max, FOREIGN_KEYS_MAX);
    let asks = match (&said.query, expects) {
        (None, Some(Expects::ForeignKeys)) => {
            Some(Asks::ForeignKeys { schema: schema.map(str::to_owned), most })
        }
        (Some(said), Some(Expects::ForeignKeys)) => {
            let instead = "leave out the query: its catalogue says what is to be asked";
            found.error(said.span(), "foreign keys are asked by no query", instead);
            None
        }
        (Some(said), _) => query(found, said).map(Asks::Query),
        (None, None) => None,
        (None, Some(_)) => {
            let what = format!("nobody knows what the check `{name}` asks");
            found.error(name.span(), what, "add a line query = \"SELECT ...\"");
            None
        }
    };
    let timeout = found.positive(&said.statement_timeout, reached.replica.statement_timeout);
    let every = found.positive(&said.every, Span::minutes(5));
    let every_watched = found.positive(&said.every_watched, every.min(Span::minutes(1)));
    let confirm_after = found.positive(&said.confirm_after, Span::seconds(10));
    Some(Check {
        options: Options { statement_timeout: timeout, ..reached.replica.clone() },
        asks: asks?,
        expects: expects?,
        every,
        every_watched,
        shows_after: reached.lag_max.unwrap_or(Span::ZERO),
        confirm_after,
        share: reached.share,
    })
}

/// What it does is the server's to refuse, which lets this session only read. What it plainly is not, is told at once.
fn query(found: &mut Found<'_>, said: &Spanned<String>) -> Option<String> {
    let query = said.get_ref().trim().trim_end_matches(';').trim_end();
    let first: String = query.chars().take_while(char::is_ascii_alphabetic).collect();
    let what = match first.to_ascii_uppercase().as_str() {
        "SELECT" | "WITH" if query.contains(';') => "there is more than one statement in it",
        "SELECT" | "WITH" => return Some(query.to_owned()),
        _ => "it does not begin with SELECT or WITH",
    };
    let instead = "write one SELECT; a semicolon inside a text is chr(59) on PostgreSQL and char(59) on MariaDB";
    found.error(said.span(), what, instead);
    None
}

/// Exactly one of them.
fn expects(found: &mut Found<'_>, name: &Spanned<String>, said: &raw::Check) -> Option<Expects> {
    let said_so = [
        said.no_row.as_ref().map(Spanned::span),
        said.within.as_ref().map(Spanned::span),
        said.drops_at_most.as_ref().map(Spanned::span),
        said.foreign_keys.as_ref().map(Spanned::span),
    ];
    match said_so.into_iter().flatten().collect::<Vec<_>>().as_slice() {
        [_] => {}
        [] => {
            let what = format!("nobody knows what the answer of the check `{name}` must be");
            found.error(name.span(), what, INSTEAD);
            return None;
        }
        [.., last] => {
            found.error(last.clone(), "it must be two things at once", INSTEAD);
            return None;
        }
    }
    if let Some(within) = &said.within {
        return bounds(found, within);
    }
    if let Some(drops) = &said.drops_at_most {
        return fall(found, drops);
    }
    let (said, expects) = match (&said.no_row, &said.foreign_keys) {
        (Some(no_row), _) => (no_row, Expects::NoRow),
        (None, foreign_keys) => (foreign_keys.as_ref()?, Expects::ForeignKeys),
    };
    if !*said.get_ref() {
        found.error(said.span(), "nobody knows what its answer must be", INSTEAD);
        return None;
    }
    Some(expects)
}

fn fall(found: &mut Found<'_>, said: &Spanned<Percent>) -> Option<Expects> {
    let share = said.get_ref().0;
    if (0.0..1.0).contains(&share) {
        return Some(Expects::DropsAtMost { share });
    }
    let instead = "write a share from 0% to below 100%: drops_at_most = \"10%\"";
    found.error(said.span(), "a number cannot fall by that and be one", instead);
    None
}

fn bounds(found: &mut Found<'_>, within: &Spanned<Vec<f64>>) -> Option<Expects> {
    match within.get_ref().as_slice() {
        [low, high] if low.is_finite() && high.is_finite() && low <= high => {
            Some(Expects::Within { low: *low, high: *high })
        }
        _ => {
            let instead =
                "write the lowest and the highest number that is legal: within = [0, 100]";
            found.error(within.span(), "these are no bounds", instead);
            None
        }
    }
}
