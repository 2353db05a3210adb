//! The history of a database's migrations, as Flyway or sqlx keeps it: its table, and whoever holds Flyway's lock.
//!
//! It reads, and decides nothing. The lock is looked at before the table: what ended in between has left its row.

mod locks;
mod standby;
mod table;
mod tool;

pub use self::table::{COLUMNS, TEXT_MAX, row};

use std::fmt;

use crate::{
    databases::{Fault, Kind, Options, Problem, Session, identifier},
    domain::{
        plan::SchemaAt,
        schema::{Schema, Seen, history},
    },
};

/// The history's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// Its schema; looked for where none is named.
    pub schema: Option<String>,
    /// Its own name.
    pub table: String,
}

impl Name {
    /// Reads `flyway_schema_history` or `public.flyway_schema_history`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (schema, table) = match text.rsplit_once('.') {
            Some((schema, table)) => (Some(schema), table),
            None => (None, text),
        };
        let legal = |name: &str| {
            !name.is_empty() && name.len() <= NAME_MAX && !name.chars().any(char::is_control)
        };
        if !legal(table) || !schema.is_none_or(legal) {
            return Err("it is not the name of a table".to_owned());
        }
        Ok(Self { schema: schema.map(str::to_owned), table: table.to_owned() })
    }
}

/// As long as a name can be there.
const NAME_MAX: usize = 64;

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.table),
            None => f.write_str(&self.table),
        }
    }
}

/// Whose history, and how much of it.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// How the database is asked.
    pub options: Options,
    /// The table.
    pub name: Name,
    /// How many of the newest rows are read.
    pub rows_max: usize,
    /// In which zone Flyway writes into PostgreSQL when a migration was applied: that of whoever ran it.
    pub zone: String,
}

/// Servers and containers have it.
pub const ZONE: &str = "UTC";

impl History {
    /// Whose it is, as a plan names it.
    pub fn at(&self) -> SchemaAt {
        SchemaAt { database: self.options.name.clone(), history_table: self.name.to_string() }
    }

    /// Looks once, through a connection of its own.
    pub async fn look(&self) -> Seen {
        match self.read().await {
            Ok(schema) => Seen::Known(Box::new(schema)),
            Err(unreadable) => Seen::Unknown(unreadable.to_string()),
        }
    }

    /// The same, for whoever tries it out.
    pub async fn read(&self) -> Result<Schema, Unreadable> {
        let mut session = Session::open(&self.options).await?;
        let read = self.read_by(&mut session).await;
        session.close().await;
        read
    }

    /// The same by a session that is open, inside its transaction where it has one.
    pub async fn read_by(&self, session: &mut Session) -> Result<Schema, Unreadable> {
        if standby::is_one(session).await? {
            return Err(Unreadable::Table(standby::in_words(&self.options)));
        }
        let schema = table::schema_of(session, &self.name, &self.options).await?;
        let place = table::Place { schema, table: self.name.table.clone() };
        let tool = tool::of(session, &place).await?;
        let run = locks::run(session, &place).await?;
        let read = table::rows(session, &place, (tool, &self.zone), self.rows_max).await;
        let (rows, all) = read.map_err(|fault| self.denied(fault, &place))?;
        let transactional = session.kind() == Kind::Postgresql;
        let table = format!("{}.{}", place.schema, place.table);
        Ok(Schema { run, ..history::told(rows, all).schema(table, all, transactional) })
    }

    /// Keeps everybody else from writing down a migration until the transaction of this session ends.
    pub async fn lock(&self, session: &mut Session) -> Result<(), Unreadable> {
        let schema = table::schema_of(session, &self.name, &self.options).await?;
        let [schema, table] =
            [schema.as_str(), &self.name.table].map(|it| identifier(session.kind(), it));
        let lock = format!("LOCK TABLE {schema}.{table} IN SHARE ROW EXCLUSIVE MODE");
        session.run(&lock).await.map_err(Unreadable::Fault)
    }

    /// What is to be granted is known here.
    fn denied(&self, fault: Fault, place: &table::Place) -> Unreadable {
        if fault.problem != Problem::PermissionDenied {
            return fault.into();
        }
        Unreadable::Table(table::grant(&self.options, place))
    }
}

/// Why nobody can tell, and what a person does about it.
#[derive(Debug)]
pub enum Unreadable {
    /// The database was not reached, or refused.
    Fault(Fault),
    /// The table is not there, is there twice, may not be read, or is that of a standby.
    Table(String),
}

impl Unreadable {
    /// Whether it may well be over in a moment.
    pub fn passes(&self) -> bool {
        matches!(self, Self::Fault(fault) if fault.problem.passes())
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => f.write_str(&fault.in_words()),
            Self::Table(why) => f.write_str(why),
        }
    }
}

impl From<Fault> for Unreadable {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_may_be_named_with_its_schema() {
        let name = Name::parse("public.flyway_schema_history").unwrap();
        assert_eq!(
            (name.schema.as_deref(), name.table.as_str()),
            (Some("public"), "flyway_schema_history")
        );
        assert_eq!(Name::parse("history").unwrap().to_string(), "history");
        for wrong in ["", "public.", ".x", "a\nb", &"x".repeat(65)] {
            assert!(Name::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
