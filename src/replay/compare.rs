//! Two configurations over one recording: what is new, gone, earlier, later, or decided otherwise.

use serde::Serialize;

use super::story::{Incident, Story};
use crate::{
    domain::{service::ServiceId, severity::Severity},
    units::{Span, UnixMs},
};

/// What is different about one incident.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Whose.
    pub service: ServiceId,
    /// When it is opened, under whichever configuration comes first.
    pub at: UnixMs,
    /// The trigger that opens it, under the other configuration where both do.
    pub trigger: String,
    /// What is different, a sentence each.
    pub what: Vec<String>,
    /// In one word: new, gone, changed.
    pub kind: &'static str,
}

/// What the other configuration makes different. Both told of the same tapes, in the same order.
pub fn compare(these: &[Story], others: &[Story]) -> Vec<Difference> {
    let mut all = vec![];
    for this in these {
        // Whom the other configuration does not watch, nothing happens to.
        let nothing = Story::new(this.service.clone(), this.from, this.until);
        let other = others.iter().find(|other| other.service == this.service);
        all.extend(of_one(this, other.unwrap_or(&nothing)));
    }
    all.sort_by_key(|difference| difference.at);
    all
}

fn of_one(this: &Story, other: &Story) -> Vec<Difference> {
    let mut all = vec![];
    let mut met = vec![false; other.incidents.len()];
    for mine in &this.incidents {
        let same = |(index, theirs): &(usize, &Incident)| {
            !met[*index] && overlap((mine, this.until), (theirs, other.until))
        };
        match other.incidents.iter().enumerate().find(same) {
            Some((index, theirs)) => {
                met[index] = true;
                let what = changed(mine, theirs);
                if !what.is_empty() {
                    all.push(difference(
                        this,
                        mine.opened.min(theirs.opened),
                        theirs,
                        "changed",
                        what,
                    ));
                }
            }
            None => all.push(difference(this, mine.opened, mine, "gone", vec![told(mine)])),
        }
    }
    let new = other.incidents.iter().zip(met).filter(|(_, met)| !met);
    all.extend(new.map(|(i, _)| difference(this, i.opened, i, "new", vec![told(i)])));
    all
}

fn difference(
    story: &Story,
    at: UnixMs,
    incident: &Incident,
    kind: &'static str,
    what: Vec<String>,
) -> Difference {
    Difference { service: story.service.clone(), at, trigger: incident.trigger.clone(), what, kind }
}

/// Whether two incidents are about one breach: their times overlap, from the onset on.
fn overlap((one, one_ends): (&Incident, UnixMs), (other, other_ends): (&Incident, UnixMs)) -> bool {
    let ends = |incident: &Incident, recorded: UnixMs| {
        incident.closed.as_ref().map_or(recorded, |(at, _)| *at)
    };
    one.onset <= ends(other, other_ends) && other.onset <= ends(one, one_ends)
}

fn changed(mine: &Incident, theirs: &Incident) -> Vec<String> {
    let mut what = vec![];
    what.extend(shifted("opened", Some(mine.opened), Some(theirs.opened)));
    what.extend(shifted("paged", mine.paged, theirs.paged));
    let rollback = |incident: &Incident| incident.rollback().map(|decided| decided.at);
    what.extend(shifted("rolled back", rollback(mine), rollback(theirs)));
    let worst = |incident: &Incident| {
        incident.worst().map_or_else(|| "-".into(), |w: Severity| w.to_string())
    };
    if mine.worst() != theirs.worst() {
        what.push(format!("{} instead of {}", worst(theirs), worst(mine)));
    }
    what
}

fn shifted(what: &str, mine: Option<UnixMs>, theirs: Option<UnixMs>) -> Option<String> {
    match (mine, theirs) {
        (Some(mine), Some(theirs)) if theirs < mine => {
            Some(format!("{what} {} earlier", whole(mine.since(theirs))))
        }
        (Some(mine), Some(theirs)) if theirs > mine => {
            Some(format!("{what} {} later", whole(theirs.since(mine))))
        }
        (Some(_), None) => Some(format!("not {what} any more")),
        (None, Some(_)) => Some(format!("now {what}")),
        (_, _) => None,
    }
}

fn told(incident: &Incident) -> String {
    let worst = incident.worst().map_or_else(String::new, |worst| format!("{worst}, "));
    let rollback = incident.rollback().and_then(|decided| decided.rollback.as_deref());
    match (rollback, incident.paged) {
        (Some(rollback), _) => format!("{worst}rolled back: {rollback}"),
        (None, Some(_)) => format!("{worst}paged"),
        (None, None) => format!("{worst}told"),
    }
}

fn whole(span: Span) -> Span {
    Span::seconds(span.ms() / 1_000)
}
