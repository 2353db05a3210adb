//! The exposition scanner against prometheus-parse, on one body of 10,000 series that both read whole.
#![allow(clippy::unwrap_used, reason = "a bench may fail loudly")]

use std::{fmt::Write, hint::black_box};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rollbackd::sources::exposition::{Format, Limits, Wanted, scan};

/// Histograms of 100 routes on ten pods, as a real service exposes them; about 1.9 MB.
fn body() -> String {
    let mut body = String::from(
        "# HELP http_server_requests_seconds Duration of HTTP server request handling\n\
         # TYPE http_server_requests_seconds histogram\n",
    );
    for series in 0..9_990 {
        let (route, bucket) = (series / 100, series % 10);
        writeln!(
            body,
            "http_server_requests_seconds_bucket{{application=\"ecommerce-backend\",error=\"none\",\
             exception=\"none\",instance=\"10.1.{}.{}:8080\",method=\"GET\",outcome=\"SUCCESS\",\
             status=\"200\",uri=\"/api/orders/{route}/items\",le=\"0.{bucket}{series}\"}} {}",
            series % 7,
            series % 251,
            series * 37,
        )
        .unwrap();
    }
    body.push_str("# TYPE http_errors_total counter\n");
    for code in 0..10 {
        writeln!(body, "http_errors_total{{code=\"50{code}\"}} {}.5e2", code * 11).unwrap();
    }
    body
}

fn parse(c: &mut Criterion) {
    let body = body();
    let mut group = c.benchmark_group("parse 10,000 series");
    group.throughput(Throughput::Bytes(body.len() as u64)).sample_size(30);
    borrowed(&mut group, &body);
    owned(&mut group, &body);
    group.bench_function("prometheus-parse", |b| {
        b.iter(|| {
            let lines = body.lines().map(|line| Ok(line.to_owned()));
            prometheus_parse::Scrape::parse(lines).unwrap()
        });
    });
    group.finish();
}

fn borrowed(group: &mut Group<'_>, body: &str) {
    let limits = Limits::default();

    group.bench_function("ours, borrowed", |b| {
        b.iter(|| {
            let mut sum = 0.0;
            let seen = scan(body.as_bytes(), Format::Text, &limits, &Wanted::all(), |series| {
                sum += series.value + series.labels.len() as f64;
            })
            .unwrap();
            assert_eq!(seen.given, 10_000);
            black_box(sum)
        });
    });
    group.bench_function("ours, one family wanted", |b| {
        let wanted = Wanted::names(["http_errors_total"]);
        b.iter(|| {
            let mut sum = 0.0;
            let seen = scan(body.as_bytes(), Format::Text, &limits, &wanted, |series| {
                sum += series.value;
            })
            .unwrap();
            assert_eq!((seen.given, seen.skipped), (10, 9_990));
            black_box(sum)
        });
    });
}

fn owned(group: &mut Group<'_>, body: &str) {
    let limits = Limits::default();
    group.bench_function("ours, owned, a string each", |b| {
        b.iter(|| {
            let mut all = Vec::new();
            scan(body.as_bytes(), Format::Text, &limits, &Wanted::all(), |series| {
                let labels: Vec<(String, String)> = series
                    .labels
                    .iter()
                    .map(|label| (label.name.text().into_owned(), label.value.text().into_owned()))
                    .collect();
                all.push((series.name.text().into_owned(), labels, series.value));
            })
            .unwrap();
            assert_eq!(all.len(), 10_000);
            all
        });
    });
    group.bench_function("ours, owned, a buffer per series", |b| {
        b.iter(|| {
            let mut all: Vec<(String, Vec<usize>, f64)> = Vec::new();
            scan(body.as_bytes(), Format::Text, &limits, &Wanted::all(), |series| {
                // The name, then names and values of the labels, and where each ends.
                let mut text = String::with_capacity(256);
                let mut ends = Vec::with_capacity(1 + 2 * series.labels.len());
                text.push_str(series.name.raw());
                ends.push(text.len());
                for label in series.labels {
                    text.push_str(label.name.raw());
                    ends.push(text.len());
                    text.push_str(&label.value.text());
                    ends.push(text.len());
                }
                all.push((text, ends, series.value));
            })
            .unwrap();
            assert_eq!(all.len(), 10_000);
            all
        });
    });
}

type Group<'c> = criterion::BenchmarkGroup<'c, criterion::measurement::WallTime>;

criterion_group!(benches, parse);
criterion_main!(benches);
