//! Counts of whole intervals, service by service, from a CSV file: in whatever order, and with what is wrong in it counted.

use std::collections::BTreeMap;

use super::{
    Recorded,
    changes::named,
    heard::Heard,
    steady::{Entry, steady},
};
use crate::{
    domain::{
        policy::{Policy, ServicePolicy, SignalKind},
        service::ServiceId,
        signal::Unknown,
        watch::Raw,
    },
    units::{Span, UnixMs},
};

/// What the first line must name, in any order; the last one may be missing.
const COLUMNS: [&str; 5] = ["service", "time", "bad", "total", "p95_ms"];
/// Lines that are told one by one.
const TOLD_MAX: usize = 5;
/// Seconds since 1970 that are not milliseconds: until the year 5138.
const SECONDS_MAX: f64 = 1e11;

/// One interval; what was empty, or no number, is not there.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Row {
    counts: Option<(f64, f64)>,
    p95: Option<f64>,
}

/// Where the columns are.
struct Table {
    service: usize,
    time: usize,
    bad: usize,
    total: usize,
    p95: Option<usize>,
}

/// Reads a file called `name` for the services of a policy.
pub fn read(name: &str, text: &str, policy: &Policy) -> Result<Recorded, String> {
    let known: Vec<ServiceId> = policy.services.keys().cloned().collect();
    let mut lines = (1_usize..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let header: Vec<String> = lines.next().map(|(_, line)| cells(line)).unwrap_or_default();
    let table = Table::of(&header).ok_or_else(|| {
        format!("{name}:1: the first line must be `service,time,bad,total`, and may have `p95_ms`")
    })?;
    let mut recorded = Recorded::default();
    let strange: Vec<&str> =
        header.iter().map(String::as_str).filter(|column| !COLUMNS.contains(column)).collect();
    if !strange.is_empty() {
        recorded.odd.push(format!("{name}: columns that say nothing here: {}", strange.join(", ")));
    }
    let mut rows: BTreeMap<ServiceId, Vec<Entry<Row>>> = BTreeMap::new();
    let (mut unplaced, mut count) = (0, 0);
    for (number, line) in lines {
        count += 1;
        match table.row(&cells(line), &known) {
            Ok((service, at, row)) => {
                rows.entry(service).or_default().push(Entry { at, what: row })
            }
            Err(why) => {
                unplaced += 1;
                if unplaced <= TOLD_MAX {
                    recorded.odd.push(format!("{name}:{number}: {why}"));
                }
            }
        }
    }
    if unplaced > TOLD_MAX {
        recorded.odd.push(format!("{name}: and {} more such lines", unplaced - TOLD_MAX));
    }
    recorded.unplaced(name, unplaced, count);
    for (id, service) in &policy.services {
        take(&mut recorded, service, rows.remove(id).unwrap_or_default(), table.p95.is_some());
    }
    Ok(recorded)
}

fn cells(line: &str) -> Vec<String> {
    let cell = |cell: &str| cell.trim().trim_matches('"').to_owned();
    line.trim_start_matches('\u{feff}').split(',').map(cell).collect()
}

impl Table {
    fn of(header: &[String]) -> Option<Self> {
        let place = |name: &str| header.iter().position(|column| column == name);
        let [service, time, bad, total, p95] = COLUMNS.map(place);
        Some(Self { service: service?, time: time?, bad: bad?, total: total?, p95 })
    }

    fn row(
        &self,
        cells: &[String],
        known: &[ServiceId],
    ) -> Result<(ServiceId, UnixMs, Row), String> {
        let cell = |place: usize| cells.get(place).map(String::as_str).unwrap_or_default();
        let service = named(cell(self.service), known)?;
        let at = time(cell(self.time))?;
        let number =
            |place: usize| cell(place).parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
        let counts = number(self.bad).zip(number(self.total)).filter(|(bad, total)| bad <= total);
        let p95 = self.p95.and_then(number);
        Ok((service, at, Row { counts, p95 }))
    }
}

fn time(text: &str) -> Result<UnixMs, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.abs() < SECONDS_MAX => {
            UnixMs::from_seconds(seconds).ok_or_else(|| {
                format!("`{text}` is not a time; write seconds since 1970, or RFC 3339")
            })
        }
        Ok(_) => Err(format!("`{text}` is no time in seconds; milliseconds are not read")),
        Err(_) => text.parse(),
    }
}

/// Makes a service's rows the readings of its signals.
fn take(recorded: &mut Recorded, service: &ServicePolicy, rows: Vec<Entry<Row>>, p95: bool) {
    let signal = |kind: SignalKind| {
        let mut all = service.signals.iter().filter(|(_, signal)| signal.kind == kind);
        all.next().map(|(name, _)| Heard::nothing(service.id.clone(), name.clone()))
    };
    let (step, mended, rows) = steady(rows);
    if let Some(mut heard) = signal(SignalKind::ErrorRate) {
        heard.mended.clone_from(&mended);
        let track = heard.polls(counters(&rows, step));
        recorded.take(heard, track, step);
    }
    if let Some(mut heard) = signal(SignalKind::Latency).filter(|_| p95) {
        heard.mended = mended;
        let track =
            heard.polls(rows.iter().map(|(at, row)| (*at, vec![gauge(*at, row)])).collect());
        recorded.take(heard, track, step);
    }
}

fn unknown(at: UnixMs, why: Unknown) -> Raw {
    Raw::Unknown { at, why }
}

/// Counters as a target would have shown them: the first one before the first interval.
fn counters(rows: &[(UnixMs, Result<Row, Unknown>)], step: Span) -> Vec<(UnixMs, Vec<Raw>)> {
    let (mut bad, mut total) = (0.0, 0.0);
    let counter = |at, bad, total| {
        let (series, revision) = (String::new(), String::new());
        Raw::Counter { series, revision, at, bad: Some(bad), total: Some(total), started: None }
    };
    let before = rows.first().map(|(at, _)| *at - step);
    let before = before.map(|at| (at, vec![counter(at, 0.0, 0.0)]));
    let each = rows.iter().map(|(at, row)| {
        let reading = match row.map(|row| row.counts) {
            Ok(Some((more_bad, more))) => {
                bad += more_bad;
                total += more;
                counter(*at, bad, total)
            }
            Ok(None) => unknown(*at, Unknown::Invalid),
            Err(why) => unknown(*at, why),
        };
        (*at, vec![reading])
    });
    let each: Vec<_> = each.collect();
    before.into_iter().chain(each).collect()
}

fn gauge(at: UnixMs, row: &Result<Row, Unknown>) -> Raw {
    let n = |row: &Row| row.counts.map(|(_, total)| total.round() as u64);
    match row {
        Ok(row) => match (row.p95, n(row)) {
            (Some(p95), n) => Raw::Gauge { at, value: p95 / 1_000.0, n },
            // Nobody asked, so that nobody waited.
            (None, Some(0)) => Raw::Gauge { at, value: 0.0, n: Some(0) },
            (None, _) => unknown(at, Unknown::Invalid),
        },
        Err(why) => unknown(at, *why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config, replay::tape::Track};

    const CONFIG: &str = r#"
state_dir = "/nonexistent"
[prometheus.main]
url = "http://127.0.0.1:9090"
[service.shop]
watch_only = true
[service.shop.signal.error_rate.prometheus]
bad = 'errors_total'
total = 'requests_total'
[service.shop.signal.latency.prometheus]
value = 'p95'
[notify.log]
audiences = ["on_call"]
"#;

    fn read_of(text: &str) -> (Recorded, Vec<String>, Vec<String>) {
        let (config, _) = config::load_text("test", CONFIG).unwrap();
        let recorded = read("file", text, &config.policy).unwrap();
        let (said, misleads) = (recorded.said(&config), recorded.misleads());
        (recorded, said, misleads)
    }

    fn totals(recorded: &Recorded) -> Vec<Option<f64>> {
        let Track::Polls(polls) = &recorded.tapes[0].tracks[0].1 else { panic!("polls") };
        let total = |readings: &[Raw]| match readings {
            [Raw::Counter { total, .. }] => *total,
            _ => None,
        };
        polls.iter().map(|(_, readings)| total(readings)).collect()
    }

    #[test]
    fn whatever_the_order_it_is_the_same_record() {
        let sorted = "service,time,bad,total,p95_ms\n\
            shop,60,0,10,200\nshop,120,1,20,210\nshop,180,2,30,220\n";
        let shuffled = "total,p95_ms,service,bad,time\n\
            30,220,shop/production,2,1970-01-01T00:03:00Z\n10,200,shop,0,60\n20,210,shop,1,120\n20,210,shop,1,120\n";
        let ((one, said, misleads), (other, told, also)) = (read_of(sorted), read_of(shuffled));
        assert_eq!(one.tapes, other.tapes);
        assert_eq!(totals(&one), [Some(0.0), Some(10.0), Some(30.0), Some(60.0)]);
        assert_eq!(one.steps.values().next(), Some(&Span::minutes(1)));
        assert_eq!((misleads.len(), also.len(), said.len()), (0, 0, 1));
        insta::assert_snapshot!(told[0], @"error_rate of shop/production: 4 readings: 1 out of order (sorted), 1 told again (left out)");
    }

    #[test]
    fn gaps_contradictions_and_what_is_no_number_are_unknown_and_counted() {
        let text = "service,time,bad,total\n\
            shop,60,0,10\nshop,120,NaN,10\nshop,180,11,10\nshop,240,0,10\nshop,240,0,11\n\
            shop,480,0,10\nshop,540,0,10\nshop,565,0,10\n";
        let (recorded, said, misleads) = read_of(text);
        let known = totals(&recorded).iter().filter(|total| total.is_some()).count();
        assert_eq!((totals(&recorded).len(), known), (11, 5));
        insta::assert_snapshot!(said[0], @"error_rate of shop/production: 11 readings: 3 gaps, 3 no numbers, 1 contradictions (left out), 1 other steps");
        insta::assert_snapshot!(misleads.join("\n"), @"54.5 % of error_rate of shop/production could not be used");
        insta::assert_snapshot!(said[1], @"not replayed, for this record does not hold them: latency of shop/production");
    }

    #[test]
    fn lines_that_cannot_be_placed_are_told_and_mislead_where_they_are_many() {
        let text = "service,time,bad,total,mood\nshpo,60,0,1,good\nshop,later,0,1,good\nshop,1700000000000,0,1,bad\n";
        let (recorded, said, misleads) = read_of(text);
        assert!(recorded.tapes.is_empty());
        insta::assert_snapshot!(said[..4].join("\n"), @r#"
        file: columns that say nothing here: mood
        file:2: no service that is replayed is called `shpo`; did you mean shop?
        file:3: `later` is not a time; write it like "2026-11-22T21:40:00Z"
        file:4: `1700000000000` is no time in seconds; milliseconds are not read
        "#);
        insta::assert_snapshot!(misleads.join("\n"), @r"
        3 of 3 lines of file could not be used
        error_rate of shop/production is missing
        ");
    }

    #[test]
    fn a_file_without_the_columns_is_refused() {
        let (config, _) = config::load_text("test", CONFIG).unwrap();
        for text in ["", "service,time,bad\nshop,60,1\n", "shop,60,0,10\n"] {
            assert!(read("file", text, &config.policy).unwrap_err().starts_with("file:1: "));
        }
    }
}
