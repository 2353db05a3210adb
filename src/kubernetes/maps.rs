//! What the daemon keeps of the ConfigMaps that a Deployment's pods read, when they served well with it.
//!
//! Each content once, in a file called by its hash; and one file for each configuration, which says what it consists of. Only
//! the daemon's user can read them, as everything in the state directory. Of Secrets there is a hash here, and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{content, shelf};
use crate::{
    domain::{
        change::Revision,
        configuration::{self, KeptItem},
        plan::DeploymentAt,
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

/// What a ConfigMap holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    /// Texts.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
    /// Bytes, in base64.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub binary_data: Value,
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
}

impl Maps {
    /// In the daemon's state directory.
    pub fn of(state_dir: &Path, at: &DeploymentAt) -> Self {
        Self { dir: state_dir.join("configurations").join(shelf::called(at)) }
    }

    /// What a ConfigMap held, by its hash; `None` where nothing whole is kept.
    pub fn content(&self, digest: &str) -> io::Result<Option<Content>> {
        let Some(path) = shelf::named_by(&self.contents(), digest) else { return Ok(None) };
        let content: Option<Content> = shelf::read(&path)?;
        Ok(content.filter(|content| content.digest() == digest))
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
            all.extend(found.filter(is_it));
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
        let mut stay: BTreeSet<String> = BTreeSet::new();
        let wanted = |kept: &Configuration| {
            kept.revision.digest.as_ref().is_some_and(|digest| digests.contains(digest))
        };
        for kept in self.all()?.into_iter().filter(wanted).take(KEPT_MAX) {
            stay.extend(kept.revision.digest);
            contents.extend(kept.items.into_iter().filter_map(|item| item.digest));
        }
        for (dir, stay) in [(&self.dir, &stay), (&self.contents(), &contents)] {
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
    use crate::domain::configuration::Kind;

    fn maps(dir: &Path) -> Maps {
        let [cluster, namespace, name] = ["main", "shop", "checkout"].map(str::to_owned);
        Maps::of(dir, &DeploymentAt { cluster, namespace, name, uid: None })
    }

    fn kept(contents: &[&Content], kept_at: i64) -> Configuration {
        let item = |(nth, content): (usize, &&Content)| KeptItem {
            kind: Kind::ConfigMap,
            name: format!("map-{nth}"),
            digest: Some(content.digest()),
            immutable: false,
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
