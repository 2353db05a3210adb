//! Maintenance mode by programs: one switches it on, one off, and one looks. Nothing is switched that nobody can look at.
//!
//! What was switched on by the daemon is marked in the state directory before anything is run, so that it is known again after a
//! crash. What somebody else switched on is never switched off: people are told that it stays.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use tokio::{task::spawn_blocking, time::Instant};

use super::{
    Attempt, Options, Trouble,
    child::End,
    command::{LAST_LOOK, run_looking, run_recorded},
    failed,
    program::Program,
};
use crate::domain::{
    inventory::Check, maintenance::Commands, plan::hex, run::Outcome, service::ServiceId,
};

/// As `systemctl status` says that a program does not run. A script that breaks ends with 1, and must not be taken for it.
const OFF: i32 = 3;

/// How it stands, as `observe` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    On,
    Off,
}

/// Carries out a [`crate::domain::plan::Action::MaintenanceOn`].
pub(super) async fn switch_on(
    attempt: &mut Attempt<'_>,
    service: &ServiceId,
    commands: &Commands,
) -> Result<Outcome, Trouble> {
    let mark = Mark::of(attempt.options, service);
    match look(attempt.options, commands, attempt.until).await {
        Ok((Standing::On, seen)) => {
            let is_ours = mark.is_there().await?;
            attempt.before.clone_from(&seen);
            attempt.after = match is_ours {
                true => seen,
                false => format!(
                    "{seen}; somebody else switched it on, and it stays when the rollback is over"
                ),
            };
            let is_new = is_ours && attempt.touched;
            return Ok(if is_new { Outcome::Done } else { Outcome::AlreadyDone });
        }
        Ok((Standing::Off, seen)) => attempt.before = seen,
        Err(why) if attempt.touched => return Err(Trouble::Unknown(why)),
        Err(why) => {
            return failed(format!("nothing was begun, since it cannot be observed: {why}"), true);
        }
    }
    attempt.permits()?;
    mark.write().await?;
    attempt.touched = true;
    let ran = run_recorded(attempt, &commands.on).await?;
    attempt.note(&ran);
    seen_to_be(attempt, commands, Standing::On, ran.end).await
}

/// Carries out a [`crate::domain::plan::Action::MaintenanceOff`].
pub(super) async fn switch_off(
    attempt: &mut Attempt<'_>,
    service: &ServiceId,
    commands: &Commands,
) -> Result<Outcome, Trouble> {
    let mark = Mark::of(attempt.options, service);
    match look(attempt.options, commands, attempt.until).await {
        Ok((Standing::Off, seen)) => {
            (attempt.before, attempt.after) = (seen.clone(), seen);
            mark.remove().await?;
            let is_new = attempt.touched;
            return Ok(if is_new { Outcome::Done } else { Outcome::AlreadyDone });
        }
        Ok((Standing::On, seen)) => attempt.before = seen,
        // The mark is there before anything is switched: without it there is nothing to take back.
        Err(why) if !mark.is_there().await? => {
            attempt.after =
                format!("rollbackd never switched it on, and nobody can tell how it stands: {why}");
            return Ok(Outcome::AlreadyDone);
        }
        Err(why) => return Err(Trouble::Unknown(why)),
    }
    let off = commands.off.argv.join(" ");
    if !mark.is_there().await? {
        let why = format!(
            "it is on, and somebody else switched it on: rollbackd leaves it as it is; `{off}` if it is not needed"
        );
        return failed(why, false);
    }
    attempt.permits()?;
    attempt.touched = true;
    let ran = run_recorded(attempt, &commands.off).await?;
    attempt.note(&ran);
    let outcome = seen_to_be(attempt, commands, Standing::Off, ran.end).await?;
    mark.remove().await?;
    Ok(outcome)
}

/// Whatever a program says of itself, what counts is what is seen.
async fn seen_to_be(
    attempt: &mut Attempt<'_>,
    commands: &Commands,
    wanted: Standing,
    end: End,
) -> Result<Outcome, Trouble> {
    let until = attempt.until.max(Instant::now() + LAST_LOOK);
    match look(attempt.options, commands, until).await {
        Ok((standing, seen)) => {
            attempt.after = seen;
            let is = match standing {
                Standing::On => "on",
                Standing::Off => "off",
            };
            match standing == wanted {
                true => Ok(Outcome::Done),
                false => {
                    failed(format!("{end}, and its `observe` command says that it is {is}"), true)
                }
            }
        }
        Err(why) => Err(Trouble::Unknown(format!("{end}, and {why}"))),
    }
}

/// How it stands, with what was seen; an error where nobody can tell.
async fn look(
    options: &Options,
    commands: &Commands,
    until: Instant,
) -> Result<(Standing, String), String> {
    let ran = run_looking(&commands.observe, &options.state_dir, until)
        .await
        .map_err(|error| format!("its `observe` command does not run: {error}"))?;
    let standing = match ran.end {
        End::Exited(0) => Standing::On,
        End::Exited(OFF) => Standing::Off,
        End::Exited(code) => {
            return Err(format!(
                "its `observe` command exited with {code}, which is neither 0 (it is on) nor {OFF} (it is off): {}",
                ran.output()
            ));
        }
        End::Signalled(_) | End::TimedOut(_) => {
            return Err(format!("its `observe` command does not say: {}", ran.end));
        }
    };
    Ok((
        standing,
        format!("observe {}: {}", ran.end.to_string().replacen("it ", "", 1), ran.output()),
    ))
}

/// Says that it was the daemon who switched it on for a service.
struct Mark(PathBuf);

impl Mark {
    fn of(options: &Options, service: &ServiceId) -> Self {
        let hash = hex(&Sha256::digest(service.to_string())[..8]);
        Self(options.state_dir.join("maintenance").join(hash))
    }

    async fn is_there(&self) -> Result<bool, Trouble> {
        self.with(|path| path.try_exists()).await
    }

    /// Durable when this returns.
    async fn write(&self) -> Result<(), Trouble> {
        self.with(|path| {
            let dir = path.parent().unwrap_or(path);
            fs::create_dir_all(dir)?;
            fs::File::create(path)?.sync_all()?;
            fs::File::open(dir)?.sync_all()
        })
        .await
    }

    /// Durable, too: a mark that came back would be of somebody else's page.
    async fn remove(&self) -> Result<(), Trouble> {
        self.with(|path| match fs::remove_file(path) {
            Ok(()) => fs::File::open(path.parent().unwrap_or(path))?.sync_all(),
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(fault) => Err(fault),
        })
        .await
    }

    async fn with<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Trouble> {
        let path = self.0.clone();
        let done = spawn_blocking(move || act(&path)).await;
        done.unwrap_or_else(|fault| Err(fault.into())).map_err(|fault| Trouble::Failed {
            why: format!("{}: {fault}", self.0.display()),
            retry: true,
        })
    }
}

/// Whether it could be switched, looked at before there is need; nothing is switched.
pub async fn maintenance_preflight(commands: &Commands, options: &Options) -> Check {
    let seen = ready(commands, options).await;
    Check::of("its maintenance mode may be switched on and off", seen)
}

async fn ready(commands: &Commands, options: &Options) -> Result<String, String> {
    for line in [&commands.on, &commands.off] {
        Program::resolve(line, &options.state_dir).await.map_err(|error| error.to_string())?;
    }
    let until = Instant::now() + commands.observe.timeout.duration();
    match look(options, commands, until).await? {
        (Standing::Off, seen) => Ok(format!("it is off ({seen}), and its programs are executable")),
        (Standing::On, seen) => Err(format!(
            "it is on already ({seen}): what somebody switched on stays on after a rollback, and nothing is verified until they switch it off"
        )),
    }
}
