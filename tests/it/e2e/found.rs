//! Services that nobody wrote down: a query of a real Prometheus finds them, and losing sight of it loses none.

use rollbackd::{
    demo::shop::Behaviour,
    domain::fact::{Fact, Fleet},
    store::Reader,
};
use serde_json::Value;

use super::{
    journal,
    monitored::Monitored,
    world::{SOON, World},
};
use crate::rig::patiently;

/// One more service by the numbers of the shop, as if another one stood beside it.
const FLEET: &str = r#"
[discover.all]
template = "found"
query = 'label_replace(count by (service) (http_requests_total), "name", "twin-of-$1", "service", "(.*)")'
label = "name"
every = "1s"
[template.found]
mode = "observe"
watch_only = true
[template.found.signal.error_rate]
every = "1s"
[template.found.signal.error_rate.prometheus]
bad = 'label_replace(sum by (service, instance) (http_requests_total{code=~"5.."}), "name", "twin-of-$1", "service", "(.*)")'
total = 'label_replace(sum by (service, instance) (http_requests_total), "name", "twin-of-$1", "service", "(.*)")'
label = "name"
"#;

async fn services(world: &World) -> Vec<String> {
    let all: Value = serde_json::from_str(&world.get("/v1/services").await).expect("JSON");
    let all = all.as_array().cloned().unwrap_or_default();
    all.iter().filter_map(|service| Some(service["id"].as_str()?.to_owned())).collect()
}

pub(super) async fn what_a_query_finds_is_watched_and_stays() {
    let mut shop = Monitored::settled(Behaviour::Healthy, FLEET, &[]).await;
    let both = ["shop/demo", "twin-of-shop/demo"];
    patiently("it is found", SOON, async || (services(&shop.world).await == both).then_some(()))
        .await;
    let written_at = || {
        let reader = Reader::open(&shop.world.state_dir()).expect("the store can be read");
        let kept = reader.view().load_snapshot("/roster/all").expect("it can be read");
        kept.map(|kept| kept.at)
    };
    // Whoever came is told once that is written down.
    let written = patiently("it is told", SOON, async || {
        let journal = journal::read(&shop.world.state_dir());
        let told = |(_, fact): &(_, Fact)| matches!(fact, Fact::Fleet(Fleet::Discovered { .. }));
        journal.iter().any(told).then(written_at)
    })
    .await;
    patiently("its windows see it", SOON, async || {
        let text = shop.world.get("/v1/services/twin-of-shop/demo/explain").await;
        let explained: Value = serde_json::from_str(&text).ok()?;
        let triggers = explained["triggers"].as_array()?;
        triggers.iter().any(|t| t["name"] == "critical-errors" && t["state"] == "ok").then_some(())
    })
    .await;

    assert_eq!(written_at(), written, "the same names every second are written down once");

    // Nobody can be asked any more, and the daemon begins anew: it knows whom it watched.
    shop.prometheus.kill();
    shop.world.crash().await;
    assert_eq!(services(&shop.world).await, both);
    let journal = shop.world.ended().await;
    let found = journal.iter().filter_map(|(_, fact)| {
        if let Fact::Fleet(Fleet::Discovered { changes, .. }) = fact {
            return Some(changes.join("; "));
        }
        None
    });
    let found: Vec<String> = found.collect();
    assert_eq!(found, ["1 service is watched from now on: twin-of-shop"]);
}

/// One more by the numbers of the shop, and one that asks with a credential that nobody has put there.
const ONE_BROKEN: &str = r#"
[template.found.signal.health]
every = "1s"
[template.found.signal.health.http]
url = "http://127.0.0.1:9/health"
bearer = { file = "DIR/{service}" }
"#;

/// It kept everybody out: the whole answer was refused.
pub(super) async fn who_breaks_the_template_is_left_out_alone_and_told() {
    let secrets = tempfile::tempdir().expect("a directory");
    std::fs::write(secrets.path().join("twin-of-shop"), "hunter2").expect("written");
    let fleet = FLEET.replace(
        r#"'label_replace(count by (service) (http_requests_total), "name", "twin-of-$1", "service", "(.*)")'"#,
        r#"'label_replace(count by (service) (http_requests_total), "name", "twin-of-$1", "service", "(.*)") or label_replace(count by (service) (http_requests_total), "name", "loner", "service", "(.*)")'"#,
    );
    assert!(fleet.contains("loner"));
    let broken = ONE_BROKEN.replace("DIR", &secrets.path().display().to_string());
    let shop = Monitored::settled(Behaviour::Healthy, &format!("{fleet}{broken}"), &[]).await;
    let both = ["shop/demo", "twin-of-shop/demo"];
    patiently("the other is found", SOON, async || {
        (services(&shop.world).await == both).then_some(())
    })
    .await;
    let told = patiently("it is told", SOON, async || {
        let journal = journal::read(shop.world.state_dir().as_path());
        journal.iter().find_map(|(_, fact)| {
            if let Fact::Fleet(Fleet::Discovered { odd: Some(odd), .. }) = fact {
                return Some(odd.join("; "));
            }
            None
        })
    })
    .await;
    assert!(told.starts_with("loner is not watched, its template cannot take it: "), "{told}");
}
