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
fn a_change_that_lies_ahead_pages_nobody_again_and_again() {
    is_well(7314);
}

/// What nobody wrote down since is not counted when the clock is set back while the daemon is down.
#[test]
fn the_time_between_the_last_record_and_a_crash_is_lost_with_the_clock() {
    is_well(4265);
}

#[test]
fn a_counter_that_begins_anew_at_what_it_was_looks_as_if_nobody_came() {
    is_well(6569);
}

/// Probes saw the outage end; the errors of the release behind it are an incident of their own.
#[test]
fn an_outage_is_over_although_the_next_release_fails_otherwise() {
    is_well(7013);
}

/// While nobody could see, during the watch over a rollback: the next turn that sees opens an incident.
#[test]
fn what_fails_unseen_after_a_rollback_is_an_incident_of_its_own() {
    for seed in [26241, 37876, 40728, 44779] {
        is_well(seed);
    }
}

#[test]
fn our_own_network_is_well_again_although_a_clock_that_was_set_hides_errors() {
    is_well(20720);
}

#[test]
fn what_a_pipeline_deploys_again_during_a_crash_is_switched_away_from_again() {
    is_well(28567);
}

#[test]
fn whoever_stops_a_rollback_half_way_is_paged_and_nobody_forgets_it() {
    for seed in [180448, 124035, 131259, 194799, 499824] {
        is_well(seed);
    }
}

#[test]
fn what_is_about_to_fire_or_was_not_asked_since_a_start_ends_no_incident() {
    for seed in [105584, 180669, 209271] {
        is_well(seed);
    }
}

#[test]
fn what_is_not_configured_any_more_did_not_recover() {
    for seed in [195826, 164285, 241082] {
        is_well(seed);
    }
}

/// Its daemon could not write when it started, and thought that nobody had said stop.
#[test]
fn a_hold_that_is_lifted_while_nothing_can_be_written_is_noticed() {
    is_well(905680);
}

#[test]
fn people_have_mended_nothing_that_nobody_sees() {
    is_well(234107);
}

#[test]
fn another_process_that_counted_as_much_is_no_silence() {
    for seed in [201124, 214684, 222540] {
        is_well(seed);
    }
}

/// The windows began anew with the clock, so that what had been dismissed was never seen to end.
#[test]
fn what_another_deployment_brings_was_not_dismissed_with_the_one_before() {
    for seed in [736710, 903475, 914417] {
        is_well(seed);
    }
}

#[test]
fn windows_from_before_the_clock_was_set_fire_for_nothing() {
    is_well(106366);
}

#[test]
fn a_clock_that_was_wrong_for_a_moment_lets_no_notice_wait() {
    is_well(221636);
}

#[test]
fn what_another_process_answered_in_the_middle_is_no_bake_time() {
    is_well(2696263);
}

/// A source whose clock was wrong froze the windows in the middle of a second breach, which a person dismissed as well.
#[test]
fn what_had_come_again_before_a_person_dismissed_it_does_not_open_anew() {
    is_well(4011985);
}

#[test]
fn seeds_that_taught_the_model_something_stay_well() {
    // A dismissal, a page of the same minute, a storm that was paged once: none of them is silence.
    for seed in [16, 79, 87, 142, 216, 401, 504, 1251, 2022, 2428, 2525, 9676] {
        is_well(seed);
    }
    // A clock set forward while the daemon is down cannot be told from a longer time down, for the cooldown too.
    is_well(1755606);
    // Whoever tries whether the journal can be written again, and is refused for the lease, has lost it.
    is_well(2819388);
    // What answers is not what a probe found dead; a clock that is ahead is believed for as much longer.
    for seed in [160649, 170546, 184884, 206027, 192435, 235107, 477758] {
        is_well(seed);
    }
}
