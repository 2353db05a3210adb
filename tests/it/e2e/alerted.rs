//! The shop seen by a real Prometheus, whose rules alert through a real Alertmanager; the daemon asks the one and
//! hears the other.

use std::fs;

use rollbackd::{
    demo::shop::Behaviour,
    domain::{
        fact::Fact,
        guard::{Guard, Says},
        incident::{self, Choice, Decision},
        severity::Severity,
    },
    http::views::IncidentView,
    store::Record,
};
use serde_json::{Value, json};

use super::{
    found, journal,
    monitored::Monitored,
    pages, together,
    told::Notice,
    world::{SOON, World},
};
use crate::rig::patiently;

fn stood(incident: &IncidentView, guard: Guard) -> Says {
    let decision = incident.decision.as_ref().expect("it was decided");
    decision.guards.iter().find(|v| v.guard == guard).expect("every guard was asked").says.clone()
}

/// The phases an incident went through, as the journal has them.
fn phases(journal: &[(Record, Fact)]) -> Vec<&'static str> {
    let entered = journal.iter().filter_map(|(_, fact)| {
        if let Fact::Incident(incident::Fact::Entered(phase)) = fact {
            return Some(phase.name());
        }
        let planned = matches!(fact, Fact::Incident(incident::Fact::Planned { .. }));
        planned.then_some("rolling back")
    });
    entered.collect()
}

fn kinds<'a>(told: &'a [Notice], audience: &str) -> Vec<&'a str> {
    let of =
        told.iter().filter(|n| n.text("audience") == audience && !n.text("incident").is_empty());
    of.map(|n| n.text("kind")).collect()
}

/// What was sent already, sent again in other words and orders, changes nothing.
async fn sent_again(shop: &Monitored, active: &[Value]) {
    let state_dir = shop.world.state_dir();
    let before = journal::read(&state_dir);
    assert!(!active.is_empty(), "Alertmanager has it active");
    for _ in 0..3 {
        let receipt = shop.webhook(json!(active)).await;
        assert_eq!(receipt["accepted"], json!(active.len()));
    }
    let mut late = active.to_vec();
    for alert in &mut late {
        alert["status"] = json!("resolved");
        alert["startsAt"] = json!("2026-01-01T00:00:00Z");
    }
    shop.webhook(json!(late)).await;
    let fired = |all: &[(Record, Fact)]| {
        let of = |fact: &Fact| {
            matches!(fact, Fact::Trigger(_)) && format!("{fact:?}").contains("alert:")
        };
        all.iter().filter(|(_, fact)| of(fact)).count()
    };
    assert_eq!(fired(&journal::read(&state_dir)), fired(&before));
}

/// Each notice once, under its own key, to each audience in order.
fn told_in_order(world: &World) {
    let told = world.told.all();
    assert_eq!(told.len(), world.told.ids().len(), "each notice once");
    assert!(told.iter().all(|n| n.idempotency_key == n.id()), "the key is the id");
    let on_call = kinds(&told, "on_call");
    let main = ["incident", "rollback_in_progress", "rollback_complete", "closed"];
    let order: Vec<_> = on_call.iter().copied().filter(|kind| main.contains(kind)).collect();
    let mut wanted = order.clone();
    wanted.sort_by_key(|kind| main.iter().position(|m| m == kind));
    wanted.dedup();
    assert_eq!(wanted, main, "{on_call:?}");
    assert!(order.is_sorted_by_key(|kind| main.iter().position(|m| m == kind)), "{on_call:?}");
    assert_eq!(
        kinds(&told, "stakeholders"),
        ["rollback_in_progress", "rollback_complete", "closed"]
    );
}

async fn a_bad_release() {
    let shop = Monitored::settled(Behaviour::Errors, "", &[]).await;
    let world = &shop.world;
    world.stage.deploy("v2").expect("v2 is deployed");
    let opened = world.phase("monitoring").await;
    assert_eq!(opened.line.severity, Severity::P1);
    assert_eq!(opened.change.as_ref().map(|c| c.to.version.as_str()), Some("v2"));

    let joined = |i: &IncidentView| i.line.triggers.iter().any(|t| t == "alert:critical-errors");
    world.incident("the alert joined", joined).await;
    let active = shop.active().await;
    sent_again(&shop, &active).await;

    let acting = world.incident("a plan runs", |i| i.plan.is_some()).await;
    for guard in
        [Guard::NoChange, Guard::AlreadyBurning, Guard::NowhereSafe, Guard::Blind, Guard::Hold]
    {
        assert!(matches!(stood(&acting, guard), Says::Pass { .. }), "{:?}", stood(&acting, guard));
    }
    let over = world.incident("over", |i| i.line.closed.is_some()).await;
    assert_eq!(over.line.because.as_deref(), Some("rolled back and verified"), "{over:#?}");
    assert_eq!(world.stage.linked().as_deref(), Some("v1"));
    for (name, clock) in [("acted", over.acted), ("verified", over.verified)] {
        let (by, done) = (clock.by.expect("a deadline"), clock.done.expect("it was done"));
        assert!(done <= by && !clock.late, "{name}: {clock:?}");
        assert!(done > over.line.fired, "{name}: {clock:?}");
    }

    let report = world.dir().join("reports").join(format!("{}.md", over.line.id));
    let report = patiently("the report", SOON, async || fs::read_to_string(&report).ok()).await;
    for said in ["critical-errors", "v2", "v1", "alert:critical-errors", &over.line.id] {
        assert!(report.contains(said), "no word of `{said}` in the report:\n{report}");
    }
    let kept = [
        ("what was seen when it fired", "requests, "),
        ("the decisions before the last", "monitor until"),
        ("the checklist", "- [x] the target revision serves: v1 serves"),
        ("that people were paged", "| Pages sent | "),
    ];
    for (what, said) in kept {
        assert!(report.contains(said), "{what} is lost from the closed report:\n{report}");
    }
    let of_the_api = world.get(&format!("/v1/incidents/{}/report", over.line.id)).await;
    assert!(of_the_api.contains("critical-errors"));

    // Sent once more when all is over: the same firing, and its end twice.
    let incidents = world.eye().incidents().await.expect("it answers").len();
    let mut resolved = active.clone();
    resolved.iter_mut().for_each(|alert| alert["status"] = json!("resolved"));
    for alerts in [&resolved, &resolved] {
        shop.webhook(json!(alerts)).await;
    }
    assert_eq!(world.eye().incidents().await.expect("it answers").len(), incidents);

    told_in_order(world);

    let journal = shop.world.ended().await;
    assert_eq!(journal::planned(&journal), 1);
    let wanted = ["monitoring", "rolling back", "verifying", "watching", "closed"];
    assert_eq!(phases(&journal), wanted);
}

async fn a_total_outage() {
    let shop = Monitored::settled(Behaviour::Down, "", &[]).await;
    let world = &shop.world;
    world.stage.deploy("v2").expect("v2 is deployed");
    let acting = world.incident("a plan runs", |i| i.plan.is_some()).await;
    assert_eq!(acting.line.severity, Severity::P0);
    assert!(matches!(
        stood(&acting, Guard::OneWitness),
        Says::Pass { .. } | Says::NotApplicable { .. }
    ));
    let over = world.incident("over", |i| i.line.closed.is_some()).await;
    assert_eq!(over.line.because.as_deref(), Some("rolled back and verified"), "{over:#?}");
    assert!(!over.acted.late && !over.verified.late);
    assert_eq!(world.stage.linked().as_deref(), Some("v1"));
    let journal = shop.world.ended().await;
    let waits = |decision: &Decision| {
        decision.severity == Severity::P0 && matches!(decision.verdict, Choice::MonitorUntil { .. })
    };
    let monitored = journal.iter().filter_map(|(_, fact)| journal::decision(fact)).any(waits);
    assert!(!monitored, "a P0 is acted upon at once: {:?}", phases(&journal));
}

/// A P1 that must be acted upon within a minute, and is judged after fifteen seconds: long enough for what was seen
/// before the blind spell to be too old by then, on a busy machine too.
const PATIENT: &str = r#"
[severity.P1]
monitor_for = "15s"
act_within = "60s"
verify_within = "100s"
[people]
blind_watched = "2s"
"#;

async fn a_blind_spell() {
    let mut shop =
        Monitored::settled(Behaviour::Errors, PATIENT, &["service.shop.signal.health"]).await;
    shop.world.stage.deploy("v2").expect("v2 is deployed");
    let opened = shop.world.phase("monitoring").await;
    shop.prometheus.kill();
    let blind = shop.world.explained("blind", |e| !e.service.blind.is_empty()).await;
    assert_eq!(blind.service.blind[0].signal, "error_rate");
    patiently("a page that it is blind", SOON, async || {
        let of_health = |n: &Notice| n.is_page() && n.text("kind") == "health";
        shop.world.told.all().into_iter().find(of_health)
    })
    .await;
    let by = opened.line.fired.0 + 16_000;
    let seen = shop.world.explained("the monitoring ended", |e| e.now.0 > by).await;
    let incident = seen.service.incident.expect("it is still open");
    assert!(
        !["rolling back", "verifying", "watching", "closed"].contains(&incident.phase.as_str()),
        "{incident:?}"
    );
    assert_eq!(shop.world.stage.linked().as_deref(), Some("v2"), "nothing on missing data");

    shop.prometheus.restart().await;
    shop.world.explained("it sees again", |e| e.service.blind.is_empty()).await;
    let still = shop.world.eye().incident(&opened.line.id).await.expect("it is known");
    let over = shop.world.incident("it goes on", |i| i.plan.is_some() || i.offered.is_some()).await;
    assert_eq!((&over.line.id, over.onset), (&still.line.id, opened.onset), "the same incident");
    shop.world.ended().await;
}

#[test]
fn what_is_seen_is_acted_upon_and_what_is_not_is_not() {
    together(&[
        ("a bad release", || Box::pin(a_bad_release())),
        ("a fleet that is found", || Box::pin(found::what_a_query_finds_is_watched_and_stays())),
        ("one that breaks its template", || {
            Box::pin(found::who_breaks_the_template_is_left_out_alone_and_told())
        }),
        ("a total outage", || Box::pin(a_total_outage())),
        ("a blind spell", || Box::pin(a_blind_spell())),
        ("nonsense", || Box::pin(pages::nonsense_is_told_and_counted_and_nothing_follows())),
    ]);
}
