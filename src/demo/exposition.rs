//! What the shop's `/metrics` says, in the Prometheus text format.

use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Upper bounds in seconds, as written; the last bucket, `+Inf`, follows from the count.
const BOUNDS: [(&str, f64); 11] = [
    ("0.005", 0.005),
    ("0.01", 0.01),
    ("0.025", 0.025),
    ("0.05", 0.05),
    ("0.1", 0.1),
    ("0.25", 0.25),
    ("0.5", 0.5),
    ("0.75", 0.75),
    ("1", 1.0),
    ("2.5", 2.5),
    ("5", 5.0),
];

/// A histogram of how long the work took.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    within: [AtomicU64; BOUNDS.len()],
    beyond: AtomicU64,
    microseconds: AtomicU64,
}

impl Latencies {
    pub(super) fn observe(&self, took: Duration) {
        let slot = BOUNDS.iter().position(|(_, bound)| took.as_secs_f64() <= *bound);
        slot.map_or(&self.beyond, |slot| &self.within[slot]).fetch_add(1, Ordering::Relaxed);
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.microseconds.fetch_add(microseconds, Ordering::Relaxed);
    }
}

/// All of it: the answers by status code, the histogram, who is running and since when.
pub(super) fn render(
    answers: &[(&str, u64)],
    latencies: &Latencies,
    version: &str,
    started_at: f64,
) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_all(&mut out, answers, latencies, version, started_at);
    out
}

fn write_all(
    out: &mut String,
    answers: &[(&str, u64)],
    latencies: &Latencies,
    version: &str,
    started_at: f64,
) -> std::fmt::Result {
    writeln!(out, "# HELP http_requests_total Requests answered, by status code.")?;
    writeln!(out, "# TYPE http_requests_total counter")?;
    for (code, count) in answers {
        writeln!(out, "http_requests_total{{code=\"{code}\"}} {count}")?;
    }
    let name = "http_request_duration_seconds";
    writeln!(out, "# HELP {name} How long a request took.")?;
    writeln!(out, "# TYPE {name} histogram")?;
    let mut count = 0;
    for ((bound, _), slot) in BOUNDS.iter().zip(&latencies.within) {
        count += slot.load(Ordering::Relaxed);
        writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {count}")?;
    }
    count += latencies.beyond.load(Ordering::Relaxed);
    writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {count}")?;
    let sum = Duration::from_micros(latencies.microseconds.load(Ordering::Relaxed));
    writeln!(out, "{name}_sum {}", sum.as_secs_f64())?;
    writeln!(out, "{name}_count {count}")?;
    writeln!(out, "# HELP shop_build_info Which version is running.")?;
    writeln!(out, "# TYPE shop_build_info gauge")?;
    writeln!(out, "shop_build_info{{version=\"{}\"}} 1", escaped(version))?;
    writeln!(out, "# HELP process_start_time_seconds When this process started.")?;
    writeln!(out, "# TYPE process_start_time_seconds gauge")?;
    writeln!(out, "process_start_time_seconds {started_at:.3}")
}

/// A label's value as the text format wants it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_histogram_is_cumulative_and_bounds_are_inclusive() {
        let latencies = Latencies::default();
        for ms in [5, 6, 600, 9000] {
            latencies.observe(Duration::from_millis(ms));
        }
        let body = render(&[("200", 3), ("500", 1)], &latencies, "a\"b", 12.5);
        for line in [
            "http_requests_total{code=\"500\"} 1",
            "http_request_duration_seconds_bucket{le=\"0.005\"} 1",
            "http_request_duration_seconds_bucket{le=\"0.01\"} 2",
            "http_request_duration_seconds_bucket{le=\"0.5\"} 2",
            "http_request_duration_seconds_bucket{le=\"0.75\"} 3",
            "http_request_duration_seconds_bucket{le=\"+Inf\"} 4",
            "http_request_duration_seconds_sum 9.611",
            "http_request_duration_seconds_count 4",
            "shop_build_info{version=\"a\\\"b\"} 1",
            "process_start_time_seconds 12.500",
        ] {
            assert!(body.lines().any(|has| has == line), "no `{line}` in\n{body}");
        }
    }
}
