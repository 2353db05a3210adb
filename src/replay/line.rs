//! A signal as a line: what a chart, and a row of blocks, show of a tape.

use super::tape::{Tape, Track};
use crate::{
    domain::{policy::LooksAt, watch::Raw},
    units::UnixMs,
};

/// What a trigger looked at between two times, in equal stretches, at most `most` and no more than there are polls: of each
/// the worst, `None` where nothing was known.
pub(super) fn line(
    tape: &Tape,
    looks_at: LooksAt,
    (from, until): (UnixMs, UnixMs),
    most: usize,
) -> Vec<Option<f64>> {
    let within = |track: &Track| values(track, looks_at, (from, until));
    let tracks: Vec<_> = tape.tracks.iter().map(|(_, track)| within(track)).collect();
    let told = tracks.iter().filter(|polls| polls.iter().any(|(_, value)| value.is_some()));
    let Some(polls) = told.max_by_key(|polls| polls.len()) else { return vec![] };
    let places = polls.len().min(most);
    let long = until.since(from).ms().max(1);
    let mut all: Vec<Option<f64>> = vec![None; places];
    for (at, value) in polls {
        let passed = (at.since(from).ms() - 1).max(0);
        let place = usize::try_from(passed * places as i64 / long).unwrap_or(usize::MAX);
        if let (Some(worst), Some(value)) = (all.get_mut(place), *value) {
            *worst = Some(worst.map_or(value, |known| worse(looks_at, known, value)));
        }
    }
    all
}

fn worse(looks_at: LooksAt, one: f64, other: f64) -> f64 {
    match looks_at {
        LooksAt::Traffic => one.min(other),
        LooksAt::ErrorRate
        | LooksAt::NewAgainstOld
        | LooksAt::SlowShare(_)
        | LooksAt::LatencyP95
        | LooksAt::Health
        | LooksAt::Availability
        | LooksAt::Event => one.max(other),
    }
}

/// What a track says of what is looked at, poll by poll.
fn values(
    track: &Track,
    looks_at: LooksAt,
    (from, until): (UnixMs, UnixMs),
) -> Vec<(UnixMs, Option<f64>)> {
    let mut player = track.player_from(from);
    let mut before: Option<(UnixMs, f64, f64)> = None;
    let (mut all, mut readings) = (vec![], vec![]);
    while let Some(at) = player.at().filter(|at| *at <= until) {
        player.read(&mut readings);
        let known = match looks_at {
            LooksAt::ErrorRate | LooksAt::NewAgainstOld | LooksAt::Traffic => counted(&readings)
                .and_then(|(bad, total)| {
                    let (then, b, t) = before.replace((at, bad, total))?;
                    let (bad, total) = (bad - b, total - t);
                    let minutes = at.since(then).as_seconds() / 60.0;
                    if looks_at == LooksAt::Traffic {
                        return (total >= 0.0 && minutes > 0.0).then(|| total / minutes);
                    }
                    (total > 0.0 && bad >= 0.0).then(|| bad / total)
                }),
            LooksAt::SlowShare(_) | LooksAt::LatencyP95 => readings.iter().find_map(seconds),
            LooksAt::Health | LooksAt::Availability => readings.iter().find_map(down),
            LooksAt::Event => None,
        };
        if at > from {
            all.push((at, known));
        }
    }
    all
}

/// Bad requests and all, over all series of one poll.
fn counted(readings: &[Raw]) -> Option<(f64, f64)> {
    let counts = readings.iter().filter_map(|reading| match reading {
        Raw::Counter { bad, total, .. } => Some((bad.unwrap_or(0.0), (*total)?)),
        Raw::Histogram { .. }
        | Raw::Gauge { .. }
        | Raw::Up { .. }
        | Raw::Down { .. }
        | Raw::Unknown { .. } => None,
    });
    counts.reduce(|(b, t), (bad, total)| (b + bad, t + total))
}

fn seconds(reading: &Raw) -> Option<f64> {
    match reading {
        Raw::Gauge { value, .. } => value.is_finite().then_some(*value),
        Raw::Counter { .. }
        | Raw::Histogram { .. }
        | Raw::Up { .. }
        | Raw::Down { .. }
        | Raw::Unknown { .. } => None,
    }
}

fn down(reading: &Raw) -> Option<f64> {
    match reading {
        Raw::Up { .. } => Some(0.0),
        Raw::Down { .. } => Some(1.0),
        Raw::Counter { .. } | Raw::Histogram { .. } | Raw::Gauge { .. } | Raw::Unknown { .. } => {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::service::ServiceId, replay::tape::Counts, units::Span};

    /// Only what is drawn is read, and a month is not read through for each incident.
    #[test]
    fn what_is_drawn_begins_with_the_last_counts_before_it() {
        let counts = |minute: u32| (minute % 7 != 3 && minute != 50).then_some((minute, 100));
        let (from, step) = (UnixMs(0), Span::minutes(1));
        let track = Track::Counts(Counts { from, step, each: (0..90).map(counts).collect() });
        let service: ServiceId = "shop/replay".parse().unwrap();
        let tape =
            Tape { service, tracks: vec![("error_rate".into(), track)], deployments: vec![] };
        let minute = |minute: i64| UnixMs(minute * 60_000);
        let drawn = |from, until| {
            line(&tape, LooksAt::ErrorRate, (minute(from), minute(until)), usize::MAX)
        };
        let whole = drawn(-1, 90);
        for from in 0..80 {
            let skipped = usize::try_from(from).unwrap() + 1;
            assert_eq!(drawn(from, 90), whole[skipped..], "from {from}");
        }
        assert_eq!(drawn(51, 52), [Some(0.51)], "nothing was counted in the minute before");
    }
}
