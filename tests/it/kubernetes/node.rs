//! The part of a kubelet that the API server asks when somebody asks it for a pod's log.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    extract::Request,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::any,
};
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use k8s_openapi::api::core::v1;
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::TlsAcceptor;

/// A node of the cluster, with nothing behind it but logs.
pub(crate) struct Node {
    pub(crate) name: String,
    told: Arc<Mutex<Told>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Told {
    says: (u16, String),
    asked: Vec<String>,
}

impl Node {
    pub(crate) async fn start(client: &Client, name: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let told = Arc::<Mutex<Told>>::default();
        let task = tokio::spawn(serve(listener, router(Arc::clone(&told))));
        let status = json!({ "status": {
            "addresses": [{ "type": "InternalIP", "address": "127.0.0.1" }],
            "daemonEndpoints": { "kubeletEndpoint": { "Port": port } },
        } });
        let nodes: Api<v1::Node> = Api::all(client.clone());
        let node = serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap();
        nodes.create(&PostParams::default(), &node).await.unwrap();
        let patch = Patch::Merge(status);
        nodes.patch_status(&name, &PatchParams::default(), &patch).await.unwrap();
        Self { name, told, task }
    }

    /// What stands in every log from now on.
    pub(crate) fn says(&self, code: u16, text: &str) {
        self.told.lock().unwrap().says = (code, text.to_owned());
    }

    /// What it was asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.told.lock().unwrap().asked.clone()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn router(told: Arc<Mutex<Told>>) -> Router {
    let answer = async move |request: Request| -> Response {
        let mut told = told.lock().unwrap();
        told.asked.push(request.uri().to_string());
        let (code, text) = told.says.clone();
        (StatusCode::from_u16(code).unwrap(), text).into_response()
    };
    Router::new().fallback(any(answer))
}

async fn serve(listener: TcpListener, router: Router) {
    let key = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).expect("a certificate");
    let private = PrivateKeyDer::try_from(key.signing_key.serialize_der()).expect("its key");
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private)
        .expect("they belong together");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, router) = (acceptor.clone(), router.clone());
        tokio::spawn(async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                let service = TowerToHyperService::new(router);
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            }
        });
    }
}
