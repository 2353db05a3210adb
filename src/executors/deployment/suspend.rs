//! Telling what would put a version back to leave it alone: only as it was seen, and in a way that people can take back.
//!
//! What made it act by itself is written beside it in the same request: whoever comes later, another daemon too, can say how
//! it was.

use serde_json::{Value, json};

use super::{
    api::Api,
    patch,
    refusal::Refusal,
    undo::{LOOKS_MAX, pause},
};
use crate::{
    domain::{
        plan::DeploymentAt,
        reconciler::{Kind, Reconciler},
        run::Outcome,
    },
    executors::{Attempt, Trouble},
};

const SUSPENDED: &str = "rollbackd.dev/suspended";

/// Carries out a [`crate::domain::plan::Action::OwnerSuspend`].
pub(in crate::executors) async fn suspend(
    attempt: &mut Attempt<'_>,
    cluster: &str,
    what: &Reconciler,
) -> Result<Outcome, Trouble> {
    let at = DeploymentAt {
        cluster: cluster.to_owned(),
        namespace: what.namespace.clone(),
        name: what.name.clone(),
        uid: None,
    };
    let api = Api::open(&attempt.options.clusters, &at, attempt.until).await?;
    let mut was = None;
    let outcome = until_suspended(attempt, &api, what, &mut was).await;
    attempt.left = was.map_or_else(String::new, |was| what.resume(&was));
    outcome
}

/// `was` is what made it act by itself before it was suspended, or may have been: people must know of that, too.
async fn until_suspended(
    attempt: &mut Attempt<'_>,
    api: &Api,
    what: &Reconciler,
    was: &mut Option<Value>,
) -> Result<Outcome, Trouble> {
    let (looking, doing) = (format!("looking at {what}"), format!("suspending {what}"));
    let mut last = Refusal::Silent("it was not looked at".to_owned());
    for look in 0..LOOKS_MAX {
        let (path, object) = match find(api, what).await {
            Ok(found) => found,
            Err(refusal) => {
                last = pause(attempt, refusal, &looking, look).await?;
                continue;
            }
        };
        let active = active(what.kind, &object);
        attempt.after = in_words(active.as_ref());
        if look == 0 {
            attempt.before.clone_from(&attempt.after);
        }
        let Some(active) = active else {
            *was = noted(&object);
            let done = look == 0 && !attempt.touched;
            return Ok(if done { Outcome::AlreadyDone } else { Outcome::Done });
        };
        if let Some(set) = controller(&object) {
            let why = format!("{set} would put back how {what} syncs: it is to be changed there");
            return Err(Trouble::Failed { why, retry: false });
        }
        attempt.permits()?;
        attempt.touched = true;
        let operations = operations(what.kind, &object, &active, &attempt.order.run);
        let before = was.replace(active);
        match api.patch_at(&path, &operations).await {
            Ok(object) if self::active(what.kind, &object).is_none() => {
                attempt.after = in_words(None);
                return Ok(Outcome::Done);
            }
            Ok(_) => {
                *was = before;
                let why =
                    format!("{what} was not suspended by it; an admission webhook changes it");
                return Err(Trouble::Failed { why, retry: false });
            }
            // Whether it was done is seen by looking again.
            Err(refusal) => {
                if !matches!(refusal, Refusal::Silent(_)) {
                    *was = before;
                }
                last = pause(attempt, refusal, &doing, look).await?;
            }
        }
    }
    Err(last.trouble(&doing, attempt.touched))
}

/// Where it is, in the version of its group that the cluster prefers, and as it is now.
async fn find(api: &Api, what: &Reconciler) -> Result<(String, Value), Refusal> {
    let Reconciler { kind, namespace, name } = what;
    let (group, plural) = (kind.group(), kind.plural());
    let known = api.get(&format!("/apis/{group}")).await.map_err(|refusal| match refusal {
        Refusal::Gone(_) => Refusal::Gone(format!("the cluster knows no {kind} ({group})")),
        Refusal::Moved(_) | Refusal::Busy { .. } | Refusal::Refused { .. } | Refusal::Silent(_) => {
            refusal
        }
    })?;
    let version = known["preferredVersion"]["version"].as_str().unwrap_or_default();
    let path = format!("/apis/{group}/{version}/namespaces/{namespace}/{plural}/{name}");
    let object = api.get(&path).await?;
    Ok((path, object))
}

/// What makes it act by itself; nothing where it is suspended.
fn active(kind: Kind, object: &Value) -> Option<Value> {
    match kind {
        Kind::Application => {
            let automated = object.pointer("/spec/syncPolicy/automated")?;
            (!automated.is_null() && automated["enabled"] != false).then(|| automated.clone())
        }
        Kind::Kustomization | Kind::HelmRelease => {
            let suspend = &object["spec"]["suspend"];
            (*suspend != true).then(|| suspend.clone())
        }
    }
}

fn in_words(active: Option<&Value>) -> String {
    match active {
        Some(Value::Null | Value::Bool(_)) => "it puts back by itself".to_owned(),
        Some(how) => format!("it puts back by itself: {how}"),
        None => "it is suspended".to_owned(),
    }
}

/// What an ApplicationSet makes, it makes again.
fn controller(object: &Value) -> Option<String> {
    let owners = object["metadata"]["ownerReferences"].as_array()?;
    let owner = owners.iter().find(|owner| owner["controller"] == true)?;
    let text = |key: &str| owner[key].as_str().unwrap_or_default().to_owned();
    Some(format!("{} {}", text("kind"), text("name")))
}

/// What was there before this daemon, or another one, suspended it.
fn noted(object: &Value) -> Option<Value> {
    let note = object["metadata"]["annotations"][SUSPENDED].as_str()?;
    let note: Value = serde_json::from_str(note).ok()?;
    note.get("was").cloned()
}

/// They fail together where anything of what was seen is otherwise.
fn operations(kind: Kind, object: &Value, active: &Value, run: &str) -> Vec<Value> {
    let meta = &object["metadata"];
    let mut all = vec![json!({ "op": "test", "path": "/metadata/uid", "value": meta["uid"] })];
    match kind {
        Kind::Application => {
            let path = "/spec/syncPolicy/automated";
            all.push(json!({ "op": "test", "path": path, "value": active }));
            all.push(json!({ "op": "remove", "path": path }));
        }
        Kind::Kustomization | Kind::HelmRelease => {
            all.push(json!({ "op": "add", "path": "/spec/suspend", "value": true }));
        }
    }
    let note = json!({ "by": run, "was": active }).to_string();
    all.extend(patch::annotations(meta, &[(SUSPENDED, Some(&note))]));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_suspended_is_told_from_what_is_not() {
        let application =
            |policy: Value| active(Kind::Application, &json!({ "spec": { "syncPolicy": policy } }));
        let healing = json!({ "selfHeal": true });
        assert_eq!(application(json!({ "automated": healing })), Some(healing));
        assert_eq!(application(json!({ "automated": {} })), Some(json!({})));
        assert_eq!(application(json!({ "automated": { "enabled": false } })), None);
        assert_eq!(application(json!({ "syncOptions": [] })), None);
        let flux = |spec: Value| active(Kind::HelmRelease, &json!({ "spec": spec })).is_none();
        assert!(flux(json!({ "suspend": true })));
        assert!(!flux(json!({ "suspend": false })) && !flux(json!({})));
    }

    #[test]
    fn what_was_there_is_written_beside_it_and_read_again() {
        let seen = json!({ "metadata": { "uid": "u" }, "spec": {} });
        let was = json!({ "prune": true });
        let asked = operations(Kind::Application, &seen, &was, "run-1");
        let ops: Vec<&str> = asked.iter().map(|o| o["op"].as_str().unwrap()).collect();
        assert_eq!(ops, ["test", "test", "remove", "add", "add"]);
        let note = asked[4]["value"].as_str().unwrap();
        let later = json!({ "metadata": { "annotations": { SUSPENDED: note } } });
        assert_eq!(noted(&later), Some(was));
    }
}
