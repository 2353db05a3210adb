//! `rollbackd replay` of files: counts in CSV, and what was deployed when.

use std::{fmt::Write as _, fs, path::Path, process::Command};

const CONFIG: &str = r#"
state_dir = "/nonexistent"
[prometheus.main]
url = "http://127.0.0.1:9090"
[service.shop.signal.error_rate.prometheus]
bad = 'errors_total'
total = 'requests_total'
[service.shop.rollback.application.release]
root = "/srv/shop"
restart = { unit = "shop.service" }
running = { unit = "shop.service" }
[notify.log]
audiences = ["on_call"]
"#;

/// Monday, 2026-01-05, in seconds.
const FROM: i64 = 1_767_571_200;

fn written(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn replay(arguments: &[&str]) -> (String, String, i32) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollbackd"));
    let output = command.arg("replay").args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap())
}

/// Six hours, of which the last begins with a bad release.
fn counts() -> String {
    let mut text = "service,time,bad,total\n".to_owned();
    for minute in 1..=360 {
        let bad = if (300..330).contains(&minute) { 200 } else { 1 };
        _ = writeln!(text, "shop,{},{bad},600", FROM + minute * 60);
    }
    text
}

#[test]
fn a_bad_release_in_a_table_would_be_rolled_back() {
    let home = tempfile::tempdir().unwrap();
    let config = written(home.path(), "rollbackd.toml", CONFIG);
    let csv = written(home.path(), "counts.csv", &counts());
    let changes = written(
        home.path(),
        "changes.jsonl",
        "{\"service\":\"shop\",\"at\":\"2026-01-04T12:00:00Z\",\"version\":\"v1\"}\n\
         {\"service\":\"shop\",\"at\":\"2026-01-05T04:59:00Z\",\"version\":\"v2\"}\n",
    );
    let (told, said, code) = replay(&[&config, "--csv", &csv, "--changes", &changes]);
    assert!(told.contains("would be rolled back: application v2 -> v1"), "{told}");
    assert_eq!((said.as_str(), code), ("", 0));
    let (told, said, code) = replay(&[&config, "--csv", &csv]);
    assert!(!told.contains("would be rolled back:") && code == 0, "{told}");
    assert!(said.contains("no deployment is known"), "{said}");
}

/// Its silence would look as if it had been tried.
#[test]
fn a_table_has_one_revision_and_a_trigger_that_compares_two_says_so_once() {
    let home = tempfile::tempdir().unwrap();
    let compares = "[trigger.worse-than-old]\nenabled = true\n";
    let config = written(home.path(), "rollbackd.toml", &format!("{CONFIG}{compares}"));
    let off = written(home.path(), "off.toml", CONFIG);
    let csv = written(home.path(), "counts.csv", &counts());
    let expected = "worse-than-old had nothing to compare in 1 of 1 series";
    let labelled = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/incidents.jsonl");
    for arguments in [
        &[config.as_str(), "--csv", &csv][..],
        &[&off, "--csv", &csv, "--against", &config],
        &[&config, "--csv", &csv, "--against", &config],
        &[&config, "--labelled", labelled, "--score"],
    ] {
        let (_, said, code) = replay(arguments);
        let told = said.matches("worse-than-old had nothing to compare").count();
        assert_eq!((told, code), (1, 0), "{arguments:?}: {said}");
        assert!(said.contains(expected) || arguments.contains(&"--score"), "{said}");
    }
    assert!(!replay(&[&off, "--csv", &csv]).1.contains("worse-than-old"));
}

#[test]
fn what_would_mislead_is_printed_and_ends_with_65() {
    let home = tempfile::tempdir().unwrap();
    let config = written(home.path(), "rollbackd.toml", CONFIG);
    let holes: Vec<String> = counts().lines().map(str::to_owned).collect();
    let holes = [&holes[..100], &holes[110..]].concat().join("\n");
    let csv = written(home.path(), "counts.csv", &holes);
    let (told, said, code) = replay(&[&config, "--csv", &csv]);
    assert!(told.contains("service-weeks"), "{told}");
    assert!(said.contains("2.8 % of error_rate of shop/production could not be used"), "{said}");
    assert_eq!(code, 65);
    assert_eq!(replay(&[&config, "--csv", &csv, "--allow-partial"]).2, 0);
    let changes = written(
        home.path(),
        "changes.jsonl",
        "{\"service\":\"shpo\",\"at\":\"2026-01-05T00:00:00Z\",\"version\":\"v1\"}\n",
    );
    let csv = written(home.path(), "whole.csv", &counts());
    let (_, said, code) = replay(&[&config, "--csv", &csv, "--changes", &changes]);
    assert!(
        said.contains(
            "changes.jsonl:1: no service that is replayed is called `shpo`; did you mean shop?"
        ),
        "{said}"
    );
    assert_eq!(code, 65);
    let nowhere = home.path().join("state").display().to_string();
    assert_eq!(replay(&[&config, "--csv", &csv, "--journal", &nowhere]).2, 66);
}
