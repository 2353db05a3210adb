//! One script run for good.

use tokio::time::{Instant, timeout_at};

use super::{
    look,
    transaction::{self, Ended},
};
use crate::{
    domain::{run::Outcome, schema::script::ScriptRun},
    executors::{
        Attempt, Trouble,
        database::{LOOK, Stands, Way, in_words, look as look_at, stands},
        failed,
    },
};

/// Carries one out that changed `changed` when it was tried.
pub(in crate::executors) async fn run(
    attempt: &mut Attempt<'_>,
    script: &ScriptRun,
    changed: &str,
) -> Result<Outcome, Trouble> {
    let found = attempt.options.scripts.of(&script.schema);
    let scripted = found.map_err(|why| Trouble::Failed { why, retry: false })?;
    let ScriptRun { from, to, undone, .. } = script;
    let way = Way { from, to, undone };
    let before = look_at(&scripted.history, attempt.until).await.map_err(|why| {
        let why = format!("nothing was begun, since its history cannot be read: {why}");
        if attempt.touched { Trouble::Unknown(why) } else { Trouble::Failed { why, retry: true } }
    })?;
    attempt.before = in_words(&before);
    attempt.after.clone_from(&attempt.before);
    // It is committed whole, or fails and leaves nothing.
    attempt.unmoved = stands(&before, &way) == Stands::AtBegin;
    match stands(&before, &way) {
        // It was committed whole, by whoever began it.
        Stands::AtEnd if attempt.touched => return Ok(Outcome::Done),
        Stands::AtEnd => return Ok(Outcome::AlreadyDone),
        Stands::AtBegin | Stands::Between(_) | Stands::Elsewhere(_) => {}
    }
    let text = match look::unchanged(script).await {
        Ok(text) => text,
        Err(why) => return failed(why, false),
    };
    attempt.permits()?;
    attempt.touched = true;
    let ran = timeout_at(attempt.until, transaction::begun(&scripted, script, &text)).await;
    let late = |_| Trouble::Failed {
        why: format!("it was not over within {}, and was taken back", script.timeout),
        retry: false,
    };
    let (open, changes) = match ran.map_err(late)? {
        Ok(both) => both,
        Err(Ended::Already) => return Ok(Outcome::AlreadyDone),
        Err(Ended::Refused { why, passes }) => return failed(why, passes),
        Err(Ended::Escaped(why)) => return Err(Trouble::Unknown(why)),
    };
    for line in changes.in_words().iter().chain(&changes.rows).chain(&changes.checks) {
        attempt.say(line);
    }
    if changes.sha256 != changed {
        open.take_back().await;
        let why = "it changes something else now than when it was tried and approved, and was taken back: look at `rollbackd dry-run`";
        return failed(why.to_owned(), false);
    }
    if let Err(withheld) = attempt.permits() {
        open.take_back().await;
        return Err(withheld);
    }
    let committed = open.commit().await.map_err(|fault| fault.in_words());
    let said = committed.err().unwrap_or_else(|| "it was committed".to_owned());
    let until = attempt.until.max(Instant::now() + LOOK);
    let after = look_at(&scripted.history, until).await;
    let after = after.map_err(|why| {
        Trouble::Unknown(format!("{said}, and its history cannot be read: {why}"))
    })?;
    attempt.after = in_words(&after);
    match stands(&after, &way) {
        Stands::AtEnd => Ok(Outcome::Done),
        Stands::AtBegin => failed(format!("{said}, and nothing of it stays"), true),
        Stands::Between(_) | Stands::Elsewhere(_) => Err(Trouble::Unknown(format!(
            "{said}, and somebody migrated since: the history has {}",
            after.version()
        ))),
    }
}
