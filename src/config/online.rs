//! Asks the Prometheus servers themselves whether they understand their queries: `check --online`.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    config::{self, Ask, Config, Level, Problem, Read},
    sources::prometheus::{Prometheus, QueryError, Row, Rows},
    units::UnixMs,
};

/// How bad it is, what is wrong, what to do.
type Verdict = (Level, String, &'static str);

/// Runs each query once. `name` and `text` are what the configuration was loaded from.
///
/// A server that refuses a query is an error, and so are errors that are a part of no total; a server that cannot be
/// reached, or that knows no such series, is a warning: both may be different when the daemon runs.
pub async fn check_online(config: &Config, name: &str, text: &str) -> Vec<Problem> {
    let now = UnixMs(jiff::Timestamp::now().as_millisecond());
    let mut problems: Vec<Problem> = vec![];
    let servers: BTreeMap<&str, Prometheus> = config
        .servers
        .iter()
        .filter_map(|(name, options)| Some((name.as_str(), Prometheus::new(options.clone()).ok()?)))
        .collect();
    let mut asked: BTreeMap<(&str, &str), Result<Rows, QueryError>> = BTreeMap::new();
    for poll in &config.polls {
        let Read::Prometheus { server, ask, rows: whose } = &poll.read else { continue };
        let Some(prometheus) = servers.get(server.as_str()) else { continue };
        for (_, query) in ask.queries() {
            if let Entry::Vacant(new) = asked.entry((server.as_str(), query)) {
                new.insert(prometheus.check_online(query, now).await);
            }
        }
        let answers: BTreeMap<&str, &Result<Rows, QueryError>> = asked
            .iter()
            .filter(|((of, _), _)| *of == server)
            .map(|((_, query), answer)| (*query, answer))
            .collect();
        let rows = |query: &str| answers.get(query).and_then(|answer| answer.as_ref().ok());
        let mut add = |query: &str, (level, what, instead): Verdict| {
            let mut problem = match place(text, query) {
                Some(at) => Problem::error(name, text, at, what.as_str(), instead),
                None => {
                    let what = format!("{} of {}: {what}", poll.signal, poll.service);
                    Problem::of_file(name, what, instead)
                }
            };
            problem.level = level;
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        };
        for (key, query) in ask.queries() {
            if let Some(verdict) = answers.get(query).and_then(|answer| verdict(key, answer)) {
                add(query, verdict);
            }
            if let (Some(whose), Some(rows)) = (whose, rows(query)) {
                nobodys(key, whose, rows).into_iter().for_each(|verdict| add(query, verdict));
            }
        }
        if let Ask::Ratio { bad, total, .. } = ask
            && let (Some(errors), Some(all)) = (rows(bad), rows(total))
            && let Some(verdict) = mismatch(errors, all)
        {
            add(bad, verdict);
        }
    }
    problems
}

/// Errors whose labels are not the total's: no key of theirs is ever found there.
fn mismatch(bad: &Rows, total: &Rows) -> Option<Verdict> {
    let of_total: BTreeSet<Vec<&str>> = total.rows.iter().map(|row| names(row)).collect();
    let total = of_total.first()?;
    let odd = bad.rows.iter().map(names).find(|names| !of_total.contains(names))?;
    let list = |names: &[&str]| match names {
        [] => "no labels".to_owned(),
        names => format!("the labels {}", names.join(", ")),
    };
    let what = format!(
        "errors have {}, and the total has {}: they are a part of no total",
        list(&odd),
        list(total)
    );
    Some((Level::Error, what, "sum `bad` and `total` by the same labels"))
}

fn names(row: &Row) -> Vec<&str> {
    row.labels.iter().map(|(name, _)| name).filter(|name| *name != "__name__").collect()
}

/// Rows that are no service's, and a service without rows.
fn nobodys(key: &str, whose: &config::Rows, rows: &Rows) -> Vec<Verdict> {
    let config::Rows { label, value } = whose;
    let mut verdicts = vec![];
    let without = rows.rows.iter().filter(|row| row.labels.get(label).is_none()).count();
    if without > 0 {
        verdicts.push((
            Level::Warning,
            format!("{without} of {} rows have no label `{label}`", rows.rows.len()),
            "keep that label in the sum, or leave those series out",
        ));
    }
    let known = rows.rows.iter().any(|row| row.labels.get(label) == Some(value.as_str()));
    if !known && without < rows.rows.len() && key != "bad" {
        verdicts.push((
            Level::Warning,
            format!("no row has {label}=\"{value}\" now"),
            "compare label_value, or the service's name, with what Prometheus shows",
        ));
    }
    verdicts
}

fn verdict(key: &str, answer: &Result<Rows, QueryError>) -> Option<Verdict> {
    match answer {
        // Of errors that never happened there is no series.
        Ok(rows) if rows.rows.is_empty() && key != "bad" => Some((
            Level::Warning,
            "Prometheus knows no such series now".to_owned(),
            "compare the metric's name and its labels with what Prometheus shows",
        )),
        Ok(_) => None,
        Err(fault @ (QueryError::Refused { .. } | QueryError::Shape { .. })) => Some((
            Level::Error,
            fault.to_string(),
            "try the query in Prometheus's own page, and write what works there",
        )),
        Err(fault @ QueryError::TooMany { .. }) => Some((
            Level::Error,
            fault.to_string(),
            "sum more labels away, or raise `rows` of the server",
        )),
        Err(fault) => Some((
            Level::Warning,
            format!("the query was not tried: {}", in_full(fault)),
            "start the server, or correct its url",
        )),
    }
}

fn in_full(fault: &QueryError) -> String {
    match fault {
        QueryError::Transport(failure) => failure.story(),
        QueryError::Address(_)
        | QueryError::Refused { .. }
        | QueryError::NotPrometheus { .. }
        | QueryError::Cut
        | QueryError::Shape { .. }
        | QueryError::TooMany { .. } => fault.to_string(),
    }
}

/// Where a text stands in the file; nowhere when a template filled it in.
pub(super) fn place(text: &str, query: &str) -> Option<std::ops::Range<usize>> {
    let document = DeTable::parse(text).ok()?;
    in_table(document.get_ref(), query)
}

fn in_table(table: &DeTable<'_>, query: &str) -> Option<std::ops::Range<usize>> {
    table.values().find_map(|value: &Spanned<DeValue<'_>>| match value.get_ref() {
        DeValue::String(found) if found == query => Some(value.span()),
        DeValue::Table(inner) => in_table(inner, query),
        DeValue::String(_)
        | DeValue::Array(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => None,
    })
}
