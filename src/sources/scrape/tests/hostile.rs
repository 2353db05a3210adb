//! What no decent target sends, over a real connection: nothing of it is taken for a number, and each says why.

use std::{fmt::Write as _, io::Write as _, time::Duration};

use super::*;
use crate::sources::http::fake::Send;

const HEAD: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\n";
const WHOLE: &str = "http_requests_total{code=\"200\"} 5\nhttp_requests_total{code=\"500\"} 2\n";

/// As long as a busy machine takes for megabytes.
const LONG: Span = Span::minutes(1);

/// One poll of a target that sends these pieces.
async fn sends(pieces: Vec<Send>) -> Poll {
    sends_within(pieces, LONG, 64 << 20).await
}

async fn sends_within(pieces: Vec<Send>, total: Span, body_bytes: usize) -> Poll {
    let fake = Fake::sends(pieces).await;
    let limits = Limits { body_bytes, ..Limits::default() };
    let http = http::Options { attempt: total, total, ..http::Options::default() };
    let options = Options { limits, http, ..options(fake.url.as_str()) };
    let target = Target::new(options, &mut http::Clients::default()).expect("a target");
    target.poll(&[errors()], NOW).await.remove(0)
}

/// One poll of a target that answers 200 with this body, whole.
async fn answers(headers: &str, body: impl AsRef<[u8]>) -> Poll {
    sends(whole(headers, body.as_ref())).await
}

fn whole(headers: &str, body: &[u8]) -> Vec<Send> {
    let head = format!("{HEAD}Content-Length: {}\r\n{headers}\r\n", body.len());
    vec![Send::Bytes([head.as_bytes(), body].concat())]
}

fn bytes(text: impl Into<Vec<u8>>) -> Send {
    Send::Bytes(text.into())
}

fn is_nothing(poll: &Poll, says: &str) {
    let told: Vec<String> = poll.faults.iter().map(ToString::to_string).collect();
    assert!(poll.partial && poll.readings.is_empty(), "{poll:?}");
    assert!(told.iter().any(|told| told.contains(says)), "{says}: {told:?}");
    assert!(told.iter().all(|told| told.len() < 2_000 && !told.contains('\n')), "{told:?}");
}

#[tokio::test]
async fn of_a_truncated_exposition_nothing_is_counted() {
    let announced = format!("{HEAD}Content-Length: 900\r\n\r\n{WHOLE}");
    is_nothing(&sends(vec![bytes(announced)]).await, "broke off");
    let chunk = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{WHOLE}\r\n", WHOLE.len());
    is_nothing(&sends(vec![bytes(chunk)]).await, "broke off");
    // The target itself wrote half of it, and said that this is all.
    let openmetrics = "Content-Type: application/openmetrics-text; version=1.0.0\r\n";
    assert!(answers(openmetrics, format!("{WHOLE}# EOF\n")).await.faults.is_empty());
    is_nothing(&answers(openmetrics, WHOLE).await, "cut off");
    is_nothing(&answers("", &WHOLE[..WHOLE.len() - 1]).await, "cut off");
}

#[tokio::test]
async fn binary_and_html_are_told_as_what_they_are_not() {
    let binary: Vec<u8> =
        (0..40_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    is_nothing(&answers("", &binary).await, "");
    is_nothing(&answers("", [0_u8; 4096]).await, "");
    let mixed = [WHOLE.as_bytes(), &binary, b"\n", WHOLE.as_bytes()].concat();
    is_nothing(&answers("", mixed).await, "");
    let page = format!("<!DOCTYPE html>\n<html><pre>\n{WHOLE}</pre></html>\n");
    is_nothing(&answers("Content-Type: text/html\r\n", page).await, "looks like HTML");
}

#[tokio::test]
async fn a_gzip_bomb_is_not_unpacked() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(WHOLE.as_bytes()).expect("written");
    encoder.write_all(&vec![b'#'; 128 << 20]).expect("written");
    let bomb = encoder.finish().expect("compressed");
    assert!(bomb.len() < 200_000, "{}", bomb.len());
    let bomb = whole("Content-Encoding: gzip\r\n", &bomb);
    is_nothing(&sends_within(bomb, LONG, 1 << 20).await, "1048576");
}

#[tokio::test]
async fn a_series_that_is_there_twice_with_two_values_is_no_count() {
    let poll = answers("", format!("{WHOLE}http_requests_total{{code=\"500\"}} 9\n")).await;
    is_nothing(&poll, "");
}

#[tokio::test]
async fn a_million_labels_cost_no_more_than_allowed_and_spoil_only_what_they_may_be_of() {
    let mut one = String::from("http_requests_total{");
    (0..1_000_000).for_each(|n| write!(one, "l{n}=\"\",").expect("written"));
    one.push_str("} 1\n");
    is_nothing(&answers("", format!("{WHOLE}{one}")).await, "");
    let mut series = String::new();
    (0..1_000_000)
        .for_each(|n| writeln!(series, "http_requests_total{{u=\"{n}\"}} 1").expect("written"));
    is_nothing(&answers("", format!("{WHOLE}{series}")).await, "200000");
    // Of another family they are stepped over.
    let others = series.replace("http_requests_total", "cache_hits_total");
    let poll = answers("", format!("{others}{WHOLE}")).await;
    assert_eq!((poll.readings, poll.partial), (vec![counter("pod-1", 2.0, 7.0)], false));
}

#[tokio::test]
async fn a_target_that_drips_is_late_and_keeps_nobody_waiting() {
    let mut drip = vec![bytes(format!("{HEAD}Content-Length: {}\r\n\r\n", WHOLE.len()))];
    for byte in WHOLE.bytes() {
        drip.extend([Send::Wait(Duration::from_millis(100)), bytes([byte])]);
    }
    let began = tokio::time::Instant::now();
    let poll = sends_within(drip, Span(900), 1 << 20).await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    is_nothing(&poll, "");
    assert!(matches!(poll.faults[0], Fault::Failed { class: Class::Down, .. }), "{poll:?}");
}

#[tokio::test]
async fn quotes_and_newlines_in_labels_stay_where_they_are() {
    let odd = r#"handler="a\"} 9\nhttp_requests_total{code=\"500\"} 9""#;
    let body = format!(
        "http_requests_total{{code=\"200\",{odd}}} 5\nhttp_requests_total{{code=\"500\",{odd}}} 2\n"
    );
    let poll = answers("", &body).await;
    assert_eq!(poll.readings, [counter("pod-1", 2.0, 7.0)]);
    let poll = self::poll(
        &body,
        ratio(r#"http_requests_total{code="500"}"#, "http_requests_total", &["handler"]),
    );
    assert_eq!(poll.readings.len(), 1, "one handler: {poll:?}");
}
