//! Whether the images of the versions that a preflight saw can still be pulled: `check --online`.

use std::time::Duration;

use crate::{
    domain::{
        image::{Image, Said},
        inventory::Check,
    },
    kubernetes::{access::Options, pulls::Pulls},
    sources::{
        kubernetes::{Key, pull_secrets},
        registry::{Registries, Rights},
    },
    units::UnixMs,
};

const WHAT: &str = "its images can be pulled";
/// What grants reading what pods pull with.
const RIGHTS: &str = "kubectl apply -k deploy/kubernetes/rights/pull-secrets";

/// One line; none where nobody is to ask. What cannot be asked keeps nothing from being done, and is said.
pub(super) async fn check(
    cluster: &Options,
    key: &Key,
    versions: &[(String, Pulls)],
) -> Option<Check> {
    let asked = &cluster.registries;
    if !asked.ask || versions.is_empty() {
        return None;
    }
    let line = |ok: bool, why: String| Some(Check { what: WHAT.to_owned(), ok, why });
    let registries = match Registries::new(asked.clone()) {
        Ok(registries) => registries,
        Err(fault) => return line(false, fault.to_string()),
    };
    let secrets: Vec<_> = versions.iter().flat_map(|(_, pulls)| &pulls.secrets).collect();
    let (rights, unread) = match (secrets.is_empty(), asked.pull_secrets) {
        (false, true) => Rights::read(pull_secrets(cluster, &key.namespace, &secrets).await),
        (has_none, _) => (Rights { credentials: vec![], is_withheld: !has_none }, vec![]),
    };
    let images = versions.iter().flat_map(|(_, pulls)| &pulls.images);
    let mut wanted: Vec<(String, Duration)> = vec![];
    for image in images.take(asked.images_max) {
        if wanted.iter().all(|(known, _)| known != image) {
            wanted.push((image.to_string(), asked.keep.duration()));
        }
    }
    let said = registries.ask_all(&wanted, &rights, now).await;
    let said: Vec<Image> = said.into_iter().map(|answer| answer.image).collect();
    let mut words: Vec<String> = said.iter().map(Image::in_words).collect();
    let grant = |why: String| format!("{why} (`{RIGHTS} -n {}` grants it)", key.namespace);
    words.extend(unread.into_iter().map(grant));
    if words.is_empty() {
        words.push("its pods pull none".to_owned());
    }
    line(said.iter().all(|image| image.said != Said::Gone), words.join("; "))
}

fn now() -> UnixMs {
    UnixMs(jiff::Timestamp::now().as_millisecond())
}
