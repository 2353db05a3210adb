//! A schema that goes back by a script that was written and reviewed with the release: in one transaction, and by exactly that script.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Way;
use crate::{
    domain::{
        change::Revision,
        plan::{Action, SchemaAt, Step},
        schema::script::{Changes, Script, ScriptRun},
    },
    units::Span,
};

/// What stands in a file's name for what is only known when a plan is made.
pub const PLACES: [&str; 3] = ["{release}", "{from}", "{to}"];

/// Which script it is, and within which limits it is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptRunbook {
    /// The file: `{release}` stands for the version of the application that is rolled away from, `{from}` and `{to}` for the versions of
    /// the schema.
    pub file: String,
    /// How long it may wait for a lock, while others wait behind it.
    pub lock_timeout: Span,
    /// Queries that must return no row afterwards, by what each is about.
    pub verify: BTreeMap<String, String>,
}

impl ScriptRunbook {
    /// The file that is meant. A version may hold what leads elsewhere: such a one names no file.
    pub fn meant(&self, release: &Revision, way: Way<'_>) -> Result<String, String> {
        let mut file = self.file.clone();
        for (place, revision) in PLACES.into_iter().zip([release, way.from, way.to]) {
            let version = &revision.version;
            let leads_away = version.contains('/') || version == "." || version == "..";
            if leads_away && file.contains(place) {
                return Err(format!("{version} cannot be a part of a file's name"));
            }
            file = file.replace(place, version);
        }
        Ok(file)
    }

    /// A run of it with every choice made.
    pub fn run(
        &self,
        schema: &SchemaAt,
        script: &Script,
        way: Way<'_>,
        timeout: Span,
    ) -> ScriptRun {
        ScriptRun {
            schema: schema.clone(),
            file: script.file.clone(),
            sha256: script.sha256.clone(),
            from: way.from.clone(),
            to: way.to.clone(),
            undone: way.undone.to_vec(),
            lock_timeout: self.lock_timeout,
            timeout,
            verify: self.verify.clone(),
        }
    }
}

/// Running a script that was tried and changed this.
pub(super) fn step(run: ScriptRun, script: &Script, changes: &Changes) -> Step {
    let ScriptRun { file, sha256, from, to, undone, .. } = &run;
    Step {
        title: format!(
            "run {file} (sha256 {sha256}, {} bytes, {} lines) in one transaction: {} from {from} to {to}, without {}",
            script.bytes,
            script.lines,
            run.schema,
            undone.join(", ")
        ),
        needs: vec![
            format!("{file}, unchanged since it was tried and approved"),
            format!("{}, at {from}", run.schema),
            "permission to change what the script changes, and to lock the history of migrations"
                .to_owned(),
        ],
        // The look afterwards, and the end of a session, have their own time.
        timeout: run.timeout + Span::seconds(60),
        action: Action::ReverseScript {
            bytes: script.bytes,
            head: script.head.clone(),
            changes: changes.in_words(),
            changed: changes.sha256.clone(),
            script: Box::new(run),
        },
        // What fails before it is committed leaves nothing behind: a lock that did not come in time may come the next.
        attempts: 2,
        fallback: None,
    }
}
