//! What a rollback of a site does, and what it leaves alone.

use rollbackd::{
    domain::{inventory::Serving, run::Outcome},
    executors::frontend::Archived,
};

use super::shop::{NEW, OLD, Shop, copy_of, failure};

/// `aws s3 sync s3://B/versions/1.4.0/ s3://B/ --delete` deletes every version that is kept, skips the page, which is as long as the
/// new one and older, and deletes what that page loads.
#[tokio::test]
async fn what_the_letter_of_the_runbook_destroys_survives_and_the_page_is_replaced() {
    let shop = Shop::with_both("letter").await;
    let before = shop.holds().await;
    assert_eq!(before["index.html"].len(), OLD[0].1.len(), "both pages are of one length");
    let reports = shop.go_back("1.4.0").await;
    let after = shop.holds().await;
    for (key, held) in before
        .iter()
        .filter(|(key, _)| key.starts_with("versions/") || key.starts_with("manifests/"))
    {
        assert_eq!(after.get(key), Some(held), "{key} is kept as it was");
    }
    for (name, holds) in OLD {
        assert_eq!(after[*name], *holds, "{name} is live");
    }
    assert_eq!(
        after["app.2222.js"], "new()",
        "whoever has opened the page of 1.5.0 still finds what it loads"
    );
    assert_eq!(after["version.json"], r#"{"version":"1.4.0"}"#);
    assert_eq!(
        after.len(),
        before.len(),
        "what 1.4.0 loads was never gone, and nothing is deleted"
    );
    assert_eq!(shop.cache_control("index.html").await.as_deref(), Some("no-cache"));
    assert_eq!(shop.cache_control("logo.svg").await.as_deref(), Some("public, max-age=31536000"));
    assert_eq!(shop.copies_of("same.css"), 0, "what is the same is not copied");
    assert_eq!(reports[0].before, "2 of 5 objects are as in 1.4.0");
    assert_eq!(reports[0].after, "5 of 5 objects are as in 1.4.0");
    // Nobody said of it that it is immutable.
    let paths = ["/", "/app.1111.js", "/index.html", "/logo.svg", "/version.json"];
    let paths = paths.map(str::to_owned).to_vec();
    assert_eq!(shop.invalidated().await, (1, paths));
    let seen = shop.inventory().await;
    assert!(seen.is_settled() && seen.faults.is_empty(), "{seen:?}");
    assert_eq!(seen.running, Serving::Version("1.4.0".into()));
    assert_eq!(shop.edge.open("").await, OLD[0].1);
}

#[tokio::test]
async fn a_plan_says_how_much_is_copied_and_twice_is_once() {
    let shop = Shop::with_both("twice").await;
    let steps = shop.steps("1.4.0").await;
    assert!(
        steps[0].title.starts_with("copy 4 of 5 objects of 1.4.0 to s3://twice-"),
        "{}",
        steps[0].title
    );
    let order = Shop::order(0, &steps[0]);
    assert_eq!(shop.carry_out(&order).await.outcome, Outcome::Done);
    assert_eq!(shop.carry_out(&order).await.outcome, Outcome::AlreadyDone);
    assert_eq!(shop.copies_of("index.html"), 1);
    let order = Shop::order(1, &steps[1]);
    assert_eq!(shop.carry_out(&order).await.outcome, Outcome::Done);
    assert_eq!(shop.carry_out(&order).await.outcome, Outcome::Done);
    assert_eq!(shop.invalidated().await.0, 1, "the same reference is the same invalidation");
}

/// Assets lie there before a page refers to them, and the page that people open first is the last.
#[tokio::test]
async fn objects_come_in_an_order_in_which_no_page_lacks_anything() {
    let shop = Shop::open("order", Archived::Below("versions/{version}/".into())).await;
    let old =
        [("index.html", "i4"), ("a/index.html", "a4"), ("app.1111.js", "old"), ("style.css", "s4")];
    let new =
        [("index.html", "i5"), ("a/index.html", "a5"), ("app.2222.js", "new"), ("style.css", "s5")];
    shop.deploy_and_record("1.4.0", &old).await;
    shop.deploy_and_record("1.5.0", &new).await;
    // As after a deployment that cleans up behind itself.
    shop.remove("app.1111.js").await;
    shop.go_back("1.4.0").await;
    let asked = shop.proxy.asked("PUT ");
    let copied: Vec<&str> = asked
        .iter()
        .filter(|it| it.headers.contains_key("x-amz-copy-source"))
        .filter_map(|it| {
            it.action.split('?').next()?.strip_prefix(&format!("PUT /{}/", shop.bucket()))
        })
        .collect();
    assert_eq!(copied, ["app.1111.js", "style.css", "a/index.html", "index.html", "version.json"]);
}

#[tokio::test]
async fn versions_that_the_bucket_keeps_serve_as_an_archive() {
    let shop = Shop::open("versioned", Archived::BucketVersions).await;
    shop.deploy_and_record("1.4.0", OLD).await;
    shop.deploy_and_record("1.5.0", NEW).await;
    let back = shop.go_back("1.4.0").await;
    assert_eq!(back[0].after, "5 of 5 objects are as in 1.4.0", "{back:?}");
    let holds = shop.holds().await;
    for (name, held) in OLD.iter().chain([&("app.2222.js", "new()")]) {
        assert_eq!(holds[*name], *held);
    }
    // And forward again, to what was bad: a person may want that.
    shop.go_back("1.5.0").await;
    assert_eq!(shop.holds().await["index.html"], NEW[0].1);
}

/// Its copy has an ETag that nobody recorded, and says of what it is one.
#[tokio::test]
async fn what_was_uploaded_in_parts_is_gone_back_to_and_known_again() {
    let shop = Shop::open("parts", Archived::Below("versions/{version}/".into())).await;
    shop.deploy("1.4.0", OLD).await;
    shop.put_in_parts("index.html", OLD[0].1).await;
    let recorded = shop.etag("index.html").await;
    assert_ne!(recorded, shop.etag("versions/1.4.0/index.html").await, "the same bytes");
    shop.record("1.4.0").await.unwrap();
    shop.deploy_and_record("1.5.0", NEW).await;
    let steps = shop.steps("1.4.0").await;
    let order = Shop::order(0, &steps[0]);
    assert_eq!(shop.carry_out(&order).await.outcome, Outcome::Done);
    assert_ne!(shop.etag("index.html").await, recorded);
    assert_eq!(shop.carry_out(&order).await.outcome, Outcome::AlreadyDone);
    let seen = shop.inventory().await;
    assert!(seen.is_settled() && seen.faults.is_empty(), "{seen:?}");
}

/// A pipeline that broke before it recorded anything is what a rollback is for.
#[tokio::test]
async fn what_was_never_recorded_can_be_left_and_not_gone_back_to() {
    let shop = Shop::open("unrecorded", Archived::Below("versions/{version}/".into())).await;
    shop.deploy_and_record("1.4.0", OLD).await;
    shop.deploy("1.5.0", NEW).await;
    let seen = shop.inventory().await;
    assert!(seen.faults[0].contains("1.5.0 was not recorded"), "{seen:?}");
    assert!(seen.find("1.5.0").is_none());
    let steps = shop.steps("1.4.0").await;
    assert_eq!((copy_of(&steps).0.version.as_str(), &copy_of(&steps).0.digest), ("1.5.0", &None));
    shop.go_back("1.4.0").await;
    assert_eq!(shop.holds().await["index.html"], OLD[0].1);
    shop.deploy("1.6.0", NEW).await;
    let report = shop.carry_out(&Shop::order(0, &steps[0])).await;
    let (why, retry) = failure(&report);
    assert!(why.contains("somebody deployed 1.6.0 in between") && !retry, "{why}");
}

#[tokio::test]
async fn what_an_edge_has_kept_is_no_rollback() {
    let shop = Shop::with_both("edge").await;
    shop.edge.keep();
    assert_eq!(shop.edge.open("").await, NEW[0].1);
    let steps = shop.steps("1.4.0").await;
    assert_eq!(shop.carry_out(&Shop::order(0, &steps[0])).await.outcome, Outcome::Done);
    let mut soon = Shop::order(2, &steps[2]);
    soon.what.timeout = rollbackd::units::Span::seconds(1);
    let report = shop.carry_out(&soon).await;
    let (why, retry) = failure(&report);
    assert!(
        why.contains("(as people ask for it) is another index.html")
            || why.contains("1.5.0 serves, and not 1.4.0"),
        "{why}"
    );
    assert!(retry);
    shop.edge.forget();
    let report = shop.carry_out(&soon).await;
    assert_eq!(report.outcome, Outcome::Done);
    assert!(
        report.after.ends_with("serves 1.4.0: version.json and 1 page, byte for byte"),
        "{}",
        report.after
    );
    shop.edge.answer(Some(503));
    let report = shop.carry_out(&soon).await;
    assert!(failure(&report).0.contains("status 503"), "{report:?}");
}

/// More than one page of them. The server of the tests takes half a minute for each thousand.
#[tokio::test]
async fn hundreds_of_objects_go_back_together() {
    const MANY: usize = 600;
    let mut shop = Shop::open("many", Archived::BucketVersions).await;
    shop.site.runbook.at_once = 32;
    let named = |of: &str| -> Vec<(String, String)> {
        let assets = (0..MANY).map(|n| (format!("docs/{}/{n}.txt", n % 40), format!("{of} {n}")));
        assets.chain([("index.html".to_owned(), of.to_owned())]).collect()
    };
    for (version, objects) in [("1.4.0", named("old")), ("1.5.0", named("new"))] {
        shop.put_all(&objects).await;
        shop.put("version.json", &format!("{{\"version\":\"{version}\"}}")).await;
        shop.record(version).await.unwrap();
    }
    let reports = shop.go_back("1.4.0").await;
    assert!(
        reports[0].output.contains(&format!("{} of {} objects copied", MANY + 2, MANY + 2)),
        "{reports:?}"
    );
    let (_, paths) = shop.invalidated().await;
    assert_eq!(paths.len(), MANY + 3, "as many as CloudFront takes one by one");
    let holds = shop.inventory().await;
    assert!(holds.is_settled(), "{holds:?}");
}
