//! What is written beside a Deployment that a rollback has left without pods: how many it had, and which run took them away.

/// It is written in the patch that takes them away, and goes in the one that gives them back.
pub use crate::domain::inventory::STOPPED as ANNOTATION;

/// What it says.
pub fn note(had: i64, run: &str) -> String {
    format!("from {had} pods by run {run}")
}

/// How many it had. More than a Deployment can have was not written by a run.
pub fn had(note: &str) -> Option<u32> {
    let (pods, _) = note.strip_prefix("from ")?.split_once(" pods")?;
    pods.parse::<i32>().ok().filter(|pods| *pods > 0)?.try_into().ok()
}

/// Whether this very run took them away.
pub fn is_by(note: &str, run: &str) -> bool {
    note.ends_with(&format!(" by run {run}"))
}
