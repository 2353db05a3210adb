//! The file that documents every key says what is true.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use super::{loaded, told};
use crate::config::{document, load_text};

pub(in crate::config) const DOCUMENTED: &str = include_str!("../../../config/rollbackd.toml");
const MINIMAL: &str = include_str!("../../../config/examples/minimal.toml");
const RELEASE_SCRAPE: &str = include_str!("../../../config/examples/release-scrape.toml");

/// What is shown to whoever begins.
pub(in crate::config) const EXAMPLES: [&str; 2] = [MINIMAL, RELEASE_SCRAPE];

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
pub(in crate::config) fn parts() -> (&'static str, &'static str) {
    DOCUMENTED.split_at(DOCUMENTED.find("# ====").expect("the line that parts the file"))
}

/// `#key = value` and `#[table]` without their #.
pub(in crate::config) fn uncommented(text: &str) -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(key) if !key.starts_with([' ', '=', ':']) && !key.is_empty() => key.to_owned(),
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
        fs::create_dir_all(std::path::Path::new(file).parent().unwrap()).unwrap();
        fs::write(file, format!("https://secret.example{file}\n")).unwrap();
    }
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fs::write(dir.path().join("ca.pem"), certified.cert.pem()).unwrap();
    fs::write(dir.path().join("secrets-key"), "0123456789abcdef".repeat(4)).unwrap();
    let page = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: page, namespace: shop }\n";
    fs::write(dir.path().join("maintenance.yaml"), page).unwrap();
    let context = r#"{"name":"production","context":{"cluster":"c","user":"u"}}"#;
    fs::write(dir.path().join("kubeconfig"), format!(r#"{{"contexts":[{context}]}}"#)).unwrap();
    let (config, mut warnings) = loaded(&text);
    // Its programs are examples.
    warnings.retain(|warning| !warning.what.ends_with("is not there"));
    assert_eq!(told(&warnings), "");
    assert_eq!(config.policy.services.len(), 9);
    assert_eq!((config.channels.len(), config.servers.len()), (6, 2));
    assert_eq!(config.clusters.len(), 1, "one namespace of one cluster");
    assert!(!format!("{config:?}").contains("secret.example"), "a secret can be seen");
}

#[test]
fn every_key_is_documented() {
    let (with, without) = parts();
    // Which keys are known in each table, by its path.
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut tables = vec![];
    for part in [with, without].map(uncommented) {
        // A key that nobody knows is answered with all that are known in its table; not in all tables at once, for not so much is
        // told.
        for turn in 0..4 {
            let mut tables = 0;
            let with_unknown = |line: &str| {
                tables += usize::from(line.starts_with('['));
                let is_asked = line.starts_with('[') && tables % 4 == turn;
                if is_asked { format!("{line}\nzzzzzzz = 0") } else { line.to_owned() }
            };
            let bogus: Vec<String> = part.lines().map(with_unknown).collect();
            let bogus = format!("zzzzzzz = 0\n{}", bogus.join("\n"));
            let (_, shape) = document::read("x", &bogus, &Default::default());
            let before: Vec<&str> = std::iter::once("").chain(bogus.lines()).collect();
            for problem in &shape.problems {
                // Where no key is known there is none to document.
                let Some(list) = problem.instead.strip_prefix("use one of ") else { continue };
                let path = before[problem.line - 1].trim_matches(['[', ']']);
                known.insert(path.to_owned(), list.split(", ").map(str::to_owned).collect());
            }
        }
        tables.push(part.parse::<toml::Table>().unwrap());
    }
    // Tables in which the same keys are known may document them together.
    let mut documented: BTreeMap<&BTreeSet<String>, BTreeSet<String>> = BTreeMap::new();
    for (path, keys) in &known {
        let here = documented.entry(keys).or_default();
        for part in &tables {
            let mut table = Some(part);
            for key in path.split('.').filter(|key| !key.is_empty()) {
                table = table.and_then(|table| table.get(key)?.as_table());
            }
            here.extend(table.into_iter().flat_map(toml::Table::keys).cloned());
        }
    }
    assert!(documented.len() > 25, "only {} kinds of tables", documented.len());
    for (keys, mut documented) in documented {
        // Only one of the two can stand in a table; its comment names the other.
        if documented.contains("basic") || documented.contains("bearer") {
            documented.extend(["basic", "bearer"].map(str::to_owned));
        }
        let missing: Vec<_> = keys.difference(&documented).collect();
        assert!(missing.is_empty(), "nowhere documented: {missing:?} beside {documented:?}");
    }
}

#[test]
fn what_the_readme_shows_can_be_read() {
    let readme = include_str!("../../../README.md");
    let blocks: Vec<&str> = readme
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default())
        .collect();
    assert!(blocks.len() > 3, "found only {} blocks", blocks.len());
    for block in blocks {
        let (_, shape) = document::read("README.md", block, &Default::default());
        assert_eq!(told(&shape.problems), "", "{block}");
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
