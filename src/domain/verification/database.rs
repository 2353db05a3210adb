//! What the database must show after a rollback: the schema that the plan goes to, and data that is as it must be.
//!
//! Only what was looked at after the rollback counts. What was violated before it is violated still, unless a look shows otherwise:
//! another application mends no data, and that it serves again is no reason to call that verified.

use super::{Check, Standing, check};
use crate::{
    domain::{change::Component, incident::Incident, schema::Schema, situation::Situation},
    units::UnixMs,
};

/// Its lines of the checklist; none of a service without a database.
pub(super) fn checks(s: &Situation<'_>, incident: &Incident) -> Vec<Check> {
    let since = incident.phase.verifying_since().unwrap_or(UnixMs(0));
    let data = s.policy.checks.iter().map(|(name, policy)| {
        // A replica shows later what is so.
        let (standing, note) = s.watch.integrity.standing(name, since + policy.shows_after);
        check(format!("check {name}"), standing, note)
    });
    schema(s, incident, since).into_iter().chain(data).collect()
}

fn schema(s: &Situation<'_>, incident: &Incident, since: UnixMs) -> Option<Check> {
    let name = "the schema is as it must be";
    s.policy.database.as_ref()?;
    let database = &s.watch.database;
    let targets = incident.run.as_ref().map(|run| run.plan.targets.as_slice()).unwrap_or_default();
    let target = targets.iter().find(|target| target.component == Component::Database);
    let (standing, note) = match database.known() {
        None => {
            (Standing::Unknown, database.unknown().unwrap_or("it was not looked at").to_owned())
        }
        Some(_) if database.looked_at().is_none_or(|at| at < since) => {
            (Standing::Unknown, "it was not looked at since the rollback".to_owned())
        }
        Some(schema) => stands(schema, target.map(|target| target.to.version.as_str())),
    };
    Some(check(name, standing, note))
}

fn stands(schema: &Schema, target: Option<&str>) -> (Standing, String) {
    if let Some(failed) = schema.failed().next() {
        return (Standing::Failed, format!("{} failed and is not mended", failed.called()));
    }
    if let Some(run) = &schema.run {
        return (Standing::Unknown, format!("somebody migrates it: {}", run.session));
    }
    let revision = schema.revision();
    match target {
        Some(target) if target != revision.version => {
            (Standing::Failed, format!("it is at {}, not at version {target}", schema.version()))
        }
        Some(_) | None => (Standing::Passed, format!("it is at {}", schema.version())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        examples,
        schema::{Doing, Migration, MigrationState, Run},
    };

    #[test]
    fn a_schema_that_is_not_where_the_plan_goes_fails_and_one_that_is_being_migrated_is_unknown() {
        let schema = examples::schema("6");
        assert_eq!(stands(&schema, Some("6")), (Standing::Passed, "it is at version 6".into()));
        assert_eq!(stands(&schema, None).0, Standing::Passed);
        let moved = (Standing::Failed, "it is at version 6, not at version 5".to_owned());
        assert_eq!(stands(&schema, Some("5")), moved);
        let run = Run { session: "9".into(), span: None, wrote: false, doing: Doing::Works };
        let migrated = Schema { run: Some(run), ..schema.clone() };
        assert_eq!(stands(&migrated, Some("6")).0, Standing::Unknown);
        let failed =
            Migration { state: MigrationState::Failed, ..examples::migration(2, Some("7")) };
        let half = Schema { newest: vec![failed], ..schema };
        assert_eq!(stands(&half, None).0, Standing::Failed);
    }
}
