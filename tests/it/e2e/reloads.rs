//! Another configuration for a daemon that runs, in the middle of an incident.

use std::fs;

use rollbackd::{
    demo::shop::Behaviour,
    domain::fact::{Fact, Fleet},
    http::views::Explain,
    store::Record,
};
use rustix::process::{Pid, Signal, kill_process};

use super::{
    journal, together,
    world::{SOON, Setup, World},
};
use crate::rig::patiently;

/// Monitored long enough to be given another configuration meanwhile.
const PATIENT: &str = r#"
[severity.P1]
monitor_for = "6s"
act_within = "15s"
verify_within = "25s"
"#;

/// Half of all requests may fail, and more: what v2 does hurts nobody.
const LENIENT: &str = r#"
[trigger.critical-errors]
above = "99%"
escalation = { enabled = false }
"#;

fn hang_up(world: &mut World) {
    let pid = world.stage.daemon().expect("it runs").id();
    let pid = Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    kill_process(pid, Signal::HUP).expect("the daemon is told to reload");
}

async fn told(world: &World, subject: &str) -> String {
    patiently(subject, SOON, async || {
        let all = world.told.all();
        let notice = all.iter().find(|notice| notice.text("subject").contains(subject));
        notice.map(|notice| notice.text("text").to_owned())
    })
    .await
}

async fn with_v1(config: &str) -> World {
    let mut world = World::open(&Setup::with(Behaviour::Errors, config)).await;
    world.start().await;
    world.settled().await;
    world
}

async fn over_and_rolled_back(world: World) -> Vec<(Record, Fact)> {
    world.incident("over", |i| i.line.closed.is_some()).await;
    assert_eq!(world.stage.linked().as_deref(), Some("v1"));
    let journal = world.ended().await;
    assert_eq!(journal::planned(&journal), 1);
    journal
}

fn count(journal: &[(Record, Fact)], is: impl Fn(&Fleet) -> bool) -> usize {
    let of_it = |(_, fact): &&(Record, Fact)| matches!(fact, Fact::Fleet(fact) if is(fact));
    journal.iter().filter(of_it).count()
}

async fn a_broken_file_in_mid_incident() {
    let mut world = with_v1(PATIENT).await;
    world.stage.deploy("v2").expect("v2 is deployed");
    let incident = world.phase("monitoring").await;
    let before = fs::read_to_string(world.stage.config()).expect("the configuration");
    fs::write(world.stage.config(), before.replace("\"6s\"", "\"soonish\"")).expect("a file");
    hang_up(&mut world);
    let refused = told(&world, "rollbackd refused a configuration").await;
    assert!(refused.contains("soonish") && refused.contains("monitor_for"), "{refused}");
    let over = world.incident("over", |i| i.line.closed.is_some()).await;
    assert_eq!(over.line.id, incident.line.id, "the incident went on");
    let journal = over_and_rolled_back(world).await;
    assert_eq!(count(&journal, |fact| matches!(fact, Fleet::ConfigRefused { .. })), 1);
}

async fn another_threshold() {
    let mut world = with_v1(LENIENT).await;
    world.stage.deploy("v2").expect("v2 is deployed");
    let sees = |e: &Explain| {
        let errors = e.triggers.iter().find(|t| t.name == "critical-errors");
        errors.is_some_and(|t| t.drawn.iter().flatten().any(|share| *share > 0.1))
    };
    world.explained("the errors are seen, and allowed", sees).await;
    world.configure(&Setup::with(Behaviour::Errors, ""));
    hang_up(&mut world);
    let followed = told(&world, "rollbackd follows another configuration").await;
    assert!(followed.contains("shop/demo: its policy"), "{followed}");
    let journal = over_and_rolled_back(world).await;
    assert_eq!(count(&journal, |fact| matches!(fact, Fleet::Configured { .. })), 1);
}

/// The file renames the service in the middle of its incident.
async fn a_service_with_an_open_incident() {
    let mut world = with_v1(PATIENT).await;
    world.stage.deploy("v2").expect("v2 is deployed");
    let incident = world.phase("monitoring").await;
    let before = fs::read_to_string(world.stage.config()).expect("the configuration");
    assert!(before.contains("[service.shop"), "{before}");
    fs::write(world.stage.config(), before.replace("[service.shop", "[service.store"))
        .expect("a file");
    hang_up(&mut world);
    let refused = told(&world, "rollbackd refused a configuration").await;
    let named = format!("shop/demo has the open incident {}", incident.line.id);
    assert!(refused.contains(&named) && refused.contains("rollbackd dismiss"), "{refused}");
    over_and_rolled_back(world).await;
}

#[test]
fn a_configuration_is_taken_whole_or_refused_with_its_faults() {
    together(&[
        ("a broken file in mid-incident", || Box::pin(a_broken_file_in_mid_incident())),
        ("a service with an open incident", || Box::pin(a_service_with_an_open_incident())),
        ("another threshold", || Box::pin(another_threshold())),
    ]);
}
