//! A snapshot restored into a new database, beside the one that is there.

use tokio::time::Instant;

use super::{Keeper, There, fault, keeper, likeness, look::fingerprint, mark, revision, there};
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
    // What is there is as it was, whatever of this fails: it may run on.
    attempt.unmoved = true;
    let keeper = keeper(attempt, it.schema)?;
    is_as_planned(&it).await?;
    let reached = |problem| fault(&problem, "nothing was begun");
    let mut session = keeper.session().await.map_err(reached)?;
    let found = there(&mut session, &[it.restored]).await.map_err(reached)?;
    let begun = format!("rollbackd restores it for {}", attempt.order.run);
    let is_empty = match found.first() {
        Some(There { comment: None, .. }) => {
            is_empty(&keeper.through(it.restored)).await.map_err(reached)?
        }
        _ => false,
    };
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
        // As a daemon leaves it that is killed between the two statements that make one. Who is there keeps it.
        Some(None) if is_empty => {
            attempt.permits()?;
            attempt.before = format!("{} was there, empty", it.restored);
            let name = identifier(session.kind(), it.restored);
            session.rows(&format!("DROP DATABASE {name}")).await.map_err(reached)?;
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
    let missing = match made {
        Ok(missing) => missing,
        Err(problem) => {
            give_up(attempt, &keeper, (it.restored, &begun)).await;
            let doing = format!("{} was not made as {} is", it.restored, it.beside);
            return Err(fault(&problem, &doing));
        }
    };
    match filled(attempt, &keeper, &it).await {
        Ok(()) => {
            missing.iter().for_each(|what| attempt.say(what));
            attempt.after = format!("{} holds {}", it.restored, it.to);
            Ok(Outcome::Done)
        }
        Err(trouble) => {
            give_up(attempt, &keeper, (it.restored, &begun)).await;
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
            "{} was not restored: {}; what is in {} is as it was",
            it.file, ran.end, it.beside
        );
        return failed(why, false);
    }
    holds(keeper, it).await?;
    let marked = async {
        let mut session = keeper.session().await?;
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
        let mut session = Session::open_unshared(&options).await?;
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
    let read = revision(&keeper.history_in(it.restored)).await;
    let revision = read.map_err(|(why, _)| Trouble::Failed {
        why: format!("what is in {} cannot be read: {why}", it.restored),
        retry: false,
    })?;
    if revision.agrees_with(it.to) {
        return Ok(());
    }
    let why = format!("{} holds {revision}, and not {}: it is not used", it.restored, it.to);
    failed(why, false)
}

/// What is left of an attempt that failed is of use to nobody, and of the size of a database. Only what says that this rollback
/// made it is deleted: somebody else may have made one of that name meanwhile.
async fn give_up(attempt: &mut Attempt<'_>, keeper: &Keeper, (name, begun): (&str, &str)) {
    let dropped = async {
        let mut session = keeper.session().await?;
        let found = there(&mut session, &[name]).await?;
        let is_ours = |it: &There| it.comment.as_deref() == Some(begun);
        let others = found.iter().any(|it| !is_ours(it));
        if !others {
            drop_it(&mut session, name).await?;
        }
        session.close().await;
        Ok::<bool, databases::Fault>(others)
    };
    match dropped.await {
        Ok(false) => {}
        Ok(true) => attempt.left = format!("the database {name}, which does not say who made it"),
        Err(problem) => {
            attempt.left = format!("the database {name}, half restored: {problem}");
        }
    }
}

/// Whether nobody has made anything in it yet.
async fn is_empty(options: &databases::Options) -> Result<bool, databases::Fault> {
    let sql = "SELECT count(*)::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')";
    let rows = Session::once(options, sql).await?;
    Ok(rows.into_iter().flatten().flatten().next().as_deref() == Some("0"))
}

async fn drop_it(session: &mut Session, name: &str) -> Result<(), databases::Fault> {
    let name = identifier(session.kind(), name);
    session.rows(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await.map(drop)
}
