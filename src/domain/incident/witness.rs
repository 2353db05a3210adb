//! Whether anybody but a probe sees an outage: a probe that is not answered may be our own network.
//!
//! A witness must have seen it: since it began, freshly, and as an outage. Some errors while probes fail contradict
//! one rather than confirm it.

use crate::{
    domain::{
        firing::{Basis, Firing},
        guard::{Guard, Verdict},
        policy::LooksAt,
        situation::{Holds, Situation},
        trigger::{Kind, State, Trigger},
        watch::says,
    },
    units::{Span, UnixMs},
};

/// How much sooner than the probes a witness may see the outage begin: intervals and clocks differ.
const EARLY: Span = Span::minutes(1);
/// The share of requests that fails in an outage.
const MOST: f64 = 0.5;

/// What the guard says of an outage that `lead` stands for.
pub(super) fn one_witness(s: &Situation<'_>, lead: Option<&Firing>) -> Verdict {
    let guard = Guard::OneWitness;
    let seen_by_probe = |f: &&Firing| f.basis == Basis::Window && looks_at_probes(s, &f.trigger);
    let Some(lead) = lead.filter(seen_by_probe) else {
        return Verdict::not_applicable(guard, "the evidence is not a probe's");
    };
    let witness = s
        .watch
        .platform_or_service_says_so(lead.onset)
        .or_else(|| traffic(s, lead.onset))
        .or_else(|| alert(s, lead.onset));
    match witness {
        Some(witness) => Verdict::pass(guard, witness),
        None => Verdict::refuse(
            guard,
            format!("{} is seen by probes alone, which could be our own network", lead.trigger),
        ),
    }
}

fn looks_at_probes(s: &Situation<'_>, trigger: &str) -> bool {
    matches!(s.looks_at(trigger), Some(LooksAt::Health | LooksAt::Availability))
}

/// Most requests fail, or they have stopped coming.
fn traffic(s: &Situation<'_>, since: UnixMs) -> Option<String> {
    let (key, trigger) = s.watch.triggers().find_map(|(key, _, trigger)| {
        let began = trigger.evidence().onset.is_some_and(|at| at >= since - EARLY);
        let fresh = s.evidence_freshness(key).is_ok()
            && s.watch.newest_judged(key).is_some_and(|(_, at)| at > since);
        (began && fresh && is_outage(s, key, trigger)).then_some((key, trigger))
    })?;
    Some(format!("traffic confirms it: {key}, {}", says::evidence(&trigger.evidence())))
}

fn is_outage(s: &Situation<'_>, key: &str, trigger: &Trigger) -> bool {
    let errors = s.looks_at(key) == Some(LooksAt::ErrorRate);
    match (&trigger.rule().kind, trigger.state()) {
        (Kind::Ratio(_), State::Pending | State::Firing) if errors => {
            trigger.evidence().estimate.is_some_and(|share| share >= MOST)
        }
        (Kind::Traffic(_), State::Firing) => true,
        (
            Kind::Ratio(_)
            | Kind::Traffic(_)
            | Kind::Gauge(_)
            | Kind::Boolean
            | Kind::Event { .. }
            | Kind::Comparison(_),
            State::NoData | State::Ok | State::Pending | State::Firing | State::Recovering,
        ) => false,
    }
}

/// Somebody else's probes: an alert that stands for such a trigger, began with it, and is there still.
fn alert(s: &Situation<'_>, since: UnixMs) -> Option<String> {
    let confirms = |f: &&Firing| {
        matches!(&f.basis, Basis::Alert { trigger: Some(name), .. } if looks_at_probes(s, name))
            && f.onset >= since - EARLY
            && s.still_holds_firing(f) == Holds::Yes
    };
    let alert = s.state.firing.values().find(confirms)?;
    Some(format!("{} confirms it: {}", alert.trigger, alert.says))
}
