//! The incident report: a pure rendering of what is known.

use super::{incident::Incident, situation::Situation};

/// The report in Markdown.
pub fn markdown(_s: &Situation<'_>, incident: &Incident) -> String {
    format!("# Incident {}\n", incident.id)
}
