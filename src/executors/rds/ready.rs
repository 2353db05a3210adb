//! What a restore needs is looked at once more before anything is stopped for it: hours may lie between a plan and its approval.

use tokio::time::timeout_at;

use super::{
    access, history, history_at,
    restore::why_not,
    switch::{is_as_planned, look},
    verify::holds,
};
use crate::{
    aws::{Access, Fault, address::Keys, rds, secrets},
    domain::{
        change::Revision,
        plan::SchemaAt,
        rds::{RdsRestore, RdsSwitch},
        run::Outcome,
    },
    executors::{Attempt, Trouble, failed},
};

/// What a [`crate::domain::plan::Action::RdsReady`] says.
pub(super) struct Ready<'a> {
    /// Whose history.
    pub(super) schema: &'a SchemaAt,
    /// Where the schema must be.
    pub(super) from: &'a Revision,
    /// What is to be made.
    pub(super) restore: &'a RdsRestore,
    /// Which secret must be as it was.
    pub(super) switch: &'a RdsSwitch,
}

/// Carries one out.
pub(super) async fn ready(attempt: &mut Attempt<'_>, it: Ready<'_>) -> Result<Outcome, Trouble> {
    let makes = access(attempt, &it.restore.at.account)?;
    let keeps = access(attempt, &it.switch.secret.account)?;
    snapshots(attempt, &makes, it.restore).await?;
    pointer(attempt, &keeps, it.switch).await?;
    schema(attempt, &it).await?;
    attempt.permits()?;
    let name = it.restore.candidates.first().map_or("", |first| first.restored.as_str());
    let may = timeout_at(attempt.until, rds::may_restore(&makes, it.restore, name)).await;
    may.map_err(|_| late())?.map_err(|fault| not_ready(&fault))?;
    let may = timeout_at(attempt.until, secrets::may_change(&keeps, &it.switch.secret.secret));
    may.await.map_err(|_| late())?.map_err(|fault| not_ready(&fault))?;
    attempt.after = format!("{} is as the plan saw it", it.restore.at);
    Ok(Outcome::Done)
}

fn not_ready(fault: &Fault) -> Trouble {
    let why = format!("nothing was begun: {fault}; {}", fault.advice());
    Trouble::Failed { why, retry: fault.passes() }
}

fn late() -> Trouble {
    let why = "nothing was begun: AWS did not answer in time".to_owned();
    Trouble::Failed { why, retry: true }
}

/// One of them is enough: for each that is gone the next is there.
async fn snapshots(
    attempt: &mut Attempt<'_>,
    access: &Access,
    what: &RdsRestore,
) -> Result<(), Trouble> {
    let mut told = vec![];
    for candidate in &what.candidates {
        let asked = rds::snapshot(access, what.at.form, &candidate.snapshot);
        let found = timeout_at(attempt.until, asked).await.map_err(|_| late())?;
        match why_not(found.map_err(|fault| not_ready(&fault))?.as_ref(), candidate) {
            None => {
                told.iter().for_each(|why: &String| attempt.say(why));
                return Ok(());
            }
            Some(why) => told.push(format!("{}: {why}", candidate.snapshot)),
        }
    }
    failed(format!("nothing was begun: {}", told.join("; ")), false)
}

async fn pointer(attempt: &Attempt<'_>, access: &Access, what: &RdsSwitch) -> Result<(), Trouble> {
    let keys = Keys { host: what.host_key.clone(), port: what.port_key.clone() };
    let seen = look(attempt.until, access, (&what.secret.secret, &keys), what).await;
    let seen = seen.ok_or_else(late)?.map_err(|fault| not_ready(&fault))?;
    is_as_planned(&seen, what)
}

/// What cannot be read may be why all of this is done.
async fn schema(attempt: &mut Attempt<'_>, it: &Ready<'_>) -> Result<(), Trouble> {
    let history = history_at(&history(attempt, it.schema)?, &it.switch.old);
    match holds(&history).await {
        Ok(revision) if revision.agrees_with(it.from) => {}
        Ok(revision) => {
            let why = format!(
                "nothing was begun: {} is at {revision} and not at {}; somebody migrated it in between",
                it.restore.at.name, it.from
            );
            return failed(why, false);
        }
        Err((why, _)) => {
            attempt.say(&format!("what is at {} cannot be read any more: {why}", it.switch.old));
        }
    }
    Ok(())
}
