//! The credentials of a Secret for pulling: which of them is for an image. None of them is ever printed.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::name::{Name, usual};
use crate::units::Secret;

/// Of one registry, or of a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Its host, with its port where one is said; a label may be `*`.
    registry: String,
    /// Repositories below this; all of them where it is empty.
    below: String,
    /// For some registries the token stands here, and the password is empty.
    pub(super) user: Secret,
    pub(super) password: Secret,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<Value>,
    username: Option<String>,
    password: Option<String>,
}

impl Credential {
    /// Those that a file like Docker's holds, new or old (`.dockerconfigjson`, `.dockercfg`); what is none is left out.
    pub fn all(file: &[u8]) -> Vec<Self> {
        let Ok(file) = serde_json::from_slice::<Value>(file) else { return vec![] };
        let entries = file.get("auths").cloned().unwrap_or(file);
        let entries: BTreeMap<String, Value> = serde_json::from_value(entries).unwrap_or_default();
        let one = |(key, said): (String, Value)| Self::of(&key, serde_json::from_value(said).ok()?);
        entries.into_iter().filter_map(one).collect()
    }

    fn of(key: &str, said: Entry) -> Option<Self> {
        let key = key.trim_start_matches("https://").trim_start_matches("http://");
        let (registry, below) = key.split_once('/').unwrap_or((key, ""));
        let below = match below.trim_end_matches('/') {
            // Docker's own way to write a whole registry.
            "v1" | "v2" => "",
            below => below,
        };
        let (user, password) = match (said.username, said.password, said.auth) {
            (Some(user), Some(password), _) if !user.is_empty() => (user, password),
            (_, _, Some(auth)) => {
                let ByteString(auth) = serde_json::from_value(auth).ok()?;
                let auth = String::from_utf8(auth).ok()?;
                let (user, password) = auth.split_once(':')?;
                (user.to_owned(), password.to_owned())
            }
            (..) => return None,
        };
        Some(Self {
            registry: usual(registry).to_owned(),
            below: below.to_owned(),
            user: Secret::new(user),
            password: Secret::new(password),
        })
    }

    /// Those that a kubelet would take for an image, in its order: that of the narrowest part first.
    pub(super) fn for_image<'c>(all: &'c [Self], name: &Name) -> Vec<&'c Self> {
        let fits = |it: &&Self| it.is_of(&name.registry) && it.is_above(&name.repository);
        let mut fitting: Vec<&Self> = all.iter().filter(fits).collect();
        fitting.sort_by_key(|it| std::cmp::Reverse(it.below.len()));
        fitting
    }

    /// Tells it apart from every other one.
    pub(super) fn hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update((self.user.expose().len() as u64).to_le_bytes());
        hash.update(self.user.expose());
        hash.update(self.password.expose());
        hash.finalize().into()
    }

    fn is_of(&self, registry: &str) -> bool {
        let (own, other) = (self.registry.split('.'), registry.split('.'));
        own.clone().count() == other.clone().count()
            && own.zip(other).all(|(own, other)| own == "*" || own == other)
    }

    fn is_above(&self, repository: &str) -> bool {
        let rest = repository.strip_prefix(&*self.below);
        self.below.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn user(file: &Value, image: &str) -> Option<String> {
        let all = Credential::all(file.to_string().as_bytes());
        Credential::for_image(&all, &Name::of(image).unwrap())
            .first()
            .map(|it| it.user.expose().to_owned())
    }

    #[test]
    fn neither_half_of_it_is_printed() {
        // hunter2:
        let file = json!({ "auths": { "registry.example": { "auth": "aHVudGVyMjo=" } } });
        let all = Credential::all(file.to_string().as_bytes());
        assert_eq!(all.len(), 1);
        assert!(!format!("{all:?}").contains("hunter2"), "{all:?}");
    }

    #[test]
    fn a_credential_is_for_its_own_registry_and_the_narrowest_one_is_taken() {
        // hub:secret
        let file = json!({ "auths": {
            "https://index.docker.io/v1/": { "auth": "aHViOnNlY3JldA==" },
            "registry.example": { "username": "all", "password": "p" },
            "registry.example/shop": { "username": "shop", "password": "p" },
            "*.pkg.example:5000": { "username": "any", "password": "p" },
            "empty.example": {},
        } });
        let of = |image| user(&file, image);
        assert_eq!(of("nginx:1").as_deref(), Some("hub"));
        assert_eq!(of("registry.example/cart:1").as_deref(), Some("all"));
        assert_eq!(of("registry.example/shop/web:1").as_deref(), Some("shop"));
        assert_eq!(of("registry.example/shopping:1").as_deref(), Some("all"));
        assert_eq!(of("eu.pkg.example:5000/a:1").as_deref(), Some("any"));
        for image in ["eu.pkg.example/a:1", "a.eu.pkg.example:5000/a:1", "evil.example/a:1"] {
            assert_eq!(of(image), None, "{image}");
        }
        assert_eq!(of("registry.example:8443/cart:1"), None, "another port is another registry");
        assert_eq!(of("empty.example/a:1"), None);
        let old = json!({ "registry.example": { "username": "old", "password": "p" } });
        assert_eq!(user(&old, "registry.example/a:1").as_deref(), Some("old"));
    }

    #[test]
    fn what_is_no_credential_is_left_out_and_none_is_printed() {
        for file in ["", "[]", "{", r#"{"auths":1}"#, r#"{"auths":{"a":1,"b":{"auth":"%"}}}"#] {
            assert_eq!(Credential::all(file.as_bytes()), [], "{file}");
        }
        let all = Credential::all(br#"{"auths":{"a.example":{"auth":"aHViOnNlY3JldA=="}}}"#);
        assert_eq!(all.len(), 1);
        assert!(!format!("{all:?}").contains("secret"), "{all:?}");
    }
}
