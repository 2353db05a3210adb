//! What a trigger stands on and waits for, in one sentence each: for notices, `explain` and the report.

use crate::{
    domain::{
        baseline::{Baseline, Period},
        trigger::{Compared, Evidence, FiredBy, Unit, Wait},
    },
    units::{Multiple, Percent, UnixMs},
};

/// A number in its unit, for people.
pub fn number(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Share => format!("{}", Percent((value * 10_000.0).round() / 10_000.0)),
        Unit::Seconds if value < 1.0 => format!("{:.0} ms", value * 1000.0),
        Unit::Seconds => format!("{value:.2} s"),
        Unit::PerMinute => format!("{value:.0} requests a minute"),
        Unit::Down => if value > 0.0 { "down" } else { "up" }.to_owned(),
        Unit::Plain => format!("{value:.2}"),
    }
}

/// What response times are compared with: learned before `at`; above `slow_s`, where requests are counted by it, one is slow.
pub fn normal(normal: &Baseline, at: UnixMs, slow_s: Option<f64>) -> String {
    let seconds = |value| number(value, Unit::Seconds);
    let Baseline { p95, median, samples, over } = normal;
    let floor = if p95 > median {
        format!(", for {} is too little to count with", seconds(*median))
    } else {
        String::new()
    };
    let over = match over {
        Period::Hour => format!("{samples} values of the hour before {}", at.clock()),
        Period::Week => format!("{samples} values of the week before {}", at.clock()),
    };
    let slow = slow_s.map_or_else(String::new, |slow| format!("; slow is above {}", seconds(slow)));
    format!("normal is a p95 of {}{floor} ({over}){slow}", seconds(*p95))
}

/// What comparing two revisions has shown.
pub fn compared(c: &Compared) -> String {
    let Compared { new, old, margin, counted, .. } = c;
    let times = if *margin == Multiple(2.0) {
        "twice".to_owned()
    } else {
        format!("{} times", margin.to_string().trim_end_matches('x'))
    };
    let of = |bad, total| format!("{} of {}", grouped(bad), grouped(total));
    let news = of(counted.new_bad, counted.new_total);
    let olds = of(counted.old_bad, counted.old_total);
    if c.ln_e < std::f64::consts::LN_2 {
        return format!(
            "nothing says that {new} fails more than {times} as often as {old}: {news} against {olds}"
        );
    }
    let chance = chance(c.ln_e);
    if c.ln_e < c.needed {
        return format!(
            "{new} may fail more than {times} as often as {old}: {news} against {olds}; by chance at most {chance}"
        );
    }
    let floor = match (c.above, c.is_above()) {
        (Percent(0.0), _) => String::new(),
        (above, true) => format!(", and surely above {above}"),
        (above, false) => format!(", but not surely above {above}"),
    };
    let surely = number(c.surely(), Unit::Share);
    format!(
        "{new} fails more than {times} as often as {old}{floor}: {news} (at least {surely}) against {olds}; by chance at most {chance}"
    )
}

/// How often so much evidence comes about by chance, rounded so that it is never said to be rarer.
fn chance(ln_e: f64) -> String {
    let times = ln_e.exp();
    if times >= 1e6 {
        return "once in a million".to_owned();
    }
    // To two digits: more of them mean nothing.
    let digit = 10_f64.powf((times.log10().floor() - 1.0).max(0.0));
    // A thousand, as its logarithm was rounded, is a thousand.
    format!("once in {}", grouped(((times * 1.001 / digit).floor() * digit).max(1.0) as u64))
}

/// 1234567 as 1,234,567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let places = digits.len();
    let mut text = String::with_capacity(places + places / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (places - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What a trigger stands on.
pub fn evidence(e: &Evidence) -> String {
    if let Some(both) = &e.compared {
        return compared(both);
    }
    let since = e.onset.map_or_else(String::new, |at| format!(" since {}", at.clock()));
    let above = |text: &str| match e.threshold {
        Some(limit) if e.unit == Unit::PerMinute => {
            format!("{text}, at least {} are usual", number(limit, e.unit))
        }
        Some(limit) => format!("{text}, limit {}", number(limit, e.unit)),
        None => text.to_owned(),
    };
    match (e.unit, e.estimate, e.value) {
        (Unit::Share, Some(estimate), _) => {
            let bound = e
                .lower_bound
                .map_or_else(String::new, |b| format!(" (at least {})", number(b, Unit::Share)));
            let again =
                if e.fired_by == Some(FiredBy::Recurrent) { ", again and again" } else { "" };
            above(&format!(
                "{} of {} requests, {}{bound}{since}{again}",
                e.bad,
                e.total,
                number(estimate, Unit::Share)
            ))
        }
        (Unit::Down, _, Some(value)) => format!("{}{since}", number(value, Unit::Down)),
        (Unit::Share | Unit::Seconds | Unit::PerMinute | Unit::Plain, _, Some(value)) => {
            above(&format!("{}{since}", number(value, e.unit)))
        }
        (_, _, None) => "no value".to_owned(),
    }
}

/// What keeps a trigger from firing, or from being resolved.
pub fn wait(wait: &Wait, unit: Unit) -> String {
    match wait {
        Wait::Data => "any data".into(),
        Wait::Baseline => "a baseline to compare with".into(),
        Wait::Breach { value, threshold } => match (value, threshold) {
            (Some(value), Some(limit)) => {
                let (value, limit) = (number(*value, unit), number(*limit, unit));
                match unit {
                    Unit::PerMinute => format!("a breach: {value} are more than {limit}"),
                    Unit::Share | Unit::Seconds | Unit::Down | Unit::Plain => {
                        format!("a breach: {value} is within {limit}")
                    }
                }
            }
            (Some(value), None) => format!("a breach: it is {}", number(*value, unit)),
            (None, _) => "a breach".into(),
        },
        Wait::Traffic => "requests: the newest interval had none".into(),
        Wait::Hold { remaining } => format!("{} more of it", remaining.to_read()),
        Wait::Share { share, needed } => {
            format!(
                "a breach in {needed} of the time; so far it is {}",
                number(share.0, Unit::Share)
            )
        }
        Wait::Samples { seen, needed } => format!("{needed} breaching samples; so far {seen}"),
        Wait::Errors { seen, needed } => format!("{needed} errors; so far {seen}"),
        Wait::ErrorsApart { span, needed } => {
            format!("errors over {needed}; so far they lie within {}", span.to_read())
        }
        Wait::Bound { lower_bound, threshold } => format!(
            "more evidence: surely only more than {}, the limit is {}",
            number(*lower_bound, Unit::Share),
            number(*threshold, Unit::Share)
        ),
        Wait::Recovery { remaining } => {
            format!("{} more of clean time to be resolved", remaining.to_read())
        }
        Wait::Both => {
            "the newest change's revision and another one to answer at once, told apart".into()
        }
        Wait::Proof { ln_e, needed } => format!(
            "more evidence: so much comes about by chance {}, asked for is {}",
            chance(*ln_e),
            chance(*needed)
        ),
        Wait::Release => "a person to release it".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_normal_is_told_with_the_floor_only_where_it_lies_below() {
        let told = |p95, median| {
            let learned = Baseline { p95, median, samples: 60, over: Period::Hour };
            normal(&learned, UnixMs(0), None)
        };
        assert!(told(0.05, 0.002).contains("2 ms is too little to count with"));
        assert!(!told(0.2, 0.2).contains("too little"));
    }

    #[test]
    fn what_a_comparison_stands_on_is_told_with_how_bad_it_surely_is() {
        let fact = |above: &str, bad: u64| {
            let text = format!(
                "{{\"new\":\"v2\",\"old\":\"v1\",\"counted\":{{\"new_total\":100,\"new_bad\":{bad},\"old_total\":900,\
                 \"old_bad\":0}},\"ln_e\":8.0,\"needed\":6.908,\"margin\":\"2x\"{above},\"both\":true}}"
            );
            compared(&serde_json::from_str(&text).expect("a fact"))
        };
        let bad = fact(",\"above\":\"5%\"", 30);
        insta::assert_snapshot!(bad, @"v2 fails more than twice as often as v1, and surely above 5%: 30 of 100 (at least 20.58%) against 0 of 900; by chance at most once in 2,900");
        let mild = fact(",\"above\":\"5%\"", 6);
        insta::assert_snapshot!(mild, @"v2 fails more than twice as often as v1, but not surely above 5%: 6 of 100 (at least 2.42%) against 0 of 900; by chance at most once in 2,900");
        let of_before = fact("", 6);
        insta::assert_snapshot!(of_before, @"v2 fails more than twice as often as v1: 6 of 100 (at least 2.42%) against 0 of 900; by chance at most once in 2,900");
    }
}
