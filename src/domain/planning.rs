//! From what the operator configured to a plan in which every choice is made.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{
    change::{Component, Revision},
    inventory::Place,
    maintenance::MaintenanceRunbook,
    plan::{Action, CommandLine, Plan, Restore, Step, Target},
    runbook::{
        ApplicationRunbook, DatabaseRunbook, RdsRunbook, RestoreRunbook, SecretRunbook,
        secret_resource,
    },
    service::ServiceId,
};
use crate::units::{Span, UnixMs};

/// The runbook's estimates of an application rollback: up to 5 minutes, and what it takes to verify it.
const APPLICATION_ROLLBACK: Span = Span::minutes(5);

/// What a configuration that goes back with it, or alone, takes longer.
const CONFIGURATION_ROLLBACK: Span = Span::minutes(5);

/// What goes back, each from one exact revision to another.
#[derive(Clone, Copy, Debug)]
pub struct Moves<'m> {
    /// What is set.
    pub from: &'m Revision,
    /// What will be; the same where the application stays.
    pub to: &'m Revision,
    /// What its pods read, where that goes back.
    pub configuration: Option<&'m ConfigurationMove>,
    /// Its schema, where that goes back.
    pub database: Option<&'m DatabaseMove>,
}

/// A schema that goes back, before anything starts that was written for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseMove {
    /// Where it is.
    pub from: Revision,
    /// Where it will be.
    pub to: Revision,
    /// What is done before anything is stopped for it.
    pub before: Vec<Step>,
    /// What is done for it, while nothing writes.
    pub steps: Vec<Step>,
    /// What lets it write again, where a program keeps it from that.
    pub start: Option<Step>,
    /// Of how many pods the Deployment is stopped meanwhile; none where something else keeps it from writing.
    pub stopped_pods: Option<u32>,
    /// What is lost with it, in words, where an earlier copy takes the place of all of it.
    pub lost: String,
    /// What no other plan may hold at the same time.
    pub resource: String,
    /// What it takes longer.
    pub takes: Span,
}

impl DatabaseMove {
    /// An earlier rollback has stopped it and did not let it write again: what is there now is not what it ran on.
    pub fn stopped_before(&mut self) {
        for step in &mut self.steps {
            if let Action::WritesStop { already, .. } = &mut step.action {
                *already = true;
            }
        }
    }

    /// What lets it write again where all is as it was before it was stopped.
    pub(in crate::domain) fn gives_back(&self) -> Option<&Step> {
        let is_already =
            |step: &Step| matches!(step.action, Action::WritesStop { already: true, .. });
        self.start.as_ref().filter(|_| !self.steps.iter().any(is_already))
    }
}

/// A configuration that goes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigurationMove {
    /// What is read now.
    pub from: Revision,
    /// What will be.
    pub to: Revision,
    /// What is done for it in the cluster; nothing where another template is enough.
    pub restores: Vec<Restore>,
    /// What is done for it at AWS.
    pub secrets: Vec<Step>,
    /// Since when something else than `to` was read, by the API server's time.
    pub misread_since: Option<UnixMs>,
}

impl ConfigurationMove {
    /// Whether anything that is read becomes another, and not only where it is read.
    pub fn changes_anything(&self) -> bool {
        !self.restores.is_empty() || !self.secrets.is_empty()
    }
}

impl Moves<'_> {
    /// Whether another version will serve.
    pub fn is_of_application(&self) -> bool {
        self.from != self.to
    }

    fn targets(&self) -> Vec<Target> {
        let target = |component, from: &Revision, to: &Revision| {
            let (from, to) = (from.clone(), to.clone());
            Target { component, from, to }
        };
        let application =
            self.is_of_application().then(|| target(Component::Application, self.from, self.to));
        let configuration =
            self.configuration.map(|it| target(Component::Configuration, &it.from, &it.to));
        let database = self.database.map(|it| target(Component::Database, &it.from, &it.to));
        application.into_iter().chain(configuration).chain(database).collect()
    }
}

/// How one service is rolled back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runbook {
    /// How its application is.
    pub application: ApplicationRunbook,
    /// What is switched on before all of it, and off when it has ended in whatever way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<MaintenanceRunbook>,
    /// How its schema goes back with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseRunbook>,
    /// How its whole database goes back, where the migrations cannot be taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<RestoreRunbook>,
    /// How it does where RDS keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rds: Option<RdsRunbook>,
    /// How secrets of AWS that it reads go back with it, or alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretRunbook>,
    /// Scripts that run before the application is switched, in order.
    pub before: Vec<ScriptStep>,
    /// Scripts that run after it serves, in order.
    pub after: Vec<ScriptStep>,
    /// Smoke tests: each must exit 0 after the rollback.
    pub checks: Vec<Smoke>,
    /// Smoke tests that a cluster runs: each must succeed after the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<SmokeJob>,
    /// How long the verification holds, for the estimate.
    pub verify_hold: Span,
}

/// A script as a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptStep {
    /// What people read.
    pub title: String,
    /// What changes the world.
    pub run: CommandLine,
    /// Exits 0 when the change is already in effect.
    pub observe: Option<CommandLine>,
    /// Whether running it twice equals running it once.
    pub idempotent: bool,
    /// How often it may be tried.
    pub attempts: u32,
}

/// A script as a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Smoke {
    /// What people read.
    pub title: String,
    /// The check.
    pub run: CommandLine,
    /// How often it may be tried.
    pub attempts: u32,
}

/// A check that a cluster runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmokeJob {
    /// What people read.
    pub title: String,
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
    /// How often it may be tried, each time as a Job of its own.
    pub attempts: u32,
}

impl Runbook {
    /// The plan from what serves to an exact revision, where `place` says that the platform has it.
    pub fn plan(
        &self,
        service: &ServiceId,
        (from, to): (&Revision, &Revision),
        place: &Place,
        at: UnixMs,
    ) -> Plan {
        self.plan_of(service, &Moves { from, to, configuration: None, database: None }, place, at)
    }

    /// The same of whatever goes back.
    pub fn plan_of(
        &self,
        service: &ServiceId,
        moves: &Moves<'_>,
        place: &Place,
        at: UnixMs,
    ) -> Plan {
        let mut steps: Vec<Step> = self.maintenance.iter().map(MaintenanceRunbook::step).collect();
        steps.extend(self.before.iter().map(ScriptStep::step));
        steps.extend(self.application.steps(moves, place));
        steps.extend(self.after.iter().map(ScriptStep::step));
        steps.extend(self.checks.iter().map(Smoke::step));
        steps.extend(self.jobs.iter().map(SmokeJob::step));
        Plan {
            service: service.clone(),
            targets: moves.targets(),
            steps,
            resources: self.resources(moves),
            estimate: APPLICATION_ROLLBACK
                + moves.configuration.map_or(Span::ZERO, |_| CONFIGURATION_ROLLBACK)
                + moves.database.map_or(Span::ZERO, |database| database.takes)
                + self.verify_hold,
            scope: String::new(),
            lost: moves.database.map_or_else(String::new, |database| database.lost.clone()),
            made_at: at,
        }
    }
}

impl Runbook {
    /// The steps by which secrets of AWS go back to what they were when `good` served well.
    pub fn secret_steps(&self, all: &[Restore], good: &Revision) -> Result<Vec<Step>, String> {
        let step = |what: &Restore| {
            let known = self.secrets.iter().find(|it| it.name == what.name);
            let known = known.ok_or_else(|| format!("nobody knows where {} is", what.called()))?;
            Ok(known.step(what, good))
        };
        all.iter().map(step).collect()
    }

    fn resources(&self, moves: &Moves<'_>) -> BTreeSet<String> {
        let maps = moves.configuration.into_iter().flat_map(|it| &it.restores);
        let maps = maps.filter_map(|map| self.application.read_by_pods(map));
        let secrets = moves.configuration.into_iter().flat_map(|it| &it.secrets);
        let secrets = secrets.filter_map(|step| {
            let Action::SecretMove { what } = &step.action else { return None };
            Some(secret_resource(what))
        });
        let maintenance = self.maintenance.iter().flat_map(MaintenanceRunbook::resources);
        let database = moves.database.map(|database| database.resource.clone());
        std::iter::once(self.application.resource())
            .chain(maps)
            .chain(secrets)
            .chain(maintenance)
            .chain(database)
            .collect()
    }
}

impl ScriptStep {
    fn step(&self) -> Step {
        let program = self.run.argv.first().map_or("", String::as_str);
        Step {
            title: self.title.clone(),
            action: Action::Command {
                run: self.run.clone(),
                observe: self.observe.clone(),
                idempotent: self.idempotent,
            },
            needs: vec![format!("the program {program}")],
            timeout: self.run.timeout + Span::seconds(30),
            attempts: self.attempts,
            fallback: None,
        }
    }
}

impl Smoke {
    fn step(&self) -> Step {
        let program = self.run.argv.first().map_or("", String::as_str);
        Step {
            title: self.title.clone(),
            action: Action::Check { run: self.run.clone() },
            needs: vec![format!("the program {program}")],
            timeout: self.run.timeout + Span::seconds(10),
            attempts: self.attempts,
            fallback: None,
        }
    }
}

impl SmokeJob {
    fn step(&self) -> Step {
        let Self { title, cluster, namespace, cron_job, timeout, keep, attempts } = self.clone();
        Step {
            title,
            needs: vec![
                format!("the CronJob {namespace}/{cron_job} of {cluster}"),
                format!(
                    "permission to get cronjobs, and to create and get jobs, in {namespace} of {cluster}"
                ),
            ],
            action: Action::CheckJob { cluster, namespace, cron_job, timeout, keep },
            // Its end is seen a little later.
            timeout: timeout + Span::seconds(30),
            attempts,
            fallback: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Its program is ended at its own time limit, and that is what people then read.
    #[test]
    fn a_script_has_all_of_its_own_time_before_its_step_is_over() {
        let timeout = Span::minutes(1);
        let run =
            CommandLine { argv: vec!["/usr/bin/drain".into()], env: [].into(), dir: None, timeout };
        let (title, attempts) = ("drain".to_owned(), 1);
        let smoke = Smoke { title: title.clone(), run: run.clone(), attempts };
        let script = ScriptStep { title, run, observe: None, idempotent: true, attempts };
        for step in [smoke.step(), script.step()] {
            assert!(step.timeout > timeout, "{:?}", step.timeout);
            assert_eq!(step.needs, ["the program /usr/bin/drain"]);
        }
    }
}
