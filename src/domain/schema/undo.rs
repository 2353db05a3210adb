//! What takes migrations back: the tool that made them, as a program of this machine or as a Job of the cluster.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{domain::plan::CommandLine, units::Span};

/// Who does it, with every choice made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UndoBy {
    /// A program.
    Run(CommandLine),
    /// A Job that is made from a CronJob, once.
    Job(UndoJob),
}

/// A Job that takes migrations back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoJob {
    /// The cluster's name in the configuration.
    pub cluster: String,
    /// Where it runs.
    pub namespace: String,
    /// What it is made from.
    pub cron_job: String,
    /// It is ended after so long.
    pub timeout: Span,
    /// It stays for so long after its end.
    pub keep: Span,
    /// What each of its containers is told, beside what the CronJob says.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
}

impl UndoBy {
    /// In words: what has to be there.
    pub fn needs(&self) -> Vec<String> {
        match self {
            Self::Run(run) => {
                vec![format!("the program {}", run.argv.first().map_or("", String::as_str))]
            }
            Self::Job(UndoJob { cluster, namespace, cron_job, .. }) => vec![
                format!("the CronJob {namespace}/{cron_job} of {cluster}"),
                format!(
                    "permission to get cronjobs, and to create and get jobs, in {namespace} of {cluster}"
                ),
            ],
        }
    }

    /// The same with where to go: `{to}` in arguments, or variables of a Job.
    pub fn filled(&self, to: &str, undone: &[String]) -> Self {
        let last = undone.last().map_or("", String::as_str);
        let count = undone.len().to_string();
        match self {
            Self::Run(line) => {
                let fill = |text: &String| {
                    text.replace("{to}", to).replace("{last}", last).replace("{count}", &count)
                };
                let argv = line.argv.iter().map(fill).collect();
                Self::Run(CommandLine { argv, ..line.clone() })
            }
            Self::Job(job) => {
                let told = [
                    ("ROLLBACK_TO", to.to_owned()),
                    ("ROLLBACK_LAST", last.to_owned()),
                    ("ROLLBACK_COUNT", count),
                ];
                let env = told.map(|(name, value)| (name.to_owned(), value)).into();
                Self::Job(UndoJob { env, ..job.clone() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::Action;

    /// A run that goes on after a restart reads it from the journal.
    #[test]
    fn a_program_is_read_from_a_journal_that_knows_no_jobs() {
        let old = r#"{"migrations_undo":{"schema":{"database":"shop","history_table":"h"},"from":{"version":"7","digest":null},
            "to":{"version":"6","digest":null},"undone":["7"],"run":{"argv":["undo"],"timeout":"1m"}}}"#;
        let action: Action = serde_json::from_str(old).unwrap();
        let Action::MigrationsUndo { by: UndoBy::Run(run), .. } = &action else {
            panic!("{action:?}")
        };
        assert_eq!(run.argv, ["undo"]);
        let written = serde_json::to_string(&action).unwrap();
        assert_eq!(serde_json::from_str::<Action>(&written).unwrap(), action, "{written}");
    }

    #[test]
    fn a_job_is_told_by_its_environment_how_far_to_go() {
        let job = UndoJob {
            cluster: "main".into(),
            namespace: "shop".into(),
            cron_job: "undo".into(),
            timeout: Span::minutes(1),
            keep: Span::hours(1),
            env: [].into(),
        };
        let undone = ["7".to_owned(), "6".to_owned()];
        let UndoBy::Job(job) = UndoBy::Job(job).filled("5", &undone) else { panic!() };
        assert_eq!(
            (
                job.env["ROLLBACK_TO"].as_str(),
                job.env["ROLLBACK_LAST"].as_str(),
                job.env["ROLLBACK_COUNT"].as_str()
            ),
            ("5", "6", "2")
        );
    }
}
