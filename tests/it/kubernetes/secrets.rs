//! What pods read from Secrets, on a real API server: kept by a key, and set back exactly.

use std::path::Path;

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use rollbackd::{
    domain::{
        configuration::{Configuration, Kind},
        plan::Restore,
        run::Outcome,
    },
    executors,
    kubernetes::{
        access::Options,
        seal::{Key, Secrets},
    },
    sources::kubernetes::{self, Watched},
};
use serde_json::json;

use super::{
    cluster::Cluster,
    kustomization::{Done, deploy},
    place::{SOON, image, now, options},
    reading::Reading,
    rights::Account,
    undo::refusal,
};
use crate::rig::eventually;

/// What a Secret holds, which must be seen nowhere.
const GOOD: &str = "hunter2-is-what-it-holds";
const BAD: &str = "hunter3-does-not-work";

fn key(end: u8) -> Key {
    Key::parse(&format!("{}{end:02}", "0".repeat(62))).unwrap()
}

fn secret(holds: &str) -> Secret {
    let mut secret = Secret::default();
    secret.metadata.name = Some("token".into());
    secret.metadata.labels = Some([("team".to_owned(), "payments".to_owned())].into());
    // As `kubectl apply` writes it.
    let applied = format!("{{\"stringData\":{{\"token\":\"{holds}\"}}}}");
    secret.metadata.annotations = Some([("last-applied".to_owned(), applied)].into());
    secret.type_ = Some("shop.example/token".into());
    let bytes = [holds.as_bytes(), &[0, 159, 146, 150]].concat();
    secret.data = Some([("token".to_owned(), ByteString(bytes))].into());
    secret
}

/// Pods that read a Secret, which is looked at.
struct Guarded {
    reading: Reading,
    secrets: Api<Secret>,
    watched: Watched,
}

impl Guarded {
    async fn new(cluster: &Cluster, created: &Secret) -> Self {
        let reading = Reading::new(cluster).await;
        let namespace = &reading.place.namespace;
        let secrets: Api<Secret> = Api::namespaced(cluster.client().await, namespace);
        secrets.create(&PostParams::default(), created).await.unwrap();
        let from = json!([{ "secretRef": { "name": "token" } }]);
        let app = json!({ "name": "app", "image": image("1.4.1"), "envFrom": from });
        let template = json!({ "template": { "spec": { "containers": [app] } } });
        reading.place.patch(json!({ "spec": template })).await;
        reading.place.until_serves("1.4.1").await;
        let guarded =
            Self { watched: Watched::new(reached(cluster, namespace, key(1))), reading, secrets };
        tokio::spawn(kubernetes::watch(guarded.watched.clone()));
        guarded.gives(cluster, key(1));
        guarded
    }

    /// From now on this key.
    fn gives(&self, cluster: &Cluster, key: Key) {
        let reached = reached(cluster, &self.reading.place.namespace, key);
        self.reading.executor.clusters.adopt([("main".to_owned(), reached)].into());
    }

    /// What is seen, with what is kept of it by a key.
    fn seen(&self, key: &Key) -> Option<Configuration> {
        let place = self.reading.place.key();
        let mut found = self.watched.see(&place, None, now()).inventory.configuration()?.clone();
        let (kept, _) = self.reading.kept().opened(key).unwrap();
        found.kept = kept.iter().map(|kept| kept.in_short()).collect();
        self.watched.look_beside(&place, &mut found);
        Some(found)
    }

    async fn until(&self, what: &str, is: impl Fn(&Configuration) -> bool) -> Configuration {
        let holds = |found: &Configuration| found.items.iter().any(|it| it.name == "token");
        eventually(what, SOON, async || self.seen(&key(1)).filter(|it| holds(it) && is(it))).await
    }

    async fn keep(&self) -> Configuration {
        let found = self.until("it is there", |found| found.items[0].digest.is_some()).await;
        let (clusters, at, maps) =
            (&self.reading.executor.clusters, self.reading.at(), self.reading.kept());
        executors::keep_configuration(clusters, &at, &found, &maps, now()).await.unwrap();
        found
    }

    async fn breaks(&self, good: &Configuration) -> Configuration {
        let changed = json!({ "data": null, "stringData": { "token": BAD } });
        let patch = Patch::Merge(changed);
        self.secrets.patch("token", &PatchParams::default(), &patch).await.unwrap();
        self.until("another", |now| now.revision != good.revision).await
    }

    fn restores(&self, good: &Configuration) -> Result<Vec<Restore>, String> {
        let now = self.seen(&key(1)).unwrap();
        now.back_to(now.kept_of(&good.revision).unwrap())
    }
}

fn reached(cluster: &Cluster, namespace: &str, key: Key) -> Options {
    Options { secrets: Secrets::Encrypted(key), ..options(cluster, namespace, None) }
}

fn nowhere(dir: &Path, text: &str) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            nowhere(&path, text);
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let found = bytes.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(!found, "{}", path.display());
    }
}

/// Neither in any file nor in what was said, as it is or as the API server writes it.
fn told_nobody(guarded: &Guarded, said: &str) {
    for holds in [GOOD, BAD] {
        let encoded = serde_json::to_value(secret(holds)).unwrap()["data"]["token"].clone();
        // What stands behind it may share a group of three bytes.
        let encoded = encoded.as_str().unwrap()[..24].to_owned();
        for text in [holds, &encoded] {
            nowhere(guarded.reading.home.path(), text);
            assert!(!said.contains(text), "{said}");
        }
    }
}

#[tokio::test]
async fn a_secret_that_was_changed_goes_back_to_its_exact_bytes_and_is_seen_nowhere() {
    let cluster = Cluster::shared();
    let guarded = Guarded::new(cluster, &secret(GOOD)).await;
    let good = guarded.keep().await;
    let was = guarded.secrets.get("token").await.unwrap();
    guarded.breaks(&good).await;
    let restores = guarded.restores(&good).unwrap();
    assert_eq!((restores.len(), restores[0].kind), (1, Kind::Secret));
    let report = guarded.reading.restore(&restores[0], false).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    let now = guarded.secrets.get("token").await.unwrap();
    assert_eq!((&now.data, &now.type_, now.uid()), (&was.data, &was.type_, was.uid()));
    guarded.until("as it was", |found| found.revision == good.revision).await;
    assert_eq!(guarded.reading.restore(&restores[0], true).await.outcome, Outcome::Done);
    let said = format!("{report:?}{restores:?}{good:?}{:?}", guarded.watched);
    told_nobody(&guarded, &said);
    // Whoever changes it in between wins.
    guarded.breaks(&good).await;
    let report = guarded.reading.restore(&restores[0], true).await;
    assert!(refusal(&report).0.contains("somebody changed it again since"), "{report:?}");
}

#[tokio::test]
async fn an_immutable_secret_is_made_again_when_it_is_gone_and_never_overwritten() {
    let cluster = Cluster::shared();
    let fixed = Secret { immutable: Some(true), ..secret(GOOD) };
    let guarded = Guarded::new(cluster, &fixed).await;
    let good = guarded.keep().await;
    guarded.secrets.delete("token", &DeleteParams::default()).await.unwrap();
    guarded.until("it is gone", |found| found.items[0].digest.is_none()).await;
    let restores = guarded.restores(&good).unwrap();
    let report = guarded.reading.restore(&restores[0], false).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    let made = guarded.secrets.get("token").await.unwrap();
    assert_eq!((&made.data, &made.type_), (&fixed.data, &fixed.type_));
    assert_eq!((made.immutable, made.labels()), (Some(true), fixed.labels()));
    assert_eq!(made.annotations()["last-applied"], fixed.annotations()["last-applied"]);
    // Another one that nobody can change.
    guarded.secrets.delete("token", &DeleteParams::default()).await.unwrap();
    let other = Secret { immutable: Some(true), ..secret(BAD) };
    guarded.secrets.create(&PostParams::default(), &other).await.unwrap();
    let is_other =
        |found: &Configuration| found.items[0].digest.is_some() && found.revision != good.revision;
    guarded.until("the other", is_other).await;
    let why = guarded.restores(&good).unwrap_err();
    assert!(why.contains("Secret token is immutable"), "{why}");
    told_nobody(&guarded, &format!("{report:?}{why}"));
}

#[tokio::test]
async fn by_another_key_a_secret_counts_as_not_kept_and_is_kept_anew() {
    let cluster = Cluster::shared();
    let guarded = Guarded::new(cluster, &secret(GOOD)).await;
    let good = guarded.keep().await;
    guarded.breaks(&good).await;
    let restores = guarded.restores(&good).unwrap();
    let now = guarded.seen(&key(2)).unwrap();
    let why = now.back_to(now.kept_of(&good.revision).unwrap()).unwrap_err();
    assert!(why.contains("its content is nowhere kept"), "{why}");
    let (_, closed) = guarded.reading.kept().opened(&key(2)).unwrap();
    assert_eq!(closed, [format!("Secret token of {}", good.revision)]);
    // A plan that was made by the other key is carried out by nobody.
    guarded.gives(cluster, key(2));
    let report = guarded.reading.restore(&restores[0], false).await;
    assert!(refusal(&report).0.contains("or by another key"), "{report:?}");
    let held = guarded.secrets.get("token").await.unwrap().data.unwrap();
    assert_eq!(held["token"].0, BAD.as_bytes());
    // It serves well once more.
    guarded.gives(cluster, key(1));
    assert_eq!(guarded.reading.restore(&restores[0], false).await.outcome, Outcome::Done);
    guarded.gives(cluster, key(2));
    guarded.until("as it was", |found| found.revision == good.revision).await;
    guarded.keep().await;
    assert_eq!(guarded.reading.kept().opened(&key(2)).unwrap().1, Vec::<String>::new());
    told_nobody(&guarded, &format!("{report:?}{why}"));
}

#[tokio::test]
async fn a_check_says_which_rights_secrets_take_and_that_a_key_opens_nothing() {
    let cluster = Cluster::shared();
    let guarded = Guarded::new(cluster, &secret(GOOD)).await;
    let good = guarded.keep().await;
    let place = &guarded.reading.place;
    let account = Account::with("rights/act", cluster, place).await;
    let checked = |key: &str| {
        let file = guarded.reading.home.path().join("key");
        std::fs::write(&file, key).unwrap();
        let more =
            format!("secrets = \"encrypted\"\nsecrets_key = {{ file = \"{}\" }}", file.display());
        let reached = (account.kubeconfig(), more);
        super::preflight::check_keeping(guarded.reading.home.path(), place, reached).1
    };
    let [one, two] = [1, 2].map(|end| format!("{}{end:02}", "0".repeat(62)));
    let said = checked(&one);
    let may_not = "may not create secrets, get and patch secrets/token in";
    assert!(said.contains(may_not) && said.contains("rights/secrets-encrypted -n"), "{said}");
    let admin = cluster.client().await;
    deploy(&admin, "rights/secrets-encrypted", &place.namespace, Done::Really).await;
    let said = checked(&one);
    for told in [
        "may create secrets, get and patch secrets/token in",
        "may get and list and watch secrets in",
        "ok: what is kept of its Secrets can be read: secrets_key opens all of it",
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
    let said = checked(&two);
    let missing = format!(
        "missing: what is kept of its Secrets can be read: secrets_key does not open Secret token of {}",
        good.revision
    );
    assert!(said.contains(&missing), "{said}");
    std::fs::remove_file(guarded.reading.home.path().join("key")).unwrap();
    told_nobody(&guarded, &said);
}
