//! Where a database is, who asks, and within which limits.

use std::{fmt, path::PathBuf};

use super::Follows;
use crate::units::{Secret, Span};

/// Which family of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// PostgreSQL, and what speaks its protocol.
    Postgresql,
    /// MariaDB and MySQL.
    Mysql,
}

impl Kind {
    fn port(self) -> u16 {
        match self {
            Self::Postgresql => 5432,
            Self::Mysql => 3306,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgresql => "PostgreSQL",
            Self::Mysql => "MariaDB or MySQL",
        })
    }
}

/// Whether a connection is encrypted, and to whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// Encrypted, to whom a trusted authority says that it is that host.
    #[default]
    Verify,
    /// Encrypted where the server can, to whoever answers.
    Prefer,
    /// Not encrypted.
    Off,
}

/// One database on one server, and who asks there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Database {
    /// Which family.
    pub kind: Kind,
    /// Name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// As whom.
    pub user: String,
    /// Which of the server's databases; MariaDB and MySQL also call it a schema.
    pub name: String,
}

impl Database {
    /// Reads `postgres://user@host:5432/name` or `mysql://…`. The error says what to write, and shows no password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let legal =
            "write it like \"postgres://rollbackd@db.internal:5432/shop\", or with mysql://";
        let (scheme, rest) =
            text.split_once("://").ok_or_else(|| format!("it has no scheme; {legal}"))?;
        let kind = match scheme {
            "postgres" | "postgresql" => Kind::Postgresql,
            "mysql" | "mariadb" => Kind::Mysql,
            _ => return Err(format!("it is neither a PostgreSQL nor a MariaDB or MySQL; {legal}")),
        };
        if rest.contains(['?', '#']) {
            return Err(format!(
                "it has parameters, which are keys of their own here: tls, ca_file; {legal}"
            ));
        }
        let (before, name) =
            rest.rsplit_once('/').ok_or_else(|| format!("it names no database; {legal}"))?;
        let (user, place) =
            before.rsplit_once('@').ok_or_else(|| format!("it names no user; {legal}"))?;
        if user.contains(':') {
            return Err(
                "a password must not stand in a URL; leave it out and add password = { file = \"/path/to/it\" }".to_owned(),
            );
        }
        let (host, port) =
            host_and_port(place, kind).ok_or_else(|| format!("its port is none; {legal}"))?;
        if [user, host, name].iter().any(|part| part.is_empty()) || before.contains('/') {
            return Err(format!("it must have a user, a host and a database; {legal}"));
        }
        let [user, name] = [user, name].map(decoded);
        let (Some(user), Some(name)) = (user, name) else {
            return Err(format!("a % in it is not followed by two digits; {legal}"));
        };
        Ok(Self { kind, host: host.to_owned(), port, user, name })
    }
}

/// As people find it: who asks is no secret, and a password is no part of it.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}:{}", self.name, self.host, self.port)
    }
}

fn host_and_port(place: &str, kind: Kind) -> Option<(&str, u16)> {
    // An IPv6 address stands in brackets, for it has colons itself.
    if let Some(rest) = place.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        let port = port.strip_prefix(':').map_or(Some(kind.port()), |port| port.parse().ok());
        return Some((host, port?));
    }
    match place.split_once(':') {
        Some((host, port)) => Some((host, port.parse().ok()?)),
        None => Some((place, kind.port())),
    }
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut read = vec![];
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            read.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
        read.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(read).ok()
}

/// How a database is asked.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its name in the configuration.
    pub name: String,
    /// Which.
    pub database: Database,
    /// Who tells where it is, instead of [`Database::host`] and [`Database::port`].
    pub follows: Option<Follows>,
    /// The user's password, where it has one.
    pub password: Option<Secret>,
    /// Whether the connection is encrypted.
    pub tls: Tls,
    /// Authorities that are trusted beside those of this machine.
    pub ca_file: Option<PathBuf>,
    /// How long a connection may take, with everything until the first question.
    pub connect_timeout: Span,
    /// How long an answer may take: the server is told, and a server that does not keep to it is left.
    pub statement_timeout: Span,
    /// How many rows of an answer are read.
    pub rows_max: usize,
    /// How many bytes of them.
    pub bytes_max: usize,
}

impl Options {
    /// How long a connection may take, unless told.
    pub const CONNECT: Span = Span::seconds(5);
    /// How long an answer may take, unless told.
    pub const STATEMENT: Span = Span::seconds(10);

    /// The same as it is asked at one address, whatever else is told.
    pub fn at(&self, host: &str, port: u16) -> Self {
        let database = Database { host: host.to_owned(), port, ..self.database.clone() };
        Self { database, follows: None, ..self.clone() }
    }

    /// Where it is, for people: an address that is asked for is told by who tells it.
    pub fn place(&self) -> String {
        match &self.follows {
            Some(follows) => format!("{} where {follows} says", self.database.name),
            None => self.database.to_string(),
        }
    }

    /// The usual ones.
    pub fn new(name: &str, database: Database) -> Self {
        Self {
            name: name.to_owned(),
            database,
            follows: None,
            password: None,
            tls: Tls::Verify,
            ca_file: None,
            connect_timeout: Self::CONNECT,
            statement_timeout: Self::STATEMENT,
            rows_max: 20_000,
            bytes_max: 8 << 20,
        }
    }
}

/// Secrets compare by what they are: a new password is another way to ask.
impl PartialEq for Options {
    fn eq(&self, other: &Self) -> bool {
        let secret = |it: &Self| it.password.as_ref().map(|it| it.expose().to_owned());
        let plain = |it: &Self| {
            let limits = (it.connect_timeout, it.statement_timeout, it.rows_max, it.bytes_max);
            (it.name.clone(), it.database.clone(), it.tls as u8, it.ca_file.clone(), limits)
        };
        let follows = self.follows == other.follows;
        follows && plain(self) == plain(other) && secret(self) == secret(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_family_a_place_a_user_and_a_database() {
        let read = |text: &str| Database::parse(text).unwrap();
        let shop = read("postgres://rollbackd@db.internal/shop");
        assert_eq!((shop.kind, shop.port), (Kind::Postgresql, 5432));
        assert_eq!(shop.to_string(), "shop at db.internal:5432");
        let other = read("mysql://a%40b@[::1]:3307/we%20ird");
        assert_eq!((other.host.as_str(), other.port), ("::1", 3307));
        assert_eq!((other.user.as_str(), other.name.as_str()), ("a@b", "we ird"));
        assert_eq!(read("mariadb://x@h/d").kind, Kind::Mysql);
    }

    #[test]
    fn what_is_no_url_of_a_database_is_refused_with_what_to_write() {
        for (text, part) in [
            ("db.internal/shop", "no scheme"),
            ("redis://x@h/0", "neither"),
            ("postgres://x@h:5432", "names no database"),
            ("postgres://h/d", "names no user"),
            ("postgres://x@h:port/d", "port"),
            ("postgres://x@h/", "must have"),
            ("postgres://x@h/d?sslmode=disable", "tls"),
            ("postgres://x%4@h/d", "two digits"),
        ] {
            let fault = Database::parse(text).unwrap_err();
            assert!(fault.contains(part), "{text}: {fault}");
        }
        let fault = Database::parse("postgres://x:hunter2@h/d").unwrap_err();
        assert!(fault.contains("password = {") && !fault.contains("hunter2"), "{fault}");
    }

    #[test]
    fn no_password_is_printed_with_the_options_and_another_one_is_another_way_to_ask() {
        let mut options = Options::new("shop", Database::parse("postgres://x@h/d").unwrap());
        options.password = Some(Secret::new("hunter2"));
        assert!(!format!("{options:?}").contains("hunter2"));
        let mut other = options.clone();
        assert_eq!(options, other);
        other.password = Some(Secret::new("hunter3"));
        assert_ne!(options, other);
    }
}
