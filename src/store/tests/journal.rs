use std::ops::ControlFlow;

use super::*;
use crate::store::{Answer, Break, Chain, Checkpoint, Reader, Snapshot};

fn checkpoint(seq: u64) -> Checkpoint {
    let versions = [("incident".to_owned(), 2)].into();
    Checkpoint { seq, at: T0, versions, body: format!("state after {seq}") }
}

fn filled(dir: &Path, count: i64) -> Store {
    let mut store = open(dir);
    for n in 0..count {
        let at = T0 + Span::minutes(n);
        let stream = if n % 2 == 0 { "shop/production" } else { "fleet" };
        write(&mut store, &[Draft { at, ..fact(stream, &n.to_string()) }]).unwrap();
    }
    store
}

fn bodies(store: &Store, after: u64) -> Vec<String> {
    let mut bodies = vec![];
    let each = |record: crate::store::Record| {
        bodies.push(record.fact.body);
        Ok::<(), StoreError>(())
    };
    store.view().replay(after, each).unwrap();
    bodies
}

#[test]
fn what_was_appended_is_replayed_in_order_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let facts = [fact("shop/production", "1"), fact("fleet", "2"), fact("shop/production", "3")];
    let appended = store.append(&Turn { facts: &facts, ..Turn::default() }).unwrap().records;
    let places: Vec<(u64, u64)> = appended.iter().map(|r| (r.seq, r.stream_seq)).collect();
    assert_eq!(places, [(1, 1), (2, 1), (3, 2)]);
    drop(store);

    let mut store = open(dir.path());
    write(&mut store, &[fact("fleet", "4")]).unwrap();
    assert_eq!(bodies(&store, 0), ["1", "2", "3", "4"]);
    assert_eq!(bodies(&store, 2), ["3", "4"]);
    let view = store.view();
    assert_eq!(view.last(4).unwrap()[..3], appended[..]);
    assert_eq!(view.last(1).unwrap()[0].epoch, 2);
    assert_eq!(view.verify_chain().unwrap(), Chain::Whole { records: 4, last: 4 });
}

#[test]
fn a_replay_can_be_stopped_by_whoever_reads() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path(), 5);
    #[derive(Debug)]
    struct Enough(ControlFlow<u64>);
    impl From<StoreError> for Enough {
        fn from(_: StoreError) -> Self {
            Self(ControlFlow::Continue(()))
        }
    }
    let stopped = store.view().replay(0, |record| Err(Enough(ControlFlow::Break(record.seq))));
    assert!(matches!(stopped, Err(Enough(ControlFlow::Break(1)))), "{stopped:?}");
}

#[test]
fn a_reader_finds_streams_and_incidents_while_the_daemon_writes() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    assert!(matches!(Reader::open(&state), Err(StoreError::Absent { .. })));
    let mut store = filled(dir.path(), 6);
    let reader = Reader::open(&state).unwrap();
    write(&mut store, &[fact("fleet", "late")]).unwrap();
    let seqs =
        |records: Vec<crate::store::Record>| records.iter().map(|r| r.seq).collect::<Vec<_>>();
    let view = reader.view();
    assert_eq!(seqs(view.stream("fleet", 0, 10).unwrap()), [2, 4, 6, 7]);
    assert_eq!(seqs(view.stream("fleet", 3, 2).unwrap()), [4, 6]);
    assert_eq!(seqs(view.incident("fleet#1", 4, 10).unwrap()), [6, 7]);
    assert_eq!(view.last_seq().unwrap(), 7);
    drop(store);
    let reader = Reader::open(&state).unwrap();
    assert_eq!(seqs(reader.view().last(2).unwrap()), [6, 7]);
}

#[test]
fn tampering_is_found_at_the_first_wrong_record() {
    for (sql, seq, why) in [
        ("UPDATE journal SET body = 'nothing happened' WHERE seq = 3", 3, Break::Altered),
        ("UPDATE journal SET at = '2001-01-01T00:00:00.000Z' WHERE seq = 2", 2, Break::Altered),
        ("UPDATE journal SET incident = NULL WHERE seq = 2", 2, Break::Altered),
        ("UPDATE journal SET prev_hash = hash WHERE seq = 4", 4, Break::Unlinked),
        ("DELETE FROM journal WHERE seq = 2", 2, Break::Missing),
        ("DELETE FROM journal WHERE seq = 5", 5, Break::Missing),
        ("UPDATE checkpoint SET hash = 'x'", 5, Break::CheckpointDiffers),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = filled(dir.path(), 5);
        store.save_checkpoint(&checkpoint(5)).unwrap();
        let intruder = behind_its_back(dir.path());
        intruder
            .execute_batch("DROP TRIGGER journal_is_final; DROP TRIGGER journal_is_kept;")
            .unwrap();
        intruder.execute(sql, []).unwrap();
        assert_eq!(store.view().verify_chain().unwrap(), Chain::Broken { seq, why }, "{sql}");
    }
}

#[test]
fn the_database_itself_refuses_to_change_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path(), 3);
    let intruder = behind_its_back(dir.path());
    for sql in [
        "UPDATE journal SET body = ''",
        "DELETE FROM journal WHERE seq = 1",
        "INSERT INTO journal SELECT 9, stream, 9, epoch, incident, at, at_ms, steady_ms, kind, fact_version, cause, daemon_version, config_hash, policy_version, body, prev_hash, hash FROM journal WHERE seq = 3",
        "INSERT OR REPLACE INTO journal SELECT * FROM journal WHERE seq = 3",
        "UPDATE pruned SET seq = 2",
        "DELETE FROM pruned",
    ] {
        assert!(intruder.execute(sql, []).is_err(), "{sql} was let through");
    }
    assert_eq!(store.view().verify_chain().unwrap(), Chain::Whole { records: 3, last: 3 });
}

#[test]
fn retention_removes_only_what_is_old_and_covered() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = filled(dir.path(), 10);
    store.options.journal_keep = Span::hours(1);
    let all_old = T0 + Span::hours(9);
    assert_eq!(store.prune(all_old, 100).unwrap().records, 0, "there is no checkpoint");
    store.save_checkpoint(&checkpoint(8)).unwrap();
    assert_eq!(store.prune(T0 + Span::minutes(62), 100).unwrap().through, 2, "by age");
    assert_eq!(store.prune(all_old, 5).unwrap().through, 4, "by the caller's floor");
    assert_eq!(store.prune(all_old, 100).unwrap().through, 8, "by the checkpoint");
    let view = store.view();
    assert_eq!(view.verify_chain().unwrap(), Chain::Whole { records: 2, last: 10 });
    assert_eq!(view.load_checkpoint().unwrap(), Some(checkpoint(8)));
    assert_eq!(bodies(&store, 8), ["8", "9"]);
}

/// README.md says what a year takes: here is a fifth of it, in incidents as the demo's are, told on two channels.
#[test]
fn a_thousand_incidents_fit_into_a_hundred_megabytes_and_the_first_stays_readable() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let (incidents, facts_each, notices_each) = (200, 27, 7);
    let body = serde_json::json!({ "of": "incident", "text": "x".repeat(1_100) }).to_string();
    for n in 0..incidents {
        let incident = Some(format!("shop-2026-{n}"));
        let fact = Draft { incident, ..fact("shop/production", &body) };
        let facts = vec![fact; facts_each];
        let mut notices = vec![];
        for m in 0..notices_each {
            let mut notice = notice(&format!("n{n}-{m}"), &format!("i{n}"), Urgency::Info);
            notice.lines = vec!["y".repeat(1_000)];
            notices.extend(["slack", "hook"].map(|channel| to(channel, notice.clone())));
        }
        store.append(&Turn { facts: &facts, notices: &notices, answers: &[] }).unwrap();
    }
    let first = store.view().incident("shop-2026-0", 0, 100).unwrap();
    assert_eq!(first.len(), facts_each);
    drop(store);
    let size = std::fs::metadata(dir.path().join("state/rollbackd.db")).unwrap().len();
    let of_a_thousand = size * 1_000 / incidents / 1_000_000;
    assert!((50..=100).contains(&of_a_thousand), "{of_a_thousand} MB for a thousand incidents");
}

#[test]
fn places_go_on_where_everything_was_pruned() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = filled(dir.path(), 4);
    store.save_checkpoint(&checkpoint(4)).unwrap();
    let later = T0 + Span::hours(24 * 365);
    assert_eq!(store.prune(later, 5).unwrap().records, 4);
    drop(store);
    let mut store = open(dir.path());
    assert_eq!(store.view().last_seq().unwrap(), 4);
    let facts = [fact("fleet", "next")];
    let next = &store.append(&Turn { facts: &facts, ..Turn::default() }).unwrap().records[0];
    assert_eq!((next.seq, next.stream_seq), (5, 3));
    assert_eq!(store.view().verify_chain().unwrap(), Chain::Whole { records: 1, last: 5 });
}

#[test]
fn a_checkpoint_stands_on_a_record() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = filled(dir.path(), 2);
    let refused = store.save_checkpoint(&checkpoint(3));
    assert!(matches!(refused, Err(StoreError::NoSuchRecord { seq: 3 })), "{refused:?}");
    assert_eq!(store.view().load_checkpoint().unwrap(), None);
    store.save_checkpoint(&checkpoint(2)).unwrap();
    drop(store);
    assert_eq!(open(dir.path()).view().load_checkpoint().unwrap(), Some(checkpoint(2)));
}

#[test]
fn a_repeated_request_gets_its_answer_until_it_expires() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    store.options.answers_max = 2;
    let answer = |sender: &str, key: &str| Answer {
        sender: sender.into(),
        key: key.into(),
        body_hash: "ab".into(),
        response: "{}".into(),
        at: T0,
    };
    store.remember(&answer("ci", "1")).unwrap();
    for key in ["1", "2", "3"] {
        store.remember(&answer("chatty", key)).unwrap();
    }
    let known = |sender, key, now| store.recall(sender, key, now).unwrap().is_some();
    assert!(known("ci", "1", T0 + Span::hours(24)));
    assert!(!known("ci", "1", T0 + Span::hours(25)), "it has expired");
    assert!(!known("ci", "2", T0), "it is another sender's");
    assert!(!known("chatty", "1", T0), "the sender has too many");
    assert!(known("chatty", "2", T0) && known("chatty", "3", T0));
}

#[test]
fn snapshots_are_one_a_key() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let of = |key: &str, at, body: &[u8]| Snapshot { key: key.into(), at, body: body.into() };
    store.save_snapshots(&[of("a", T0, b"1"), of("b", T0, b"2")]).unwrap();
    let later = T0 + Span::hours(30);
    store.save_snapshots(&[of("a", later, b"3")]).unwrap();
    store.prune(later, 0).unwrap();
    drop(store);
    assert_eq!(open(dir.path()).view().load_snapshots().unwrap(), [of("a", later, b"3")]);
}
