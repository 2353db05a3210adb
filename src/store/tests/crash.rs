//! Whatever moment the machine chooses to stop at, what is found afterwards is a prefix of whole turns.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use super::*;
use crate::store::{Chain, Reader};

const VICTIM_DIR: &str = "ROLLBACKD_STORE_TEST_DIR";
const FACTS_A_TURN: u64 = 3;

/// One turn of several facts and a notice, all bearing its number.
fn turn(store: &mut Store, n: u64) -> Result<(), StoreError> {
    let facts: Vec<Draft> =
        (0..FACTS_A_TURN).map(|i| fact(&format!("s{i}/production"), &n.to_string())).collect();
    let notices = [to("slack", notice(&format!("n{n}"), &format!("i{n}"), Urgency::Page))];
    store.append(&Turn { facts: &facts, notices: &notices, answers: &[] }).map(drop)
}

/// How many turns are in the journal, after checking that each is there as a whole and in order.
fn whole_turns(store: &Store) -> u64 {
    let mut found = 0;
    let each = |record: crate::store::Record| {
        assert_eq!(record.fact.body, (found / FACTS_A_TURN).to_string());
        found += 1;
        Ok::<(), StoreError>(())
    };
    store.view().replay(0, each).unwrap();
    assert_eq!(found % FACTS_A_TURN, 0, "a turn was cut in two");
    let turns = found / FACTS_A_TURN;
    let queued: u64 = store.view().depth().unwrap().iter().map(|depth| depth.count).sum();
    assert_eq!(queued, turns, "facts without their notices, or notices without their facts");
    let whole = Chain::Whole { records: found, last: found };
    assert_eq!(store.view().verify_chain().unwrap(), whole);
    turns
}

/// Opens a copy of the database whose log was treated so.
fn reopened(files: &[u8], log: &[u8]) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    fs::create_dir(&state).unwrap();
    fs::write(state.join("rollbackd.db"), files).unwrap();
    fs::write(state.join("rollbackd.db-wal"), log).unwrap();
    let seen = Reader::open(&state).map(|reader| reader.view().last_seq().unwrap()).unwrap();
    let mut store = open(dir.path());
    let turns = whole_turns(&store);
    assert_eq!(seen, turns * FACTS_A_TURN, "a reader beside a dead daemon sees something else");
    turn(&mut store, turns).unwrap();
    assert_eq!(whole_turns(&store), turns + 1, "it does not go on");
    turns
}

#[test]
fn a_log_cut_or_damaged_anywhere_leaves_a_prefix_of_whole_turns() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let mut store = open(dir.path());
    for n in 0..12 {
        turn(&mut store, n).unwrap();
    }
    let state = dir.path().join("state");
    let database = fs::read(state.join("rollbackd.db")).unwrap();
    let log = fs::read(state.join("rollbackd.db-wal")).unwrap();
    let (header, frame) = (32, 24 + 4096);
    assert_eq!((log.len() - header) % frame, 0, "the log is not as this test takes it to be");
    let frames = (log.len() - header) / frame;

    let mut last = 0;
    let mut seen = std::collections::BTreeSet::new();
    for n in 0..=frames {
        let boundary = header + n * frame;
        for cut in [boundary.saturating_sub(1), boundary, boundary + 1 + (n * 997) % 4000] {
            let cut = cut.min(log.len());
            let turns = reopened(&database, &log[..cut]);
            assert!(turns >= last || cut < boundary, "{cut} bytes gave {turns}, fewer gave {last}");
            last = turns.max(last);
            seen.insert(turns);
        }
    }
    assert_eq!(seen, (0..=12).collect(), "every turn is a place to stop at");

    for n in (0..frames).step_by(7) {
        let mut damaged = log.clone();
        damaged[header + n * frame + 100 + (n * 613) % 3900] ^= 0x40;
        let turns = reopened(&database, &damaged);
        assert!(turns < 12, "damage in frame {n} went unseen");
    }
}

/// SQLite takes what is before the damage for all there is.
#[test]
fn a_journal_that_went_back_is_refused_until_a_person_says_that_it_is_meant() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    for n in 0..12 {
        turn(&mut store, n).unwrap();
    }
    store.mark().unwrap();
    let state = dir.path().join("state");
    let copy = tempfile::tempdir().unwrap();
    let there = copy.path().join("state");
    fs::create_dir(&there).unwrap();
    for file in ["rollbackd.db", "rollbackd.db-wal", "rollbackd.mark"] {
        fs::copy(state.join(file), there.join(file)).unwrap();
    }
    drop(store);

    let whole = fs::read(there.join("rollbackd.db-wal")).unwrap();
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 60_000.min(whole.len() - middle)].fill(0xa5);
    fs::write(there.join("rollbackd.db-wal"), damaged).unwrap();
    let refused = Store::open(options(copy.path()));
    let Err(StoreError::WentBack { path, came_to, holds }) = &refused else {
        panic!("{refused:?}")
    };
    assert_eq!(*came_to, 12 * FACTS_A_TURN);
    assert!(holds < came_to, "{refused:?}");
    let said = refused.as_ref().unwrap_err().to_string();
    assert!(said.contains("remove") && said.contains("rollbackd.mark"), "{said}");
    fs::remove_file(path).unwrap();
    assert!(whole_turns(&open(copy.path())) < 12, "a person may go on with what is left");

    fs::write(there.join("rollbackd.mark"), "{").unwrap();
    open(copy.path());
    fs::remove_file(there.join("rollbackd.db")).unwrap();
    fs::remove_file(there.join("rollbackd.db-wal")).ok();
    assert_eq!(open(copy.path()).view().last_seq().unwrap(), 0, "moved aside, to begin anew");
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let program = std::env::current_exe().unwrap();
    let mut survived = 0;
    for round in 1..=6_u64 {
        let dir = tempfile::tempdir().unwrap();
        let mut victim = Command::new(&program)
            .args(["--ignored", "--exact", "--nocapture", "store::tests::crash::victim"])
            .env(VICTIM_DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        let mut turns = lines.map_while(Result::ok).filter_map(acknowledged);
        let mut told = turns.by_ref().take(usize::try_from(round * 9).unwrap()).last().unwrap();
        victim.kill().unwrap();
        victim.wait().unwrap();
        told = turns.last().unwrap_or(told);
        let found = whole_turns(&open(dir.path()));
        assert!(found > told, "turn {told} was acknowledged, {found} were found");
        survived += found;
    }
    assert!(survived > 100, "the victims hardly wrote: {survived}");
}

fn acknowledged(line: String) -> Option<u64> {
    line.strip_prefix("durable ")?.parse().ok()
}

/// Writes until it is killed; only started by the test above.
#[test]
#[ignore = "the process that another test kills"]
fn victim() {
    let Some(dir) = std::env::var_os(VICTIM_DIR) else { return };
    let mut store = open(Path::new(&dir));
    for n in 0..100_000 {
        turn(&mut store, n).unwrap();
        println!("durable {n}");
    }
}

/// Retention is a transaction like any other: cut off anywhere, it has happened or it has not.
#[test]
fn retention_cut_off_anywhere_leaves_the_journal_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    for n in 0..60 {
        turn(&mut store, n).unwrap();
    }
    let last = 60 * FACTS_A_TURN;
    let body = "state".repeat(2_000);
    let versions = std::collections::BTreeMap::new();
    let seq = last - 10;
    store.save_checkpoint(&crate::store::Checkpoint { seq, at: T0, versions, body }).unwrap();
    drop(store);
    let state = dir.path().join("state");
    let mut store = open(dir.path());
    let before = fs::read(state.join("rollbackd.db-wal")).unwrap().len();
    let long_after = T0 + Span::hours(24 * 365);
    assert_eq!(store.prune(long_after, last).unwrap().through, seq);
    let database = fs::read(state.join("rollbackd.db")).unwrap();
    let log = fs::read(state.join("rollbackd.db-wal")).unwrap();
    assert!(log.len() > before + 4096, "nothing was written");

    let mut seen = std::collections::BTreeSet::new();
    for cut in (before..=log.len()).step_by(2_060).chain([log.len()]) {
        let copy = tempfile::tempdir().unwrap();
        let there = copy.path().join("state");
        fs::create_dir(&there).unwrap();
        fs::write(there.join("rollbackd.db"), &database).unwrap();
        fs::write(there.join("rollbackd.db-wal"), &log[..cut]).unwrap();
        let store = open(copy.path());
        let Chain::Whole { records, last: kept } = store.view().verify_chain().unwrap() else {
            panic!("broken when cut at {cut}")
        };
        assert_eq!(kept, last, "cut at {cut}");
        assert!(store.view().load_checkpoint().unwrap().is_some());
        seen.insert(records);
    }
    assert_eq!(seen, [10, last].into(), "all of it or none");
}
