//! From text to [`Raw`], with every fault of shape.
//!
//! serde stops at its first fault. So that all of them are told at once, what is at fault is cut out of the document
//! and the rest is read again, until nothing is at fault. What was cut is remembered: nobody is told that it is
//! missing.

mod cut;
mod template;

use toml::{
    Spanned,
    de::{DeTable, Deserializer},
};

use crate::config::{
    nearest::nearest,
    problem::Problem,
    raw::{Raw, SECRET_IN_THE_FILE},
};

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
}

/// Reads as much as can be read. Of a text that is not TOML, nothing.
pub(super) fn read(file: &str, text: &str) -> (Raw, Shape) {
    let mut shape = Shape::default();
    let (mut document, faults) = DeTable::parse_recoverable(text);
    if !faults.is_empty() {
        for fault in faults.iter().take(PROBLEMS_MAX) {
            let span = fault.span().unwrap_or(0..0);
            let (what, instead) = in_words(fault.message());
            let problem = Problem::error(file, text, span, what, instead);
            if shape.problems.last().is_none_or(|last: &Problem| last.line != problem.line) {
                shape.problems.push(problem);
            }
        }
        shape.cut.push(vec![]);
        return (Raw::default(), shape);
    }
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
        let (what, instead) = in_words(fault.message());
        let Some(span) = fault.span() else {
            shape.problems.push(Problem::of_file(file, what, instead));
            shape.cut.push(vec![]);
            return Raw::default();
        };
        let secret = what.starts_with(SECRET_IN_THE_FILE);
        let problem = Problem::error(file, text, span.clone(), what, instead);
        let problem = if secret { problem.without_the_line() } else { problem };
        // A template's fault is met once for each service that follows it.
        if !shape.problems.contains(&problem) {
            shape.problems.push(problem);
        }
        match cut::cut(document.get_mut(), &span) {
            Some(path) if shape.problems.len() < PROBLEMS_MAX => shape.cut.push(path),
            Some(_) | None => {
                shape.cut.push(vec![]);
                return Raw::default();
            }
        }
    }
}

/// What a message of serde's or of ours says, and what it says to write instead.
fn in_words(message: &str) -> (String, String) {
    let message = message.trim();
    if let Some((what, instead)) = message.split_once("; write ") {
        return (what.to_owned(), format!("write {instead}"));
    }
    if let Some(rest) = message.strip_prefix("unknown field `") {
        return unknown(rest, "key");
    }
    if let Some(rest) = message.strip_prefix("unknown variant `") {
        return unknown(rest, "word");
    }
    if let Some(rest) = message.strip_prefix("missing field `") {
        let key = rest.trim_end_matches('`');
        return (format!("`{key}` is missing here"), format!("add a line `{key} = ...`"));
    }
    if message.starts_with("invalid type: ") && message.ends_with("expected a string") {
        return (message.to_owned(), "write it in quotes, with its unit".to_owned());
    }
    (message.to_owned(), String::new())
}

/// `holdsfor`, expected one of `above`, `holds_for`
fn unknown(rest: &str, kind: &str) -> (String, String) {
    let (written, expected) = rest.split_once('`').unwrap_or((rest, ""));
    let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    let what = format!("`{written}` is not a {kind} that is known here");
    let instead = match (nearest(written, known.iter().copied()), known.is_empty()) {
        (Some(word), _) => format!("did you mean `{word}`?"),
        (None, true) => "leave it out: nothing can be said here".to_owned(),
        (None, false) => format!("use one of {}", known.join(", ")),
    };
    (what, instead)
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
            assert_eq!(in_words(message).1, instead, "{message}");
        }
    }
}
