//! Gauges of what is so now. They are read from the fleet, not kept up with its facts: after a restart, and for what is
//! gone, there is no fact.

use std::collections::{BTreeMap, BTreeSet};

use metrics::gauge;

use super::trigger_label;
use crate::domain::{event::Now, fleet::Fleet};

/// How often what is gone is said to be zero: five minutes, for a monitor to notice. Then it is said no more, and vanishes
/// once nobody has said it for [`SAID_FOR`](super::SAID_FOR).
const ZEROES: u32 = 60;

/// What is so at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    kill_switch: bool,
    writable: bool,
    /// By service.
    open: BTreeMap<String, f64>,
    /// By service.
    maintained: BTreeMap<String, f64>,
    /// By service and trigger; only those that fire.
    firing: BTreeMap<(String, String), f64>,
    /// By service and signal, in seconds.
    ages: BTreeMap<(String, String), f64>,
}

impl Seen {
    /// Of the services that are configured.
    pub fn of(fleet: &Fleet, now: Now) -> Self {
        let mut seen = Self {
            kill_switch: fleet.kill_switch.is_some(),
            writable: fleet.unwritable.is_none(),
            ..Self::default()
        };
        for (id, policy) in &fleet.policy.services {
            let state = fleet.states.get(id);
            let open = state.is_some_and(|state| state.incident.is_some());
            seen.open.insert(id.to_string(), f64::from(u8::from(open)));
            let on = state.is_some_and(|state| !state.maintained.is_empty());
            seen.maintained.insert(id.to_string(), f64::from(u8::from(on)));
            for name in state.iter().flat_map(|state| state.firing.keys()) {
                seen.firing.insert((id.to_string(), trigger_label(name, Some(policy))), 1.0);
            }
            let signals = fleet.watches.get(id).into_iter().flat_map(|watch| watch.signals());
            for (signal, newest, _) in signals {
                if let Some(at) = newest {
                    let age = now.wall.since(at).as_seconds();
                    seen.ages.insert((id.to_string(), signal.to_owned()), age);
                }
            }
        }
        seen
    }

    /// Those that were set and are gone stand at zero, unless the service is gone for good.
    fn with_what_is_gone(mut self, before: &Self, for_good: &BTreeSet<String>) -> Self {
        fn zero<K: Clone + Ord>(
            now: &mut BTreeMap<K, f64>,
            before: &BTreeMap<K, f64>,
            stays: impl Fn(&K) -> bool,
        ) {
            for key in before.keys().filter(|key| stays(key)) {
                now.entry(key.clone()).or_insert(0.0);
            }
        }
        zero(&mut self.open, &before.open, |service| !for_good.contains(service));
        zero(&mut self.maintained, &before.maintained, |service| !for_good.contains(service));
        zero(&mut self.firing, &before.firing, |(service, _)| !for_good.contains(service));
        zero(&mut self.ages, &before.ages, |(service, _)| !for_good.contains(service));
        self
    }
}

/// Those that were set.
#[derive(Debug, Default)]
pub struct Gauges {
    seen: Seen,
    /// Services that are gone, and how often that was said.
    gone: BTreeMap<String, u32>,
}

impl Gauges {
    /// What is to be said after what was said.
    fn follow(&mut self, seen: Seen) {
        self.gone.retain(|service, _| !seen.open.contains_key(service));
        for service in self.seen.open.keys().filter(|service| !seen.open.contains_key(*service)) {
            *self.gone.entry(service.clone()).or_default() += 1;
        }
        let said = self.gone.iter().filter(|(_, said)| **said > ZEROES);
        let for_good: BTreeSet<String> = said.map(|(service, _)| service.clone()).collect();
        self.gone.retain(|service, _| !for_good.contains(service));
        self.seen = seen.with_what_is_gone(&self.seen, &for_good);
    }

    /// Sets them all.
    pub fn set(&mut self, seen: Seen) {
        self.follow(seen);
        // What never changes is said again too, or it would vanish.
        gauge!("rollbackd_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        gauge!("rollbackd_journal_writable").set(f64::from(u8::from(self.seen.writable)));
        gauge!("rollbackd_kill_switch").set(f64::from(u8::from(self.seen.kill_switch)));
        for (service, open) in &self.seen.open {
            gauge!("rollbackd_incident_open", "service" => service.clone()).set(*open);
        }
        for (service, on) in &self.seen.maintained {
            gauge!("rollbackd_maintenance_on", "service" => service.clone()).set(*on);
        }
        for ((service, trigger), fires) in &self.seen.firing {
            gauge!("rollbackd_trigger_firing", "service" => service.clone(), "trigger" => trigger.clone())
                .set(*fires);
        }
        for ((service, signal), age) in &self.seen.ages {
            gauge!("rollbackd_poll_age_seconds", "service" => service.clone(), "signal" => signal.clone())
                .set(*age);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{
            event::{Alert, Event, What},
            examples,
            service::{Mode, ServiceId},
            severity::Severity,
        },
        units::UnixMs,
    };

    const NOW: Now = Now { wall: UnixMs(1_795_383_652_000), steady: UnixMs(1_000_000) };

    fn alert(name: &str, trigger: Option<&str>, service: &ServiceId) -> What {
        let alert = Alert {
            fingerprint: name.into(),
            starts_at: NOW.wall,
            firing: true,
            name: name.into(),
            trigger: trigger.map(str::to_owned),
            severity: Severity::P1,
            summary: String::new(),
            labels: [].into(),
        };
        What::Alerted { service: service.clone(), alert }
    }

    #[test]
    fn after_a_restart_the_gauges_say_what_is_so_and_what_is_gone_is_zero() {
        let names = ["cart/production", "shop/production"];
        let policy = examples::policy(names.map(|name| examples::service(name, Mode::Observe)));
        let mut fleet = Fleet::new(policy.clone(), 1);
        let shop: ServiceId = names[1].parse().unwrap();
        for what in [
            What::KillSwitch { reason: Some("ada".into()) },
            alert("Errors", Some("critical-errors"), &shop),
            alert("DiskFull-4711", None, &shop),
            alert("DiskFull-4712", None, &shop),
        ] {
            let event = Event { id: "e".into(), what };
            let Ok(_) = fleet.turn(&event, NOW, |_| Ok::<(), std::convert::Infallible>(()));
        }
        let mut started = Fleet::new(policy.clone(), 2);
        started.restore(fleet.checkpoint());
        let seen = Seen::of(&started, NOW);
        assert!(seen.kill_switch);
        let open = [(names[0].to_owned(), 0.0), (names[1].to_owned(), 1.0)];
        assert_eq!(seen.open, BTreeMap::from(open));
        let fires: Vec<&str> = seen.firing.keys().map(|(_, trigger)| trigger.as_str()).collect();
        assert_eq!(
            fires,
            ["alert", "alert:critical-errors"],
            "bounded, whatever alerts are called"
        );

        let mut without = policy;
        without.services.remove(&shop);
        started.adopt(without);
        let after = Seen::of(&started, NOW).with_what_is_gone(&seen, &BTreeSet::new());
        assert_eq!(after.open[names[1]], 0.0);
        assert!(after.firing.len() == 2 && after.firing.values().all(|fires| *fires == 0.0));

        // Whoever has left was zero for ever, and there were always more of them.
        let mut gauges = Gauges::default();
        gauges.follow(seen.clone());
        for _ in 0..ZEROES {
            gauges.follow(Seen::of(&started, NOW));
            assert_eq!(gauges.seen.open.get(names[1]), Some(&0.0));
        }
        gauges.follow(Seen::of(&started, NOW));
        assert_eq!(gauges.seen, Seen::of(&started, NOW));
        assert!(gauges.gone.is_empty());
        gauges.follow(seen.clone());
        assert_eq!(gauges.seen.open[names[1]], 1.0, "it is back");
    }
}
