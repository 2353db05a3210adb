//! A canary: v2 is deployed while v1 goes on beside it, and each says of itself which it is.

use rollbackd::{
    demo::{
        load::{self, Load},
        shop::{self, Behaviour},
    },
    domain::severity::Severity,
};
use tokio::net::TcpListener;

use super::{
    journal,
    world::{Setup, World},
};
use crate::rig::client;

/// Errors have to hold for so long that nothing waits for it here.
const CONFIG: &str = r#"
[trigger.critical-errors]
holds_for = "5m"
grace = "2s"
silence = "10s"
escalation = { enabled = false }
[trigger.worse-than-old]
enabled = true
ignore_first = "0s"
recovers_after = "2s"
[service.shop.scrape]
url = ["http://127.0.0.1:{shop}/metrics", "http://127.0.0.1:{beside}/metrics"]
version = "shop_build_info"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_canary_is_rolled_back_before_its_errors_have_held() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let beside = listener.local_addr().expect("an address").port();
    let old = shop::Options::new(beside, "v1", Behaviour::Healthy);
    tokio::spawn(shop::serve_on(listener, old));
    let url = format!("http://127.0.0.1:{beside}/checkout");
    let _load = Load::start(client(), load::Options::new(url, 60));

    let mut setup = Setup::with(Behaviour::Errors, "");
    let mut world = World::set(setup.releases).await;
    setup.config = CONFIG
        .replace("{shop}", &world.ports.shop.to_string())
        .replace("{beside}", &beside.to_string());
    world.configure(&setup);
    world.start().await;
    world.settled().await;

    world.stage.deploy("v2").expect("v2 is deployed");
    let opened = world.phase("monitoring").await;
    assert_eq!(
        (opened.line.severity, &opened.line.triggers[0][..]),
        (Severity::P1, "worse-than-old")
    );
    assert_eq!(opened.change.as_ref().map(|c| c.to.version.as_str()), Some("v2"));
    let text = world.get("/v1/services/shop/demo/explain").await;
    assert!(
        text.contains("v2 fails more than twice as often as v1, and surely above 5%"),
        "{text}"
    );

    let over = world.incident("over", |i| i.line.closed.is_some()).await;
    assert_eq!(over.line.because.as_deref(), Some("rolled back and verified"), "{over:#?}");
    assert_eq!(world.stage.linked().as_deref(), Some("v1"));
    assert!(!over.line.triggers.iter().any(|t| t == "critical-errors"), "{over:#?}");
    assert_eq!(journal::planned(&world.ended().await), 1);
}
