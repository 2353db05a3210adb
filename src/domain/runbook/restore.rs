//! A schema that goes back with everything in it: an earlier copy of the database is restored beside it, and takes its place.

use serde::{Deserialize, Serialize};

use super::StopWrites;
use crate::{
    domain::{
        change::Revision,
        plan::{Action, CommandLine, SchemaAt, Step},
        planning::DatabaseMove,
        schema::snapshot::Snapshot,
    },
    units::Span,
};

/// Two names change places, and who is still there is asked to go.
const SWITCH: Span = Span::minutes(2);

/// How a database is put back from a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreRunbook {
    /// Whose schema.
    pub schema: SchemaAt,
    /// The database's name on its server.
    pub database: String,
    /// What restores into the database that its environment names: `pg_restore` with the operator's options. The file comes
    /// after them.
    pub restore: CommandLine,
    /// What reads a whole snapshot and does nothing with it. The file comes after it.
    pub read: CommandLine,
    /// How the service is kept from writing meanwhile.
    pub stop_writes: StopWrites,
    /// Whether the daemon may do it by itself: what was written since is lost.
    pub automatic: bool,
}

/// What is put in the place of what.
#[derive(Clone, Copy, Debug)]
pub struct Replacement<'r> {
    /// Where the schema is.
    pub from: &'r Revision,
    /// Where it will be.
    pub to: &'r Revision,
    /// From which snapshot.
    pub snapshot: &'r Snapshot,
    /// The name of what is restored, until it takes its place.
    pub restored: &'r str,
    /// The name of what was there, from then on.
    pub replaced: &'r str,
}

impl RestoreRunbook {
    /// What is done for it; `pods` are how many the service's Deployment has.
    pub fn back(&self, it: Replacement<'_>, pods: Option<u32>) -> DatabaseMove {
        let stop = self.stop_writes.step();
        let Replacement { from, to, .. } = it;
        DatabaseMove {
            from: from.clone(),
            to: to.clone(),
            before: vec![self.read(it)],
            steps: stop.into_iter().chain([self.restore(it), self.switch(it)]).collect(),
            start: self.stop_writes.start(),
            stopped_pods: self.stop_writes.scaled(pods),
            lost: String::new(),
            resource: format!("database:{}", self.schema.database),
            takes: self.restore.timeout + self.read.timeout,
        }
    }

    /// Before anything is stopped for it.
    fn read(&self, Replacement { snapshot, .. }: Replacement<'_>) -> Step {
        let run = with_file(&self.read, &snapshot.file);
        Step {
            title: format!(
                "read the whole of {}, and see that nothing of it is missing",
                snapshot.file
            ),
            needs: vec![program(&run)],
            timeout: run.timeout + Span::seconds(30),
            action: Action::Check { run },
            attempts: 1,
            fallback: None,
        }
    }

    fn restore(&self, it: Replacement<'_>) -> Step {
        let Replacement { to, snapshot, restored, .. } = it;
        let mut run = with_file(&self.restore, &snapshot.file);
        run.env.insert(
            "PGDATABASE".to_owned(),
            crate::domain::plan::EnvValue::Text(restored.to_owned()),
        );
        run.argv.insert(1, format!("--dbname={restored}"));
        let database = &self.database;
        Step {
            title: format!(
                "restore {}, taken at {}, into the new database {restored} beside {database}: version {to}",
                snapshot.file, snapshot.taken_at
            ),
            needs: vec![
                program(&run),
                format!("{}, unchanged", snapshot.file),
                format!("room for a second {database}"),
                "permission to create a database".to_owned(),
            ],
            timeout: run.timeout + Span::minutes(1),
            action: Action::SnapshotRestore {
                schema: self.schema.clone(),
                file: snapshot.file.clone(),
                bytes: snapshot.bytes,
                fingerprint: snapshot.fingerprint.clone(),
                beside: database.clone(),
                restored: restored.to_owned(),
                to: to.clone(),
                run,
            },
            attempts: 1,
            fallback: None,
        }
    }

    fn switch(&self, it: Replacement<'_>) -> Step {
        let Replacement { from, to, restored, replaced, .. } = it;
        let (database, schema) = (self.database.clone(), self.schema.clone());
        Step {
            title: format!(
                "rename {database} to {replaced}, which is kept, and {restored} to {database}: from {from} to {to}. Sessions that are still there are ended"
            ),
            needs: vec![
                format!("nobody who migrated {database} since, which is at {from}"),
                format!("permission to rename {database}, and to end sessions there"),
            ],
            timeout: SWITCH,
            action: Action::DatabaseSwitch {
                schema,
                database,
                restored: restored.to_owned(),
                replaced: replaced.to_owned(),
                from: from.clone(),
                to: to.clone(),
            },
            attempts: 3,
            fallback: None,
        }
    }
}

fn program(run: &CommandLine) -> String {
    format!("the program {}", run.argv.first().map_or("", String::as_str))
}

fn with_file(run: &CommandLine, file: &str) -> CommandLine {
    let mut run = run.clone();
    run.argv.push(file.to_owned());
    run
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::UnixMs;

    fn line(argv: &[&str]) -> CommandLine {
        let argv = argv.iter().map(|text| (*text).to_owned()).collect();
        CommandLine { argv, env: [].into(), dir: None, timeout: Span::minutes(10) }
    }

    #[test]
    fn what_is_restored_where_and_what_is_kept_stands_in_the_plan_and_the_file_is_read_first() {
        let runbook = RestoreRunbook {
            schema: SchemaAt { database: "shop".into(), history_table: "history".into() },
            database: "shop".into(),
            restore: line(&["pg_restore", "--exit-on-error"]),
            read: line(&["pg_restore", "--file=/dev/null"]),
            stop_writes: StopWrites::Scale,
            automatic: false,
        };
        let [from, to] = ["7", "5"].map(Revision::named);
        let snapshot = Snapshot {
            file: "/var/backups/shop.dump".into(),
            bytes: 7,
            fingerprint: "ab".into(),
            taken_at: UnixMs(1_772_452_800_000),
            schema: Ok(to.clone()),
            lost: vec![],
        };
        let (restored, replaced) = ("shop_restored_1", "shop_replaced_1");
        let it = Replacement { from: &from, to: &to, snapshot: &snapshot, restored, replaced };
        let back = runbook.back(it, Some(3));
        assert_eq!((back.stopped_pods, back.resource.as_str()), (Some(3), "database:shop"));
        let titles: Vec<&str> =
            back.before.iter().chain(&back.steps).map(|step| step.title.as_str()).collect();
        assert_eq!(
            titles,
            [
                "read the whole of /var/backups/shop.dump, and see that nothing of it is missing",
                "restore /var/backups/shop.dump, taken at 2026-03-02T12:00:00.000Z, into the new database shop_restored_1 beside shop: version 5",
                "rename shop to shop_replaced_1, which is kept, and shop_restored_1 to shop: from 7 to 5. Sessions that are still there are ended",
            ]
        );
        let Action::SnapshotRestore { run, .. } = &back.steps[0].action else {
            panic!("{:?}", back.steps[0].action);
        };
        let file = "/var/backups/shop.dump";
        assert_eq!(run.argv, ["pg_restore", "--dbname=shop_restored_1", "--exit-on-error", file]);
        assert!(back.steps.iter().all(|step| step.action.may_repeat()));
    }
}
