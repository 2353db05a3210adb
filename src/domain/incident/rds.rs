//! Going back to a snapshot of RDS: which one, and what is lost with it; or why there is none, with what AWS's support is told.

use crate::domain::{
    change::Revision,
    planning::DatabaseMove,
    rds::{AVAILABLE, Candidate, Case, RdsRestore, Seen, choose},
    runbook::{Anew, RdsRunbook},
    schema::Schema,
    situation::Situation,
};

/// How its database goes back to `good`, and what is lost with that.
pub(super) fn back(
    s: &Situation<'_>,
    runbook: &RdsRunbook,
    (now, good): (&Schema, &Revision),
    pods: Option<u32>,
) -> Result<(DatabaseMove, String), String> {
    let seen = s.watch.database.ways.rds.as_ref();
    let seen = seen.ok_or("nobody has looked yet which snapshots RDS has of it")?;
    let seen = seen
        .as_ref()
        .map_err(|why| format!("nobody can tell which snapshots RDS has of it: {why}"))?;
    if let Some(bars) = &seen.source.bars {
        return Err(format!("{} cannot be replaced: {bars}", runbook.at));
    }
    let pointer = seen.pointer.as_ref().map_err(|why| {
        format!("nobody can tell where {} says that its database is: {why}", runbook.secret)
    })?;
    if seen.source.endpoint.as_ref().is_some_and(|own| *own != pointer.endpoint) {
        return Err(format!(
            "{} says {}, which is not the address of {}: whoever is between them is told by hand",
            runbook.secret, pointer.endpoint, runbook.at
        ));
    }
    let chosen = choose(seen, runbook.wanted(), (now, good), s.now.wall);
    let candidates = chosen.map_err(|why| {
        let text = Case::of_look(&runbook.at, seen).text(&why);
        format!("{why}. {text}")
    })?;
    let from = now.revision();
    let it = Anew { from: &from, to: good, seen, pointer, candidates: &candidates };
    Ok((runbook.back(it, pods), lost(s, seen, &candidates)))
}

/// From which snapshot a plan restores, and what is lost with it.
pub(super) fn in_words(s: &Situation<'_>, what: &RdsRestore) -> (String, String) {
    let how = match what.candidates.first() {
        Some(first) => format!("by {}", first.snapshot),
        None => "by a snapshot".to_owned(),
    };
    let seen = s.watch.database.ways.rds.as_ref().and_then(|seen| seen.as_ref().ok());
    let lost = match seen {
        Some(seen) => lost(s, seen, &what.candidates),
        None => "what was written since is lost".to_owned(),
    };
    (how, lost)
}

/// With each of them.
fn lost(s: &Situation<'_>, seen: &Seen, candidates: &[Candidate]) -> String {
    let of = |candidate: &Candidate| {
        let found = seen.snapshots.iter().find(|it| it.arn == candidate.snapshot);
        let found = found.filter(|it| it.status == AVAILABLE);
        found.map_or_else(
            || format!("what was written since {} is lost", candidate.taken_at),
            |snapshot| snapshot.loss(s.now.wall),
        )
    };
    let mut all = candidates.iter();
    let first = all.next().map(of).unwrap_or_default();
    let others = all.map(|it| format!("; with {} instead, {}", it.snapshot, of(it)));
    first + &others.collect::<String>()
}
