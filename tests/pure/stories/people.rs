//! What people say, and what follows.

use insta::assert_snapshot;
use rollbackd::domain::{
    event::{Said, What},
    incident::judge::judge_hypothetical,
    notice::{Audience, Urgency},
    service::Mode,
};

use super::{
    brief,
    place::{HEALTHY, OUTAGE, errors},
    policy::{id, shop, shop_with},
    roll_back, story,
    town::Town,
};

fn approve(town: &Town) -> Said {
    Said::Approve { plan: town.offered() }
}

fn reason() -> String {
    "looked at it".into()
}

fn approving() -> rollbackd::domain::policy::Policy {
    shop_with(|p| p.mode = Mode::Approve)
}

#[test]
fn observe_decides_and_tells_and_never_touches() {
    let told = brief(shop_with(|p| p.mode = Mode::Observe), |town| {
        town.deploy("v2", errors(0.10));
        town.run("16m");
        let approved = town.says("ada", approve(town));
        assert_snapshot!(approved.unwrap_err(), @"nothing can begin: mode is observe: decide and tell, never touch");
        let asked = town.says("ada", roll_back(None, &reason()));
        assert_snapshot!(asked.unwrap_err(), @"nothing can begin: mode is observe: decide and tell, never touch");
        town.run("10m");
        assert_eq!((town.rollbacks(), town.serving()), (0, "v2".into()));
    });
    assert_snapshot!(told, @r"
    12:05:15 raised to P1: critical-errors fires
    12:05:15 decided: monitor until 12:15:15; guards that refuse: mode: observe: decide and tell, never touch
    12:05:15   -> PAGE: P1 shop/production: critical-errors
    12:15:15 decided: ask a person; guards that refuse: mode: observe: decide and tell, never touch
    12:15:15   -> PAGE: P1 shop/production: critical-errors - would be rolled back now, but mode is observe
    12:20:15   -> PAGE: P1 shop/production: critical-errors - late: no action yet
    ");
}

#[test]
fn in_approve_mode_a_person_says_yes_to_one_exact_plan() {
    let told = brief(approving(), |town| {
        town.deploy("v2", errors(0.10));
        town.run("16m");
        let wrong = Said::Approve { plan: "0123456789abcdef".into() };
        assert_snapshot!(town.says("ada", wrong).unwrap_err(), @"plan 0123456789abcdef is not the plan that would run now; look at `rollbackd plan shop/production` and approve d1ec833b4bf9894e");
        let yes = approve(town);
        assert_snapshot!(town.says("ada", yes.clone()).unwrap(), @"plan d1ec833b4bf9894e begins");
        assert_snapshot!(town.says("bob", yes).unwrap_err(), @"shop-20260302120445 is rolling back; there is nothing to approve");
        town.run("1m");
        assert_eq!(town.serving(), "v1");
    });
    assert_snapshot!(told, @r"
    12:05:15 raised to P1: critical-errors fires
    12:05:15 decided: monitor until 12:15:15; guards that refuse: mode: approve: a person says yes
    12:05:15   -> PAGE: P1 shop/production: critical-errors
    12:15:15 decided: ask a person; guards that refuse: mode: approve: a person says yes
    12:15:15   -> PAGE: P1 shop/production: critical-errors - please approve the rollback
    12:16:00 ada begins rollback shop-20260302120445-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:16:00   -> on-call: URGENT - Rollback in Progress - production
    12:16:00   -> stakeholders: URGENT - Rollback in Progress - production
    ");
}

#[test]
fn an_approval_of_a_plan_that_is_stale_or_too_late_begins_nothing() {
    let told = brief(approving(), |town| {
        town.deploy("v2", errors(0.10));
        town.run("16m");
        let stale = approve(town);
        town.deploy("v3", errors(0.10));
        town.run("15s");
        assert_snapshot!(town.says("ada", stale).unwrap_err(), @"plan d1ec833b4bf9894e is not the plan that would run now; look at `rollbackd plan shop/production` and approve 343f94ec244f1988");
        town.behaves(HEALTHY);
        town.run("9m");
        let late = Said::Approve { plan: "d1ec833b4bf9894e".into() };
        assert_snapshot!(town.says("ada", late).unwrap_err(), @"shop/production has no open incident");
    });
    assert_snapshot!(told, @r"
    12:05:15 raised to P1: critical-errors fires
    12:05:15 decided: monitor until 12:15:15; guards that refuse: mode: approve: a person says yes
    12:05:15   -> PAGE: P1 shop/production: critical-errors
    12:15:15 decided: ask a person; guards that refuse: mode: approve: a person says yes
    12:15:15   -> PAGE: P1 shop/production: critical-errors - please approve the rollback
    12:20:15   -> PAGE: P1 shop/production: critical-errors - late: no action yet
    12:21:15 critical-errors clears: clean for 5m
    12:21:45 elevated-errors clears: clean for 5m
    12:21:45 minor clears: clean for 5m
    12:21:45 closed: recovered by itself
    12:21:45   -> on-call: P1 shop/production: recovered by itself
    ");
}

#[test]
fn a_p2_asks_and_silence_never_rolls_back() {
    let told = story(shop(), |town| {
        town.deploy("v2", errors(0.02));
        town.run("37m");
        town.says("ada", Said::Acknowledge).unwrap();
        town.run("20m");
        assert_eq!(town.rollbacks(), 0);
    });
    assert_snapshot!(told, @r"
    12:00:00 application changed from v1 to v2
    12:00:00 application is set to v2
    12:05:00 minor fires (P3): 40 of 2000 requests, 2% (at least 1.39%) since 12:00:00, limit 0.5%
    12:05:00 incident shop-20260302120500 opened as P3 by minor
    12:05:15 elevated-errors fires (P2): 40 of 2000 requests, 2% (at least 1.39%) since 12:00:15, limit 1%
    12:05:15 elevated-errors joins as P2
    12:05:15 raised to P2: elevated-errors fires
    12:05:15 decided: ask a person
    12:05:15   -> PAGE: P2 shop/production: elevated-errors - please decide
    12:10:15   -> PAGE: P2 shop/production: elevated-errors - nobody has acknowledged this
    12:15:15   -> PAGE: P2 shop/production: elevated-errors - nobody has acknowledged this
    12:20:15   -> PAGE: P2 shop/production: elevated-errors - nobody has acknowledged this
    12:25:15   -> PAGE: P2 shop/production: elevated-errors - nobody has acknowledged this
    12:30:15   -> PAGE: P2 shop/production: elevated-errors - nobody has acknowledged this
    12:35:15 the deadline for acting passed without an action
    12:35:15   -> PAGE: P2 shop/production: elevated-errors - late: no action yet
    12:37:00 ada: acknowledged
    ");
}

#[test]
fn a_p2_is_rolled_back_by_one_word() {
    let told = brief(shop(), |town| {
        town.deploy("v2", errors(0.02));
        town.run("10m");
        let yes = approve(town);
        town.says("ada", yes).unwrap();
        town.run("20m");
    });
    assert_snapshot!(told, @r"
    12:05:15 raised to P2: elevated-errors fires
    12:05:15 decided: ask a person
    12:05:15   -> PAGE: P2 shop/production: elevated-errors - please decide
    12:10:00 ada begins rollback shop-20260302120500-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:10:00   -> on-call: URGENT - Rollback in Progress - production
    12:10:00   -> stakeholders: URGENT - Rollback in Progress - production
    12:15:15 elevated-errors clears: clean for 5m
    12:15:30 minor clears: clean for 5m
    12:25:30 verified; watching for a relapse
    12:25:30   -> on-call: Rollback Complete - production
    12:25:30   -> stakeholders: Rollback Complete - production
    ");
}

#[test]
fn a_p3_only_tells() {
    let told = story(shop(), |town| {
        town.deploy("v2", errors(0.008));
        town.run("40m");
        town.behaves(HEALTHY);
        town.run("8m");
    });
    assert_snapshot!(told, @r"
    12:00:00 application changed from v1 to v2
    12:00:00 application is set to v2
    12:08:15 minor fires (P3): 25 of 3100 requests, 0.81% (at least 0.51%) since 12:00:30, limit 0.5%
    12:08:15 incident shop-20260302120815 opened as P3 by minor
    12:08:15 decided: only tell: fix forward, or roll back with the next deployment
    12:08:15   -> on-call: P3 shop/production: minor
    12:30:00 application v2 is known good
    12:44:45 minor clears: clean for 5m
    12:44:45 closed: recovered by itself
    12:44:45   -> on-call: P3 shop/production: recovered by itself
    ");
}

#[test]
fn a_hold_turns_the_rollback_into_a_page_and_lifting_it_lets_it_go_on() {
    let told = brief(shop(), |town| {
        town.says("ada", Said::Hold { reason: "load test".into() }).unwrap();
        town.deploy("v2", errors(0.10));
        town.run("17m");
        assert_eq!(town.rollbacks(), 0);
        assert_snapshot!(town.says("ada", Said::Unhold).unwrap(), @"shop/production is no longer held");
        town.run("1m");
        assert_snapshot!(town.says("ada", Said::Unhold).unwrap_err(), @"shop/production is not held");
    });
    assert_snapshot!(told, @r"
    12:05:15 raised to P1: critical-errors fires
    12:05:15 decided: monitor until 12:15:15; guards that refuse: hold: ada holds it: load test
    12:05:15   -> PAGE: P1 shop/production: critical-errors
    12:15:15 decided: ask a person; guards that refuse: hold: ada holds it: load test
    12:15:15   -> PAGE: P1 shop/production: critical-errors - not rolled back: a person must decide
    12:17:00 decided: roll back now
    12:17:00 rollbackd begins rollback shop-20260302120445-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:17:00   -> PAGE: URGENT - Rollback in Progress - production
    12:17:00   -> stakeholders: URGENT - Rollback in Progress - production
    ");
}

#[test]
fn a_rejected_rollback_stays_with_the_person_until_it_is_over() {
    let told = brief(shop(), |town| {
        town.deploy("v2", errors(0.10));
        town.run("8m");
        town.says("ada", Said::Reject { reason: "fix is on its way".into() }).unwrap();
        town.run("10m");
        town.behaves(errors(0.9));
        town.run("6m");
        town.behaves(HEALTHY);
        town.run("8m");
        assert_eq!(town.rollbacks(), 0);
    });
    assert_snapshot!(told, @r"
    12:05:15 raised to P1: critical-errors fires
    12:05:15 decided: monitor until 12:15:15
    12:05:15   -> PAGE: P1 shop/production: critical-errors
    12:08:00   -> on-call: P1 shop/production: critical-errors - left to people
    12:20:15 raised to P0: critical-errors fires
    12:20:15   -> PAGE: P0 shop/production: critical-errors - it got worse
    12:29:30 critical-errors clears: clean for 5m
    12:29:30 elevated-errors clears: clean for 5m
    12:29:30 minor clears: clean for 5m
    12:29:30 closed: recovered by itself
    12:29:30   -> on-call: P0 shop/production: recovered by itself
    ");
}

/// What somebody else has decided meanwhile stands, until somebody decides otherwise.
#[test]
fn a_rollback_that_was_rejected_can_be_approved_after_all() {
    story(shop(), |town| {
        town.deploy("v2", errors(0.10));
        town.run("8m");
        town.says("ada", Said::Reject { reason: "fix is on its way".into() }).unwrap();
        let now = town.now();
        let plan = town.fleet.look(&id("shop"), now, |s, _| judge_hypothetical(s).1.plan);
        let plan = plan.unwrap().unwrap().hash();
        town.says("bob", Said::Approve { plan }).unwrap();
        town.run("1m");
        assert_eq!((town.rollbacks(), town.serving()), (1, "v1".into()));
    });
}

#[test]
fn what_is_dismissed_opens_again_only_when_it_clears_or_gets_worse() {
    let told = brief(shop(), |town| {
        town.deploy("v2", errors(0.10));
        town.run("8m");
        town.says("ada", Said::Dismiss { reason: "a test".into() }).unwrap();
        town.run("20m");
        town.behaves(HEALTHY);
        town.run("10m");
        town.behaves(OUTAGE);
        town.run("3m");
    });
    assert_snapshot!(told, @r"
    12:05:15 raised to P1: critical-errors fires
    12:05:15 decided: monitor until 12:15:15
    12:05:15   -> PAGE: P1 shop/production: critical-errors
    12:08:00 closed: dismissed by ada: a test
    12:08:00   -> on-call: P1 shop/production: dismissed by ada: a test
    12:33:00 critical-errors clears: clean for 5m
    12:33:30 elevated-errors clears: clean for 5m
    12:33:30 minor clears: clean for 5m
    12:38:00 decided: monitor until 12:48:00
    12:38:00   -> PAGE: P1 shop/production: critical-errors
    12:39:45 raised to P0: service-outage fires
    12:39:45 decided: roll back now
    12:39:45 rollbackd begins rollback shop-20260302123800-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:39:45   -> PAGE: URGENT - Rollback in Progress - production
    12:39:45   -> stakeholders: URGENT - Rollback in Progress - production
    ");
}

#[test]
fn a_person_rolls_back_without_an_incident() {
    let told = brief(shop(), |town| {
        town.deploy("v2", HEALTHY);
        town.run("5m");
        let asked = roll_back(Some("v1"), "wrong prices");
        assert_snapshot!(town.says("ada", asked.clone()).unwrap(), @"application v2 -> v1: plan d1ec833b4bf9894e begins");
        assert_snapshot!(town.says("bob", asked).unwrap_err(), @"shop-20260302120500 is rolling back already");
        town.run("80m");
    });
    assert_snapshot!(told, @r"
    12:05:00 ada begins rollback shop-20260302120500-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:05:00   -> on-call: URGENT - Rollback in Progress - production
    12:05:00   -> stakeholders: URGENT - Rollback in Progress - production
    12:20:30 verified; watching for a relapse
    12:20:30   -> on-call: Rollback Complete - production
    12:20:30   -> stakeholders: Rollback Complete - production
    13:20:30 closed: rolled back and verified
    13:20:30   -> on-call: P1 shop/production: rolled back and verified
    13:20:30   -> stakeholders: Closed - shop - production
    ");
}

#[test]
fn a_person_rolls_back_in_the_middle_of_monitoring() {
    let told = brief(shop(), |town| {
        town.deploy("v2", errors(0.10));
        town.run("7m");
        let asked = roll_back(None, "no need to wait");
        town.says("ada", asked).unwrap();
        town.run("17m");
        assert_eq!(town.rollbacks(), 1);
    });
    assert_snapshot!(told, @r"
    12:05:15 raised to P1: critical-errors fires
    12:05:15 decided: monitor until 12:15:15
    12:05:15   -> PAGE: P1 shop/production: critical-errors
    12:07:00 ada begins rollback shop-20260302120445-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:07:00   -> on-call: URGENT - Rollback in Progress - production
    12:07:00   -> stakeholders: URGENT - Rollback in Progress - production
    12:12:15 critical-errors clears: clean for 5m
    12:12:45 elevated-errors clears: clean for 5m
    12:12:45 minor clears: clean for 5m
    12:23:00 verified; watching for a relapse
    12:23:00   -> on-call: Rollback Complete - production
    12:23:00   -> stakeholders: Rollback Complete - production
    ");
}

#[test]
fn a_page_repeats_until_somebody_has_seen_it_and_a_new_page_asks_again() {
    let told = story(shop_with(|p| p.mode = Mode::Approve), |town| {
        town.deploy("v2", errors(0.10));
        town.run("11m");
        town.says("ada", Said::Acknowledge).unwrap();
        town.run("16m");
        let again = town.notices("nobody has acknowledged");
        let told = again.iter().flat_map(|n| &n.fields).filter(|(name, _)| name == "Told before");
        assert_eq!(told.map(|field| &*field.1).collect::<Vec<_>>(), ["1 times", "1 times"]);
    });
    assert_snapshot!(told, @r"
    12:00:00 application changed from v1 to v2
    12:00:00 application is set to v2
    12:04:45 elevated-errors fires (P2): 200 of 2000 requests, 10% (at least 8.54%) since 11:59:45, limit 1%
    12:04:45 minor fires (P3): 200 of 2000 requests, 10% (at least 8.54%) since 11:59:45, limit 0.5%
    12:04:45 incident shop-20260302120445 opened as P2 by elevated-errors
    12:04:45 minor joins as P3
    12:05:15 critical-errors fires (P1): 200 of 2000 requests, 10% (at least 8.54%) since 12:00:15, limit 5%
    12:05:15 critical-errors joins as P1
    12:05:15 raised to P1: critical-errors fires
    12:05:15 decided: monitor until 12:15:15; guards that refuse: mode: approve: a person says yes
    12:05:15   -> PAGE: P1 shop/production: critical-errors
    12:10:15   -> PAGE: P1 shop/production: critical-errors - nobody has acknowledged this
    12:11:00 ada: acknowledged
    12:15:15 decided: ask a person; guards that refuse: mode: approve: a person says yes
    12:15:15   -> PAGE: P1 shop/production: critical-errors - please approve the rollback
    12:20:15 the deadline for acting passed without an action
    12:20:15   -> PAGE: P1 shop/production: critical-errors - late: no action yet
    12:25:15   -> PAGE: P1 shop/production: critical-errors - nobody has acknowledged this
    ");
}

#[test]
fn the_root_cause_analysis_is_asked_for_a_day_later() {
    let mut when = String::new();
    brief(shop(), |town| {
        town.deploy("v2", OUTAGE);
        town.run("100m");
        town.run("24h");
        let due = &town.notices("root cause")[0];
        when = format!("{} {}", due.at, due.plain());
    });
    assert_snapshot!(when, @r"
    2026-03-03T13:17:15.000Z shop/production: the root cause analysis of shop-20260302120145 is due
    - Report: rollbackd report shop-20260302120145
    ");
}

#[test]
fn both_notices_of_the_runbook_for_both_audiences() {
    let mut told = String::new();
    brief(shop(), |town| {
        town.deploy("v2", errors(0.10));
        town.run("40m");
        for notice in
            [town.notices("In Progress"), town.notices("in Progress"), town.notices("Complete")]
                .concat()
        {
            told.push_str(&format!("{:?}: {}\n\n", notice.audience, notice.plain()));
        }
    });
    assert_snapshot!(told, @r"
    OnCall: URGENT - Rollback in Progress - production
    - Service: shop/production
    - Issue: critical-errors (P1): 200 of 2000 requests, 10% (at least 8.54%) since 12:00:15, limit 5%; elevated-errors (P2): 200 of 2000 requests, 10% (at least 8.54%) since 11:59:45, limit 1%; minor (P3): 200 of 2000 requests, 10% (at least 8.54%) since 11:59:45, limit 0.5%
    - Impact: significant degradation
    - Action: Rolling back to version v1
    - ETA: 12:35:15 UTC (in 20m)
    - Started by: rollbackd
    - From -> to: application v2 -> v1
    1. switch current of /srv/shop from v2 to v1
    2. restart the unit shop.service and wait until v1 serves
    • mode passes: auto
    • no-change passes: it began 15s after the change to v2
    • already-burning passes: 10 of 12000 failed in the 30m before the change
    • noisy passes: it did not fire in the 1d before the change
    • thin-evidence passes: 590 of 5900 requests since onset, at least 9.1%
    • old-revision-equally-bad does not apply: the old revision is not compared with the new
    • one-witness does not apply: the evidence is not a probe's
    • nowhere-safe passes: application v2 -> v1, known good
    • schema-moved passes: no migration is known, and no database is watched
    • owner does not apply: no Deployment is rolled back
    • storm passes: 1 of 1 services firing or pending within 5m
    • loop passes: not rolled back before, and budgets are not spent
    • locked passes: no other plan holds its resources
    • blind passes: its newest sample is 15s old
    • hold passes: nobody holds it
    acknowledge: rollbackd ack shop/production
    hold: rollbackd hold shop/production --reason '…'
    look: rollbackd explain shop/production

    Stakeholders: URGENT - Rollback in Progress - production
    - Service: shop/production
    - Issue: critical-errors: 200 of 2000 requests, 10% (at least 8.54%) since 12:00:15, limit 5%
    - Impact: significant degradation
    - Action: Rolling back to version v1
    - ETA: 12:35:15 UTC (in 20m)

    OnCall: Rollback Complete - production
    - Service: shop/production
    - Rollback status: Success
    - Current version: v1
    - System status: Operational
    - Root cause analysis: In progress
    - Verified after: 26m 30s
    • the target revision serves: Passed, v1 serves
    • errors: Passed, 0 of 6200 requests failed, 0.00% (limit 1.00%)
    • health: Passed, 62 good probes in a row, 0 bad in all
    • latency: Passed, p95 95 ms (limit 2000 ms)
    • no trigger fires: Passed, all clear

    Stakeholders: Rollback Complete - production
    - Service: shop/production
    - Rollback status: Success
    - Current version: v1
    - System status: Operational
    - Root cause analysis: In progress
    ");
}

#[test]
fn a_person_s_word_about_nothing_is_answered() {
    brief(shop(), |town| {
        let acknowledged = town.says("ada", Said::Acknowledge);
        assert_snapshot!(acknowledged.unwrap_err(), @"shop/production has no open incident");
        let lifted = town.says("ada", Said::Lift { version: "v9".into() });
        assert_snapshot!(lifted.unwrap_err(), @"v9 of shop/production is not quarantined");
        let to_itself = town.says("ada", roll_back(None, &reason()));
        assert_snapshot!(to_itself.unwrap_err(), @"no earlier revision has served healthily for the bake time");
        town.turn(What::Tick);
    });
}

#[test]
fn a_page_that_a_channel_did_not_take_is_paged_on_every_channel() {
    story(shop(), |town| {
        for again in [true, false] {
            town.turn(What::Undelivered {
                service: Some(id("shop")),
                subject: "P1 shop/production: critical-errors".into(),
                channel: "slack".into(),
                why: "status 403".into(),
                again,
            });
            let told = town.notices("slack does not deliver").pop().unwrap();
            assert_eq!((told.urgency, told.audience), (Urgency::Page, Audience::OnCall));
            let fields: Vec<&str> = told.fields.iter().map(|(_, value)| value.as_str()).collect();
            assert_eq!(fields, ["slack", "P1 shop/production: critical-errors", "status 403"]);
        }
    });
}

#[test]
fn a_page_offers_a_rollback_only_where_one_may_follow() {
    for (mode, offers) in [(Mode::Observe, false), (Mode::Approve, true)] {
        brief(shop_with(|p| p.mode = mode), |town| {
            town.deploy("v2", errors(0.10));
            town.run("16m");
            let page = town.notices("P1 shop/production").pop().unwrap();
            let offered = page.choices.iter().any(|choice| choice.label == "roll back");
            assert_eq!(offered, offers, "{mode:?}: {page:?}");
        });
    }
}
