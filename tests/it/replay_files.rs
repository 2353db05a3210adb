//! `rollbackd replay` of files: counts in CSV, what targets exposed, and what was deployed when.

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

/// Eight services, of which the first so many go wrong in the same minute, all of them half an hour after a deployment but the
/// first, which was deployed a minute before.
fn what_is_said_of_eight(wrong: usize) -> String {
    let shop = CONFIG.lines().filter(|line| !line.starts_with("[notify")).skip(4);
    let shop: Vec<&str> = shop.take_while(|line| !line.starts_with("audiences")).collect();
    let mut config = CONFIG.to_owned();
    let (mut counts, mut changes) = ("service,time,bad,total\n".to_owned(), String::new());
    for number in 0..8 {
        let name = format!("shop-{number}");
        config += &shop.join("\n").replace("shop", &name);
        config.push('\n');
        for minute in 1..=360 {
            let bad = if (300..330).contains(&minute) && number < wrong { 200 } else { 1 };
            _ = writeln!(counts, "{name},{},{bad},600", FROM + minute * 60);
        }
        let at = if number == 0 { "04:59" } else { "04:30" };
        _ = writeln!(
            changes,
            "{{\"service\":\"{name}\",\"at\":\"2026-01-04T12:00:00Z\",\"version\":\"v1\"}}\n\
             {{\"service\":\"{name}\",\"at\":\"2026-01-05T{at}:00Z\",\"version\":\"v2\"}}"
        );
    }
    let home = tempfile::tempdir().unwrap();
    let config = written(home.path(), "rollbackd.toml", &config);
    let csv = written(home.path(), "counts.csv", &counts);
    let changes = written(home.path(), "changes.jsonl", &changes);
    replay(&[&config, "--csv", &csv, "--changes", &changes, "--allow-partial"]).0
}

/// Each of them alone would have been rolled back, and the live daemon would have done no such thing.
#[test]
fn services_that_suffer_at_once_are_a_storm_but_for_whose_own_change_it_is() {
    let told = what_is_said_of_eight(6);
    let rolled_back = told.matches("would be rolled back: application v2 -> v1").count();
    assert_eq!(rolled_back, 1, "{told}");
    assert!(told.contains("storm: 6 of 9 services firing or pending within 5m"), "{told}");
    let told = what_is_said_of_eight(2);
    let rolled_back = told.matches("would be rolled back: application v2 -> v1").count();
    assert!(rolled_back == 2 && !told.contains("storm"), "{told}");
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

const SCRAPED: &str = r#"
state_dir = "/nonexistent"
[service.shop]
watch_only = true
[service.shop.scrape]
url = "http://127.0.0.1:8080/metrics"
[service.shop.signal.error_rate.scrape]
total = 'http_requests_total'
bad = 'http_requests_total{code=~"5.."}'
[notify.log]
audiences = ["on_call"]
"#;

/// Two targets, each scraped every 15 s a little off the beat, series after series: six hours, of which half of one fails on one of
/// them. `millis` is how many of its times' units are a second.
fn exposed(millis: i64, more: &str) -> String {
    let mut text = String::new();
    for (target, offset_ms) in [("a:80", 0), ("b:80", 7_400)] {
        for code in ["200", "500"] {
            let mut count = 0;
            for scrape in 0..1_440 {
                let fails = target == "b:80" && (1_200..1_320).contains(&scrape);
                count += match (code, fails) {
                    ("500", false) => 0,
                    ("500", true) | ("200", false) => 150,
                    _ => 50,
                };
                let jitter = [0, 3, -2, 40][scrape as usize % 4];
                let at_ms = FROM * 1_000 + scrape * 15_000 + offset_ms + jitter;
                let at = match millis {
                    1 => format!("{}.{:03}", at_ms / 1_000, at_ms % 1_000),
                    _ => at_ms.to_string(),
                };
                _ = writeln!(
                    text,
                    "http_requests_total{{code=\"{code}\",instance=\"{target}\",job=\"shop\"}} {count} {at}"
                );
            }
        }
    }
    text + more
}

#[test]
fn what_targets_exposed_is_read_as_the_daemon_reads_it() {
    let home = tempfile::tempdir().unwrap();
    let config = written(home.path(), "rollbackd.toml", SCRAPED);
    let (openmetrics, text) = (exposed(1, "# EOF\n"), exposed(1_000, ""));
    let mut told = vec![];
    for exposition in [openmetrics, text] {
        let file = written(home.path(), "exposed.txt", &exposition);
        let (story, said, code) = replay(&[&config, "--openmetrics", &file, "--json"]);
        assert_eq!(code, 0, "{said}");
        assert!(!said.contains("could not be used"), "{said}");
        told.push(story);
    }
    assert_eq!(told[0], told[1]);
    let stories: serde_json::Value = serde_json::from_str(&told[0]).unwrap();
    let fired = &stories[0]["fired"][0];
    assert_eq!(fired["onset"], "2026-01-05T04:59:52.440Z", "{fired}");
    // 150 of 350 requests of the two targets together.
    assert!(fired["says"].as_str().unwrap().contains("42."), "{fired}");
}

#[test]
fn lines_of_an_exposition_that_cannot_be_used_are_counted_and_mislead() {
    let home = tempfile::tempdir().unwrap();
    let config = written(home.path(), "rollbackd.toml", SCRAPED);
    let lines = exposed(
        1_000,
        "http_requests_total{code=\"200\",instance=\"a:80\"} 7\nhttp_requests_total{code= 7 1\n",
    );
    let again = lines.lines().next().unwrap();
    let holes: Vec<&str> = lines
        .lines()
        .enumerate()
        .filter(|(n, _)| n % 1_440 < 100 || n % 1_440 > 130)
        .map(|(_, line)| line)
        .collect();
    let file = written(home.path(), "exposed.txt", &format!("{}\n{again}\n", holes.join("\n")));
    let (_, said, code) = replay(&[&config, "--openmetrics", &file]);
    assert_eq!(code, 65, "{said}");
    for expected in [
        "there is no time in it",
        "error_rate of shop/production: 1440 readings: 31 gaps, 1 told again (left out)",
        "this may mislead: 2.2 % of error_rate",
    ] {
        assert!(said.contains(expected), "{said}");
    }
    let (_, said, code) =
        replay(&[&written(home.path(), "other.toml", CONFIG), "--openmetrics", &file]);
    assert!(
        said.contains("no service of the configuration is scraped") && code == 64,
        "{code} {said}"
    );
}

/// One target's requests every `step_ms`, in seconds with fraction and without the end marker.
fn requests(labels: &str, from_ms: i64, step_ms: i64, count: i64) -> String {
    let mut text = String::new();
    for scrape in 0..count {
        let (at_ms, sum) = (FROM * 1_000 + from_ms + scrape * step_ms, scrape * 150);
        let at = format!("{}.{:03}", at_ms / 1_000, at_ms % 1_000);
        for (code, sum) in [("200", sum), ("500", 0)] {
            _ = writeln!(text, "http_requests_total{{code=\"{code}\",{labels}}} {sum} {at}");
        }
    }
    text
}

/// What is said of a dump, and how it ends.
fn said_of(config: &str, dump: &str) -> (String, i32) {
    let home = tempfile::tempdir().unwrap();
    let config = written(home.path(), "rollbackd.toml", config);
    let file = written(home.path(), "dump.txt", dump);
    let (_, said, code) = replay(&[&config, "--openmetrics", &file]);
    (said, code)
}

#[test]
fn lines_of_several_jobs_are_not_added_up_in_silence() {
    let dump = |other: &str| {
        requests("instance=\"a:80\",job=\"shop\"", 0, 15_000, 400)
            + &requests(&format!("instance=\"b:80\",job=\"{other}\""), 0, 15_000, 400)
            + &format!("process_start_time_seconds{{instance=\"c:80\",job=\"else\"}} 7 {FROM}\n")
            + "# EOF\n"
    };
    let (said, code) = said_of(SCRAPED, &dump("billing"));
    assert!(said.contains("lines of 2 jobs (billing, shop) were all read as shop"), "{said}");
    assert!(said.contains("--service-label job") && code == 65, "{said}");
    let (said, code) = said_of(SCRAPED, &dump("shop"));
    assert!(!said.contains("jobs") && !said.contains("fault") && code == 0, "{said}");
}

#[test]
fn a_dump_without_its_end_marker_is_read_by_its_times_and_that_is_said() {
    let dump = requests("instance=\"a:80\"", 0, 15_000, 400);
    let whole: String = dump.replace(".000\n", "\n");
    for dump in [&dump, &whole] {
        let (said, code) = said_of(SCRAPED, dump);
        assert!(said.contains("does not end with `# EOF`: it may be cut off"), "{said}");
        assert_eq!(code, 0, "{said}");
    }
    let (said, code) = said_of(SCRAPED, &format!("{whole}# EOF\n\n"));
    assert!(!said.contains("EOF") && code == 0, "{said}");
    let (said, _) = said_of(SCRAPED, whole.strip_suffix("5\n").unwrap());
    assert!(said.contains("dump.txt:800: the file ends within it"), "{said}");
    let (said, _) =
        said_of(SCRAPED, &format!("{whole}m 1 2\nhttp_requests_total 7 1767571200000\n"));
    assert!(said.contains("its time is in milliseconds, and the file's are seconds"), "{said}");
}

#[test]
fn no_scrape_is_lost_to_a_step_that_is_no_whole_second_and_what_is_left_out_is_counted() {
    for step_ms in [250, 2_500, 2_550] {
        let dump = requests("instance=\"a:80\"", 0, step_ms, 3_000) + "# EOF\n";
        let (said, code) = said_of(SCRAPED, &dump);
        assert!(!said.contains("readings:") && code == 0, "{step_ms}: {said}");
    }
    let dump = requests("instance=\"a:80\"", 0, 15_000, 400)
        + &requests("instance=\"b:80\"", 0, 15_000, 400)
        + &requests("instance=\"c:80\"", 0, 10_000, 600)
        + "# EOF\n";
    let (said, code) = said_of(SCRAPED, &dump);
    assert!(said.contains("200 other steps") && code == 0, "{said}");
}

#[test]
fn a_target_is_as_fresh_as_it_was_when_it_was_scraped() {
    let strict = SCRAPED.replace("/metrics\"", "/metrics\"\nlag = \"5s\"");
    let dump = requests("instance=\"a:80\"", 0, 15_000, 400)
        + &requests("instance=\"b:80\"", 7_000, 15_000, 400)
        + "# EOF\n";
    let (said, code) = said_of(&strict, &dump);
    assert!(!said.contains("error_rate") && code == 0, "{said}");
}

#[test]
fn a_fault_of_one_target_beside_the_others_readings_is_told() {
    let broken = requests("instance=\"b:80\"", 0, 15_000, 400).replace("} 1500 ", "} -1 ");
    let dump = requests("instance=\"a:80\"", 0, 15_000, 400) + &broken + "# EOF\n";
    let (said, code) = said_of(SCRAPED, &dump);
    assert!(said.contains("400 readings: 1 with a fault of one target; `b:80` is -1"), "{said}");
    assert_eq!(code, 0, "{said}");
}

/// `promtool` writes the mark of a series that is gone as NaN.
#[test]
fn what_is_marked_as_gone_is_gone_and_no_bad_number() {
    let all = requests("instance=\"a:80\"", 0, 15_000, 400) + "# EOF\n";
    let gone = |which: &str, scrape: i64| {
        let at = format!(" {}.000", FROM + scrape * 15);
        let line = |line: &str| match line.split_once("} ") {
            Some((series, rest)) if rest.ends_with(&at) && series.contains(which) => {
                format!("{series}}} NaN{at}\n")
            }
            _ => format!("{line}\n"),
        };
        all.lines().map(line).collect::<String>()
    };
    let (said, code) = said_of(SCRAPED, &gone("code=\"500\"", 200));
    assert!(!said.contains("readings:") && code == 0, "{said}");
    let (said, code) = said_of(SCRAPED, &gone("code", 200));
    assert!(said.contains("400 readings: 1 gaps") && !said.contains("NaN"), "{said}");
    assert_eq!(code, 0, "{said}");
    let lasting = gone("code", 200).replace("} 30150 ", "} NaN ");
    let (said, _) = said_of(SCRAPED, &lasting);
    assert!(said.contains("1 gaps, 1 no numbers"), "{said}");
}

#[test]
fn lines_that_do_not_name_their_target_are_one_targets_unless_they_take_turns() {
    let dump = requests("pod=\"a\"", 0, 15_000, 400) + "# EOF\n";
    let (said, code) = said_of(SCRAPED, &dump);
    assert!(said.contains("without a label `instance` are read as one target's"), "{said}");
    assert_eq!(code, 0, "{said}");
    let (said, code) = said_of(SCRAPED, &(requests("pod=\"b\"", 7_000, 15_000, 400) + &dump));
    assert!(said.contains("seem to be of several targets"), "{said}");
    assert_eq!(code, 65, "{said}");
}

/// What a changed query would have answered is not in the record, and a comparison of numbers alone must not hide that.
#[test]
fn another_configuration_that_reads_a_signal_otherwise_is_said_to_be_judged_by_this_ones() {
    let home = tempfile::tempdir().unwrap();
    let config = written(home.path(), "rollbackd.toml", SCRAPED);
    let other = written(home.path(), "other.toml", &SCRAPED.replace("\"5..\"", "\"[45]..\""));
    let file = written(home.path(), "exposed.txt", &exposed(1, "# EOF\n"));
    let compared = [config.as_str(), "--openmetrics", &file, "--against"];
    let (_, said, code) = replay(&[&compared[..], &[&other]].concat());
    assert!(said.contains("shop/production: `error_rate` is read in another way"), "{said}");
    assert!(said.contains("1 signals of the other configuration are judged"), "{said}");
    assert_eq!(code, 65);
    assert_eq!(replay(&[&compared[..], &[&other, "--allow-partial"]].concat()).2, 0);
    let same = written(home.path(), "same.toml", SCRAPED);
    assert_eq!(replay(&[&compared[..], &[&same]].concat()).2, 0);
}
