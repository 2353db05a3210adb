//! A bad release, from its first error to the last notice.

use insta::assert_snapshot;

use super::{place::errors, policy::shop, story};

#[test]
fn a_bad_release_is_monitored_rolled_back_verified_watched_and_resolved() {
    let told = story(shop(), |town| {
        town.run("1m");
        town.deploy("v2", errors(0.10));
        town.run("2h");
    });
    assert_snapshot!(told, @r"
    12:01:00 application changed from v1 to v2
    12:01:00 application v2 serves
    12:05:45 elevated-errors fires (P2): 200 of 2000 requests, 10% (at least 8.54%) since 12:00:45, limit 1%
    12:05:45 minor fires (P3): 200 of 2000 requests, 10% (at least 8.54%) since 12:00:45, limit 0.5%
    12:05:45 incident shop-20260302120545 opened as P2 by elevated-errors
    12:05:45 minor joins as P3
    12:06:15 critical-errors fires (P1): 200 of 2000 requests, 10% (at least 8.54%) since 12:01:15, limit 5%
    12:06:15 critical-errors joins as P1
    12:06:15 raised to P1: critical-errors fires
    12:06:15 decided: monitor until 12:16:15
    12:06:15   -> PAGE: P1 shop/production: critical-errors
    12:11:15   -> PAGE: P1 shop/production: critical-errors - nobody has acknowledged this
    12:16:15 decided: roll back now
    12:16:15 application v2 is quarantined
    12:16:15 rollbackd begins rollback shop-20260302120545-r1, plan d1ec833b4bf9894e: application v2 -> v1
    12:16:15   -> PAGE: URGENT - Rollback in Progress - production
    12:16:15   -> stakeholders: URGENT - Rollback in Progress - production
    12:16:15 step 1 begins, attempt 1
    12:16:20 application rolled back from v2 to v1
    12:16:20 application v1 serves
    12:16:20 step 1 is in effect (5000 ms)
    12:16:20 step 2 begins, attempt 1
    12:16:25 step 2 is in effect (5000 ms)
    12:16:25 every step is in effect
    12:16:25 verifying that the rollback worked
    12:21:15   -> PAGE: P1 shop/production: critical-errors - nobody has acknowledged this
    12:21:30 critical-errors clears: clean for 5m
    12:22:00 elevated-errors clears: clean for 5m
    12:22:00 minor clears: clean for 5m
    12:26:15   -> PAGE: P1 shop/production: its triggers cleared - nobody has acknowledged this
    12:31:15   -> PAGE: P1 shop/production: its triggers cleared - nobody has acknowledged this
    12:32:15 verified; watching for a relapse
    12:32:15   -> on-call: Rollback Complete - production
    12:32:15   -> stakeholders: Rollback Complete - production
    13:32:15 closed: rolled back and verified
    13:32:15   -> on-call: P1 shop/production: rolled back and verified
    13:32:15   -> stakeholders: Closed - shop - production
    ");
}
