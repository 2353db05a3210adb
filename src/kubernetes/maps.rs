//! What the daemon keeps of the ConfigMaps that a Deployment's pods read, when they served well with it.
//!
//! Each content once, in a file called by its hash; and one file for each configuration, which says what it consists of. Only
//! the daemon's user can read them, as everything in the state directory. Of Secrets there is a hash here; and what they held,
//! sealed by the operator's key, where one was given.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    content,
    seal::{Key, Sealed},
    shelf,
};
use crate::{
    domain::{
        change::Revision,
        configuration::{self, KeptItem, Kind},
        plan::{DeploymentAt, hex},
        service::ServiceId,
    },
    units::UnixMs,
};

/// So many configurations of one Deployment are kept; the oldest are forgotten.
pub const KEPT_MAX: usize = 10;
/// Of more objects than these a configuration is not kept.
pub const ITEMS_MAX: usize = 64;

/// A configuration that served well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// Which.
    pub revision: Revision,
    /// When it was kept.
    pub kept_at: UnixMs,
    /// What it consists of.
    pub items: Vec<KeptItem>,
    /// By the name of a ConfigMap, what else its object said: needed where it is made again.
    #[serde(default)]
    pub metadata: BTreeMap<String, Metadata>,
}

/// What else the object of a ConfigMap said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

/// What a ConfigMap or a Secret holds, which cannot be printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    /// Texts.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
    /// Bytes, in base64.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub binary_data: Value,
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Content(hidden)")
    }
}

/// What a Secret held, and what else its object said: an annotation of it may hold the same once more.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hidden {
    /// What it held.
    pub content: Content,
    /// What else its object said.
    pub metadata: Metadata,
    /// Of which type it was.
    #[serde(default, rename = "type")]
    pub of_type: Option<String>,
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(hidden)")
    }
}

impl Content {
    /// Of an object as the API server has it.
    pub fn of(object: &Value) -> Self {
        Self { data: object["data"].clone(), binary_data: object["binaryData"].clone() }
    }

    /// Its hash.
    pub fn digest(&self) -> String {
        let both = json!({ "data": self.data, "binaryData": self.binary_data });
        content::in_words(&content::digest(&both))
    }
}

/// The configurations of one Deployment that are kept.
#[derive(Clone, Debug)]
pub struct Maps {
    dir: PathBuf,
    /// Whose they are: what is sealed for one Deployment cannot be laid under another.
    of: String,
}

impl Maps {
    /// In the daemon's state directory.
    pub fn of(state_dir: &Path, at: &DeploymentAt) -> Self {
        let DeploymentAt { cluster, namespace, name, .. } = at;
        Self {
            dir: state_dir.join("configurations").join(shelf::called(at)),
            of: format!("{cluster}/{namespace}/{name}"),
        }
    }

    /// The same of a service that is no Deployment, of which there is nothing here but which versions of secrets it read.
    pub fn of_service(state_dir: &Path, service: &ServiceId) -> Self {
        let of = service.to_string();
        let called = hex(&Sha256::digest(&of));
        Self { dir: state_dir.join("configurations").join(called), of }
    }

    /// What a ConfigMap held, by its hash; `None` where nothing whole is kept.
    pub fn content(&self, digest: &str) -> io::Result<Option<Content>> {
        let Some(path) = shelf::named_by(&self.contents(), digest) else { return Ok(None) };
        let content: Option<Content> = shelf::read(&path)?;
        Ok(content.filter(|content| content.digest() == digest))
    }

    /// What a Secret of that name held, by its hash; none where it is not kept, or this key does not open it.
    pub fn secret(&self, name: &str, digest: &str, key: &Key) -> io::Result<Option<Hidden>> {
        let Some(path) = shelf::named_by(&self.secrets(), &sealed_by(name, digest)) else {
            return Ok(None);
        };
        let sealed: Option<Sealed> = shelf::read(&path)?;
        let plain = sealed.and_then(|sealed| sealed.open(key, &self.about(name, digest)));
        let hidden: Option<Hidden> = plain.and_then(|plain| serde_json::from_slice(&plain).ok());
        Ok(hidden.filter(|hidden| hidden.content.digest() == digest))
    }

    /// Whether something is kept of it, whatever opens it.
    fn has_secret(&self, name: &str, digest: &str) -> bool {
        let path = shelf::named_by(&self.secrets(), &sealed_by(name, digest));
        path.is_some_and(|path| path.exists())
    }

    /// Keeps what a Secret held; durable when this returns. What is there by another key is replaced.
    pub fn keep_secret(&self, name: &str, hidden: &Hidden, key: &Key) -> io::Result<()> {
        let digest = hidden.content.digest();
        if self.secret(name, &digest, key)?.is_some() {
            return Ok(());
        }
        let text = serde_json::to_vec(hidden)?;
        let sealed = Sealed::new(key, &self.about(name, &digest), &text);
        let sealed = sealed.ok_or_else(|| io::Error::other("it cannot be encrypted"))?;
        let path = shelf::named_by(&self.secrets(), &sealed_by(name, &digest));
        let path = path.ok_or_else(|| io::Error::other("it has no hash"))?;
        shelf::write(&path, &serde_json::to_vec(&sealed)?)
    }

    /// The same as [`Self::all`], with which Secrets' content this key opens; and those it does not, a sentence each.
    pub fn opened(&self, key: &Key) -> io::Result<(Vec<Configuration>, Vec<String>)> {
        let (mut all, mut closed) = (self.all()?, BTreeSet::new());
        for kept in &mut all {
            for item in kept.items.iter_mut().filter(|item| item.kind == Kind::Secret) {
                let Some(digest) = &item.digest else { continue };
                item.sealed = self.secret(&item.name, digest, key)?.is_some();
                if !item.sealed && self.has_secret(&item.name, digest) {
                    closed.insert(format!("Secret {} of {}", item.name, kept.revision));
                }
            }
        }
        Ok((all, closed.into_iter().collect()))
    }

    /// Everything that is kept, newest first.
    pub fn all(&self) -> io::Result<Vec<Configuration>> {
        let mut all: Vec<Configuration> = vec![];
        for digest in shelf::listed(&self.dir)? {
            let Some(path) = shelf::named_by(&self.dir, &digest) else { continue };
            let found: Option<Configuration> = shelf::read(&path)?;
            let is_it = |found: &Configuration| {
                let items = found.items.clone();
                let exact = configuration::Kept { revision: found.revision.clone(), items }.exact();
                exact.digest.as_deref() == Some(&digest)
            };
            let mut found = found.filter(is_it);
            // Whether it can be opened is not for the file to say.
            let items = found.iter_mut().flat_map(|found| &mut found.items);
            items.for_each(|item| item.sealed = false);
            all.extend(found);
        }
        all.sort_by_key(|kept| std::cmp::Reverse(kept.kept_at));
        Ok(all)
    }

    /// Keeps a configuration with all that it consists of; durable when this returns.
    pub fn keep(&self, kept: &Configuration, contents: &[Content]) -> io::Result<()> {
        let nameless = || io::Error::other("it has no hash");
        for content in contents {
            let path = shelf::named_by(&self.contents(), &content.digest()).ok_or_else(nameless)?;
            if !path.exists() {
                shelf::write(&path, &serde_json::to_vec(content)?)?;
            }
        }
        let digest = kept.revision.digest.as_deref().ok_or_else(nameless)?;
        let path = shelf::named_by(&self.dir, digest).ok_or_else(nameless)?;
        shelf::write(&path, &serde_json::to_vec(kept)?)
    }

    /// Forgets every other configuration, the oldest beyond [`KEPT_MAX`], and every content that no more belongs to any.
    pub fn retain(&self, digests: &BTreeSet<String>) -> io::Result<()> {
        let mut contents: BTreeSet<String> = BTreeSet::new();
        let (mut stay, mut secrets) = (BTreeSet::new(), BTreeSet::new());
        let wanted = |kept: &Configuration| {
            kept.revision.digest.as_ref().is_some_and(|digest| digests.contains(digest))
        };
        for kept in self.all()?.into_iter().filter(wanted).take(KEPT_MAX) {
            stay.extend(kept.revision.digest);
            for KeptItem { kind, name, digest, .. } in kept.items {
                match (kind, digest) {
                    (Kind::ConfigMap, Some(digest)) => _ = contents.insert(digest),
                    (Kind::Secret, Some(digest)) => _ = secrets.insert(sealed_by(&name, &digest)),
                    (Kind::AwsSecret, Some(_)) | (_, None) => {}
                }
            }
        }
        let all = [(&self.dir, &stay), (&self.contents(), &contents), (&self.secrets(), &secrets)];
        for (dir, stay) in all {
            for digest in shelf::listed(dir)? {
                let path = shelf::named_by(dir, &digest).filter(|_| !stay.contains(&digest));
                path.map(fs::remove_file).transpose()?;
            }
        }
        Ok(())
    }

    fn contents(&self) -> PathBuf {
        self.dir.join("contents")
    }

    fn secrets(&self) -> PathBuf {
        self.dir.join("secrets")
    }

    /// What is sealed belongs to this Deployment, this name and this content, and to nothing else.
    fn about(&self, name: &str, digest: &str) -> String {
        format!("rollbackd\n{}\nSecret {name}\n{digest}", self.of)
    }
}

/// Under which file: two Secrets of one content are sealed each for itself.
fn sealed_by(name: &str, digest: &str) -> String {
    format!("sha256:{}", hex(&Sha256::digest(format!("{name}\n{digest}"))))
}

impl Configuration {
    /// As the domain knows it.
    pub fn in_short(&self) -> configuration::Kept {
        configuration::Kept { revision: self.revision.clone(), items: self.items.clone() }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn maps(dir: &Path) -> Maps {
        let [cluster, namespace, name] = ["main", "shop", "checkout"].map(str::to_owned);
        Maps::of(dir, &DeploymentAt { cluster, namespace, name, uid: None })
    }

    fn kept(contents: &[&Content], kept_at: i64) -> Configuration {
        let item = |(nth, content): (usize, &&Content)| KeptItem {
            kind: Kind::ConfigMap,
            name: format!("map-{nth}"),
            digest: Some(content.digest()),
            ..KeptItem::default()
        };
        let items: Vec<KeptItem> = contents.iter().enumerate().map(item).collect();
        let unnamed = configuration::Kept { revision: Revision::named(""), items: items.clone() };
        let (revision, metadata) = (unnamed.exact(), BTreeMap::new());
        Configuration { revision, kept_at: UnixMs(kept_at), items, metadata }
    }

    fn content(text: &str) -> Content {
        Content { data: json!({ "a": text }), binary_data: json!({ "b": "AAE=" }) }
    }

    #[test]
    fn what_is_kept_is_found_exactly_and_each_content_lies_there_once() {
        let dir = tempfile::tempdir().unwrap();
        let maps = maps(dir.path());
        let [one, two, three] = ["1", "2", "3"].map(content);
        let (first, second) = (kept(&[&one, &two], 1), kept(&[&one, &three], 2));
        maps.keep(&first, &[one.clone(), two.clone()]).unwrap();
        maps.keep(&second, &[one.clone(), three.clone()]).unwrap();
        assert_eq!(maps.all().unwrap(), [second.clone(), first.clone()]);
        assert_eq!(maps.content(&two.digest()).unwrap().as_ref(), Some(&two));
        assert_eq!(fs::read_dir(maps.contents()).unwrap().count(), 3);
        let path = shelf::named_by(&maps.contents(), &two.digest()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        maps.retain(&[second.revision.digest.clone().unwrap()].into()).unwrap();
        assert_eq!(maps.all().unwrap(), [second]);
        assert_eq!(maps.content(&two.digest()).unwrap(), None, "nobody needs it any more");
        assert_eq!(maps.content(&one.digest()).unwrap(), Some(one), "another one does");
        fs::write(shelf::named_by(&maps.contents(), &three.digest()).unwrap(), "{}").unwrap();
        assert_eq!(maps.content(&three.digest()).unwrap(), None, "it is not what its name says");
    }

    #[test]
    fn what_a_secret_held_is_on_no_disk_and_only_its_key_opens_it() {
        let dir = tempfile::tempdir().unwrap();
        let maps = maps(dir.path());
        let [key, other] = ["01", "02"].map(|end| Key::parse(&("0".repeat(62) + end)).unwrap());
        let content =
            Content { data: json!({ "token": "aHVudGVyMg==" }), binary_data: Value::Null };
        let digest = content.digest();
        let annotations = [("last".to_owned(), "hunter2".to_owned())].into();
        let metadata = Metadata { annotations, ..Metadata::default() };
        let hidden = Hidden { content: content.clone(), metadata, of_type: Some("Opaque".into()) };
        let mut of = kept(&[&content], 1);
        of.items[0].kind = Kind::Secret;
        let items = of.items.clone();
        of.revision = configuration::Kept { revision: Revision::named(""), items }.exact();
        maps.keep(&of, &[]).unwrap();
        assert_eq!(maps.opened(&key).unwrap(), (vec![of.clone()], vec![]), "nothing is sealed yet");
        maps.keep_secret("map-0", &hidden, &key).unwrap();
        assert_eq!(maps.secret("map-0", &digest, &key).unwrap().as_ref(), Some(&hidden));
        assert_eq!(maps.secret("map-1", &digest, &key).unwrap(), None, "of another name");
        let (all, closed) = maps.opened(&key).unwrap();
        assert!(all[0].items[0].sealed && closed.is_empty());
        // By another key it counts as not kept, and is sealed anew by it.
        let (all, closed) = maps.opened(&other).unwrap();
        assert!(!all[0].items[0].sealed);
        assert_eq!(closed, [format!("Secret map-0 of {}", of.revision)]);
        let path = shelf::named_by(&maps.secrets(), &sealed_by("map-0", &digest)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains("aHVudGVyMg") && !text.contains("hunter2"), "{text}");
        assert!(!format!("{hidden:?}{content:?}").contains("aHVudGVyMg"));
        fs::write(&path, "{}").unwrap();
        assert_eq!(maps.secret("map-0", &digest, &key).unwrap(), None, "damaged");
        maps.keep_secret("map-0", &hidden, &other).unwrap();
        assert_eq!(maps.secret("map-0", &digest, &other).unwrap(), Some(hidden));
        maps.retain(&BTreeSet::new()).unwrap();
        assert_eq!(fs::read_dir(maps.secrets()).unwrap().count(), 0);
    }

    #[test]
    fn no_more_are_kept_than_there_may_be() {
        let dir = tempfile::tempdir().unwrap();
        let maps = maps(dir.path());
        let mut all = BTreeSet::new();
        for nth in 0..=KEPT_MAX {
            let one = content(&nth.to_string());
            let kept = kept(&[&one], i64::try_from(nth).unwrap());
            all.extend(kept.revision.digest.clone());
            maps.keep(&kept, &[one]).unwrap();
        }
        maps.retain(&all).unwrap();
        let left = maps.all().unwrap();
        assert_eq!((left.len(), left.last().unwrap().kept_at), (KEPT_MAX, UnixMs(1)));
        assert_eq!(maps.content(&content("0").digest()).unwrap(), None);
    }
}
