//! Whatever happens, in whatever order: what must always hold, holds. The town checks it after every turn.

use proptest::prelude::*;
use rollbackd::domain::{
    event::{Alert, Said, What},
    run::Outcome,
    severity::Severity,
    signal::Unknown,
};

use super::{
    place::{Behaviour, HEALTHY, OUTAGE, errors},
    policy::{fleet, id},
    town::{Town, Windows, failed},
};
use crate::world::sayings;

#[derive(Clone, Debug)]
enum Happens {
    Behaves(Behaviour),
    Deployed(u8, Behaviour),
    MonitoringDown(bool),
    Said(u8),
    Alerted(bool),
    EvidencePosted,
    StepsEnd(u8),
    KillSwitch(bool),
    Crashed(bool, bool),
    ClockSet(i64),
}

fn behaviour() -> impl Strategy<Value = Behaviour> {
    prop_oneof![
        3 => Just(HEALTHY),
        2 => Just(OUTAGE),
        2 => (0.0..1.0).prop_map(errors),
        1 => (0.0..1.0).prop_map(|slow| Behaviour { slow, ..HEALTHY }),
        1 => (0.0..5.0).prop_map(|requests| Behaviour { requests, ..errors(0.5) }),
        1 => Just(Behaviour { up: false, ..HEALTHY }),
    ]
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        3 => behaviour().prop_map(Happens::Behaves),
        3 => (1..5_u8, behaviour()).prop_map(|(version, b)| Happens::Deployed(version, b)),
        2 => any::<bool>().prop_map(Happens::MonitoringDown),
        3 => (0..8_u8).prop_map(Happens::Said),
        1 => any::<bool>().prop_map(Happens::Alerted),
        1 => Just(Happens::EvidencePosted),
        1 => (0..3_u8).prop_map(Happens::StepsEnd),
        1 => any::<bool>().prop_map(Happens::KillSwitch),
        2 => any::<(bool, bool)>().prop_map(|(kept, applied)| Happens::Crashed(kept, applied)),
        1 => (-600_000..600_000_i64).prop_map(Happens::ClockSet),
    ]
}

fn said(town: &Town, which: u8) -> Said {
    sayings::might_say(which.into(), town.shop().incident.as_ref())
}

fn happen(town: &mut Town, what: &Happens) {
    match what {
        Happens::Behaves(behaviour) => town.behaves(*behaviour),
        Happens::Deployed(version, behaviour) => town.deploy(&format!("v{version}"), *behaviour),
        Happens::MonitoringDown(down) => {
            town.place().monitoring_down = down.then_some(Unknown::Failed);
        }
        Happens::Said(which) => {
            let said = said(town, *which);
            let _ = town.says("ada", said);
        }
        Happens::Alerted(firing) => {
            let alert = Alert {
                fingerprint: "8f2a".into(),
                starts_at: town.wall(),
                firing: *firing,
                name: "Errors".into(),
                trigger: Some("critical-errors".into()),
                severity: Severity::P1,
                summary: "errors".into(),
                labels: [].into(),
            };
            town.turn(What::Alerted { service: id("shop"), alert });
        }
        Happens::EvidencePosted => {
            town.turn(What::EvidencePosted {
                service: id("shop"),
                trigger: "data-corruption".into(),
                by: "check".into(),
                note: "rows are missing".into(),
                partial: false,
            });
        }
        Happens::StepsEnd(0) => town.place().outcomes.push_back(failed("no", true)),
        Happens::StepsEnd(1) => {
            town.place().outcomes.push_back(Outcome::Unknown { why: "no answer".into() });
        }
        Happens::StepsEnd(_) => {
            town.place().outcomes.push_back(Outcome::Withheld { why: "no lease".into() });
        }
        Happens::KillSwitch(set) => {
            town.turn(What::KillSwitch { reason: set.then(|| "stop".to_owned()) });
        }
        Happens::Crashed(kept, applied) => {
            let windows = if *kept { Windows::Kept } else { Windows::Lost };
            town.crash(windows, *applied);
        }
        Happens::ClockSet(ms) => town.step_clock(*ms),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_the_invariants_hold(
        events in prop::collection::vec((happens(), 1..400_i64), 1..25),
    ) {
        let mut town = Town::new(fleet(&["cart", "shop"]));
        town.run("40m");
        for (what, seconds) in &events {
            happen(&mut town, what);
            town.run(&format!("{seconds}s"));
        }
        town.check_everything();
    }
}
