//! What is recorded at the end of a deployment, and what is refused there, when it can still be mended.

use rollbackd::executors::frontend::{Archived, frontend_preflight};

use super::shop::{NEW, OLD, Shop};
use crate::aws::proxy::Twist;

fn below() -> Archived {
    Archived::Below("versions/{version}/".into())
}

#[tokio::test]
async fn a_version_is_recorded_once_and_never_as_something_else() {
    let shop = Shop::open("record", below()).await;
    shop.deploy("1.4.0", OLD).await;
    let said = shop.record("1.4.0").await.unwrap();
    assert!(
        said.starts_with("1.4.0 is recorded in manifests/1.4.0.json: 5 objects, sha256:"),
        "{said}"
    );
    let again = shop.record("1.4.0").await.unwrap();
    assert!(again.starts_with("1.4.0 was recorded in manifests/1.4.0.json before"), "{again}");
    assert_eq!(again.split("sha256:").nth(1), said.split("sha256:").nth(1));
    let refused = shop.record("1.5.0").await.unwrap_err();
    assert!(refused.contains("version.json says that 1.4.0 is live, and not 1.5.0"), "{refused}");
    let manifest = shop.holds().await["manifests/1.4.0.json"].clone();
    shop.put("versions/1.4.0/logo.svg", "<svg>hot</svg>").await;
    shop.put("logo.svg", "<svg>hot</svg>").await;
    let refused = shop.record("1.4.0").await.unwrap_err();
    assert!(
        refused.contains("holds another 1.4.0 than is live now, and is not overwritten"),
        "{refused}"
    );
    assert_eq!(shop.holds().await["manifests/1.4.0.json"], manifest);
}

#[tokio::test]
async fn what_is_no_manifest_is_named_with_what_to_do_about_it() {
    let shop = Shop::open("garbage", below()).await;
    shop.put("manifests/1.4.0.json", "{\"version\":").await;
    shop.deploy("1.4.0", OLD).await;
    let seen = shop.inventory().await;
    let [fault] = seen.faults.as_slice() else { panic!("{seen:?}") };
    for part in [
        "manifests/1.4.0.json: it is no manifest",
        "delete it, and `rollbackd frontend record` 1.4.0",
    ] {
        assert!(fault.contains(part), "{fault}");
    }
    let refused = shop.record("1.4.0").await.unwrap_err();
    assert!(
        refused.contains("is no manifest of a version, and is not overwritten: delete it"),
        "{refused}"
    );
    shop.remove("manifests/1.4.0.json").await;
    shop.record("1.4.0").await.unwrap();
    assert!(shop.inventory().await.faults.is_empty());
}

/// Nobody has looked: neither is there another version in it, nor is there none.
#[tokio::test]
async fn of_a_bucket_that_is_not_there_or_not_shown_nothing_is_said_but_that() {
    let mut shop = Shop::with_both("unseen").await;
    let denied = Twist::Refuse { status: 403, code: "AccessDenied", said: "" };
    shop.proxy.twist(&format!("GET /{}", shop.bucket()), 99, denied);
    let told = async |shop: &Shop| -> Vec<String> {
        let checks = frontend_preflight(&shop.site, &shop.options).await;
        checks.into_iter().filter(|it| !it.ok).map(|it| it.why).collect()
    };
    let missing = told(&shop).await;
    for (nth, part) in [
        "allow s3:ListBucket",
        "which is in the bucket nobody can tell",
        "nobody can tell: s3:ListBucket",
    ]
    .iter()
    .enumerate()
    {
        assert!(missing[nth].contains(part), "{missing:?}");
    }
    shop.proxy.straighten();
    shop.site.runbook.at.bucket += "-nowhere";
    let missing = told(&shop).await;
    assert!(missing[0].contains("compare the name, the account and the region"), "{missing:?}");
    let refused = shop.record("1.5.0").await.unwrap_err();
    assert!(refused.contains("-nowhere/: s3:GetObject found no such thing"), "{refused}");
}

#[tokio::test]
async fn what_is_not_kept_or_not_live_is_refused_when_it_is_recorded() {
    let shop = Shop::open("refused", below()).await;
    let refused = shop.record("1.4.0").await.unwrap_err();
    assert!(
        refused.contains("version.json, which says which version is live, is not there"),
        "{refused}"
    );
    shop.put("version.json", r#"{"version":"1.4.0"}"#).await;
    let refused = shop.record("1.4.0").await.unwrap_err();
    assert!(refused.contains("nothing is kept of 1.4.0"), "{refused}");
    shop.deploy("1.4.0", OLD).await;
    shop.put("logo.svg", "<svg>other</svg>").await;
    let refused = shop.record("1.4.0").await.unwrap_err();
    assert_eq!(refused, "logo.svg is not what versions/1.4.0/logo.svg holds");
    shop.remove("logo.svg").await;
    let refused = shop.record("1.4.0").await.unwrap_err();
    assert_eq!(refused, "logo.svg is kept and not live: was all of it deployed?");
    let shop = Shop::open("unversioned", Archived::BucketVersions).await;
    shop.suspend_versions().await;
    shop.deploy("1.4.0", OLD).await;
    let refused = shop.record("1.4.0").await.unwrap_err();
    assert!(refused.contains("the bucket keeps no versions of"), "{refused}");
}

/// A bucket that holds its own archive at its root is not recorded with it.
#[tokio::test]
async fn neither_archive_nor_manifests_nor_what_is_left_out_is_a_part_of_the_site() {
    let mut shop = Shop::open("apart", Archived::BucketVersions).await;
    shop.site.left_out = vec!["uploads/".into()];
    shop.put("uploads/cat.jpg", "meow").await;
    shop.deploy_and_record("1.4.0", OLD).await;
    shop.deploy_and_record("1.5.0", NEW).await;
    let manifest = shop.holds().await["manifests/1.5.0.json"].clone();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let names: Vec<&String> = manifest["objects"].as_object().unwrap().keys().collect();
    assert_eq!(
        names,
        ["app.1111.js", "app.2222.js", "index.html", "logo.svg", "same.css", "version.json"]
    );
}

#[tokio::test]
async fn before_there_is_need_it_is_seen_whether_a_site_could_go_back() {
    let shop = Shop::with_both("preflight").await;
    let checks = frontend_preflight(&shop.site, &shop.options).await;
    assert!(checks.iter().all(|check| check.ok), "{checks:?}");
    let said: Vec<(&str, &str)> =
        checks.iter().map(|it| (it.what.as_str(), it.why.as_str())).collect();
    assert!(
        said.contains(&("all of 1.4.0 is kept", "5 objects are as they were recorded")),
        "{said:?}"
    );
    let before = shop.holds().await;
    let denied = Twist::Refuse { status: 403, code: "AccessDenied", said: "" };
    shop.proxy.twist("PUT ", 9, denied.clone());
    shop.proxy.twist("/invalidation", 9, denied);
    let checks = frontend_preflight(&shop.site, &shop.options).await;
    let missing: Vec<&str> = checks.iter().filter(|it| !it.ok).map(|it| it.why.as_str()).collect();
    assert_eq!(missing.len(), 2, "{checks:?}");
    assert!(missing[0].contains("allow cloudfront:CreateInvalidation"), "{missing:?}");
    assert!(missing[1].contains("allow s3:PutObject"), "{missing:?}");
    shop.proxy.straighten();
    assert_eq!(shop.holds().await, before, "nothing is written");
    shop.remove("versions/1.4.0/app.1111.js").await;
    shop.edge.answer(Some(403));
    let checks = frontend_preflight(&shop.site, &shop.options).await;
    let missing: Vec<&str> = checks.iter().filter(|it| !it.ok).map(|it| it.why.as_str()).collect();
    assert_eq!(missing.len(), 2, "{checks:?}");
    assert!(
        missing[0].contains("403") && missing[1].contains("1 of 5 objects are gone"),
        "{missing:?}"
    );
    let empty = Shop::open("preflight-empty", below()).await;
    let checks = frontend_preflight(&empty.site, &empty.options).await;
    assert!(checks.iter().any(|it| it.why.contains("rollbackd frontend record")), "{checks:?}");
}
