//! What the checks of a service's data showed: `data-corruption` fires when the same query shows it twice running.
//!
//! A transaction that is seen between its halves, or a replica that lags, is another at the second look. What cannot be asked is
//! neither well nor broken: a violation that was seen is not over because nobody sees it.

mod numbers;
mod standing;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(super) use self::numbers::Numbers;
use crate::{
    domain::{
        event::Now,
        firing::{Basis, Fact, Firing},
        integrity::{Answer, CheckPolicy, Found, Meaning},
        policy::ServicePolicy,
        situation::{Holds, Situation},
        state::ServiceState,
        trigger::defaults::DATA_CORRUPTION,
        verification::Standing,
    },
    units::{Span, UnixMs},
};

/// The same violation, seen so often running, is one.
const CONFIRMED_BY: u32 = 2;
/// Under which a check that tells nothing stands beside signals that do.
const PREFIX: &str = "check ";

/// Every check, by its name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IntegritySeen {
    checks: BTreeMap<String, Seen>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    /// What was asked.
    asks: String,
    /// When this daemon's first answer came.
    first: Option<UnixMs>,
    /// When it asked for the newest answer, on the steady clock.
    asked: Option<UnixMs>,
    last: Option<Last>,
    took: Option<Span>,
    /// Since when nobody can tell.
    untold: Option<Untold>,
    numbers: Numbers,
}

#[derive(Clone, Debug, PartialEq)]
struct Untold {
    since: UnixMs,
    why: String,
    /// Whether the database answered all the same, and its answer can be compared with nothing.
    answered: bool,
}

/// The newest that told something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Last {
    /// What is wrong, in words; nothing where it passed.
    violated: Option<String>,
    since: UnixMs,
    /// How often running: what told nothing in between begins it anew, until it is believed.
    times: u32,
    /// When it was believed that it is violated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    confirmed_at: Option<UnixMs>,
}

/// One check, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// How it stands, in words.
    pub says: String,
    /// Whether it is violated and confirmed.
    pub is_violated: bool,
    /// Whether it passes, is violated, or nobody can tell.
    pub standing: Standing,
    /// What the newest query cost.
    pub took: Option<Span>,
}

impl IntegritySeen {
    pub(super) fn see(
        &mut self,
        (name, policy): (&str, &ServicePolicy),
        state: &ServiceState,
        (answer, took): (&Answer, Span),
        now: Now,
    ) {
        let Some(check) = policy.checks.get(name) else { return };
        let expects = check.expects;
        let seen = self.checks.entry(name.to_owned()).or_default();
        seen.asks.clone_from(&check.asks);
        seen.first.get_or_insert(now.wall);
        (seen.asked, seen.took) = (Some(now.steady - took), Some(took));
        let before = seen.numbers.before(numbers::change(policy, state, now.wall));
        if let Answer::Known(Found::Number(number)) = answer {
            seen.numbers.note(now.wall - took, *number);
        }
        match expects.judge(answer, before) {
            Meaning::Unknown(why) => seen.tells_nothing(why, false, now.wall),
            Meaning::Incomparable(why) => seen.tells_nothing(why, true, now.wall),
            Meaning::Passes => seen.tells(None, now.wall),
            Meaning::Violated(says) => seen.tells(Some(says), now.wall),
        }
    }

    pub(super) fn kept(&self) -> BTreeMap<String, Kept> {
        let kept = |(name, seen): (&String, &Seen)| {
            let Seen { asks, last, numbers, .. } = seen.clone();
            (name.clone(), Kept { asks, last, numbers })
        };
        self.checks.iter().map(kept).collect()
    }

    pub(super) fn restore(&mut self, kept: BTreeMap<String, Kept>, policy: &ServicePolicy) {
        let seen = |Kept { asks, last, numbers }| Seen { asks, last, numbers, ..Seen::default() };
        self.checks = kept.into_iter().map(|(name, kept)| (name, seen(kept))).collect();
        self.adopt(policy);
    }

    /// Follows other checks: what was answered stays known of whatever asks the same, by whichever name, and of nothing else.
    pub(super) fn adopt(&mut self, policy: &ServicePolicy) {
        let mut before = std::mem::take(&mut self.checks);
        let asks_it = |check: &CheckPolicy, seen: &Seen| {
            [&check.asks, &seen.asks].iter().any(|it| it.is_empty()) || check.asks == seen.asks
        };
        for (name, check) in &policy.checks {
            if before.get(name).is_some_and(|seen| asks_it(check, seen)) {
                let seen = before.remove(name);
                self.checks.extend(seen.map(|seen| (name.clone(), seen)));
            }
        }
        for (name, check) in &policy.checks {
            let same =
                |(_, seen): &(&String, &Seen)| !check.asks.is_empty() && seen.asks == check.asks;
            let other = before.iter().find(same).map(|(other, _)| other.clone());
            if let Some(seen) = other.filter(|_| !self.checks.contains_key(name)) {
                let seen = before.remove(&seen);
                self.checks.extend(seen.map(|seen| (name.clone(), seen)));
            }
        }
    }

    pub(super) fn clock_set(&mut self, by_ms: i64) {
        self.checks.values_mut().for_each(|seen| seen.numbers.clock_set(by_ms));
    }

    /// Whether that check tells nothing, by the name under which that is known.
    pub(super) fn is_a_check(name: &str, s: &Situation<'_>) -> bool {
        name.strip_prefix(PREFIX).is_some_and(|name| s.policy.checks.contains_key(name))
    }

    /// Whether no check tells nothing, and none is violated or was once.
    pub(super) fn is_at_rest(&self) -> bool {
        let passes = |last: &Last| last.violated.is_none();
        self.checks.values().all(|it| it.silence().is_none() && it.last.as_ref().is_none_or(passes))
    }

    /// How one stands.
    pub fn shown(&self, name: &str) -> Shown {
        let seen = self.checks.get(name);
        let is_violated = seen.is_some_and(|it| it.violation().is_some());
        let last = seen.and_then(|it| it.last.as_ref());
        let unknown = seen.and_then(|it| it.untold.as_ref());
        let told = match last.map(|it| &it.violated) {
            Some(Some(says)) if is_violated => says.clone(),
            Some(Some(says)) => format!("{says}; asked once more before that is believed"),
            Some(None) => "passes".to_owned(),
            None => "not asked yet".to_owned(),
        };
        let says = match (unknown, last) {
            (Some(Untold { why, .. }), None) => format!("unknown: {why}"),
            (Some(Untold { why, .. }), Some(_)) => format!("unknown: {why}; before: {told}"),
            (None, _) => told,
        };
        let passes = last.is_some_and(|it| it.violated.is_none());
        let standing = match (is_violated, unknown.is_none() && passes) {
            (true, _) => Standing::Failed,
            (false, true) => Standing::Passed,
            (false, false) => Standing::Unknown,
        };
        Shown { says, is_violated, standing, took: seen.and_then(|it| it.took) }
    }

    /// Whether what fired is so still.
    pub fn holds(&self, s: &Situation<'_>) -> Holds {
        let ours = || of_the_data(s).filter_map(|(name, _)| Some((name, self.checks.get(name)?)));
        let violated = |seen: &Seen| seen.violation().is_some();
        if ours().any(|(_, it)| violated(it) && it.first.is_some() && it.untold.is_none()) {
            return Holds::Yes;
        }
        match ours().find(|(_, it)| violated(it)) {
            Some((name, seen)) => {
                let why = seen.untold.as_ref().map_or("not asked yet", |it| &it.why);
                Holds::Unknown(format!("nobody can tell how the check {name} is: {why}"))
            }
            None => Holds::Recovering,
        }
    }

    /// The trigger fires, or clears, or neither while nobody can tell.
    pub(super) fn transition(&self, s: &Situation<'_>) -> Option<Fact> {
        let trigger = DATA_CORRUPTION.to_owned();
        let known = s.state.firing.get(DATA_CORRUPTION);
        let ours = known.filter(|firing| firing.basis == Basis::Database);
        let rule =
            s.policy.triggers.get(DATA_CORRUPTION).filter(|_| of_the_data(s).next().is_some());
        let Some(rule) = rule else {
            let why = "no check of the data is made any more".to_owned();
            return ours.map(|_| Fact::Cleared { trigger, why });
        };
        let violated: Vec<(&str, &CheckPolicy, &Last)> = of_the_data(s)
            .filter_map(|(name, policy)| {
                let seen = self.checks.get(name).filter(|it| it.first.is_some())?;
                Some((name.as_str(), policy, seen.violation()?))
            })
            .collect();
        if !violated.is_empty() {
            // Another that is violated now is news, and another breach, whatever people said of the first.
            let begun = |last: &Last| match known {
                None => Some(last.since),
                Some(known) if known.basis != Basis::Database => None,
                Some(known) => {
                    let is_new = last.confirmed_at.is_some_and(|at| at > known.fired_at);
                    is_new.then(|| last.since.max(known.fired_at + Span(1)))
                }
            };
            let onset = violated.iter().filter_map(|(_, _, last)| begun(last)).min()?;
            return Some(Fact::Fired(Box::new(Firing {
                trigger,
                severity: rule.rule.severity,
                basis: Basis::Database,
                onset,
                fired_at: s.now.wall,
                says: in_words(&violated),
                may_act: rule.may_act,
                evidence: None,
            })));
        }
        let ours = ours?;
        let may_hurt = |name: &String| match self.checks.get(name) {
            None => true,
            // What an earlier daemon fired by, and nobody has asked about yet.
            Some(Seen { first: None, .. }) => true,
            Some(Seen { first: Some(first), last: None, .. }) => ours.fired_at < *first,
            Some(Seen { last: Some(last), .. }) => last.violated.is_some(),
        };
        if of_the_data(s).any(|(name, _)| may_hurt(name)) {
            return None;
        }
        let why = "every check of the data that failed passes".to_owned();
        Some(Fact::Cleared { trigger, why })
    }

    /// What tells nothing for too long.
    pub(super) fn blindness(&self, s: &Situation<'_>) -> Vec<Fact> {
        let watched = s.state.is_watched(s.policy, s.now.wall);
        let patience = if watched { s.policy.blind_watched } else { s.policy.blind_idle };
        let of = |(name, policy): (&String, &CheckPolicy)| {
            let seen = self.checks.get(name)?;
            let signal = format!("{PREFIX}{name}");
            let Some(Untold { since, why, .. }) = seen.silence() else {
                let is_blind = s.state.blind.contains_key(&signal) && seen.first.is_some();
                return is_blind.then_some(Fact::Sighted { signal });
            };
            // Between two looks nothing more can be known.
            let is_long = s.now.wall.since(*since) >= patience.max(policy.every);
            let known = s.state.knows_blind(&signal, watched, s.now.wall);
            (!known && is_long).then(|| Fact::Blind {
                signal,
                source: policy.place.clone(),
                since: *since,
                why: why.clone(),
                watched,
            })
        };
        s.policy.checks.iter().filter_map(of).collect()
    }
}

/// A replica that is behind is no corruption, and keeps rollbacks from being verified all the same.
fn of_the_data<'s>(
    s: &Situation<'s>,
) -> impl Iterator<Item = (&'s String, &'s CheckPolicy)> + use<'s> {
    s.policy.checks.iter().filter(|(_, check)| check.expects.is_of_the_data())
}

impl Seen {
    fn tells(&mut self, violated: Option<String>, now: UnixMs) {
        let same = self.last.take().filter(|it| it.violated.is_some() == violated.is_some());
        let same = same.filter(|it| it.times > 0);
        let since = same.as_ref().map_or(now, |it| it.since);
        let times = same.as_ref().map_or(1, |it| it.times.saturating_add(1).min(CONFIRMED_BY));
        let confirmed_at = (violated.is_some() && times >= CONFIRMED_BY)
            .then(|| same.and_then(|it| it.confirmed_at).unwrap_or(now));
        self.last = Some(Last { violated, since, times, confirmed_at });
        self.untold = None;
    }

    fn tells_nothing(&mut self, why: String, answered: bool, now: UnixMs) {
        let same = self.untold.take().filter(|it| it.answered == answered);
        let since = same.map_or(now, |it| it.since);
        self.untold = Some(Untold { since, why, answered });
        // What was believed stays so; what was seen once is not seen twice running.
        if let Some(last) = self.last.as_mut().filter(|it| it.times < CONFIRMED_BY) {
            last.times = 0;
        }
    }

    /// What it cannot be asked by.
    fn silence(&self) -> Option<&Untold> {
        self.untold.as_ref().filter(|it| !it.answered)
    }

    fn violation(&self) -> Option<&Last> {
        self.last.as_ref().filter(|it| it.violated.is_some() && it.times >= CONFIRMED_BY)
    }
}

/// What outlives the daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    asks: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<Last>,
    #[serde(default)]
    numbers: Numbers,
}

/// So many are told at length.
const TOLD_MAX: usize = 5;

fn in_words(violated: &[(&str, &CheckPolicy, &Last)]) -> String {
    let told = violated.iter().take(TOLD_MAX).map(|(name, policy, last)| {
        let says = last.violated.as_deref().unwrap_or_default();
        format!("the check {name} of {}: {says}", policy.place)
    });
    let told: Vec<String> = told.collect();
    let more = match violated.len().saturating_sub(TOLD_MAX) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    format!("{}{more} (seen twice running)", told.join("; "))
}
