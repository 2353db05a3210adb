//! What maintenance mode makes: a manifest that is read now, so that a plan leaves no choice.

use std::collections::BTreeSet;

use serde_json::Value;
use sha2::{Digest, Sha256};
use toml::Spanned;

use crate::{
    config::{
        Manifest, Platform,
        check::{found::Found, platform::line},
        raw,
    },
    domain::{
        maintenance::{Commands, MaintenanceMode, MaintenanceRunbook, ObjectAt},
        plan::hex,
        service::ServiceId,
    },
    units::Span,
};

/// What a manifest may hold at most.
const BYTES_MAX: usize = 64 * 1024;
const OBJECTS_MAX: usize = 16;

/// What turns users away and brings them back: their version, kind, and plural.
const KINDS: [(&str, &str, &str); 9] = [
    ("v1", "ConfigMap", "configmaps"),
    ("v1", "Service", "services"),
    ("networking.k8s.io/v1", "Ingress", "ingresses"),
    ("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes"),
    ("networking.istio.io/v1", "VirtualService", "virtualservices"),
    ("traefik.io/v1alpha1", "IngressRoute", "ingressroutes"),
    ("traefik.io/v1alpha1", "Middleware", "middlewares"),
    ("projectcontour.io/v1", "HTTPProxy", "httpproxies"),
];
/// What an API server writes into an object, and takes from nobody who makes one.
const WRITTEN: [&str; 3] = ["uid", "resourceVersion", "generateName"];

/// How a service is put into maintenance mode; what is made is left with its platform.
pub(super) fn mode(
    found: &mut Found<'_>,
    raw: &Spanned<raw::Maintenance>,
    id: &ServiceId,
    platform: &mut Platform,
) -> Option<MaintenanceRunbook> {
    let said = match raw.get_ref() {
        raw::Maintenance::Kubernetes(said) => said,
        raw::Maintenance::Command(said) => return by_commands(found, said, id),
    };
    let Platform::Kubernetes(platform) = platform else {
        let what = "objects are made where a Deployment is, and here is none";
        found.error(raw.span(), what, "write [service.NAME.rollback.maintenance.command]");
        return None;
    };
    let (timeout, attempts) =
        (found.positive(&said.timeout, Span::seconds(30)), found.at_least_one(&said.attempts, 2));
    let required = said.required.as_ref().is_some_and(|said| *said.get_ref());
    let page_after = found.positive(&said.page_after, Span::minutes(30));
    let bytes = match required {
        true => found.bytes(&said.manifest)?,
        // A daemon that does not start rolls nothing back, and switches nothing off.
        false => found.bytes_if_there(&said.manifest, "rollbacks go without maintenance mode")?,
    };
    let read = read(&bytes).and_then(|objects| Ok((places(&objects)?, objects)));
    let (places, objects) = match read {
        Ok(read) => read,
        Err((what, instead)) => {
            let what = format!("`{}`: {what}", said.manifest);
            found.error(said.manifest.span(), what, instead);
            return None;
        }
    };
    let bytes = serde_json::to_vec(&objects).unwrap_or_default();
    let hash = format!("sha256:{}", hex(&Sha256::digest(bytes)));
    let mode = MaintenanceMode {
        service: id.clone(),
        cluster: platform.at.cluster.clone(),
        manifest: hash.clone(),
        objects: places,
        commands: None,
    };
    platform.manifest = Some(Manifest { hash, objects: objects.into() });
    Some(MaintenanceRunbook { mode, timeout, attempts, required, page_after })
}

/// Beside the time of each program: what is looked at before and after has its own.
const LOOKING: Span = Span::seconds(30);

fn by_commands(
    found: &mut Found<'_>,
    said: &raw::Switch,
    id: &ServiceId,
) -> Option<MaintenanceRunbook> {
    let mut of = |argv| line(found, argv, &said.env, &said.dir, &said.timeout);
    let (on, off, observe) = (of(&said.on), of(&said.off), of(&said.observe));
    for (name, argv) in [("on", &said.on), ("off", &said.off)] {
        if argv.get_ref() == said.observe.get_ref() {
            let what = format!("`observe` is what `{name}` is: looking would switch it");
            let instead =
                "name a program that changes nothing: exit 0 while it is on, 3 while it is off";
            found.error(said.observe.span(), what, instead);
        }
    }
    if said.on.get_ref() == said.off.get_ref() {
        let what = "what switches it on and off is the same";
        found.error(said.off.span(), what, "say which of both is meant by an argument");
    }
    let (on, off, observe) = (on?, off?, observe?);
    let timeout = on.timeout + LOOKING;
    let commands = Some(Box::new(Commands { on, off, observe }));
    let (cluster, manifest) = (String::new(), String::new());
    let mode =
        MaintenanceMode { service: id.clone(), cluster, manifest, objects: vec![], commands };
    let attempts = found.at_least_one(&said.attempts, 2);
    let required = said.required.as_ref().is_some_and(|said| *said.get_ref());
    let page_after = found.positive(&said.page_after, Span::minutes(30));
    Some(MaintenanceRunbook { mode, timeout, attempts, required, page_after })
}

/// What is wrong, and what to write instead.
type Fault = (String, String);

fn read(bytes: &[u8]) -> Result<Vec<Value>, Fault> {
    let fault = |what: String, instead: &str| Err((what, instead.to_owned()));
    if bytes.len() > BYTES_MAX {
        let what = format!("it is longer than {BYTES_MAX} bytes");
        return fault(what, "name a file with the few objects of maintenance mode");
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return fault("this is not UTF-8 text".into(), "save the file as UTF-8");
    };
    let options = serde_saphyr::options! { with_snippet: false };
    let documents: Result<Vec<Value>, _> = serde_saphyr::from_multiple_with_options(text, options);
    let mut documents = match documents {
        Ok(documents) => documents,
        Err(why) => {
            let what = format!("this is no YAML: {}", why.to_string().replace('\n', " "));
            return fault(what, "write it as `kubectl apply -f` takes it");
        }
    };
    documents.retain(|document| !document.is_null());
    if documents.is_empty() || documents.len() > OBJECTS_MAX {
        let what = format!("it holds {} objects", documents.len());
        return fault(what, &format!("write 1 to {OBJECTS_MAX} of them, with --- between two"));
    }
    Ok(documents)
}

fn places(objects: &[Value]) -> Result<Vec<ObjectAt>, Fault> {
    let mut seen = BTreeSet::new();
    let mut places = vec![];
    for (index, object) in objects.iter().enumerate() {
        let place = place(object)
            .map_err(|(what, instead)| (format!("document {}: {what}", index + 1), instead))?;
        if !seen.insert(place.clone()) {
            let what = format!("document {}: {place} is there twice", index + 1);
            return Err((what, "leave one of them out".to_owned()));
        }
        places.push(place);
    }
    Ok(places)
}

fn place(object: &Value) -> Result<ObjectAt, Fault> {
    let fault = |what: String, instead: String| Err((what, instead));
    let (version, kind) = (object["apiVersion"].as_str(), object["kind"].as_str());
    let (Some(version), Some(kind)) = (version, kind) else {
        let what = "it says no apiVersion, or no kind".to_owned();
        return fault(what, "write both: apiVersion: networking.k8s.io/v1, kind: Ingress".into());
    };
    let known = KINDS.iter().find(|known| (known.0, known.1) == (version, kind));
    let Some((.., plural)) = known else {
        let what = format!("{kind} of {version} is nothing that can be switched on and off");
        let other = KINDS.iter().find(|known| known.1 == kind);
        let kinds = KINDS.map(|(_, kind, _)| kind).join(", ");
        return fault(
            what,
            match other {
                Some((version, ..)) => format!("write apiVersion: {version}"),
                None => format!("use one of {kinds}; what serves the page runs all the time"),
            },
        );
    };
    let meta = &object["metadata"];
    if let Some(key) = WRITTEN.iter().find(|key| !meta[**key].is_null()) {
        let what = format!("metadata.{key} is the API server's");
        return fault(what, "leave it out, and write metadata.name".into());
    }
    let text = |key: &str, instead: &str| match meta[key].as_str() {
        Some(text) if is_name(text) => Ok(text.to_owned()),
        Some(text) => {
            Err((format!("`{text}` is no {key}"), format!("write metadata.{key}: {instead}")))
        }
        None => Err((format!("{kind} says no {key}"), format!("write metadata.{key}: {instead}"))),
    };
    Ok(ObjectAt {
        api_version: version.to_owned(),
        kind: kind.to_owned(),
        plural: (*plural).to_owned(),
        name: text("name", "maintenance")?,
        namespace: text("namespace", "shop")?,
    })
}

/// It becomes a part of an address.
fn is_name(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= 253
        && text.starts_with(legal)
        && text.ends_with(legal)
        && text.chars().all(|c| legal(c) || "-.".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INGRESS: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: { name: maintenance, namespace: shop }
spec: { defaultBackend: { service: { name: page, port: { number: 80 } } } }
";

    fn said(text: &str) -> String {
        match read(text.as_bytes()).and_then(|objects| places(&objects)) {
            Ok(places) => places.iter().map(|at| at.delete()).collect::<Vec<_>>().join("\n"),
            Err((what, instead)) => format!("{what} / {instead}"),
        }
    }

    #[test]
    fn the_objects_of_a_manifest_are_known_by_what_a_person_would_type() {
        let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: page, namespace: web }";
        assert_eq!(
            said(&format!("---\n{INGRESS}---\n# nothing\n---\n{map}\n")),
            "kubectl delete ingresses.networking.k8s.io maintenance -n shop\nkubectl delete configmaps page -n web"
        );
    }

    #[test]
    fn what_cannot_be_switched_on_says_where_it_is_and_what_to_write() {
        let with = |from: &str, to: &str| said(&INGRESS.replace(from, to));
        for (said, expected) in [
            (
                with(", namespace: shop", ""),
                "document 1: Ingress says no namespace / write metadata.namespace: shop",
            ),
            (
                with("networking.k8s.io/v1", "extensions/v1beta1"),
                "write apiVersion: networking.k8s.io/v1",
            ),
            (
                with("kind: Ingress", "kind: Namespace"),
                "Namespace of networking.k8s.io/v1 is nothing that can be",
            ),
            (with("kind: Ingress", "kind: Secret"), "use one of ConfigMap, Service, Ingress"),
            (
                with("name: maintenance,", "generateName: x,"),
                "metadata.generateName is the API server's",
            ),
            (with("name: maintenance", "name: ../../nodes"), "`../../nodes` is no name"),
            (with("metadata: {", "metadata: {{"), "this is no YAML"),
            (with("kind: Ingress", ""), "it says no apiVersion, or no kind"),
            (
                said(&format!("{INGRESS}---\n{INGRESS}")),
                "document 2: Ingress shop/maintenance is there twice",
            ),
            (said("# nothing\n"), "it holds 0 objects / write 1 to 16 of them"),
            (said(&"x".repeat(BYTES_MAX + 1)), "it is longer than 65536 bytes"),
        ] {
            assert!(said.contains(expected), "{expected}: {said}");
        }
    }
}
