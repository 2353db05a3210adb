//! The fuzz targets' checks over their corpora, the recorded bodies, and the same with holes: what the fuzzer found once
//! stays found without it.

use std::{collections::BTreeSet, fs, path::Path};

use crate::world::{Bases, windows_at_the_end, written};

#[path = "../../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "the fuzzer's crate offers them")]
mod targets;

type Target = (&'static str, fn(&[u8]), &'static [&'static str]);

/// Each target, and the recorded bodies that belong to it.
const TARGETS: &[Target] = &[
    ("webhook", targets::webhook, &["webhook"]),
    ("alarm", targets::alarm, &[]),
    ("alerts", targets::alerts, &["am_api_v2_alerts.json"]),
    ("exposition", targets::exposition, &["metrics"]),
    ("prometheus", targets::prometheus, &["prometheus"]),
    ("config", targets::config, &["../../config/rollbackd.toml", "../../src/demo/demo.toml"]),
    ("record", targets::record, &[]),
    ("snapshot", targets::snapshot, &[]),
    ("change", targets::change, &[]),
    ("evidence", targets::evidence, &[]),
    ("registry", targets::registry, &[]),
    ("manifest", targets::manifest, &[]),
];

/// Places in one body at which it is cut or a byte of it is another.
const HOLES: usize = 24;

fn bodies(path: &Path, all: &mut Vec<Vec<u8>>) {
    if path.is_dir() {
        let mut entries: Vec<_> =
            fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        entries.iter().for_each(|entry| bodies(entry, all));
    } else if path.is_file() {
        all.push(fs::read(path).unwrap());
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn corpus_of((name, _, recorded): &Target) -> Vec<Vec<u8>> {
    let mut all = vec![];
    bodies(&root().join("fuzz/corpus").join(name), &mut all);
    recorded.iter().for_each(|path| bodies(&root().join("tests/fixtures").join(path), &mut all));
    all
}

#[test]
fn no_body_of_the_corpora_breaks_a_promise_whole_or_with_holes() {
    for target in TARGETS {
        let (name, check, _) = target;
        let corpus = corpus_of(target);
        assert!(corpus.len() > 1, "{name} has a corpus");
        for body in &corpus {
            check(body);
            for hole in (0..body.len()).step_by(body.len().div_ceil(HOLES).max(1)) {
                check(&body[..hole]);
                let mut other = body.clone();
                other[hole] = other[hole].wrapping_add(1);
                check(&other);
                other.remove(hole);
                check(&other);
            }
        }
    }
}

#[test]
fn whatever_a_daemon_writes_it_reads_again_as_it_was() {
    let mut bases = Bases::default();
    let mut kinds = BTreeSet::new();
    for seed in 0..12 {
        for record in written(&mut bases, seed) {
            let body = &record.fact.body;
            targets::record(body.as_bytes());
            kinds.insert(body.split('"').skip(1).step_by(2).take(5).collect::<Vec<_>>().join(" "));
        }
        for windows in windows_at_the_end(&mut bases, seed) {
            targets::snapshot(windows.as_bytes());
        }
    }
    assert!(kinds.len() > 20, "too few kinds of facts to mean anything: {kinds:?}");
}

#[test]
fn every_target_of_the_fuzzer_is_replayed_here() {
    let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    let fuzzed: BTreeSet<&str> = manifest
        .lines()
        .filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")?.strip_suffix(".rs\""))
        .collect();
    let replayed: BTreeSet<&str> = TARGETS.iter().map(|(name, ..)| *name).collect();
    assert_eq!(fuzzed, replayed);
}
