//! Setting a ConfigMap or a Secret back to exactly what it held, or making it again: only from what the plan saw, and nothing
//! else of it. What a Secret holds is said to nobody but the API server.

use hyper::Request;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{
    Clusters,
    api::{Api, REQUEST},
    patch,
    refusal::Refusal,
    undo::{LOOKS_MAX, pause},
};
use crate::{
    domain::{
        configuration::{self, Kind},
        plan::{DeploymentAt, Restore},
        run::Outcome,
    },
    executors::{Attempt, Trouble, failed},
    kubernetes::{
        content,
        maps::{Configuration, Content, Hidden, ITEMS_MAX, Maps, Metadata},
        seal::Key,
    },
    units::UnixMs,
};

/// A ConfigMap or a Secret as the API server has it now.
struct Live {
    object: Value,
    digest: String,
}

impl Live {
    fn new(object: Value) -> Self {
        let digest = content::in_words(&content::digest(&object));
        Self { object, digest }
    }

    fn uid(&self) -> Option<&str> {
        self.object["metadata"]["uid"].as_str()
    }

    /// Its whole content is no matter of people's: it may be long, and hold what is nobody's business.
    fn in_words(&self) -> String {
        let keys = |part: &str| self.object[part].as_object().map_or(0, Map::len);
        let hash = self.digest.get(..15).unwrap_or(&self.digest);
        format!("{} keys, {hash}", keys("data") + keys("binaryData"))
    }
}

fn path(of: &DeploymentAt, kind: Kind, name: &str) -> String {
    format!("/api/v1/namespaces/{}/{}/{name}", of.namespace, kind.plural())
}

/// What is set: the content, what else its object said, and of which type a Secret was.
type Target = (Content, Metadata, Option<String>);

async fn look(api: &Api, path: &str) -> Result<Option<Live>, Refusal> {
    match api.get(path).await {
        Ok(object) => Ok(Some(Live::new(object))),
        Err(Refusal::Gone(_)) => Ok(None),
        Err(refusal) => Err(refusal),
    }
}

/// Carries out a [`crate::domain::plan::Action::ConfigMapRestore`].
pub(in crate::executors) async fn restore(
    attempt: &mut Attempt<'_>,
    of: &DeploymentAt,
    what: &Restore,
) -> Result<Outcome, Trouble> {
    let api = Api::open(&attempt.options.clusters, of, attempt.until).await?;
    let path = path(of, what.kind, &what.name);
    let (looking, doing) = (format!("looking at {}", what.name), format!("setting {}", what.name));
    let mut target: Option<Target> = None;
    let mut last = Refusal::Silent("it was not looked at".to_owned());
    for round in 0..LOOKS_MAX {
        let live = match look(&api, &path).await {
            Ok(live) => live,
            Err(refusal) => {
                last = pause(attempt, refusal, &looking, round).await?;
                continue;
            }
        };
        attempt.after = live.as_ref().map_or_else(|| "it is not there".to_owned(), Live::in_words);
        if round == 0 {
            attempt.before.clone_from(&attempt.after);
        }
        if live.as_ref().is_some_and(|live| live.digest == what.to) {
            let is_new = round > 0 || attempt.touched;
            return Ok(if is_new { Outcome::Done } else { Outcome::AlreadyDone });
        }
        may_be_set(live.as_ref(), what, &attempt.order.run)?;
        let target = match &target {
            Some(target) => target,
            None => target.insert(kept(attempt, of, what).await?),
        };
        attempt.permits()?;
        attempt.touched = true;
        let note = format!("{}by run {}", patch::MAP_NOTE, attempt.order.run);
        let asked = match &live {
            Some(live) => api.patch_at(&path, &operations(&live.object, &target.0, &note)).await,
            None => make(&api, &path, what, target, &note).await,
        };
        match asked.map(Live::new) {
            Ok(live) if live.digest == what.to => {
                attempt.after = live.in_words();
                return Ok(Outcome::Done);
            }
            Ok(live) => {
                let why = format!(
                    "the API server made another content of it: {}; an admission webhook changes it",
                    live.in_words()
                );
                return failed(why, false);
            }
            // Whether it was done is seen by looking again.
            Err(refusal) => last = pause(attempt, refusal, &doing, round).await?,
        }
    }
    Err(last.trouble(&doing, attempt.touched))
}

/// Nobody may have changed it since.
fn may_be_set(live: Option<&Live>, what: &Restore, run: &str) -> Result<(), Trouble> {
    let called = what.called();
    let why = match (live, &what.from) {
        (None, None) => return Ok(()),
        (None, Some(_)) => format!("somebody deleted {called} in between"),
        (Some(live), None) => {
            format!("somebody made {called} in between: {}", live.in_words())
        }
        (Some(live), Some(from)) if live.digest != *from => format!(
            "somebody changed {called} in between: it holds {}, neither what this plan was made for nor what it would set",
            live.in_words()
        ),
        (Some(live), Some(_)) if what.uid.as_deref() != live.uid() => {
            format!("another {called} was made in its place")
        }
        (Some(live), Some(_)) if patch::was_noted_by(&live.object, run) => format!(
            "this rollback had set {called} back already, and somebody changed it again since"
        ),
        (Some(live), Some(_)) if live.object["immutable"] == true => {
            format!("{called} is immutable now")
        }
        (Some(_), Some(_)) => return Ok(()),
    };
    failed(why, false)
}

/// What it held, as the daemon kept it.
async fn kept(attempt: &Attempt<'_>, of: &DeploymentAt, what: &Restore) -> Result<Target, Trouble> {
    let maps = Maps::of(&attempt.options.state_dir, of);
    if what.kind == Kind::Secret {
        let cluster = attempt.options.clusters.find(&of.cluster);
        let key = cluster.and_then(|cluster| cluster.secrets.key().cloned());
        return hidden(maps, what, key).await;
    }
    let (to, name) = (what.to.clone(), what.name.clone());
    let read = tokio::task::spawn_blocking(move || {
        let content = maps.content(&to)?;
        let all = maps.all()?;
        let holds = |kept: &&Configuration| {
            let mut items = kept.items.iter();
            items.any(|item| item.name == name && item.digest.as_deref() == Some(&to))
        };
        let metadata = all.iter().find(holds).and_then(|kept| kept.metadata.get(&name).cloned());
        std::io::Result::Ok(content.map(|content| (content, metadata.unwrap_or_default(), None)))
    });
    let read = read.await.unwrap_or_else(|fault| Err(fault.into()));
    match read {
        Ok(Some(found)) => Ok(found),
        Ok(None) => failed(format!("what {} held is not kept any more", what.name), false),
        Err(fault) => failed(format!("what {} held cannot be read: {fault}", what.name), false),
    }
}

/// The same of a Secret, by the key that the operator gives now.
async fn hidden(maps: Maps, what: &Restore, key: Option<Key>) -> Result<Target, Trouble> {
    let called = what.called();
    let Some(key) = key else {
        let why = format!(
            "what {called} held is kept by a key, and the configuration names none any more"
        );
        return failed(why, false);
    };
    let (to, name) = (what.to.clone(), what.name.clone());
    let read = tokio::task::spawn_blocking(move || maps.secret(&name, &to, &key)).await;
    match read.unwrap_or_else(|fault| Err(fault.into())) {
        Ok(Some(Hidden { content, metadata, of_type })) => Ok((content, metadata, of_type)),
        Ok(None) => failed(
            format!(
                "what {called} held is not kept any more, or by another key than `secrets_key`"
            ),
            false,
        ),
        Err(fault) => failed(format!("what {called} held cannot be read: {fault}"), false),
    }
}

/// They fail together when anything of the ConfigMap was changed since it was seen. What others wrote beside its content stays.
fn operations(live: &Value, content: &Content, note: &str) -> Vec<Value> {
    let meta = &live["metadata"];
    let test =
        |key: &str| json!({ "op": "test", "path": format!("/metadata/{key}"), "value": meta[key] });
    let mut all = vec![test("uid"), test("resourceVersion")];
    for (part, was) in [("data", &content.data), ("binaryData", &content.binary_data)] {
        let path = format!("/{part}");
        match (was, &live[part]) {
            (Value::Null, Value::Null) => {}
            (Value::Null, _) => all.push(json!({ "op": "remove", "path": path })),
            // Adding what is there replaces it.
            (was, _) => all.push(json!({ "op": "add", "path": path, "value": was })),
        }
    }
    all.extend(patch::annotations(meta, &[(patch::ROLLED_BACK, Some(note))]));
    all
}

/// As it was, with the labels and annotations by which its owners know it.
async fn make(
    api: &Api,
    path: &str,
    what: &Restore,
    (content, metadata, of_type): &Target,
    note: &str,
) -> Result<Value, Refusal> {
    let Metadata { labels, mut annotations } = metadata.clone();
    annotations.insert(patch::ROLLED_BACK.to_owned(), note.to_owned());
    let mut object = json!({
        "apiVersion": "v1", "kind": what.kind.to_string(),
        "metadata": { "name": what.name, "labels": labels, "annotations": annotations },
        "data": content.data,
    });
    match what.kind {
        Kind::ConfigMap => object["binaryData"] = content.binary_data.clone(),
        Kind::Secret | Kind::AwsSecret => object["type"] = json!(of_type),
    }
    if what.immutable {
        object["immutable"] = true.into();
    }
    let all = path.rsplit_once('/').map_or(path, |(all, _)| all);
    let uri = format!("{all}?fieldManager={}", super::api::MANAGER);
    let request = Request::post(uri).header("content-type", "application/json");
    api.send(request.body(object.to_string().into_bytes())).await
}

/// Keeps a configuration that serves well: what its ConfigMaps hold, if that is still what was seen; and its Secrets, where there
/// is a key for that.
pub async fn keep_configuration(
    clusters: &Clusters,
    of: &DeploymentAt,
    seen: &configuration::Configuration,
    maps: &Maps,
    now: UnixMs,
) -> Result<(), String> {
    let said = |trouble: Trouble| trouble.to_string();
    if seen.items.len() > ITEMS_MAX {
        let count = seen.items.len();
        return Err(format!("it consists of {count} objects, and at most {ITEMS_MAX} are kept"));
    }
    let _turn = clusters.keeping.acquire().await.map_err(|fault| fault.to_string())?;
    let api = Api::open(clusters, of, Instant::now() + REQUEST).await.map_err(said)?;
    let mut kept = Configuration {
        revision: seen.revision.clone(),
        kept_at: now,
        items: vec![],
        metadata: Default::default(),
    };
    let key = clusters.find(&of.cluster).and_then(|cluster| cluster.secrets.key().cloned());
    let (mut contents, mut secrets, mut refused) = (vec![], vec![], None);
    for item in &seen.items {
        kept.items.push(item.kept());
        // AWS keeps the versions of what is its.
        let is_kept_elsewhere = item.kind == Kind::AwsSecret;
        if is_kept_elsewhere || item.digest.is_none() || item.kind == Kind::Secret && key.is_none()
        {
            continue;
        }
        let looking = |refusal: Refusal| refusal.trouble("looking", false).to_string();
        let object = match api.get(&path(of, item.kind, &item.name)).await {
            // A right that is missing for a Secret keeps nothing else from being kept.
            Err(Refusal::Refused { why, .. }) if item.kind == Kind::Secret => {
                refused.get_or_insert_with(|| {
                    format!("all of it but what {} holds: {why}", item.called())
                });
                continue;
            }
            read => read.map_err(looking)?,
        };
        let content = Content::of(&object);
        if Some(content.digest()) != item.digest {
            return Err(format!("{} was changed a moment ago", item.called()));
        }
        let own = object["metadata"].clone();
        let mut metadata: Metadata = serde_json::from_value(own).unwrap_or_default();
        metadata.annotations.remove(patch::ROLLED_BACK);
        match item.kind {
            Kind::ConfigMap => {
                kept.metadata.insert(item.name.clone(), metadata);
                contents.push(content);
            }
            Kind::AwsSecret => {}
            Kind::Secret => {
                let of_type = object["type"].as_str().map(str::to_owned);
                secrets.push((item.name.clone(), Hidden { content, metadata, of_type }));
            }
        }
    }
    let maps = maps.clone();
    let done = tokio::task::spawn_blocking(move || {
        for (name, hidden) in &secrets {
            key.iter().try_for_each(|key| maps.keep_secret(name, hidden, key))?;
        }
        maps.keep(&kept, &contents)
    })
    .await;
    done.map_err(|fault| fault.to_string())?.map_err(|fault| fault.to_string())?;
    refused.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_content_is_set_and_only_on_what_was_seen() {
        let meta = json!({ "uid": "u", "resourceVersion": "7", "annotations": { "team": "shop" } });
        let live = json!({ "metadata": meta, "data": { "a": "2" }, "binaryData": { "b": "AAE=" } });
        let was = Content { data: json!({ "a": "1" }), binary_data: Value::Null };
        let asked = operations(&live, &was, "note");
        let each: Vec<_> = asked
            .iter()
            .map(|o| (o["op"].as_str().unwrap(), o["path"].as_str().unwrap()))
            .collect();
        assert_eq!(
            each,
            [
                ("test", "/metadata/uid"),
                ("test", "/metadata/resourceVersion"),
                ("add", "/data"),
                ("remove", "/binaryData"),
                ("add", "/metadata/annotations/rollbackd.dev~1rolled-back"),
            ]
        );
        assert_eq!((&asked[1]["value"], &asked[2]["value"]), (&json!("7"), &json!({ "a": "1" })));
    }

    #[test]
    fn whoever_changes_it_in_between_wins() {
        let held = |data: Value| json!({ "metadata": { "uid": "u" }, "data": data });
        let bad = || Live::new(held(json!({ "a": "bad" })));
        let what = Restore {
            kind: Kind::ConfigMap,
            name: "settings".into(),
            uid: Some("u".into()),
            from: Some(bad().digest),
            to: "sha256:good".into(),
            immutable: false,
        };
        let why = |live: Option<&Live>, what: &Restore| match may_be_set(live, what, "run-7") {
            Ok(()) => String::new(),
            Err(trouble) => trouble.to_string(),
        };
        assert_eq!(why(Some(&bad()), &what), "");
        let other = Live::new(held(json!({ "a": "mended by hand" })));
        let said = why(Some(&other), &what);
        assert!(said.contains("somebody changed ConfigMap settings in between"), "{said}");
        assert!(!said.contains("mended"), "what it holds is told to nobody: {said}");
        assert!(why(None, &what).contains("somebody deleted"));
        let gone = Restore { from: None, uid: None, ..what.clone() };
        assert_eq!(why(None, &gone), "");
        assert!(why(Some(&other), &gone).contains("somebody made"));
        let another = Restore { uid: Some("v".into()), ..what.clone() };
        assert!(why(Some(&bad()), &another).contains("was made in its place"));
        let mut again = bad();
        again.object["metadata"]["annotations"] =
            json!({ patch::ROLLED_BACK: "restored by run run-7" });
        assert!(why(Some(&again), &what).contains("changed it again since"));
    }
}
