//! One process speaks TLS with Kubernetes, with AWS and with whatever else, all by one provider: two of them would be a panic.

use std::sync::Arc;

use axum::{Json, Router, routing::get};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rollbackd::{
    aws::Account,
    sources::http::{Client, Options},
};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use super::server::Server;
use crate::rig::Small;

/// TLS before a server that has none; ends when dropped.
struct Tunnel {
    port: u16,
    /// Of the authority.
    pem: Vec<u8>,
    task: JoinHandle<()>,
}

impl Tunnel {
    async fn before(port: u16) -> Self {
        let mut authority = CertificateParams::new(vec![]).expect("parameters");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = authority.self_signed(&key).expect("a certificate").pem().into_bytes();
        let issuer = Issuer::new(authority, key);
        let own_key = KeyPair::generate().expect("a key");
        let own = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        let own = own.signed_by(&own_key, &issuer).expect("a certificate");
        let private = PrivateKeyDer::try_from(own_key.serialize_der()).expect("a private key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_no_client_auth()
            .with_single_cert(vec![own.der().clone()], private)
            .expect("a certificate and its key");
        let (acceptor, listener) = (
            TlsAcceptor::from(Arc::new(config)),
            TcpListener::bind("127.0.0.1:0").await.expect("a free port"),
        );
        let at = listener.local_addr().expect("a bound address").port();
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut outside) = acceptor.accept(stream).await else { return };
                    let inside = TcpStream::connect(("127.0.0.1", port)).await;
                    let mut inside = inside.expect("the server behind it is there");
                    let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
                });
            }
        });
        Self { port: at, pem, task }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn kubernetes_aws_and_everything_else_share_one_provider_of_tls() {
    let server = Server::shared().await;
    let before_aws = Tunnel::before(server.port()).await;
    let mut access = server.access_through("encrypted", &before_aws.url());
    access.ca_pem = Some(before_aws.pem.clone());
    let account = Account::of(&access).unwrap();
    let identity = account.to_look().await.identity().await.unwrap();
    assert_eq!(identity.account, "000000000000");

    let version = json!({ "major": "1", "minor": "37", "gitVersion": "v1.37.2", "gitCommit": "",
        "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": "" });
    let api = Small::start(Router::new().route("/version", get(async || Json(version)))).await;
    let before_kubernetes = Tunnel::before(api.port).await;
    let mut config = kube::Config::new(before_kubernetes.url().parse().unwrap());
    let authority = pem_der(&before_kubernetes.pem);
    config.root_cert = Some(vec![authority]);
    let cluster = kube::Client::try_from(config).unwrap();
    assert_eq!(cluster.apiserver_version().await.unwrap().git_version, "v1.37.2");

    let options = Options { ca_pem: Some(before_aws.pem.clone()), ..Options::default() };
    let url = format!("{}/_ministack/health", before_aws.url()).parse().unwrap();
    let client = Client::new(options).unwrap();
    let answer = client.send(client.request(reqwest::Method::GET, url)).await.unwrap();
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn who_shows_a_certificate_of_nobody_is_not_told_anything() {
    let server = Server::shared().await;
    let before_aws = Tunnel::before(server.port()).await;
    let access = server.access_through("not-trusted", &before_aws.url());
    let clients = Account::of(&access).unwrap().to_act().await;
    let fault = clients.identity().await.unwrap_err();
    assert_eq!(fault.kind, rollbackd::aws::Kind::Unreachable, "{fault}");
}

fn pem_der(pem: &[u8]) -> Vec<u8> {
    rustls_pemfile::certs(&mut &*pem).next().unwrap().unwrap().to_vec()
}
