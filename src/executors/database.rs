//! Taking migrations back with the tool that made them. What the history says decides, before and after, and never what the tool
//! says of itself: Flyway was seen to end with 0 where a migration had failed.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::{Instant, timeout};

use super::{
    Adopted, Attempt, Trouble, child::End as Exit, command::run_recorded, deployment, failed,
};
use crate::{
    databases::history::{History, Unreadable},
    domain::{
        change::Revision,
        plan::SchemaAt,
        run::Outcome,
        schema::{
            MigrationState, Schema,
            undo::{UndoBy, UndoJob},
        },
    },
};

/// For one look.
pub(super) const LOOK: Duration = Duration::from_secs(30);
/// Between two looks at a history that cannot be read at the moment.
const PAUSE: Duration = Duration::from_secs(1);
/// What Flyway's free edition says of an undo.
const NO_UNDO: [&str; 2] = ["FlywayRedgateEditionRequired", "Edition Required"];

/// What it says where a script is not what was applied.
const MISMATCH: &str = "Migration checksum mismatch";

/// The histories that may be looked at, by whose they are.
pub type Histories = Adopted<SchemaAt, History>;

/// What a [`crate::domain::plan::Action::MigrationsUndo`] says.
pub(super) struct Undo<'a> {
    /// Whose.
    pub schema: &'a SchemaAt,
    /// From where to where.
    pub way: Way<'a>,
    /// With what.
    pub by: &'a UndoBy,
}

/// Where a schema goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way<'a> {
    /// Where it must be now.
    pub from: &'a Revision,
    /// Where it will be.
    pub to: &'a Revision,
    /// What is taken back.
    pub undone: &'a [String],
}

/// How far it is on its way.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stands {
    /// Nothing is taken back yet.
    AtBegin,
    /// All of it is.
    AtEnd,
    /// These are still there, of all that go.
    Between(Vec<String>),
    /// It is on no way that the plan knows; why.
    Elsewhere(String),
}

/// Carries one out.
pub(super) async fn undo(attempt: &mut Attempt<'_>, undo: Undo<'_>) -> Result<Outcome, Trouble> {
    let history = attempt.options.histories.find(undo.schema);
    let history = history.ok_or_else(|| {
        let why = format!("the configuration names no history of {} any more", undo.schema);
        // What an earlier daemon began may go on.
        if attempt.touched { Trouble::Unknown(why) } else { Trouble::Failed { why, retry: false } }
    })?;
    // It is waited for before anything is made of how far it is.
    let earlier = if attempt.touched { job(attempt, undo.by, false).await? } else { None };
    let before = look(&history, attempt.until).await;
    let before = before.map_err(|why| {
        let why = format!("nothing was begun, since its history cannot be read: {why}");
        if attempt.touched { Trouble::Unknown(why) } else { Trouble::Failed { why, retry: true } }
    })?;
    attempt.before = in_words(&before);
    attempt.after.clone_from(&attempt.before);
    match stands(&before, &undo.way) {
        Stands::AtEnd if attempt.touched => return Ok(Outcome::Done),
        Stands::AtEnd => return Ok(Outcome::AlreadyDone),
        // Whether it was never made, or is gone again, the journal does not tell.
        Stands::AtBegin if earlier.is_none() && attempt.touched && is_job(undo.by) => {
            let why = "an earlier daemon was about to make its Job, which is not there: whether it ran nobody can tell, and no second is made";
            return Err(Trouble::Unknown(why.to_owned()));
        }
        Stands::AtBegin if earlier.is_none() => {}
        now @ (Stands::AtBegin | Stands::Between(_) | Stands::Elsewhere(_)) => {
            let end = earlier.unwrap_or(End::Seen(String::new()));
            return ended(attempt, now, &before, &end, &undo);
        }
    }
    attempt.permits()?;
    attempt.touched = true;
    let end = match undo.by {
        UndoBy::Run(run) => match run_recorded(attempt, run).await {
            Ok(ran) => {
                attempt.note(&ran);
                match ran.end {
                    Exit::Exited(_) => End::Seen(ran.end.to_string()),
                    Exit::Signalled(_) | Exit::TimedOut(_) => End::Cut(ran.end.to_string()),
                }
            }
            Err(cannot) => End::NotBegun(cannot.to_string()),
        },
        UndoBy::Job(_) => job(attempt, undo.by, true).await?.unwrap_or(End::Seen(String::new())),
    };
    let until = attempt.until.max(Instant::now() + LOOK);
    let after = look(&history, until).await.map_err(|why| {
        Trouble::Unknown(format!("{}, and its history cannot be read: {why}", end.why()))
    })?;
    attempt.after = in_words(&after);
    let now = stands(&after, &undo.way);
    ended(attempt, now, &after, &end, &undo)
}

/// What became of the tool.
enum End {
    /// It could not be started; why not.
    NotBegun(String),
    /// It has ended by itself, and said so; empty where none was begun.
    Seen(String),
    /// It was ended from outside: what it had asked the server for may go on there for a while.
    Cut(String),
    /// Nobody saw its end: it may go on. Why not.
    Unseen(String),
}

impl End {
    fn why(&self) -> &str {
        let (Self::NotBegun(why) | Self::Seen(why) | Self::Cut(why) | Self::Unseen(why)) = self;
        why
    }
}

/// What it comes to, after a tool that ended so.
fn ended(
    attempt: &mut Attempt<'_>,
    stands: Stands,
    now: &Schema,
    end: &End,
    undo: &Undo<'_>,
) -> Result<Outcome, Trouble> {
    if let (End::Unseen(why), false) = (end, stands == Stands::AtEnd) {
        let at = now.version();
        return Err(Trouble::Unknown(format!(
            "{why}; it may go on, and the history is at {at} now: nothing else may change the schema before it has ended"
        )));
    }
    if let (End::Cut(why), Stands::AtBegin) = (end, &stands) {
        let at = now.version();
        return Err(Trouble::Unknown(format!(
            "{why}; what it had asked the server for may go on there, although the history is still at {at}: see its sessions, and what is there of {}, before anything else changes the schema",
            undo.way.undone.join(", ")
        )));
    }
    if stands == Stands::AtBegin {
        attempt.unmoved = is_unmoved(now, end, &attempt.output);
    }
    let end = end.why();
    let begin = if end.is_empty() { String::new() } else { format!("{end}: ") };
    match stands {
        Stands::AtEnd => Ok(Outcome::Done),
        Stands::AtBegin if NO_UNDO.iter().any(|said| attempt.output.contains(said)) => {
            let why = "this edition of Flyway has no undo: it needs a license, or another way back";
            failed(why.to_owned(), false)
        }
        Stands::AtBegin if attempt.output.contains(MISMATCH) => {
            let why = "a script was changed after it was applied (Migration checksum mismatch), and Flyway does nothing before that is \
                       mended: put back what was applied, or `flyway repair` where the change was meant";
            failed(why.to_owned(), false)
        }
        Stands::AtBegin => {
            let why = format!(
                "{end}, and nothing was taken back: the history is still at {}. Is there a script that takes {} back?",
                now.version(),
                undo.way.undone.first().map_or("", String::as_str)
            );
            failed(why, false)
        }
        Stands::Between(left) => failed(format!("{begin}{}", half_way(&left, &undo.way)), false),
        Stands::Elsewhere(why) => failed(format!("{begin}{why}"), false),
    }
}

/// Whether nothing of the schema is another where the history is as it was. A server that takes nothing back has no row of a script of which
/// half was run, but where the tool says that it ran none.
fn is_unmoved(now: &Schema, end: &End, output: &str) -> bool {
    let ran_none = || NO_UNDO.into_iter().chain([MISMATCH]).any(|said| output.contains(said));
    match end {
        End::NotBegun(_) => true,
        End::Seen(_) => now.transactional || ran_none(),
        End::Cut(_) | End::Unseen(_) => false,
    }
}

fn is_job(by: &UndoBy) -> bool {
    matches!(by, UndoBy::Job(_))
}

/// How the Job ended that this attempt made, or finds where it may make none; nothing where there is none.
async fn job(
    attempt: &mut Attempt<'_>,
    by: &UndoBy,
    may_make: bool,
) -> Result<Option<End>, Trouble> {
    let UndoBy::Job(UndoJob { cluster, namespace, cron_job, timeout, keep, env }) = by else {
        return Ok(None);
    };
    let from = (cluster.as_str(), namespace.as_str(), cron_job.as_str());
    let job = deployment::Job { from, timeout: *timeout, keep: *keep, once_with: Some(env) };
    let before = attempt.before.clone();
    let ended = match may_make {
        true => deployment::job(attempt, job).await.map(Some),
        false => deployment::begun(attempt, &job).await,
    };
    // What counts is how the history was.
    attempt.before = before;
    match ended {
        Ok(ended) => Ok(ended.map(|_| End::Seen(std::mem::take(&mut attempt.after)))),
        // What it did to the history is told by that, and by nothing that it says.
        Err(Trouble::Failed { why, .. }) => Ok(Some(End::Seen(why))),
        Err(Trouble::Unknown(why)) => Ok(Some(End::Unseen(why))),
        Err(withheld @ Trouble::Withheld(_)) => Err(withheld),
    }
}

/// Until it can be read; what a person must mend is told at once.
pub(super) async fn look(history: &History, until: Instant) -> Result<Schema, String> {
    loop {
        let why = match timeout(LOOK, history.read()).await {
            Ok(Ok(schema)) => return Ok(schema),
            Ok(Err(unreadable)) if !Unreadable::passes(&unreadable) => {
                return Err(unreadable.to_string());
            }
            Ok(Err(unreadable)) => unreadable.to_string(),
            Err(_) => format!("no answer within {} s", LOOK.as_secs()),
        };
        if Instant::now() + PAUSE >= until {
            return Err(why);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

pub(super) fn stands(now: &Schema, way: &Way<'_>) -> Stands {
    if let Some(failed) = now.failed().next() {
        return Stands::Elsewhere(format!(
            "{} failed and is not mended: what is there of it nobody knows",
            failed.called()
        ));
    }
    if let Some(run) = &now.run {
        return Stands::Elsewhere(format!("somebody else migrates it now: {}", run.session));
    }
    let there: BTreeSet<&str> = now
        .newest
        .iter()
        .filter(|it| {
            matches!(it.state, MigrationState::Success | MigrationState::OutOfOrder)
                && !it.kind.starts_with("UNDO")
        })
        .filter_map(|it| it.version.as_deref())
        .collect();
    let left: Vec<String> =
        way.undone.iter().filter(|it| there.contains(it.as_str())).cloned().collect();
    let is_at = |revision: &Revision| {
        now.current.as_deref() == Some(revision.version.as_str())
            || now.current.is_none() && revision.version == "none"
    };
    match left.len() {
        0 if is_at(way.to) => Stands::AtEnd,
        all if all == way.undone.len() && now.revision().agrees_with(way.from) => Stands::AtBegin,
        some if some > 0 && some < way.undone.len() => Stands::Between(left),
        _ => Stands::Elsewhere(format!(
            "somebody migrated in between, it is at {}: this plan was made to go from {} to {}",
            now.version(),
            way.from,
            way.to
        )),
    }
}

fn half_way(left: &[String], way: &Way<'_>) -> String {
    format!(
        "it stopped half-way: {} of {} are still there. The code of neither version may run on that: see what the tool says, and go on by hand",
        left.join(", "),
        way.undone.join(", ")
    )
}

pub(super) fn in_words(schema: &Schema) -> String {
    format!("{} has {}", schema.table, schema.version())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{examples, schema::Migration};

    fn schema(newest: Vec<Migration>, current: &str) -> Schema {
        let rows = newest.len() as u64;
        Schema { newest, rows, ..examples::schema(current) }
    }

    fn row(rank: i64, version: &str, state: MigrationState) -> Migration {
        Migration { state, ..examples::migration(rank, Some(version)) }
    }

    #[test]
    fn how_far_it_came_is_told_by_what_is_still_there() {
        use MigrationState::{Failed, Success, Undone};
        let begin =
            schema(vec![row(3, "7", Success), row(2, "6", Success), row(1, "5", Success)], "7");
        let (from, to) = (begin.revision(), Revision::named("5"));
        let undone = ["7".to_owned(), "6".to_owned()];
        let way = Way { from: &from, to: &to, undone: &undone };
        assert_eq!(stands(&begin, &way), Stands::AtBegin);
        let half =
            schema(vec![row(3, "7", Undone), row(2, "6", Success), row(1, "5", Success)], "6");
        assert_eq!(stands(&half, &way), Stands::Between(vec!["6".into()]));
        let end = schema(vec![row(3, "7", Undone), row(2, "6", Undone), row(1, "5", Success)], "5");
        assert_eq!(stands(&end, &way), Stands::AtEnd);
        let gone = schema(vec![row(1, "5", Success)], "5");
        assert_eq!(stands(&gone, &way), Stands::AtEnd, "a tool that deletes its rows");
        let later = schema(
            vec![
                row(4, "8", Success),
                row(3, "7", Success),
                row(2, "6", Success),
                row(1, "5", Success),
            ],
            "8",
        );
        assert!(
            matches!(stands(&later, &way), Stands::Elsewhere(why) if why.contains("in between"))
        );
        let broken =
            schema(vec![row(3, "7", Failed), row(2, "6", Success), row(1, "5", Success)], "6");
        assert!(matches!(stands(&broken, &way), Stands::Elsewhere(why) if why.contains("failed")));
    }
}
