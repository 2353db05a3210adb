//! What would have been done: the labelled series, through the whole domain; and what is said of bad files.

use std::{fs, path::Path, process::Command};

use rollbackd::replay::each_labelled;
use serde_json::{Value, json};

const LABELLED: &str = "tests/fixtures/incidents.jsonl";
const HEALTHY: &str = "tests/fixtures/healthy.jsonl";

/// What `rollbackd replay` prints, and its exit code.
fn replay(arguments: &[&str]) -> (String, String, i32) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollbackd"));
    let output = command.arg("replay").args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap())
}

fn written(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn the_labelled_faults_are_found_and_healthy_services_are_left_alone() {
    let (told, complaints, code) =
        replay(&["--labelled", LABELLED, "--healthy", HEALTHY, "--score", "--json"]);
    assert_eq!((complaints.as_str(), code), ("", 0));
    let score: Value = serde_json::from_str(&told).unwrap();
    let outcome = |wanted: &str| -> Vec<&str> {
        let all = score["series"].as_array().unwrap().iter();
        all.filter(|s| s["outcome"] == wanted).filter_map(|s| s["id"].as_str()).collect()
    };
    // 44 errors in 862 requests and 165 in 2,952: at 99 % neither can be told from 5 % in the time recorded.
    assert_eq!(outcome("missed"), ["petshop-rc-60-25", "petshop-site-60-04"]);
    assert_eq!((&score["detected"], &score["missed"]), (&json!(21), &json!(2)));
    assert!(outcome("false").len() <= 1, "{:?}", outcome("false"));
    assert_eq!(score["false"], json!(outcome("false").len()));
    assert!(score["median_delay_s"].as_i64().unwrap() <= 180, "{}", score["median_delay_s"]);
    assert!(score["p90_delay_s"].as_i64().unwrap() <= 1_200, "{}", score["p90_delay_s"]);
    assert_eq!(
        (&score["false_per_week"], &score["false_per_week_guarded"]),
        (&json!(0.0), &json!(0.0))
    );
    // They always fail: by the triggers alone they would be rolled back all day long.
    assert!(score["pathological_per_week"].as_f64().unwrap() > 10.0);
    assert_eq!(score["over_rated"], json!(0), "a severity is told by what is sure");
}

#[test]
fn a_fault_after_a_deployment_would_be_rolled_back_to_what_served_before() {
    let (told, _, code) = replay(&["--labelled", LABELLED, "--json"]);
    assert_eq!(code, 0);
    let stories: Value = serde_json::from_str(&told).unwrap();
    let bad = |story: &&Value| story["service"] == "nezha-ob-front-22/replay";
    let story = stories.as_array().unwrap().iter().find(bad).unwrap();
    let decisions = story["incidents"][0]["decisions"].as_array().unwrap();
    let rollbacks: Vec<&str> = decisions.iter().filter_map(|d| d["rollback"].as_str()).collect();
    assert_eq!(rollbacks, ["application after -> before"]);
    assert!(!told.contains("mode"), "that a replay touches nothing is no reason of the policy's");
}

#[test]
fn another_threshold_makes_another_story() {
    let directory = tempfile::tempdir().unwrap();
    let strict = written(
        directory.path(),
        "strict.toml",
        &format!("{}\n[trigger.critical-errors]\nabove = \"40%\"\n", CONFIG),
    );
    let (told, complaints, code) = replay(&[&strict, "--labelled", LABELLED, "--score", "--json"]);
    assert_eq!((complaints.as_str(), code), ("", 0));
    let score: Value = serde_json::from_str(&told).unwrap();
    assert!(score["detected"].as_u64().unwrap() < 15, "{told}");
}

const CONFIG: &str = r#"
state_dir = "/nonexistent"
[prometheus.main]
url = "http://127.0.0.1:9090"
[service.shop]
watch_only = true
[service.shop.signal.error_rate.prometheus]
bad = 'http_requests_total{code=~"5.."}'
total = 'http_requests_total'
[notify.log]
audiences = ["on_call"]
"#;

#[test]
fn every_bad_line_of_a_labelled_file_is_told_with_what_to_write() {
    let text = r#"{"id":"a","interval_s":60,"n":[1,2],"e":[0],"well_behaved":true}
{"id":"b","interval_s":0,"n":[1],"e":[0],"well_behaved":true}
{"id":"c","interval_s":60,"n":[1],"e":[2],"well_behaved":true}
{"id":"d","interval_s":60,"n":[1],"e":[0],"fault_start_s":0}
{"id":"e","interval_s":60,"n":[1],"e":[0],"fault_start_s":60,"expect":"page"}
{"id":"f","interval_s":60,"n":[1],"e":[0],"expect":"perhaps"}
not JSON
{"id":"g","interval_s":60,"n":[null,3],"e":[null,1],"well_behaved":true}
{"id":"h","interval_s":60,"n":[1,2],"e":[0,0],"up":[1]}
{"id":"i","interval_s":60,"n":[1,2],"e":[0,0],"up":[null,0.5]}"#;
    let wrong = each_labelled("file", text.as_bytes(), |series| series.id).unwrap_err();
    insta::assert_snapshot!(wrong.join("\n"), @r"
    file:1: `n` has 2 values and `e` has 1; both need one for each step
    file:2: `interval_s` is 0; write 1 to 86400 seconds
    file:3: value 0: 2 errors of 1 requests are no counts
    file:4: its label is half there: write `fault_start_s` and `expect` (rollback, page or none) for a fault, or `well_behaved` for a series without one
    file:5: `fault_start_s` is 60, and the series lasts 60 s
    file:6: this is no labelled series: unknown variant `perhaps`, expected one of `rollback`, `page`, `none` at line 1 column 60
    file:7: this is no labelled series: expected ident at line 1 column 2
    file:9: `up` has 1 values and `n` has 2
    file:10: value 1: `up` is 0.5; write 1, 0 or null
    ");
    assert_eq!(
        each_labelled("file", "\n\n".as_bytes(), |_| ()).unwrap_err().len(),
        1,
        "an empty file names no series"
    );
}

#[test]
fn what_cannot_be_read_ends_with_a_usage_error() {
    let directory = tempfile::tempdir().unwrap();
    let garbage = written(directory.path(), "garbage.jsonl", "{}\n[]\n");
    let (_, complaints, code) = replay(&["--labelled", &garbage]);
    assert_eq!(code, 64);
    assert_eq!(complaints.matches("garbage.jsonl:").count(), 2, "{complaints}");
    let (_, complaints, code) = replay(&["--labelled", "/nonexistent.jsonl"]);
    assert_eq!(code, 64);
    assert!(complaints.contains("cannot be read"), "{complaints}");
    let config = written(directory.path(), "shop.toml", CONFIG);
    let (_, complaints, code) = replay(&[&config, "--labelled", LABELLED, "--like", "chekout"]);
    assert_eq!(code, 64);
    assert!(complaints.contains("has no chekout; it has: shop/"), "{complaints}");
}

#[test]
fn another_configuration_is_compared_incident_by_incident() {
    let directory = tempfile::tempdir().unwrap();
    let written = |name, above| {
        let text = format!("{CONFIG}\n[trigger.critical-errors]\nabove = \"{above}\"\n");
        written(directory.path(), name, &text)
    };
    let (now, then) = (written("now.toml", "5%"), written("then.toml", "15%"));
    let compare = |one: &str, other: &str| {
        let (told, complaints, code) =
            replay(&[one, "--labelled", LABELLED, "--against", other, "--json"]);
        assert_eq!((complaints.as_str(), code), ("", 0));
        let told: Value = serde_json::from_str(&told).unwrap();
        told["differences"].as_array().unwrap().clone()
    };
    assert_eq!(compare(&now, &now), Vec::<Value>::new(), "it differs from itself in nothing");
    let stricter = compare(&now, &then);
    let of = |all: &[Value], service: &str| -> Vec<String> {
        let mine = all.iter().filter(|one| one["service"] == service);
        mine.map(|one| format!("{}: {}", one["kind"], one["what"])).collect()
    };
    let service = "nezha-ob-front-22/replay";
    assert_eq!(of(&stricter, service), [r#""changed": ["P2 instead of P1"]"#]);
    assert_eq!(of(&compare(&then, &now), service), [r#""changed": ["P1 instead of P2"]"#]);
}

#[test]
fn a_probe_that_is_not_answered_is_an_outage_and_one_that_nobody_made_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let told = |down: &str| {
        let (n, e) = (vec!["100"; 90].join(","), vec!["0"; 90].join(","));
        let up = [vec!["1"; 45], vec![down; 10], vec!["1"; 35]].concat().join(",");
        let series = format!(r#"{{"id":"shop","interval_s":60,"n":[{n}],"e":[{e}],"up":[{up}]}}"#);
        let file = written(directory.path(), "a.jsonl", &series);
        let (told, complaints, code) = replay(&["--labelled", &file]);
        assert_eq!((complaints.as_str(), code), ("", 0));
        told
    };
    assert!(told("0").contains("P0 service-outage began 00:45:00"), "{}", told("0"));
    assert!(told("null").contains("nothing would have happened"), "{}", told("null"));
}

#[test]
fn the_page_holds_everything_that_it_shows() {
    let directory = tempfile::tempdir().unwrap();
    let page = directory.path().join("page.html").display().to_string();
    let series = r#"{"id":"<b>shop","interval_s":60,"well_behaved":true,"n":[N],"e":[E]}"#;
    let (n, e) = (vec!["100"; 90].join(","), [vec!["0"; 45], vec!["90"; 45]].concat().join(","));
    let file = written(directory.path(), "a.jsonl", &series.replace('N', &n).replace('E', &e));
    let (told, complaints, code) = replay(&["--labelled", &file, "--html", &page]);
    assert_eq!((complaints.as_str(), code), ("", 0));
    assert!(told.contains("critical-errors began 00:45:00"), "{told}");
    assert!(told.contains('▁') && told.contains('█'), "the signal is drawn: {told}");
    let page = fs::read_to_string(page).unwrap();
    for part in
        ["<path d=\"M", "limit 5.0 %", "the window that fired", ">decided<", "&lt;b&gt;shop"]
    {
        assert!(page.contains(part), "{part} is missing");
    }
    for outside in ["http://", "https://", "src=", "href=", "<b>shop"] {
        assert!(!page.contains(outside), "{outside} in a page that holds everything");
    }
}
