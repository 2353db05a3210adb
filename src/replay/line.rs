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
    let within = |track: &Track| values(tape, track, looks_at, (from, until));
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

/// What a track says of what is looked at, poll by poll. Where revisions are compared: of the newest deployment's.
fn values(
    tape: &Tape,
    track: &Track,
    looks_at: LooksAt,
    (from, until): (UnixMs, UnixMs),
) -> Vec<(UnixMs, Option<f64>)> {
    let newest = |at: UnixMs| {
        let deployed = tape.deployments.iter().rev().find(|deployed| deployed.at <= at);
        deployed.map(|deployed| deployed.version.as_str())
    };
    let mut judged = None;
    let mut player = track.player_from(from);
    let mut before: Option<(UnixMs, f64, f64)> = None;
    let (mut all, mut readings) = (vec![], vec![]);
    while let Some(at) = player.at().filter(|at| *at <= until) {
        player.read(&mut readings);
        if looks_at == LooksAt::NewAgainstOld {
            let new = newest(at);
            if new != judged {
                before = None;
                judged = new;
            }
            readings.retain(|reading| is_of(reading, new));
        }
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

fn is_of(reading: &Raw, new: Option<&str>) -> bool {
    match reading {
        Raw::Counter { revision, .. } => Some(revision.as_str()) == new,
        Raw::Histogram { .. }
        | Raw::Gauge { .. }
        | Raw::Up { .. }
        | Raw::Down { .. }
        | Raw::Unknown { .. } => false,
    }
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
    use crate::{
        domain::service::ServiceId,
        replay::tape::{Counts, Deployment},
        units::Span,
    };

    /// A canary with a tenth of the requests, of which half fail; a minute after the beginning it is deployed.
    #[test]
    fn where_revisions_are_compared_the_newest_ones_own_share_is_drawn() {
        let minute = |index: i64| UnixMs(0) + Span::minutes(index);
        let counter = |revision: &str, at, (bad, total): (f64, f64)| Raw::Counter {
            series: revision.to_owned(),
            revision: revision.to_owned(),
            at,
            bad: Some(bad),
            total: Some(total),
            started: None,
        };
        let poll = |index: i64| {
            let (at, many) = (minute(index), index as f64);
            let mut readings = vec![counter("v1", at, (0.0, many * 90.0))];
            if index > 1 {
                readings.push(counter("v2", at, (many * 5.0, many * 10.0)));
            }
            (at, readings)
        };
        let deployed = |at, version: &str| Deployment { at, version: version.to_owned() };
        let tape = Tape {
            service: "shop/production".parse().unwrap(),
            tracks: vec![("errors".to_owned(), Track::Polls((0..5).map(poll).collect()))],
            deployments: vec![deployed(minute(0), "v1"), deployed(minute(1), "v2")],
        };
        let drawn = line(&tape, LooksAt::NewAgainstOld, (minute(0), minute(4)), 4);
        assert_eq!(drawn, [None, None, Some(0.5), Some(0.5)]);
        let all = line(&tape, LooksAt::ErrorRate, (minute(3), minute(4)), 4);
        assert_eq!(all, [Some(0.05)]);
    }

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
