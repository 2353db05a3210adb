//! What was restored is asked over SQL whether it holds what it should, before anybody is sent there.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::{Instant, sleep};

use super::{access, history, history_at, place_of};
use crate::{
    databases::{
        Problem, Session,
        history::{History, Unreadable},
    },
    domain::{change::Revision, plan::SchemaAt, rds::Restored, run::Outcome},
    executors::{Attempt, Trouble, failed},
};

/// Between two tries at a server that does not answer yet.
const PAUSE: Duration = Duration::from_secs(2);

/// What a [`crate::domain::plan::Action::RdsVerify`] says.
pub(super) struct Verify<'a> {
    /// Whose history.
    pub(super) schema: &'a SchemaAt,
    /// What was restored.
    pub(super) restored: &'a Restored,
    /// What must be in it.
    pub(super) to: &'a Revision,
    /// Queries that return no row there.
    pub(super) queries: &'a BTreeMap<String, String>,
}

/// Carries one out.
pub(super) async fn verify(attempt: &mut Attempt<'_>, it: Verify<'_>) -> Result<Outcome, Trouble> {
    let access = access(attempt, &it.restored.at.account)?;
    let history = history(attempt, it.schema)?;
    let (name, endpoint) = place_of(attempt, &access, it.restored).await?;
    let history = history_at(&history, &endpoint);
    let revision = loop {
        match holds(&history).await {
            Ok(revision) => break revision,
            Err((_, true)) if Instant::now() + PAUSE < attempt.until => sleep(PAUSE).await,
            Err((why, passes)) => return failed(unread(&name, &why), passes),
        }
    };
    attempt.after = format!("{name} at {endpoint} holds {revision}");
    if !revision.agrees_with(it.to) {
        let why = format!(
            "{name} holds {revision}, and not {}: it is not used, and nothing was switched",
            it.to
        );
        attempt.left = format!("the {} {name}, restored and not in its place", it.restored.at.form);
        return failed(why, false);
    }
    for (what, query) in it.queries {
        let rows = loop {
            match Session::once(&history.options, query).await {
                Ok(rows) => break rows,
                Err(fault) if fault.problem.passes() && Instant::now() + PAUSE < attempt.until => {
                    sleep(PAUSE).await;
                }
                Err(fault) => {
                    let why = format!("`{what}` cannot be asked of {name}: {}", fault.in_words());
                    return failed(why, fault.problem.passes());
                }
            }
        };
        if !rows.is_empty() {
            attempt.left =
                format!("the {} {name}, restored and not in its place", it.restored.at.form);
            let many = rows.len();
            let why = format!(
                "`{what}` gives {many} rows in {name}, and must give none: nothing was switched"
            );
            return failed(why, false);
        }
    }
    Ok(Outcome::Done)
}

/// Which schema a history tells of; or why nobody can tell, and whether that passes.
pub(super) async fn holds(history: &History) -> Result<Revision, (String, bool)> {
    let read = history.read().await;
    read.map(|seen| seen.revision()).map_err(|why| {
        let is_password =
            matches!(&why, Unreadable::Fault(fault) if fault.problem == Problem::WrongPassword);
        let hint = if is_password {
            "; a password that was changed since the snapshot was taken is the earlier one there"
        } else {
            ""
        };
        (format!("{why}{hint}"), why.passes())
    })
}

fn unread(name: &str, why: &str) -> String {
    format!("what is in {name} cannot be read, and nothing was switched: {why}")
}
