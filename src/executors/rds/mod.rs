//! A database of RDS: what there is of it, another one made of a snapshot, seen to hold what it should, and the service told where it is.
//!
//! Nothing here deletes anything, and what was there is not touched: an instance that this run made is known by its tag.

mod look;
mod preflight;
mod ready;
mod restore;
mod switch;
mod verify;

pub use self::{
    look::{Place, seen},
    preflight::rds_preflight,
};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Attempt, Trouble, failed};
use crate::{
    aws::{Access, Fault, rds::There},
    databases::history::History,
    domain::{
        plan::{Action, SchemaAt},
        rds::{Endpoint, RdsAt, Restored, is_failed},
        run::Outcome,
    },
};

/// After a look that found nothing to go on with; twice as long after each other.
const PAUSE: Duration = Duration::from_millis(300);
/// No longer than this.
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// So many looks that show none, before it is believed that there is none.
const LOOKS_MISSED_MAX: u32 = 3;

/// Carries out a step of RDS, and no other.
pub(super) async fn perform(
    attempt: &mut Attempt<'_>,
    action: &Action,
) -> Result<Outcome, Trouble> {
    // What was there is as it was until the service is led away from it: whatever of these fails, it may have its pods back.
    attempt.unmoved = matches!(action, Action::RdsRestore { .. } | Action::RdsVerify { .. });
    if let Action::RdsReady { schema, from, restore, switch } = action {
        return ready::ready(attempt, ready::Ready { schema, from, restore, switch }).await;
    }
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

/// What of them is there now.
enum Stands {
    /// It can be asked.
    Usable(String, Endpoint),
    /// Not yet, and why.
    NotYet(String),
    /// It never will be.
    Failed(String),
    /// None of this run.
    Nowhere,
}

/// What was restored: the last of them that this run made. Those before it had failed, whatever of them is there.
async fn look(access: &Access, restored: &Restored, run: &str) -> Result<Stands, Fault> {
    for name in restored.names.iter().rev() {
        let at = RdsAt { name: name.clone(), ..restored.at.clone() };
        let there = crate::aws::rds::there(access, &at).await?;
        let Some(there) = there.filter(|it| is_ours(it, run)) else { continue };
        let status = format!("{name} is `{}`", there.status);
        return Ok(match there.endpoint {
            _ if is_failed(&there.status) => Stands::Failed(status),
            Some(endpoint) => Stands::Usable(name.clone(), endpoint),
            None => Stands::NotYet(format!("{status}, without an address")),
        });
    }
    Ok(Stands::Nowhere)
}

/// Where it answers. It was available once, and is looked for as long as the attempt lasts: whoever ends at one answer that did not
/// come, or at a status that goes by, leaves everybody without a database.
async fn place_of(
    attempt: &Attempt<'_>,
    access: &Access,
    restored: &Restored,
) -> Result<(String, Endpoint), Trouble> {
    let (mut pause, mut missed) = (PAUSE, 0);
    loop {
        let (why, retry) = match look(access, restored, &attempt.order.run).await {
            Ok(Stands::Usable(name, endpoint)) => return Ok((name, endpoint)),
            Ok(Stands::Failed(why)) => return failed(format!("nothing was begun: {why}"), false),
            Ok(Stands::NotYet(why)) => (why, true),
            Ok(Stands::Nowhere) => {
                missed += 1;
                let names = restored.names.join(", ");
                (format!("none of {names} is there, of this run"), missed < LOOKS_MISSED_MAX)
            }
            Err(fault) => {
                // Credentials run out in the hours that a restore takes, and whoever asks next looks for them anew.
                let passes = fault.is_worth_another_try();
                (format!("{fault}; {}", fault.advice()), passes)
            }
        };
        if !retry || Instant::now() + pause >= attempt.until {
            return failed(format!("nothing was begun: {why}"), retry);
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}
