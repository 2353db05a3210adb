//! What a service reads beside its code: a Deployment's ConfigMaps and Secrets, of which nothing but the hash is known here, and
//! secrets of AWS, of which nothing but the id of the current version is.
//!
//! All of it is one configuration with one revision: whichever of it changes, the service runs with another.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    change::Revision,
    owner::Owner,
    plan::{Restore, hex},
};
use crate::units::UnixMs;

/// So much of the hash stands in a revision's name.
const SHORT: usize = 8;

/// What holds a part of a configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Its content is kept, and can be restored.
    #[default]
    ConfigMap,
    /// Its content is kept nowhere, unless the operator gave a key for it.
    Secret,
    /// AWS keeps its versions: which is the current one is all that is known here, and its id stands for the hash.
    AwsSecret,
}

impl Kind {
    /// Whether it is what things were before Secrets were restored.
    pub fn is_config_map(&self) -> bool {
        matches!(self, Self::ConfigMap)
    }

    /// As the API server has it: `configmaps`.
    pub fn plural(self) -> &'static str {
        match self {
            Self::ConfigMap => "configmaps",
            Self::Secret | Self::AwsSecret => "secrets",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
            Self::AwsSecret => "AWS secret",
        })
    }
}

/// One object of a configuration, as it was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// What it is.
    pub kind: Kind,
    /// Its name, in the namespace of the Deployment.
    pub name: String,
    /// Its uid; none where it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The hash of its content, `sha256:…`; none where it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Whether the API server lets nobody change it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub immutable: bool,
    /// Why it may not be set back, of a secret of AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bars: Option<String>,
    /// What else sets it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<Owner>,
}

impl Item {
    /// `ConfigMap checkout-settings`.
    pub fn called(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }

    /// The same as a part of what is kept.
    pub fn kept(&self) -> KeptItem {
        let Self { kind, name, digest, immutable, .. } = self.clone();
        KeptItem { kind, name, digest, immutable, ..KeptItem::default() }
    }
}

/// What a Deployment reads, as it was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// All of it was seen.
    Known(Box<Configuration>),
    /// Nobody can tell; why not.
    Unknown(String),
}

/// All that the set template refers to, with the secrets of AWS that are said to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// Which.
    pub revision: Revision,
    /// What it consists of, by kind and name.
    pub items: Vec<Item>,
    /// When any of it was last written, by the API server's own time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_at: Option<UnixMs>,
    /// Which of it that was, and who wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<Written>,
    /// Since when every pod that is ready was made after that: most programs read what they are given once, when they start.
    /// None while an older one serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_at: Option<UnixMs>,
    /// What is kept of configurations that served well, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<Kept>,
    /// What else those consist of, as it is now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<Item>,
}

/// The newest writing to any of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// What was written: `ConfigMap checkout-settings`.
    pub what: String,
    /// The program that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// A configuration that served well, and is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Which.
    pub revision: Revision,
    /// What it consists of.
    pub items: Vec<KeptItem>,
}

/// One object of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptItem {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// The hash of its content; none where it was not there, and need not be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Whether nobody could change it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub immutable: bool,
    /// Whether its content is kept by a key that opens it, of a Secret.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sealed: bool,
    /// Whether AWS has this version no more, of a secret of its.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
}

/// The revision of all of these, in their order.
pub fn revision<'i>(items: impl Iterator<Item = (Kind, &'i str, Option<&'i str>)>) -> Revision {
    let mut hasher = Sha256::new();
    for (kind, name, digest) in items {
        hasher.update(format!("{kind}/{name}={}\n", digest.unwrap_or("absent")));
    }
    let digest = hex(&hasher.finalize());
    let version = format!("config-{}", &digest[..SHORT]);
    Revision { version, digest: Some(format!("sha256:{digest}")) }
}

impl Kept {
    /// Which it is by what it consists of.
    pub fn exact(&self) -> Revision {
        let part = |item: &'_ KeptItem| (item.kind, item.name.clone(), item.digest.clone());
        let parts: Vec<_> = self.items.iter().map(part).collect();
        revision(parts.iter().map(|(kind, name, digest)| (*kind, &**name, digest.as_deref())))
    }
}

impl Configuration {
    /// What is kept of that revision.
    pub fn kept_of(&self, wanted: &Revision) -> Option<&Kept> {
        self.kept.iter().find(|kept| kept.revision.agrees_with(wanted))
    }

    /// How one object is now, where that was looked at.
    fn now(&self, kind: Kind, name: &str) -> Option<&Item> {
        let all = self.items.iter().chain(&self.beside);
        all.into_iter().find(|item| (item.kind, item.name.as_str()) == (kind, name))
    }

    /// Whether another one consists of the same objects.
    pub fn is_of_the_same(&self, other: &Kept) -> bool {
        let own = self.items.iter().map(|item| (item.kind, &item.name));
        own.eq(other.items.iter().map(|item| (item.kind, &item.name)))
    }

    /// Whether it differs from another one in nothing but which secrets of AWS somebody looks at: nothing that is read changed.
    pub fn is_only_looked_at_otherwise(&self, other: &Kept) -> bool {
        let own =
            |kind, name: &str| self.items.iter().find(|it| (it.kind, &*it.name) == (kind, name));
        let of_aws = |kind: Kind| kind == Kind::AwsSecret;
        let rest = self.items.iter().filter(|it| !of_aws(it.kind)).count();
        let others = other.items.iter().filter(|it| !of_aws(it.kind)).count();
        rest == others
            && !self.looks_at_the_same(other)
            && other.items.iter().all(|then| match own(then.kind, &then.name) {
                Some(now) => now.digest == then.digest,
                None => of_aws(then.kind),
            })
    }

    /// Whether both know of the same secrets of AWS.
    pub fn looks_at_the_same(&self, other: &Kept) -> bool {
        let own = self.items.iter().filter(|it| it.kind == Kind::AwsSecret).map(|it| &it.name);
        own.eq(other.items.iter().filter(|it| it.kind == Kind::AwsSecret).map(|it| &it.name))
    }

    /// What is otherwise than in another one: `ConfigMap checkout-settings`.
    pub fn differs_from(&self, other: &Kept) -> Vec<String> {
        let same = |item: &&Item| {
            let then = other.items.iter().find(|it| (it.kind, &it.name) == (item.kind, &item.name));
            then.is_some_and(|then| then.digest == item.digest)
        };
        self.items.iter().filter(|item| !same(item)).map(Item::called).collect()
    }

    /// What must be done so that everything is as it was in one that is kept, or why that cannot be done.
    pub fn back_to(&self, kept: &Kept) -> Result<Vec<Restore>, String> {
        let mut all = vec![];
        for then in &kept.items {
            let called = format!("{} {}", then.kind, then.name);
            let now = self.now(then.kind, &then.name);
            let now = now.ok_or_else(|| format!("nobody looked at {called}"))?;
            if now.digest == then.digest {
                continue;
            }
            if let (Kind::AwsSecret, Some(why)) = (then.kind, of_aws(then, now)) {
                return Err(format!("{called} does not go back to {}: {why}", kept.revision));
            }
            let to = match (&then.digest, then.kind) {
                (Some(_), Kind::Secret) if !then.sealed => {
                    return Err(format!(
                        "{called} is not what it was when {} served well, and its content is nowhere kept: set it back where it comes from",
                        kept.revision
                    ));
                }
                (None, _) => {
                    return Err(format!(
                        "{called} was not there when {} served well, and the daemon deletes nothing",
                        kept.revision
                    ));
                }
                (Some(to), _) => to,
            };
            if now.immutable && now.digest.is_some() {
                return Err(format!(
                    "{called} is immutable and holds something else than when {} served well: delete it, and it can be made again",
                    kept.revision
                ));
            }
            all.push(Restore {
                kind: then.kind,
                name: then.name.clone(),
                uid: now.uid.clone(),
                from: now.digest.clone(),
                to: to.clone(),
                immutable: then.immutable,
            });
        }
        Ok(all)
    }

    /// What else sets the objects that would be restored.
    pub fn owners_of(&self, restores: &[Restore]) -> Vec<Owner> {
        let items = restores.iter().filter_map(|it| self.now(it.kind, &it.name));
        let mut owners: Vec<Owner> = items.flat_map(|item| item.owners.iter().cloned()).collect();
        owners.sort();
        owners.dedup();
        owners
    }
}

/// Why a secret of AWS does not go back.
fn of_aws(then: &KeptItem, now: &Item) -> Option<String> {
    let version = then.digest.as_deref().unwrap_or_default();
    let gone = || format!("version {version} is not there any more");
    then.gone.then(gone).or_else(|| now.bars.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(kind: Kind, name: &str, digest: Option<&str>) -> Item {
        let [uid, digest] = [digest.map(|_| "u-1"), digest].map(|it| it.map(str::to_owned));
        Item { kind, name: name.into(), uid, digest, immutable: false, bars: None, owners: vec![] }
    }

    fn seen(items: Vec<Item>) -> Configuration {
        let parts = items.iter().map(|i| (i.kind, i.name.as_str(), i.digest.as_deref()));
        Configuration { revision: revision(parts), items, ..Configuration::default() }
    }

    fn kept(items: &[Item]) -> Kept {
        let items = items.iter().map(Item::kept);
        let kept = Kept { revision: Revision::named(""), items: items.collect() };
        Kept { revision: kept.exact(), ..kept }
    }

    const MAP: Kind = Kind::ConfigMap;

    #[test]
    fn a_revision_is_all_names_and_contents_and_what_is_absent_counts() {
        let named = |name, digest| seen(vec![item(MAP, name, digest)]).revision;
        let one = named("a", Some("sha256:1"));
        assert!(one.version.starts_with("config-") && one.version.len() == 15, "{one}");
        assert_eq!(named("a", Some("sha256:1")), one);
        for other in [named("a", Some("sha256:2")), named("b", Some("sha256:1")), named("a", None)]
        {
            assert_ne!(other, one);
        }
        let secret = seen(vec![item(Kind::Secret, "a", Some("sha256:1"))]).revision;
        assert_ne!(secret, one);
    }

    #[test]
    fn only_what_is_otherwise_is_restored_and_what_is_gone_is_made_again() {
        let then = [
            item(MAP, "gone", Some("sha256:1")),
            item(MAP, "same", Some("sha256:2")),
            item(MAP, "set", Some("sha256:3")),
        ];
        let mut now = seen(vec![then[1].clone(), item(MAP, "set", Some("sha256:4"))]);
        let then = kept(&then);
        let unseen = now.back_to(&then).unwrap_err();
        assert_eq!(unseen, "nobody looked at ConfigMap gone");
        now.beside = vec![item(MAP, "gone", None)];
        let all = now.back_to(&then).unwrap();
        let each: Vec<_> = all.iter().map(|r| (&*r.name, r.from.as_deref(), &*r.to)).collect();
        assert_eq!(each, [("gone", None, "sha256:1"), ("set", Some("sha256:4"), "sha256:3")]);
        assert_eq!((all[0].uid.as_deref(), all[1].uid.as_deref()), (None, Some("u-1")));
        assert_eq!(now.differs_from(&then), ["ConfigMap set"]);
        assert!(!now.is_of_the_same(&then));
    }

    #[test]
    fn what_cannot_be_restored_is_refused_with_its_reason() {
        let why = |then: Item, now: Item| seen(vec![now]).back_to(&kept(&[then])).unwrap_err();
        let secret = |digest| item(Kind::Secret, "key", Some(digest));
        let said = why(secret("sha256:1"), secret("sha256:2"));
        assert!(said.contains("nowhere kept"), "{said}");
        let (mut then, now) = (kept(&[secret("sha256:1")]), seen(vec![secret("sha256:2")]));
        then.items[0].sealed = true;
        let restore = now.back_to(&then).unwrap().remove(0);
        assert_eq!((restore.called(), &*restore.to), ("Secret key".to_owned(), "sha256:1"));
        let map = |digest| item(MAP, "map", digest);
        let said = why(map(None), map(Some("sha256:2")));
        assert!(said.contains("deletes nothing"), "{said}");
        let fixed = Item { immutable: true, ..map(Some("sha256:2")) };
        let said = why(map(Some("sha256:1")), fixed);
        assert!(said.contains("is immutable"), "{said}");
    }
}
