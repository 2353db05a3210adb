use std::fs;

use super::*;
use crate::store::{Withheld, lease::HOLD_FILE};

#[test]
fn a_second_daemon_is_told_who_holds_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let _first = open(dir.path());
    let second = Store::open(Options { lease_wait: Span(120), ..options(dir.path()) });
    let Err(StoreError::LeaseHeld { pid, waited, .. }) = second else { panic!("{second:?}") };
    assert_eq!(pid, Some(std::process::id()));
    assert!(waited >= Span(120), "waited {waited}");
}

#[test]
fn the_directory_is_free_once_the_last_lease_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    let lease = first.lease().clone();
    assert_eq!((lease.epoch(), lease.permits()), (1, Ok(())));
    drop(first);
    assert_eq!(lease.permits(), Err(Withheld::LeaseLost), "without a journal nothing may be done");
    assert!(matches!(Store::open(options(dir.path())), Err(StoreError::LeaseHeld { .. })));
    drop(lease);
    assert_eq!(open(dir.path()).lease().epoch(), 2);
}

#[test]
fn a_stale_epoch_writes_nothing_and_never_acts_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut old = open(dir.path());
    write(&mut old, &[fact("fleet", "1")]).unwrap();
    // A lock that somebody removed does not lock: the epoch still does.
    fs::remove_file(dir.path().join("state/lock")).unwrap();
    let mut new = open(dir.path());
    let refused = write(&mut old, &[fact("fleet", "stale")]);
    assert!(matches!(refused, Err(StoreError::StaleEpoch { ours: 1, current: 2 })), "{refused:?}");
    assert_eq!(old.lease().permits(), Err(Withheld::LeaseLost));
    assert!(matches!(old.probe_write(), Err(StoreError::StaleEpoch { .. })));
    write(&mut new, &[fact("fleet", "2")]).unwrap();
    assert_eq!(new.view().last_seq().unwrap(), 2);
    assert_eq!(new.lease().permits(), Ok(()));
}

#[test]
fn a_lock_that_was_removed_is_noticed_before_the_next_step() {
    let dir = tempfile::tempdir().unwrap();
    let old = open(dir.path());
    fs::remove_file(dir.path().join("state/lock")).unwrap();
    assert_eq!(old.lease().permits(), Err(Withheld::LeaseLost));
    let _new = open(dir.path());
    assert_eq!(old.lease().permits(), Err(Withheld::LeaseLost));
}

#[test]
fn a_hold_file_forbids_everything_while_it_exists() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let path = dir.path().join("state").join(HOLD_FILE);
    for (text, said) in [
        ("the network is being rebuilt\nask ops\n", "the network is being rebuilt"),
        ("", "no reason given"),
        ("\u{fffd}\n", "\u{fffd}"),
    ] {
        fs::write(&path, text).unwrap();
        let hold = Withheld::Hold { path: path.clone(), reason: said.into() };
        assert_eq!(store.lease().permits(), Err(hold));
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(store.lease().permits(), Ok(()));
    std::os::unix::fs::symlink("/nowhere/at/all", &path).unwrap();
    assert!(store.lease().permits().is_err(), "a link to nothing holds too");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(store.lease().permits().is_err(), "and so does a directory");
}
