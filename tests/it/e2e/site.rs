//! A site that goes back under the real daemon, killed while it copies.

use std::time::Duration;

use rollbackd::{demo::shop::Behaviour, executors::frontend::Archived};
use serde_json::Value;

use super::world::{SOON, Setup, World};
use crate::{
    aws::{
        frontend::shop::{NEW, OLD, Shop},
        proxy::Twist,
    },
    rig::{eventually, patiently},
};

fn config(shop: &Shop) -> String {
    let (access, runbook) = (&shop.site.access, &shop.site.runbook);
    format!(
        r#"
[aws.main]
region = "{}"
endpoint = "{}"
credentials_file = "{}"
[service.site]
mode = "approve"
bake = "2s"
[service.site.signal.health]
every = "1s"
[service.site.signal.health.http]
url = "{}index.html"
[service.site.rollback.application.frontend]
bucket = "{}"
url = "{}"
distribution = "{}"
pointer = "/version"
look_every = "1s"
look_every_watched = "500ms"
"#,
        access.region,
        access.endpoint.as_deref().unwrap(),
        access.credentials_file.as_ref().unwrap().display(),
        runbook.url,
        runbook.at.bucket,
        runbook.url,
        runbook.distribution.as_deref().unwrap(),
    )
}

async fn rollbackd(world: &World, args: &[&str]) -> String {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_rollbackd"));
    command.args(args);
    if args[0] != "frontend" {
        command.arg("--state-dir").arg(world.state_dir());
        command.arg("--url").arg(format!("http://127.0.0.1:{}", world.ports.http));
    }
    let output = command.output().await.expect("it can be started");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

async fn record(world: &World, file: &str, version: &str) -> String {
    let line = ["frontend", "record", file, "--service", "site", "--version", version];
    rollbackd(world, &line).await
}

async fn seen(world: &World, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    patiently(what, SOON, async || {
        let said = world.get("/v1/services/site/demo").await;
        serde_json::from_str(&said).ok().filter(|said| is(said))
    })
    .await
}

fn serves(said: &Value, version: &str) -> bool {
    said["serving"] == version && said["running"]["version"] == version
}

#[tokio::test]
async fn a_site_that_a_daemon_was_killed_over_goes_back_whole_and_is_verified() {
    let shop = Shop::open("daemon", Archived::Below("versions/{version}/".into())).await;
    let setup = Setup::with(Behaviour::Healthy, &config(&shop));
    let mut world = World::open(&setup).await;
    let file = world.stage.config().display().to_string();
    shop.deploy("1.4.0", OLD).await;
    let said = record(&world, &file, "1.4.0").await;
    assert!(said.contains("1.4.0 is recorded in manifests/1.4.0.json"), "{said}");
    world.start().await;
    seen(&world, "1.4.0 is known good", |said| {
        serves(said, "1.4.0") && said["serving_is_known_good"] == true
    })
    .await;
    shop.deploy("1.5.0", NEW).await;
    let said = record(&world, &file, "1.5.0").await;
    assert!(said.contains("1.5.0 is recorded"), "{said}");
    let change = seen(&world, "the change", |said| serves(said, "1.5.0")).await;
    assert_eq!(change["last_change"]["from"]["version"], "1.4.0");
    // A look may have fallen into the deployment.
    let shown = patiently("a plan of what is there", SOON, async || {
        let shown = rollbackd(&world, &["plan", "site"]).await;
        shown.contains("copy 4 of 5 objects of 1.4.0 to s3://").then_some(shown)
    })
    .await;
    assert!(shown.contains("invalidate 5 paths in"), "{shown}");

    let page = format!("PUT /{}/index.html", shop.bucket());
    shop.proxy.twist(&page, 99, Twist::Silent);
    let begun = rollbackd(&world, &["rollback", "site", "--reason", "blank page"]).await;
    assert!(begun.contains("begins"), "{begun}");
    eventually("it copies the page", Duration::from_secs(60), async || {
        (!shop.proxy.asked(&page).is_empty()).then_some(())
    })
    .await;
    world.crash().await;
    shop.proxy.straighten();
    seen(&world, "1.4.0 serves", |said| serves(said, "1.4.0")).await;
    let verified =
        |said: &Value| said["incident"]["phase"] == "watching" || said["incident"].is_null();
    seen(&world, "it is verified", verified).await;
    let holds = shop.holds().await;
    assert_eq!((holds["index.html"].as_str(), holds["app.2222.js"].as_str()), (OLD[0].1, "new()"));
    assert_eq!((shop.copies_of("logo.svg"), shop.invalidated().await.0), (1, 1), "each once");
    world.ended().await;
}
