//! What goes wrong while a site goes back: nothing is half a page, and whoever goes on finds what was done.

use std::time::{Duration, Instant};

use rollbackd::{domain::run::Outcome, executors::frontend::Archived, units::Span};

use super::shop::{NEW, OLD, Shop, failure};
use crate::{aws::proxy::Twist, rig::eventually};

fn refuse(status: u16, code: &'static str) -> Twist {
    Twist::Refuse { status, code, said: "" }
}

#[tokio::test]
async fn what_is_kept_and_changed_since_stops_it_before_anything_is_touched() {
    let shop = Shop::with_both("changed").await;
    let steps = shop.steps("1.4.0").await;
    shop.put("versions/1.4.0/logo.svg", "<svg>other</svg>").await;
    shop.remove("versions/1.4.0/index.html").await;
    let before = shop.holds().await;
    let report = shop.carry_out(&Shop::order(0, &steps[0])).await;
    let (why, retry) = failure(&report);
    assert_eq!(
        why,
        "nothing was begun: 2 of 3 objects that are kept of 1.4.0 are gone, archived, or others than were recorded: versions/1.4.0/index.html, versions/1.4.0/logo.svg"
    );
    assert!(!retry);
    assert_eq!(shop.holds().await, before);
}

/// Between the look and the copy there is a moment in which it can change all the same.
#[tokio::test]
async fn what_changes_at_the_last_moment_is_not_copied() {
    let shop = Shop::with_both("moment").await;
    let steps = shop.steps("1.4.0").await;
    // Everything was looked at, and the first copy is slowed down.
    shop.remove("app.1111.js").await;
    let first = format!("PUT /{}/app.1111.js", shop.bucket());
    shop.proxy.twist(&first, 99, refuse(503, "SlowDown"));
    let order = Shop::order(0, &steps[0]);
    let changes = async {
        eventually("it copies", Duration::from_secs(60), async || {
            (!shop.proxy.asked(&first).is_empty()).then_some(())
        })
        .await;
        shop.put("versions/1.4.0/logo.svg", "<svg>other</svg>").await;
        shop.proxy.straighten();
    };
    let (report, ()) = tokio::join!(shop.carry_out(&order), changes);
    let (why, retry) = failure(&report);
    assert!(
        why.contains("logo.svg: s3:PutObject met something else than was seen before") && !retry,
        "{why}"
    );
    assert_eq!(shop.holds().await["index.html"], NEW[0].1);
}

#[tokio::test]
async fn a_manifest_that_is_another_one_is_not_gone_by() {
    let shop = Shop::with_both("manifest").await;
    let steps = shop.steps("1.4.0").await;
    let holds = shop.holds().await;
    let other = holds["manifests/1.4.0.json"].replace("\"size\":5,", "\"size\":6,");
    assert_ne!(other, holds["manifests/1.4.0.json"]);
    shop.put("manifests/1.4.0.json", &other).await;
    for (index, step) in steps.iter().enumerate() {
        let report = shop.carry_out(&Shop::order(index, step)).await;
        let (why, retry) = failure(&report);
        assert!(
            why.contains("the manifest of 1.4.0 is another than the plan was made for") && !retry,
            "{why}"
        );
    }
    shop.put("manifests/1.4.0.json", "<html>").await;
    let seen = shop.inventory().await;
    assert!(
        seen.faults.iter().any(|fault| fault.contains("manifests/1.4.0.json: it is no manifest")),
        "{seen:?}"
    );
}

#[tokio::test]
async fn whoever_deploys_in_between_is_not_overwritten() {
    let shop = Shop::with_both("between").await;
    let steps = shop.steps("1.4.0").await;
    shop.put("index.html", "<script src=app.3333.js></script>").await;
    let report = shop.carry_out(&Shop::order(0, &steps[0])).await;
    assert_eq!(
        failure(&report),
        ("somebody changed index.html in between: it is neither of 1.5.0 nor of 1.4.0", false)
    );
    assert_eq!(shop.holds().await["logo.svg"], "<svg>new</svg>", "nothing was touched");
    let seen = shop.inventory().await;
    assert_eq!(seen.linked, None);
    assert!(seen.faults[0].contains("index.html is of no version that was recorded"), "{seen:?}");
}

/// What another pipeline put there may have no other copy.
#[tokio::test]
async fn what_no_recorded_version_accounts_for_is_not_replaced_and_what_an_earlier_one_left_is() {
    let shop = Shop::with_both("foreign").await;
    let steps = shop.steps("1.4.0").await;
    shop.put("app.1111.js", "somebody's()").await;
    let report = shop.carry_out(&Shop::order(0, &steps[0])).await;
    let (why, retry) = failure(&report);
    assert!(
        why.starts_with("nothing was begun: app.1111.js is live as no recorded version"),
        "{why}"
    );
    assert!(!retry && shop.holds().await["app.1111.js"] == "somebody's()", "{report:?}");
    assert_eq!(shop.holds().await["logo.svg"], "<svg>new</svg>", "nothing was touched");
    // The same name, as a third version had it.
    let shop = Shop::open("left", Archived::Below("versions/{version}/".into())).await;
    let third = [OLD[0], ("app.1111.js", "older()"), OLD[2], OLD[3]];
    shop.deploy_and_record("1.3.0", &third).await;
    shop.deploy_and_record("1.4.0", OLD).await;
    shop.deploy_and_record("1.5.0", NEW).await;
    shop.put("app.1111.js", "older()").await;
    let steps = shop.steps("1.4.0").await;
    let report = shop.carry_out(&Shop::order(0, &steps[0])).await;
    assert_eq!(
        (report.outcome, shop.holds().await["app.1111.js"].as_str()),
        (Outcome::Done, "old()")
    );
}

/// The bucket is as it should be then, and the edges are not: people get the line that tells them.
#[tokio::test]
async fn edges_that_may_not_be_told_are_for_people_with_the_line_that_does_it() {
    let shop = Shop::with_both("denied-edge").await;
    let steps = shop.steps("1.4.0").await;
    assert_eq!(shop.carry_out(&Shop::order(0, &steps[0])).await.outcome, Outcome::Done);
    shop.proxy.twist("/invalidation", 9, refuse(403, "AccessDenied"));
    let report = shop.carry_out(&Shop::order(1, &steps[1])).await;
    let (why, retry) = failure(&report);
    assert!(why.contains("allow cloudfront:CreateInvalidation") && !retry, "{why}");
    let line = "aws cloudfront create-invalidation --distribution-id ";
    assert!(report.left.contains(line) && report.left.contains("'/index.html'"), "{report:?}");
}

/// Of a version that nobody recorded only its marker says that it is still there, and copying takes minutes.
#[tokio::test]
async fn whoever_deploys_while_an_unrecorded_version_is_left_is_not_overwritten() {
    let shop = Shop::open("unrecorded", Archived::Below("versions/{version}/".into())).await;
    shop.deploy_and_record("1.4.0", OLD).await;
    shop.deploy("1.5.0", NEW).await;
    let steps = shop.steps("1.4.0").await;
    shop.remove("app.1111.js").await;
    let first = format!("PUT /{}/app.1111.js", shop.bucket());
    shop.proxy.twist(&first, 99, refuse(503, "SlowDown"));
    let order = Shop::order(0, &steps[0]);
    let fixed = "<script src=app.3333.js></script>";
    let deploys = async {
        eventually("it copies", Duration::from_secs(60), async || {
            (!shop.proxy.asked(&first).is_empty()).then_some(())
        })
        .await;
        shop.put("index.html", fixed).await;
        shop.put("version.json", r#"{"version":"1.6.0"}"#).await;
        shop.proxy.straighten();
    };
    let (report, ()) = tokio::join!(shop.carry_out(&order), deploys);
    let (why, retry) = failure(&report);
    assert!(why.contains("somebody deployed 1.6.0 in between") && !retry, "{why}");
    assert_eq!(shop.holds().await["index.html"], fixed);
}

#[tokio::test]
async fn access_denied_in_the_middle_leaves_pages_that_have_all_they_load_and_is_gone_on_with() {
    let shop = Shop::with_both("denied").await;
    let steps = shop.steps("1.4.0").await;
    let page = format!("PUT /{}/index.html", shop.bucket());
    shop.proxy.twist(&page, 99, refuse(403, "AccessDenied"));
    let report = shop.carry_out(&Shop::order(0, &steps[0])).await;
    let (why, retry) = failure(&report);
    assert!(
        why.starts_with("it stopped at pages: some are of 1.5.0 and some of 1.4.0, each with all that it loads: index.html: s3:PutObject was denied"),
        "{why}"
    );
    assert!(why.contains("allow s3:PutObject") && !retry, "{why}");
    assert_eq!(report.after, "3 of 5 objects are as in 1.4.0");
    let holds = shop.holds().await;
    assert_eq!((holds["index.html"].as_str(), holds["app.2222.js"].as_str()), (NEW[0].1, "new()"));
    let seen = shop.inventory().await;
    assert!(seen.linked.is_some_and(|linked| linked.version == "1.5.0"), "a plan can be made anew");
    shop.proxy.straighten();
    let again = shop.steps("1.4.0").await;
    assert_eq!(shop.carry_out(&Shop::order(0, &again[0])).await.outcome, Outcome::Done);
    assert_eq!(
        (shop.copies_of("logo.svg"), shop.holds().await["index.html"].as_str()),
        (1, OLD[0].1)
    );
}

/// The marker is the last: where it is not, a rollback is known to have stopped half-way.
#[tokio::test]
async fn a_rollback_that_stopped_between_its_pages_and_its_marker_is_seen_and_gone_on_with() {
    let shop = Shop::with_both("marker").await;
    let steps = shop.steps("1.4.0").await;
    let marker = format!("PUT /{}/version.json", shop.bucket());
    shop.proxy.twist(&marker, 99, refuse(403, "AccessDenied"));
    let report = shop.carry_out(&Shop::order(0, &steps[0])).await;
    assert!(failure(&report).0.contains("it stopped at the marker"), "{report:?}");
    let seen = shop.inventory().await;
    let why = "version.json is of 1.5.0, index.html of 1.4.0: a deployment or a rollback stopped half-way";
    assert_eq!(seen.faults, [why]);
    assert!(!seen.is_settled(), "half of a version earns nothing: {seen:?}");
    shop.proxy.straighten();
    shop.go_back("1.4.0").await;
    assert!(shop.inventory().await.is_settled());
}

#[tokio::test]
async fn a_daemon_that_dies_in_the_middle_is_gone_on_with_and_copies_nothing_twice() {
    let shop = Shop::with_both("killed").await;
    let steps = shop.steps("1.4.0").await;
    let page = format!("PUT /{}/index.html", shop.bucket());
    shop.proxy.twist(&page, 99, Twist::Silent);
    let mut order = Shop::order(0, &steps[0]);
    {
        let attempt = shop.carry_out(&order);
        let hangs = eventually("it copies the page", Duration::from_secs(60), async || {
            (!shop.proxy.asked(&page).is_empty()).then_some(())
        });
        tokio::select! {
            report = attempt => panic!("{report:?}"),
            () = hangs => {}
        }
    }
    shop.proxy.straighten();
    order.resumed = true;
    let report = shop.carry_out(&order).await;
    assert_eq!(report.outcome, Outcome::Done);
    assert_eq!((shop.copies_of("logo.svg"), shop.copies_of("index.html")), (1, 2));
    assert_eq!(report.before, "3 of 5 objects are as in 1.4.0");
    // And one that died after all of it was in effect.
    let report = shop.carry_out(&order).await;
    assert_eq!(report.outcome, Outcome::Done);
    assert_eq!(shop.copies_of("index.html"), 2);
}

#[tokio::test]
async fn answers_that_are_lost_and_a_server_that_is_slowed_down_double_nothing() {
    let shop = Shop::with_both("lost").await;
    let steps = shop.steps("1.4.0").await;
    shop.proxy.twist(&format!("PUT /{}/logo.svg", shop.bucket()), 1, Twist::Lost);
    shop.proxy.twist(&format!("PUT /{}/index.html", shop.bucket()), 2, refuse(503, "SlowDown"));
    let report = shop.carry_out(&Shop::order(0, &steps[0])).await;
    assert_eq!(report.outcome, Outcome::Done);
    assert_eq!(shop.holds().await["logo.svg"], "<svg>old</svg>");
    // Done, and nobody was told: the same reference is asked for again.
    shop.proxy.twist("/invalidation", 1, Twist::Lost);
    let report = shop.carry_out(&Shop::order(1, &steps[1])).await;
    assert_eq!(report.outcome, Outcome::Done);
    assert_eq!(shop.invalidated().await.0, 1);
}

#[tokio::test]
async fn an_invalidation_is_waited_for_and_finds_room_where_others_are_in_progress() {
    let shop = Shop::with_both("progress").await;
    let steps = shop.steps("1.4.0").await;
    let in_progress = |said: &str| said.replace("Completed", "InProgress");
    shop.proxy.twist("POST ", 1, refuse(400, "TooManyInvalidationsInProgress"));
    shop.proxy.twist("POST ", 1, Twist::Rewrite(in_progress));
    shop.proxy.twist("/invalidation/", 2, Twist::Rewrite(in_progress));
    let report = shop.carry_out(&Shop::order(1, &steps[1])).await;
    assert_eq!(report.outcome, Outcome::Done);
    assert_eq!(shop.proxy.asked("/invalidation/").len(), 3, "looked at until it was completed");
    assert_eq!(shop.invalidated().await.0, 1);
    let mut soon = Shop::order(1, &steps[1]);
    soon.what.timeout = Span::seconds(2);
    shop.proxy.twist("/invalidation", 99, Twist::Rewrite(in_progress));
    let report = shop.carry_out(&soon).await;
    let (why, retry) = failure(&report);
    assert!(why.contains("is still in progress: edges may serve what they had") && retry, "{why}");
}

#[tokio::test]
async fn a_server_that_says_nothing_takes_no_more_than_the_time_of_the_step() {
    let shop = Shop::with_both("silent").await;
    let steps = shop.steps("1.4.0").await;
    let mut order = Shop::order(0, &steps[0]);
    order.what.timeout = Span::seconds(3);
    shop.proxy.twist(&format!("PUT /{}/logo.svg", shop.bucket()), 99, Twist::Silent);
    let begun = Instant::now();
    let report = shop.carry_out(&order).await;
    let why = "it stopped at changed objects, and the pages are still those of 1.5.0, with all that they load: its time was over";
    assert_eq!(failure(&report), (why, true));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_site_that_is_held_is_not_touched() {
    let shop = Shop::with_both("held").await;
    let steps = shop.steps("1.4.0").await;
    std::fs::write(shop.dir.path().join("HOLD"), "not now").unwrap();
    let report = shop.carry_out(&Shop::order(0, &steps[0])).await;
    assert!(matches!(report.outcome, Outcome::Withheld { .. }), "{report:?}");
    assert_eq!(shop.copies_of(""), 0);
}
