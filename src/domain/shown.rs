//! Numbers and waiting in words: the same for the explanation, the report and the terminal.

use super::{
    situation::whole_seconds,
    trigger::{Evidence, State, Unit, Wait},
};
use crate::units::Percent;

/// A trigger's state in a word or two.
pub fn state(state: State) -> &'static str {
    match state {
        State::NoData => "no data",
        State::Ok => "ok",
        State::Pending => "pending",
        State::Firing => "firing",
        State::Recovering => "recovering",
    }
}

/// A value in its unit.
pub fn value(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Share => format!("{:.2}%", value * 100.0),
        Unit::Seconds if value < 1.0 => format!("{:.0} ms", value * 1000.0),
        Unit::Seconds => format!("{value:.2} s"),
        Unit::PerMinute => format!("{value:.0} a minute"),
        Unit::Down => (if value > 0.0 { "down" } else { "up" }).to_owned(),
        Unit::Plain => format!("{value:.2}"),
    }
}

/// What a trigger sees, in one sentence with the numbers.
pub fn evidence(seen: &Evidence) -> String {
    let unit = seen.unit;
    let mut parts = vec![];
    match (seen.value, seen.threshold) {
        (Some(now), Some(limit)) => {
            parts.push(format!("{} (limit {})", value(now, unit), value(limit, unit)));
        }
        (Some(now), None) => parts.push(value(now, unit)),
        (None, Some(limit)) => parts.push(format!("nothing known (limit {})", value(limit, unit))),
        (None, None) => parts.push("nothing known".to_owned()),
    }
    if let Some(bucket) = seen.bucket {
        let (bad, total) = (bucket.bad, bucket.total);
        parts.push(format!("{bad} of {total} requests in {}", bucket.width));
    }
    if let (Some(_), Some(held)) = (seen.onset, seen.held()) {
        let share = rounded(seen.breach_share);
        parts.push(format!("in breach for {} ({share} of it)", whole_seconds(held)));
    }
    if let (Some(bound), Some(estimate)) = (seen.lower_bound, seen.estimate) {
        let (bad, total) = (seen.bad, seen.total);
        let (estimate, bound) = (value(estimate, unit), value(bound, unit));
        parts.push(format!("{bad} of {total} since then, {estimate}, surely above {bound}"));
    }
    parts.join("; ")
}

/// One thing that is waited for, as the rest of "it waits for ...".
pub fn wait(wait: &Wait, unit: Unit) -> String {
    let shown = |number: &Option<f64>| number.map_or("unknown".to_owned(), |n| value(n, unit));
    match wait {
        Wait::Data => "data".to_owned(),
        Wait::Baseline => "a baseline to compare with".to_owned(),
        Wait::Breach { value, threshold: None } => {
            format!("a breach: it is {}", shown(value))
        }
        Wait::Breach { value, threshold } if unit == Unit::PerMinute => {
            format!("a value below {}: it is {}", shown(threshold), shown(value))
        }
        Wait::Breach { value, threshold } => {
            format!("a value above {}: it is {}", shown(threshold), shown(value))
        }
        Wait::Traffic => "requests: the newest interval had none".to_owned(),
        Wait::Hold { remaining } => {
            format!("the breach to hold {} longer", whole_seconds(*remaining))
        }
        Wait::Share { share, needed } => {
            format!("{needed} of the time in breach: it was {}", rounded(*share))
        }
        Wait::Samples { seen, needed } => format!("{needed} breaching samples: it has {seen}"),
        Wait::Errors { seen, needed } => format!("{needed} errors: it has {seen}"),
        Wait::ErrorsApart { span, needed } => format!(
            "errors spread over {}: they lie within {}",
            whole_seconds(*needed),
            whole_seconds(*span)
        ),
        Wait::Bound { lower_bound, threshold } => format!(
            "more certainty: the rate is surely above {}, which must exceed {}",
            value(*lower_bound, unit),
            value(*threshold, unit)
        ),
        Wait::Recovery { remaining } => {
            format!("{} more of clean time", whole_seconds(*remaining))
        }
        Wait::Release => "a person to say that it is dealt with".to_owned(),
    }
}

fn rounded(share: Percent) -> Percent {
    Percent((share.0 * 1000.0).round() / 1000.0)
}

/// Values as a line of blocks, from zero to the highest or `limit`; a gap where nothing was known.
pub fn sparkline(values: &[Option<f32>], limit: Option<f64>) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let known = values.iter().flatten().copied().filter(|v| v.is_finite());
    let top = known.fold(limit.unwrap_or(0.0) as f32, f32::max);
    let block = |value: &Option<f32>| match value {
        Some(v) if v.is_finite() && top > 0.0 => {
            let step = (v.max(0.0) / top * 7.0).round() as usize;
            BLOCKS[step.min(7)]
        }
        Some(v) if v.is_finite() => BLOCKS[0],
        Some(_) | None => '·',
    };
    values.iter().map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Span;

    #[test]
    fn a_sparkline_starts_at_zero_and_shows_gaps() {
        let values = [Some(0.0), Some(0.05), None, Some(0.1), Some(f32::INFINITY)];
        assert_eq!(sparkline(&values, None), "▁▅·█·");
        assert_eq!(sparkline(&values, Some(0.2)), "▁▃·▅·");
        assert_eq!(sparkline(&[Some(0.0)], None), "▁");
    }

    #[test]
    fn what_is_waited_for_reads_as_a_sentence() {
        let says = |w: Wait, unit| wait(&w, unit);
        assert_eq!(
            says(Wait::Breach { value: Some(0.012), threshold: Some(0.05) }, Unit::Share),
            "a value above 5.00%: it is 1.20%"
        );
        assert_eq!(
            says(Wait::Hold { remaining: Span(61_500) }, Unit::Share),
            "the breach to hold 1m 1s longer"
        );
        assert_eq!(
            says(Wait::Breach { value: Some(4.0), threshold: Some(20.0) }, Unit::PerMinute),
            "a value below 20 a minute: it is 4 a minute"
        );
        assert_eq!(
            says(Wait::Breach { value: Some(0.0), threshold: None }, Unit::Down),
            "a breach: it is up"
        );
    }
}
