//! Maintenance mode on: making objects that are not there. Off: deleting those, and nobody else's.
//!
//! What was made says for which service, so that it is known again after a crash, and by another daemon. What somebody else made
//! is never changed and never deleted: where it holds the same, maintenance mode is on already, and stays when the rollback is over.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use serde_json::{Map, Value, json};

use super::{
    api::{Api, MANAGER},
    refusal::Refusal,
    undo::{LOOKS_MAX, pause},
};
use crate::{
    domain::{
        maintenance::{MaintenanceMode, ObjectAt},
        plan::DeploymentAt,
        run::Outcome,
    },
    executors::{Attempt, Trouble, failed},
};

/// For which service an object was made, and by which run.
const MADE_FOR: &str = "rollbackd.dev/maintenance-of";
const MADE_BY: &str = "rollbackd.dev/run";

/// What the configuration's manifests hold, each by its hash. A reload names others for all who hold it.
#[derive(Clone, Debug, Default)]
pub struct Manifests(Arc<RwLock<BTreeMap<String, Arc<[Value]>>>>);

impl Manifests {
    /// From now on these.
    pub fn adopt(&self, manifests: BTreeMap<String, Arc<[Value]>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = manifests;
    }

    fn find(&self, hash: &str) -> Option<Arc<[Value]>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(hash).cloned()
    }
}

/// Carries out a [`crate::domain::plan::Action::MaintenanceOn`]: nothing is made before all of it was looked at.
pub(in crate::executors) async fn switch_on(
    attempt: &mut Attempt<'_>,
    mode: &MaintenanceMode,
) -> Result<Outcome, Trouble> {
    let Some(manifest) = attempt.options.manifests.find(&mode.manifest) else {
        let why = "the configuration holds another manifest by now than when this was planned";
        return failed(why.to_owned(), false);
    };
    let api = open(attempt, mode).await?;
    let mut seen = vec![];
    for (at, wanted) in mode.objects.iter().zip(manifest.iter()) {
        let live = look(attempt, &api, at).await?;
        seen.push(standing(mode, at, wanted, live.as_ref())?);
    }
    attempt.before = said(mode, &seen);
    let was_touched = attempt.touched;
    let mut made = false;
    for ((at, wanted), seen) in mode.objects.iter().zip(manifest.iter()).zip(&mut seen) {
        if *seen == Standing::Missing {
            (*seen, made) = (make(attempt, &api, mode, (at, wanted)).await?, true);
        }
    }
    attempt.after = said(mode, &seen);
    Ok(if made || was_touched { Outcome::Done } else { Outcome::AlreadyDone })
}

/// Carries out a [`crate::domain::plan::Action::MaintenanceOff`]: one that cannot be deleted keeps no other from it.
pub(in crate::executors) async fn switch_off(
    attempt: &mut Attempt<'_>,
    mode: &MaintenanceMode,
) -> Result<Outcome, Trouble> {
    let api = open(attempt, mode).await?;
    let (mut lines, mut trouble, mut any) = (vec![], None, false);
    for at in mode.objects.iter().rev() {
        match delete(attempt, &api, mode, at).await {
            Ok(Deleted::Missing) => lines.push(format!("{at} is not there")),
            Ok(Deleted::Gone) => {
                any = true;
                lines.push(format!("{at} is deleted"));
            }
            Ok(Deleted::Theirs) => {
                lines.push(format!("{at} was made by somebody else, and stays"));
            }
            Err(fault) => {
                lines.push(format!("{at} may still be there"));
                trouble = trouble.or(Some(fault));
            }
        }
    }
    attempt.after = lines.join("; ");
    match trouble {
        Some(trouble) => Err(trouble),
        None => Ok(if any { Outcome::Done } else { Outcome::AlreadyDone }),
    }
}

async fn open(attempt: &Attempt<'_>, mode: &MaintenanceMode) -> Result<Api, Trouble> {
    let first = mode.objects.first();
    let text = |of: fn(&ObjectAt) -> &String| first.map(of).cloned().unwrap_or_default();
    let at = DeploymentAt {
        cluster: mode.cluster.clone(),
        namespace: text(|at| &at.namespace),
        name: text(|at| &at.name),
        uid: None,
    };
    Api::open(&attempt.options.clusters, &at, attempt.until).await
}

/// Where objects of its kind are, in its namespace.
fn collection(at: &ObjectAt) -> String {
    let root = if at.group().is_empty() { "api" } else { "apis" };
    format!("/{root}/{}/namespaces/{}/{}", at.api_version, at.namespace, at.plural)
}

fn path(at: &ObjectAt) -> String {
    format!("{}/{}", collection(at), at.name)
}

async fn look(attempt: &Attempt<'_>, api: &Api, at: &ObjectAt) -> Result<Option<Value>, Trouble> {
    let looking = format!("looking at {at}");
    let mut last = Refusal::Silent("it was not looked at".to_owned());
    for round in 0..LOOKS_MAX {
        match api.get(&path(at)).await {
            Ok(live) => return Ok(Some(live)),
            Err(Refusal::Gone(_)) => return Ok(None),
            Err(refusal) => last = pause(attempt, refusal, &looking, round).await?,
        }
    }
    Err(last.trouble(&looking, attempt.touched))
}

/// How an object stands that is to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Missing,
    Ours,
    /// It holds what ours would, and somebody else made it.
    Theirs,
}

fn is_ours(mode: &MaintenanceMode, live: &Value) -> bool {
    live["metadata"]["annotations"][MADE_FOR] == mode.service.to_string()
}

fn standing(
    mode: &MaintenanceMode,
    at: &ObjectAt,
    wanted: &Value,
    live: Option<&Value>,
) -> Result<Standing, Trouble> {
    let Some(live) = live else { return Ok(Standing::Missing) };
    if !live["metadata"]["deletionTimestamp"].is_null() {
        return failed(format!("{at} is being deleted, and is still there"), true);
    }
    let is_ours = is_ours(mode, live);
    if holds(wanted, live) {
        return Ok(if is_ours { Standing::Ours } else { Standing::Theirs });
    }
    let whose = if is_ours { "made for an earlier rollback" } else { "somebody else's" };
    let delete = at.delete();
    failed(
        format!(
            "there is another {at}, {whose}, and it does not hold what the manifest does: it is left as it is; `{delete}` if it is not needed"
        ),
        false,
    )
}

fn said(mode: &MaintenanceMode, seen: &[Standing]) -> String {
    let one = |(at, seen): (&ObjectAt, &Standing)| match seen {
        Standing::Missing => format!("{at} is not there"),
        Standing::Ours => format!("{at} is there"),
        Standing::Theirs => format!("{at} is there, was made by somebody else, and will stay"),
    };
    mode.objects.iter().zip(seen).map(one).collect::<Vec<_>>().join("; ")
}

/// What is to be made: what the manifest says, and for whom.
fn object(mode: &MaintenanceMode, wanted: &Value, run: &str) -> Value {
    let mut object = wanted.clone();
    let notes = &mut object["metadata"]["annotations"];
    if !notes.is_object() {
        *notes = json!({});
    }
    notes[MADE_FOR] = mode.service.to_string().into();
    notes[MADE_BY] = run.into();
    object
}

/// Makes one that was not there a moment ago; whoever was faster made it.
async fn make(
    attempt: &mut Attempt<'_>,
    api: &Api,
    mode: &MaintenanceMode,
    (at, wanted): (&ObjectAt, &Value),
) -> Result<Standing, Trouble> {
    let doing = format!("making {at}");
    let object = object(mode, wanted, &attempt.order.run);
    let uri = format!("{}?fieldManager={MANAGER}", collection(at));
    let mut last = Refusal::Silent("it was not tried".to_owned());
    for round in 0..LOOKS_MAX {
        attempt.permits()?;
        attempt.touched = true;
        match api.post(&uri, &object).await {
            Ok(live) => return standing(mode, at, wanted, Some(&live)),
            // Whether it was made is seen by looking.
            Err(refusal) => last = pause(attempt, refusal, &doing, round).await?,
        }
        if let Some(live) = look(attempt, api, at).await? {
            return standing(mode, at, wanted, Some(&live));
        }
    }
    Err(last.trouble(&doing, attempt.touched))
}

/// Asks whether an object would be made, and makes none. Says where one is there already.
pub(super) async fn rehearse(
    api: &Api,
    mode: &MaintenanceMode,
    at: &ObjectAt,
    wanted: &Value,
) -> Result<Option<String>, String> {
    let told = |refusal: Refusal| refusal.trouble(&format!("making {at}"), false).to_string();
    let uri = format!("{}?dryRun=All&fieldManager={MANAGER}", collection(at));
    match api.post(&uri, &object(mode, wanted, "none")).await {
        Ok(_) => Ok(None),
        Err(Refusal::Moved(_)) => {
            let live = api.get(&path(at)).await.map_err(told)?;
            let standing = standing(mode, at, wanted, Some(&live)).map_err(|it| it.to_string())?;
            Ok(Some(match standing {
                Standing::Theirs => format!("{at} is there, was made by somebody else, and stays"),
                Standing::Ours | Standing::Missing => format!("{at} is there: it is on"),
            }))
        }
        Err(refusal) => Err(told(refusal)),
    }
}

enum Deleted {
    Missing,
    Gone,
    Theirs,
}

/// Deletes what was made for this service, and waits until it is gone.
async fn delete(
    attempt: &mut Attempt<'_>,
    api: &Api,
    mode: &MaintenanceMode,
    at: &ObjectAt,
) -> Result<Deleted, Trouble> {
    let doing = format!("deleting {at}");
    let mut last = Refusal::Silent("it was not looked at".to_owned());
    let mut asked = false;
    for round in 0..LOOKS_MAX {
        let Some(live) = look(attempt, api, at).await? else {
            return Ok(if asked { Deleted::Gone } else { Deleted::Missing });
        };
        if !is_ours(mode, &live) {
            return Ok(Deleted::Theirs);
        }
        if !live["metadata"]["deletionTimestamp"].is_null() {
            asked = true;
            let held = live["metadata"]["finalizers"].to_string();
            let refusal = Refusal::Moved(format!("it waits for its finalizers: {held}"));
            last = pause(attempt, refusal, &doing, round).await?;
            continue;
        }
        attempt.permits()?;
        attempt.touched = true;
        match api.delete(&path(at), &live).await {
            Ok(_) => asked = true,
            Err(Refusal::Gone(_)) => return Ok(Deleted::Gone),
            // Whether it was done is seen by looking again.
            Err(refusal) => last = pause(attempt, refusal, &doing, round).await?,
        }
    }
    match look(attempt, api, at).await? {
        None => Ok(Deleted::Gone),
        Some(_) => Err(last.trouble(&doing, false)),
    }
}

/// Whether an object holds all that the manifest says; an API server adds what was left out.
fn holds(wanted: &Value, live: &Value) -> bool {
    let parts = |object: &Value| object.as_object().cloned().unwrap_or_default();
    let (mut wanted, live) = (parts(wanted), parts(live));
    // What names it is what it was found by.
    for key in ["apiVersion", "kind", "status"] {
        wanted.remove(key);
    }
    if let Some(meta) = wanted.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.retain(|key, _| key == "labels" || key == "annotations");
    }
    has_all(&wanted, &live)
}

fn has_all(wanted: &Map<String, Value>, live: &Map<String, Value>) -> bool {
    wanted.iter().all(|(key, wanted)| has(wanted, live.get(key).unwrap_or(&Value::Null)))
}

fn has(wanted: &Value, live: &Value) -> bool {
    match (wanted, live) {
        (Value::Null, _) => true,
        (Value::Object(wanted), Value::Object(live)) => has_all(wanted, live),
        (Value::Object(wanted), Value::Null) => wanted.values().all(|it| has(it, &Value::Null)),
        (Value::Array(wanted), Value::Array(live)) => {
            wanted.len() == live.len() && wanted.iter().zip(live).all(|(w, l)| has(w, l))
        }
        (Value::Array(wanted), Value::Null) => wanted.is_empty(),
        (wanted, live) => wanted == live,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_api_server_adds_makes_no_other_object_and_what_differs_does() {
        let wanted = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": { "name": "page", "namespace": "shop", "labels": { "app": "page" } },
            "spec": { "ports": [{ "port": 80 }], "selector": {} },
        });
        let live = |port: u16, app: &str| {
            json!({
                "kind": "Service",
                "metadata": { "name": "page", "uid": "u", "labels": { "app": app, "more": "x" } },
                "spec": { "ports": [{ "port": port, "protocol": "TCP" }], "type": "ClusterIP" },
            })
        };
        assert!(holds(&wanted, &live(80, "page")));
        assert!(!holds(&wanted, &live(81, "page")) && !holds(&wanted, &live(80, "other")));
        let mut more = live(80, "page");
        more["spec"]["ports"].as_array_mut().unwrap().push(json!({ "port": 81 }));
        assert!(!holds(&wanted, &more), "another port is open");
    }
}
