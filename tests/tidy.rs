//! What the compiler does not hold: who imports whom, what the domain may know, what production code may not contain.
//!
//! A rule is a pure function over one file (tests/tidy/rules.rs). Here it runs over the whole tree, and
//! below each is shown to fail on a bad snippet, for a rule that cannot fail is no rule.

#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/wrong.rs"]
mod wrong;

use std::{fs, path::Path};

use rules::Rule;
use source::Source;

/// Rules for Rust code, and where they look.
const RUST_RULES: &[(&str, Rule)] = &[
    ("imports_point_inwards", rules::imports_point_inwards),
    ("the_domain_is_pure", rules::the_domain_is_pure),
    ("production_code_has_no_test_hooks", rules::production_code_has_no_test_hooks),
    ("files_stay_small", rules::files_stay_small),
    ("names_say_something", rules::names_say_something),
    ("nothing_is_put_off", rules::nothing_is_put_off),
    ("tests_do_not_sleep", rules::tests_do_not_sleep),
];

#[test]
fn every_rule_holds_everywhere() {
    let files = files(&["src", "tests", "benches", "fuzz/src"], Some("rs"));
    assert!(files.len() > 5, "found only {} files: looked in the wrong place?", files.len());
    let wrong: Vec<String> = RUST_RULES
        .iter()
        .flat_map(|(name, rule)| {
            files.iter().flat_map(rule).map(move |wrong| format!("{name}: {wrong}"))
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn no_file_names_a_developers_machine() {
    let files = files(&["."], None);
    assert!(files.iter().any(|file| file.path == "Makefile"), "the top directory was not read");
    let wrong: Vec<String> =
        files.iter().flat_map(rules::no_paths_of_a_developers_machine).collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn the_domain_is_fenced_off_by_lint_too() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fence = fs::read_to_string(root.join("src/domain/mod.rs")).expect("the domain is there");
    for lint in ["clippy::disallowed_methods", "clippy::disallowed_types"] {
        assert!(
            fence.lines().any(|line| line.starts_with("#![deny(") && line.contains(lint)),
            "src/domain/mod.rs must start with #![deny({lint})]"
        );
    }
    let lists = fs::read_to_string(root.join("clippy.toml")).expect("clippy.toml is there");
    for denied in ["std::time::SystemTime::now", "std::collections::HashMap", "std::fs::read"] {
        assert!(lists.contains(denied), "clippy.toml must disallow {denied}");
    }
}

#[test]
fn every_wrong_design_still_applies() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let patches = files(&["tests/wrong"], Some("patch"));
    assert!(patches.len() >= 10, "found only {} patches", patches.len());
    for patch in patches {
        let wrong = wrong::misfits(&patch.text, |path| fs::read_to_string(root.join(path)).ok());
        assert_eq!(wrong, Vec::<String>::new(), "{}: see tests/wrong/run", patch.path);
    }
}

#[test]
fn a_wrong_design_that_fits_no_more_is_noticed() {
    let header = "Design: x\nInvariant: I4\nCaught by: simulate 1\n\n";
    let patch = |path: &str, old: &str| {
        format!("{header}--- a/{path}\n+++ b/{path}\n@@ -1,3 +1,3 @@\n a\n-{old}\n+x\n c\n")
    };
    let read = |path: &str| (path == "src/a.rs").then(|| "a\nb\nc\nd\nd\n".to_owned());
    let fits = |patch: &str| wrong::misfits(patch, read).is_empty();
    assert!(fits(&patch("src/a.rs", "b")));
    assert!(!fits(&patch("src/a.rs", "B")), "the line was changed");
    assert!(!fits(&patch("src/b.rs", "b")), "the file is gone");
    assert!(!fits(header), "nothing is changed");
    assert!(!fits(&patch("src/a.rs", "b").replace("Invariant", "Because")), "nobody knows why");
    let twice = format!("{header}--- a/src/a.rs\n+++ b/src/a.rs\n@@ -4,1 +4,1 @@\n-d\n+x\n");
    assert!(!fits(&twice), "nobody knows where");
}

/// Every text file below these directories, build output and version control left out.
fn files(below: &[&str], extension: Option<&str>) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = vec![];
    let mut directories: Vec<_> = below.iter().map(|directory| root.join(directory)).collect();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("a directory of the package can be read") {
            let path = entry.expect("a directory entry can be read").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if matches!(name.as_str(), "target" | ".git") {
                continue;
            }
            if path.is_dir() {
                directories.push(path);
            } else if extension.is_none_or(|wanted| path.extension().is_some_and(|e| e == wanted)) {
                let relative =
                    path.strip_prefix(root).expect("below the package").to_string_lossy();
                // What is not text is not read for rules.
                if let Ok(text) = fs::read_to_string(&path) {
                    found.push(Source::new(relative.trim_start_matches("./"), &text));
                }
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The rule passes over the good snippets and says something about each bad one.
fn check(rule: Rule, good: &[(&str, &str)], bad: &[(&str, &str)]) {
    for (path, text) in good {
        assert_eq!(rule(&Source::new(path, text)), Vec::<String>::new(), "{path}: {text}");
    }
    for (path, text) in bad {
        let wrong = rule(&Source::new(path, text));
        assert!(!wrong.is_empty(), "not noticed in {path}: {text}");
        assert!(wrong[0].starts_with(path), "does not say where: {}", wrong[0]);
    }
}

#[test]
fn imports_that_point_outwards_are_noticed() {
    check(
        rules::imports_point_inwards,
        &[
            ("src/domain/window.rs", "use crate::{domain::sample::Sample, units::Span};"),
            (
                "src/domain/run.rs",
                "use super::plan; // not crate::store\nlet a = \"crate::store\";",
            ),
            ("src/sources/health.rs", "use crate::{domain::signal, units};"),
            ("src/executors/release.rs", "use crate::store::Lease;"),
            ("src/executors/tests/mod.rs", "use crate::store::{self, Store};"),
            ("src/domain/mod.rs", "#[cfg(test)] mod tests { use super::*; }"),
            ("src/cli/run.rs", "use crate::daemon;"),
            ("tests/it/main.rs", "use rollbackd::daemon;"),
        ],
        &[
            ("src/units.rs", "use crate::domain::window;"),
            ("src/domain/window.rs", "use crate::{units::Span, store::journal};"),
            ("src/domain/window.rs", "fn f() { crate::config::load() }"),
            ("src/domain/window.rs", "use super::super::store;"),
            ("src/domain/mod.rs", "use super::store;"),
            ("src/telemetry.rs", "use super::daemon;"),
            ("src/sources/health.rs", "use crate::notifiers::slack;"),
            ("src/sources/health.rs", "use crate::config::Config;"),
            ("src/notifiers/slack.rs", "#[cfg(test)] mod tests { use crate::cli; }"),
            ("src/store/journal.rs", "use crate::daemon::clock;"),
            ("src/executors/release.rs", "use crate::store::{Lease, Journal};"),
            ("src/executors/release.rs", "use crate::store::Journal;"),
            ("src/executors/release.rs", "use crate::{store::Outbox};"),
            ("src/http/page.rs", "use crate::daemon::Daemon;"),
            ("src/daemon/mod.rs", "use crate::cli::Args;"),
            ("src/novelty.rs", "fn f() {}"),
        ],
    );
}

#[test]
fn an_impure_domain_is_noticed() {
    check(
        rules::the_domain_is_pure,
        &[
            (
                "src/domain/window.rs",
                "use std::{collections::BTreeMap, time::Duration}; // not Instant",
            ),
            ("src/domain/window.rs", "#[cfg(test)]\nmod tests { use std::fs; }"),
            ("src/domain/window/tests.rs", "use std::{collections::HashSet, fs};"),
            ("src/domain/notice.rs", "fn f(metrics: u8) -> bool { metrics != 1 }"),
            ("src/daemon/clock.rs", "use std::time::SystemTime;"),
        ],
        &[
            ("src/domain/a.rs", "use std::time::{Duration, Instant};"),
            ("src/domain/a.rs", "let at = std::time::SystemTime::now();"),
            ("src/domain/a.rs", "let at = jiff::Timestamp::now();"),
            ("src/domain/a.rs", "tokio::spawn(x);"),
            ("src/domain/a.rs", "use reqwest::Client;"),
            ("src/domain/a.rs", "use rusqlite::Connection;"),
            ("src/domain/a.rs", "use std::collections::HashMap;"),
            ("src/domain/a.rs", "let seen: std::collections::HashSet<u8>;"),
            ("src/domain/a.rs", "rand::random()"),
            ("src/domain/a.rs", "pub async fn decide() {}"),
            ("src/domain/a.rs", "use std::{fmt, fs};"),
            ("src/domain/a.rs", "std::net::TcpStream::connect(x)"),
            ("src/domain/a.rs", "std::env::var(\"X\")"),
            ("src/domain/a.rs", "println!(\"here\")"),
        ],
    );
}

#[test]
fn test_hooks_in_production_code_are_noticed() {
    check(
        rules::production_code_has_no_test_hooks,
        &[
            ("src/a.rs", "fn a() {}\n#[cfg(test)]\nmod tests {}"),
            ("src/a.rs", "#[cfg(test)]\nmod tests;"),
            ("src/a.rs", "#[cfg(unix)] fn test() { check(test) } // #[cfg(not(test))]"),
            ("src/a.rs", "std::env::var(\"NOTIFY_SOCKET\")"),
            ("src/a/tests.rs", "#[cfg(test)] fn a() {}"),
            ("tests/it/a.rs", "std::env::var(\"TEST_SEED\")"),
        ],
        &[
            ("src/a.rs", "#[cfg(test)]\nfn shortcut() {}"),
            ("src/a.rs", "#[cfg(test)]\nuse x;\nmod tests {}"),
            ("src/a.rs", "#[cfg(not(test))]\nfn real() {}"),
            ("src/a.rs", "#[cfg(any(test, feature = \"x\"))]\nmod tests {}"),
            ("src/a.rs", "#[cfg(any(feature = \"x\", test))]\nfn a() {}"),
            ("src/a.rs", "#[cfg_attr(test, derive(Debug))]\nstruct A;"),
            ("src/a.rs", "fn f() { if cfg!(test) { return; } }"),
            ("src/a.rs", "std::env::var(\"ROLLBACKD_TEST_CLOCK\")"),
            ("src/a.rs", "std::env::var_os(\"MOCK_SLACK\")"),
        ],
    );
}

#[test]
fn a_file_that_grew_too_long_is_noticed() {
    let (fits, too_long) = ("\n".repeat(500), "\n".repeat(501));
    check(rules::files_stay_small, &[("src/a.rs", &fits)], &[("src/a.rs", &too_long)]);
}

#[test]
fn a_name_that_says_nothing_is_noticed() {
    check(
        rules::names_say_something,
        &[("src/domain/window.rs", ""), ("src/score.rs", "")],
        &[("src/core.rs", ""), ("src/domain/engine.rs", ""), ("src/utils/mod.rs", "")],
    );
}

#[test]
fn work_put_off_is_noticed() {
    check(
        rules::nothing_is_put_off,
        &[("src/a.rs", "// todo!()\nfn ignore(todo: u8) { ignore(todo) }")],
        &[
            ("src/a.rs", "fn a() { todo!() }"),
            ("src/a.rs", "unimplemented!(\"x\")"),
            ("tests/it/a.rs", "#[test]\n#[ignore]\nfn a() {}"),
            ("tests/it/a.rs", "#[ignore = \"slow\"]\nfn a() {}"),
        ],
    );
}

#[test]
fn a_test_that_sleeps_is_noticed() {
    check(
        rules::tests_do_not_sleep,
        &[
            ("src/daemon/mod.rs", "fn a() { tokio::time::sleep(x) }\nmod tests {}"),
            ("tests/it/a.rs", "tokio::time::timeout(x, y) // sleep"),
        ],
        &[
            ("src/daemon/mod.rs", "mod tests { fn a() { std::thread::sleep(x) } }"),
            ("tests/it/a.rs", "use tokio::time::sleep; sleep(x).await"),
        ],
    );
}

#[test]
fn a_path_of_a_developers_machine_is_noticed() {
    let bad = ["# see /wo", "rk/notes.md"].concat();
    check(
        rules::no_paths_of_a_developers_machine,
        &[("README.md", "how it works: http://example.org/network/x")],
        &[("README.md", &bad)],
    );
}
