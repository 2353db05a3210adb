//! What becomes true of maintenance mode by itself: it is switched off when nothing needs it, and people hear where it stays.

use super::{FAILS_MAX, Fact, Maintained, On, Reason};
use crate::{
    domain::{incident::Phase, run, situation::Situation, state::ServiceState},
    units::UnixMs,
};

/// Whether a rollback is under way that may need it.
pub fn is_needed(state: &ServiceState) -> bool {
    let Some(incident) = &state.incident else { return false };
    let goes_on =
        |run: &run::Run| matches!(run.phase, run::Phase::Ready | run::Phase::Begun { .. });
    matches!(incident.phase, Phase::RollingBack) && incident.run.as_ref().is_some_and(goes_on)
}

/// The next fact; nothing when there is nothing to do until something happens.
pub fn advance(s: &Situation<'_>) -> Option<Fact> {
    let on = &s.state.maintained;
    if on.is_empty() {
        return None;
    }
    let (needed, forbidden) = (is_needed(s.state), s.forbidden());
    let told = on.iter().find_map(|on| {
        let (of, why) = stays(s, on, needed, forbidden.as_deref())?;
        on.is_news(of).then(|| Fact::Stays { run: on.run.clone(), why, of: Some(of) })
    });
    if told.is_some() || needed || forbidden.is_some() || on.is_going_off() {
        return told;
    }
    let due = on.iter().find(|on| on.failed.is_none() || s.now.steady >= on.again_at())?;
    Some(Fact::Begun { run: due.run.clone(), attempt: due.tries + 1, epoch: s.epoch })
}

/// Why people must know that it is still on, if they must.
fn stays(
    s: &Situation<'_>,
    on: &On,
    needed: bool,
    forbidden: Option<&str>,
) -> Option<(Reason, String)> {
    let in_flight = on.begun.is_some_and(|(epoch, _)| epoch == s.epoch);
    // Whoever stops the daemon starts it again.
    if let Some(why) = forbidden.filter(|_| !needed && !in_flight && !s.fleet.stopping) {
        return Some((Reason::Forbidden, format!("rollbackd may not switch it off: {why}")));
    }
    let hopeless = |(_, why, retry): &(UnixMs, String, bool)| {
        (!retry || on.fails >= FAILS_MAX).then(|| why.clone())
    };
    if let Some(why) = on.failed.as_ref().filter(|_| !needed).and_then(hopeless) {
        return Some((Reason::Failed, why));
    }
    if s.now.steady.since(on.since) < on.page_after {
        return None;
    }
    let how = match (needed, forbidden, &on.failed) {
        (true, Some(why), _) => format!("the rollback that needs it does not go on: {why}"),
        (true, None, _) => "the rollback that needs it is still under way".to_owned(),
        (false, _, Some((_, why, _))) => why.clone(),
        (false, _, None) => "it is being switched off".to_owned(),
    };
    Some((Reason::Long, format!("it has been on for {}, and {how}", on.page_after)))
}

impl Maintained {
    /// When to look at it again even if nothing happens, on the steady clock.
    pub fn next_deadline(&self, now: UnixMs) -> Option<(UnixMs, &'static str)> {
        let of = |on: &On| {
            let told = on.told.is_none().then(|| on.since + on.page_after);
            let again = on.begun.is_none().then(|| on.again_at());
            let told = told.map(|at| (at, "maintenance mode has been on for long"));
            [told, again.map(|at| (at, "maintenance mode is to be switched off"))]
        };
        // What is past and changes nothing waits for something to happen.
        self.iter().flat_map(of).flatten().filter(|(at, _)| *at > now).min()
    }
}

/// How it stands, a sentence for each that is on, and what a person would type.
pub fn in_words(s: &Situation<'_>) -> Vec<String> {
    let (needed, forbidden) = (is_needed(s.state), s.forbidden().is_some());
    let mut lines = vec![];
    for on in s.state.maintained.iter() {
        // What was told may be over by now.
        let how = match (&on.told, &on.failed) {
            (Some(why), _) if needed || forbidden => why.clone(),
            _ if needed => "until the rollback ends".to_owned(),
            (_, Some((_, why, _))) => format!("switching it off is tried again: {why}"),
            (_, None) => "and it is being switched off".to_owned(),
        };
        let since = s.wall_of(on.since).clock();
        lines.push(format!("maintenance mode is on since {since} UTC ({}): {how}", on.mode));
        lines.extend(on.to_type());
    }
    lines
}

impl On {
    /// Whether people do not know yet that it stays on, or not for such a reason.
    fn is_news(&self, reason: Reason) -> bool {
        match reason {
            Reason::Forbidden | Reason::Failed => self.told_of != Some(reason),
            Reason::Long => self.told.is_none(),
        }
    }

    /// What a person types to switch it off.
    pub fn to_type(&self) -> Vec<String> {
        if let Some(commands) = &self.mode.commands {
            return vec![format!("{} (on rollbackd's machine)", commands.off.argv.join(" "))];
        }
        let cluster = &self.mode.cluster;
        let all = self.mode.objects.iter().rev();
        all.map(|at| format!("{} (in {cluster})", at.delete())).collect()
    }
}
