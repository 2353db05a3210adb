//! A service's database: what the looks at its history of migrations showed, and what follows from that.
//!
//! What an earlier daemon saw fires and clears nothing: the first look of this one does.

use super::ways::WaysBack;
use crate::{
    domain::{
        event::Now,
        firing::{Basis, Fact, Firing},
        schema::{
            DATABASE, DatabasePolicy, Schema, Seen, history,
            trouble::{Looks, Trouble},
        },
        severity::Severity,
        situation::Situation,
        trigger::defaults::MIGRATION_FAILURE,
    },
    units::UnixMs,
};

/// Scripts that one line of a change names.
const NAMED_MAX: usize = 5;

/// What was seen of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatabaseSeen {
    looks: Option<Looks>,
    /// Whether this daemon has seen it.
    asked: bool,
    /// When the newest look that told something came, on the steady clock.
    looked_at: Option<UnixMs>,
    /// Since when nobody can tell, and why not.
    unknown: Option<(UnixMs, String)>,
    /// What the newest look showed that the one before did not.
    added: Option<String>,
    /// What there is to take it back with.
    pub ways: WaysBack,
}

impl DatabaseSeen {
    pub(super) fn see(&mut self, seen: &Seen, now: Now) {
        match seen {
            Seen::Unknown(why) => {
                let since = self.unknown.as_ref().map_or(now.wall, |(since, _)| *since);
                self.unknown = Some((since, why.clone()));
            }
            Seen::Known(schema) => {
                let before = self.looks.take();
                self.added = before.as_ref().and_then(|before| added(&before.schema, schema));
                self.looks = Some(Looks::after(before, (**schema).clone(), now.wall));
                (self.asked, self.unknown) = (true, None);
                self.looked_at = Some(now.steady);
            }
        }
    }

    pub(super) fn restore(&mut self, looks: Option<Looks>) {
        self.looks = looks;
    }

    /// Whether it was seen, and nothing is wrong with it or about to be.
    pub(super) fn is_at_rest(&self) -> bool {
        let calm = |looks: &Looks| {
            looks.failed_since.is_none() && looks.vanished.is_none() && looks.run_since.is_none()
        };
        self.unknown.is_none() && self.looks.as_ref().is_none_or(calm)
    }

    pub(super) fn looks(&self) -> Option<&Looks> {
        self.looks.as_ref()
    }

    /// As the newest look that told something showed it, which this daemon took.
    pub fn known(&self) -> Option<&Schema> {
        let looks = self.looks.as_ref().filter(|_| self.asked && self.unknown.is_none())?;
        Some(&looks.schema)
    }

    /// The same, and when that was on the wall clock.
    pub fn known_at(&self) -> Option<(&Schema, UnixMs)> {
        Some((self.known()?, self.looks.as_ref()?.at))
    }

    /// What is half applied, in words.
    pub fn half_applied(&self, policy: &DatabasePolicy) -> Option<String> {
        let trouble = self.trouble(policy)?;
        (trouble.severity == Severity::P0).then_some(trouble.says)
    }

    /// Why nobody can tell how it is now.
    pub fn unknown(&self) -> Option<&str> {
        let not_yet = (!self.asked).then_some("it was not looked at since the daemon started");
        self.unknown.as_ref().map(|(_, why)| why.as_str()).or(not_yet)
    }

    /// When the newest look that told something came, on the steady clock; none where an earlier daemon took it.
    pub fn looked_at(&self) -> Option<UnixMs> {
        self.looked_at
    }

    /// When the look before the newest one was.
    pub fn looked_before(&self) -> Option<UnixMs> {
        self.looks.as_ref()?.before
    }

    /// What came with the newest look, in words.
    pub fn added(&self) -> Option<String> {
        self.added.clone()
    }

    /// What is wrong with it.
    pub fn trouble(&self, policy: &DatabasePolicy) -> Option<Trouble> {
        self.looks.as_ref()?.trouble(policy)
    }

    /// The trigger fires, or clears, or neither while nobody can tell.
    pub(super) fn transition(&self, s: &Situation<'_>) -> Option<Fact> {
        let trigger = MIGRATION_FAILURE.to_owned();
        let known = s.state.firing.get(MIGRATION_FAILURE);
        let ours = known.filter(|firing| firing.basis == Basis::Database);
        let (Some(policy), Some(rule)) =
            (&s.policy.database, s.policy.triggers.get(MIGRATION_FAILURE))
        else {
            let why = "no database is looked at any more".to_owned();
            return ours.map(|_| Fact::Cleared { trigger, why });
        };
        if !self.asked || self.unknown.is_some() {
            return None;
        }
        let Some(trouble) = self.trouble(policy) else {
            let why = "the database shows no migration that failed or hangs".to_owned();
            return ours.map(|_| Fact::Cleared { trigger, why });
        };
        // A rule may make it milder or worse, but not a migration of which half is applied.
        let severity = trouble.severity.min(rule.rule.severity);
        let is_known = known.is_some_and(|known| !severity.is_worse_than(known.severity));
        (!is_known).then(|| {
            Fact::Fired(Box::new(Firing {
                trigger,
                severity,
                basis: Basis::Database,
                onset: trouble.onset,
                fired_at: s.now.wall,
                says: trouble.says,
                may_act: rule.may_act,
                evidence: None,
            }))
        })
    }

    /// Nobody can tell for too long.
    pub(super) fn blindness(&self, s: &Situation<'_>) -> Option<Fact> {
        let policy = s.policy.database.as_ref()?;
        let signal = DATABASE.to_owned();
        let Some((since, why)) = &self.unknown else {
            let is_blind = s.state.blind.contains_key(DATABASE) && self.asked;
            return is_blind.then_some(Fact::Sighted { signal });
        };
        let watched = s.state.is_watched(s.policy, s.now.wall);
        let patience = if watched { s.policy.blind_watched } else { s.policy.blind_idle };
        let known = s.state.knows_blind(DATABASE, watched, s.now.wall);
        (!known && s.now.wall.since(*since) >= patience).then(|| Fact::Blind {
            signal,
            source: policy.place.clone(),
            since: *since,
            why: why.clone(),
            watched,
        })
    }
}

/// The scripts that are new, each in words; nothing where only what is known stands otherwise.
fn added(old: &Schema, new: &Schema) -> Option<String> {
    let added = history::added(&old.newest, &new.newest);
    let mut named: Vec<String> = added.iter().take(NAMED_MAX).map(|it| it.called()).collect();
    if added.len() > NAMED_MAX {
        named.push(format!("and {} more", added.len() - NAMED_MAX));
    }
    (!named.is_empty()).then(|| named.join(", "))
}
