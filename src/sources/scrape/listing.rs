//! Targets that the configuration does not name: those that a file lists, looked at anew at each poll.
//!
//! A list is believed whole or not at all: half of a fleet, taken for all of it, would look well. While it cannot be
//! read, what was known stays known, and that is told.

mod entry;
mod file;

use std::{collections::BTreeMap, path::PathBuf};

use reqwest::Url;

pub use entry::url_of;

use self::file::Stamp;
use super::{Options, Revision, Target};
use crate::sources::{
    exposition::Limits,
    http,
    reading::{Fault, Freshness},
};

/// Where a list of targets comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file in the format of Prometheus's `file_sd`, as JSON.
    File(PathBuf),
}

/// Which targets, how many at most, and how each is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct ListOptions {
    /// Where the list comes from.
    pub origin: Origin,
    /// `http` or `https`, where the list does not say.
    pub scheme: String,
    /// The path of the metrics, where the list does not say.
    pub path: String,
    /// More targets than this are too many, and none of them is read.
    pub targets_max: usize,
    /// How to reach each of them.
    pub http: http::Options,
    /// What a body may cost.
    pub limits: Limits,
    /// Timestamps that a target itself gives, if it does.
    pub freshness: Freshness,
    /// Where a target says which version runs.
    pub revision: Option<Revision>,
}

impl ListOptions {
    /// A target's own options; its series is named by where it is.
    fn target(&self, series: &str, url: Url) -> Options {
        Options {
            url,
            series: series.to_owned(),
            http: self.http.clone(),
            limits: self.limits.clone(),
            freshness: self.freshness,
            revision: self.revision.clone(),
        }
    }
}

/// What a list says now.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// The targets to ask, by name.
    pub targets: Vec<Target>,
    /// What is wrong with the list itself.
    pub faults: Vec<Fault>,
    /// There are targets that are not asked.
    pub partial: bool,
}

/// A list of targets that is followed.
#[derive(Clone, Debug)]
pub struct Listing {
    options: ListOptions,
    client: http::Client,
    /// By their series: one that stays is the same series, whoever comes and goes beside it.
    known: BTreeMap<String, Target>,
    /// How many are listed, if that is too many.
    too_many: Option<usize>,
    stamp: Option<Stamp>,
}

impl Listing {
    /// A list that was not looked at yet.
    pub fn new(mut options: ListOptions) -> Result<Self, http::CannotBuild> {
        options.http.body_bytes = options.limits.body_bytes;
        let client = http::Client::new(options.http.clone())?;
        Ok(Self { options, client, known: BTreeMap::new(), too_many: None, stamp: None })
    }

    /// What tells it from other lists.
    pub fn name(&self) -> String {
        let ListOptions { origin, scheme, path, .. } = &self.options;
        format!("{origin:?} {scheme} {path}")
    }

    /// Looks at the list, and says who is on it.
    pub async fn now(&mut self) -> Listed {
        let mut faults = vec![];
        match self.look().await {
            Ok(Some(found)) => self.take(found),
            Ok(None) => {}
            Err(why) => faults.push(Fault::Unlisted(why)),
        }
        if let Some(listed) = self.too_many {
            let limit = self.options.targets_max;
            faults.push(Fault::Over(format!(
                "{listed} targets are listed, and {limit} are allowed (targets_max)"
            )));
            return Listed { faults, partial: true, ..Listed::default() };
        }
        if self.known.is_empty() {
            faults.push(Fault::NoTargets);
        }
        Listed { targets: self.known.values().cloned().collect(), faults, partial: false }
    }

    /// The list; `None` where it is the one from before.
    async fn look(&mut self) -> Result<Option<BTreeMap<String, Url>>, String> {
        let Origin::File(path) = &self.options.origin;
        let (path, before) = (path.clone(), self.stamp.take());
        let (scheme, below) = (self.options.scheme.clone(), self.options.path.clone());
        let read = move || file::read(&path, before, &scheme, &below);
        // The stamp is gone where this fails: what could not be read is read again.
        let read = tokio::task::spawn_blocking(read).await.map_err(|ended| ended.to_string())??;
        self.stamp = Some(read.stamp);
        Ok(read.targets)
    }

    fn take(&mut self, found: BTreeMap<String, Url>) {
        self.too_many = (found.len() > self.options.targets_max).then_some(found.len());
        if self.too_many.is_some() {
            return;
        }
        let mut before = std::mem::take(&mut self.known);
        for (series, url) in found {
            let target = before.remove(&series).unwrap_or_else(|| {
                Target::over(self.client.clone(), self.options.target(&series, url))
            });
            self.known.insert(series, target);
        }
    }
}

#[cfg(test)]
mod tests;
