//! `flyway info -outputType=json`: everything that Flyway's own command line says.

use serde::Deserialize;

use super::{Said, Word, schema};
use crate::domain::{schema::Schema, struck::struck};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    migrations: Option<Vec<Migration>>,
    error: Option<Fault>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fault {
    error_code: Option<String>,
    message: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Migration {
    raw_version: Option<Word>,
    version: Option<Word>,
    description: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(rename = "installedOnUTC")]
    installed_on: Option<String>,
    state: String,
    filepath: Option<String>,
    installed_by: Option<String>,
    execution_time: Option<i64>,
}

/// What a person does about a script that is not what was applied, which stands in none of the first words.
fn mismatch(message: &str) -> &'static str {
    match message.contains("Migration checksum mismatch") {
        true => {
            ": a script was changed after it was applied (Migration checksum mismatch): put back what was applied, or `flyway repair` \
             where the change was meant"
        }
        false => "",
    }
}

/// Reads what it printed. It says no ranks: what is written down stands in the order in which it was.
pub fn told(printed: &str, rows_max: usize) -> Result<Schema, String> {
    // What the Java machine warns of stands before it.
    let json = printed.find('{').map_or("", |at| &printed[at..]);
    let info: Info = serde_json::from_str(json).map_err(|_| {
        // Secrets are struck before it is cut: half of one is one.
        let begin: String = struck(printed).chars().take(80).collect();
        format!("what it prints is not the JSON of `flyway info -outputType=json`: {begin}")
    })?;
    if let Some(Fault { error_code, message }) = info.error {
        let code = error_code.unwrap_or_else(|| "an error".to_owned());
        let message = message.unwrap_or_default();
        let first = message.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        return Err(format!("Flyway says {code}: {}{}", struck(first), mismatch(&message)));
    }
    let migrations = info.migrations.ok_or("it tells of no migrations")?;
    let mut rank = 0;
    let said = migrations.into_iter().map(|it| {
        let is_written = it.installed_on.as_ref().is_some_and(|on| !on.is_empty());
        rank += i64::from(is_written);
        let version = it.raw_version.and_then(Word::text).or(it.version.and_then(Word::text));
        let script = it.filepath.filter(|path| !path.is_empty());
        let script = script.map(|path| path.rsplit(['/', '\\']).next().unwrap_or("").to_owned());
        Said {
            rank: is_written.then_some(rank),
            version,
            // One that is marked as deleted, or missing, has no file.
            script: script.or_else(|| it.description.clone()),
            description: it.description,
            kind: it.kind,
            checksum: None,
            by: it.installed_by,
            on: it.installed_on,
            execution_ms: it.execution_time,
            state: it.state,
        }
    });
    let said: Vec<Said> = said.collect();
    schema("what `flyway info` shows".to_owned(), said, rows_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_refuses_is_told_in_its_own_words_and_what_is_no_answer_too() {
        let refused = r#"WARNING: old Java
{"error": {"errorCode": "FAULT", "message": "Unable to obtain connection\nSQL State: 28P01"}}"#;
        assert_eq!(told(refused, 9).unwrap_err(), "Flyway says FAULT: Unable to obtain connection");
        let why = told("Schema version: 7", 9).unwrap_err();
        assert!(why.contains("is not the JSON") && why.contains("Schema version: 7"), "{why}");
        assert_eq!(told("{}", 9).unwrap_err(), "it tells of no migrations");
        let refused = r#"{"error": {"errorCode": "FAULT", "message": "No connection to jdbc:postgresql://db/shop?user=ada&password=hunter2"}}"#;
        for printed in [refused, "cannot reach postgres://ada:hunter2@db/shop", "password=hunter2"]
        {
            let why = told(printed, 9).unwrap_err();
            assert!(why.contains("[hidden]") && !why.contains("hunter2"), "{why}");
        }
        let refused = r#"{"error": {"errorCode": "VALIDATE_ERROR", "message": "Validate failed: Migrations have failed validation\nMigration checksum mismatch for migration version 2\n-> Applied to database : 1"}}"#;
        let why = told(refused, 9).unwrap_err();
        assert!(why.contains("a script was changed after it was applied"), "{why}");
    }
}
