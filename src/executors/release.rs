//! Switching `current` from one release to another: only from where the plan saw it, only to what the plan hashed.

use std::path::{Path, PathBuf};

use tokio::time::timeout_at;

use super::{
    Attempt, Trouble,
    digest::{self, NoDigest},
    failed,
    layout::{self, Link},
};
use crate::domain::run::Outcome;

/// Carries out a [`crate::domain::plan::Action::ReleaseSwitch`].
pub(super) async fn switch(
    attempt: &mut Attempt<'_>,
    root: &str,
    from: &str,
    to: &str,
    wanted: Option<&str>,
) -> Result<Outcome, Trouble> {
    let root = Path::new(root);
    let seen = look(attempt, root).await?;
    attempt.before = seen.to_string();
    let written = movable(&seen, from, to)?;
    unchanged(attempt, root, to, wanted).await?;
    if written.is_none() {
        return Ok(Outcome::AlreadyDone);
    }
    // Hashing takes its time: what was true before it is looked at again, right before the rename.
    let Some(written) = movable(&look(attempt, root).await?, from, to)? else {
        return Ok(Outcome::AlreadyDone);
    };
    attempt.permits()?;
    attempt.touched = true;
    let (at, version) = (root.to_owned(), to.to_owned());
    let moved = blocking(attempt, move || layout::switch(&at, &written, &version)).await?;
    let after = look(attempt, root).await?;
    attempt.after = after.to_string();
    match moved {
        Ok(()) if after.version() == Some(to) => Ok(Outcome::Done),
        Ok(()) => {
            failed(format!("{after} right after it was switched: somebody else moves it"), true)
        }
        Err(error) if after.version() == Some(to) => {
            attempt.say(&format!("switched, but it may not survive a power failure: {error}"));
            Ok(Outcome::Done)
        }
        Err(error) => {
            let why = format!("current of {} could not be switched: {error}", root.display());
            failed(why, error.kind() != std::io::ErrorKind::PermissionDenied)
        }
    }
}

/// How the link is written that may be moved now; `None` when it already points at `to`.
fn movable(seen: &Link, from: &str, to: &str) -> Result<Option<PathBuf>, Trouble> {
    let why = match seen {
        Link::Version { version, dangling: false, .. } if version == to => return Ok(None),
        Link::Version { version, written, .. } if version == from => {
            return Ok(Some(written.clone()));
        }
        Link::Version { version, .. } if version != to => {
            format!("somebody deployed {version} in between: this plan was made to leave {from}")
        }
        Link::Unreadable(_) => return failed(seen.to_string(), true),
        Link::Version { .. } | Link::Elsewhere { .. } | Link::InTheWay | Link::Missing => {
            seen.to_string()
        }
    };
    failed(why, false)
}

/// The target must be there, and hold what it held when the plan was made.
async fn unchanged(
    attempt: &Attempt<'_>,
    root: &Path,
    to: &str,
    wanted: Option<&str>,
) -> Result<(), Trouble> {
    let refused = |why: String| Trouble::Failed { why, retry: false };
    let dir = layout::directory(root, to).map_err(refused)?;
    let there = dir.clone();
    if !blocking(attempt, move || there.is_dir()).await? {
        return Err(refused(format!("there is no release {to}: {} is missing", dir.display())));
    }
    let Some(wanted) = wanted else { return Ok(()) };
    let hashed = digest::digest_of(root, to, attempt.options.digest);
    match timeout_at(attempt.until, hashed).await {
        Err(_) => {
            failed(format!("{} could not be hashed within the step's timeout", dir.display()), true)
        }
        Ok(Ok(found)) if found == wanted => Ok(()),
        Ok(Ok(found)) => failed(
            format!(
                "{to} is not what it was: {} has {found}, the plan wants {wanted}",
                dir.display()
            ),
            false,
        ),
        Ok(Err(error)) => {
            let retry = matches!(error, NoDigest::Unreadable { .. });
            failed(format!("{to} cannot be compared with what it was: {}", in_full(&error)), retry)
        }
    }
}

/// What `current` is now.
pub(super) async fn look(attempt: &Attempt<'_>, root: &Path) -> Result<Link, Trouble> {
    let root = root.to_owned();
    blocking(attempt, move || layout::look(&root).0).await
}

/// A file system that hangs must not hang the daemon.
async fn blocking<T: Send + 'static>(
    attempt: &Attempt<'_>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Trouble> {
    let why = match timeout_at(attempt.until, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(done)) => return Ok(done),
        Ok(Err(_)) => "the work on the file system broke off",
        Err(_) => "the file system did not answer within the step's timeout",
    };
    match attempt.touched {
        true => Err(Trouble::Unknown(why.to_owned())),
        false => failed(why.to_owned(), true),
    }
}

/// An error with its cause.
pub(super) fn in_full(error: &NoDigest) -> String {
    match error {
        NoDigest::Unreadable { source, .. } => format!("{error}: {source}"),
        NoDigest::NoSuchName(_) | NoDigest::Missing(_) | NoDigest::TooMuch { .. } => {
            error.to_string()
        }
    }
}
