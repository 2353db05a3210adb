//! The Secrets that a template names for pulling its images, read by name when there is need, and kept nowhere.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use kube::Client;
use serde::Deserialize;
use tokio::time::timeout;

use super::asked::{REQUEST, text};
use crate::{
    kubernetes::access::{self, Options},
    units::Secret,
};

/// A Secret is no larger than etcd takes it, and grows by a third as text.
const BYTES_MAX: usize = 2 << 20;
/// What such a Secret holds, new or old.
const KEYS: [&str; 2] = [".dockerconfigjson", ".dockercfg"];

#[derive(Deserialize)]
struct Held {
    #[serde(default)]
    data: BTreeMap<String, ByteString>,
}

/// Reads each of them, which is a file like Docker's, or says why it cannot be.
pub async fn pull_secrets(
    options: &Options,
    namespace: &str,
    names: &[impl AsRef<str>],
) -> Vec<Result<Secret, String>> {
    let built = timeout(REQUEST, access::client(options, REQUEST, Client::try_from)).await;
    let client = built.unwrap_or_else(|_| Err("its credential did not come in time".to_owned()));
    let mut all = vec![];
    for name in names {
        let name = name.as_ref();
        all.push(match &client {
            Ok(client) => read(client, namespace, name).await,
            Err(why) => Err(format!("{} cannot be reached: {why}", options.place())),
        });
    }
    all
}

async fn read(client: &Client, namespace: &str, name: &str) -> Result<Secret, String> {
    let called = format!("Secret {namespace}/{name}");
    let uri = format!("/api/v1/namespaces/{namespace}/secrets/{name}");
    let said = text(client, &uri, BYTES_MAX).await.map_err(|why| format!("{called}: {why}"))?;
    // A parser's complaint could show what it holds.
    let held: Held = serde_json::from_slice(&said).map_err(|_| format!("{called} is none"))?;
    let mut data = held.data;
    let found = KEYS.into_iter().find_map(|key| data.remove(key));
    let file = found.and_then(|ByteString(file)| String::from_utf8(file).ok());
    file.map(Secret::new).ok_or_else(|| format!("{called} is not one for pulling images"))
}
