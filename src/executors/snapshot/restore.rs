//! A snapshot restored into a new database, beside the one that is there.

use tokio::time::{Instant, timeout};

use super::{Keeper, LOOK, fault, likeness, look::fingerprint, mark, there};
use crate::{
    databases::{self, Session, identifier},
    domain::{
        change::Revision,
        plan::{CommandLine, SchemaAt},
        run::Outcome,
    },
    executors::{Attempt, Trouble, command::run_recorded, failed},
    units::Span,
};

/// What a [`crate::domain::plan::Action::SnapshotRestore`] says.
pub(in crate::executors) struct Restore<'a> {
    /// Whose.
    pub(in crate::executors) schema: &'a SchemaAt,
    /// The snapshot.
    pub(in crate::executors) file: &'a str,
    /// How large it must be, and how it must begin.
    pub(in crate::executors) is: (u64, &'a str),
    /// What it is of.
    pub(in crate::executors) beside: &'a str,
    /// The new one's name.
    pub(in crate::executors) restored: &'a str,
    /// What must be in it.
    pub(in crate::executors) to: &'a Revision,
    /// What does it.
    pub(in crate::executors) run: &'a CommandLine,
}

/// Carries one out.
pub(in crate::executors) async fn restore(
    attempt: &mut Attempt<'_>,
    it: Restore<'_>,
) -> Result<Outcome, Trouble> {
    let keeper = attempt.options.keepers.find(it.schema)?;
    is_as_planned(&it).await?;
    let reached = |problem| fault(&problem, "nothing was begun");
    let mut session = keeper.session().await.map_err(reached)?;
    let found = there(&mut session, &[it.restored]).await.map_err(reached)?;
    let begun = format!("rollbackd restores it for {}", attempt.order.run);
    match found.first().map(|found| found.comment.as_deref()) {
        None => {}
        Some(Some(said)) if said == mark(it.is.1) => {
            holds(&keeper, &it).await?;
            attempt.after = format!("{} is there, and holds {}", it.restored, it.to);
            return Ok(if attempt.touched { Outcome::Done } else { Outcome::AlreadyDone });
        }
        Some(Some(said)) if said == begun => {
            attempt.permits()?;
            attempt.before =
                format!("{} was there, half restored by an earlier attempt", it.restored);
            drop_it(&mut session, it.restored).await.map_err(|problem| {
                fault(&problem, &format!("{} is half restored, and stays", it.restored))
            })?;
        }
        Some(said) => {
            let why = format!(
                "there is a database {} that this rollback did not make ({}): rename it, or delete it",
                it.restored,
                said.unwrap_or("it says nothing of itself")
            );
            return failed(why, false);
        }
    }
    attempt.permits()?;
    attempt.touched = true;
    let made = likeness::make(&mut session, (it.restored, it.beside), &begun).await;
    session.close().await;
    if let Err(problem) = made {
        give_up(attempt, &keeper, it.restored).await;
        return Err(fault(&problem, &format!("{} was not made as {} is", it.restored, it.beside)));
    }
    match filled(attempt, &keeper, &it).await {
        Ok(()) => {
            attempt.after = format!("{} holds {}", it.restored, it.to);
            Ok(Outcome::Done)
        }
        Err(trouble) => {
            give_up(attempt, &keeper, it.restored).await;
            Err(trouble)
        }
    }
}

/// A file that is another than was looked at when the plan was made is not restored.
async fn is_as_planned(it: &Restore<'_>) -> Result<(), Trouble> {
    let (bytes, begins) = it.is;
    let now = tokio::fs::metadata(it.file).await;
    let now = now.map(|meta| meta.len()).map_err(|error| Trouble::Failed {
        why: format!("nothing was begun: {}: {error}", it.file),
        retry: false,
    })?;
    let hash = fingerprint(it.file.to_owned()).await;
    if now != bytes || hash.as_deref() != Ok(begins) {
        let why =
            format!("nothing was begun: {} is another file than the plan was made for", it.file);
        return failed(why, false);
    }
    Ok(())
}

async fn filled(
    attempt: &mut Attempt<'_>,
    keeper: &Keeper,
    it: &Restore<'_>,
) -> Result<(), Trouble> {
    let ran = run_recorded(attempt, it.run).await?;
    attempt.note(&ran);
    if !ran.is_ok() {
        let why = format!(
            "{} was not restored: {}; what is in {} is as it was. What was stopped for it is still stopped",
            it.file, ran.end, it.beside
        );
        return failed(why, false);
    }
    holds(keeper, it).await?;
    let marked = async {
        let options = keeper.through(it.restored);
        let mut session = Session::open_to_write(&options).await?;
        likeness::say(&mut session, it.restored, &mark(it.is.1)).await?;
        session.close().await;
        Ok::<(), databases::Fault>(())
    };
    marked.await.map_err(|problem| fault(&problem, &format!("{} was not marked", it.restored)))?;
    // Without them the first queries after a restore take what tables hold for nothing, and read all of it. It is good without them.
    let left = attempt.until.saturating_duration_since(Instant::now());
    let statement_timeout = Span::from(left).max(Span::seconds(10));
    let options = databases::Options { statement_timeout, ..keeper.through(it.restored) };
    let analyzed = async {
        let mut session = Session::open_to_write(&options).await?;
        session.rows("ANALYZE").await?;
        session.close().await;
        Ok::<(), databases::Fault>(())
    };
    if let Err(problem) = analyzed.await {
        attempt.say(&format!("its statistics are not all there, run ANALYZE: {problem}"));
    }
    Ok(())
}

/// Whether its history of migrations is the one that was planned for.
async fn holds(keeper: &Keeper, it: &Restore<'_>) -> Result<(), Trouble> {
    let history = keeper.history_in(it.restored);
    let read = match timeout(LOOK, history.read()).await {
        Ok(read) => read.map_err(|why| why.to_string()),
        Err(_) => Err(format!("no answer within {} s", LOOK.as_secs())),
    };
    let seen = read.map_err(|why| Trouble::Failed {
        why: format!("what is in {} cannot be read: {why}", it.restored),
        retry: false,
    })?;
    let revision = seen.revision();
    if revision.agrees_with(it.to) {
        return Ok(());
    }
    let why = format!("{} holds {revision}, and not {}: it is not used", it.restored, it.to);
    failed(why, false)
}

/// What is left of an attempt that failed is of use to nobody, and of the size of a database.
async fn give_up(attempt: &mut Attempt<'_>, keeper: &Keeper, name: &str) {
    let dropped = async {
        let mut session = keeper.session().await?;
        drop_it(&mut session, name).await?;
        session.close().await;
        Ok::<(), databases::Fault>(())
    };
    if let Err(problem) = dropped.await {
        attempt.left = format!("the database {name}, half restored: {problem}");
    }
}

async fn drop_it(session: &mut Session, name: &str) -> Result<(), databases::Fault> {
    let name = identifier(session.kind(), name);
    session.rows(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await.map(drop)
}
