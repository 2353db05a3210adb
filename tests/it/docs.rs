//! What the documents promise about the code: names that are there, and tables that are complete.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rollbackd::telemetry::{Kind, METRICS};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn document(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// The lines from a heading to the next of the same depth.
fn section<'a>(document: &'a str, heading: &str) -> Vec<&'a str> {
    let found: Vec<&str> = document
        .lines()
        .skip_while(|line| *line != heading)
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .collect();
    assert!(!found.is_empty(), "there is no section `{heading}`");
    found
}

/// What stands between backticks.
fn quoted<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    lines.iter().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// Every file below a directory of the package.
fn files(below: &str) -> Vec<PathBuf> {
    let mut found = vec![];
    let mut directories = vec![root().join(below)];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    found
}

#[test]
fn the_readme_lists_every_metric_and_no_other() {
    let readme = document("README.md");
    let listed: Vec<&str> = section(&readme, "## Metrics")
        .into_iter()
        .filter(|line| line.starts_with("| `rollbackd_"))
        .collect();
    let kind = |kind| match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    let metrics: Vec<String> = METRICS
        .iter()
        .map(|(name, of, help)| format!("| `{name}` | {} | {help} |", kind(*of)))
        .collect();
    assert_eq!(listed, metrics, "the table in README.md, and METRICS in src/telemetry.rs");
}

#[test]
fn the_readme_names_every_command_and_no_other() {
    let output = Command::new(env!("CARGO_BIN_EXE_rollbackd")).arg("--help").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let help = String::from_utf8(output.stdout).unwrap();
    let offered: BTreeSet<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        // The text of a command that goes on in the next line is set further in.
        .filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let readme = document("README.md");
    let named: BTreeSet<&str> = section(&readme, "## The command line")
        .into_iter()
        .filter_map(|line| line.strip_prefix("| `rollbackd "))
        .filter_map(|line| line.split([' ', '`']).next())
        .collect();
    assert!(!offered.is_empty(), "no command was found in: {help}");
    assert_eq!(named, offered, "the table in README.md, and `rollbackd --help`");
}

#[test]
fn the_code_map_leads_to_files_that_are_there_and_to_every_module() {
    let architecture = document("ARCHITECTURE.md");
    let map = section(&architecture, "## Code map");
    // Braces and arrows: the sentence about imports.
    let named: BTreeSet<&str> =
        quoted(&map).into_iter().filter(|name| name.contains('/') && !name.contains(' ')).collect();
    let gone: Vec<&&str> = named.iter().filter(|name| !root().join(name).exists()).collect();
    assert!(gone.is_empty(), "ARCHITECTURE.md names what is not there: {gone:?}");

    let modules = files("src").into_iter().filter_map(|path| {
        let path = path.to_str()?.strip_suffix(".rs")?.to_owned();
        let parts: Vec<&str> = path.split('/').collect();
        match parts.as_slice() {
            // Every module of the domain, for that is what one reads; of the others the first level.
            ["src", "domain", _] | ["src", _] | ["src", _, "mod"] => Some(format!("{path}.rs")),
            _ => None,
        }
    });
    let unnamed: Vec<String> = modules.filter(|path| !named.contains(path.as_str())).collect();
    assert!(unnamed.is_empty(), "the code map of ARCHITECTURE.md leaves out {unnamed:?}");
}

#[test]
fn every_test_that_the_invariants_name_is_there() {
    let architecture = document("ARCHITECTURE.md");
    let invariants = section(&architecture, "## Invariants");
    let code: String = ["src", "tests"]
        .into_iter()
        .flat_map(files)
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| fs::read_to_string(root().join(path)).unwrap())
        .collect();
    let is_a_name = |text: &&str| {
        text.contains('_')
            && text.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit())
    };
    let named: Vec<&str> = quoted(&invariants).into_iter().filter(is_a_name).collect();
    assert!(named.len() > 40, "found only {}: looked in the wrong place?", named.len());
    let gone: Vec<&&str> =
        named.iter().filter(|name| !code.contains(&format!("fn {name}("))).collect();
    assert!(gone.is_empty(), "ARCHITECTURE.md names tests that are not there: {gone:?}");
}
