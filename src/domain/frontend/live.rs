//! What is live, judged by what was recorded.

use std::collections::BTreeMap;

use super::{Headers, Object, Recorded};
use crate::domain::change::Revision;

/// Metadata of an object that this program copied: the ETag that it had when its version was recorded. A copy has another where
/// the original was uploaded in parts or is encrypted with a key of KMS.
pub const MARK: &str = "rollbackd-is";

/// An object as it is live now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// Its ETag.
    pub etag: String,
    /// In bytes.
    pub size: u64,
    /// What it is served with.
    pub headers: Headers,
    /// What [`MARK`] says.
    pub mark: Option<String>,
}

impl Object {
    /// Whether what is live holds these bytes.
    pub fn is_held_by(&self, live: &Live) -> bool {
        live.size == self.size && (live.etag == self.etag || live.mark.as_ref() == Some(&self.etag))
    }

    /// Whether what is live is this, headers and all.
    pub fn is(&self, live: &Live) -> bool {
        self.is_held_by(live) && self.headers == live.headers
    }
}

/// Which version is live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Exactly this one, as it was recorded.
    At(Revision),
    /// What the marker says was not recorded: it can be left, and not be gone back to.
    Unrecorded(Revision),
    /// The marker is of one version, and pages are of others: a deployment or a rollback stopped half-way.
    Between(Revision, String),
    /// Nobody can tell.
    Unknown(String),
}

/// What the marker and the pages say together. `version` is what the marker holds, `pages` are those that its manifest names, or
/// the first of them.
pub fn standing(
    version: &str,
    recorded: &BTreeMap<String, Recorded>,
    pages: &BTreeMap<String, Option<Live>>,
) -> Standing {
    let Some(said) = recorded.get(version) else {
        return Standing::Unrecorded(Revision::named(version));
    };
    let is_of = |recorded: &Recorded, (name, live): (&String, &Option<Live>)| {
        let object = recorded.pages.get(name);
        live.as_ref().zip(object).is_some_and(|(live, object)| object.is_held_by(live))
    };
    let others: Vec<(&String, &Option<Live>)> =
        pages.iter().filter(|page| !is_of(said, *page)).collect();
    if others.is_empty() {
        return Standing::At(said.revision.clone());
    }
    let mut of = BTreeMap::new();
    for (name, live) in others {
        if live.is_none() {
            return Standing::Unknown(format!("{name} of {version} is not there"));
        }
        let found = recorded.values().find(|it| is_of(it, (name, live)));
        let Some(found) = found else {
            return Standing::Unknown(format!(
                "{} says {version}, and {name} is of no version that was recorded",
                said.marker
            ));
        };
        of.insert(name.as_str(), found.revision.version.as_str());
    }
    let others: Vec<String> =
        of.iter().map(|(name, version)| format!("{name} of {version}")).collect();
    let why = format!(
        "{} is of {version}, {}: a deployment or a rollback stopped half-way",
        said.marker,
        others.join(", ")
    );
    Standing::Between(said.revision.clone(), why)
}
