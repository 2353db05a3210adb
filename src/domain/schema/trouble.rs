//! What of a look is a reason to wake somebody, in the words that they need at night.

use serde::{Deserialize, Serialize};

use super::{DatabasePolicy, Doing, Migration, Run, SQLX, Schema};
use crate::{domain::severity::Severity, units::UnixMs};

/// What is wrong with a database's migrations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Half applied is P0, what can wait for a person P1.
    pub severity: Severity,
    /// Since when, on our wall clock.
    pub onset: UnixMs,
    /// Which migration, how it stands, and what a person does now.
    pub says: String,
}

/// A migration that was under way and left nothing behind but perhaps half of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vanished {
    /// The version that it should have followed.
    pub after: String,
    /// The session that held the lock.
    pub session: String,
    /// When it was seen last.
    pub at: UnixMs,
}

/// What was seen of one database, look by look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looks {
    /// The newest look that told something.
    pub schema: Schema,
    /// When that was, on the wall clock.
    pub at: UnixMs,
    /// When the look before it was: what is new came since.
    pub before: Option<UnixMs>,
    /// Since when this run of a migration was seen.
    pub run_since: Option<UnixMs>,
    /// Since when a failed row was seen.
    pub failed_since: Option<UnixMs>,
    /// Whether this run was ever seen to change something.
    pub wrote: bool,
    /// A run that ended without a row.
    pub vanished: Option<Vanished>,
}

impl Looks {
    /// After another look.
    pub fn after(before: Option<Self>, schema: Schema, now: UnixMs) -> Self {
        let failed = schema.failed().next().is_some();
        let Some(before) = before else {
            return Self {
                run_since: schema.run.as_ref().map(|_| now),
                failed_since: failed.then_some(now),
                before: None,
                vanished: None,
                schema,
                at: now,
                wrote: false,
            };
        };
        let is_same_history = before.schema.digest == schema.digest;
        let ended = before.schema.run.as_ref().filter(|_| schema.run.is_none() && before.wrote);
        let vanished = match ended.filter(|_| is_same_history) {
            Some(run) => Some(Vanished {
                after: before.schema.version(),
                session: run.session.clone(),
                at: before.at,
            }),
            // Whatever was applied since, or marked as failed, tells more.
            None => before.vanished.filter(|_| is_same_history),
        };
        // Each script is applied and written down by itself: the next of the same run begins anew. And what was seen to write in a look whose
        // history is another may be the one that has just left its row there.
        let wrote = |run: &Run| is_same_history && (run.wrote || before.wrote);
        Self {
            run_since: schema.run.as_ref().map(|_| before.run_since.unwrap_or(now)),
            failed_since: failed.then(|| before.failed_since.unwrap_or(now)),
            wrote: schema.run.as_ref().is_some_and(wrote),
            before: Some(before.at),
            vanished,
            schema,
            at: now,
        }
    }

    /// The worst that is wrong.
    pub fn trouble(&self, policy: &DatabasePolicy) -> Option<Trouble> {
        let failed = self.schema.failed().next().map(|it| self.of_failed(it, policy));
        let vanished = || self.vanished.as_ref().map(|it| self.of_vanished(it, policy));
        failed.or_else(vanished).or_else(|| self.of_run(self.schema.run.as_ref()?, policy))
    }

    fn of_failed(&self, migration: &Migration, policy: &DatabasePolicy) -> Trouble {
        let says = format!(
            "the migration {} failed in {} and is half applied: what ran before the statement that failed stays. The version before it is {}. \
             While that row is in {}, no version of the application that checks it will start: mend by hand what it left, then {}",
            migration.called(),
            policy.place,
            self.schema.version(),
            self.schema.table,
            if migration.kind == SQLX { "delete that row" } else { "`flyway repair`" }
        );
        Trouble { severity: Severity::P0, onset: self.failed_since.unwrap_or(self.at), says }
    }

    fn of_vanished(&self, vanished: &Vanished, policy: &DatabasePolicy) -> Trouble {
        let Vanished { after, session, at } = vanished;
        let began = format!(
            "a migration of {} after {after} began to change things and ended without being applied ({session}; seen last at {})",
            policy.place,
            at.clock()
        );
        let (severity, what) = match self.schema.transactional {
            true => (
                Severity::P1,
                "the database took back what ran in its transaction. What a script does outside of one (executeInTransaction=false) stays: \
                 see what the application or the job that migrates says",
            ),
            false => (
                Severity::P0,
                "nothing was taken back, for this server cannot: half of it may be applied, and no row says so. See what the application or \
                 the job that migrates says, and compare the tables with its script",
            ),
        };
        Trouble { severity, onset: *at, says: format!("{began}: {what}") }
    }

    fn of_run(&self, run: &Run, policy: &DatabasePolicy) -> Option<Trouble> {
        let since = self.run_since.unwrap_or(self.at);
        let seen = self.at.since(since);
        let span = run.span.map_or(seen, |span| span.max(seen));
        let on_itself = matches!(run.doing, Doing::Waits { on_itself: true, .. });
        if span < policy.stuck_after && !on_itself {
            return None;
        }
        let what = match &run.doing {
            Doing::Works => "it works, and is merely slow: let it go on, or cancel it".to_owned(),
            Doing::Waits { what, on_itself: true } => format!(
                "it waits for {what}, which is the migration tool's own lock: neither ever ends. End it, and give CREATE INDEX \
                 CONCURRENTLY a migration of its own with flyway.postgresql.transactional.lock=false"
            ),
            Doing::Waits { what, on_itself: false } => {
                format!("it waits for {what}: end that, or the migration")
            }
            Doing::Nothing { span } => format!(
                "its session does nothing since {}: whoever began it is gone or hangs. Ending the session lets go of the lock",
                span.to_read()
            ),
            Doing::Hidden { why } => format!("what it does is not shown: {why}"),
        };
        let says = format!(
            "a migration of {} after {} runs for {} ({}) and cannot be completed: {what}",
            policy.place,
            self.schema.version(),
            span.to_read(),
            run.session
        );
        Some(Trouble { severity: Severity::P1, onset: since, says })
    }
}

#[cfg(test)]
mod tests;
