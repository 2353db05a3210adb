//! Maintenance mode on: making objects that are not there. Off: deleting those, and nobody else's.
//!
//! What was made says for which service, and of which manifest, so that it is known again after a crash, and by another daemon. What
//! somebody else made is never changed and never deleted: where it holds the same, maintenance mode is on already, and people are
//! told that it stays when the rollback is over.

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};

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
    executors::{Adopted, Attempt, Trouble, failed},
};

/// For which service an object was made, and by which run.
const MADE_FOR: &str = "rollbackd.dev/maintenance-of";
const MADE_BY: &str = "rollbackd.dev/run";
/// The hash of what was asked for: what the API server or a webhook made of it is ours all the same.
const MADE_OF: &str = "rollbackd.dev/manifest";
/// Between two looks at what waits for its finalizers.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What the configuration's manifests hold, each by its hash.
pub type Manifests = Adopted<String, Arc<[Value]>>;

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
            let standing = make(attempt, &api, mode, (at, wanted)).await;
            (*seen, made) = (standing.map_err(|trouble| begun(made, trouble))?, true);
        }
    }
    attempt.after = said(mode, &seen);
    Ok(if made || was_touched { Outcome::Done } else { Outcome::AlreadyDone })
}

/// What is withheld counts as not begun: an attempt that made some of it was.
fn begun(made: bool, trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Withheld(why) if made => {
            Trouble::Failed { why: format!("some of it was made, then {why}"), retry: true }
        }
        Trouble::Withheld(_) | Trouble::Failed { .. } | Trouble::Unknown(_) => trouble,
    }
}

/// Carries out a [`crate::domain::plan::Action::MaintenanceOff`]: one that cannot be deleted keeps no other from it.
pub(in crate::executors) async fn switch_off(
    attempt: &mut Attempt<'_>,
    mode: &MaintenanceMode,
) -> Result<Outcome, Trouble> {
    let api = open(attempt, mode).await?;
    let manifest = attempt.options.manifests.find(&mode.manifest);
    let (mut lines, mut trouble, mut any) = (vec![], None, false);
    for (index, at) in mode.objects.iter().enumerate().rev() {
        let wanted = manifest.as_ref().and_then(|objects| objects.get(index));
        match delete(attempt, &api, mode, (at, wanted)).await {
            Ok(Deleted::Missing) => lines.push(format!("{at} is not there")),
            Ok(Deleted::Gone) => {
                any = true;
                lines.push(format!("{at} is deleted"));
            }
            Ok(Deleted::Another) => {
                lines.push(format!("{at} is another one, made by somebody else, and stays"));
            }
            // It is on all the same: nothing that is seen now proves anything.
            Ok(Deleted::Theirs) => {
                lines.push(format!("{at} was made by somebody else, and stays"));
                let delete = at.delete();
                let why = format!(
                    "{at} is there, and somebody else made it or took it over: rollbackd leaves it as it is; `{delete}` if it is not needed"
                );
                trouble = trouble.or(Some(Trouble::Failed { why, retry: false }));
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

/// Whether it was made of this very manifest, whatever became of it on the way.
fn is_made_of(mode: &MaintenanceMode, live: &Value) -> bool {
    live["metadata"]["annotations"][MADE_OF] == mode.manifest
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
    if is_ours && is_made_of(mode, live) || holds(wanted, live) {
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
    notes[MADE_OF] = mode.manifest.clone().into();
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
    let mut asked = false;
    for round in 0..LOOKS_MAX {
        attempt.permits().map_err(|trouble| begun(asked, trouble))?;
        (attempt.touched, asked) = (true, true);
        match api.post(&uri, &object).await {
            Ok(live) if is_ours(mode, &live) => return Ok(Standing::Ours),
            Ok(live) => return unmarked(api, at, &live).await,
            // Whether it was made is seen by looking.
            Err(refusal) => last = pause(attempt, refusal, &doing, round).await?,
        }
        if let Some(live) = look(attempt, api, at).await? {
            return standing(mode, at, wanted, Some(&live));
        }
    }
    Err(last.trouble(&doing, attempt.touched))
}

/// Nobody would know it again: the same uid that was just made is deleted at once.
async fn unmarked(api: &Api, at: &ObjectAt, made: &Value) -> Result<Standing, Trouble> {
    let why = match api.delete(&path(at), made).await {
        Ok(_) | Err(Refusal::Gone(_)) => "it is deleted again".to_owned(),
        Err(refusal) => {
            let why = refusal.trouble("deleting it again", true);
            format!("{why}; `{}`", at.delete())
        }
    };
    let why = format!("{at} was made without its annotation, an admission webhook drops it: {why}");
    failed(why, false)
}

/// Asks whether an object would be made, and makes none. Says where one is there already, or another would be made of it.
pub(super) async fn rehearse(
    api: &Api,
    mode: &MaintenanceMode,
    at: &ObjectAt,
    wanted: &Value,
) -> Result<Option<String>, String> {
    let told = |refusal: Refusal| refusal.trouble(&format!("making {at}"), false).to_string();
    // Strict: a field that the API server does not know would be dropped without a word.
    let query = format!("dryRun=All&fieldValidation=Strict&fieldManager={MANAGER}");
    let uri = format!("{}?{query}", collection(at));
    match api.post(&uri, &object(mode, wanted, "none")).await {
        Ok(live) if !is_ours(mode, &live) => {
            Err(format!("an admission webhook drops the annotation {MADE_FOR} of {at}"))
        }
        Ok(live) if !holds(wanted, &live) => {
            Ok(Some(format!("the API server makes something else of {at} than the manifest says")))
        }
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
    /// Somebody else's, or taken over, and maintenance mode all the same.
    Theirs,
    /// Somebody else's, which holds something else.
    Another,
}

/// Deletes what was made for this service, and waits until it is gone.
async fn delete(
    attempt: &mut Attempt<'_>,
    api: &Api,
    mode: &MaintenanceMode,
    (at, wanted): (&ObjectAt, Option<&Value>),
) -> Result<Deleted, Trouble> {
    let doing = format!("deleting {at}");
    let mut last = Refusal::Silent("it was not looked at".to_owned());
    let mut asked = false;
    for round in 0..LOOKS_MAX {
        let Some(live) = look(attempt, api, at).await? else {
            return Ok(if asked { Deleted::Gone } else { Deleted::Missing });
        };
        if !is_ours(mode, &live) {
            // Where the manifest is another by now, nobody can say that it does not hold the same.
            let is_same = is_made_of(mode, &live) || wanted.is_none_or(|it| holds(it, &live));
            return Ok(if is_same { Deleted::Theirs } else { Deleted::Another });
        }
        if !live["metadata"]["deletionTimestamp"].is_null() {
            return finalized(attempt, api, at, live).await;
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
        Some(live) if !live["metadata"]["deletionTimestamp"].is_null() => {
            finalized(attempt, api, at, live).await
        }
        Some(_) => Err(last.trouble(&doing, false)),
    }
}

/// A load balancer takes its time to let go: what is being deleted is waited for as long as the attempt may take.
async fn finalized(
    attempt: &Attempt<'_>,
    api: &Api,
    at: &ObjectAt,
    mut live: Value,
) -> Result<Deleted, Trouble> {
    while Instant::now() + LOOK_EVERY < attempt.until {
        sleep(LOOK_EVERY).await;
        match look(attempt, api, at).await? {
            Some(seen) => live = seen,
            None => return Ok(Deleted::Gone),
        }
    }
    let held = live["metadata"]["finalizers"].to_string();
    failed(format!("deleting {at}: it waits for its finalizers: {held}"), true)
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
