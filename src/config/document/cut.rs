//! Cuts out of a document what is at fault, as little of it as can be.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

/// How well an entry fits the place of a fault; the least fits best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// Its key is at fault: the key is not known.
    Key,
    /// Its value is at fault.
    Value,
    /// The fault lies this deep in its value.
    Within(usize),
}

/// Removes the entry that the fault lies in and returns its path; `None` when there is no such entry.
pub(super) fn cut(document: &mut DeTable<'_>, at: &Range<usize>) -> Option<Vec<String>> {
    let mut best = None;
    search(document, at, &mut vec![], &mut best);
    let (_, path) = best?;
    remove(document, &path).then_some(path)
}

fn search(
    table: &DeTable<'_>,
    at: &Range<usize>,
    path: &mut Vec<String>,
    best: &mut Option<(Fit, Vec<String>)>,
) {
    for (key, value) in table {
        path.push(key.get_ref().to_string());
        let fit = fit(key, value, at);
        // Of entries that fit alike the deeper one is cut, for it takes less with it.
        let better = |fit: Fit| {
            best.as_ref().is_none_or(|(other, other_path)| {
                fit < *other || fit == *other && path.len() > other_path.len()
            })
        };
        if let Some(fit) = fit.filter(|fit| better(*fit)) {
            *best = Some((fit, path.clone()));
        }
        if let DeValue::Table(inner) = value.get_ref() {
            search(inner, at, path, best);
        }
        path.pop();
    }
}

fn fit(
    key: &Spanned<DeString<'_>>,
    value: &Spanned<DeValue<'_>>,
    at: &Range<usize>,
) -> Option<Fit> {
    let span = value.span();
    if key.span() == *at {
        Some(Fit::Key)
    } else if span == *at {
        Some(Fit::Value)
    } else if span.start <= at.start && at.end <= span.end {
        Some(Fit::Within(span.len()))
    } else {
        None
    }
}

fn remove(table: &mut DeTable<'_>, path: &[String]) -> bool {
    match path {
        [] => false,
        [last] => table.remove(last.as_str()).is_some(),
        [first, rest @ ..] => match table.get_mut(first.as_str()).map(Spanned::get_mut) {
            Some(DeValue::Table(inner)) => remove(inner, rest),
            Some(_) | None => false,
        },
    }
}
