//! A script that takes a schema back, written and reviewed with its release: what is known of its file, and what came of trying it.

pub mod statements;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    domain::{
        change::Revision,
        plan::{SchemaAt, hex},
    },
    units::{Span, UnixMs},
};

/// Larger scripts are not run.
pub const BYTES_MAX: u64 = 1 << 20;
/// Lines of a script that a plan shows.
const HEAD_LINES: usize = 5;
/// Changes of the catalogue that a plan names; the hash is of all.
const SHOWN_MAX: usize = 40;
/// So much of one line is shown.
const LINE_MAX: usize = 200;

/// A file, as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// Where it is.
    pub file: String,
    /// The hash of all of it.
    pub sha256: String,
    /// How large it is.
    pub bytes: u64,
    /// How many lines it has.
    pub lines: u64,
    /// The first of them that say something, each cut.
    pub head: Vec<String>,
    /// Why nobody runs it.
    pub barred: Option<String>,
}

impl Script {
    /// What a file with this content is.
    pub fn of(file: &str, content: &[u8]) -> Self {
        let text = std::str::from_utf8(content);
        let barred = match text {
            Ok(text) => statements::bars(text),
            Err(_) => Some("it is not UTF-8".to_owned()),
        };
        let said = text.unwrap_or_default().lines().map(str::trim).filter(|it| !it.is_empty());
        Self {
            file: file.to_owned(),
            sha256: sha256(content),
            bytes: content.len() as u64,
            lines: text.unwrap_or_default().lines().count() as u64,
            head: said.take(HEAD_LINES).map(cut).collect(),
            barred,
        }
    }
}

/// The hash by which a script is approved.
pub fn sha256(content: &[u8]) -> String {
    hex(&Sha256::digest(content))
}

/// One run of a script, with every choice made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptRun {
    /// Whose schema.
    pub schema: SchemaAt,
    /// The script.
    pub file: String,
    /// The hash that it must still have.
    pub sha256: String,
    /// The version that the schema must be at.
    pub from: Revision,
    /// The version that it must be at afterwards, or nothing of it stays.
    pub to: Revision,
    /// What must be gone then, the newest first.
    pub undone: Vec<String>,
    /// How long it may wait for a lock.
    pub lock_timeout: Span,
    /// How long all of it may take.
    pub timeout: Span,
    /// Queries that must return no row afterwards, by what each is about.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub verify: BTreeMap<String, String>,
}

impl ScriptRun {
    /// `the script /srv/reverse.sql (sha256 0123456789ab)`.
    pub fn in_words(&self) -> String {
        format!("the script {} (sha256 {})", self.file, self.sha256.get(..12).unwrap_or_default())
    }
}

/// What a script changes, as a transaction showed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Of the catalogue, in the order of what they are about: `- column …` goes, `+ column …` comes. Bounded.
    pub catalogue: Vec<String>,
    /// How many more there are.
    #[serde(default)]
    pub more: u64,
    /// The hash of all of them: by that an approval is of these very changes.
    pub sha256: String,
    /// How many rows of which table, in words. They change from hour to hour, and nothing is decided by them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<String>,
    /// What the checks of the data said, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<String>,
}

impl Changes {
    /// From one catalogue to another, each entry on a line of its own.
    pub fn between(before: &BTreeSet<String>, after: &BTreeSet<String>) -> Self {
        let gone = before.difference(after).map(|line| (line, '-'));
        let mut all: Vec<(&String, char)> =
            gone.chain(after.difference(before).map(|line| (line, '+'))).collect();
        // What goes stands beside what comes in its place.
        all.sort_by_key(|(line, sign)| (*line, *sign == '+'));
        let lines: Vec<String> = all.iter().map(|(line, sign)| format!("{sign} {line}")).collect();
        Self {
            catalogue: lines.iter().take(SHOWN_MAX).map(|line| cut(line)).collect(),
            more: lines.len().saturating_sub(SHOWN_MAX) as u64,
            sha256: sha256(lines.join("\n").as_bytes()),
            rows: vec![],
            checks: vec![],
        }
    }

    /// For people, a line each.
    pub fn in_words(&self) -> Vec<String> {
        let mut lines = self.catalogue.clone();
        if self.more > 0 {
            lines.push(format!("and {} more", self.more));
        }
        if lines.is_empty() {
            lines.push("nothing of the catalogue changes".to_owned());
        }
        lines
    }
}

/// What came of running a script in a transaction that was taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// What was run.
    pub of: ScriptRun,
    /// When.
    pub at: UnixMs,
    /// How long it took, and for so long what it locks was locked.
    pub took: Span,
    /// What it would change; or why it cannot be run.
    pub came: Result<Changes, String>,
}

fn cut(line: &str) -> String {
    line.chars().take(LINE_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_known_by_the_hash_of_all_of_it_and_shown_by_its_beginning() {
        let text = format!(
            "-- back to 6\n\n  ALTER TABLE a DROP b; -- {}\n1;\n2;\n3;\n4;",
            "x".repeat(300)
        );
        let script = Script::of("/r.sql", text.as_bytes());
        assert_eq!((script.lines, script.bytes, script.barred), (7, text.len() as u64, None));
        assert_eq!(script.head.len(), 5);
        assert_eq!(script.head[1].chars().count(), 200);
        assert_ne!(
            Script::of("/r.sql", b"SELECT 1; ").sha256,
            Script::of("/r.sql", b"SELECT 1;").sha256
        );
        assert!(Script::of("/r.sql", b"\xff").barred.is_some());
    }

    #[test]
    fn what_goes_stands_beside_what_comes_and_the_hash_is_of_all_that_is_not_shown_too() {
        let lines =
            |all: &[&str]| -> BTreeSet<String> { all.iter().map(|it| (*it).into()).collect() };
        let before = lines(&["column a.b text", "index i", "table a"]);
        let after = lines(&["column a.b integer", "table a"]);
        let changes = Changes::between(&before, &after);
        assert_eq!(changes.catalogue, ["+ column a.b integer", "- column a.b text", "- index i"]);
        let many: BTreeSet<String> = (0..90).map(|it| format!("table t{it:02}")).collect();
        let all = Changes::between(&many, &BTreeSet::new());
        assert_eq!((all.catalogue.len(), all.more), (40, 50));
        let mut fewer = many.clone();
        fewer.remove("table t89");
        assert_ne!(Changes::between(&fewer, &BTreeSet::new()).sha256, all.sha256);
        let none = Changes::between(&many, &many);
        assert_eq!(none.in_words(), ["nothing of the catalogue changes"]);
    }
}
