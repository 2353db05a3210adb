//! `rollbackd journal verify|export|rescue` on journals that something has happened to: no fact that can be read is lost,
//! and the old directory stays as it is.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use rollbackd::{
    domain::fact::{Fact, Service, VERSION},
    store::{Chain, Checkpoint, Draft, Options, Reader, Store, Turn},
    units::UnixMs,
};
use serde_json::Value;
use tempfile::TempDir;

const WHOLE: i32 = 0;
const DAMAGED: i32 = 65;
const ABSENT: i32 = 66;
const NEWER: i32 = 69;
/// Short ones, and ones that go on on other pages.
const RECORDS: u64 = 60;
const CHECKPOINT: u64 = 40;

fn draft(n: u64, fact_version: u32) -> Draft {
    let reason = format!("reason {n} {}", "x".repeat(if n.is_multiple_of(3) { 9_000 } else { 50 }));
    let fact = Fact::Service(Service::Held { by: "ops".into(), reason });
    Draft {
        stream: format!("s{}/production", n % 4),
        incident: None,
        at: UnixMs(1_795_383_600_000 + i64::try_from(n).unwrap()),
        steady_ms: 5,
        kind: fact.kind().into(),
        fact_version,
        cause: format!("event {n}"),
        config_hash: "c0ffee".into(),
        policy_version: "1".into(),
        body: serde_json::to_string(&fact).unwrap(),
    }
}

fn append(store: &mut Store, numbers: impl IntoIterator<Item = u64>) {
    for n in numbers {
        store.append(&Turn { facts: &[draft(n, VERSION)], ..Turn::default() }).unwrap();
    }
}

fn filled(dir: &Path) -> Store {
    let mut store = Store::open(Options::new(dir)).unwrap();
    append(&mut store, 1..=RECORDS);
    let versions = [("fleet".to_owned(), 1)].into();
    let body = "{}".to_owned();
    store.save_checkpoint(&Checkpoint { seq: CHECKPOINT, at: UnixMs(1), versions, body }).unwrap();
    store.mark().unwrap();
    store
}

/// A directory with a journal whose daemon has ended.
struct Place {
    home: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { home: tempfile::tempdir().unwrap() };
        drop(filled(&place.dir()));
        place
    }

    fn dir(&self) -> PathBuf {
        self.home.path().join("state")
    }

    fn database(&self) -> PathBuf {
        self.dir().join("rollbackd.db")
    }

    /// Changes the bytes of the database.
    fn damage(&self, how: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.database()).unwrap();
        how(&mut bytes);
        fs::write(self.database(), bytes).unwrap();
    }

    /// One bit of the record that says this.
    fn flip(&self, text: &str) {
        self.damage(|bytes| {
            let at = find(bytes, text);
            bytes[at] ^= 0x01;
        });
    }

    fn journal(&self, what: &str, more: &[&str]) -> Output {
        journal(&self.dir(), what, more)
    }

    fn verified(&self) -> (Option<i32>, Value) {
        let ran = self.journal("verify", &["--json"]);
        let said = serde_json::from_slice(&ran.stdout);
        (ran.status.code(), said.unwrap_or_else(|_| panic!("{}", text(&ran))))
    }

    /// The facts by number, and whether each is what was written.
    fn exported(&self) -> (Option<i32>, BTreeMap<u64, bool>) {
        let ran = self.journal("export", &[]);
        (ran.status.code(), facts(&ran.stdout))
    }

    fn rescued(&self) -> (Value, PathBuf) {
        let into = self.home.path().join("new");
        let ran = self.journal("rescue", &["--json", "--into", into.to_str().unwrap()]);
        assert_eq!(ran.status.code(), Some(0), "{}", text(&ran));
        (serde_json::from_slice(&ran.stdout).unwrap(), into)
    }
}

fn journal(dir: &Path, what: &str, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollbackd"));
    command.args(["journal", what, "--state-dir"]).arg(dir).args(more).output().unwrap()
}

fn text(ran: &Output) -> String {
    String::from_utf8_lossy(&[&ran.stdout[..], &ran.stderr[..]].concat()).into_owned()
}

/// Every line is a fact with its place, its time and its service; a sound one says what was written.
fn facts(lines: &[u8]) -> BTreeMap<u64, bool> {
    let lines = std::str::from_utf8(lines).unwrap().lines();
    let read = |line: &str| {
        let fact: Value = serde_json::from_str(line).unwrap();
        let (seq, sound) = (fact["seq"].as_u64().unwrap(), fact["sound"].as_bool().unwrap());
        if sound {
            let wanted = draft(seq, VERSION);
            let body: Value = serde_json::from_str(&wanted.body).unwrap();
            assert_eq!(fact["fact"], body, "record {seq}");
            assert_eq!(fact["service"], wanted.stream);
            assert_eq!(fact["time"], wanted.at.to_string());
        }
        (seq, sound)
    };
    lines.map(read).collect()
}

fn all_sound() -> BTreeMap<u64, bool> {
    (1..=RECORDS).map(|n| (n, true)).collect()
}

/// Where this text first lies in the file.
fn find(bytes: &[u8], text: &str) -> usize {
    bytes.windows(text.len()).position(|w| w == text.as_bytes()).expect("it is in the file")
}

/// What the daemon finds in the new directory.
fn opened(dir: &Path) -> (Chain, u64, Option<u64>) {
    let store = Store::open(Options::new(dir)).unwrap();
    let checkpoint = store.view().load_checkpoint().unwrap().map(|c| c.seq);
    (store.view().verify_chain().unwrap(), store.lease().epoch(), checkpoint)
}

#[test]
fn a_whole_journal_is_whole_whether_its_daemon_runs_or_not() {
    let place = Place::new();
    let (code, said) = place.verified();
    assert_eq!((code, &said["whole"]), (Some(WHOLE), &Value::Bool(true)), "{said:#}");
    assert_eq!(place.exported(), (Some(WHOLE), all_sound()));

    let mut store = Store::open(Options::new(place.dir())).unwrap();
    append(&mut store, RECORDS + 1..=RECORDS + 5);
    let (code, said) = place.verified();
    assert_eq!((code, &said["last"]), (Some(WHOLE), &Value::from(RECORDS + 5)), "{said:#}");
    assert_eq!(place.exported().1.len() as u64, RECORDS + 5);
    append(&mut store, [RECORDS + 6]);
    let shown = text(&place.journal("verify", &[]));
    assert!(shown.contains("whole") && shown.contains("66 of 66 records"), "{shown}");
}

#[test]
fn a_flipped_byte_in_a_record_costs_that_record_alone() {
    let place = Place::new();
    place.flip("reason 22 ");
    let (code, said) = place.verified();
    assert_eq!(code, Some(DAMAGED), "{said:#}");
    assert_eq!(said["wrong"][0]["what"], "altered", "{said:#}");
    assert_eq!(said["wrong"][0]["records"]["from"], 22);
    let shown = text(&place.journal("verify", &[]));
    assert!(shown.contains("record 22: not what was written"), "{shown}");
    assert!(shown.contains("sound: 1 to 21, 23 to 60"), "{shown}");
    assert!(shown.contains("journal rescue"), "it names no way out: {shown}");
    let (code, facts) = place.exported();
    let altered: Vec<u64> = facts.iter().filter(|(_, sound)| !**sound).map(|(n, _)| *n).collect();
    assert_eq!((code, facts.len() as u64, altered), (Some(DAMAGED), RECORDS, vec![22]));

    let before = fs::read(place.database()).unwrap();
    let (rescued, into) = place.rescued();
    assert_eq!(rescued["rescued"]["complete"], true, "the checkpoint is later: {rescued:#}");
    let whole = Chain::Whole { records: RECORDS - 22, last: RECORDS };
    assert_eq!(opened(&into), (whole, 2, Some(CHECKPOINT)));
    assert!(!into.join("HOLD").exists());
    assert_eq!(fs::read(place.database()).unwrap(), before, "the old one is as it was");
    let kept = self::facts(&fs::read(into.join("facts.jsonl")).unwrap());
    assert_eq!(kept.len() as u64, RECORDS);
}

#[test]
fn damage_after_the_checkpoint_holds_the_new_journal_until_a_person_has_looked() {
    let place = Place::new();
    place.flip("reason 50 ");
    let (rescued, into) = place.rescued();
    assert_eq!(rescued["rescued"]["complete"], false, "{rescued:#}");
    assert_eq!(rescued["rescued"]["unknown"]["from"], 50);
    assert_eq!(rescued["rescued"]["unknown"]["through"], RECORDS);
    let store = Store::open(Options::new(&into)).unwrap();
    assert_eq!(store.view().last_seq().unwrap(), 49);
    let held = store.lease().permits().unwrap_err().to_string();
    assert!(held.contains("records 50 to 60"), "{held}");
    drop(store);
    assert_eq!(journal(&into, "verify", &[]).status.code(), Some(WHOLE));
    let again = place.journal("rescue", &["--into", into.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(64), "{}", text(&again));
    assert!(text(&again).contains("not empty"), "{}", text(&again));
}

#[test]
fn a_page_of_zeros_costs_the_records_on_it_and_a_lost_header_none() {
    let place = Place::new();
    place.damage(|bytes| {
        let page = find(bytes, "reason 22 ") / 4096 * 4096;
        bytes[page..page + 4096].fill(0);
    });
    let (code, said) = place.verified();
    assert_eq!(code, Some(DAMAGED));
    let whats: Vec<&Value> = said["wrong"].as_array().unwrap().iter().map(|w| &w["what"]).collect();
    assert!(whats.contains(&&Value::from("database")), "{said:#}");
    assert!(whats.contains(&&Value::from("missing")), "{said:#}");
    let (_, facts) = place.exported();
    let lost = RECORDS - facts.len() as u64;
    assert!((1..30).contains(&lost), "{lost} are lost");
    assert!(facts.values().all(|sound| *sound));

    let place = Place::new();
    place.damage(|bytes| bytes[..4096].fill(0xa5));
    let (code, facts) = place.exported();
    assert_eq!((code, facts), (Some(DAMAGED), all_sound()), "nothing but the first page is lost");
    let (rescued, into) = place.rescued();
    assert_eq!(rescued["rescued"]["complete"], true, "from the first record on: {rescued:#}");
    let whole = Chain::Whole { records: RECORDS, last: RECORDS };
    assert_eq!(opened(&into), (whole, 2, None), "the epoch goes on");
}

/// The last record is torn off, as by a disk that lied about what was on it.
#[test]
fn a_file_that_was_cut_off_gives_what_is_before_the_cut() {
    let place = Place::new();
    place.damage(|bytes| bytes.truncate(bytes.len() / 4096 * 4096 - 5 * 4096 - 700));
    let (code, said) = place.verified();
    assert_eq!(code, Some(DAMAGED), "{said:#}");
    let (_, facts) = place.exported();
    let sound = facts.values().filter(|sound| **sound).count() as u64;
    assert!((RECORDS / 2..RECORDS).contains(&sound), "{sound} are sound: {said:#}");
}

/// A daemon that was killed leaves a log; SQLite takes damage in it for its end.
#[test]
fn facts_behind_a_damaged_place_of_the_log_are_found() {
    let home = tempfile::tempdir().unwrap();
    let mut store = filled(&home.path().join("was"));
    append(&mut store, [RECORDS + 1]);
    let place = Place { home: tempfile::tempdir().unwrap() };
    fs::create_dir(place.dir()).unwrap();
    for file in ["rollbackd.db", "rollbackd.db-wal"] {
        fs::copy(home.path().join("was").join(file), place.dir().join(file)).unwrap();
    }
    let log = place.dir().join("rollbackd.db-wal");
    let whole = fs::read(&log).unwrap();
    let mut bytes = whole.clone();
    let at = find(&bytes, "event 30") / 4120 * 4120 + 32 + 20;
    bytes[at] ^= 0x01;
    fs::write(&log, &bytes).unwrap();
    let seen = Reader::open(&place.dir()).unwrap().view().last_seq().unwrap();
    assert!(seen < RECORDS, "SQLite sees {seen}");
    let (code, said) = place.verified();
    assert_eq!(code, Some(DAMAGED), "{said:#}");
    assert_eq!(said["wrong"][0]["what"], "went_back", "{said:#}");
    assert_eq!(said["wrong"][0]["came_to"], RECORDS + 1);
    let (_, facts) = place.exported();
    assert!(facts.len() as u64 >= RECORDS, "{} of {RECORDS} were found", facts.len());
    assert!(place.rescued().0["facts"].as_u64().unwrap() >= RECORDS);

    // Torn off in the last turn, as by a power cut: that turn was never acknowledged.
    fs::write(&log, &whole[..whole.len() - 3_000]).unwrap();
    fs::remove_file(place.dir().join("rollbackd.db-shm")).ok();
    let (code, said) = place.verified();
    assert_eq!((code, &said["last"]), (Some(WHOLE), &Value::from(RECORDS)), "{said:#}");
}

#[test]
fn a_journal_of_a_newer_program_is_exported_and_left_alone() {
    let place = Place::new();
    let behind = rusqlite::Connection::open(place.database()).unwrap();
    behind.pragma_update(None, "user_version", 7).unwrap();
    drop(behind);
    let (code, said) = place.verified();
    assert_eq!((code, &said["wrong"][0]["what"]), (Some(NEWER), &Value::from("newer_schema")));
    assert_eq!(place.exported(), (Some(NEWER), all_sound()));
    let into = place.home.path().join("new");
    let refused = place.journal("rescue", &["--into", into.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(NEWER), "{}", text(&refused));
    assert!(!into.exists());

    let place = Place::new();
    let mut store = Store::open(Options::new(place.dir())).unwrap();
    let facts = [draft(RECORDS + 1, VERSION + 1)];
    store.append(&Turn { facts: &facts, ..Turn::default() }).unwrap();
    let shown = place.journal("verify", &[]);
    assert_eq!(shown.status.code(), Some(NEWER), "{}", text(&shown));
    assert!(text(&shown).contains("fact version 2"), "{}", text(&shown));
}

#[test]
fn where_there_is_no_journal_that_is_said_and_nothing_is_made() {
    let home = tempfile::tempdir().unwrap();
    for dir in [home.path().to_owned(), home.path().join("nowhere")] {
        for what in ["verify", "export"] {
            let ran = journal(&dir, what, &[]);
            assert_eq!(ran.status.code(), Some(ABSENT), "{}", text(&ran));
            assert!(text(&ran).contains("there is no journal at"), "{}", text(&ran));
        }
    }
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}
