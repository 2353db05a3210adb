//! What a driver's error means.

use std::io;

use sqlx::{Error, error::DatabaseError, mysql::MySqlDatabaseError};

use super::{
    Kind, Options, Tls,
    fault::{Fault, Problem},
};

/// Of an error of the driver.
pub(super) fn fault(error: &Error, options: &Options) -> Fault {
    // The message alone: what stands around it repeats what we say.
    let (problem, said) = if let Error::Database(refused) = error {
        (of_server(&**refused), said_of(&**refused))
    } else if let Error::Io(fault) = error {
        (of_io(fault), fault.to_string())
    } else if let Error::Tls(fault) = error {
        (of_tls(&fault.to_string()), fault.to_string())
    } else {
        (Problem::Other, error.to_string())
    };
    let is_not_told = problem == Problem::WrongPassword
        && options.database.kind == Kind::Mysql
        && options.tls == Tls::Off;
    // It answers the same in both cases, before it has looked at the password.
    let said = if is_not_told {
        format!("{said}; or it wants TLS, which MariaDB does not tell apart: tls = \"verify\"")
    } else {
        said
    };
    let is_untrusted =
        problem == Problem::Other && options.tls != Tls::Off && said.contains("certificate");
    Fault::new(if is_untrusted { Problem::Untrusted } else { problem }, options, &said)
}

/// In the server's words, but where those may hold what a row holds, which is shown nowhere.
fn said_of(refused: &dyn DatabaseError) -> String {
    let code = refused.code().unwrap_or_default();
    let mysql = refused.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number);
    // A constraint that is broken is named alone by PostgreSQL, with the values beside that, which nobody reads here.
    let quotes = code.starts_with("22")
        || mysql.is_some_and(|number| code.starts_with("23") || QUOTING.contains(&number));
    if !quotes {
        return refused.message().to_owned();
    }
    let what = match (&*code, mysql) {
        ("22012", _) => "division by zero",
        ("22001", _) => "a text is too long for its column",
        ("22003", _) => "a number is out of range",
        (_, Some(1062)) => "two rows are the same where only one may be",
        (code, _) if code.starts_with("23") => "a constraint would be broken",
        (_, _) => "a value is none of its type",
    };
    format!("{what}: SQLSTATE {code}; the server's own words may quote a row, and are not shown")
}

/// Numbers under which MariaDB and MySQL quote a value, whatever the SQLSTATE: wrong ones, and paths of XML.
const QUOTING: [u16; 4] = [1105, 1292, 1366, 1411];

fn of_server(refused: &dyn DatabaseError) -> Problem {
    let mysql = refused.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number);
    match (mysql, refused.code()) {
        (Some(number), _) => of_mysql(number),
        (None, Some(code)) => of_postgresql(&code, refused.message()),
        (None, None) => Problem::Other,
    }
}

fn is_about_encryption(said: &str) -> bool {
    said.contains("no encryption")
}

/// By the SQLSTATE.
fn of_postgresql(code: &str, message: &str) -> Problem {
    match code {
        "28P01" => Problem::WrongPassword,
        "28000" if is_about_encryption(message) => Problem::TlsRequired,
        "28000" => Problem::WrongPassword,
        "3D000" => Problem::UnknownDatabase,
        "42501" => Problem::PermissionDenied,
        "42P01" | "3F000" => Problem::MissingTable,
        "42703" | "42883" => Problem::MissingPart,
        // Cancelled, by the timeout or by a person; a lock that did not come in time.
        "57014" | "55P03" => Problem::Timeout,
        "57P01" | "57P02" | "57P03" => Problem::Restarting,
        "55006" => Problem::InUse,
        "53300" => Problem::TooManyConnections,
        "25006" => Problem::ReadOnly,
        _ => Problem::Other,
    }
}

/// By the server's own number.
fn of_mysql(number: u16) -> Problem {
    match number {
        1045 | 1130 | 1698 => Problem::WrongPassword,
        1044 | 1142 | 1143 | 1227 | 1370 => Problem::PermissionDenied,
        1049 => Problem::UnknownDatabase,
        1146 | 1051 => Problem::MissingTable,
        1054 | 1305 => Problem::MissingPart,
        1205 | 1317 | 1969 | 3024 => Problem::Timeout,
        1053 | 1077..=1079 => Problem::Restarting,
        1040 | 1203 | 1226 => Problem::TooManyConnections,
        1290 | 1792 | 1836 => Problem::ReadOnly,
        3159 => Problem::TlsRequired,
        _ => Problem::Other,
    }
}

fn of_io(fault: &io::Error) -> Problem {
    use io::ErrorKind as Why;
    let is = |kinds: &[Why]| kinds.contains(&fault.kind());
    let nobody = [
        Why::ConnectionRefused,
        Why::HostUnreachable,
        Why::NetworkUnreachable,
        Why::NotFound,
        Why::AddrNotAvailable,
    ];
    if is(&nobody) || fault.to_string().contains("lookup address") {
        Problem::Unreachable
    } else if is(&[Why::TimedOut]) {
        Problem::Timeout
    } else if is(&[Why::InvalidData]) {
        of_tls(&fault.to_string())
    } else {
        Problem::Lost
    }
}

fn of_tls(said: &str) -> Problem {
    if said.contains("does not support TLS") { Problem::TlsMissing } else { Problem::Untrusted }
}
