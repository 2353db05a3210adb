//! Evidence that a person or a program posts, read.

use serde::Deserialize;

use crate::http::{body, problem::Problem};

/// The longest note that is kept, in characters.
const NOTE_MAX: usize = 2_000;

/// What is posted.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    pub(in crate::http) service: String,
    pub(in crate::http) environment: Option<String>,
    kind: Kind,
    note: String,
    /// Whether it is only a part of what is to come.
    #[serde(default)]
    pub(in crate::http) partial: bool,
}

/// The closed list of what can be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    DataCorruption,
    SecurityBreach,
    MigrationFailure,
}

impl Kind {
    /// The trigger that it stands for.
    fn trigger(self) -> &'static str {
        match self {
            Self::DataCorruption => "data-corruption",
            Self::SecurityBreach => "security-breach",
            Self::MigrationFailure => "migration-failure",
        }
    }
}

/// Reads the body of posted evidence.
pub fn evidence(bytes: &[u8]) -> Result<Evidence, Problem> {
    let mut posted: Evidence = body::parse(bytes)?;
    posted.note = body::clean(&posted.note, NOTE_MAX);
    if posted.note.is_empty() {
        return Err(Problem::invalid("`note` is empty; say what was found, people will read it"));
    }
    Ok(posted)
}

impl Evidence {
    /// The trigger that it stands for.
    pub fn trigger(&self) -> &'static str {
        self.kind.trigger()
    }

    /// What was found: printable, and not empty.
    pub fn note(&self) -> &str {
        &self.note
    }
}
