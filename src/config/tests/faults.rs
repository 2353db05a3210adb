//! What people are told about a file that is wrong.

use proptest::prelude::*;

use super::{loaded, refused, told};
use crate::config::{Level, load, load_text};

#[test]
#[expect(clippy::too_many_lines, reason = "it is what people read, at its full length")]
fn many_faults_are_told_at_once() {
    insta::assert_snapshot!(refused(include_str!("many_faults.toml")), @r###"
    error: rollbackd.toml, line 4, column 7
      |
    4 | url = "prometheus:9090"
      |       ^^^^^^^^^^^^^^^^^
    this is not an address for HTTP
    write it like "http://127.0.0.1:9090/path"

    error: rollbackd.toml, line 7, column 9
      |
    7 | above = "0.05"
      |         ^^^^^^
    `0.05` is not a threshold
    write it like "5%" of the requests, "2s" or "3x" what is normal

    error: rollbackd.toml, line 8, column 1
      |
    8 | holdsfor = "**"
      | ^^^^^^^^
    `holdsfor` is not a key that is known here
    did you mean `holds_for`?

    error: rollbackd.toml, line 10, column 10
       |
    10 | [trigger.critical-erors]
       |          ^^^^^^^^^^^^^^
    there is no trigger `critical-erors`
    did you mean `critical-errors`?

    error: rollbackd.toml, line 14, column 13
       |
    14 | holds_for = "20s"
       |             ^^^^^
    `service-outage` must hold for 20s, and `health` is read every 15s: this can never hold
    let it hold for "30s" at least, or poll every "10s" at most

    error: rollbackd.toml, line 17, column 15
       |
    17 | monitor_for = "20m"
       |               ^^^^^
    P1 is monitored for 20m and must be acted upon within 15m: always late
    let act_within be longer than monitor_for

    error: rollbackd.toml, line 19, column 10
       |
    19 | [service.checkout]
       |          ^^^^^^^^
    `checkout` has nothing that can be rolled back, and its mode is auto
    add [service.checkout.rollback.application.release]

    error: rollbackd.toml, line 20, column 1
       |
    20 | sgnal = 5
       | ^^^^^
    `sgnal` is not a key that is known here
    did you mean `signal`?

    error: rollbackd.toml, line 23, column 8
       |
    23 | from = "mian"
       |        ^^^^^^
    there is no Prometheus server `mian`
    did you mean `main`?

    error: rollbackd.toml, line 24, column 22
       |
    24 | bad = 'sum by (pod) (rate(http_requests_total{code=~"5.."}[5m]))'
       |                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    `rate()` looks over a window longer than a poll, so each error is counted several times
    write the counter itself

    error: rollbackd.toml, line 31, column 7
       |
    31 | url = "********************************************"
       |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    a secret must not stand in this file
    write { file = "/path/to/it" } or { env = "NAME" }

    error: rollbackd.toml, line 34, column 10
       |
    34 | listen = "0.0.0.0:7676"
       |          ^^^^^^^^^^^^^^
    credentials would cross the network in the clear
    add [http.tls] cert_file and key_file, listen on 127.0.0.1, or say allow_plain_beyond_loopback = true

    error: rollbackd.toml, line 37, column 10
       |
    37 | scopes = []
       |          ^^
    this token may do nothing
    write some of alerts, changes, evidence, view, operate, admin

    error: rollbackd.toml, line 38, column 8
       |
    38 | file = "/nowhere/token"
       |        ^^^^^^^^^^^^^^^^
    `/nowhere/token` cannot be read: No such file or directory (os error 2)
    name a file that the daemon may read
    "###);
}

#[test]
fn what_is_not_toml_is_told_by_line() {
    insta::assert_snapshot!(refused("mode = \n[service.a\nname = \"x\"\n[guard]\nguard\n"), @r###"
    error: rollbackd.toml, line 1, column 8
      |
    1 | mode =
      |        ^
    string values must be quoted, expected literal string

    error: rollbackd.toml, line 2, column 11
      |
    2 | [service.a
      |           ^
    unclosed table, expected `]`

    error: rollbackd.toml, line 5, column 6
      |
    5 | guard
      |      ^
    key with no value, expected `=`
    "###);
}

/// A service in a few words, with this beside it.
fn with(more: &str) -> String {
    format!(
        "[service.shop]\nwatch_only = true\n[service.shop.scrape]\nurl = \"http://127.0.0.1:1/m\"\n\
         [service.shop.signal.error_rate.scrape]\nbad = 'bad'\ntotal = 'total'\n{more}\n"
    )
}

#[test]
fn a_comparison_that_proves_nothing_is_refused() {
    let cases = [
        (
            "[trigger.worse-than-old]\nenabled = true\nmargin = \"0.5x\"",
            "would be worse than another",
        ),
        ("[trigger.worse-than-old]\nenabled = true\nalpha = 0.5", "no chance of a false alarm"),
        ("[trigger.worse-than-old]\nenabled = true\nalpha = nan", "no chance of a false alarm"),
        (
            "[trigger.worse-than-old]\nenabled = true\nholds_for = \"1m\"",
            "`holds_for` means nothing to `worse-than-old`",
        ),
        ("[trigger.worse-than-old]\nenabled = true\nabove = \"2x\"", "a share of all"),
        ("[trigger.worse-than-old]\nenabled = true\nabove = \"100%\"", "can never hold"),
        ("[trigger.critical-errors]\nmargin = \"3x\"", "means nothing to `critical-errors`"),
    ];
    for (more, expected) in cases {
        let told = refused(&with(more));
        assert!(told.contains(expected), "{more}\n\n{told}");
    }
}

#[test]
fn what_is_slow_is_one_thing_for_a_service() {
    let slow = |more: &str| {
        with(&format!(
            "[service.shop.signal.latency.scrape]\nhistogram = 'x'\n\
             [trigger.far-too-slow]\nlooks_at = \"slow_share\"\nabove = \"20%\"\nseverity = \"P2\"\n{more}"
        ))
    };
    let told = refused(&slow("slower_than = \"10x\""));
    let expected = "for one service `far-too-slow` takes 10x the baseline for slow, and `performance-degradation` 3x";
    assert!(told.contains(expected), "{told}");
    loaded(&slow("slower_than = \"10x\"\n[trigger.performance-degradation]\nenabled = false"));
}

#[test]
fn what_can_never_hold_is_refused() {
    let cases = [
        ("[trigger.critical-errors]\nabove = \"100%\"", "can never hold"),
        ("[trigger.critical-errors]\nholds_for = \"29s\"", "can never hold"),
        ("[trigger.critical-errors]\ngrace = \"6m\"", "never end a shorter breach"),
        ("[trigger.critical-errors]\nsilence = \"20s\"", "forgets a breach"),
        ("[trigger.critical-errors]\nholds_for = \"0s\"", "one sample alone"),
        ("[trigger.critical-errors.escalation]\nabove = \"100%\"", "can never hold"),
        ("[trigger.critical-errors]\nbuckets = [\"2m\", \"1m\"]", "each wider than the last"),
        ("[trigger.traffic-collapse]\nbelow = \"0%\"", "can never hold"),
        ("[trigger.critical-errors]\nbelow = \"1%\"", "means nothing to `critical-errors`"),
        ("[trigger.data-corruption]\nholds_for = \"1m\"", "means nothing to `data-corruption`"),
        ("[trigger.critical-errors]\nabove = \"3x\"", "a share of all"),
        ("[trigger.minor]\nlooks_at = \"latency\"", "looks at something else"),
        ("[severity.P1]\nmonitor_for = \"15m\"", "always late"),
        ("[severity.P1]\nverify_within = \"20m\"", "every rollback would page as late"),
        ("[guard]\nfreshness_polls = 0", "0 lets nothing through"),
        ("[guard]\ncompany_wait = \"5m\"", "until it is late"),
        ("[baseline]\nbegins = \"1m\"", "nothing lies between"),
        (
            "[freeze.x]\nfrom = \"2026-01-02T00:00:00Z\"\nuntil = \"2026-01-01T00:00:00Z\"",
            "before it begins",
        ),
        ("[notify.log]\naudiences = [\"stakeholders\"]", "pages would get lost"),
        ("[notify.ops]\ndeadline = \"1s\"", "nobody knows how `ops` is reached"),
        ("[service.other]\nname = \"shop\"\nwatch_only = true", "are both shop/production"),
        ("[service.shop.signal.error_rate]\nevery = \"10m\"", "can never hold"),
        ("[service.shop.signal.speed.scrape]\nvalue = 'x'", "nobody knows what `speed` measures"),
        ("[service.shop.signal.error_rate]\nunit = \"ms\"", "does not measure time"),
        ("[service.shop.signal.cpu.http]\nurl = \"http://x\"", "only tells whether"),
        ("[service.shop.signal.latency.prometheus]\nvalue = 'x'", "which Prometheus server"),
        ("[service.shop.signal.latency.scrape]\nbad = 'x'", "not what latency is read from"),
        (
            "[service.shop.signal.latency.scrape]\nhistogram = 'x'\nfold = \"min\"",
            "here is no `value`",
        ),
        (
            "[prometheus.main]\nurl = \"http://x\"\n[service.shop.signal.latency.prometheus]\n\
             value = 'x'\nversion_label = \"version\"",
            "only rows with `bad` and `total`",
        ),
        ("[service.shop.signal.latency.scrape]\nvalue = '{x'", "does not begin with"),
        (
            "[service.x.rollback.application.release]\nroot = \"srv\"\nrestart = { unit = \"x\" }\nrunning = { unit = \"x\" }",
            "not an absolute path",
        ),
        ("[service.x.rollback.check.smoke]\nargv = []", "there is no program"),
        ("[service.x]\nacts_on_evidence = [\"data-coruption\"]", "did you mean `data-corruption`?"),
        ("[service.x]\ntemplate = \"tiny\"", "there is no template `tiny`"),
        (
            "[prometheus.main]\nurl = \"http://x\"\n[discover.web]\ntemplate = \"tiny\"\nquery = 'up'\nlabel = \"job\"",
            "there is no template `tiny`",
        ),
        (
            "[template.t]\nwatch_only = true\n[discover.web]\ntemplate = \"t\"\nquery = 'up'\nlabel = \"job\"",
            "nobody knows which Prometheus server is asked",
        ),
        (
            "[template.t]\nwatch_onli = true\n[discover.web]\ntemplate = \"t\"\nquery = 'up'\nlabel = \"job\"",
            "did you mean `watch_only`?",
        ),
        ("[alertmanager]\nurl = \"http://me:hunter2@x\"", "a credential must not stand"),
    ];
    for (more, expected) in cases {
        let told = refused(&with(more));
        assert!(told.contains(expected), "{more}\n\n{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
}

/// It was said twice, of names that stand nowhere in the file.
#[test]
fn what_a_template_lacks_is_said_once_of_each_service_that_follows_it() {
    let told = refused(
        "[prometheus.main]\nurl = \"http://x\"\n[template.t]\nmode = \"approve\"\n\
         signal.health.http.url = \"http://{service}\"\n\
         [discover.web]\ntemplate = \"t\"\nquery = 'up'\nlabel = \"job\"",
    );
    let says = "each service found by discover.web has nothing that can be rolled back, and its mode is approve\n\
                add [template.t.rollback.application.release]";
    assert_eq!(told.matches(says).count(), 1, "{told}");
    assert!(!told.contains("any-"), "{told}");
}

#[test]
fn what_is_only_odd_is_a_warning() {
    let cases = [
        ("[severity.P0]\nact_within = \"10m\"", "within 5 minutes"),
        ("[severity.P0]\nmonitor_for = \"1m\"", "not monitored"),
        ("[service.bare]", "nothing is read of `bare`"),
        ("[service.bare]", "nothing that can be rolled back: people will be told so"),
        ("[service.shop.trigger.service-outage]\nholds_for = \"1m\"", "no signal that"),
        ("[trigger.worse-than-old]\nenabled = true", "no signal tells them apart"),
        (
            "[service.shop.rollback.before.drain]\nargv = [\"/bin/drain\"]",
            "whether `drain` has run",
        ),
        (
            "[service.shop.rollback.before.drain]\nargv = [\"/no/such/drain\"]\nidempotent = true",
            "`/no/such/drain` is not there",
        ),
        (
            "[service.shop.rollback.before.drain]\nargv = [\"/etc/passwd\"]\nidempotent = true",
            "`/etc/passwd` cannot be executed",
        ),
        (
            "[service.shop.trigger]\ncritical-errors.enabled = false\nelevated-errors.enabled = false\n\
          minor.enabled = false\ntraffic-collapse.enabled = false",
            "no trigger looks at `error_rate`",
        ),
    ];
    for (more, expected) in cases {
        let (_, problems) = loaded(&with(more));
        let told = told(&problems);
        assert!(told.contains(expected), "{more}\n\n{told}");
        assert!(problems.iter().all(|problem| problem.level == Level::Warning));
    }
}

#[test]
fn what_was_left_out_because_of_a_fault_is_not_missed() {
    let more = "[prometheus.main]\nurl = 5\n[service.shop.signal.latency.prometheus]\nfrom = \"main\"\n\
                value = 'x'\n[service.shop.rollback.application.release]\nroot = 1";
    let problems = load_text("x", &with(more)).unwrap_err();
    let lines: Vec<usize> = problems.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [9, 14], "{}", told(&problems));
}

#[test]
fn a_secret_that_cannot_be_meant_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret").display().to_string();
    for (secret, table, expected) in [
        ("abc\n", "[token.x]\nscopes = [\"view\"]\nfile = ", "the secret of `x` has 3 characters"),
        (
            "https://a.example\nhttps://b.example\n",
            "[heartbeat]\nurl.file = ",
            "more than one line",
        ),
    ] {
        std::fs::write(&file, secret).unwrap();
        let problems = load_text("x", &with(&format!("{table}\"{file}\""))).unwrap_err();
        let told = told(&problems);
        assert!(told.contains(expected), "{told}");
        assert!(!told.contains("abc") && !told.contains("a.example"), "{told}");
    }
}

#[test]
fn no_secret_is_shown_whatever_is_wrong() {
    let cases = [
        "[notify.ops.slack]\nurl = \"hunter2\"",
        "[notify.ops.slack]\nuri = \"hunter2\"",
        "[notify.ops.slack]\nurl = { value = \"hunter2\" }",
        "[notify.ops]\nslack = \"hunter2\"",
        "[token.x]\nsecret = \"hunter2\"",
        "[token]\nx = \"hunter2\"",
        "[prometheus.x]\nurl = \"http://x\"\nbasic = { user = 5, password = \"hunter2\" }",
        "[prometheus.x]\nurl = \"http://x\"\nbearer = [\"hunter2\"]",
        "[heartbeat]\nurl = \"hunter2",
    ];
    for more in cases {
        let problems = load_text("x", &with(more)).unwrap_err();
        let json = serde_json::to_string(&problems).unwrap();
        assert!(!told(&problems).contains("hunter2"), "{}", told(&problems));
        assert!(!json.contains("hunter2"), "{json}");
    }
}

#[test]
fn a_file_that_is_not_there_is_told_too() {
    let problems = load(std::path::Path::new("/nowhere/rollbackd.toml")).unwrap_err();
    assert!(told(&problems).starts_with("error: /nowhere/rollbackd.toml: cannot be read"));
    assert_eq!(serde_json::to_value(&problems[0]).unwrap()["line"], 0);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        let _ = load_text("x", &text);
    }

    #[test]
    fn no_cut_of_a_real_file_makes_it_panic(from in 0..4000_usize, to in 0..4000_usize, put in "[\\[\\]=\"'a-z.{}5%\n]{0,6}") {
        let text = include_str!("many_faults.toml");
        let (from, to) = (from % text.len(), to % text.len());
        let text = format!("{}{put}{}", &text[..from.min(to)], &text[from.max(to)..]);
        for problem in load_text("x", &text).err().unwrap_or_default() {
            prop_assert!(!problem.to_string().is_empty());
        }
    }
}

#[test]
fn where_targets_are_is_said_once_and_as_it_can_be_read() {
    for (scrape, says) in [
        ("lag = \"5m\"", "nobody knows where the targets are"),
        ("url = \"http://a/m\"\nfile = \"/a.json\"", "found in more than one way"),
        ("file = \"/a.json\"\ndns = \"a:1\"", "found in more than one way"),
        ("dns = \"10.0.0.1:80\"", "not the name of a host"),
        ("dns = \"http://a\"", "not the name of a host"),
        ("dns = \"_m._tcp.a:80\"", "not the name of SRV records"),
        ("file = \"a.json\"", "not an absolute path"),
        ("file = \"/a.json\"\nscheme = \"ftp\"", "not a scheme"),
        ("file = \"/a.json\"\npath = \"m?a=b\"", "not a path"),
        ("file = \"/a.json\"\ntargets_max = 0", "0 lets nothing through"),
        ("url = \"http://a/m\"\npath = \"/m\"", "about a list of targets"),
    ] {
        let text = format!(
            "[service.shop]\nwatch_only = true\n[service.shop.scrape]\n{scrape}\n\
             [service.shop.signal.error_rate.scrape]\nbad = 'e'\ntotal = 'r'"
        );
        let problems = refused(&text);
        assert!(problems.contains(says), "{scrape}: {problems}");
    }
}

#[test]
fn programs_for_maintenance_mode_are_three_and_looking_switches_nothing() {
    let release = "
        [service.shop.rollback.application.release]
        root = '/srv/shop'
        restart.unit = 'shop.service'
        running.unit = 'shop.service'
        [service.shop.rollback.maintenance.command]
    ";
    let with = |lines: &str| format!("{release}{lines}");
    let good = "on = ['/bin/true', 'on']\noff = ['/bin/true', 'off']\nobserve = ['/bin/true']";
    let (config, _) = loaded(&with(good));
    let service = config.policy.services.values().next().unwrap();
    let maintenance = service.runbook.as_ref().unwrap().maintenance.as_ref().unwrap();
    assert_eq!(maintenance.mode.to_string(), "by `/bin/true on`");
    let step = maintenance.step();
    assert!(
        step.title.starts_with("switch maintenance mode on: run `/bin/true on`;"),
        "{}",
        step.title
    );
    assert_eq!(maintenance.resources().collect::<Vec<_>>(), ["maintenance:/bin/true on"]);
    for (from, to, said) in [
        ("observe = ['/bin/true']", "", "observe"),
        ("observe = ['/bin/true']", "observe = []", "there is no program to run"),
        ("observe = ['/bin/true']", "observe = ['/bin/true', 'on']", "looking would switch it"),
        ("'off']", "'on']", "what switches it on and off is the same"),
    ] {
        let told = refused(&with(&good.replace(from, to)));
        assert!(told.contains(said), "{to}: {told}");
    }
}
