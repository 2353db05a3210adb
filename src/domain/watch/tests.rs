//! What a watch takes over from its policy, and whom it hears.

use super::*;
use crate::domain::{examples, policy::SignalPolicy, service::Mode};

/// A guard that asks by another name than the trigger fires by judges nothing.
#[test]
fn a_firing_is_known_by_its_trigger_whatever_it_goes_by() {
    for key in ["outage", "outage@edge", "alert:outage", "alert:outage#0a1b", "alert:outage@edge"] {
        assert_eq!(own_name(key), "outage", "{key}");
    }
}

/// They belong to the verification: a trigger over them would go by another name, and never see a sample.
#[test]
fn no_trigger_looks_at_what_only_a_verification_does() {
    let mut policy = examples::service("shop/production", Mode::Auto);
    let mut signals = (*policy.signals).clone();
    for kind in [SignalKind::Cpu, SignalKind::Memory, SignalKind::Logs] {
        let signal = SignalPolicy { kind, ..signals["error_rate"].clone() };
        signals.insert(format!("{kind:?}"), signal);
    }
    policy.signals = signals.into();
    let watch = ServiceWatch::new(&policy);
    let over: Vec<(&str, &str)> = watch.triggers().map(|(key, over, _)| (key, over)).collect();
    assert_eq!(over, [("critical-errors", "error_rate")]);
}

#[test]
fn silence_is_as_long_as_the_slowest_signal_may_be_late() {
    let mut policy = examples::service("shop/production", Mode::Auto);
    let mut signals = (*policy.signals).clone();
    let slow = signals.values_mut().next().unwrap();
    (slow.poll_every, slow.lag) = (Span::minutes(5), Span::minutes(2));
    policy.signals = signals.into();
    let mut watch = ServiceWatch::new(&policy);
    let patience = Span::minutes(7) * i64::from(policy.guards.freshness_polls);
    let at = UnixMs(5_000_000);
    for (after, goes_on) in [(Span::ZERO, true), (Span(1), false)] {
        (watch.heard_at, watch.healthy_since) = (Some(at), Some(at));
        let steady = at + patience + after;
        watch.note_gap(Now { wall: steady, steady });
        assert_eq!(watch.healthy_since.is_some(), goes_on);
    }
}

#[test]
fn who_was_not_asked_yet_is_undecided() {
    let mut watch = ServiceWatch::new(&examples::service("shop/production", Mode::Auto));
    let mut undecided = |unasked| {
        watch.signals.values_mut().for_each(|signal| signal.unasked = unasked);
        watch.is_undecided()
    };
    assert_eq!([undecided(0), undecided(1)], [false, true]);
}

#[test]
fn the_platform_and_the_service_itself_are_heard_when_they_spoke_since() {
    let mut watch = ServiceWatch::new(&examples::service("shop/production", Mode::Auto));
    let (before, since) = (UnixMs(1_000), UnixMs(2_000));
    let says = |watch: &ServiceWatch| watch.platform_or_service_says_so(since);
    assert_eq!(says(&watch), None);
    for (at, heard) in [(before, false), (since, true)] {
        watch.signals.values_mut().for_each(|signal| signal.refused_at = Some(at));
        assert_eq!(says(&watch).is_some(), heard);
    }
    watch.signals.values_mut().for_each(|signal| signal.refused_at = None);
    let running = Serving::NotRunning("no pod is ready".into());
    watch.inventory = Some(Inventory { running, ..examples::inventory("v1", &[], before) });
    for (at, heard) in [(before, false), (since, true)] {
        watch.looked_at = Some(at);
        assert_eq!(says(&watch).is_some_and(|why| why.contains("no pod is ready")), heard);
    }
}

#[test]
fn what_stands_behind_a_signal_is_told_for_that_signal() {
    let mut watch = ServiceWatch::new(&examples::service("shop/production", Mode::Auto));
    let name = watch.signals.keys().next().unwrap().clone();
    assert_eq!(watch.note_of(&name), None);
    watch.signals.get_mut(&name).unwrap().note = Some("a line".to_owned());
    assert_eq!((watch.note_of(&name), watch.note_of("another")), (Some("a line"), None));
}
