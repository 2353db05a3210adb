//! Sites of static files: what is live is looked at, and copied, in their bucket; edges are told to forget; and what people are
//! served is looked at where they open it.
//!
//! Every copy is of exactly what was recorded, to where what was recorded of another version is: everything else is refused, before
//! anything is touched. Copies may be made twice, and are looked at afterwards, so whatever was broken off is gone on with.

#[cfg(feature = "aws")]
mod bucket;
#[cfg(feature = "aws")]
mod copy;
#[cfg(feature = "aws")]
mod invalidate;
#[cfg(feature = "aws")]
mod known;
#[cfg(feature = "aws")]
mod look;
#[cfg(feature = "aws")]
mod manifests;
#[cfg(feature = "aws")]
mod perform;
#[cfg(feature = "aws")]
mod preflight;
#[cfg(feature = "aws")]
mod record;
#[cfg(feature = "aws")]
mod served;
#[cfg(not(feature = "aws"))]
mod without;

#[cfg(feature = "aws")]
pub(super) use self::perform::perform;
#[cfg(not(feature = "aws"))]
pub(super) use self::without::perform;
#[cfg(not(feature = "aws"))]
pub use self::without::{Known, frontend_inventory, frontend_preflight, record};
#[cfg(feature = "aws")]
pub use self::{
    look::{Known, frontend_inventory},
    preflight::frontend_preflight,
    record::record,
};
use super::Adopted;
use crate::{
    aws::Access,
    domain::{frontend::SiteAt, runbook::FrontendRunbook},
};

/// A site, and everything about it that no plan says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// How its account is reached.
    pub access: Access,
    /// Where it is, and how it goes back.
    pub runbook: FrontendRunbook,
    /// What the keys of its manifests begin with.
    pub manifests: String,
    /// Where deployments keep what they deploy.
    pub archive: Archived,
    /// Which of its objects are pages: names, or their ends after a `*`.
    pub pages: Vec<String>,
    /// What the keys of objects begin with that lie among its own and are not of it.
    pub left_out: Vec<String>,
    /// How many objects a version may have.
    pub objects_max: usize,
    /// At how many of the newest versions is looked.
    pub versions_max: usize,
}

/// Where deployments keep what they deploy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Archived {
    /// Below this key, where `{version}` stands for the version.
    Below(String),
    /// As versions of the objects, which the bucket keeps.
    BucketVersions,
}

impl Archived {
    /// What is the same of all versions.
    pub fn beginning(&self) -> Option<&str> {
        match self {
            Self::Below(below) => below.split("{version}").next(),
            Self::BucketVersions => None,
        }
    }
}

impl Site {
    /// Whether a name within the site is of its archive, its manifests, or of somebody else.
    pub fn is_reserved(&self, name: &str) -> bool {
        let key = self.runbook.at.key(name);
        let reserved = self.reserved();
        reserved.iter().any(|beginning| key.starts_with(beginning.as_str()))
    }

    /// What the keys begin with that are not of the site, wherever they lie.
    pub fn reserved(&self) -> Vec<String> {
        let own = [self.manifests.as_str()].into_iter().chain(self.archive.beginning());
        let own = own.filter(|beginning| !beginning.is_empty()).map(str::to_owned);
        own.chain(self.left_out.iter().map(|name| self.runbook.at.key(name))).collect()
    }
}

/// The sites that may be touched, by where they are.
pub type Sites = Adopted<SiteAt, Site>;
