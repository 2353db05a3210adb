//! What was recorded of a version when it was deployed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::{change::Revision, plan::hex};

/// The only format that there is.
pub const FORMAT: u32 = 1;

/// Longer keys are none: S3's own limit, in bytes.
const KEY_MAX: usize = 1024;

/// Every object of one version of a site. Equal versions are equal bytes: its hash is the revision's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format of what follows.
    pub manifest: u32,
    /// What people call it.
    pub version: String,
    /// The object that says so.
    pub marker: String,
    /// Where it is kept.
    pub archive: Archive,
    /// By their names within the site.
    pub objects: BTreeMap<String, Object>,
}

/// As much of a manifest as it takes to know whether its version is live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its version, and the hash of all of it.
    pub revision: Revision,
    /// The object that says so.
    pub marker: String,
    /// The first of its pages.
    pub pages: BTreeMap<String, Object>,
}

/// Where the objects of a version are kept, for the day on which something else is live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Archive {
    /// Below these keys of the same bucket, under the same names.
    Below(String),
    /// As earlier versions of the objects themselves, which the bucket keeps.
    BucketVersions,
}

/// One object, as it was live.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// Its ETag, without quotation marks.
    pub etag: String,
    /// In bytes.
    pub size: u64,
    /// The ETag of what is kept, where that is another: of one that was uploaded in parts, it depends on the parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived_etag: Option<String>,
    /// Which of the versions that the bucket keeps of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// Whether people open it, and it loads others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub page: bool,
    /// The hash of its bytes, of pages and of the marker: an edge does not tell ETags of another's choosing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// What it is served with.
    #[serde(flatten)]
    pub headers: Headers,
}

/// What an object is served with, beside its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headers {
    /// `Content-Type`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// `Cache-Control`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<String>,
    /// `Content-Encoding`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<String>,
    /// `Content-Disposition`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_disposition: Option<String>,
    /// `Content-Language`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_language: Option<String>,
    /// Where else its website leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<String>,
    /// `x-amz-meta-…`, without what this program adds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

impl Headers {
    /// Whether browsers and edges are told that it never changes.
    pub fn is_immutable(&self) -> bool {
        self.cache_control.as_ref().is_some_and(|said| said.contains("immutable"))
    }
}

impl Manifest {
    /// Reads one; or says why it is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let read: Self = serde_json::from_slice(bytes).map_err(|fault| {
            let fault = fault.to_string();
            let printable: String = fault.chars().filter(|c| !c.is_control()).take(200).collect();
            format!("it is no manifest of a version: {printable}")
        })?;
        if read.manifest != FORMAT {
            return Err(format!(
                "it is a manifest of format {}, and this program knows {FORMAT}",
                read.manifest
            ));
        }
        read.is_whole()?;
        Ok(read)
    }

    /// Why nothing can be rolled back to it, where that is so.
    pub fn is_whole(&self) -> Result<(), String> {
        if !is_version(&self.version) {
            return Err(format!("{:?} cannot name a version", self.version));
        }
        if let Some(name) = self.objects.keys().find(|name| !is_name(name)) {
            return Err(format!("{name:?} cannot name an object of a site"));
        }
        if !self.objects.contains_key(&self.marker) {
            return Err(format!("{:?} is not among its objects", self.marker));
        }
        if !self.objects.values().any(|object| object.page) {
            return Err("it has no page".to_owned());
        }
        match &self.archive {
            Archive::Below(_) => Ok(()),
            Archive::BucketVersions => {
                let lacks = self.objects.iter().find(|(_, object)| object.version_id.is_none());
                match lacks {
                    Some((name, _)) => Err(format!("it does not say which version of {name}")),
                    None => Ok(()),
                }
            }
        }
    }

    /// As it is kept: equal manifests are equal bytes.
    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The revision that it is.
    pub fn revision(&self) -> Revision {
        Revision { version: self.version.clone(), digest: Some(digest_of(&self.bytes())) }
    }

    /// Its pages, those nearest to the root first.
    pub fn pages(&self) -> Vec<(&str, &Object)> {
        let mut pages: Vec<_> = self.objects.iter().filter(|(_, object)| object.page).collect();
        pages.sort_by_key(|(name, _)| (name.matches('/').count(), !is_index(name), *name));
        pages.into_iter().map(|(name, object)| (name.as_str(), object)).collect()
    }

    /// As much of it as it takes to know whether it is live, by so many pages.
    pub fn in_short(&self, pages_max: usize) -> Recorded {
        let pages = self.pages().into_iter().take(pages_max);
        Recorded {
            revision: self.revision(),
            marker: self.marker.clone(),
            pages: pages.map(|(name, object)| (name.to_owned(), object.clone())).collect(),
        }
    }

    /// The key of what is kept of an object, in the bucket.
    pub fn kept_at(&self, prefix: &str, name: &str) -> String {
        match &self.archive {
            Archive::Below(below) => format!("{below}{name}"),
            Archive::BucketVersions => format!("{prefix}{name}"),
        }
    }
}

impl Object {
    /// The ETag that what is kept of it must have.
    pub fn kept_etag(&self) -> &str {
        self.archived_etag.as_ref().unwrap_or(&self.etag)
    }
}

/// The hash of a manifest's bytes.
pub fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

/// One that stands for its directory.
pub(super) fn is_index(name: &str) -> bool {
    name.rsplit('/').next().is_some_and(|last| last.starts_with("index."))
}

/// One word that can be a part of a key.
fn is_version(version: &str) -> bool {
    !version.is_empty()
        && version.len() <= 200
        && !version.starts_with('.')
        && version.chars().all(|c| c.is_ascii_alphanumeric() || "._+-".contains(c))
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= KEY_MAX
        && !name.starts_with('/')
        && !name.chars().any(char::is_control)
        && name.split('/').all(|part| part != ".." && part != ".")
}
