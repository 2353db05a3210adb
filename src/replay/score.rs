//! Stories against labels: how much was found, how soon, and how often in vain.

use serde::Serialize;

use super::{
    drive::play,
    labelled::{Expect, Label, Labelled},
    story::{Fired, Story},
    tape::{Deployment, Tape},
};
use crate::{
    domain::{
        policy::{FleetPolicy, Response, ServicePolicy},
        severity::Severity,
    },
    units::{Span, UnixMs},
};

/// A deployment is made up for each of these, so that the guards have something to judge by.
const PRETENDED_EVERY: Span = Span::hours(1);
/// What fires so long after a fault has ended was still found.
const STILL_FOUND: Span = Span::minutes(5);
const WEEK_S: f64 = 7.0 * 24.0 * 3600.0;

/// What became of one labelled series.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scored {
    /// Its name in the file.
    pub id: String,
    /// What it was, in a word: detected, missed, late, false, quiet.
    pub outcome: &'static str,
    /// From the beginning of the fault to when it fired, beyond what the rule asks for at least.
    pub delay_s: Option<i64>,
    /// What fired first of what is acted upon.
    pub fired: Option<Fired>,
    /// How bad it should be, and was at worst.
    pub severity: (Option<Severity>, Option<Severity>),
}

/// How good a policy is on labelled series.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Score {
    /// Faults that should be rolled back.
    pub faults: usize,
    /// Of these, found.
    pub detected: usize,
    /// Of these, not found.
    pub missed: usize,
    /// Series that should not be acted upon.
    pub others: usize,
    /// Of these, acted upon; and faults acted upon before they began.
    #[serde(rename = "false")]
    pub falsely: usize,
    /// From the beginning of a fault to its detection, beyond the rule's own minimum.
    pub median_delay_s: Option<i64>,
    /// The same, of nine in ten.
    pub p90_delay_s: Option<i64>,
    /// Series rated as worse than they are.
    pub over_rated: usize,
    /// Series rated as less bad than they are.
    pub under_rated: usize,
    /// Recorded time of services without a fault, in weeks.
    pub service_weeks: f64,
    /// Of well-behaved services: how often a week something fires that is acted upon, if every guard agreed.
    pub false_per_week: Option<f64>,
    /// Of all services without a fault, where something is deployed every hour: how often a week it would be rolled back.
    pub false_per_week_guarded: Option<f64>,
    /// Of services that always fail: how often a week something fires that is acted upon.
    pub pathological_per_week: Option<f64>,
    /// The same, where something is deployed every hour, and guards refuse.
    pub pathological_per_week_guarded: Option<f64>,
    /// Series whose label says neither fault nor health; they are not scored.
    pub unlabelled: Vec<String>,
    /// Each labelled fault.
    pub series: Vec<Scored>,
}

/// What one labelled series tells about a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    id: String,
    told: Told,
}

#[derive(Clone, Debug, PartialEq)]
enum Told {
    Unlabelled,
    /// Scored, unless it stands among series without a fault.
    Fault {
        wanted: bool,
        scored: Option<Scored>,
    },
    Healthy {
        well_behaved: bool,
        weeks: f64,
        fired: usize,
        rolled_back: usize,
    },
}

/// Replays one labelled series alone: they were not recorded at one time. `None` where nothing was recorded of it.
pub fn judge(
    mut labelled: Labelled,
    policy: &ServicePolicy,
    fleet: &FleetPolicy,
) -> Option<Judged> {
    let told = match labelled.label {
        Label::Unlabelled => Told::Unlabelled,
        Label::Fault { expect, .. } => {
            let story = play(&labelled.tape, policy, *fleet)?;
            let scored = scored(&labelled, &story, policy);
            Told::Fault { wanted: expect == Expect::Rollback, scored }
        }
        Label::Healthy { well_behaved } => {
            let story = play(&labelled.tape, policy, *fleet)?;
            let (weeks, fired) =
                (story.span().as_seconds() / WEEK_S, acting(&story, policy).count());
            deploy_every_hour(&mut labelled.tape);
            let story = play(&labelled.tape, policy, *fleet)?;
            let rolled_back = story.incidents.iter().filter(|i| i.rollback().is_some()).count();
            Told::Healthy { well_behaved, weeks, fired, rolled_back }
        }
    };
    Some(Judged { id: labelled.id, told })
}

/// How well the series were judged.
pub fn score(faults: Vec<Judged>, healthy: Vec<Judged>) -> Score {
    let mut score = Score::default();
    let mut delays = vec![];
    let all = || faults.iter().chain(&healthy);
    let unlabelled = all().filter(|judged| judged.told == Told::Unlabelled);
    score.unlabelled = unlabelled.map(|judged| judged.id.clone()).collect();
    in_vain(&mut score, all());
    for judged in faults {
        let Told::Fault { wanted, scored: Some(one) } = judged.told else { continue };
        if wanted {
            score.faults += 1;
        } else {
            score.others += 1;
        }
        score.detected += usize::from(one.outcome == "detected");
        score.missed += usize::from(one.outcome == "missed");
        score.falsely += usize::from(one.outcome == "false");
        let (expected, worst) = one.severity;
        score.over_rated += usize::from(rank(worst) < rank(expected));
        score.under_rated += usize::from(rank(worst) > rank(expected));
        delays.extend(one.delay_s);
        score.series.push(one);
    }
    delays.sort_unstable();
    score.median_delay_s = share_of(&delays, 50);
    score.p90_delay_s = share_of(&delays, 90);
    score
}

/// Healthy services: what fires by itself, and what would be rolled back where something is deployed all the time.
fn in_vain<'j>(score: &mut Score, all: impl Iterator<Item = &'j Judged>) {
    let mut weeks = [0.0; 2];
    let (mut fired, mut rolled_back) = ([0_usize; 2], [0_usize; 2]);
    for judged in all {
        let Told::Healthy { well_behaved, weeks: long, fired: fires, rolled_back: rolls } =
            judged.told
        else {
            continue;
        };
        let which = usize::from(!well_behaved);
        weeks[which] += long;
        fired[which] += fires;
        rolled_back[which] += rolls;
    }
    let a_week = |count: usize, weeks: f64| (weeks > 0.0).then(|| count as f64 / weeks);
    score.service_weeks = weeks[0] + weeks[1];
    score.false_per_week = a_week(fired[0], weeks[0]);
    score.false_per_week_guarded = a_week(rolled_back[0] + rolled_back[1], score.service_weeks);
    score.pathological_per_week = a_week(fired[1], weeks[1]);
    score.pathological_per_week_guarded = a_week(rolled_back[1], weeks[1]);
}

fn deploy_every_hour(tape: &mut Tape) {
    let Some((from, until)) = tape.span() else { return };
    let hours = until.since(from).ms() / PRETENDED_EVERY.ms();
    let deployment = |hour: i64| Deployment {
        at: from + PRETENDED_EVERY * hour,
        version: format!("hour-{hour}"),
    };
    tape.deployments = (1..=hours).map(deployment).collect();
}

fn scored(labelled: &Labelled, story: &Story, policy: &ServicePolicy) -> Option<Scored> {
    let Label::Fault { from, until, ratio, expect } = labelled.label else { return None };
    let first = acting(story, policy).next().cloned();
    let in_time = |at: UnixMs| at > from && until.is_none_or(|end| at <= end + STILL_FOUND);
    let early = first.as_ref().is_some_and(|fired| fired.at <= from);
    let found = acting(story, policy).find(|fired| in_time(fired.at));
    let outcome = match (expect, found) {
        (Expect::Rollback, Some(_)) if !early => "detected",
        (Expect::Rollback, None) if !early => "missed",
        (_, _) if early || first.is_some() => "false",
        (_, _) => "quiet",
    };
    let delay = found.filter(|_| outcome == "detected").map(|fired| {
        let rule = policy.triggers.get(&fired.trigger).map(|t| t.rule.hold.lasts);
        (fired.at.since(from) - rule.unwrap_or(Span::ZERO)).ms() / 1_000
    });
    let worst = story.fired.iter().filter(|fired| fired.at > from).map(|fired| fired.severity);
    Some(Scored {
        id: labelled.id.clone(),
        outcome,
        delay_s: delay,
        fired: found.cloned().or(first),
        severity: (deserved(ratio), worst.min()),
    })
}

/// What fired that the matrix acts upon.
fn acting<'s>(story: &'s Story, policy: &'s ServicePolicy) -> impl Iterator<Item = &'s Fired> {
    story.fired.iter().filter(|fired| {
        let response = policy.matrix.row(fired.severity).response;
        matches!(response, Response::RollBack | Response::MonitorThenRollBack)
    })
}

/// By the runbook's thresholds, of the true share of requests that fail.
fn deserved(ratio: f64) -> Option<Severity> {
    match ratio {
        r if r >= 0.5 => Some(Severity::P0),
        r if r > 0.05 => Some(Severity::P1),
        r if r > 0.01 => Some(Severity::P2),
        r if r > 0.005 => Some(Severity::P3),
        _ => None,
    }
}

fn rank(severity: Option<Severity>) -> u8 {
    match severity {
        Some(Severity::P0) => 0,
        Some(Severity::P1) => 1,
        Some(Severity::P2) => 2,
        Some(Severity::P3) => 3,
        None => 4,
    }
}

/// The value that so many in a hundred do not exceed.
fn share_of(sorted: &[i64], percent: usize) -> Option<i64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1).min(last)).copied()
}
