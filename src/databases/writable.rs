//! Whether a server takes writes, asked without one.

use super::{Kind, Options, Row, Session};

/// Who would write there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// Who asks.
    Asks,
    /// Somebody else, as a tool is who is told its own address: what is said of who asks does not count.
    Another,
}

/// What was seen; or why nothing can be written there, and what to do.
pub async fn takes_writes(options: &Options, writer: Writer) -> Result<String, String> {
    let sql = match options.database.kind {
        // What a transaction says of itself counts for nothing: this one only reads.
        Kind::Postgresql => {
            "SELECT pg_catalog.pg_is_in_recovery()::text, s.setting::text, s.source::text FROM pg_catalog.pg_settings s WHERE s.name = 'default_transaction_read_only'"
        }
        Kind::Mysql => "SELECT CAST(@@global.read_only AS CHAR)",
    };
    let rows = Session::once(options, sql).await.map_err(|fault| fault.in_words())?;
    let row = rows.into_iter().next().unwrap_or_default();
    let barred = match options.database.kind {
        Kind::Postgresql => of_postgresql(&row, writer),
        Kind::Mysql => of_mysql(&row),
    };
    match barred {
        None => Ok(format!("{} takes writes", options.database)),
        Some(why) => Err(format!("{} takes no writes: {why}", options.database)),
    }
}

fn cell(row: &Row, at: usize) -> &str {
    row.get(at).and_then(Option::as_deref).unwrap_or_default()
}

fn of_postgresql(row: &Row, writer: Writer) -> Option<String> {
    let (standby, setting, source) = (cell(row, 0), cell(row, 1), cell(row, 2));
    if standby == "true" {
        return Some("it is a standby; name the primary in `url`".to_owned());
    }
    let of_who_asks = matches!(source, "user" | "database user" | "client" | "session");
    if setting != "on" || writer == Writer::Another && of_who_asks {
        return None;
    }
    let off = match source {
        "user" | "database user" => "ALTER ROLE ... RESET default_transaction_read_only",
        "database" => "ALTER DATABASE ... RESET default_transaction_read_only",
        _ => "ALTER SYSTEM SET default_transaction_read_only = off, and SELECT pg_reload_conf()",
    };
    Some(format!(
        "default_transaction_read_only is on (set by: {source}); {off}, or name a server that takes them in `url`"
    ))
}

/// Who has the right to may write all the same, and nobody else can tell who that is.
fn of_mysql(row: &Row) -> Option<String> {
    matches!(cell(row, 0), "1" | "ON" | "true").then(|| {
        "read_only is on; SET GLOBAL read_only = OFF, or name the primary in `url`".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&str]) -> Row {
        cells.iter().map(|it| Some((*it).to_owned())).collect()
    }

    #[test]
    fn what_is_said_of_who_asks_alone_counts_for_nobody_else() {
        let of_user = row(&["false", "on", "user"]);
        assert!(of_postgresql(&of_user, Writer::Another).is_none());
        assert!(of_postgresql(&of_user, Writer::Asks).unwrap().contains("ALTER ROLE"));
        let of_all = row(&["false", "on", "configuration file"]);
        assert!(of_postgresql(&of_all, Writer::Another).unwrap().contains("ALTER SYSTEM"));
        let of_one = row(&["false", "on", "database"]);
        assert!(of_postgresql(&of_one, Writer::Another).unwrap().contains("ALTER DATABASE"));
        assert!(of_postgresql(&row(&["false", "off", "default"]), Writer::Asks).is_none());
        let standby = row(&["true", "off", "default"]);
        assert!(of_postgresql(&standby, Writer::Another).unwrap().contains("standby"));
    }
}
