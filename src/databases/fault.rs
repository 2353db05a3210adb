//! What went wrong between us and a database, and what a person does about it.

use std::fmt;

use super::Options;

/// What kind of fault, as far as something else is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// Nobody listens there, or the name leads nowhere.
    Unreachable,
    /// Nobody can tell where it is.
    Unlocated,
    /// No answer within the time.
    Timeout,
    /// The user or its password.
    WrongPassword,
    /// The server lets nobody in without TLS.
    TlsRequired,
    /// The server cannot do TLS, and we insist.
    TlsMissing,
    /// No authority that is trusted says that it is that host.
    Untrusted,
    /// There is no such database.
    UnknownDatabase,
    /// The user may not do that.
    PermissionDenied,
    /// There is no such table or schema.
    MissingTable,
    /// There is no such column or function.
    MissingPart,
    /// The server starts, stops or recovers.
    Restarting,
    /// It takes no more connections.
    TooManyConnections,
    /// Somebody else uses what would be changed.
    InUse,
    /// It takes no writes.
    ReadOnly,
    /// A pooler gives each statement another of the server's sessions.
    Pooled,
    /// The answer is larger than what is read of one.
    TooLarge,
    /// The connection broke in the middle.
    Lost,
    /// Something else, in the server's words.
    Other,
}

impl Problem {
    /// Whether the same question may well be answered in a moment.
    pub fn passes(self) -> bool {
        match self {
            Self::Unreachable
            | Self::Unlocated
            | Self::Timeout
            | Self::Restarting
            | Self::TooManyConnections
            | Self::InUse
            | Self::Lost => true,
            Self::WrongPassword
            | Self::TlsRequired
            | Self::TlsMissing
            | Self::Untrusted
            | Self::UnknownDatabase
            | Self::PermissionDenied
            | Self::MissingTable
            | Self::MissingPart
            | Self::ReadOnly
            | Self::Pooled
            | Self::TooLarge
            | Self::Other => false,
        }
    }

    /// Whether the server itself said no: nothing of what was asked for comes later.
    pub fn is_answered(self) -> bool {
        !matches!(self, Self::Unreachable | Self::Unlocated | Self::Timeout | Self::Lost)
    }

    /// Whether what was asked for is not there, as after something that took it away.
    pub fn is_missing(self) -> bool {
        matches!(self, Self::MissingTable | Self::MissingPart)
    }

    fn what(self) -> &'static str {
        match self {
            Self::Unreachable => "nobody answers there",
            Self::Unlocated => "nobody can tell where it is",
            Self::Timeout => "it did not answer in time",
            Self::WrongPassword => "it does not know this user with this password",
            Self::TlsRequired => "it lets nobody in without TLS",
            Self::TlsMissing => "it cannot do TLS",
            Self::Untrusted => "its certificate is not trusted",
            Self::UnknownDatabase => "it has no such database",
            Self::PermissionDenied => "the user may not do that",
            Self::MissingTable => "there is no such table",
            Self::MissingPart => "there is no such column or function",
            Self::Restarting => "it is starting, stopping or recovering",
            Self::TooManyConnections => "it takes no more connections",
            Self::InUse => "somebody else uses it",
            Self::ReadOnly => "it takes no writes",
            Self::Pooled => "a pooler stands before it that pools by transactions",
            Self::TooLarge => "the answer is too large",
            Self::Lost => "the connection broke",
            Self::Other => "it refused",
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Self::Unreachable => "see that it runs, and that host and port in `url` are its own",
            Self::Unlocated => {
                "see that secret, its keys, and who may read it: [database.NAME.address]"
            }
            Self::Timeout => {
                "see what keeps it, or give it longer: statement_timeout, connect_timeout"
            }
            Self::WrongPassword => "see the user in `url`, and what `password` refers to",
            Self::TlsRequired => {
                "write tls = \"verify\" or \"prefer\"; or the server's rules let this user in from elsewhere only"
            }
            Self::TlsMissing => {
                "switch it on there; or write tls = \"off\" where nobody can listen in between"
            }
            Self::Untrusted => {
                "name the authority with ca_file, and the host in `url` as its certificate does"
            }
            Self::UnknownDatabase => "see the name after the last / in `url`",
            Self::PermissionDenied => "GRANT it to the user in `url`",
            Self::MissingTable => "see `history_table`; the first migration makes it",
            Self::MissingPart => {
                "see what the statement names, and which version of the schema it was written for"
            }
            Self::Restarting => "it is asked again",
            Self::TooManyConnections => "it is asked again; see who holds so many",
            Self::InUse => "see who is connected to it",
            Self::ReadOnly => {
                "name the primary, not a replica; or let it take writes (default_transaction_read_only, read_only)"
            }
            Self::Pooled => "name the server itself here, not the pooler",
            Self::TooLarge => "ask for less",
            Self::Lost => "it is asked again",
            Self::Other => "see what it says",
        }
    }
}

/// One fault, ready to be read. It holds no password and no URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What kind.
    pub problem: Problem,
    /// Where.
    place: String,
    /// In the server's or the driver's words, cut and without secrets.
    said: String,
}

/// So much of what a server says is shown.
const SAID_MAX: usize = 300;

impl Fault {
    pub(super) fn new(problem: Problem, options: &Options, said: &str) -> Self {
        let said = match &options.password {
            Some(password) if !password.expose().is_empty() => {
                said.replace(password.expose(), "(hidden)")
            }
            Some(_) | None => said.to_owned(),
        };
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        let said = said.trim().chars().take(SAID_MAX).map(plain).collect();
        Self { problem, place: options.database.to_string(), said }
    }

    /// Whether the session is still there, with the transaction in which it came.
    pub(super) fn leaves_open(&self) -> bool {
        !matches!(self.problem, Problem::Lost | Problem::TooLarge)
    }

    /// What went wrong, and what a person does about it.
    pub fn in_words(&self) -> String {
        format!("{self}: {}", self.advice())
    }

    /// What a person does about it.
    pub fn advice(&self) -> &'static str {
        self.problem.advice()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the database {}: {}", self.place, self.problem.what())?;
        if self.said.is_empty() { Ok(()) } else { write!(f, " ({})", self.said) }
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{databases::Database, units::Secret};

    #[test]
    fn a_fault_says_where_and_what_and_hides_the_password_that_a_server_repeats() {
        let database = Database::parse("postgres://x@db/shop").unwrap();
        let mut options = Options::new("shop", database);
        options.password = Some(Secret::new("hunter2"));
        let fault = Fault::new(Problem::Other, &options, "bad: password=hunter2\nline two");
        let text = format!("{fault} {fault:?}");
        assert!(!text.contains("hunter2") && !fault.to_string().contains('\n'), "{text}");
        assert_eq!(
            fault.to_string(),
            "the database shop at db:5432: it refused (bad: password=(hidden) line two)"
        );
        let long = Fault::new(Problem::Lost, &options, &"x".repeat(10_000));
        assert!(long.to_string().len() < 400 && long.problem.passes());
    }
}
