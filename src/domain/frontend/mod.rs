//! A site of static files: which version of it is live, and how it goes back to another.
//!
//! A version is what was recorded of it when it was deployed: every object with its ETag and its headers. Going back copies what
//! differs, what nothing refers to yet first and pages last, and deletes nothing: whoever has opened a page of the version that
//! is left still finds everything that it loads.

mod copies;
mod invalidation;
mod live;
mod manifest;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::{
    copies::{Copies, Difference, Stage, copies, unnamed},
    invalidation::{PATHS_MAX, WILDCARDS_MAX, invalidated},
    live::{Live, MARK, Standing, standing},
    manifest::{Archive, FORMAT, Headers, Manifest, Object, Recorded, digest_of},
};

/// Where the objects of one site are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SiteAt {
    /// The account's name in the configuration.
    pub account: String,
    /// The bucket.
    pub bucket: String,
    /// What the keys of its objects begin with; empty, or ending in `/`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
}

impl SiteAt {
    /// The key in the bucket of what the site calls so.
    pub fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

impl fmt::Display for SiteAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix)
    }
}

/// The object that says which version is live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// Its name within the site.
    pub name: String,
    /// Where in its JSON the version stands; the whole text when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
}
