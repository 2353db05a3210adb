//! The daemon is killed under a running breach and stays away for longer than its windows bridge; a real Prometheus
//! remembers.

use std::time::SystemTime;

use rollbackd::{
    demo::shop::Behaviour,
    domain::{
        fact::Fact,
        firing::{self, Basis, Firing},
        trigger::State,
    },
    http::views::TriggerView,
    units::{Span, UnixMs},
};

use super::{
    journal,
    monitored::Monitored,
    together,
    world::{SOON, World},
};
use crate::rig::patiently;

const HOLDS_FOR: Span = Span::seconds(15);
const POLL: Span = Span::seconds(1);
/// Longer than the silence after which an onset is lost.
const AWAY: Span = Span::seconds(6);

/// Nothing is rolled back before the trigger of our own has fired; the alert's is faster.
const PATIENT: &str = r#"
[service.shop]
mode = "approve"
[service.shop.trigger.critical-errors]
holds_for = "15s"
"#;

fn now() -> UnixMs {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    UnixMs(i64::try_from(since.as_millis()).expect("before the year 292278994"))
}

async fn pending(world: &World) {
    let is = |t: &TriggerView| t.name == "critical-errors" && t.state == State::Pending;
    world.explained("pending", |e| e.triggers.iter().any(is)).await;
}

async fn fired(world: &World) -> Firing {
    let state_dir = world.state_dir();
    patiently("critical-errors fires", SOON, async || {
        let of_ours = |fact| {
            let Fact::Trigger(firing::Fact::Fired(firing)) = fact else { return None };
            let ours = firing.trigger == "critical-errors" && firing.basis == Basis::Window;
            ours.then_some(*firing)
        };
        journal::read(&state_dir).into_iter().find_map(|(_, fact)| of_ours(fact))
    })
    .await
}

/// From the deployment to the onset, and from the time at which it must fire to the one at which it did.
async fn bad_release(killed: bool) -> (Span, Span) {
    let mut shop =
        Monitored::settled(Behaviour::Errors, PATIENT, &["service.shop.signal.health"]).await;
    let world = &mut shop.world;
    let deployed = now();
    world.stage.deploy("v2").expect("v2 is deployed");
    pending(world).await;
    let mut up = deployed;
    if killed {
        let until = now() + AWAY;
        world.stage.kill_daemon().expect("the daemon is killed");
        patiently("it is away", SOON, async || (now() >= until).then_some(())).await;
        world.start().await;
        up = now();
        assert!(!world.log().contains("could not be read, it stays unknown"), "{}", world.log());
    }
    let firing = fired(world).await;
    let due = (firing.onset + HOLDS_FOR).max(up);
    shop.world.ended().await;
    (Span(firing.onset.0 - deployed.0), Span(firing.fired_at.0 - due.0))
}

async fn as_old_as_it_is(killed: bool) {
    let (onset, late) = bad_release(killed).await;
    // What begins with the interval in which it was deployed may be seen one scrape and one poll later.
    assert!(
        (-POLL.ms()..=POLL.ms() * 3).contains(&onset.ms()),
        "onset {onset:?} after the deployment"
    );
    assert!((-POLL.ms()..=POLL.ms() * 2).contains(&late.ms()), "{late:?} late");
}

#[test]
fn a_breach_outlives_the_daemon_and_fires_when_it_would_have() {
    together(&[
        ("killed under a breach", || Box::pin(as_old_as_it_is(true))),
        ("the same breach, watched", || Box::pin(as_old_as_it_is(false))),
    ]);
}
