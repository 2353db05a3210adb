//! What was restored takes the place of what was there, which is kept under another name: both names change in one
//! transaction.

use std::time::Duration;

use tokio::time::Instant;

use super::{Keeper, There, fault, keeper, revision, there};
use crate::{
    databases::{self, history::History, identifier, literal},
    domain::{change::Revision, plan::SchemaAt, run::Outcome},
    executors::{Attempt, Trouble, failed},
};

/// Who comes again at once is asked to go again.
const TRIES: u32 = 5;
/// Between two of them; the server itself waits for 5 s until those who were asked to go have gone.
const PAUSE: Duration = Duration::from_millis(200);

/// More are asked to go at the next try.
const SESSIONS_MAX: u32 = 10_000;
/// So many of those who stay are named.
const NAMED_MAX: usize = 5;

/// What a [`crate::domain::plan::Action::DatabaseSwitch`] says.
pub(in crate::executors) struct Switch<'a> {
    /// Whose.
    pub(in crate::executors) schema: &'a SchemaAt,
    /// The name that both have in turn.
    pub(in crate::executors) database: &'a str,
    /// What was restored.
    pub(in crate::executors) restored: &'a str,
    /// What is kept.
    pub(in crate::executors) replaced: &'a str,
    /// Where the schema must be.
    pub(in crate::executors) from: &'a Revision,
    /// Where it will be.
    pub(in crate::executors) to: &'a Revision,
}

#[derive(Debug, PartialEq, Eq)]
enum Stands {
    AtBegin,
    AtEnd,
    Elsewhere(String),
}

/// Carries one out.
pub(in crate::executors) async fn switch(
    attempt: &mut Attempt<'_>,
    it: Switch<'_>,
) -> Result<Outcome, Trouble> {
    let keeper = keeper(attempt, it.schema)?;
    match look(&keeper, &it).await.map_err(|problem| fault(&problem, "nothing was begun"))? {
        Stands::AtEnd => {
            attempt.after = in_words(&it);
            return Ok(if attempt.touched { Outcome::Done } else { Outcome::AlreadyDone });
        }
        Stands::Elsewhere(why) => return failed(why, false),
        Stands::AtBegin => {}
    }
    is_at(&keeper.history, (it.database, it.from)).await?;
    // What an earlier daemon asked for may come yet.
    let mut unseen = attempt.touched;
    attempt.unmoved = !unseen;
    is_at(&keeper.history_in(it.restored), (it.restored, it.to)).await?;
    attempt.permits()?;
    attempt.touched = true;
    let (mut last, mut stay) = (None, vec![]);
    for _ in 0..TRIES {
        last = renamed(&keeper, &it, &mut stay).await.err();
        unseen |= last.as_ref().is_none_or(|fault| !fault.problem.is_answered());
        if last.is_none() || Instant::now() >= attempt.until {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    attempt.unmoved = false;
    // An answer can be lost after it was done.
    let after = look(&keeper, &it).await;
    let after = after.map_err(|problem| {
        Trouble::Unknown(format!("whether the names have changed nobody can tell: {problem}"))
    })?;
    let doing = format!("{} is as it was", it.database);
    match after {
        Stands::AtEnd => {
            attempt.after = in_words(&it);
            Ok(Outcome::Done)
        }
        Stands::AtBegin => {
            attempt.unmoved = !unseen;
            attempt.left = format!("the database {}, restored and not in its place", it.restored);
            Err(last.map_or_else(
                || Trouble::Failed {
                    why: format!("{doing}, though the server said yes"),
                    retry: true,
                },
                |problem| fault(&problem, &format!("{doing}{}", who_stays(&stay))),
            ))
        }
        Stands::Elsewhere(why) => failed(why, false),
    }
}

/// For people, who may end them.
fn who_stays(stay: &[String]) -> String {
    match stay {
        [] => String::new(),
        stay => format!(", for who restores may not end {}: end them", stay.join(", ")),
    }
}

/// Asks all who are there to go, each for itself, and changes both names, or neither; `stay` are those who were not his to ask.
async fn renamed(
    keeper: &Keeper,
    it: &Switch<'_>,
    stay: &mut Vec<String>,
) -> Result<(), databases::Fault> {
    let mut session = keeper.session().await?;
    let kind = session.kind();
    let [old, new] = [it.database, it.restored].map(|name| literal(kind, name));
    // Whoever cleans up there goes by himself when the name changes, and none but a superuser may end him. What kind somebody else's is
    // is hidden from who has few rights.
    let others = format!(
        "SELECT pid::text, coalesce(usename::text, 'the server itself') FROM pg_catalog.pg_stat_activity WHERE datname IN ({old}, {new}) \
         AND pid <> pg_backend_pid() AND coalesce(backend_type IN ('client backend', 'walsender'), true) LIMIT {SESSIONS_MAX}"
    );
    stay.clear();
    for row in session.rows(&others).await? {
        let [Some(pid), Some(user)] = row.as_slice() else { continue };
        match session.rows(&format!("SELECT pg_terminate_backend({pid})::text")).await {
            Ok(_) => {}
            Err(fault) if fault.problem.passes() => return Err(fault),
            Err(_) if stay.len() < NAMED_MAX => stay.push(format!("the session {pid} of {user}")),
            Err(_) => {}
        }
    }
    let [database, restored, replaced] =
        [it.database, it.restored, it.replaced].map(|name| identifier(kind, name));
    let both = format!(
        "BEGIN; ALTER DATABASE {database} RENAME TO {replaced}; ALTER DATABASE {restored} RENAME TO {database}; COMMIT"
    );
    let renamed = session.rows(&both).await;
    session.close().await;
    renamed.map(drop)
}

async fn look(keeper: &Keeper, it: &Switch<'_>) -> Result<Stands, databases::Fault> {
    let mut session = keeper.session().await?;
    let found = there(&mut session, &[it.database, it.restored, it.replaced]).await;
    session.close().await;
    Ok(stands(&found?, it))
}

fn stands(found: &[There], it: &Switch<'_>) -> Stands {
    let find = |name: &str| found.iter().find(|found| found.name == name);
    let is_restored = |there: &There| {
        there.comment.as_deref().is_some_and(|said| said.starts_with("rollbackd restored it"))
    };
    match (find(it.database), find(it.restored), find(it.replaced)) {
        (Some(_), Some(new), None) if is_restored(new) => Stands::AtBegin,
        (Some(new), None, Some(_)) if is_restored(new) => Stands::AtEnd,
        (_, _, Some(_)) => Stands::Elsewhere(format!(
            "there is a database {} already, and {} was not put in its place: see which is which",
            it.replaced, it.restored
        )),
        (Some(_), None, None) => Stands::Elsewhere(format!(
            "the database {}, that was restored, is gone; {} is as it was",
            it.restored, it.database
        )),
        (Some(_), Some(_), None) => Stands::Elsewhere(format!(
            "nobody says of the database {} that it was restored; {} is as it was",
            it.restored, it.database
        )),
        (None, _, None) => Stands::Elsewhere(format!("there is no database {}", it.database)),
    }
}

/// Whoever migrated in between is not thrown away.
async fn is_at(history: &History, (name, wanted): (&str, &Revision)) -> Result<(), Trouble> {
    let revision = revision(history).await.map_err(|(why, retry)| Trouble::Failed {
        why: format!("nothing was begun, since the history of {name} cannot be read: {why}"),
        retry,
    })?;
    match revision.agrees_with(wanted) {
        true => Ok(()),
        false => failed(
            format!(
                "nothing was begun: {name} is at {revision} and not at {wanted}; somebody migrated it in between"
            ),
            false,
        ),
    }
}

fn in_words(it: &Switch<'_>) -> String {
    format!("{} holds {}; what was there is kept as {}", it.database, it.to, it.replaced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_which_name_tells_whether_it_was_done() {
        let schema = SchemaAt { database: "shop".into(), history_table: "history".into() };
        let (from, to) = (Revision::named("7"), Revision::named("5"));
        let (database, restored, replaced) = ("shop", "new", "old");
        let it = Switch { schema: &schema, database, restored, replaced, from: &from, to: &to };
        let good = || Some("rollbackd restored it from the snapshot ab".to_owned());
        let one = |name: &str, comment| There { name: name.to_owned(), comment };
        let at = |found: &[There]| stands(found, &it);
        assert_eq!(at(&[one("shop", None), one("new", good())]), Stands::AtBegin);
        assert_eq!(at(&[one("shop", good()), one("old", None)]), Stands::AtEnd);
        for (found, why) in [
            (vec![one("shop", None), one("old", None)], "was not put in its place"),
            (
                vec![one("shop", None), one("new", good()), one("old", None)],
                "there is a database old",
            ),
            (vec![one("shop", None)], "is gone"),
            (vec![one("shop", None), one("new", None)], "nobody says"),
            (vec![one("new", good())], "there is no database shop"),
        ] {
            let Stands::Elsewhere(said) = at(&found) else { panic!("{found:?}") };
            assert!(said.contains(why), "{said}");
        }
    }
}
