//! Restarting what runs from `current`, until the wanted version is seen to serve.
//!
//! A restart that returned 0 proves nothing: only the running version does.

use std::{path::Path, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::{Attempt, Trouble, command, layout::Link, release, running};
use crate::{
    domain::{
        inventory::Serving,
        plan::{Restart, Running},
        run::Outcome,
    },
    units::Span,
};

/// Between two looks at what serves.
const EVERY: Duration = Duration::from_millis(250);
/// How long the wanted version is still looked for after the restart itself has failed.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Carries out a [`crate::domain::plan::Action::ReleaseRestart`].
pub(super) async fn restart(
    attempt: &mut Attempt<'_>,
    root: &str,
    to: &str,
    (how, anew): (&Restart, bool),
    running: &Running,
) -> Result<Outcome, Trouble> {
    let root = Path::new(root);
    let link = release::look(attempt, root).await?;
    let serving = running::look(running, root, attempt.options, attempt.until).await;
    attempt.before = format!("{link}; {serving}");
    if !matches!(&link, Link::Version { version, dangling: false, .. } if version == to) {
        let why = format!("a restart would not bring up {to}: {link}");
        return Err(Trouble::Failed { why, retry: false });
    }
    // Whether it was restarted since what it reads was changed nobody can tell: once more does no harm.
    if serving.is(to) && !anew {
        return Ok(Outcome::AlreadyDone);
    }
    attempt.permits()?;
    let line = match how {
        Restart::Unit(unit) => {
            let left = attempt.until.saturating_duration_since(Instant::now());
            running::systemctl(&["restart", "--", unit], Span::from(left))
        }
        Restart::Command(line) => line.clone(),
    };
    let ran = command::run_recorded(attempt, &line).await?;
    attempt.note(&ran);
    // At least one look, also when the restart used up all the time there was.
    let now = Instant::now();
    let until = match ran.is_ok() {
        true => attempt.until.max(now + running::LOOK),
        false => attempt.until.clamp(now + running::LOOK, now + AFTER_FAILURE),
    };
    let serving = wait(attempt, to, running, root, until).await;
    attempt.after = serving.to_string();
    match (serving.is(to), ran.is_ok()) {
        (true, _) => Ok(Outcome::Done),
        (false, true) => {
            let why = format!("the restart returned 0, but {to} does not serve: {serving}");
            Err(Trouble::Failed { why, retry: true })
        }
        (false, false) => {
            let why = format!("the restart failed: {}, and {serving}", ran.end);
            Err(Trouble::Failed { why, retry: true })
        }
    }
}

/// The first look that shows the wanted version, or else the last one before `until`.
async fn wait(
    attempt: &Attempt<'_>,
    to: &str,
    running: &Running,
    root: &Path,
    until: Instant,
) -> Serving {
    loop {
        let next = Instant::now() + EVERY;
        let serving = running::look(running, root, attempt.options, until).await;
        if serving.is(to) || next >= until {
            return serving;
        }
        sleep_until(next).await;
    }
}
