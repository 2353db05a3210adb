//! Asks the Prometheus servers themselves whether they understand their queries: `check --online`.

mod aws;
mod databases;
mod finds;

use std::collections::{BTreeMap, BTreeSet};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

pub use self::finds::Finds;
use crate::{
    config::{
        self, Ask, Config, Level, Poll, Problem, Read, init::propose::listed, load_text_with,
    },
    domain::{schema::Schema, service::ServiceId},
    sources::prometheus::{Prometheus, QueryError, Row, Rows},
    units::UnixMs,
};

/// Of services that are found, the queries of the first so many are tried; what all of them share is asked once anyway.
const TRIED_MAX: usize = 20;

/// How bad it is, what is wrong, what to do.
type Verdict = (Level, String, &'static str);

/// The history of migrations of each service's database, as it was read; or why it cannot be.
pub type Histories = BTreeMap<ServiceId, HistoryRead>;
/// One of them.
pub type HistoryRead = Result<Schema, String>;

/// What the servers said.
#[derive(Clone, Debug)]
pub struct Online {
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What each query for services finds now.
    pub finds: Vec<Finds>,
    /// As whom each account of AWS knows us, a sentence each.
    pub accounts: Vec<String>,
    /// How far each database is migrated.
    pub histories: Histories,
}

/// Runs each query once, those for services first. `name` and `text` are what the configuration was loaded from.
///
/// A server that refuses a query is an error, and so are errors that are a part of no total; a server that cannot be
/// reached, or that knows no such series, is a warning: both may be different when the daemon runs.
pub async fn check_online(config: &Config, name: &str, text: &str) -> Online {
    let servers = config.servers.iter();
    let servers = servers
        .filter_map(|(name, options)| Some((name.as_str(), Prometheus::new(options.clone()).ok()?)))
        .collect();
    let now = UnixMs(jiff::Timestamp::now().as_millisecond());
    let mut asking = Asking { servers, now, asked: BTreeMap::new() };
    let mut told = Told { name, text, problems: vec![] };
    let mut finds = finds::finds(config, &mut asking, &mut told).await;
    let discovered = finds.iter().map(|finds| (finds.discovery.clone(), finds.names.clone()));
    let with_found = match load_text_with(name, text, &discovered.collect()) {
        Ok((with_found, _)) => with_found,
        Err(problems) => {
            told.problems.extend(problems);
            config.clone()
        }
    };
    let mut polls = vec![];
    let mut tried: BTreeSet<&ServiceId> = BTreeSet::new();
    let mut untried: BTreeSet<&ServiceId> = BTreeSet::new();
    for poll in &with_found.polls {
        if !config.policy.services.contains_key(&poll.service) {
            tried.insert(&poll.service);
            // What is asked for all of them is known by now; another query for each of thousands is not tried.
            if tried.len() > TRIED_MAX && !asking.has_asked(poll) {
                untried.insert(&poll.service);
                continue;
            }
        }
        asking.ask(poll).await;
        polls.push(poll);
    }
    for (of, each) in &with_found.each_found {
        let stand_in = each.policy.id.name();
        for poll in &each.polls {
            // Nobody is called as the one that stands for any.
            if asking.queries(poll).iter().all(|(_, _, query)| !query.contains(stand_in)) {
                asking.ask(poll).await;
                judge(poll, &asking, &mut told, &format!("discover.{of}"));
            }
        }
    }
    for poll in &polls {
        judge(poll, &asking, &mut told, &poll.service.to_string());
    }
    let without = whose(&polls, &asking, &mut told);
    let answered: BTreeSet<&ServiceId> =
        polls.iter().filter(|poll| asking.is_answered(poll)).map(|poll| &poll.service).collect();
    finds.iter_mut().for_each(|finds| finds.note_rows(&answered, &without, &untried));
    let (histories, problems) = databases::looked(&with_found, name, text).await;
    told.problems.extend(problems);
    let (accounts, problems) = Box::pin(aws::looked(&with_found, name, text)).await;
    told.problems.extend(problems);
    Online { problems: told.problems, finds, accounts, histories }
}

/// What was asked, and the answers.
struct Asking<'c> {
    servers: BTreeMap<&'c str, Prometheus>,
    now: UnixMs,
    asked: BTreeMap<(String, String), Result<Rows, QueryError>>,
}

impl Asking<'_> {
    /// Server, key and query of each that a poll asks.
    fn queries<'p>(&self, poll: &'p Poll) -> Vec<(&'p str, &'static str, &'p str)> {
        match &poll.read {
            Read::Prometheus { server, ask, .. } => ask
                .queries()
                .into_iter()
                .map(|(key, query)| (server.as_str(), key, query))
                .collect(),
            Read::Scrape { .. }
            | Read::Health(_)
            | Read::Kubernetes(_)
            | Read::Asked(..)
            | Read::CloudWatch(..) => vec![],
        }
    }

    fn has_asked(&self, poll: &Poll) -> bool {
        let answered = |(server, _, query): &(&str, _, &str)| self.answer(server, query).is_some();
        self.queries(poll).iter().all(answered)
    }

    fn is_answered(&self, poll: &Poll) -> bool {
        let queries = self.queries(poll);
        let answered = |(server, _, query): &(&str, _, &str)| self.rows(server, query).is_some();
        !queries.is_empty() && queries.iter().all(answered)
    }

    async fn ask(&mut self, poll: &Poll) {
        for (server, _, query) in self.queries(poll) {
            self.try_query(server, query).await;
        }
    }

    async fn try_query(&mut self, server: &str, query: &str) {
        let key = (server.to_owned(), query.to_owned());
        if let Some(prometheus) =
            self.servers.get(server).filter(|_| !self.asked.contains_key(&key))
        {
            let answer = prometheus.check_online(query, self.now).await;
            self.asked.insert(key, answer);
        }
    }

    fn answer(&self, server: &str, query: &str) -> Option<&Result<Rows, QueryError>> {
        self.asked.get(&(server.to_owned(), query.to_owned()))
    }

    fn rows(&self, server: &str, query: &str) -> Option<&Rows> {
        self.answer(server, query)?.as_ref().ok()
    }
}

/// What is wrong, each once, under its query.
struct Told<'t> {
    name: &'t str,
    text: &'t str,
    problems: Vec<Problem>,
}

impl Told<'_> {
    /// `whose` is said where the query stands nowhere, for a template filled it in.
    fn add(&mut self, whose: &str, query: &str, (level, what, instead): Verdict) {
        let mut problem = match place(self.text, query) {
            Some(at) => Problem::error(self.name, self.text, at, what, instead),
            None => Problem::of_file(self.name, format!("{whose}: {what}"), instead),
        };
        problem.level = level;
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}

/// What an answer says of a query, whoever asks it.
fn judge(poll: &Poll, asking: &Asking<'_>, told: &mut Told<'_>, of: &str) {
    let whose = format!("{} of {of}", poll.signal);
    for (server, key, query) in asking.queries(poll) {
        if let Some(verdict) = asking.answer(server, query).and_then(|answer| verdict(key, answer))
        {
            told.add(&whose, query, verdict);
        }
    }
    if let Read::Prometheus { server, ask: Ask::Ratio { bad, total, .. }, .. } = &poll.read
        && let (Some(errors), Some(all)) = (asking.rows(server, bad), asking.rows(server, total))
        && let Some(verdict) = mismatch(errors, all)
    {
        told.add(&whose, bad, verdict);
    }
}

/// Server, query and the label that tells the service.
type Shared<'p> = (&'p str, &'p str, &'p str);
/// The key that asks, the value of its label, and whose it is.
type Asker<'p> = (&'static str, &'p str, &'p Poll);

/// Rows that are no service's, and services without rows, which are returned.
fn whose<'p>(
    polls: &[&'p Poll],
    asking: &Asking<'_>,
    told: &mut Told<'_>,
) -> BTreeSet<&'p ServiceId> {
    let mut without = BTreeSet::new();
    let mut shared: BTreeMap<Shared<'_>, Vec<Asker<'_>>> = BTreeMap::new();
    for poll in polls.iter().copied() {
        let Read::Prometheus { rows: whose, .. } = &poll.read else { continue };
        for (server, key, query) in asking.queries(poll) {
            let Some(rows) = asking.rows(server, query) else { continue };
            match whose {
                Some(config::Rows { label, value }) => {
                    shared.entry((server, query, label)).or_default().push((key, value, poll));
                }
                None if rows.rows.is_empty() && key != "bad" => {
                    without.insert(&poll.service);
                }
                None => {}
            }
        }
    }
    for ((server, query, label), askers) in shared {
        let Some(rows) = asking.rows(server, query) else { continue };
        let known = rows.rows.iter().filter_map(|row| row.labels.get(label));
        let known: BTreeSet<&str> = known.collect();
        // Of errors that never happened there is no series.
        let missing =
            askers.iter().filter(|(key, value, _)| *key != "bad" && !known.contains(value));
        without.extend(missing.clone().map(|(_, _, poll)| &poll.service));
        let missing = missing.map(|(_, value, _)| *value).collect();
        let (_, _, poll) = askers[0];
        let first = format!("{} of {}", poll.signal, poll.service);
        for verdict in nobodys(rows, label, &missing, askers.len()) {
            told.add(&first, query, verdict);
        }
    }
    without
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

/// Rows without the label that tells the service, and services that no row is about.
fn nobodys(rows: &Rows, label: &str, missing: &BTreeSet<&str>, of: usize) -> Vec<Verdict> {
    let mut verdicts = vec![];
    let unnamed = rows.rows.iter().filter(|row| row.labels.get(label).is_none()).count();
    if unnamed > 0 {
        verdicts.push((
            Level::Warning,
            format!("{unnamed} of {} rows have no label `{label}`", rows.rows.len()),
            "keep that label in the sum, or leave those series out",
        ));
    }
    // Where no row has the label, or there is none at all, that is said already.
    if unnamed == rows.rows.len() {
        return verdicts;
    }
    let compare = "compare label_value, or the service's name, with what Prometheus shows";
    let mut names = missing.iter();
    match (names.next(), of) {
        (None, _) => {}
        (Some(only), 1) => {
            verdicts.push((Level::Warning, format!("no row has {label}={only:?} now"), compare));
        }
        (Some(_), _) => {
            let names = listed(missing.iter().copied());
            let what =
                format!("{} of {of} services have no row by `{label}` now: {names}", missing.len());
            verdicts.push((Level::Warning, what, compare));
        }
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
