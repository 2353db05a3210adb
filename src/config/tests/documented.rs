//! The file that documents every key says what is true.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use super::{loaded, told};
use crate::config::{document, load_text};

const DOCUMENTED: &str = include_str!("../../../config/rollbackd.toml");
const MINIMAL: &str = include_str!("../../../config/examples/minimal.toml");
const RELEASE_SCRAPE: &str = include_str!("../../../config/examples/release-scrape.toml");

/// A service that has every kind of signal, so that every trigger is built.
const SERVICE: &str = "
    [service.shop]
    watch_only = true
    [service.shop.scrape]
    url = 'http://127.0.0.1:8080/metrics'
    [service.shop.signal.error_rate.scrape]
    bad = 'bad'
    total = 'total'
    [service.shop.signal.latency.scrape]
    histogram = 'seconds'
    [service.shop.signal.health.http]
    url = 'http://127.0.0.1:8080/healthz'
    [service.values]
    watch_only = true
    [service.values.scrape]
    url = 'http://127.0.0.1:8080/metrics'
    [service.values.signal.latency.scrape]
    value = 'p95'
";

/// The keys that have a default, and those that have none.
fn parts() -> (&'static str, &'static str) {
    DOCUMENTED.split_once("# ====").expect("the line that parts the file")
}

/// `#key = value` and `#[table]` without their #.
fn uncommented(text: &str) -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(key) if !key.starts_with([' ', '=']) && !key.is_empty() => key.to_owned(),
        Some(_) | None => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn shown(text: &str) -> String {
    let (mut config, _) = loaded(text);
    config.policy.config_hash.clear();
    format!("{config:#?}")
}

#[test]
fn the_file_as_it_is_says_nothing() {
    assert_eq!(shown(DOCUMENTED), shown(""));
}

#[test]
fn every_documented_default_is_the_built_one() {
    let documented = uncommented(parts().0);
    assert!(documented.lines().count() > 150);
    let (documented, built) = (shown(&format!("{documented}\n{SERVICE}")), shown(SERVICE));
    for (documented, built) in documented.lines().zip(built.lines()) {
        assert_eq!(documented, built);
    }
    assert_eq!(documented, built);
}

#[test]
fn what_has_no_default_is_written_correctly() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().display().to_string();
    let text = uncommented(parts().1)
        .replace("/etc/rollbackd", &home)
        .replace("PROBE_PASSWORD", "PATH")
        .replace("ROLLBACKD_PIPELINE_TOKEN", "PATH");
    for file in text.split('"').filter(|text| text.starts_with(&home)) {
        fs::write(file, format!("https://secret.example{file}\n")).unwrap();
    }
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fs::write(dir.path().join("ca.pem"), certified.cert.pem()).unwrap();
    let (config, warnings) = loaded(&text);
    assert_eq!(told(&warnings), "");
    assert_eq!(config.policy.services.len(), 2);
    assert_eq!((config.channels.len(), config.servers.len()), (5, 2));
    assert!(!format!("{config:?}").contains("secret.example"), "a secret can be seen");
}

#[test]
fn every_key_is_documented() {
    let (with, without) = parts();
    let mut known: BTreeMap<BTreeSet<String>, BTreeSet<String>> = BTreeMap::new();
    for part in [with, without] {
        let text = uncommented(part);
        // A key that nobody knows in every table is answered with all that are known there.
        let bogus: Vec<String> = text
            .lines()
            .map(|line| {
                if line.starts_with('[') { format!("{line}\nzzzzzzz = 0") } else { line.to_owned() }
            })
            .collect();
        let bogus = format!("zzzzzzz = 0\n{}", bogus.join("\n"));
        let (_, shape) = document::read("x", &bogus);
        let tables: toml::Table = toml::from_str(&bogus).unwrap();
        for problem in &shape.problems {
            let list = problem.instead.strip_prefix("use one of ").unwrap_or_else(|| {
                panic!("{problem}");
            });
            let keys: BTreeSet<String> = list.split(", ").map(str::to_owned).collect();
            known.entry(keys).or_default();
        }
        walk(&toml::Value::Table(tables), &mut known);
    }
    assert!(known.len() > 25, "{}", known.len());
    for (keys, documented) in known {
        let missing: Vec<_> = keys.difference(&documented).collect();
        assert!(missing.is_empty(), "nowhere documented: {missing:?} beside {documented:?}");
    }
}

/// Gives the keys of each table to the shape that they fit.
fn walk(value: &toml::Value, known: &mut BTreeMap<BTreeSet<String>, BTreeSet<String>>) {
    let Some(table) = value.as_table() else { return };
    let keys: BTreeSet<String> = table.keys().filter(|key| *key != "zzzzzzz").cloned().collect();
    if table.contains_key("zzzzzzz") {
        for (shape, documented) in known.iter_mut() {
            if keys.is_subset(shape) {
                documented.extend(keys.iter().cloned());
            }
        }
    }
    for value in table.values() {
        walk(value, known);
    }
}

#[test]
fn the_examples_have_no_problems() {
    for (name, text) in [("minimal", MINIMAL), ("release-scrape", RELEASE_SCRAPE)] {
        let (config, problems) = load_text(name, text).unwrap_or_else(|p| panic!("{}", told(&p)));
        assert_eq!(told(&problems), "");
        assert!(config.polls.len() > 1);
    }
}
