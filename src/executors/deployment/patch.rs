//! What is asked of the API server to set a Deployment's template: everything or nothing, and only on what was seen.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    Live,
    held::{self, CHANGE_CAUSE, Held},
};
use crate::domain::change::Revision;

/// Tells whoever looks at the Deployment that it was not a person.
pub(super) const ROLLED_BACK: &str = "rollbackd.dev/rolled-back";

/// With what the note of a ConfigMap begins.
pub(super) const MAP_NOTE: &str = "set back to what was kept when it served well, ";

/// What is written beside a template that a run sets.
pub(super) fn note(from: &Revision, to: &Revision, run: &str) -> String {
    format!("from {from} to {to} by run {run}")
}

/// Whether this very run has written its note, and so its template, before.
pub(super) fn was_set_by(live: &Live, run: &str) -> bool {
    was_noted_by(&live.object, run)
}

/// The same of any object.
pub(super) fn was_noted_by(object: &Value, run: &str) -> bool {
    let note = object["metadata"]["annotations"][ROLLED_BACK].as_str();
    note.is_some_and(|note| note.ends_with(&format!(" by run {run}")))
}

/// The operations of a JSON patch. They fail together when another template was set since `live` was seen, or another
/// object made in its place; how many pods there are is an autoscaler's business and not tested. Of the annotations only two are touched: what people and other controllers wrote
/// there stays, unlike with `kubectl rollout undo`, which puts back those of the ReplicaSet.
pub(super) fn operations(live: &Live, held: &Held, note: &str) -> Vec<Value> {
    let mut all = only_as_seen(live);
    all.push(json!({ "op": "replace", "path": "/spec/template", "value": held.template }));
    all.extend(own_annotations(live, held.cause.as_deref(), note));
    all
}

fn only_as_seen(live: &Live) -> Vec<Value> {
    let Live { object, .. } = live;
    vec![
        json!({ "op": "test", "path": "/metadata/uid", "value": object["metadata"]["uid"] }),
        json!({ "op": "test", "path": "/spec/template", "value": object["spec"]["template"] }),
    ]
}

fn own_annotations(live: &Live, cause: Option<&str>, note: &str) -> Vec<Value> {
    annotations(&live.object["metadata"], &[(CHANGE_CAUSE, cause), (ROLLED_BACK, Some(note))])
}

/// The operations that set these annotations of an object, or take them away; all others stay.
pub(super) fn annotations(meta: &Value, wanted: &[(&str, Option<&str>)]) -> Vec<Value> {
    let mut all = vec![];
    let none = Map::new();
    let annotations = meta["annotations"].as_object();
    if annotations.is_none() {
        all.push(json!({ "op": "add", "path": "/metadata/annotations", "value": {} }));
    }
    let now = annotations.unwrap_or(&none);
    for &(name, value) in wanted {
        let path = format!("/metadata/annotations/{}", name.replace('~', "~0").replace('/', "~1"));
        match value {
            // Adding what is there replaces it.
            Some(value) => all.push(json!({ "op": "add", "path": path, "value": value })),
            None if now.contains_key(name) => all.push(json!({ "op": "remove", "path": path })),
            None => {}
        }
    }
    all
}

/// Sets everything else to what the Deployment was to be when it served well: a part that came since goes. How many
/// pods there are stays, and what cannot be changed. The template was set back before, and stays as it is now: with the
/// time of another restart in it, the one that was kept would be one rollout more.
pub(super) fn whole(
    live: &Live,
    cause: Option<&str>,
    spec: &Map<String, Value>,
    note: &str,
) -> Vec<Value> {
    let mut all = only_as_seen(live);
    all.extend(own_annotations(live, cause, note));
    for key in parts(live, spec) {
        let path = format!("/spec/{key}");
        all.push(match spec.get(&key) {
            Some(was) => json!({ "op": "add", "path": path, "value": was }),
            None => json!({ "op": "remove", "path": path }),
        });
    }
    all
}

/// The parts of a specification that are not as they were.
pub(super) fn parts(live: &Live, spec: &Map<String, Value>) -> Vec<String> {
    let none = Map::new();
    let now = live.object["spec"].as_object().unwrap_or(&none);
    let all: BTreeSet<&String> =
        now.keys().filter(|key| held::is_kept(key)).chain(spec.keys()).collect();
    all.into_iter().filter(|key| now.get(*key) != spec.get(*key)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(annotations: Value) -> Live {
        let template =
            json!({ "metadata": { "labels": { "app": "shop" } }, "spec": { "containers": [] } });
        Live::new(json!({
            "metadata": { "uid": "u-1", "generation": 7, "annotations": annotations },
            "spec": { "template": template },
        }))
    }

    fn held(cause: Option<&str>) -> Held {
        let template = json!({ "spec": { "containers": [{ "image": "shop:1" }] } });
        Held { template, cause: cause.map(str::to_owned) }
    }

    fn paths(operations: &[Value], op: &str) -> Vec<String> {
        let of = |o: &&Value| o["op"] == op;
        operations.iter().filter(of).map(|o| o["path"].as_str().unwrap().to_owned()).collect()
    }

    const CAUSE: &str = "/metadata/annotations/kubernetes.io~1change-cause";
    const NOTE: &str = "/metadata/annotations/rollbackd.dev~1rolled-back";

    #[test]
    fn it_changes_only_what_was_seen_and_of_the_annotations_only_its_own() {
        let seen = live(json!({ "team": "payments", CHANGE_CAUSE: "build 8" }));
        let asked = operations(&seen, &held(Some("build 7")), "from 8");
        assert_eq!(paths(&asked, "test"), ["/metadata/uid", "/spec/template"]);
        assert_eq!(paths(&asked, "replace"), ["/spec/template"]);
        assert_eq!(paths(&asked, "add"), [CAUSE, NOTE]);
        assert_eq!(asked[2]["value"], held(None).template);
        assert_eq!(asked[3]["value"], "build 7");
    }

    #[test]
    fn a_reason_that_is_not_this_templates_goes_and_missing_annotations_are_made() {
        let asked = operations(&live(json!({ CHANGE_CAUSE: "build 8" })), &held(None), "from 8");
        assert_eq!(paths(&asked, "remove"), [CAUSE]);
        let asked = operations(&live(Value::Null), &held(None), "from 8");
        assert_eq!(paths(&asked, "add"), ["/metadata/annotations", NOTE]);
        assert!(paths(&asked, "remove").is_empty());
    }

    #[test]
    fn the_whole_goes_back_without_what_came_since_and_scaling_stays() {
        let mut seen = live(Value::Null);
        let now = json!({ "replicas": 7, "paused": false, "minReadySeconds": 3600, "progressDeadlineSeconds": 600 });
        let template = seen.object["spec"]["template"].clone();
        seen.object["spec"] = now;
        seen.object["spec"]["template"] = template;
        let spec = json!({ "progressDeadlineSeconds": 600, "revisionHistoryLimit": 10 });
        let asked = whole(&seen, None, spec.as_object().unwrap(), "from 8");
        assert_eq!(paths(&asked, "test"), ["/metadata/uid", "/spec/template"]);
        assert!(paths(&asked, "replace").is_empty(), "its template is set back already");
        assert_eq!(paths(&asked, "add").last().unwrap(), "/spec/revisionHistoryLimit");
        assert_eq!(paths(&asked, "remove"), ["/spec/minReadySeconds"]);
    }
}
