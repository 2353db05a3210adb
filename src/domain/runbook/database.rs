//! A schema that goes back: with the tool that made its migrations or by a reviewed script, down to an exact version, while nothing writes.

use serde::{Deserialize, Serialize};

use super::{ScriptRunbook, StopWrites, script};
use crate::{
    domain::{
        change::Revision,
        plan::{Action, SchemaAt, Step},
        planning::DatabaseMove,
        schema::{
            script::{Changes, Script, ScriptRun},
            undo::UndoBy,
        },
    },
    units::Span,
};

/// How the schema of a service goes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseRunbook {
    /// Whose schema.
    pub schema: SchemaAt,
    /// What takes its migrations back: in the arguments of a program `{to}` stands for the version that stays, `{last}` for the oldest that is
    /// taken back, and `{count}` for how many are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<UndoBy>,
    /// What takes them back where there is no undo, or where the undo takes nothing back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<ScriptRunbook>,
    /// How long all of them may take together.
    pub undo_timeout: Span,
    /// How the service is kept from writing meanwhile.
    pub stop_writes: StopWrites,
    /// Whether the daemon may do it by itself, with the undo: a schema that goes back loses what was written into what goes.
    pub automatic: bool,
}

/// Where a schema goes, and what is taken back on the way.
#[derive(Clone, Copy, Debug)]
pub struct Way<'w> {
    /// Where it is.
    pub from: &'w Revision,
    /// Where it will be.
    pub to: &'w Revision,
    /// The versions that are taken back, in that order.
    pub undone: &'w [String],
}

impl DatabaseRunbook {
    /// What is done for it by the tool, where there is one; `pods` are how many the service's Deployment has.
    pub fn back(&self, way: Way<'_>, pods: Option<u32>) -> Option<DatabaseMove> {
        let undo = self.undo.as_ref()?;
        Some(self.moved(self.undo(undo, way), way, pods))
    }

    /// What is done for it by a script that was tried and changed this.
    pub fn back_by_script(
        &self,
        (run, script): (ScriptRun, &Script),
        changes: &Changes,
        way: Way<'_>,
        pods: Option<u32>,
    ) -> DatabaseMove {
        self.moved(script::step(run, script, changes), way, pods)
    }

    fn moved(&self, step: Step, way: Way<'_>, pods: Option<u32>) -> DatabaseMove {
        DatabaseMove {
            from: way.from.clone(),
            to: way.to.clone(),
            before: vec![],
            steps: self.stop_writes.step().into_iter().chain([step]).collect(),
            start: self.stop_writes.start(),
            stopped_pods: self.stop_writes.scaled(pods),
            lost: String::new(),
            resource: format!("database:{}", self.schema.database),
            takes: self.undo_timeout,
        }
    }

    fn undo(&self, undo: &UndoBy, Way { from, to, undone }: Way<'_>) -> Step {
        let by = undo.filled(&to.version, undone);
        let mut needs = by.needs();
        needs.extend([
            format!("what takes {} back", undone.join(", ")),
            format!("{}, at {from}", self.schema),
            "nobody else who migrates it at the same time".to_owned(),
        ]);
        Step {
            title: format!(
                "take {} of {} back, from {from} to {to}: {}",
                migrations(undone.len()),
                self.schema,
                undone.join(", ")
            ),
            action: Action::MigrationsUndo {
                schema: self.schema.clone(),
                from: from.clone(),
                to: to.clone(),
                undone: undone.to_vec(),
                by,
            },
            needs,
            timeout: self.undo_timeout + Span::seconds(30),
            // What failed half-way is for people: another try begins from where nobody knows.
            attempts: 1,
            fallback: None,
        }
    }
}

fn migrations(count: usize) -> String {
    if count == 1 { "one migration".to_owned() } else { format!("{count} migrations") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::CommandLine;

    fn line(argv: &[&str]) -> CommandLine {
        let argv = argv.iter().map(|text| (*text).to_owned()).collect();
        CommandLine { argv, env: [].into(), dir: None, timeout: Span::minutes(1) }
    }

    fn runbook(stop_writes: StopWrites) -> DatabaseRunbook {
        DatabaseRunbook {
            schema: SchemaAt {
                database: "shop".into(),
                history_table: "flyway_schema_history".into(),
            },
            undo: Some(UndoBy::Run(line(&["flyway", "undo", "-target={last}", "--keep={to}"]))),
            script: None,
            undo_timeout: Span::minutes(10),
            stop_writes,
            automatic: false,
        }
    }

    #[test]
    fn a_plan_names_each_migration_that_is_taken_back_and_what_stays() {
        let [from, to] = ["7", "5"].map(Revision::named);
        let undone = ["7".to_owned(), "6".to_owned()];
        let way = Way { from: &from, to: &to, undone: &undone };
        let back = runbook(StopWrites::Scale).back(way, Some(3)).unwrap();
        assert_eq!((back.stopped_pods, back.steps.len()), (Some(3), 1));
        assert_eq!(
            back.steps[0].title,
            "take 2 migrations of the schema of shop back, from 7 to 5: 7, 6"
        );
        let Action::MigrationsUndo { by: UndoBy::Run(run), undone: named, .. } =
            &back.steps[0].action
        else {
            panic!("{:?}", back.steps[0].action);
        };
        assert_eq!(run.argv, ["flyway", "undo", "-target=6", "--keep=5"]);
        assert_eq!(named, &undone);
        assert_eq!(back.resource, "database:shop");
        assert!(back.steps[0].action.may_repeat(), "the history tells how far it came");
    }

    #[test]
    fn what_keeps_it_from_writing_is_done_first() {
        let [from, to] = ["7", "6"].map(Revision::named);
        let undone = ["7".to_owned()];
        let way = Way { from: &from, to: &to, undone: &undone };
        let stop = line(&["/usr/bin/drain", "shop"]);
        let stops = StopWrites::Command { stop, start: None };
        let back = runbook(stops).back(way, Some(3)).unwrap();
        let titles: Vec<&str> = back.steps.iter().map(|step| step.title.as_str()).collect();
        assert_eq!(
            titles,
            [
                "keep the service from writing, with `/usr/bin/drain shop`",
                "take one migration of the schema of shop back, from 7 to 6: 7",
            ]
        );
        assert_eq!(back.stopped_pods, None);
        assert_eq!(runbook(StopWrites::No).back(way, Some(3)).unwrap().steps.len(), 1);
    }
}
