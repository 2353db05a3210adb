//! A rollback whose steps do not go well, and one that is told to stop.

use insta::assert_snapshot;
use rollbackd::domain::{
    event::{Said, What},
    incident::Phase,
    notice::Urgency,
    run::Outcome,
    service::Mode,
};

use super::{
    brief,
    place::{Behaviour, HEALTHY, OUTAGE, errors},
    policy::{services_mut, shop, shop_with},
    roll_back, story,
    town::{Town, Windows, failed},
};

fn outage(town: &mut Town, outcomes: impl IntoIterator<Item = Outcome>) {
    town.deploy("v2", OUTAGE);
    town.place().outcomes.extend(outcomes);
    town.run("3m");
}

#[test]
fn a_failed_step_is_tried_again() {
    let told = story(shop(), |town| {
        outage(town, [failed("the disk was full", true)]);
        assert_eq!(town.serving(), "v1");
    });
    assert_snapshot!(told, @r"
    12:00:00 application changed from v1 to v2
    12:00:00 application is set to v2
    12:01:45 service-outage fires (P0): down since 11:59:45
    12:01:45 incident shop-20260302120145 opened as P0 by service-outage
    12:01:45 decided: roll back now
    12:01:45 application v2 is quarantined
    12:01:45 rollbackd begins rollback shop-20260302120145-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:01:45   -> PAGE: URGENT - Rollback in Progress - production
    12:01:45   -> stakeholders: URGENT - Rollback in Progress - production
    12:01:45 step 1 begins, attempt 1
    12:01:50 step 1 failed: the disk was full (5000 ms)
    12:01:50 step 1 begins, attempt 2
    12:01:55 application rolled back from v2 to v1
    12:01:55 application is set to v1
    12:01:55 step 1 is in effect (5000 ms)
    12:01:55 step 2 begins, attempt 1
    12:02:00 step 2 is in effect (5000 ms)
    12:02:00 every step has ended
    12:02:00 verifying that the rollback worked
    12:02:45 service-outage clears: clean for 1m
    ");
}

#[test]
fn a_step_that_fails_for_good_halts_and_says_what_was_done_and_what_not() {
    let mut page = String::new();
    let told = story(shop(), |town| {
        let unit = || failed("unit shop.service does not start", true);
        outage(town, []);
        assert_eq!(town.serving(), "v1");
        town.run("40m");
        town.deploy("v3", OUTAGE);
        town.place().versions.insert("v1".into(), HEALTHY);
        town.run("1m 40s");
        town.place().outcomes.extend([Outcome::Done, unit(), unit()]);
        town.run("2m");
        page = town.notices("yours now").last().map(|n| n.plain()).unwrap_or_default();
    });
    let told: Vec<&str> = told.lines().skip_while(|l| !l.contains("to v3")).collect();
    assert_snapshot!(told.join("\n"), @r"
    12:43:00 application changed from v1 to v3
    12:43:00 application is set to v3
    12:44:45 service-outage fires (P0): down since 12:42:45
    12:44:45 closed: rolled back and verified
    12:44:45   -> on-call: P0 shop/production: rolled back and verified
    12:44:45   -> stakeholders: Closed - shop - production
    12:44:45 incident shop-20260302124445 opened as P0 by service-outage
    12:44:45 decided: roll back now
    12:44:45 application v3 is quarantined
    12:44:45 rollbackd begins rollback shop-20260302124445-r2, plan 343f94ec244f1988: application v3 -> v1
    12:44:45   -> PAGE: URGENT - Rollback in Progress - production
    12:44:45   -> stakeholders: URGENT - Rollback in Progress - production
    12:44:45 step 1 begins, attempt 1
    12:44:50 step 1 is in effect (5000 ms)
    12:44:50 step 2 begins, attempt 1
    12:44:55 step 2 failed: unit shop.service does not start (5000 ms)
    12:44:55 step 2 begins, attempt 2
    12:45:00 step 2 failed: unit shop.service does not start (5000 ms)
    12:45:00 the rollback halts: `restart the unit shop.service and wait until v1 serves` failed: unit shop.service does not start
    12:45:00 escalated to people: the rollback halted: `restart the unit shop.service and wait until v1 serves` failed: unit shop.service does not start
    12:45:00   -> PAGE: P0 shop/production: service-outage - yours now
    12:45:15 critical-errors fires (P0): 1000 of 1000 requests, 100% (at least 99.46%) since 12:42:45, limit 5%
    12:45:15 critical-errors joins as P0
    12:45:45 failed-health-checks fires (P1): down since 12:42:45
    12:45:45 failed-health-checks joins as P1
    ");
    assert_snapshot!(page, @r"
    P0 shop/production: service-outage - yours now
    - Why: the rollback halted: `restart the unit shop.service and wait until v1 serves` failed: unit shop.service does not start
    - Issue: service-outage (P0): down since 12:42:45
    - Rollback: application v3 -> v1
    - Steps: done: switch current of /srv/shop from v3 to v1; failed: restart the unit shop.service and wait until v1 serves
    acknowledge: rollbackd ack shop/production
    hold: rollbackd hold shop/production --reason '…'
    look: rollbackd explain shop/production
    close: rollbackd dismiss shop/production --reason '…'
    ");
}

#[test]
fn a_rollback_that_was_switched_and_never_came_up_is_gone_on_with() {
    for to in [None, Some("v1".to_owned())] {
        story(shop(), |town| {
            town.deploy("v2", OUTAGE);
            town.run("1m 47s");
            town.place().outcomes.extend([
                Outcome::AlreadyDone,
                failed("the unit does not start", true),
                failed("the unit does not start", true),
            ]);
            let now = town.wall();
            town.place().switch("v1", now);
            town.run("2m");
            assert!(
                matches!(town.incident().phase, Phase::Escalated { .. }),
                "{}",
                town.transcript()
            );
            assert_eq!(
                (town.serving().as_str(), town.place().running.as_deref()),
                ("v1", Some("v2"))
            );
            let reason = "the disk is mended";
            town.says("ada", roll_back(to.as_deref(), reason)).unwrap();
            town.run("1m");
            assert_eq!(town.place().running.as_deref(), Some("v1"));
            let twice = roll_back(Some("v1"), "again");
            let refused = town.says("ada", twice).unwrap_err();
            assert!(refused.contains("v1 is what serves already"), "{refused}");
        });
    }
}

#[test]
fn an_unknown_outcome_halts() {
    let told = brief(shop(), |town| {
        outage(town, [Outcome::Unknown { why: "the host does not answer".into() }]);
        town.run("3m");
        assert_eq!(town.rollbacks(), 1);
    });
    assert_snapshot!(told, @r"
    12:01:45 decided: roll back now
    12:01:45 rollbackd begins rollback shop-20260302120145-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:01:45   -> PAGE: URGENT - Rollback in Progress - production
    12:01:45   -> stakeholders: URGENT - Rollback in Progress - production
    12:01:50 escalated to people: the rollback halted: nobody can tell whether `switch current of /srv/shop from v2 to v1` is in effect: the host does not answer
    12:01:50   -> PAGE: P0 shop/production: service-outage - yours now
    ");
}

#[test]
fn a_step_that_is_withheld_is_tried_again_without_spinning() {
    let withheld = || Outcome::Withheld { why: "the lease is not ours".into() };
    let told = story(shop(), |town| {
        outage(town, [withheld(), withheld(), withheld()]);
        assert_eq!(town.serving(), "v1");
    });
    assert_snapshot!(told, @r"
    12:00:00 application changed from v1 to v2
    12:00:00 application is set to v2
    12:01:45 service-outage fires (P0): down since 11:59:45
    12:01:45 incident shop-20260302120145 opened as P0 by service-outage
    12:01:45 decided: roll back now
    12:01:45 application v2 is quarantined
    12:01:45 rollbackd begins rollback shop-20260302120145-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:01:45   -> PAGE: URGENT - Rollback in Progress - production
    12:01:45   -> stakeholders: URGENT - Rollback in Progress - production
    12:01:45 step 1 begins, attempt 1
    12:01:50 step 1 was withheld: the lease is not ours (5000 ms)
    12:01:55 step 1 begins, attempt 1
    12:02:00 step 1 was withheld: the lease is not ours (5000 ms)
    12:02:05 step 1 begins, attempt 1
    12:02:10 step 1 was withheld: the lease is not ours (5000 ms)
    12:02:15 step 1 begins, attempt 1
    12:02:15 critical-errors fires (P0): 1000 of 1000 requests, 100% (at least 99.46%) since 11:59:45, limit 5%
    12:02:15 critical-errors joins as P0
    12:02:20 application rolled back from v2 to v1
    12:02:20 application is set to v1
    12:02:20 step 1 is in effect (5000 ms)
    12:02:20 step 2 begins, attempt 1
    12:02:25 step 2 is in effect (5000 ms)
    12:02:25 every step has ended
    12:02:25 verifying that the rollback worked
    ");
}

#[test]
fn a_hold_file_stops_a_rollback_before_its_next_step_and_it_goes_on_when_lifted() {
    let told = story(shop(), |town| {
        town.deploy("v2", OUTAGE);
        town.run("1m 47s");
        town.turn(What::KillSwitch { reason: Some("not now".into()) });
        town.run("2m");
        assert_eq!(town.place().running.as_deref(), Some("v2"));
        town.turn(What::KillSwitch { reason: None });
        town.run("30s");
        assert_eq!(town.place().running.as_deref(), Some("v1"));
    });
    assert_snapshot!(told, @r"
    12:00:00 application changed from v1 to v2
    12:00:00 application is set to v2
    12:01:45 service-outage fires (P0): down since 11:59:45
    12:01:45 incident shop-20260302120145 opened as P0 by service-outage
    12:01:45 decided: roll back now
    12:01:45 application v2 is quarantined
    12:01:45 rollbackd begins rollback shop-20260302120145-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:01:45   -> PAGE: URGENT - Rollback in Progress - production
    12:01:45   -> stakeholders: URGENT - Rollback in Progress - production
    12:01:45 step 1 begins, attempt 1
    12:01:47 the HOLD file is set: not now
    12:01:47   -> PAGE: rollbackd is on hold, and rollbacks stop before their next step
    12:01:50 application rolled back from v2 to v1
    12:01:50 application is set to v1
    12:01:50 step 1 is in effect (5000 ms)
    12:02:15 critical-errors fires (P0): 1000 of 1000 requests, 100% (at least 99.46%) since 11:59:45, limit 5%
    12:02:15 critical-errors joins as P0
    12:02:45 failed-health-checks fires (P1): down since 11:59:45
    12:02:45 failed-health-checks joins as P1
    12:03:47 the HOLD file is gone
    12:03:47   -> on-call: rollbackd acts again: the HOLD file is gone
    12:03:47 step 2 begins, attempt 1
    12:03:52 step 2 is in effect (5000 ms)
    12:03:52 every step has ended
    12:03:52 verifying that the rollback worked
    ");
}

#[test]
fn a_hold_file_that_stops_no_rollback_wakes_nobody() {
    let told = brief(shop(), |town| {
        town.turn(What::KillSwitch { reason: Some("not now".into()) });
    });
    assert_eq!(told, "12:00:00   -> on-call: rollbackd is on hold: the HOLD file is set");
}

#[test]
fn a_late_page_says_what_a_verification_waits_for_and_only_then() {
    brief(shop(), |town| {
        town.deploy("v2", OUTAGE);
        town.place().versions.insert("v1".into(), errors(0.3));
        town.run("45m");
        let late = town.notices("late: not verified yet").remove(0);
        assert!(late.lines.iter().any(|line| line.starts_with("Open: errors")), "{late:?}");
    });
    brief(shop_with(|p| p.mode = Mode::Approve), |town| {
        town.deploy("v2", OUTAGE);
        town.run("15m");
        let late = town.notices("late: no action yet").remove(0);
        assert!(!late.lines.iter().any(|line| line.starts_with("Open: ")), "{late:?}");
    });
}

#[test]
fn a_person_s_hold_stops_a_rollback_as_well() {
    let told = brief(shop(), |town| {
        town.deploy("v2", OUTAGE);
        town.run("1m 47s");
        town.says("ada", Said::Hold { reason: "wait".into() }).unwrap();
        town.run("2m");
        let page = town.notices("pauses")[0].plain();
        assert_snapshot!(page, @r"
        P0 shop/production: the rollback pauses after the step under way
        - Why: ada holds it: wait
        - Steps: under way: switch current of /srv/shop from v2 to v1; not done: restart the unit shop.service and wait until v1 serves
        go on: rollbackd unhold shop/production
        ");
        assert_eq!(town.place().running.as_deref(), Some("v2"));
        town.says("ada", Said::Unhold).unwrap();
        town.run("30s");
        assert_eq!(town.place().running.as_deref(), Some("v1"));
    });
    assert_snapshot!(told, @r"
    12:01:45 decided: roll back now
    12:01:45 rollbackd begins rollback shop-20260302120145-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:01:45   -> PAGE: URGENT - Rollback in Progress - production
    12:01:45   -> stakeholders: URGENT - Rollback in Progress - production
    12:01:47   -> PAGE: P0 shop/production: the rollback pauses after the step under way
    ");
}

#[test]
fn a_rollback_that_does_not_help_is_late_and_then_a_person_s() {
    let told = story(shop(), |town| {
        town.deploy("v2", OUTAGE);
        town.place().versions.insert("v1".into(), errors(0.3));
        town.run("45m");
        assert_eq!(town.rollbacks(), 1);
    });
    assert_snapshot!(told, @r"
    12:00:00 application changed from v1 to v2
    12:00:00 application is set to v2
    12:01:45 service-outage fires (P0): down since 11:59:45
    12:01:45 incident shop-20260302120145 opened as P0 by service-outage
    12:01:45 decided: roll back now
    12:01:45 application v2 is quarantined
    12:01:45 rollbackd begins rollback shop-20260302120145-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:01:45   -> PAGE: URGENT - Rollback in Progress - production
    12:01:45   -> stakeholders: URGENT - Rollback in Progress - production
    12:01:45 step 1 begins, attempt 1
    12:01:50 application rolled back from v2 to v1
    12:01:50 application is set to v1
    12:01:50 step 1 is in effect (5000 ms)
    12:01:50 step 2 begins, attempt 1
    12:01:55 step 2 is in effect (5000 ms)
    12:01:55 every step has ended
    12:01:55 verifying that the rollback worked
    12:02:15 critical-errors fires (P0): 860 of 1000 requests, 86% (at least 83.25%) since 11:59:45, limit 5%
    12:02:15 critical-errors joins as P0
    12:02:45 service-outage clears: clean for 1m
    12:04:45 elevated-errors fires (P2): 1160 of 2000 requests, 58% (at least 55.41%) since 11:59:45, limit 1%
    12:04:45 minor fires (P3): 1160 of 2000 requests, 58% (at least 55.41%) since 11:59:45, limit 0.5%
    12:04:45 elevated-errors joins as P2
    12:04:45 minor joins as P3
    12:06:45   -> PAGE: P0 shop/production: critical-errors - nobody has acknowledged this
    12:07:00 it still fires although the earlier revision serves
    12:07:00   -> PAGE: P0 shop/production: critical-errors - late: not better yet
    12:12:00   -> PAGE: P0 shop/production: critical-errors - nobody has acknowledged this
    12:17:00   -> PAGE: P0 shop/production: critical-errors - nobody has acknowledged this
    12:22:00   -> PAGE: P0 shop/production: critical-errors - nobody has acknowledged this
    12:26:45 the deadline for a verified rollback passed
    12:26:45   -> PAGE: P0 shop/production: critical-errors - late: not verified yet
    12:31:45   -> PAGE: P0 shop/production: critical-errors - nobody has acknowledged this
    12:31:55 escalated to people: the rollback could not be verified: errors: 3570 of 11900 requests failed, 30.00% (limit 1.05%); no trigger fires: critical-errors, elevated-errors fires
    12:31:55   -> PAGE: P0 shop/production: critical-errors - yours now
    12:36:55   -> PAGE: P0 shop/production: critical-errors - nobody has acknowledged this
    12:41:55   -> PAGE: P0 shop/production: critical-errors - nobody has acknowledged this
    ");
}

#[test]
fn a_relapse_while_watching_is_a_person_s() {
    let told = brief(shop(), |town| {
        town.deploy("v2", OUTAGE);
        town.run("40m");
        town.behaves(errors(0.3));
        town.run("30m");
        assert_eq!(town.rollbacks(), 1);
    });
    assert_snapshot!(told, @r"
    12:01:45 decided: roll back now
    12:01:45 rollbackd begins rollback shop-20260302120145-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:01:45   -> PAGE: URGENT - Rollback in Progress - production
    12:01:45   -> stakeholders: URGENT - Rollback in Progress - production
    12:02:45 service-outage clears: clean for 1m
    12:17:15 verified; watching for a relapse
    12:17:15   -> on-call: Rollback Complete - production
    12:17:15   -> stakeholders: Rollback Complete - production
    12:44:45 escalated to people: after the rollback critical-errors fires: 600 of 2000 requests, 30% (at least 27.67%) since 12:39:45, limit 5%
    12:44:45   -> PAGE: P0 shop/production: critical-errors - yours now
    ");
}

/// A step is under way.
fn in_a_step(town: &mut Town) {
    town.deploy("v2", OUTAGE);
    town.run("1m 47s");
    assert_eq!(town.fleet.wanted().len(), 1);
}

#[test]
fn a_step_of_an_earlier_daemon_waits_while_a_person_holds() {
    story(shop(), |town| {
        in_a_step(town);
        town.says("ada", Said::Hold { reason: "wait".into() }).unwrap();
        assert_eq!(town.fleet.wanted().len(), 1, "what is under way ends");
        town.crash(Windows::Kept, false);
        town.run("4m");
        assert!(town.place_of("shop").done.is_empty(), "nothing is done until unhold");
        town.says("ada", Said::Unhold).unwrap();
        town.run("1m");
        assert_eq!(town.place_of("shop").done, ["switch to v1", "restart on v1"]);
    });
}

#[test]
fn a_step_that_nobody_may_go_on_with_is_a_person_s_to_end() {
    story(shop(), |town| {
        in_a_step(town);
        town.says("ada", Said::Reject { reason: "by hand".into() }).unwrap_err();
        town.says("ada", Said::Hold { reason: "wait".into() }).unwrap();
        town.says("ada", Said::Reject { reason: "by hand".into() }).unwrap_err();
        town.crash(Windows::Kept, false);
        town.run("1m");
        assert!(town.place_of("shop").done.is_empty());
        assert!(matches!(town.incident().phase, Phase::RollingBack));
        town.says("ada", Said::Reject { reason: "by hand".into() }).unwrap();
        assert!(matches!(town.incident().phase, Phase::Escalated { .. }));
    });
}

/// Half of a rollback may be worse than none: whoever is on call must know which half.
#[test]
fn a_person_who_stops_a_rollback_half_way_is_paged_with_what_was_done_and_what_not() {
    let mut page = vec![];
    let told = brief(shop(), |town| {
        town.deploy("v2", OUTAGE);
        town.place().outcomes.push_back(Outcome::Done);
        town.place().outcomes.push_back(Outcome::Withheld { why: "the HOLD file: stop".into() });
        town.run("1m 57s");
        town.turn(What::KillSwitch { reason: Some("stop".into()) });
        let refused = town.says("ada", Said::Dismiss { reason: "is fine".into() });
        assert_snapshot!(refused.unwrap_err(), @"shop-20260302120145 is half rolled back, and that is no time to forget it (done: switch current of /srv/shop from v2 to v1; not done: restart the unit shop.service and wait until v1 serves); `rollbackd reject shop/production --reason '…'` leaves it to you as it stands");
        town.says("ada", Said::Reject { reason: "by hand".into() }).unwrap();
        page = town.notices("left half");
    });
    assert_snapshot!(told, @r"
    12:01:45 decided: roll back now
    12:01:45 rollbackd begins rollback shop-20260302120145-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:01:45   -> PAGE: URGENT - Rollback in Progress - production
    12:01:45   -> stakeholders: URGENT - Rollback in Progress - production
    12:01:57   -> PAGE: rollbackd is on hold, and rollbacks stop before their next step
    12:01:57   -> PAGE: P0 shop/production: service-outage - left half rolled back
    ");
    assert_eq!(page[0].urgency, Urgency::Page);
    assert_snapshot!(page[0].fields.last().unwrap().1, @"done: switch current of /srv/shop from v2 to v1; not done: restart the unit shop.service and wait until v1 serves");
}

#[test]
fn a_service_that_is_only_observed_from_now_on_is_told_to_stand_half_rolled_back() {
    for crashes in [false, true] {
        let told = brief(shop(), |town| {
            in_a_step(town);
            town.adopts(|policy| {
                services_mut(policy).for_each(|service| service.mode = Mode::Observe);
            });
            if crashes {
                town.crash(Windows::Kept, false);
            }
            town.run("4m");
            assert!(matches!(town.incident().phase, Phase::Escalated { .. }));
        });
        assert!(
            told.contains("escalated to people: the rollback halted: its mode is observe now"),
            "{told}"
        );
        assert!(
            told.contains("-> PAGE: P0 shop/production: ") && told.contains(" - yours now"),
            "{told}"
        );
    }
}

#[test]
fn a_file_that_says_the_same_again_is_told_once() {
    story(shop(), |town| {
        for _ in 0..3 {
            town.turn(What::KillSwitch { reason: Some("not now".into()) });
        }
        assert_eq!(town.notices("rollbackd is on hold").len(), 1);
    });
}

/// Well at last, and not for long enough, is not verified.
#[test]
fn a_service_that_is_well_only_at_the_end_is_not_verified() {
    story(shop(), |town| {
        town.deploy("v2", OUTAGE);
        let ill = Behaviour { up: false, ..HEALTHY };
        town.place().versions.insert("v1".into(), ill);
        town.run("26m");
        assert!(matches!(town.incident().phase, Phase::Verifying { .. }));
        town.place().versions.insert("v1".into(), HEALTHY);
        town.run("8m");
        assert!(matches!(town.incident().phase, Phase::Escalated { .. }));
        assert_eq!(town.notices("yours now").len(), 1);
    });
}

/// A hold stops what comes next, not what is under way: whoever ended the rollback then would work beside it.
#[test]
fn a_step_that_is_gone_on_with_ends_before_a_person_can_end_the_rollback() {
    story(shop(), |town| {
        in_a_step(town);
        town.crash(Windows::Kept, false);
        assert_eq!(town.fleet.wanted().len(), 1, "the step is gone on with");
        town.run("1s");
        town.says("ada", Said::Hold { reason: "wait".into() }).unwrap();
        assert_eq!(town.notices("pauses after the step under way").len(), 1);
        let refused = town.says("ada", Said::Reject { reason: "by hand".into() }).unwrap_err();
        assert!(refused.contains("is under way"), "{refused}");
        assert!(matches!(town.incident().phase, Phase::RollingBack));
        town.run("1m");
        town.says("ada", Said::Reject { reason: "by hand".into() }).unwrap();
        assert!(matches!(town.incident().phase, Phase::Escalated { .. }));
    });
}
