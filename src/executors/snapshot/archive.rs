//! What `pg_restore` tells of a file: when it was taken, and the history of migrations that is in it.

use std::path::Path;

use jiff::{civil::DateTime, tz::TimeZone};
use tokio::time::Instant;

use crate::{
    databases::history::{COLUMNS, TEXT_MAX, row},
    domain::{
        change::Revision,
        plan::{CommandLine, EnvValue},
        schema::history,
    },
    executors::command::{run_reading, whole},
    units::UnixMs,
};

/// A list of more than that is of more things than anybody restores at night.
const LIST_MAX: usize = 16 << 20;
/// The whole of a history: ten thousand migrations are about 2 MB.
const HISTORY_MAX: usize = 16 << 20;
/// Asks it, with these arguments before the file.
async fn ask(
    program: &CommandLine,
    (arguments, file): (&[String], &str),
    (dir, until): (&Path, Instant),
    bytes_max: usize,
) -> Result<String, String> {
    let mut line = program.clone();
    line.argv.extend_from_slice(arguments);
    line.argv.push(file.to_owned());
    // It reads what a clock on a wall showed, and writes it as that of a zone: UTC has no hour twice.
    line.env.insert("TZ".to_owned(), EnvValue::Text("UTC".to_owned()));
    run_reading(&line, dir, until, bytes_max).await.and_then(whole)
}

/// When it was taken, by the wall clock of `zone`: the file holds that of whoever dumped it, and does not say where that was. Fails where it is
/// no such file, or one that ends within its list.
pub(super) async fn taken_at(
    program: &CommandLine,
    (file, zone): (&str, &TimeZone),
    at: (&Path, Instant),
) -> Result<UnixMs, String> {
    let list = ask(program, (&["--list".to_owned()], file), at, LIST_MAX).await?;
    let said = list.lines().find_map(|line| line.strip_prefix("; Archive created at "));
    let said = said.ok_or("it does not say when it was taken")?;
    time(said, zone).ok_or_else(|| format!("it says that it was taken at {said}, which is no time"))
}

/// Of an hour that there was twice the first is meant: more is lost with it, not less.
fn time(said: &str, zone: &TimeZone) -> Option<UnixMs> {
    let utc = said.trim().strip_suffix(" UTC")?;
    let at: DateTime = utc.replace(' ', "T").parse().ok()?;
    let at = at.to_zoned(zone.clone()).ok()?;
    Some(UnixMs(at.timestamp().as_millisecond()))
}

/// The schema that its history of migrations tells of; as many of the newest rows are read as of the one that is there.
pub(super) async fn schema(
    program: &CommandLine,
    file: &str,
    (schema, table, rows_max): (Option<&str>, &str, usize),
    at: (&Path, Instant),
) -> Result<Revision, String> {
    let mut arguments = vec!["--data-only".to_owned(), "--file=-".to_owned()];
    arguments.extend(schema.map(|schema| format!("--schema={schema}")));
    arguments.push(format!("--table={table}"));
    let text = ask(program, (&arguments, file), at, HISTORY_MAX).await?;
    let mut rows = rows(&text)?;
    let all = rows.len() as u64;
    rows.sort_by_key(|row| std::cmp::Reverse(row.migration.rank));
    rows.truncate(rows_max);
    Ok(history::told(rows, all).schema(table.to_owned(), all, true).revision())
}

/// The rows of the one `COPY` of the text.
fn rows(text: &str) -> Result<Vec<history::Row>, String> {
    let mut lines = text.lines();
    let begin = lines.by_ref().find(|line| line.starts_with("COPY "));
    let begin = begin.ok_or("there is no history of migrations in it")?;
    let columns = begin.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
    let columns: Vec<&str> = columns
        .map(|(columns, _)| columns.split(", ").map(|it| it.trim_matches('"')).collect())
        .unwrap_or_default();
    let places: Option<Vec<usize>> =
        COLUMNS.iter().map(|wanted| columns.iter().position(|it| it == wanted)).collect();
    let places = places.ok_or("the history of migrations in it has other columns")?;
    let mut all = vec![];
    for line in lines.by_ref() {
        if line == "\\." {
            return match lines.any(|line| line.starts_with("COPY ")) {
                true => Err("there are two histories of migrations in it: name the schema, in history_table".to_owned()),
                false => Ok(all),
            };
        }
        let cells: Vec<&str> = line.split('\t').collect();
        let mut read: Vec<Option<String>> =
            places.iter().map(|at| cells.get(*at).and_then(|cell| value(cell))).collect();
        let success = if read[9].as_deref() == Some("t") { "1" } else { "0" };
        read[9] = Some(success.to_owned());
        all.push(row(read).ok_or("a row of the history of migrations in it is none")?);
    }
    Err("it ends within the history of migrations".to_owned())
}

/// One value as `COPY` writes it; none for NULL.
fn value(cell: &str) -> Option<String> {
    if cell == "\\N" {
        return None;
    }
    let (mut read, mut characters) = (String::new(), cell.chars());
    while let Some(c) = characters.next() {
        read.push(match c {
            '\\' => match characters.next()? {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'v' => '\u{b}',
                other => other,
            },
            other => other,
        });
    }
    Some(read.chars().take(TEXT_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: &str = "--\nSET x = y;\nCOPY public.history (installed_rank, version, description, \"type\", script, checksum, installed_by, installed_on, execution_time, success) FROM stdin;\n";

    #[test]
    fn rows_are_read_as_they_were_written_whatever_stands_in_them() {
        let text = format!(
            "{BEGIN}1\t1\tit's\\ta \\\\ tab\\nand more\tSQL\tV1__x.sql\t-7\tshop\t2026-11-28 04:00:00\t12\tt\n2\t\\N\tview\tSQL\tR__v.sql\t\\N\tshop\t2026-11-28 04:00:01\t1\tf\n\\.\n\n--\n"
        );
        let read = rows(&text).unwrap();
        let first = &read[0].migration;
        assert_eq!(first.description, "it's\ta \\ tab\nand more");
        assert_eq!(
            (first.rank, first.version.as_deref(), first.checksum),
            (1, Some("1"), Some(-7))
        );
        assert_eq!((read[0].success, read[1].success), (true, false));
        assert_eq!((&read[1].migration.version, read[1].migration.checksum), (&None, None));
    }

    #[test]
    fn what_is_no_history_or_not_all_of_one_says_so() {
        let other = "COPY public.history (id) FROM stdin;\n\\.\n";
        let twice = format!("{BEGIN}\\.\n{BEGIN}\\.\n");
        for (text, why) in [
            ("SET x = y;", "no history"),
            (BEGIN, "ends within"),
            (other, "other columns"),
            (twice.as_str(), "two histories"),
        ] {
            let said = rows(text).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
        assert_eq!(rows(&format!("{BEGIN}\\.\n")), Ok(vec![]), "of no migration");
    }

    #[test]
    fn when_it_was_taken_is_what_the_clock_of_its_zone_showed() {
        let utc = TimeZone::UTC;
        assert_eq!(time("2026-03-02 12:00:00 UTC", &utc), Some(UnixMs(1_772_452_800_000)));
        let east = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(time("2026-03-02 14:00:00 UTC", &east), Some(UnixMs(1_772_452_800_000)));
        assert_eq!(time("2026-03-02 12:00:00 CET", &utc), None);
        assert_eq!(time("yesterday UTC", &utc), None);
    }
}
