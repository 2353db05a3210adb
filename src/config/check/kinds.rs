//! Which triggers there are before anybody configured one: the runbook's table in the policy's terms.

use crate::{
    config::raw::Looks,
    domain::{
        policy::{LooksAt, SignalKind},
        severity::Severity,
        trigger::{
            Comparison, Kind, Limit, Rule, Unit,
            defaults::{self, Leads, SignalKind as Row},
        },
    },
    units::{Multiple, Percent, Span},
};

/// A trigger before anything was said about it.
#[derive(Clone, Debug)]
pub(super) struct Base {
    pub(super) name: String,
    pub(super) looks_at: LooksAt,
    pub(super) rule: Rule,
    pub(super) may_act: bool,
    /// Whether there is one where nothing was said.
    pub(super) enabled: bool,
}

/// The runbook's triggers. Latency is judged by the share of slow requests where a histogram tells it.
pub(super) fn runbook(histogram: bool) -> Vec<Base> {
    let mut bases: Vec<Base> = vec![];
    for row in defaults::all() {
        let for_histograms = row.signal == Row::SlowShare;
        let for_values = row.unless == Some(Row::SlowShare);
        if for_histograms && !histogram || for_values && histogram {
            continue;
        }
        let known = bases.iter().any(|base| base.name == row.name);
        bases.push(Base {
            // Alternatives over one signal need a name each, so that each can be changed.
            name: if known { second_name(row.name) } else { row.name }.to_owned(),
            looks_at: looks_at(row.signal, &row.rule),
            rule: Rule::clone(&row.rule),
            may_act: row.leads != Leads::People,
            enabled: true,
        });
    }
    bases.push(worse_than_old());
    bases
}

/// Beside the runbook's: it needs no hold, and so has to be tried on a service before it is trusted there.
fn worse_than_old() -> Base {
    Base {
        name: "worse-than-old".to_owned(),
        looks_at: LooksAt::NewAgainstOld,
        rule: Rule::comparison(Severity::P1, Comparison::default()),
        may_act: true,
        enabled: false,
    }
}

fn second_name(name: &str) -> &'static str {
    match name {
        "slow-responses" => "slower-than-usual",
        _ => "minor-slowness",
    }
}

fn looks_at(row: Row, rule: &Rule) -> LooksAt {
    match row {
        Row::Errors if matches!(rule.kind, Kind::Traffic(_)) => LooksAt::Traffic,
        Row::Errors => LooksAt::ErrorRate,
        Row::SlowShare => LooksAt::SlowShare(SLOWER_THAN),
        Row::Latency => LooksAt::LatencyP95,
        Row::Availability => LooksAt::Availability,
        Row::Health => LooksAt::Health,
        Row::Migration | Row::Integrity | Row::Security => LooksAt::Event,
    }
}

const SLOWER_THAN: Multiple = Multiple(3.0);

/// A trigger of the operator's own. It may not act on what is only posted, or on silence, unless that is said.
pub(super) fn own(name: &str, looks: Looks) -> Base {
    let (five, ten) = (Span::minutes(5), Span::minutes(10));
    let two_seconds = Limit::Absolute(2.0);
    let (looks_at, rule, may_act) = match looks {
        Looks::ErrorRate => {
            (LooksAt::ErrorRate, Rule::ratio(Severity::P2, Percent(0.05), five), true)
        }
        Looks::SlowShare => {
            let mut rule = Rule::ratio(Severity::P2, Percent(0.05), ten);
            rule.hold.samples = 3;
            (LooksAt::SlowShare(SLOWER_THAN), rule, true)
        }
        Looks::Latency => {
            let rule = Rule::gauge(Severity::P2, two_seconds, Unit::Seconds, ten);
            (LooksAt::LatencyP95, rule, true)
        }
        Looks::Traffic => {
            (LooksAt::Traffic, Rule::traffic(Severity::P2, Percent(0.1), five), false)
        }
        Looks::Health => {
            let rule = Rule::boolean(Severity::P2, Span::minutes(3), Span::seconds(30));
            (LooksAt::Health, rule, true)
        }
        Looks::Availability => {
            let rule = Rule::boolean(Severity::P2, Span::minutes(2), Span::seconds(15));
            (LooksAt::Availability, rule, true)
        }
        Looks::NewAgainstOld => {
            let rule = Rule::comparison(Severity::P2, Comparison::default());
            (LooksAt::NewAgainstOld, rule, true)
        }
        Looks::Event => (LooksAt::Event, Rule::event(Severity::P2, false), false),
    };
    Base { name: name.to_owned(), looks_at, rule, may_act, enabled: true }
}

/// The kind of signal that is looked at; none for what is posted.
pub(super) fn signal_of(looks_at: LooksAt) -> Option<SignalKind> {
    match looks_at {
        LooksAt::ErrorRate | LooksAt::Traffic | LooksAt::NewAgainstOld => {
            Some(SignalKind::ErrorRate)
        }
        LooksAt::SlowShare(_) | LooksAt::LatencyP95 => Some(SignalKind::Latency),
        LooksAt::Health | LooksAt::Availability => Some(SignalKind::Health),
        LooksAt::Event => None,
    }
}

/// The word for it in the file.
pub(super) fn word(looks_at: LooksAt) -> Looks {
    match looks_at {
        LooksAt::ErrorRate => Looks::ErrorRate,
        LooksAt::SlowShare(_) => Looks::SlowShare,
        LooksAt::LatencyP95 => Looks::Latency,
        LooksAt::Traffic => Looks::Traffic,
        LooksAt::Health => Looks::Health,
        LooksAt::Availability => Looks::Availability,
        LooksAt::NewAgainstOld => Looks::NewAgainstOld,
        LooksAt::Event => Looks::Event,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trigger_of_the_runbook_has_a_name_of_its_own() {
        let mut names: Vec<String> = runbook(true).into_iter().map(|base| base.name).collect();
        let values: Vec<String> = runbook(false).into_iter().map(|base| base.name).collect();
        assert_eq!(names, values);
        assert_eq!(names.len(), 14);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 14);
    }
}
