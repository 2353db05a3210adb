//! The few requests of a rollback, each bounded in time; nothing is decided here.

use std::time::Duration;

use hyper::Request;
use kube::{Client, Error};
use serde_json::Value;
use tokio::time::{Instant, timeout, timeout_at};

use super::{Clusters, Live, refusal::Refusal};
use crate::{
    domain::plan::DeploymentAt,
    executors::Trouble,
    kubernetes::access::{chain, client},
};

/// The name under which the API server notes who wrote.
pub(super) const MANAGER: &str = "rollbackd";
/// So many of a version's pods say what is wrong with all of them.
const LISTED_MAX: u32 = 100;
/// For one request; a look must not take the whole step.
pub(super) const REQUEST: Duration = Duration::from_secs(10);

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

    /// Some objects of the namespace: enough to see what is wrong with them.
    pub(super) async fn list(
        &self,
        group: &str,
        plural: &str,
        selector: &str,
    ) -> Result<Vec<Value>, Refusal> {
        let namespace = &self.at.namespace;
        let query = format!("labelSelector={}&limit={LISTED_MAX}", encoded(selector));
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
        let silent = || Refusal::Silent(format!("no answer within {} s", left.as_secs()));
        let answer: Result<Value, Error> =
            timeout(left, self.client.request(request)).await.map_err(|_| silent())?;
        answer.map_err(|fault| Refusal::of(&fault))
    }
}

/// As in a query. Labels hold letters, digits and a few signs, of which these mean something there.
fn encoded(selector: &str) -> String {
    selector.replace('%', "%25").replace('=', "%3D").replace(',', "%2C").replace('/', "%2F")
}
