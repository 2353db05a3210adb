//! A database of RDS: what there is of it, another one made of a snapshot, seen to hold what it should, and the service told where it is.
//!
//! Nothing here deletes anything, and what was there is not touched: an instance that this run made is known by its tag.

mod look;
mod preflight;
mod restore;
mod switch;
mod verify;

pub use self::{
    look::{Place, seen},
    preflight::rds_preflight,
};
use super::{Attempt, Trouble, failed};
use crate::{
    aws::{Access, Fault, rds::There},
    databases::history::History,
    domain::{
        plan::{Action, SchemaAt},
        rds::{AVAILABLE, Endpoint, RdsAt, Restored},
        run::Outcome,
    },
};

/// Carries out a step of RDS, and no other.
pub(super) async fn perform(
    attempt: &mut Attempt<'_>,
    action: &Action,
) -> Result<Outcome, Trouble> {
    if let Action::RdsRestore { what } = action {
        return restore::restore(attempt, what).await;
    }
    if let Action::RdsVerify { schema, restored, to, verify: queries } = action {
        return verify::verify(attempt, verify::Verify { schema, restored, to, queries }).await;
    }
    if let Action::RdsSwitch { schema, from, to, what } = action {
        return switch::switch(attempt, switch::Switch { schema, from, to, what }).await;
    }
    failed(format!("this is nothing that is done at RDS: {action:?}"), false)
}

fn access(attempt: &Attempt<'_>, account: &str) -> Result<Access, Trouble> {
    let found = attempt.options.accounts.find(account);
    let why = || format!("the configuration names no [aws.{account}] any more");
    found.ok_or_else(|| Trouble::Failed { why: why(), retry: false })
}

fn history(attempt: &Attempt<'_>, schema: &SchemaAt) -> Result<History, Trouble> {
    let found = attempt.options.histories.find(schema);
    let why = || format!("the configuration names no history of {schema} any more");
    found.ok_or_else(|| Trouble::Failed { why: why(), retry: false })
}

/// The same history as it is in another server.
fn history_at(history: &History, at: &Endpoint) -> History {
    History { options: history.options.at(&at.host, at.port), ..history.clone() }
}

/// Whether it says of itself that this run made it.
fn is_ours(there: &There, run: &str) -> bool {
    there.run.as_deref() == Some(run)
}

/// What was restored: the first of them that is there, is of this run, and can be used.
async fn found(
    access: &Access,
    restored: &Restored,
    run: &str,
) -> Result<Option<(String, Endpoint)>, Fault> {
    for name in &restored.names {
        let at = RdsAt { name: name.clone(), ..restored.at.clone() };
        let there = crate::aws::rds::there(access, &at).await?;
        let usable = there.filter(|it| is_ours(it, run) && it.status == AVAILABLE);
        if let Some(endpoint) = usable.and_then(|it| it.endpoint) {
            return Ok(Some((name.clone(), endpoint)));
        }
    }
    Ok(None)
}

/// Where it answers; what cannot be asked at the moment may be in the next attempt.
async fn place_of(
    attempt: &Attempt<'_>,
    access: &Access,
    restored: &Restored,
) -> Result<(String, Endpoint), Trouble> {
    let found = found(access, restored, &attempt.order.run).await.map_err(|fault| {
        let why = format!("nothing was begun: {fault}; {}", fault.advice());
        Trouble::Failed { why, retry: fault.passes() }
    })?;
    match found {
        Some(found) => Ok(found),
        None => failed(
            format!(
                "nothing was begun: none of {} is there, of this run and available",
                restored.names.join(", ")
            ),
            false,
        ),
    }
}
