//! From text to [`Raw`], with every fault of shape.
//!
//! serde stops at its first fault. So that all of them are told at once, what is at fault is cut out of the document
//! and the rest is read again, until nothing is at fault. What was cut is remembered: nobody is told that it is
//! missing.

mod cut;
mod discovered;
mod template;

use std::collections::BTreeMap;

use toml::{
    Spanned,
    de::{DeTable, Deserializer},
};

use crate::config::{
    nearest::nearest,
    problem::Problem,
    raw::{Raw, SECRET_IN_THE_FILE},
};

pub use self::discovered::Discovered;
pub(super) use self::discovered::{StandIn, StandIns, names_any};

use serde::Deserialize;

/// Nobody reads further than this.
const PROBLEMS_MAX: usize = 100;

/// What is wrong with the shape, and what was left out because of it.
#[derive(Debug, Default)]
pub(super) struct Shape {
    /// In the order of the file.
    pub(super) problems: Vec<Problem>,
    /// The paths of tables and keys that were cut out: `service.checkout.signal`.
    pub(super) cut: Vec<Vec<String>>,
    /// Services that nobody wrote or found.
    pub(super) stand_ins: StandIns,
    /// The services, by their keys, that something is wrong with, and the first of that.
    pub(super) at_fault: BTreeMap<String, String>,
}

/// Reads as much as can be read, with the services that were found. Of a text that is not TOML, nothing.
pub(super) fn read(file: &str, text: &str, discovered: &Discovered) -> (Raw, Shape) {
    let mut shape = Shape::default();
    let (mut document, faults) = DeTable::parse_recoverable(text);
    if !faults.is_empty() {
        for fault in faults.iter().take(PROBLEMS_MAX) {
            let span = fault.span().unwrap_or(0..0);
            let Said { what, instead, .. } = Said::of(fault.message());
            let problem = Problem::error(file, text, span, what, instead).masked();
            if shape.problems.last().is_none_or(|last: &Problem| last.line != problem.line) {
                shape.problems.push(problem);
            }
        }
        shape.cut.push(vec![]);
        return (Raw::default(), shape);
    }
    shape.stand_ins = discovered::apply(document.get_mut(), discovered);
    for (span, what, instead) in template::apply(document.get_mut()) {
        shape.problems.push(Problem::error(file, text, span, what, instead));
    }
    let raw = read_table(file, text, &mut document, &mut shape);
    (raw, shape)
}

fn read_table(
    file: &str,
    text: &str,
    document: &mut Spanned<DeTable<'_>>,
    shape: &mut Shape,
) -> Raw {
    loop {
        let fault = match Raw::deserialize(Deserializer::from(document.clone())) {
            Ok(raw) => return raw,
            Err(fault) => fault,
        };
        let said = Said::of(fault.message());
        let Some(span) = fault.span() else {
            shape.problems.push(Problem::of_file(file, said.what, said.instead));
            shape.cut.push(vec![]);
            return Raw::default();
        };
        let problem = Problem::error(file, text, span.clone(), said.what, said.instead);
        let problem = if said.may_be_secret { problem.masked() } else { problem };
        let path = cut::cut(document.get_mut(), &span);
        let of_it =
            |cut: &Vec<String>, path: &[String]| cut.split_last().map(|(_, up)| up) == Some(path);
        let is_our_doing = match (&path, &said.missing) {
            (Some(path), Some(key)) => {
                shape.cut.iter().any(|cut| cut.split_last() == Some((key, path.as_slice())))
            }
            // What was said there was cut out before: that it is empty now is our doing.
            (Some(path), None) if said.is_choice => shape.cut.iter().any(|cut| of_it(cut, path)),
            (_, _) => false,
        };
        if let (Some([table, key, ..]), false) = (path.as_deref(), is_our_doing)
            && table == "service"
        {
            shape.at_fault.entry(key.clone()).or_insert_with(|| problem.what.clone());
        }
        // A template's fault is met once for each service that follows it.
        if !is_our_doing && !shape.problems.contains(&problem) {
            shape.problems.push(problem);
        }
        match path {
            Some(path) if shape.problems.len() < PROBLEMS_MAX => shape.cut.push(path),
            Some(_) | None => {
                shape.cut.push(vec![]);
                return Raw::default();
            }
        }
    }
}

/// A message of serde's or of ours, in words for people.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    what: String,
    instead: String,
    /// The key that is not there.
    missing: Option<String>,
    /// What stands on that line is not known to be harmless.
    may_be_secret: bool,
    /// One of several was to be named.
    is_choice: bool,
}

impl Said {
    fn of(message: &str) -> Self {
        let message = message.trim();
        let may_be_secret = message.starts_with(SECRET_IN_THE_FILE);
        let plain = |what: &str, instead: &str| Self {
            what: what.to_owned(),
            instead: instead.to_owned(),
            may_be_secret,
            ..Self::default()
        };
        if let Some((what, instead)) = message.split_once("; write ") {
            return plain(what, &format!("write {instead}"));
        }
        if let Some(rest) = message.strip_prefix("unknown field `") {
            return Self { may_be_secret: true, ..unknown(rest, "key") };
        }
        if let Some(rest) = message.strip_prefix("unknown variant `") {
            return unknown(rest, "word");
        }
        if let Some(rest) = message.strip_prefix("missing field `") {
            let key = rest.trim_end_matches('`').to_owned();
            return Self {
                what: format!("`{key}` is missing here"),
                instead: format!("add a line `{key} = ...`"),
                missing: Some(key),
                may_be_secret: true,
                ..Self::default()
            };
        }
        if let Some((found, expected)) =
            message.strip_prefix("invalid type: ").and_then(|rest| rest.rsplit_once(", expected "))
        {
            // The text itself is left out: it may have been meant for another key.
            let found = if found.starts_with("string ") { "a text" } else { found };
            let text = expected == "a string";
            let expected = if expected.starts_with("struct ") { "a table" } else { expected };
            return Self {
                may_be_secret: true,
                ..plain(
                    &format!("this is {found}, and {expected} is needed"),
                    if text { "write it in quotes, with its unit if it has one" } else { "" },
                )
            };
        }
        if message.starts_with("wanted exactly 1 element") {
            let (what, instead) = ("this says nothing, or more than one thing", "keep exactly one");
            return Self { is_choice: true, ..plain(what, instead) };
        }
        plain(message, "")
    }
}

/// `holdsfor`, expected one of `above`, `holds_for`
fn unknown(rest: &str, kind: &str) -> Said {
    let (written, expected) = rest.split_once('`').unwrap_or((rest, ""));
    let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    let what = format!("`{written}` is not a {kind} that is known here");
    let instead = match (nearest(written, known.iter().copied()), known.is_empty()) {
        (Some(word), _) => format!("did you mean `{word}`?"),
        (None, true) => "leave it out: nothing can be said here".to_owned(),
        (None, false) => format!("use one of {}", known.join(", ")),
    };
    Said { what, instead, ..Said::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_become_what_is_wrong_and_what_to_write() {
        let cases = [
            ("`5` is not a span of time; write it like \"5m\"", "write it like \"5m\""),
            ("unknown field `abov`, expected one of `above`, `below`", "did you mean `above`?"),
            ("unknown field `zzz`, expected `above` or `below`", "use one of above, below"),
            ("unknown field `zzz`, there are no fields", "leave it out: nothing can be said here"),
            ("missing field `url`", "add a line `url = ...`"),
            ("something else", ""),
        ];
        for (message, instead) in cases {
            assert_eq!(Said::of(message).instead, instead, "{message}");
        }
    }
}
