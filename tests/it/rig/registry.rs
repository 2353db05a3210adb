//! A private registry of images, open to everybody or to `hub` alone.

use std::path::Path;

use rollbackd::domain::plan::hex;
use serde_json::json;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::{Server, client, write};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// `hub`, whose password is `secret`.
const HUB: &str = "hub:$2b$04$nAR1v0Q4yXtYgMCvDQTiEeAtwNkrghdIHgmGrTF2pXYBiGpWoM9/e\n";

/// Docker's own, with its images in a temporary directory.
#[derive(Debug)]
pub(crate) struct Registry {
    server: Server,
    is_closed: bool,
    _home: TempDir,
}

impl Registry {
    /// Anybody may do anything.
    pub(crate) async fn open() -> Self {
        Self::start(false).await
    }

    /// Nobody but `hub` may.
    pub(crate) async fn closed() -> Self {
        Self::start(true).await
    }

    async fn start(is_closed: bool) -> Self {
        let home = TempDir::new().expect("a temporary directory");
        write(home.path(), "users", HUB);
        write(home.path(), "config.yml", &config(home.path(), is_closed));
        let config = home.path().join("config.yml").display().to_string();
        let arguments = ["serve".to_owned(), config];
        let install = "tests/rig/registry install";
        let server = Server::started("docker-registry", install, &arguments, "/").await;
        Self { server, is_closed, _home: home }
    }

    /// The name of an image there.
    pub(crate) fn image(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}", self.server.port)
    }

    pub(crate) fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.server.port)
    }

    /// An image that holds this; the digest of it.
    pub(crate) async fn push(&self, repository: &str, tag: &str, holds: &str) -> String {
        let blob = json!({ "config": { "Labels": { "holds": holds } } }).to_string();
        let digest = digest_of(blob.as_bytes());
        let begin = format!("{}/v2/{repository}/blobs/uploads/", self.server.url());
        let begun = self.send(client().post(begin)).await;
        let place = begun.headers()["location"].to_str().expect("a place").to_owned();
        let size = blob.len();
        let put = client().put(format!("{place}&digest={digest}")).body(blob);
        self.send(put.header("content-type", "application/octet-stream")).await;
        let config = json!({ "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": size });
        let manifest =
            json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [] });
        let put = client().put(self.manifest(repository, tag)).body(manifest.to_string());
        self.send(put.header("content-type", MANIFEST)).await;
        digest_of(manifest.to_string().as_bytes())
    }

    /// As whoever tidies up does it: by digest, so that no tag leads there any more.
    pub(crate) async fn delete(&self, repository: &str, digest: &str) {
        self.send(client().delete(self.manifest(repository, digest))).await;
    }

    fn manifest(&self, repository: &str, reference: &str) -> String {
        format!("{}/v2/{repository}/manifests/{reference}", self.server.url())
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> reqwest::Response {
        let request = match self.is_closed {
            true => request.basic_auth("hub", Some("secret")),
            false => request,
        };
        let answer = request.send().await.expect("the registry answers");
        assert!(answer.status().is_success(), "{answer:?}");
        answer
    }
}

fn config(home: &Path, is_closed: bool) -> String {
    let home = home.display();
    let users = format!("auth: {{ htpasswd: {{ realm: rig, path: \"{home}/users\" }} }}\n");
    let users = if is_closed { users } else { String::new() };
    format!(
        "version: 0.1\nstorage: {{ filesystem: {{ rootdirectory: \"{home}/data\" }}, delete: {{ enabled: true }} }}\n\
         http: {{ addr: \"127.0.0.1:0\" }}\n{users}"
    )
}

fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}
