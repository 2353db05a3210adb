//! Checks of a database's data: one query each, and what it answers. What rows hold is looked at by nobody.

use sha2::{Digest, Sha256};

use crate::{
    databases::{Fault, Kind, Options, Session, foreign_keys, lag},
    domain::{
        integrity::{Answer, COUNTED_MAX, CheckPolicy, Expects, Found},
        plan::hex,
    },
    units::Span,
};

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Asks {
    /// A query, without a semicolon.
    Query(String),
    /// Every foreign key.
    ForeignKeys {
        /// Of which schema; of the one that the connection begins in where none is said.
        schema: Option<String>,
        /// More of them are not asked.
        most: usize,
    },
    /// How far the replica is behind.
    Lag {
        /// What it is behind.
        primary: Box<Options>,
    },
}

/// How one is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// How the database is asked, with the check's own limit of time for each query.
    pub options: Options,
    /// What.
    pub asks: Asks,
    /// What the answer must be.
    pub expects: Expects,
    /// How often.
    pub every: Span,
    /// How often while a change or an incident is watched.
    pub every_watched: Span,
    /// What is asked shows what was written so long ago.
    pub shows_after: Span,
    /// A violation is looked at again after so long.
    pub confirm_after: Span,
    /// All checks of one database take at most this share of the time.
    pub share: f64,
}

impl Check {
    /// What is decided by.
    pub fn policy(&self) -> CheckPolicy {
        let place = self.options.database.to_string();
        CheckPolicy {
            expects: self.expects,
            asks: self.identity(),
            place,
            every: self.every,
            shows_after: self.shows_after,
        }
    }

    /// What is asked, wherever that is; of a query a hash.
    fn identity(&self) -> String {
        let asks = match &self.asks {
            Asks::Query(query) => format!("query {query}"),
            Asks::ForeignKeys { schema, .. } => format!("foreign keys of {schema:?}"),
            Asks::Lag { .. } => "lag".to_owned(),
        };
        let name = &self.options.name;
        hex(&Sha256::digest(format!("{name}\n{asks}"))[..16])
    }

    /// Asks once, through a connection of its own that can only read.
    pub async fn ask(&self) -> Answer {
        let query = match &self.asks {
            Asks::Query(query) => query,
            Asks::ForeignKeys { schema, most } => {
                return foreign_keys::ask(&self.options, schema.as_deref(), *most).await;
            }
            Asks::Lag { primary } => {
                let lag = lag::ask(&self.options, primary).await;
                return lag.unwrap_or_else(|fault| unknown(&fault));
            }
        };
        let said = match self.expects {
            Expects::NoRow => self.rows(query).await,
            Expects::Within { .. }
            | Expects::DropsAtMost { .. }
            | Expects::ForeignKeys
            | Expects::LagAtMost { .. } => self.number(query).await,
        };
        match said {
            Ok(Some(found)) => Answer::Known(found),
            Ok(None) => Answer::Unknown("the query returned no number: see what it selects".into()),
            Err(fault) => unknown(&fault),
        }
    }

    async fn rows(&self, query: &str) -> Result<Option<Found>, Fault> {
        let session = Session::open(&self.options).await?;
        let rows = session.counted(query, COUNTED_MAX + 1).await?;
        Ok(Some(Found::Rows(rows)))
    }

    /// In parentheses it can only be one value: more rows or columns than one are the server's to refuse.
    async fn number(&self, query: &str) -> Result<Option<Found>, Fault> {
        let text = match self.options.database.kind {
            Kind::Postgresql => "text",
            Kind::Mysql => "char",
        };
        // A comment at the query's end would swallow what follows on its line.
        let query = format!("SELECT CAST((\n{query}\n) AS {text})");
        let rows = Session::once(&self.options, &query).await?;
        let first = rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten();
        let number = first.and_then(|text| text.trim().parse().ok());
        Ok(number.map(Found::Number))
    }

    /// Whether the server understands it, without carrying it out.
    pub async fn explain(&self) -> Result<(), Fault> {
        let query = match &self.asks {
            Asks::Query(query) => query.as_str(),
            // The catalogue is read when it is asked.
            Asks::ForeignKeys { .. } => "SELECT 1",
            Asks::Lag { primary } => return lag::ask(&self.options, primary).await.map(drop),
        };
        Session::once(&self.options, &format!("EXPLAIN {query}")).await.map(drop)
    }
}

pub(super) fn unknown(fault: &Fault) -> Answer {
    Answer::Unknown(fault.in_words())
}
