//! One poll of a service's own metrics: whoever is a target now is asked, and what they said is joined.

use std::sync::Arc;

use tokio::{sync::Semaphore, task::JoinSet};

use super::{clock, reading};
use crate::sources::{reading::Poll, scrape};

/// Targets of one service at once: a fleet that hangs leaves room for the polls of others.
const AT_ONCE: usize = 32;

/// All targets at the same time, as far as there are permits, joined in their order: one that hangs keeps no other waiting. Answers each spec with
/// its own poll, in their order. Where nobody is listed nobody said anything: that is no poll of a healthy service.
pub(super) async fn scrape(
    targets: &mut scrape::Targets,
    specs: Vec<scrape::Spec>,
    permits: &Arc<Semaphore>,
) -> Vec<Poll> {
    let specs: Arc<[scrape::Spec]> = specs.into();
    let listed = targets.now().await;
    let own = Arc::new(Semaphore::new(AT_ONCE));
    let mut asked = JoinSet::new();
    for (place, target) in listed.targets.into_iter().enumerate() {
        let specs = Arc::clone(&specs);
        let (own, permits) = (Arc::clone(&own), Arc::clone(permits));
        asked.spawn(async move {
            // Always in this order, and whoever holds both waits for nobody. Neither is ever closed.
            let _own = own.acquire().await;
            let _permit = permits.acquire().await;
            (place, target.poll(&specs, clock::wall()).await)
        });
    }
    let mut answers = asked.join_all().await;
    answers.sort_unstable_by_key(|(place, _)| *place);
    let answers = answers.into_iter().map(|(_, polls)| polls);
    let mut polls = answers.fold(vec![], reading::joined);
    polls.resize(specs.len(), Poll::default());
    for poll in &mut polls {
        poll.partial |= listed.partial;
        // What is wrong with the list is told before what is wrong with a target.
        poll.faults.splice(0..0, listed.faults.iter().cloned());
    }
    polls
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        domain::{
            counter::{Counters, Cumulative, Field, Options, Poll as Taken, Series},
            signal::{self, Unknown},
            watch::Raw,
        },
        sources::{
            exposition::Limits,
            http::{self, fake::Fake},
            reading::{Fold, Freshness},
            scrape::{ListOptions, Listing, Origin, RatioSpec, Spec, Targets},
            selector::Selector,
        },
        units::{Span, UnixMs},
    };

    fn listed(path: &std::path::Path) -> Targets {
        let options = ListOptions {
            origin: Origin::File(path.to_owned()),
            scheme: "http".into(),
            path: "/metrics".into(),
            targets_max: 3,
            http: http::Options::default(),
            limits: Limits::default(),
            freshness: Freshness::default(),
            revision: None,
        };
        Targets::Listed(Box::new(Listing::new(options, &mut http::Clients::default()).unwrap()))
    }

    fn permits(count: usize) -> Arc<Semaphore> {
        Arc::new(Semaphore::new(count))
    }

    fn specs() -> Vec<Spec> {
        let (bad, total) = (vec![Selector::metric("bad")], vec![Selector::metric("total")]);
        vec![Spec::Ratio(RatioSpec { bad, total, by: vec![] })]
    }

    fn write(path: &std::path::Path, targets: &[&Fake]) {
        let at = |fake: &&Fake| format!("127.0.0.1:{}", fake.url.port().unwrap());
        let targets: Vec<String> = targets.iter().map(at).collect();
        fs::write(path, serde_json::json!([{ "targets": targets }]).to_string()).unwrap();
    }

    fn take(counters: &mut Counters, raw: &[Raw]) -> Option<(u64, u64)> {
        let field = |value: &Option<f64>| value.map_or(Field::Absent, Field::Value);
        let mut all: Vec<Series<'_>> = vec![];
        for raw in raw {
            let Raw::Counter { series, revision, bad, total, at, started } = raw else {
                panic!("{raw:?}")
            };
            let reading = Cumulative { at: *at, bad: field(bad), total: field(total) };
            all.push(Series { revision, name: series, started: *started, reading });
        }
        let now = all.iter().map(|series| series.reading.at).max().unwrap();
        let taken = counters.take(Taken { now, backfill: false }, &all);
        let signal::Reading::Counts { bad, total } = taken.first()?.1.reading else { return None };
        Some((bad, total))
    }

    /// The chain of the one that stays goes on; the first errors of the one that is born count; the one that went is
    /// no reset, and leaves nothing partial.
    #[tokio::test]
    async fn targets_come_and_go_and_the_others_count_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shop.json");
        let stays =
            Fake::answers(200, "", "bad 1\ntotal 1000\nprocess_start_time_seconds 5\n").await;
        let goes =
            Fake::answers(200, "", "bad 7\ntotal 5000\nprocess_start_time_seconds 5\n").await;
        let old =
            Fake::answers(200, "", "bad 900\ntotal 900\nprocess_start_time_seconds 5\n").await;
        write(&path, &[&stays, &goes]);
        let (mut targets, mut counters) =
            (listed(&path), Counters::new(Options::every(Span::seconds(15))));
        let mut round = async || {
            let poll = scrape(&mut targets, specs(), &permits(1)).await.remove(0);
            let fine = poll.faults.is_empty() && !poll.partial;
            let (raw, _) = reading::raw(poll, Fold::default(), clock::wall());
            (fine, take(&mut counters, &raw))
        };
        assert_eq!(round().await, (true, None), "nothing to take a difference from");
        let born = clock::wall().as_seconds() + 1.0;
        let body = format!("bad 3\ntotal 4\nprocess_start_time_seconds {born}\n");
        let born = Fake::answers(200, "", body).await;
        write(&path, &[&stays, &born, &old]);
        assert_eq!(round().await, (true, Some((3, 4))));
        write(&path, &[&stays, &born, &goes]);
        assert_eq!(round().await, (true, Some((0, 0))), "it came back with what was known of it");
    }

    #[tokio::test]
    async fn no_targets_and_too_many_are_unknown_and_never_healthy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shop.json");
        let fake = Fake::answers(200, "", "bad 1\ntotal 1000\n").await;
        let mut targets = listed(&path);
        for (text, unknown, told) in [
            ("[]", Unknown::Absent, "no targets are listed"),
            (r#"[{"targets": []}]"#, Unknown::Absent, "no targets are listed"),
            (
                r#"[{"targets": ["a", "b", "c", "d"]}]"#,
                Unknown::Partial,
                "4 targets are listed, and 3 are allowed",
            ),
        ] {
            fs::write(&path, text).unwrap();
            let poll = scrape(&mut targets, [specs(), specs()].concat(), &permits(1)).await;
            assert_eq!(poll.len(), 2);
            let (raw, fault) = reading::raw(poll[1].clone(), Fold::default(), UnixMs(1));
            assert_eq!(raw, [Raw::Unknown { at: UnixMs(1), why: unknown }]);
            assert!(fault.unwrap().starts_with(told), "{text}");
        }
        write(&path, &[&fake]);
        assert_eq!(scrape(&mut targets, specs(), &permits(1)).await[0].readings.len(), 1);
        // A list that is broken hides nothing of those that are known, and is told beside what they say.
        fs::write(&path, "[").unwrap();
        let poll = scrape(&mut targets, specs(), &permits(1)).await.remove(0);
        assert_eq!(
            (poll.readings.len(), poll.partial, reading::result(&poll)),
            (1, false, "degraded")
        );
    }

    /// A poll with ten thousand targets took one permit, and asked them all at once.
    #[tokio::test]
    async fn each_target_takes_a_permit_and_one_permit_serves_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shop.json");
        let fake = async || Fake::answers(200, "", "bad 1\ntotal 1000\n").await;
        let three = [fake().await, fake().await, fake().await];
        write(&path, &three.each_ref());
        let (mut targets, permits) = (listed(&path), permits(1));
        assert_eq!(scrape(&mut targets, specs(), &permits).await[0].readings.len(), 3);
        let held = permits.acquire().await.unwrap();
        let mut waits = Box::pin(scrape(&mut targets, specs(), &permits));
        let early = tokio::time::timeout(std::time::Duration::from_millis(50), &mut waits).await;
        assert!(early.is_err(), "nobody is asked without a permit");
        drop(held);
        assert_eq!(waits.await[0].readings.len(), 3);
    }
}
