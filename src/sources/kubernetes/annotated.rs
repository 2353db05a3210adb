//! Which Deployments of a cluster want to be watched: they say so in an annotation.

use std::time::Duration;

use kube::{
    Api, Client,
    api::ListParams,
    core::{PartialObjectMeta, dynamic::DynamicObject},
};
use tokio::time::timeout;

use super::objects::{Key, Kind, resource};
use crate::{
    causes::chain,
    kubernetes::access::{self, Options},
};

/// What the annotation must say.
const YES: &str = "true";
/// For the whole list: who asks comes back soon enough.
const LIST: Duration = Duration::from_secs(30);

/// Lists them, of the namespace of `options` or of all. Only what objects are called is asked for, and not what they are.
pub async fn annotated(options: &Options, annotation: &str) -> Result<Vec<Key>, String> {
    let slow =
        |_| format!("{} did not list its deployments within {} s", options.place(), LIST.as_secs());
    timeout(LIST, list(options, annotation)).await.map_err(slow)?
}

async fn list(options: &Options, annotation: &str) -> Result<Vec<Key>, String> {
    let client = access::client(options, LIST, Client::try_from).await?;
    let kind = resource(Kind::Deployments);
    let api: Api<DynamicObject> = match &options.namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &kind),
        None => Api::all_with(client, &kind),
    };
    let mut asked = ListParams::default().limit(options.page);
    asked.label_selector.clone_from(&options.labels);
    let mut keys = vec![];
    loop {
        let page = api.list_metadata(&asked).await.map_err(|fault| chain(&fault))?;
        let says_yes = |object: &&PartialObjectMeta<DynamicObject>| {
            let annotations = object.metadata.annotations.as_ref();
            annotations.and_then(|all| all.get(annotation)).is_some_and(|said| said == YES)
        };
        keys.extend(page.items.iter().filter(says_yes).map(|object| Key::of(&object.metadata)));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => asked = asked.continue_token(&token),
            None => return Ok(keys),
        }
    }
}
