//! Targets that the configuration does not name: those that a file lists, and the addresses of a
//! name. They are looked at anew at each poll.
//!
//! A list is believed whole or not at all: half of a fleet, taken for all of it, would look well. While it cannot be
//! read, what was known stays known, and that is told.

mod entry;
mod file;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::{Path, PathBuf},
};

use reqwest::Url;
use tokio::time::Instant;

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
    /// Every address of a name: `shop.internal:8080`.
    Dns(String),
    /// Every host and port of a name's SRV records: `_metrics._tcp.shop.internal`.
    Srv(String),
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
    /// How many targets its file lists now, and which file that is; nothing where it is no file that says so.
    pub fn look_now(&self) -> Option<(&Path, Result<usize, String>)> {
        let Origin::File(path) = &self.origin else { return None };
        let seen = file::read(path, None, &self.scheme, &self.path);
        Some((path, seen.map(|seen| seen.targets.map_or(0, |targets| targets.len()))))
    }

    /// What all of its targets have in common, without one of them.
    pub fn like_all(&self) -> Options {
        let nowhere = Url::parse("http://listed.invalid/").expect("it is a URL");
        self.target("", nowhere)
    }

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

/// Where a target is: its metrics, and the address if it is one of several of a name.
#[derive(Debug)]
struct Found {
    url: Url,
    address: Option<IpAddr>,
}

/// By their series.
type All = BTreeMap<String, Found>;

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
    /// When the name was resolved last.
    resolved: Option<Instant>,
}

impl Listing {
    /// A list that was not looked at yet. Its targets are asked through one of these clients.
    pub fn new(
        mut options: ListOptions,
        clients: &mut http::Clients,
    ) -> Result<Self, http::CannotBuild> {
        options.http.body_bytes = options.limits.body_bytes;
        options.http.takes_turns = true;
        let client = clients.of(&options.http)?;
        Ok(Self {
            options,
            client,
            known: BTreeMap::new(),
            too_many: None,
            stamp: None,
            resolved: None,
        })
    }

    /// What tells it from other lists.
    pub fn name(&self) -> String {
        let ListOptions { origin, scheme, path, .. } = &self.options;
        format!("{origin:?} {scheme} {path}")
    }

    /// Looks at the list, and says who is on it.
    pub async fn now(&mut self) -> Listed {
        let mut faults = vec![];
        let looked = self.look().await;
        if let Err(why) = self.take(looked, Instant::now()) {
            faults.push(Fault::Unlisted(why));
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
    async fn look(&mut self) -> Result<Option<All>, String> {
        let (scheme, below) = (self.options.scheme.clone(), self.options.path.clone());
        match &self.options.origin {
            Origin::Dns(name) => {
                let url = url_of(&scheme, name, &below)?;
                let host = url.host_str().unwrap_or_default();
                let found = http::addresses(host, self.client.options()).await;
                let found = found.map_err(|fault| format!("`{host}` is not resolved: {fault}"))?;
                Ok(Some(found.into_iter().map(|address| at(&url, address)).collect()))
            }
            Origin::Srv(name) => {
                let found = http::services(name, self.client.options()).await;
                let found = found.map_err(|fault| format!("`{name}` is not resolved: {fault}"))?;
                Ok(Some(at_services(&scheme, &found, &below)?))
            }
            Origin::File(path) => {
                let (path, before) = (path.clone(), self.stamp.take());
                let read = move || file::read(&path, before, &scheme, &below);
                // The stamp is gone where this fails: what could not be read is read again.
                let read = tokio::task::spawn_blocking(read).await;
                let read = read.map_err(|ended| ended.to_string())??;
                self.stamp = Some(read.stamp);
                let found = |(series, url)| (series, Found { url, address: None });
                Ok(read.targets.map(|all| all.into_iter().map(found).collect()))
            }
        }
    }

    fn take(&mut self, looked: Result<Option<All>, String>, now: Instant) -> Result<(), String> {
        match looked {
            Ok(found) => {
                self.resolved = Some(now);
                found.map_or(Ok(()), |found| self.know(found))
            }
            Err(why) => {
                // Addresses are given to others: they are not kept for as long as a file.
                let lag = self.options.freshness.lag.duration();
                let old = self.resolved.is_none_or(|at| now.duration_since(at) > lag);
                if old && !matches!(self.options.origin, Origin::File(_)) {
                    self.known.clear();
                    self.too_many = None;
                }
                Err(why)
            }
        }
    }

    fn know(&mut self, found: All) -> Result<(), String> {
        self.too_many = (found.len() > self.options.targets_max).then_some(found.len());
        if self.too_many.is_some() {
            return Ok(());
        }
        let mut known = BTreeMap::new();
        for (series, found) in found {
            let target = match self.known.get(&series) {
                Some(target) => target.clone(),
                None => self.target(&series, found).map_err(|fault| fault.to_string())?,
            };
            known.insert(series, target);
        }
        self.known = known;
        Ok(())
    }

    /// One of several addresses is asked for the name. Where there is TLS the name is what its certificate is for, and
    /// a client of its own connects to the address.
    fn target(&self, series: &str, found: Found) -> Result<Target, http::CannotBuild> {
        let Found { url, address } = found;
        let mut options = self.options.target(series, url);
        let Some(address) = address else {
            return Ok(Target::over(self.client.clone(), options));
        };
        if options.url.scheme() == "https" {
            options.http.pinned = Some(address);
            return Ok(Target::over(http::Client::new(options.http.clone())?, options));
        }
        let host = options.url.host_str().unwrap_or_default();
        let host = options.url.port().map_or(host.to_owned(), |port| format!("{host}:{port}"));
        options.url = of_address(&options.url, address);
        Ok(Target { host: Some(host), ..Target::over(self.client.clone(), options) })
    }
}

/// An address of a name is a series of its own, called by the address.
fn at(url: &Url, address: IpAddr) -> (String, Found) {
    let found = Found { url: url.clone(), address: Some(address) };
    (entry::series(&of_address(url, address)), found)
}

/// A host that an SRV record names is asked by that name.
fn at_services(scheme: &str, found: &BTreeSet<(String, u16)>, below: &str) -> Result<All, String> {
    let target = |(host, port): &(String, u16)| {
        let url = url_of(scheme, &format!("{host}:{port}"), below)?;
        Ok((entry::series(&url), Found { url, address: None }))
    };
    found.iter().map(target).collect()
}

fn of_address(url: &Url, address: IpAddr) -> Url {
    let mut url = url.clone();
    // Only refused for URLs that have no host.
    let _ = url.set_ip_host(address);
    url
}

#[cfg(test)]
mod tests;
