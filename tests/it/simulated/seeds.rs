//! Seeds. One that ever failed stays here under the name of what it showed.

use crate::world::{Bases, Script, Tally, live, shortest};

/// A world that once broke an invariant breaks none any more.
fn is_well(seed: u64) {
    let life = live(&mut Bases::default(), seed, Script::thrown(seed), true);
    assert_eq!(life.violation, None, "seed {seed}:\n{}", life.story.join("\n"));
}

#[test]
fn one_seed_is_one_world_byte_for_byte() {
    let mut bases = Bases::default();
    for seed in 0..8 {
        let once = live(&mut bases, seed, Script::thrown(seed), true);
        let again = live(&mut Bases::default(), seed, Script::thrown(seed), true);
        assert_eq!(once.fingerprint, again.fingerprint, "the journal of seed {seed}");
        assert_eq!(once.story, again.story, "the story of seed {seed}");
    }
}

#[test]
fn whether_a_world_is_told_changes_nothing_in_it() {
    let mut bases = Bases::default();
    for seed in 0..8 {
        let told = live(&mut bases, seed, Script::thrown(seed), true);
        let untold = live(&mut bases, seed, Script::thrown(seed), false);
        assert_eq!(told.fingerprint, untold.fingerprint, "seed {seed}");
    }
}

/// The many are lived through by `make simulate`; these few fail with `cargo test` already.
#[test]
fn some_worlds_break_no_invariant() {
    let mut bases = Bases::default();
    let mut tally = Tally::default();
    for seed in 0..60 {
        let life = live(&mut bases, seed, Script::thrown(seed), false);
        if let Some(violation) = life.violation {
            let story = shortest(&mut bases, seed).map(|(_, life)| life.story.join("\n"));
            panic!("seed {seed}: {violation}\n{}", story.unwrap_or_default());
        }
        tally.add(&life.tally);
    }
    assert!(tally.incidents > 60, "too little happened to mean anything:\n{tally}");
}

#[test]
fn windows_from_before_a_breach_do_not_end_it() {
    is_well(425);
}

#[test]
fn windows_from_before_a_recovery_do_not_fire_again() {
    for seed in [27, 272, 1014, 1268] {
        is_well(seed);
    }
}

#[test]
fn a_clock_that_is_set_back_makes_no_page_wait_for_it() {
    for seed in [1764, 1872, 2066] {
        is_well(seed);
    }
}

#[test]
fn seeds_that_taught_the_model_something_stay_well() {
    // A dismissal, a page of the same minute, a storm that was paged once: none of them is silence.
    for seed in [16, 79, 87, 142, 216, 504, 2022, 2428, 2525, 401, 1251] {
        is_well(seed);
    }
}
