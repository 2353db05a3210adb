//! What people look at, and what they say.

use serde_json::json;

use super::world::{NOW, World};
use crate::{
    domain::{event::What, examples},
    units::Span,
};

/// v1 was known good, v2 serves since ten minutes, and corrupt data was found.
async fn bad_release(world: &World) {
    let service = examples::id("checkout/production");
    for (serving, ago) in [("v1", 100), ("v2", 10)] {
        let inventory = examples::inventory(serving, &["v1"], NOW - Span::minutes(ago));
        world.happened(What::Seen { service: service.clone(), inventory }).await;
    }
    let body = json!({"service": "checkout", "kind": "data-corruption", "note": "orders lost"});
    assert_eq!(world.post("/v1/evidence", "evidence", body.to_string()).await.0, 200);
}

#[tokio::test]
async fn an_incident_is_listed_shown_and_reported() {
    let world = World::new().await;
    bad_release(&world).await;
    let (_, incidents) = world.get("/v1/incidents", "view").await;
    let id = incidents[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(incidents[0]["severity"], "P0");
    let (status, incident) = world.get(&format!("/v1/incidents/{id}"), "view").await;
    assert_eq!(status, 200);
    assert_eq!(incident["service"], "checkout/production");
    assert!(incident["timeline"].as_array().is_some_and(|lines| !lines.is_empty()));
    assert!(incident["acted"]["by"].is_string());
    let (status, report) = world.get(&format!("/v1/incidents/{id}/report"), "view").await;
    assert_eq!(status, 200);
    assert!(report.as_str().unwrap().contains(&id));
    let (status, problem) = world.get("/v1/incidents/nothing", "view").await;
    assert_eq!(status, 404);
    assert!(problem["detail"].as_str().unwrap().contains("`rollbackd incidents` lists"));
}

#[tokio::test]
async fn an_explanation_names_every_guard_and_the_ground() {
    let world = World::new().await;
    let (status, idle) = world.get("/v1/services/cart/production/explain", "view").await;
    assert_eq!(status, 200);
    assert_eq!(idle["ground"], "if_fired");
    assert_eq!(idle["trigger"], "critical-errors");
    assert_eq!(idle["guards"].as_array().unwrap().len(), 15);
    assert!(idle["response"].as_str().unwrap().starts_with("P1: monitor for 10m"));
    bad_release(&world).await;
    let (_, told) = world.get("/v1/services/checkout/production/explain", "view").await;
    assert_eq!(told["ground"], "incident");
    assert!(told["no_plan"].is_string(), "v1 is not known good: {}", told["no_plan"]);
}

#[tokio::test]
async fn a_person_speaks_with_a_name_and_hears_the_domains_no() {
    let world = World::new().await;
    bad_release(&world).await;
    let say = async |verb: &str, body: serde_json::Value| {
        let path = format!("/v1/services/checkout/production/{verb}");
        let (status, answer) = world.post(&path, "operate", body.to_string()).await;
        (status.as_u16(), answer)
    };
    let (status, reply) = say("hold", json!({"reason": "release party", "as": "ada"})).await;
    assert_eq!(status, 200, "{reply}");
    let (_, service) = world.get("/v1/services/checkout", "view").await;
    assert_eq!(service["hold"]["by"], "ada via operate-sender");
    assert_eq!(say("unhold", json!({})).await.0, 200);
    let (status, problem) = say("unhold", json!({})).await;
    assert_eq!(
        (status, problem["detail"].as_str().unwrap()),
        (409, "checkout/production is not held")
    );
    assert_eq!(say("reject", json!({})).await.0, 422);
    assert_eq!(say("shout", json!({})).await.0, 404);
    assert_eq!(say("ack", json!({"oops": 1})).await.0, 422);
    let (status, _) = world.post("/v1/services/checkout/production/ack", "operate", "").await;
    assert_eq!(status, 200, "a verb that needs no words takes none");
    let (status, problem) = say("approve", json!({"plan": "0000"})).await;
    assert_eq!(status, 409, "{problem}");
    let (status, reply) = say("rollback", json!({"to": "v1", "reason": "orders lost"})).await;
    assert_eq!(status, 200, "{reply}");
    assert!(reply["said"].as_str().unwrap().contains("v2 -> v1"), "{reply}");
}

#[tokio::test]
async fn a_plan_is_shown_as_it_would_run() {
    let world = World::new().await;
    bad_release(&world).await;
    let path = "/v1/services/checkout/production/plan";
    let (status, problem) = world.get(path, "view").await;
    assert_eq!(status, 409, "{problem}");
    let (status, plan) = world.get(&format!("{path}?to=v1"), "view").await;
    assert_eq!(status, 200, "{plan}");
    assert_eq!(plan["summary"], "application v2 -> v1");
    assert_eq!(plan["hash"].as_str().unwrap().len(), 16);
    assert_eq!(plan["plan"]["steps"][0]["title"], "switch current of /srv/shop from v2 to v1");
}
