//! How accounts are opened, and by whose rights.

use std::fs;

use rollbackd::aws::{Account, Kind, Role};
use tempfile::TempDir;

use super::{
    proxy::{Proxy, Twist},
    server::{Server, credentials, unique},
};

#[tokio::test]
async fn a_secret_goes_there_and_is_read_by_its_exact_version() {
    let clients = Server::shared().await.clients().await;
    let (secrets, name) = (clients.secrets(), unique("shop/db"));
    let first = secrets.create_secret().name(&name).secret_string("one").send().await.unwrap();
    let second =
        secrets.put_secret_value().secret_id(&name).secret_string("two").send().await.unwrap();
    assert_ne!(first.version_id(), second.version_id());
    for (version, held) in [(first.version_id(), "one"), (second.version_id(), "two")] {
        let read =
            secrets.get_secret_value().secret_id(&name).set_version_id(version.map(str::to_owned));
        assert_eq!(read.send().await.unwrap().secret_string(), Some(held));
    }
    let read = secrets.get_secret_value().secret_id(unique("nobody")).send().await.unwrap_err();
    let fault = clients.fault("secretsmanager:GetSecretValue", read);
    assert_eq!(fault.kind, Kind::NotFound, "{fault}");
}

#[tokio::test]
async fn a_role_is_taken_on_once_for_everybody_with_its_name_and_what_the_account_asks_for() {
    let server = Server::shared().await;
    let proxy = Proxy::before(&server.url()).await;
    let mut access = server.access_through("role", &proxy.url());
    access.role = Some(Role {
        arn: "arn:aws:iam::123456789012:role/rollbackd".to_owned(),
        external_id: Some("of-the-shop".to_owned()),
        session_name: "host-7".to_owned(),
    });
    let account = Account::of(&access).unwrap();
    let identity = account.to_look().await.identity().await.unwrap();
    assert!(identity.arn.ends_with("assumed-role/rollbackd/host-7"), "{identity:?}");
    let again = Account::of(&access).unwrap().to_act().await.identity().await.unwrap();
    assert_eq!(identity, again);
    let taken_on = proxy.asked("AssumeRole");
    assert_eq!(taken_on.len(), 1, "credentials are shared");
    assert!(taken_on[0].text().contains("ExternalId=of-the-shop"), "{}", taken_on[0].text());
}

#[tokio::test]
async fn keys_that_are_not_taken_any_more_are_read_anew() {
    let server = Server::shared().await;
    let proxy = Proxy::before(&server.url()).await;
    let home = TempDir::new().unwrap();
    let mut access = server.access_through("rotated", &proxy.url());
    access.credentials_file = Some(credentials(home.path(), "rotated", "AKIAFIRST"));
    let account = Account::of(&access).unwrap();
    account.to_look().await.identity().await.unwrap();
    let (code, said) =
        ("InvalidClientTokenId", "The security token included in the request is invalid: SECRET");
    proxy.twist("GetCallerIdentity", 1, Twist::Refuse { status: 403, code, said });
    credentials(home.path(), "rotated", "AKIASECOND");
    let fault = account.to_look().await.identity().await.unwrap_err();
    assert_eq!(fault.kind, Kind::Credentials);
    assert!(!fault.to_string().contains("SECRET"), "what was signed may be told with it: {fault}");
    account.to_look().await.identity().await.unwrap();
    let by: Vec<String> = proxy
        .asked("GetCallerIdentity")
        .iter()
        .map(|asked| asked.headers["authorization"].to_str().unwrap().to_owned())
        .collect();
    assert!(by[1].contains("AKIAFIRST") && by[2].contains("AKIASECOND"), "{by:?}");
}

#[tokio::test]
async fn without_credentials_nobody_is_asked_and_the_reason_names_the_place() {
    let server = Server::shared().await;
    let proxy = Proxy::before(&server.url()).await;
    let home = TempDir::new().unwrap();
    let mut access = server.access_through("nobody", &proxy.url());
    access.profile = Some("payments".to_owned());
    let empty = home.path().join("empty");
    fs::write(&empty, "").unwrap();
    access.credentials_file = Some(empty);
    let fault = Account::of(&access).unwrap().to_look().await.identity().await.unwrap_err();
    assert_eq!(fault.kind, Kind::Credentials, "{fault}");
    assert!(fault.to_string().contains("payments"), "{fault}");
    assert!(proxy.asked("").is_empty());
}
