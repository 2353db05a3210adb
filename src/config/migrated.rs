//! A service's database, as far as the operator says what is looked at and how it goes back.

use std::collections::BTreeMap;

use crate::{
    databases::{checks::Check, history::History},
    domain::plan::CommandLine,
    executors,
    sources::migrations::Actuator,
    units::Span,
};

/// A service's database, whose history of migrations is looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Migrated {
    /// Who tells how far it is migrated.
    pub teller: Teller,
    /// How often.
    pub every: Span,
    /// How often while a change or an incident is watched.
    pub every_watched: Span,
    /// The snapshots of it that are looked for.
    pub snapshots: Option<Kept>,
    /// What RDS keeps of it, where that does.
    pub rds: Option<KeptByRds>,
    /// The scripts that take it back.
    pub reversed: Option<Reversed>,
    /// What its data must be, by name.
    pub checks: BTreeMap<String, Check>,
}

impl Migrated {
    /// What tells when a migration was applied is told so in the zone of that history.
    pub(in crate::config) fn is_read_in(&mut self, other: Option<&History>) {
        if let (Teller::Table(own), Some(other)) = (&mut self.teller, other) {
            own.zone.clone_from(&other.zone);
        }
    }

    /// Its own table, where that is what tells.
    pub fn history(&self) -> Option<&History> {
        match &self.teller {
            Teller::Table(history) => Some(history),
            Teller::Actuator(_) | Teller::Info(_) => None,
        }
    }
}

/// Who tells how far a database is migrated.
#[derive(Clone, Debug, PartialEq)]
pub enum Teller {
    /// Its own table: alone sees who migrates at this moment.
    Table(Box<History>),
    /// The application.
    Actuator(Box<Actuator>),
    /// Flyway's command line.
    Info(Info),
}

/// `flyway info -outputType=json`, or what prints the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Info {
    /// The program.
    pub line: CommandLine,
    /// How many of the newest migrations are kept.
    pub rows_max: usize,
}

/// Snapshots of a database.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// Where they are, and through whom one is restored.
    pub keeper: executors::snapshot::Keeper,
    /// How often is looked.
    pub every: Span,
    /// How often while a change or an incident is watched.
    pub every_watched: Span,
}

/// A database that RDS keeps.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptByRds {
    /// Where it is, and all that is looked at.
    pub place: executors::rds::Place,
    /// How often is looked.
    pub every: Span,
    /// How often while a change or an incident is watched.
    pub every_watched: Span,
}

/// Scripts that take a schema back.
#[derive(Clone, Debug, PartialEq)]
pub struct Reversed {
    /// Through whom they are run.
    pub scripted: executors::script::Scripted,
    /// Where they are.
    pub files: String,
    /// How often is looked.
    pub every: Span,
    /// How often while a change or an incident is watched.
    pub every_watched: Span,
}
