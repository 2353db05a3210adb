//! The few requests of a rollback, each bounded in time; nothing is decided here.

use std::{error::Error, time::Duration};

use http_body_util::{BodyExt, Limited};
use hyper::{Request, header::RETRY_AFTER};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    Clusters, Live,
    refusal::{Refusal, cut},
};
use crate::{
    causes::chain,
    domain::plan::DeploymentAt,
    executors::Trouble,
    kubernetes::access::{client, encoded},
};

/// The name under which the API server notes who wrote.
pub(super) const MANAGER: &str = "rollbackd";
/// For one request; a look must not take the whole step.
pub(super) const REQUEST: Duration = Duration::from_secs(10);
/// Five hundred ReplicaSets as large as etcd takes them would be more; they are a few kilobytes each.
const ANSWER_MAX_BYTES: usize = 32 * 1024 * 1024;

/// One Deployment, and whom to ask about it.
pub(super) struct Api {
    client: Client,
    at: DeploymentAt,
    until: Instant,
}

impl Api {
    /// With a client of its own: whatever proves who the daemon is, is read anew.
    pub(super) async fn open(
        clusters: &Clusters,
        at: &DeploymentAt,
        until: Instant,
    ) -> Result<Self, Trouble> {
        let failed = |why: String, retry: bool| Trouble::Failed { why, retry };
        let unknown = || format!("the configuration names no cluster {} any more", at.cluster);
        let options = clusters.find(&at.cluster).ok_or_else(|| failed(unknown(), false))?;
        let unreached =
            |why: String| failed(format!("{} cannot be reached: {why}", options.place()), true);
        let within = until.min(Instant::now() + REQUEST);
        let built = timeout_at(within, client(&options, REQUEST, Client::try_from)).await;
        let built = built.unwrap_or_else(|_| Err("its credential did not come in time".to_owned()));
        Ok(Self { client: built.map_err(unreached)?, at: at.clone(), until })
    }

    /// The Deployment as it is now, if it is the one that is meant.
    pub(super) async fn look(&self) -> Result<Live, Refusal> {
        let live = Live::new(self.get(&self.path("deployments", &self.at.name)).await?);
        let uid = live.object["metadata"]["uid"].as_str();
        match self.at.uid.as_deref() {
            Some(wanted) if uid != Some(wanted) => Err(Refusal::Gone(format!(
                "another Deployment {} was made in its place",
                self.at.name
            ))),
            Some(_) | None => Ok(live),
        }
    }

    /// A ReplicaSet of the namespace.
    pub(super) async fn replica_set(&self, name: &str) -> Result<Value, Refusal> {
        self.get(&self.path("replicasets", name)).await
    }

    /// Changes the Deployment as the operations say, or not at all; as it then is.
    pub(super) async fn patch(&self, operations: &[Value]) -> Result<Live, Refusal> {
        let path = self.path("deployments", &self.at.name);
        Ok(Live::new(self.patch_at(&path, operations).await?))
    }

    /// So many objects of the namespace at most.
    pub(super) async fn list(
        &self,
        group: &str,
        plural: &str,
        selector: &str,
        limit: u32,
    ) -> Result<Vec<Value>, Refusal> {
        let namespace = &self.at.namespace;
        let query = format!("labelSelector={}&limit={limit}", encoded(selector));
        let mut list =
            self.get(&format!("/{group}/namespaces/{namespace}/{plural}?{query}")).await?;
        Ok(list["items"].as_array_mut().map(std::mem::take).unwrap_or_default())
    }

    /// The same of any object.
    pub(super) async fn patch_at(
        &self,
        path: &str,
        operations: &[Value],
    ) -> Result<Value, Refusal> {
        let uri = format!("{path}?fieldManager={MANAGER}");
        let request = Request::patch(uri).header("content-type", "application/json-patch+json");
        self.send(request.body(serde_json::to_vec(operations).unwrap_or_default())).await
    }

    /// Any object.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Refusal> {
        self.send(Request::get(path).body(vec![])).await
    }

    /// Makes an object.
    pub(super) async fn post(&self, path: &str, object: &Value) -> Result<Value, Refusal> {
        let request = Request::post(path).header("content-type", "application/json");
        self.send(request.body(object.to_string().into_bytes())).await
    }

    /// Deletes exactly the object that was seen, as it was seen.
    pub(super) async fn delete(&self, path: &str, seen: &Value) -> Result<Value, Refusal> {
        let meta = &seen["metadata"];
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions",
            "preconditions": { "uid": meta["uid"], "resourceVersion": meta["resourceVersion"] },
        });
        let request = Request::delete(path).header("content-type", "application/json");
        self.send(request.body(options.to_string().into_bytes())).await
    }

    fn path(&self, plural: &str, name: &str) -> String {
        format!("/apis/apps/v1/namespaces/{}/{plural}/{name}", self.at.namespace)
    }

    pub(super) async fn send(
        &self,
        request: Result<Request<Vec<u8>>, hyper::http::Error>,
    ) -> Result<Value, Refusal> {
        let request =
            request.map_err(|fault| Refusal::Refused { why: chain(&fault), retry: false })?;
        let left = self.until.saturating_duration_since(Instant::now()).min(REQUEST);
        let answer = timeout(left, self.answer(request)).await;
        answer.unwrap_or_else(|_| {
            Err(Refusal::Silent(format!("no answer within {} s", left.as_secs())))
        })
    }

    /// Read here and not by kube's client, which lets go of the header that asks for a pause, and reads without a bound.
    async fn answer(&self, request: Request<Vec<u8>>) -> Result<Value, Refusal> {
        let silent = |fault: &dyn Error| Refusal::Silent(cut(&chain(fault)));
        let answer = self.client.send(request.map(Body::from)).await;
        let (head, body) = answer.map_err(|fault| silent(&fault))?.into_parts();
        let body = Limited::new(body, ANSWER_MAX_BYTES).collect().await;
        let body = body.map_err(|fault| silent(&*fault))?.to_bytes();
        if head.status.is_success() {
            let unread = |fault| silent(&fault);
            return serde_json::from_slice(&body).map_err(unread);
        }
        let seconds =
            head.headers.get(RETRY_AFTER).and_then(|said| said.to_str().ok()?.parse().ok());
        Err(Refusal::of(head.status.as_u16(), seconds, &body))
    }
}
