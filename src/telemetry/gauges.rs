//! Gauges of what is so now. They are read from the fleet, not kept up with its facts: after a restart, and for what is
//! gone, there is no fact.

use std::collections::BTreeMap;

use metrics::gauge;

use super::trigger_label;
use crate::domain::{event::Now, fleet::Fleet};

/// What is so at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    kill_switch: bool,
    /// By service.
    open: BTreeMap<String, f64>,
    /// By service and trigger; only those that fire.
    firing: BTreeMap<(String, String), f64>,
    /// By service and signal, in seconds.
    ages: BTreeMap<(String, String), f64>,
}

impl Seen {
    /// Of the services that are configured.
    pub fn of(fleet: &Fleet, now: Now) -> Self {
        let mut seen = Self { kill_switch: fleet.kill_switch.is_some(), ..Self::default() };
        for (id, policy) in &fleet.policy.services {
            let state = fleet.states.get(id);
            let open = state.is_some_and(|state| state.incident.is_some());
            seen.open.insert(id.to_string(), f64::from(u8::from(open)));
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

    /// Those that were set and are gone stand at zero.
    fn with_what_is_gone(mut self, before: &Self) -> Self {
        fn zero<K: Clone + Ord>(now: &mut BTreeMap<K, f64>, before: &BTreeMap<K, f64>) {
            for key in before.keys() {
                now.entry(key.clone()).or_insert(0.0);
            }
        }
        zero(&mut self.open, &before.open);
        zero(&mut self.firing, &before.firing);
        zero(&mut self.ages, &before.ages);
        self
    }
}

/// Those that were set.
#[derive(Debug, Default)]
pub struct Gauges(Seen);

impl Gauges {
    /// Sets them all.
    pub fn set(&mut self, seen: Seen) {
        self.0 = seen.with_what_is_gone(&self.0);
        gauge!("rollbackd_kill_switch").set(f64::from(u8::from(self.0.kill_switch)));
        for (service, open) in &self.0.open {
            gauge!("rollbackd_incident_open", "service" => service.clone()).set(*open);
        }
        for ((service, trigger), fires) in &self.0.firing {
            gauge!("rollbackd_trigger_firing", "service" => service.clone(), "trigger" => trigger.clone())
                .set(*fires);
        }
        for ((service, signal), age) in &self.0.ages {
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
        let after = Seen::of(&started, NOW).with_what_is_gone(&seen);
        assert_eq!(after.open[names[1]], 0.0);
        assert!(after.firing.len() == 2 && after.firing.values().all(|fires| *fires == 0.0));
    }
}
