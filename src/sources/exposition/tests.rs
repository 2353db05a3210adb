use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

type Owned = (String, BTreeMap<String, String>, f64, Option<UnixMs>);

fn read_as(body: &[u8], format: Format, wanted: &Wanted) -> (Vec<Owned>, Scan) {
    let mut all = Vec::new();
    let scan = scan(body, format, &Limits::default(), wanted, |series| {
        let labels = series.labels.iter();
        let labels = labels.map(|label| (label.name.to_string(), label.value.to_string()));
        all.push((series.name.to_string(), labels.collect(), series.value, series.at));
    });
    (all, scan.expect("an exposition"))
}

fn read(body: &str) -> (Vec<Owned>, Scan) {
    read_as(body.as_bytes(), Format::Text, &Wanted::all())
}

fn one(line: &str) -> Owned {
    let (mut all, scan) = read(&format!("# c\n{line}\n"));
    assert!(!scan.partial() && all.len() == 1, "{line}: {scan:?}");
    all.remove(0)
}

fn why(line: &str) -> Why {
    let (all, scan) = read(&format!("# c\n{line}\ngood 1\n"));
    assert_eq!((all.len(), scan.bad, scan.partial()), (1, 1, true), "{line}: {scan:?}");
    assert_eq!(scan.told[0].line, 2);
    scan.told[0].why
}

#[test]
fn what_other_parsers_lose_is_read() {
    for (line, label, value) in [
        (r#"m{uri="/orders/{id}"} 1"#, "uri", "/orders/{id}"),
        (r#"job:errors:rate5m{q="a=b,c"} 1"#, "q", "a=b,c"),
        ("m{a=\"# not a comment } 7\"} 1", "a", "# not a comment } 7"),
        (r#"m{a="say \"hi\" \\ and\nleave"} 1"#, "a", "say \"hi\" \\ and\nleave"),
        (r#"m{a="C:\temp",} 1"#, "a", "C:\\temp"),
        (r#"m{a="\\n"} 1"#, "a", "\\n"),
        (r#"m { a = "x" , } 1"#, "a", "x"),
        (r#"m{a=""}1"#, "a", ""),
        ("\t m{a=\"ünïcode 💥\"}\t1 ", "a", "ünïcode 💥"),
        (r#"{"http.requests",a="x"} 1"#, "a", "x"),
        (r#"m{"label.dotted"="x"} 1"#, "label.dotted", "x"),
        (r#"m{"a \"b\" \\"="x"} 1"#, "a \"b\" \\", "x"),
    ] {
        let (_, labels, number, _) = one(line);
        assert_eq!(labels.get(label).map(String::as_str), Some(value), "{line}");
        assert_eq!(number, 1.0);
    }
    for bare in ["m 1", "m{} 1", "m\t1", "m{ }1", "m 1\r"] {
        assert_eq!(one(bare), ("m".into(), BTreeMap::new(), 1.0, None), "{bare:?}");
    }
    assert_eq!(one(r#"{"http.requests"} 2"#).0, "http.requests");
    assert_eq!(one(r#"{"say \"hi\""} 2"#).0, "say \"hi\"");
}

#[test]
fn values_timestamps_and_exemplars_are_told_apart() {
    assert_eq!(one("m +Inf").2, f64::INFINITY);
    assert!(one("m NaN 12").2.is_nan());
    assert_eq!(one("m 1 1795376433805").3, Some(UnixMs(1_795_376_433_805)));
    let exemplar = r#"m_bucket{le="1"} 7 # {trace_id="a}b"} 0.67 1520879607.789"#;
    let body = format!("{exemplar}\nm_total 3 1520879607.5 # {{}} 1\n# EOF\n");
    let (all, scan) = read_as(body.as_bytes(), Format::OpenMetrics, &Wanted::all());
    assert!(!scan.partial(), "{scan:?}");
    assert_eq!((all[0].2, all[0].3), (7.0, None));
    assert_eq!((all[1].2, all[1].3), (3.0, Some(UnixMs(1_520_879_607_500))));
}

#[test]
fn a_bad_line_is_told_with_its_reason_and_never_the_body() {
    for (line, reason) in [
        ("1m 1", Why::Name),
        ("m-x 1", Why::Name),
        ("{} 1", Why::Name),
        ("m", Why::Name),
        ("<b>m</b> 1", Why::Name),
        (r#"m{1a="x"} 1"#, Why::LabelName),
        (r#"m{a="x",,b="y"} 1"#, Why::LabelName),
        (r#"m{,} 1"#, Why::LabelName),
        (r#"m{a:b="x"} 1"#, Why::LabelName),
        ("{m} 1", Why::LabelName),
        (r#"m{"other"} 1"#, Why::LabelName),
        (r#"m{a="x",a="y"} 1"#, Why::LabelTwice),
        (r#"m{a="x","a"="y"} 1"#, Why::LabelTwice),
        (r#"m{a=x} 1"#, Why::Quotes),
        (r#"m{a="x} 1"#, Why::Quotes),
        (r#"m{a="x\"#, Why::Quotes),
        (r#"m{a="x" b="y"} 1"#, Why::Braces),
        (r#"m{a="x""#, Why::Braces),
        ("m{", Why::Braces),
        (r#"m{a="x"}"#, Why::Value),
        ("m one", Why::Value),
        ("m 1 soon", Why::Timestamp),
        ("m 1 2 3", Why::Tail),
        ("m 1 # trace", Why::Exemplar),
        (r#"m 1 # {a="b"} x"#, Why::Exemplar),
        (r#"m 1m{a="x"} 2"#, Why::Value),
    ] {
        assert_eq!(why(line), reason, "{line}");
    }
    let (all, scan) = read_as(b"m{a=\"\xff\"} 1\nm 2\n", Format::Text, &Wanted::all());
    assert_eq!((all.len(), scan.told[0].why), (1, Why::Utf8));
    assert_eq!(
        scan.told[0].to_string(),
        "line 1: not UTF-8: `m{a=\"\u{fffd}\"} 1`",
        "the excerpt is safe to print"
    );
}

#[test]
fn only_a_bad_line_that_may_be_wanted_makes_a_scan_partial() {
    let wanted = Wanted::names(["requests_total", "errors_total"]);
    let scan = |line: &str| {
        let body = format!("requests_total 1\n{line}\nerrors_total 1\n");
        read_as(body.as_bytes(), Format::Text, &wanted).1
    };
    for other in ["my-metric 3", "other{", "other one", "other{a=\"b\" 1", "other"] {
        let scan = scan(other);
        assert_eq!((scan.bad, scan.partial(), scan.given), (1, false, 2), "{other}");
    }
    for mine in ["requests_total{", "requests_total one"] {
        let scan = scan(mine);
        assert_eq!((scan.partial_of(0), scan.partial_of(1)), (true, false), "{mine}");
    }
    for unsure in ["requests_to", "\u{1}\u{2}\u{3}", "=requests_total 3", "{a", "{\"x\"} one"] {
        let scan = scan(unsure);
        assert!(scan.partial_of(0) && scan.partial_of(1), "{unsure}: {scan:?}");
    }
}

#[test]
fn unwanted_series_are_stepped_over_and_counted() {
    let body = "a 1\nb{x=\"}\"} 2\n{\"c.d\"} 3\n{\"b\",x=\"1\"} 4\nb_total 5\n";
    let (all, scan) = read_as(body.as_bytes(), Format::Text, &Wanted::names(["b"]));
    assert_eq!(all.iter().map(|series| series.2).collect::<Vec<_>>(), [2.0, 4.0]);
    assert_eq!((scan.given, scan.skipped, scan.bad), (2, 3, 0));
}

#[test]
fn a_cut_body_is_partial_and_its_last_line_is_not_believed() {
    let (all, scan) = read("m 1\nn 17");
    assert_eq!((all.len(), scan.cut, scan.partial()), (1, true, true));
    let whole = read_as(b"m 1\n# EOF", Format::OpenMetrics, &Wanted::all()).1;
    assert!(!whole.partial());
    // Two bodies in one, or a body of another writer: nobody knows what else is wrong.
    for after in ["# a comment\n", "# EOF\n", "# EOF", "m 2\n"] {
        let body = format!("m 1\n# EOF\n{after}");
        assert!(read_as(body.as_bytes(), Format::OpenMetrics, &Wanted::all()).1.partial());
    }
    let cut = read_as(b"m 1\n", Format::OpenMetrics, &Wanted::all()).1;
    assert!(cut.cut, "OpenMetrics without its end marker");
    let after = read_as(b"m 1\n# EOF\nn 2\n", Format::OpenMetrics, &Wanted::all()).1;
    assert_eq!(after.told[0].why, Why::AfterEnd);
    assert!(!read("").1.partial(), "nothing exposed is not cut");
}

#[test]
fn of_two_equal_series_the_first_counts() {
    let (all, scan) =
        read("m{a=\"1\",b=\"2\"} 1\nm{b=\"2\",a=\"1\"} 9\nm{a=\"2\",b=\"1\"} 3\nm 4\n");
    assert_eq!(all.iter().map(|series| series.2).collect::<Vec<_>>(), [1.0, 3.0, 4.0]);
    assert_eq!(scan.duplicates, 1);
    assert_eq!(scan.first_duplicate.as_deref(), Some("m{b=\"2\",a=\"1\"} 9"));
    assert!(scan.partial(), "nobody knows which of both is true");
    let harmless = read("m{a=\"1\"} 1\nm{a=\"1\"} 1\n").1;
    assert!(harmless.duplicates == 1 && !harmless.partial(), "{harmless:?}");
}

#[test]
fn what_is_no_exposition_is_named() {
    let refuse = |body: &[u8]| {
        scan(body, Format::Text, &Limits::default(), &Wanted::names(["m"]), |_| {})
            .expect_err("no exposition")
    };
    let page = refuse(b"\n <!DOCTYPE html><html><title>Sign in</title>");
    assert_eq!(
        page.to_string(),
        "this looks like HTML, not metrics: `<!DOCTYPE html><html><title>Sign in</title>`"
    );
    assert!(matches!(refuse(b"\x1f\x8b\x08\x00\x00"), Unreadable::Binary { .. }));
    assert!(matches!(refuse(b"upstream connect error\n"), Unreadable::NotMetrics { .. }));
    assert!(matches!(refuse(b"{\"status\":\"UP\"}\n"), Unreadable::NotMetrics { .. }));
}

#[test]
fn every_limit_is_told() {
    let limits = Limits { body_bytes: 60, series: 2, labels: 1, line_bytes: 20, told: 1 };
    let try_it = |body: &str| {
        scan(body.as_bytes(), Format::Text, &limits, &Wanted::all(), |_| {})
            .map(|scan| (scan.given, scan.over, scan.bad, scan.told.first().map(|told| told.why)))
    };
    assert_eq!(try_it(&"x".repeat(61)), Err(Unreadable::TooLarge { limit: 60 }));
    assert_eq!(try_it("a 1\nb 1\nc 1\nd 1\n"), Ok((2, Some(Over::Series { limit: 2 }), 0, None)));
    assert_eq!(try_it("a{b=\"\",c=\"\"} 1\nd 1\n"), Ok((1, None, 1, Some(Why::Labels))));
    assert_eq!(try_it("a{b=\"0123456789abc\"} 1\nd 1\n"), Ok((1, None, 1, Some(Why::TooLong))));
}

#[test]
fn types_are_those_of_the_family() {
    let body = "# TYPE m counter\nm_total 1\nm_created 1\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nother 1\n\
                # TYPE \"g \\\"x\\\" y\" gauge\n{\"g \\\"x\\\" y\"} 1\n# TYPE g gaugehistogram\ng_gcount 1\n";
    let mut kinds = Vec::new();
    scan(body.as_bytes(), Format::Text, &Limits::default(), &Wanted::all(), |series| {
        kinds.push(series.kind);
    })
    .expect("an exposition");
    use Kind::{Counter, Gauge, Histogram, Untyped};
    assert_eq!(kinds, [Counter, Counter, Histogram, Untyped, Gauge, Histogram]);
}

/// Bodies of real programs, read by us and by openmetrics-parser, which accepts nearly all valid input.
#[test]
fn recorded_bodies_are_read_whole() {
    let mut bodies = 0;
    for entry in std::fs::read_dir("tests/fixtures/metrics").expect("the fixtures") {
        let path = entry.expect("a fixture").path();
        let body = std::fs::read_to_string(&path).expect("a body");
        let (all, scan) = read(&body);
        let lines = body.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        assert_eq!(all.len(), lines.count(), "{}", path.display());
        assert!(!scan.partial() && scan.bad + scan.duplicates == 0, "{}: {scan:?}", path.display());
        agrees_with_prometheus_parse(&body, &all);
        agrees_with_openmetrics_parser(&body, &all);
        bodies += 1;
    }
    assert!(bodies >= 8);
}

/// prometheus-parse drops and groups; whatever counter or gauge it does return without a `=` or a backslash in it, we
/// must have too.
fn agrees_with_prometheus_parse(body: &str, all: &[Owned]) {
    let theirs = prometheus_parse::Scrape::parse(body.lines().map(|line| Ok(line.to_owned())));
    let mut compared = 0;
    for sample in theirs.expect("always Ok").samples {
        use prometheus_parse::Value::{Counter, Gauge, Untyped};
        let (Counter(value) | Gauge(value) | Untyped(value)) = sample.value else { continue };
        let labels: BTreeMap<String, String> =
            sample.labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        if labels.values().any(|value| value.contains(['\\', '=', '"'])) {
            continue;
        }
        let ours = all.iter().find(|ours| ours.0 == sample.metric && ours.1 == labels);
        let ours = ours.unwrap_or_else(|| panic!("lost {} {labels:?}", sample.metric));
        assert!(ours.2 == value || (ours.2.is_nan() && value.is_nan()), "{ours:?} {value}");
        compared += 1;
    }
    assert!(compared > 0);
}

/// What openmetrics-parser read, written out by it and read again, is what we read.
fn agrees_with_openmetrics_parser(body: &str, all: &[Owned]) {
    let theirs = openmetrics_parser::prometheus::parse_prometheus(body).expect("valid");
    let (theirs, scan) = read(&theirs.to_string());
    assert!(!scan.partial(), "{scan:?}");
    assert_eq!(theirs.len(), all.len());
    // It writes bounds in its own way: 6.4e-08 as 0.000000064.
    let bounds_as_numbers = |series: &Owned| {
        let mut series = series.clone();
        for (name, value) in &mut series.1 {
            if name == "le" || name == "quantile" {
                *value = value.parse::<f64>().expect("a bound").to_string();
            }
        }
        series
    };
    let theirs: Vec<Owned> = theirs.iter().map(bounds_as_numbers).collect();
    for ours in all.iter().filter(|ours| !ours.2.is_nan()).map(bounds_as_numbers) {
        assert!(theirs.contains(&ours), "{ours:?}");
    }
}

fn series() -> impl Strategy<Value = Owned> {
    let name = "[a-zA-Z_:][a-zA-Z0-9_:]{0,12}";
    let value = prop_oneof![
        any::<f64>().prop_filter("NaN is not equal to itself", |value| !value.is_nan()),
        (0_u32..10_000).prop_map(f64::from),
    ];
    let labels = prop::collection::btree_map("[a-zA-Z_][a-zA-Z0-9_]{0,8}", any::<String>(), 0..5);
    (name, labels, value, prop::option::of((0_i64..1 << 45).prop_map(UnixMs)))
}

fn render((name, labels, value, at): &Owned) -> String {
    let escape =
        |text: &String| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let labels: Vec<_> =
        labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
    let at = at.map(|at| format!(" {}", at.0)).unwrap_or_default();
    format!("{name}{{{}}} {value}{at}\n", labels.join(","))
}

proptest! {
    #[test]
    fn whatever_is_rendered_is_read_back(all in prop::collection::vec(series(), 1..20)) {
        let mut all = all;
        let mut known = std::collections::HashSet::new();
        all.retain(|series| known.insert((series.0.clone(), series.1.clone())));
        let body: String = all.iter().map(render).collect();
        let (read, scan) = read(&body);
        prop_assert!(!scan.partial(), "{:?}", scan);
        prop_assert_eq!(read, all);
    }

    #[test]
    fn openmetrics_parser_agrees_where_it_reads(all in prop::collection::vec(series(), 1..4)) {
        let body: String = all.iter().map(render).collect();
        if let Ok(theirs) = openmetrics_parser::prometheus::parse_prometheus(&body) {
            let count: usize = theirs.families.values().map(|f| f.iter_samples().count()).sum();
            let (ours, scan) = read(&body);
            prop_assert_eq!(ours.len() as u64 + scan.duplicates, all.len() as u64);
            prop_assert!(count <= all.len());
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_every_line_is_accounted_for(
        body in prop::collection::vec(
            prop_oneof![
                any::<u8>(),
                prop::sample::select(&b"m{}=\",\\ \n#1.e+N"[..]),
            ],
            0..200,
        ),
        openmetrics in any::<bool>(),
    ) {
        let format = if openmetrics { Format::OpenMetrics } else { Format::Text };
        for wanted in [Wanted::all(), Wanted::names(["m"])] {
            let mut given = 0;
            let scan = scan(&body, format, &Limits::default(), &wanted, |_| given += 1);
            if let Ok(scan) = scan {
                prop_assert_eq!(given, scan.given);
                let lines = body.iter().filter(|byte| **byte == b'\n').count() as u64;
                prop_assert!(scan.given + scan.skipped + scan.bad + scan.duplicates <= lines);
            }
        }
    }

    /// Cutting a body anywhere loses no series unseen.
    #[test]
    fn a_cut_is_seen(all in prop::collection::vec(series(), 1..6), at in any::<prop::sample::Index>()) {
        let body: String = all.iter().map(render).collect();
        let cut = at.index(body.len());
        let (_, whole) = read(&body);
        let outcome = scan(&body.as_bytes()[..cut], Format::Text, &Limits::default(), &Wanted::all(), |_| {});
        if let Ok(scan) = outcome {
            let boundary = cut == 0 || body.as_bytes()[cut - 1] == b'\n';
            prop_assert!(scan.partial() || boundary || scan.given + scan.duplicates == whole.given + whole.duplicates);
        }
    }
}
