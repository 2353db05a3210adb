//! What is asked of the API server to set a Deployment's template: everything or nothing, and only on what was seen.

use serde_json::{Map, Value, json};

use super::Live;

const HASH_LABEL: &str = "pod-template-hash";
/// Tells in `kubectl rollout history` why a revision is there; it goes back with the template.
const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";
/// Tells whoever looks at the Deployment that it was not a person.
const ROLLED_BACK: &str = "rollbackd.dev/rolled-back";

/// A ReplicaSet's template, without what its controller wrote into it.
pub(super) fn template_of(replica_set: &Value) -> Value {
    let mut template = replica_set["spec"]["template"].clone();
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(HASH_LABEL);
    }
    template
}

/// The operations of a JSON patch. They fail together when another template was set since `live` was seen, or another
/// object made in its place; how many pods there are is an autoscaler's business and not tested. Of the annotations only two are touched: what people and other controllers wrote
/// there stays, unlike with `kubectl rollout undo`, which puts back those of the ReplicaSet.
pub(super) fn operations(live: &Live, replica_set: &Value, note: &str) -> Value {
    let meta = &live.object["metadata"];
    let mut all = vec![
        json!({ "op": "test", "path": "/metadata/uid", "value": meta["uid"] }),
        json!({ "op": "test", "path": "/spec/template", "value": live.object["spec"]["template"] }),
        json!({ "op": "replace", "path": "/spec/template", "value": template_of(replica_set) }),
    ];
    let none = Map::new();
    let annotations = meta["annotations"].as_object();
    if annotations.is_none() {
        all.push(json!({ "op": "add", "path": "/metadata/annotations", "value": {} }));
    }
    let now = annotations.unwrap_or(&none);
    let cause = replica_set["metadata"]["annotations"][CHANGE_CAUSE].as_str();
    for (name, value) in [(CHANGE_CAUSE, cause), (ROLLED_BACK, Some(note))] {
        let path = format!("/metadata/annotations/{}", name.replace('~', "~0").replace('/', "~1"));
        match value {
            // Adding what is there replaces it.
            Some(value) => all.push(json!({ "op": "add", "path": path, "value": value })),
            None if now.contains_key(name) => all.push(json!({ "op": "remove", "path": path })),
            None => {}
        }
    }
    Value::Array(all)
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

    fn set(annotations: Value) -> Value {
        let labels = json!({ "app": "shop", HASH_LABEL: "7c9d" });
        let template = json!({ "metadata": { "labels": labels }, "spec": { "containers": [{ "image": "shop:1" }] } });
        json!({ "metadata": { "annotations": annotations }, "spec": { "template": template } })
    }

    fn paths(operations: &Value, op: &str) -> Vec<String> {
        let all = operations.as_array().unwrap().iter();
        let of = |o: &&Value| o["op"] == op;
        all.filter(of).map(|o| o["path"].as_str().unwrap().to_owned()).collect()
    }

    const CAUSE: &str = "/metadata/annotations/kubernetes.io~1change-cause";
    const NOTE: &str = "/metadata/annotations/rollbackd.dev~1rolled-back";

    #[test]
    fn it_changes_only_what_was_seen_and_of_the_annotations_only_its_own() {
        let seen = live(json!({ "team": "payments", CHANGE_CAUSE: "build 8" }));
        let asked = operations(&seen, &set(json!({ CHANGE_CAUSE: "build 7" })), "from 8");
        assert_eq!(paths(&asked, "test"), ["/metadata/uid", "/spec/template"]);
        assert_eq!(paths(&asked, "replace"), ["/spec/template"]);
        assert_eq!(paths(&asked, "add"), [CAUSE, NOTE]);
        assert_eq!(asked[2]["value"]["metadata"]["labels"], json!({ "app": "shop" }));
        assert_eq!(asked[3]["value"], "build 7");
    }

    #[test]
    fn a_reason_that_is_not_this_templates_goes_and_missing_annotations_are_made() {
        let asked =
            operations(&live(json!({ CHANGE_CAUSE: "build 8" })), &set(Value::Null), "from 8");
        assert_eq!(paths(&asked, "remove"), [CAUSE]);
        let asked = operations(&live(Value::Null), &set(Value::Null), "from 8");
        assert_eq!(paths(&asked, "add"), ["/metadata/annotations", NOTE]);
        assert!(paths(&asked, "remove").is_empty());
    }
}
