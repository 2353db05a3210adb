//! Writes the file: one query for all services that a label tells apart, the names of one service in its own.

use std::collections::BTreeMap;

use super::{By, conventions::CONVENTIONS, listed, survey::selector};
use crate::sources::reading::TimeUnit;

/// What is to be written.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// The Prometheus that is read.
    pub(super) prometheus: Option<String>,
    /// The services.
    pub(super) named: Vec<Named>,
    /// What only a single service has.
    pub(super) own: Own,
}

/// A service.
#[derive(Debug)]
pub(super) struct Named {
    /// Its key in the file, which is its name.
    pub(super) key: String,
    /// The value of the label that tells it.
    pub(super) value: String,
    /// How Prometheus is asked about it.
    pub(super) by: Option<By>,
    /// Whether nobody saw any of it.
    pub(super) guessed: bool,
}

/// What a person says of one service.
#[derive(Debug, Default)]
pub(super) struct Own {
    pub(super) scraped: Option<Scraped>,
    pub(super) health: Option<String>,
    pub(super) release_root: Option<String>,
    pub(super) unit: Option<String>,
    pub(super) version_url: Option<String>,
}

/// A service's own metrics.
#[derive(Debug)]
pub(super) struct Scraped {
    pub(super) url: String,
    pub(super) by: By,
    pub(super) guessed: bool,
}

const HEAD: &str = "\
# A first configuration, written by `rollbackd init`. It observes: it decides and tells, and touches nothing.
#
#   rollbackd check FILE --online     whether everything in it can be used, and Prometheus knows the series
#   rollbackd check FILE --explain    what will happen when
#   rollbackd run --config FILE
#
# For completion and help in an editor: `rollbackd schema > rollbackd.schema.json`, and `#:schema ./rollbackd.schema.json`
# as the first line of this file.

mode = \"observe\"                      # later \"approve\" (a person says yes), then \"auto\"
#state_dir = \"/var/lib/rollbackd\"     # a directory of the daemon's own
";

const GUESS: &str =
    "# A guess: nothing of it was seen. Compare the names with what is really there.\n";

const ROLLBACK: &str = "
# How a service is rolled back, once it is: say watch_only = false in it, and
#[service.NAME.rollback.application.release]
#root = \"/srv/NAME\"                                             # with releases/VERSION/ and `current`
#restart = { unit = \"NAME.service\" }
#running = { http = { url = \"http://127.0.0.1:8080/version\" } }
";

const NOTIFY: &str = "
# Who is told. Without a channel the daemon's log is the only one.
#[notify.ops.slack]
#url = { file = \"/etc/rollbackd/slack-url\" }
";

impl By {
    /// What is most common.
    pub(super) fn guess() -> Self {
        let convention = CONVENTIONS.iter().find(|c| c.key == "http").unwrap_or(&CONVENTIONS[0]);
        Self {
            convention,
            label: "job",
            label_may_lack: false,
            failed: convention.failed[0],
            histogram: true,
            process: "instance",
        }
    }

    /// The queries for bad requests, for all and for the histogram; of one service, or told apart by the label.
    fn queries(&self, of: Option<&str>) -> (String, String, Option<(String, TimeUnit)>) {
        let by: Vec<&str> = match of {
            Some(_) => vec![self.process],
            None => vec![self.label, self.process],
        };
        let which = match of {
            Some(value) => vec![format!("{}={}", self.label, in_promql(value))],
            None if self.label_may_lack => vec![format!("{}!=\"\"", self.label)],
            None => vec![],
        };
        let failed = format!("{}{}", self.failed.0, self.failed.1);
        let which: Vec<&str> = which.iter().map(String::as_str).collect();
        let bad: Vec<&str> = which.iter().copied().chain([failed.as_str()]).collect();
        let it = self.convention;
        let sum = |metric: &str, more: &[&str], le: &[&str]| {
            let by = [by.as_slice(), le].concat().join(", ");
            format!("sum by ({by}) ({})", selector(metric, it.only, more))
        };
        let histogram = it.histogram.filter(|_| self.histogram);
        let histogram = histogram.map(|(name, unit)| (sum(name, &which, &["le"]), unit));
        (sum(it.requests, &bad, &[]), sum(it.requests, &which, &[]), histogram)
    }
}

impl Named {
    pub(super) fn of(name: &str, by: Option<By>, guessed: bool) -> Self {
        Self { key: key(name), value: name.to_owned(), by, guessed }
    }
}

impl Draft {
    /// Adds a service, under another key where its own is taken.
    pub(super) fn add(&mut self, mut named: Named) {
        let key = named.key.clone();
        let mut number = 1;
        while self.named.iter().any(|other| other.key == named.key) {
            number += 1;
            named.key = format!("{key}-{number}");
        }
        self.named.push(named);
    }

    pub(super) fn names(&self, name: &str) -> bool {
        self.named.iter().any(|named| named.key == name || named.value == name)
    }

    /// The whole file.
    pub(super) fn text(&self) -> String {
        let mut text = HEAD.to_owned();
        if let Some(url) = &self.prometheus {
            text += &format!("\n[prometheus.main]\nurl = {}\n", in_toml(url));
        }
        for (_, together) in self.groups() {
            match together.as_slice() {
                [one] => text += &self.service(one),
                many => text += &shared(many),
            }
        }
        let alone = self.named.iter().filter(|named| named.by.is_none());
        for one in alone {
            text += &self.service(one);
        }
        if self.own.release_root.is_none() {
            text += ROLLBACK;
        }
        text + NOTIFY
    }

    /// What was found, a sentence for each way of naming.
    pub(super) fn found(&self) -> Vec<String> {
        let groups = self.groups();
        let seen = groups.values().filter_map(|together| {
            let by = together.iter().find(|named| !named.guessed)?.by.as_ref()?;
            let names = listed(together.iter().map(|named| named.value.as_str()));
            let (convention, label) = (by.convention.name, by.label);
            let what = if by.histogram { "requests and response times" } else { "requests" };
            Some(format!("{convention}: {what} of {names} (by the label `{label}`)"))
        });
        let mut found: Vec<String> = seen.collect();
        if let Some(scraped) = self.own.scraped.as_ref().filter(|scraped| !scraped.guessed) {
            let what =
                if scraped.by.histogram { "requests and response times" } else { "requests" };
            found.push(format!("{}: {what} in its own metrics", scraped.by.convention.name));
        }
        found
    }

    /// Services that are read alike, in the order of the conventions.
    fn groups(&self) -> BTreeMap<(usize, &str, &str, bool), Vec<&Named>> {
        let mut groups: BTreeMap<_, Vec<&Named>> = BTreeMap::new();
        for named in &self.named {
            let Some(by) = &named.by else { continue };
            let (convention, label, failed, histogram) = by.key();
            let place = CONVENTIONS.iter().position(|c| c.key == convention);
            let key = (place.unwrap_or_default(), label, failed, histogram);
            groups.entry(key).or_default().push(named);
        }
        groups
    }

    fn service(&self, it: &Named) -> String {
        let key = &it.key;
        let mut text = match &it.by {
            Some(by) if !it.guessed => format!("\n# {}.\n", by.convention.name),
            Some(_) => format!("\n{GUESS}"),
            None => "\n".to_owned(),
        };
        text += &format!("[service.{key}]\n");
        if self.own.release_root.is_none() {
            text += "watch_only = true                     # nothing to roll back yet\n";
        }
        if let Some(by) = &it.by {
            text += &signals(&format!("service.{key}"), by, Some(&it.value));
        }
        if let Some(scraped) = &self.own.scraped {
            text += &scraped.text(key);
        }
        if let Some(url) = &self.own.health {
            text += &format!("[service.{key}.signal.health.http]\nurl = {}\n", in_toml(url));
        }
        text + &self.own.release(key)
    }
}

/// A template with one query for each signal, and the services that it serves.
fn shared(together: &[&Named]) -> String {
    let Some((first, by)) = together.first().and_then(|it| Some((it, it.by.as_ref()?))) else {
        return String::new();
    };
    let (name, label) = (by.convention.name, by.label);
    let without =
        if by.histogram || by.convention.histogram.is_none() { "" } else { "-without-times" };
    let template = format!("{}-by-{}{without}", by.convention.key, label.replace('_', "-"));
    let guess = if first.guessed { GUESS } else { "" };
    let mut text = format!(
        "\n{guess}# {name}: one query serves all of them, its label `{label}` tells them apart.\n\
         [template.{template}]\nwatch_only = true                     # nothing to roll back yet\n"
    );
    text += &signals(&format!("template.{template}"), by, None);
    let which = if by.label_may_lack { vec![format!("{label}!=\"\"")] } else { vec![] };
    let which: Vec<&str> = which.iter().map(String::as_str).collect();
    let query = selector(by.convention.requests, by.convention.only, &which);
    let query = in_toml(&format!("count by ({label}) ({query})"));
    text += &format!(
        "\n# In place of a table for each, a query can find them, also those that come later:\n\
         #[discover.{template}]\n#template = \"{template}\"\n#query = {query}\n#label = \"{label}\"\n"
    );
    for it in together {
        let key = &it.key;
        text += &format!("\n[service.{key}]\ntemplate = \"{template}\"\n");
        if it.key != it.value {
            let value = in_toml(&it.value);
            let latency = by.histogram.then_some("latency");
            for signal in std::iter::once("error_rate").chain(latency) {
                text += &format!("signal.{signal}.prometheus.label_value = {value}\n");
            }
        }
    }
    text
}

fn signals(table: &str, by: &By, of: Option<&str>) -> String {
    let (bad, total, histogram) = by.queries(of);
    let label = match of {
        Some(_) => String::new(),
        None => format!("label = \"{}\"\n", by.label),
    };
    let mut text = format!(
        "[{table}.signal.error_rate.prometheus]\nbad = {}\ntotal = {}\n{label}",
        in_toml(&bad),
        in_toml(&total)
    );
    if let Some((query, unit)) = histogram {
        text += &of_unit(table, unit);
        let query = in_toml(&query);
        text += &format!("[{table}.signal.latency.prometheus]\nhistogram = {query}\n{label}");
    }
    text
}

fn of_unit(table: &str, unit: TimeUnit) -> String {
    match unit {
        TimeUnit::Seconds => String::new(),
        TimeUnit::Milliseconds => format!("[{table}.signal.latency]\nunit = \"ms\"\n"),
    }
}

impl Scraped {
    fn text(&self, key: &str) -> String {
        let (it, failed) = (self.by.convention, self.by.failed);
        let guess = if self.guessed { GUESS } else { "" };
        let failed = format!("{}{}", failed.0, failed.1);
        let bad = selector(it.requests, it.only, &[&failed]);
        let total = selector(it.requests, it.only, &[]);
        let mut text = format!(
            "[service.{key}.scrape]\nurl = {}\n\
             {guess}[service.{key}.signal.error_rate.scrape]\nbad = {}\ntotal = {}\n",
            in_toml(&self.url),
            in_toml(&bad),
            in_toml(&total)
        );
        if let Some((name, unit)) = it.histogram.filter(|_| self.by.histogram) {
            let family = selector(name.trim_end_matches("_bucket"), it.only, &[]);
            text += &of_unit(&format!("service.{key}"), unit);
            let family = in_toml(&family);
            text += &format!("[service.{key}.signal.latency.scrape]\nhistogram = {family}\n");
        }
        text
    }
}

impl Own {
    fn release(&self, key: &str) -> String {
        let Some(root) = &self.release_root else { return String::new() };
        let unit = self.unit.clone().unwrap_or_else(|| format!("{key}.service"));
        let unit = in_toml(&unit);
        let running = match &self.version_url {
            Some(url) => format!("http = {{ url = {} }}", in_toml(url)),
            None => format!("unit = {unit}"),
        };
        format!(
            "\n# releases/VERSION/ and a `current` symlink: how it is rolled back, and how its changes are seen.\n\
             [service.{key}.rollback.application.release]\nroot = {}\nrestart = {{ unit = {unit} }}\n\
             running = {{ {running} }}\n",
            in_toml(root)
        )
    }
}

/// A name as a key that needs no quotes.
fn key(name: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let plain: String = name.chars().map(legal).collect();
    let parts: Vec<&str> = plain.split('-').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "service".to_owned() } else { parts.join("-") }
}

/// A text as PromQL reads it.
fn in_promql(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// A text as TOML reads it; without escapes where that is possible, for queries are full of quotes.
fn in_toml(text: &str) -> String {
    let plain = !text.contains('\'') && !text.chars().any(char::is_control);
    match (plain, text.contains(['"', '\\'])) {
        (true, true) => format!("'{text}'"),
        (true, false) => format!("\"{text}\""),
        (false, _) => toml::Value::String(text.to_owned()).to_string(),
    }
}
