//! What a service's data must be.

use std::collections::BTreeMap;

use toml::Spanned;

use super::Reached;
use crate::{
    config::{check::found::Found, raw},
    databases::{Options, checks::Check},
    domain::integrity::Expects,
    units::Span,
};

/// Names stand in pages and in a metric's label.
const NAME_MAX: usize = 60;

/// Every `[service.KEY.database.check.NAME]`.
pub(super) fn checks(
    found: &mut Found<'_>,
    said: &raw::Table<raw::Check>,
    reached: &Reached,
) -> BTreeMap<String, Check> {
    let of = |(name, said): (&Spanned<String>, &raw::Check)| {
        let check = check(found, name, said, reached)?;
        Some((name.get_ref().clone(), check))
    };
    said.iter().filter_map(of).collect()
}

fn check(
    found: &mut Found<'_>,
    name: &Spanned<String>,
    said: &raw::Check,
    reached: &Reached,
) -> Option<Check> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.get_ref().is_empty()
        || name.get_ref().len() > NAME_MAX
        || !name.get_ref().chars().all(legal)
    {
        let instead = format!("use letters, digits and . _ -, at most {NAME_MAX} of them");
        found.error(name.span(), format!("`{name}` cannot be a check's name"), instead);
    }
    let query = query(found, &said.query);
    let expects = expects(found, name, said);
    let timeout = found.positive(&said.statement_timeout, reached.replica.statement_timeout);
    let every = found.positive(&said.every, Span::minutes(5));
    let confirm_after = found.positive(&said.confirm_after, Span::seconds(10));
    Some(Check {
        options: Options { statement_timeout: timeout, ..reached.replica.clone() },
        query: query?,
        expects: expects?,
        every,
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

fn expects(found: &mut Found<'_>, name: &Spanned<String>, said: &raw::Check) -> Option<Expects> {
    let instead = "write no_row = true, or within = [0, 100]";
    match (&said.no_row, &said.within) {
        (Some(no_row), None) if *no_row.get_ref() => Some(Expects::NoRow),
        (Some(no_row), None) => {
            found.error(no_row.span(), "nobody knows what its answer must be", instead);
            None
        }
        (None, Some(within)) => bounds(found, within),
        (Some(_), Some(within)) => {
            found.error(within.span(), "it must be two things at once", "keep no_row or within");
            None
        }
        (None, None) => {
            let what = format!("nobody knows what the answer of the check `{name}` must be");
            found.error(name.span(), what, instead);
            None
        }
    }
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
