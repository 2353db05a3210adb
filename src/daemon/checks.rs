//! Asks what databases' data are: one query after the other for one database, and all together never more than their share of the time. Each has the
//! same part of that share: one that is slow is asked less often itself, and silences no other.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};
use tracing::{info, warn};

use super::clock;
use crate::{
    config::Config,
    databases::checks::Check,
    domain::{
        event::{Event, What},
        integrity::{Answer, Before, Meaning},
        service::ServiceId,
    },
    handle::Handle,
    telemetry,
    units::{Secret, Span},
};

/// One check, and whose it is.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    service: ServiceId,
    name: String,
    check: Check,
}

/// Every check, by the database in the configuration: those of one are asked by one.
pub(super) fn by_database(config: &Config) -> BTreeMap<String, Vec<Asked>> {
    let mut all: BTreeMap<String, Vec<Asked>> = BTreeMap::new();
    for (service, database) in &config.databases {
        for (name, check) in &database.checks {
            let asked =
                Asked { service: service.clone(), name: name.clone(), check: check.clone() };
            all.entry(check.options.name.clone()).or_default().push(asked);
        }
    }
    all
}

/// What they are, with the password that is printed nowhere.
pub(super) fn identity(asked: &[Asked]) -> (Option<String>, String) {
    let first = asked.first().and_then(|it| it.check.options.password.as_ref());
    (first.map(Secret::expose).map(str::to_owned), format!("{asked:?}"))
}

struct Turn {
    asked: Asked,
    due: Instant,
    /// Before then it would take more than its part of the time.
    free: Instant,
    /// Whether that was later than it was due.
    is_slow: bool,
    last: Option<Meaning>,
}

impl Turn {
    fn next(&self) -> Instant {
        self.due.max(self.free)
    }

    /// People who configured how often it is asked believe that it is.
    fn tell_if_slow(&mut self, every: Span, took: Duration) {
        let late = self.free.saturating_duration_since(self.due);
        let was_slow = std::mem::replace(&mut self.is_slow, !late.is_zero());
        if was_slow || !self.is_slow {
            return;
        }
        let (Asked { service, name, .. }, late) = (&self.asked, Span::from(late));
        let took = took.as_millis();
        warn!(%service, check = %name, "the check {name} of {service} took {took} ms and is asked {late} later than after {every}, for checks_share allows no more: give it an index, or more of the time");
    }
}

/// Asks until the event loop has gone: always what is due for longest; what belongs to a service that is watched sooner.
pub(super) async fn ask(
    asked: Vec<Asked>,
    handle: Handle,
    mut watched: watch::Receiver<BTreeSet<ServiceId>>,
) {
    let now = Instant::now();
    let turn = |asked| Turn { asked, due: now, free: now, is_slow: false, last: None };
    let mut turns: Vec<Turn> = asked.into_iter().map(turn).collect();
    let among = turns.len();
    while let Some(next) = turns.iter().map(Turn::next).min() {
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            changed = watched.changed() => {
                if changed.is_err() {
                    return;
                }
                hurry(&mut turns, &watched);
                continue;
            }
        }
        let Some(turn) = turns.iter_mut().min_by_key(|turn| turn.next()) else { return };
        let Asked { service, name, check } = &turn.asked;
        let begun = Instant::now();
        let answer = check.ask().await;
        let took = begun.elapsed();
        let is_watched = watched.borrow().contains(service);
        // While something is decided by it, what is asked may take all of the share.
        let part = if is_watched { check.share } else { check.share / among as f64 };
        turn.free = begun + took + pause(took, part);
        telemetry::database_check(service, name, took);
        let meaning = check.expects.judge(&answer, Before::Unchanged);
        tell(&turn.asked, turn.last.as_ref(), &meaning);
        if !report(&turn.asked, answer, took, &handle).await {
            return;
        }
        let was_violated = matches!(turn.last, Some(Meaning::Violated(_)));
        let is_new = matches!(meaning, Meaning::Violated(_)) && !was_violated;
        let every = if is_watched { check.every_watched } else { check.every };
        let wait = if is_new { check.confirm_after.min(every) } else { every };
        turn.due = Instant::now() + wait.duration();
        // Once, whatever it costs: it decides whether somebody is woken.
        if is_new {
            turn.free = turn.due;
        }
        turn.tell_if_slow(wait, took);
        turn.last = Some(meaning);
    }
}

/// What belongs to a service that is watched now is due no later than it is from then on.
fn hurry(turns: &mut [Turn], watched: &watch::Receiver<BTreeSet<ServiceId>>) {
    let watched = watched.borrow();
    for turn in turns.iter_mut().filter(|turn| watched.contains(&turn.asked.service)) {
        turn.due = turn.due.min(Instant::now() + turn.asked.check.every_watched.duration());
        turn.free = turn.free.min(turn.due);
    }
}

async fn report(asked: &Asked, answer: Answer, took: Duration, handle: &Handle) -> bool {
    let Asked { service, name, .. } = asked;
    let id = format!("check:{service}:{name}:{}", clock::wall().0);
    let took = Span(i64::try_from(took.as_millis()).unwrap_or(i64::MAX));
    let what = What::IntegritySeen { service: service.clone(), check: name.clone(), answer, took };
    handle.report(Event { id, what }).await.is_ok()
}

/// After a query, so that queries take no more than that share of the time.
fn pause(took: Duration, share: f64) -> Duration {
    took.mul_f64((1.0 / share - 1.0).max(0.0))
}

/// Once when it cannot be asked, and once when it can again.
fn tell(asked: &Asked, last: Option<&Meaning>, meaning: &Meaning) {
    let Asked { service, name, .. } = asked;
    match (last, meaning) {
        (Some(Meaning::Unknown(before)), Meaning::Unknown(why)) if before == why => {}
        (_, Meaning::Unknown(why)) => {
            warn!(%service, check = %name, "the check {name} of {service} tells nothing: {why}");
        }
        (Some(Meaning::Unknown(_)), _) => {
            info!(%service, check = %name, "the check {name} of {service} tells again");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_query_of_two_seconds_nothing_is_asked_for_thirty_eight() {
        let pause = pause(Duration::from_secs(2), 0.05);
        assert!(pause.abs_diff(Duration::from_secs(38)) < Duration::from_millis(1), "{pause:?}");
    }
}
