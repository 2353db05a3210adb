//! Scripts as steps and checks: argv without a shell, judged by exit status and by their own `observe` command.

use std::{path::Path, time::Duration};

use tokio::time::Instant;

use super::{
    Attempt, Options, Trouble,
    child::{self, End, Ran},
    orphan::Record,
    program::{CannotStart, Program},
};
use crate::domain::{plan::CommandLine, run::Outcome, struck::struck_of_program};

/// For the look after a step whose own time is used up: what is in effect must still be found out.
pub(super) const LAST_LOOK: Duration = Duration::from_secs(10);

/// Carries out a [`crate::domain::plan::Action::Command`].
pub(super) async fn command(
    attempt: &mut Attempt<'_>,
    line: &CommandLine,
    observe: Option<&CommandLine>,
    idempotent: bool,
) -> Result<Outcome, Trouble> {
    let dir = &attempt.options.state_dir;
    if let Some(observe) = observe {
        match look(observe, dir, attempt.until).await {
            Ok((true, seen)) => {
                attempt.before = seen;
                return Ok(Outcome::AlreadyDone);
            }
            Ok((false, seen)) => attempt.before = seen,
            Err(why) if attempt.touched => return Err(Trouble::Unknown(why)),
            Err(why) => {
                let why = format!("nothing was begun, since it cannot be observed: {why}");
                return Err(Trouble::Failed { why, retry: true });
            }
        }
    }
    attempt.permits()?;
    let ran = run_recorded(attempt, line).await?;
    attempt.note(&ran);
    let Some(observe) = observe else { return by_exit(&ran, idempotent) };
    let until = attempt.until.max(Instant::now() + LAST_LOOK);
    match look(observe, dir, until).await {
        Ok((true, seen)) => {
            attempt.after = seen;
            Ok(Outcome::Done)
        }
        Ok((false, seen)) => {
            attempt.after = seen;
            let why = format!("{}, and its `observe` command says it is not in effect", ran.end);
            Err(Trouble::Failed { why, retry: true })
        }
        Err(why) => Err(Trouble::Unknown(format!("{}, and {why}", ran.end))),
    }
}

/// Without `observe` the exit status is all there is to go by.
fn by_exit(ran: &Ran, idempotent: bool) -> Result<Outcome, Trouble> {
    match ran.end {
        End::Exited(0) => Ok(Outcome::Done),
        End::Exited(_) => Err(Trouble::Failed { why: ran.end.to_string(), retry: idempotent }),
        End::Signalled(_) | End::TimedOut(_) if idempotent => {
            Err(Trouble::Failed { why: ran.end.to_string(), retry: true })
        }
        End::Signalled(_) | End::TimedOut(_) => {
            Err(Trouble::Unknown(format!("{}, and it has no `observe` command", ran.end)))
        }
    }
}

/// Carries out a [`crate::domain::plan::Action::Check`].
pub(super) async fn check(
    attempt: &mut Attempt<'_>,
    line: &CommandLine,
) -> Result<Outcome, Trouble> {
    attempt.permits()?;
    let ran = run_recorded(attempt, line).await?;
    attempt.note(&ran);
    match ran.is_ok() {
        true => Ok(Outcome::Done),
        false => Err(Trouble::Failed { why: ran.end.to_string(), retry: true }),
    }
}

/// Runs what changes the world, so that a crash does not lose sight of it.
pub(super) async fn run_recorded(
    attempt: &Attempt<'_>,
    line: &CommandLine,
) -> Result<Ran, CannotStart> {
    let Options { state_dir, .. } = attempt.options;
    let program = Program::resolve(line, state_dir).await?;
    let record =
        Record::of(state_dir, attempt.order, &program.argv).map_err(|error| CannotStart::Busy {
            program: program.path.clone(),
            why: format!("it cannot be recorded: {error}"),
        })?;
    child::run(&program, Some((state_dir, record)), attempt.until).await
}

/// Runs what only looks.
pub(super) async fn run_looking(
    line: &CommandLine,
    dir: &Path,
    until: Instant,
) -> Result<Ran, CannotStart> {
    let program = Program::resolve(line, dir).await?;
    child::run(&program, None, until).await
}

/// The same, for a program of which more than the end of what it prints is to be read. Of more than so many bytes nothing is.
pub(super) async fn run_reading(
    line: &CommandLine,
    dir: &Path,
    until: Instant,
    bytes_max: usize,
) -> Result<Ran, String> {
    let program = Program::resolve(line, dir).await.map_err(|error| error.to_string())?;
    let program = Program { shown: bytes_max, ..program };
    let ran = child::run(&program, None, until).await.map_err(|error| error.to_string())?;
    if ran.stdout.len() >= bytes_max {
        return Err(format!("it prints more than {bytes_max} bytes"));
    }
    Ok(ran)
}

/// What it printed, where it ended well.
pub(super) fn whole(ran: Ran) -> Result<String, String> {
    match ran.is_ok() {
        true => Ok(ran.stdout),
        false => Err(format!("{}: {}", ran.end, struck_of_program(last_line(&ran.stderr)))),
    }
}

fn last_line(text: &str) -> &str {
    text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it says nothing")
}

/// Whether the change is in effect, with what was seen; an error where nobody can tell.
async fn look(line: &CommandLine, dir: &Path, until: Instant) -> Result<(bool, String), String> {
    let ran = run_looking(line, dir, until)
        .await
        .map_err(|error| format!("its `observe` command does not run: {error}"))?;
    match ran.end {
        End::Exited(code) => {
            Ok((code == 0, format!("observe exited with {code}: {}", ran.output())))
        }
        End::Signalled(_) | End::TimedOut(_) => {
            Err(format!("its `observe` command does not say: {}", ran.end))
        }
    }
}
