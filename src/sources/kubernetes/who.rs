//! Who last wrote a Deployment's template, as the API server keeps it in `metadata.managedFields`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::Value;
use smol_str::SmolStr;

use crate::units::UnixMs;

/// Notes on Deployments, and templates never.
const CONTROLLER: &str = "kube-controller-manager";

/// Who wrote, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    /// The program that wrote: `kubectl-set`, `helm`, `argocd-controller`.
    pub(super) by: SmolStr,
    /// When it last wrote anything.
    pub(super) at: Option<UnixMs>,
}

/// The newest of those that own a part of the template. Times are whole seconds: of several in one, whoever owns an image
/// wrote it last, for it passes to whoever changes it.
pub(super) fn wrote_template(entries: &[ManagedFieldsEntry]) -> Option<Written> {
    let owns = |entry: &&ManagedFieldsEntry| {
        template(entry).is_some() && entry.manager.as_deref() != Some(CONTROLLER)
    };
    let newest =
        entries.iter().filter(owns).max_by_key(|entry| (time(entry), owns_image(entry)))?;
    let by = SmolStr::new(newest.manager.as_deref().unwrap_or("somebody"));
    Some(Written { by, at: time(newest) })
}

/// The newest of those that own any of what a ConfigMap or a Secret holds.
pub(super) fn wrote_content(entries: &[ManagedFieldsEntry]) -> Option<Written> {
    let owns = |entry: &&ManagedFieldsEntry| {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
        let parts = ["f:data", "f:binaryData", "f:stringData"];
        fields.is_some_and(|fields| parts.iter().any(|part| fields.get(part).is_some()))
    };
    let newest = entries.iter().filter(owns).max_by_key(|entry| time(entry))?;
    let by = SmolStr::new(newest.manager.as_deref().unwrap_or("somebody"));
    Some(Written { by, at: time(newest) })
}

fn time(entry: &ManagedFieldsEntry) -> Option<UnixMs> {
    entry.time.as_ref().map(|at| UnixMs(at.0.as_millisecond()))
}

fn template(entry: &ManagedFieldsEntry) -> Option<&Value> {
    entry.fields_v1.as_ref()?.0.pointer("/f:spec/f:template")
}

fn owns_image(entry: &ManagedFieldsEntry) -> bool {
    let containers = template(entry).and_then(|t| t.pointer("/f:spec/f:containers")?.as_object());
    containers.is_some_and(|all| all.values().any(|fields| fields.get("f:image").is_some()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whoever_owns_the_image_wrote_last_within_a_second_and_a_controller_never() {
        let entry = |manager: &str, second: u32, image: bool| {
            let app = if image { json!({ "f:image": {} }) } else { json!({ "f:name": {} }) };
            let containers = json!({ "k:{\"name\":\"app\"}": app });
            let entry = json!({
                "manager": manager, "time": format!("2026-11-27T12:00:{second:02}Z"), "operation": "Update",
                "fieldsV1": { "f:spec": { "f:template": { "f:spec": { "f:containers": containers } } } },
            });
            serde_json::from_value::<ManagedFieldsEntry>(entry).unwrap()
        };
        let who =
            |entries: &[ManagedFieldsEntry]| wrote_template(entries).map(|w| w.by.to_string());
        let said = |name: &str| Some(name.to_owned());
        let [first, set] = [entry("helm", 1, false), entry("kubectl-set", 1, true)];
        assert_eq!(who(&[set.clone(), first.clone()]), said("kubectl-set"));
        assert_eq!(who(&[first, set.clone()]), said("kubectl-set"));
        assert_eq!(who(&[set.clone(), entry("kubectl-edit", 2, false)]), said("kubectl-edit"));
        assert_eq!(who(&[set, entry(CONTROLLER, 3, true)]), said("kubectl-set"));
        assert_eq!(who(&[]), None);
    }
}
