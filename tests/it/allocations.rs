//! What a scan allocates: nothing for each series, however many there are.

use std::fmt::Write;

use rollbackd::sources::exposition::{Format, Limits, Wanted, scan};

fn body(series: usize) -> String {
    let mut body = String::from("# TYPE http_requests_total counter\n");
    for number in 0..series {
        // As Spring Boot writes them, and with an escape.
        let uri = format!("/orders/{{id}}/{}", number / 10);
        let _ = writeln!(
            body,
            "http_requests_total{{code=\"20{}\",method=\"GET\",uri=\"{uri}\",by=\"a \\\"b\\\"\"}} {number}",
            number % 10
        );
    }
    body
}

fn allocations(body: &str, wanted: &Wanted) -> (u64, u64) {
    let (mut given, mut sum) = (0, 0.0);
    let counted = allocation_counter::measure(|| {
        let limits = Limits::default();
        let seen = scan(body.as_bytes(), Format::Text, &limits, wanted, |series| {
            sum += series.value + series.labels.len() as f64;
        });
        given = seen.expect("an exposition").given;
    });
    assert!(sum >= 0.0);
    (counted.count_total, given)
}

#[test]
fn a_scan_allocates_nothing_for_each_series() {
    let (small, large) = (body(1_000), body(100_000));
    let (of_small, few) = allocations(&small, &Wanted::all());
    let (of_large, many) = allocations(&large, &Wanted::all());
    assert_eq!((few, many), (1_000, 100_000));
    // The table that notices a series that is there twice doubles now and then.
    let doublings = 8;
    assert!(of_large <= of_small + doublings, "{of_small} for 1,000, {of_large} for 100,000");
    let (stepped_over, none) = allocations(&large, &Wanted::names(["something_else"]));
    assert!(none == 0 && stepped_over <= of_small, "{stepped_over} for what nobody wants");
}
