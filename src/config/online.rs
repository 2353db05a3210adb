//! Asks the Prometheus servers themselves whether they understand their queries: `check --online`.

use std::collections::{BTreeMap, btree_map::Entry};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    config::{Config, Level, Problem, Read},
    sources::prometheus::{Prometheus, QueryError, Rows},
    units::UnixMs,
};

/// How bad it is, what is wrong, what to do.
type Verdict = (Level, String, &'static str);

/// Runs each query once. `name` and `text` are what the configuration was loaded from.
///
/// A server that refuses a query is an error; one that cannot be reached, or that knows no such series, is a warning:
/// both may be different when the daemon runs.
pub async fn check_online(config: &Config, name: &str, text: &str) -> Vec<Problem> {
    let now = UnixMs(jiff::Timestamp::now().as_millisecond());
    let mut problems: Vec<Problem> = vec![];
    let servers: BTreeMap<&str, Prometheus> = config
        .servers
        .iter()
        .filter_map(|(name, options)| Some((name.as_str(), Prometheus::new(options.clone()).ok()?)))
        .collect();
    let mut asked: BTreeMap<(&str, &str), Option<Verdict>> = BTreeMap::new();
    for poll in &config.polls {
        let Read::Prometheus { server, ask, .. } = &poll.read else { continue };
        let Some(prometheus) = servers.get(server.as_str()) else { continue };
        for (key, query) in ask.queries() {
            let question = (server.as_str(), query);
            let found = match asked.entry(question) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    new.insert(verdict(key, &prometheus.check_online(query, now).await))
                }
            };
            let Some((level, what, instead)) = found else { continue };
            let at = place(text, query);
            let mut problem = match at {
                Some(at) => Problem::error(name, text, at, what.as_str(), *instead),
                None => {
                    let what = format!("{} of {}: {what}", poll.signal, poll.service);
                    Problem::of_file(name, what, *instead)
                }
            };
            problem.level = *level;
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
    }
    problems
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
fn place(text: &str, query: &str) -> Option<std::ops::Range<usize>> {
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
