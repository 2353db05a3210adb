//! The configuration file: read field for field, checked as a whole, and turned into what the daemon runs on.
//!
//! Every fault is reported at once, each under a caret with what to write instead. Whatever leaves here is usable:
//! units are parsed, references are resolved, secrets are read.

mod check;
mod difference;
mod document;
mod doubtful;
mod init;
mod listed;
mod migrated;
mod nearest;
mod online;
mod preflight;
mod problem;
mod pullable;
mod raw;
mod reads;
mod schema;
mod settings;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fs, path::PathBuf};

pub(crate) use self::nearest::nearest;
pub use self::{
    difference::Difference,
    document::Discovered,
    doubtful::load_text_without_the_broken,
    init::{First, Refused, Wish, first},
    listed::check_lists,
    migrated::{Info, Kept, KeptByRds, Migrated, Reversed, Teller},
    online::{Finds, Histories, HistoryRead, Online, check_online},
    preflight::{Preflight, preflight},
    problem::{Level, Problem},
    reads::ReadSecret,
    schema::schema,
    settings::{Http, HttpLimits, Mapping, Scope, SnsTopics, Tls, Token},
};
use crate::{
    aws::Access,
    domain::{
        policy::{Policy, ServicePolicy},
        roster,
        runbook::{DeploymentRunbook, ReleaseRunbook},
        service::ServiceId,
    },
    executors,
    kubernetes::{access, previous},
    notifiers::{Channel, heartbeat::Heartbeat},
    sources::{
        cloudwatch, health, http, kubernetes, prometheus,
        reading::{Fold, TimeUnit},
        scrape,
    },
    store,
    units::Span,
};

/// Everything that the operator decided, ready to use. A reload builds another one and swaps its parts.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the domain decides by.
    pub policy: Policy,
    /// Where the daemon keeps everything.
    pub state_dir: PathBuf,
    /// Where reports are written.
    pub reports_dir: PathBuf,
    /// The journal and the outbox.
    pub store: store::Options,
    /// Queries that find services, whose answers were laid under the file.
    pub discoveries: Vec<Discovery>,
    /// What a service would be that a query finds, by the query's name in the file, while it has found none.
    pub each_found: BTreeMap<String, Each>,
    /// What is read, one entry for each signal of each service.
    pub polls: Vec<Poll>,
    /// The Prometheus servers, by their names in the file.
    pub servers: BTreeMap<String, prometheus::Options>,
    /// The clusters' namespaces that are watched, by the cluster's name in the file and the namespace; under no namespace, all.
    pub clusters: BTreeMap<(String, Option<String>), access::Options>,
    /// What is scraped directly. Polls that name the same target are answered from one body.
    pub targets: BTreeMap<String, scrape::Place>,
    /// Where each service can be rolled back.
    pub platforms: BTreeMap<ServiceId, Platform>,
    /// Whose database is looked at.
    pub databases: BTreeMap<ServiceId, Migrated>,
    /// Secrets of AWS that a service reads.
    pub secrets: BTreeMap<ServiceId, Vec<ReadSecret>>,
    /// How each account of AWS is reached, by its name in the file.
    pub accounts: BTreeMap<String, Access>,
    /// How people are reached; never empty.
    pub channels: Vec<Channel>,
    /// The sign of life to an outside monitor.
    pub heartbeat: Option<Heartbeat>,
    /// The daemon's own interface, unless it was turned off.
    pub http: Option<Http>,
    /// The Alertmanager to ask whether an alert is still active.
    pub alertmanager: Option<Alertmanager>,
    /// What the daemon does at once.
    pub limits: Limits,
}

impl Config {
    /// How the cluster is reached in which that Deployment is watched.
    pub fn cluster_of(&self, at: &DeploymentAt) -> Option<&access::Options> {
        let of = |namespace| self.clusters.get(&(at.cluster.clone(), namespace));
        of(Some(at.key.namespace.to_string())).or_else(|| of(None))
    }

    /// Signals that both read, and another one not in this way: a sentence each.
    pub fn read_otherwise<'c>(&'c self, other: &'c Self) -> impl Iterator<Item = String> + 'c {
        let key = |poll: &'c Poll| (&poll.service, poll.signal.as_str());
        let ours: BTreeMap<_, &Poll> = self.polls.iter().map(|poll| (key(poll), poll)).collect();
        other.polls.iter().filter_map(move |poll| {
            let our = ours.get(&key(poll))?;
            (our.read != poll.read || our.unit != poll.unit).then(|| {
                format!(
                    "{}: `{}` is read in another way by the other configuration, and both are judged by what this one reads",
                    poll.service, poll.signal
                )
            })
        })
    }
}

/// Services that are found, and not written in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// Its name in the file.
    pub name: String,
    /// The template that its services follow.
    pub template: String,
    /// Who is asked, and what.
    pub finding: Finding,
    /// How often it is asked.
    pub every: Span,
    /// Which answers are believed.
    pub options: roster::Options,
}

/// Who says which services there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A query: one row for each.
    Query {
        /// Key of [`Config::servers`].
        server: String,
        /// In PromQL.
        query: String,
        /// The label whose values are the services' names.
        label: String,
    },
    /// The Deployments of a cluster that say `true` in an annotation, each as `NAMESPACE.NAME`.
    Annotation {
        /// Which cluster, and which namespace of it; all of them where none is said.
        options: Box<access::Options>,
        /// The annotation.
        annotation: String,
    },
}

/// A service that nobody wrote or found yet: its name stands for any.
#[derive(Clone, Debug, PartialEq)]
pub struct Each {
    /// What would be decided by.
    pub policy: ServicePolicy,
    /// What would be read.
    pub polls: Vec<Poll>,
    /// Where it could be rolled back.
    pub platform: Option<Platform>,
}

impl Discovery {
    /// What is asked, whole: another question has other answers.
    pub fn question(&self) -> String {
        match &self.finding {
            Finding::Query { server, query, label } => {
                [server, query, label, &self.template].map(String::as_str).join("\n")
            }
            Finding::Annotation { options, annotation } => {
                [&options.place(), annotation, &self.template].map(String::as_str).join("\n")
            }
        }
    }
}

/// One signal of one service, and how it is read.
#[derive(Clone, Debug, PartialEq)]
pub struct Poll {
    /// Whose.
    pub service: ServiceId,
    /// Its name in the policy.
    pub signal: String,
    /// How often it is read.
    pub every: Span,
    /// How often while a change or an incident is watched; at most as long.
    pub every_watched: Span,
    /// What the source measures response times in.
    pub unit: TimeUnit,
    /// From where.
    pub read: Read,
}

/// Where a signal is read from.
#[derive(Clone, Debug, PartialEq)]
pub enum Read {
    /// From the service's own metrics.
    Scrape {
        /// Keys of [`Config::targets`]; their readings are series of one signal.
        targets: Vec<String>,
        /// What is wanted of each body.
        spec: scrape::Spec,
    },
    /// From a Prometheus server.
    Prometheus {
        /// Key of [`Config::servers`].
        server: String,
        /// What is asked.
        ask: Ask,
        /// Which rows are this service's; all of them when absent. Equal questions of several services can be asked once.
        rows: Option<Rows>,
    },
    /// By a probe.
    Health(Box<health::Options>),
    /// From a cluster: how a Deployment stands.
    Kubernetes(DeploymentAt),
    /// From a cluster, asked about a Deployment's pods.
    Asked(DeploymentAt, kubernetes::Question),
    /// From CloudWatch: how an account is asked, and what for this signal.
    CloudWatch(Box<cloudwatch::Options>, Box<cloudwatch::Spec>),
}

/// A Deployment of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentAt {
    /// Its name in the file.
    pub cluster: String,
    /// Where it is in the cluster.
    pub key: kubernetes::Key,
}

/// Queries in PromQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Raw counters of bad requests and of all.
    Ratio {
        /// What is bad.
        bad: String,
        /// What it is a part of.
        total: String,
        /// The label that tells the version that a row is about.
        version_label: Option<String>,
    },
    /// The cumulative buckets of a histogram, with their `le`.
    Histogram {
        /// The buckets.
        buckets: String,
    },
    /// A value as it is.
    Gauge {
        /// The value.
        value: String,
        /// How many requests it stands on.
        requests: Option<String>,
        /// How several rows become one.
        fold: Fold,
    },
}

impl Ask {
    /// The queries, each with its key in the file.
    pub fn queries(&self) -> Vec<(&'static str, &str)> {
        match self {
            Self::Ratio { bad, total, .. } => vec![("bad", bad), ("total", total)],
            Self::Histogram { buckets } => vec![("histogram", buckets)],
            Self::Gauge { value, requests, .. } => {
                let requests = requests.as_deref().map(|query| ("requests", query));
                std::iter::once(("value", value.as_str())).chain(requests).collect()
            }
        }
    }
}

/// Which rows of an answer belong to a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// The label that tells the service.
    pub label: String,
    /// Its value for this service.
    pub value: String,
}

/// Where a service can be rolled back, and how often that is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Platform {
    /// A machine with releases.
    Release(ReleasePlatform),
    /// A Deployment.
    Kubernetes(KubernetesPlatform),
    /// A site of static files.
    Frontend(Box<FrontendPlatform>),
}

impl Platform {
    /// Where it is: no two services are rolled back in one place.
    pub fn place(&self) -> String {
        match self {
            Self::Release(platform) => platform.runbook.root.clone(),
            Self::Kubernetes(platform) => platform.runbook.place(),
            Self::Frontend(platform) => platform.site.runbook.at.to_string(),
        }
    }

    fn of_its_own(&self) -> &'static str {
        match self {
            Self::Release(_) => "a directory of its own",
            Self::Kubernetes(_) => "a Deployment of its own",
            Self::Frontend(_) => "a bucket or a prefix of its own",
        }
    }
}

/// A Deployment of a Kubernetes cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesPlatform {
    /// Which.
    pub at: DeploymentAt,
    /// How it is rolled back.
    pub runbook: DeploymentRunbook,
    /// The container whose image is the version; the first one unless told.
    pub container: Option<String>,
    /// ConfigMaps and Secrets that its template refers to and that are no part of its configuration.
    pub left_out: Vec<String>,
    /// How it is read what the version before was; nobody does where that is not wanted.
    pub previous: Option<previous::Options>,
    /// How often it is looked at without news of it.
    pub look_every: Span,
    /// What maintenance mode makes there, with its hash.
    pub manifest: Option<Manifest>,
}

/// Objects as a file describes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Of all of them.
    pub hash: String,
    /// In the order of the file.
    pub objects: std::sync::Arc<[serde_json::Value]>,
}

/// A site of static files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontendPlatform {
    /// The site, and how it is rolled back.
    pub site: executors::frontend::Site,
    /// How often it is looked at.
    pub look_every: Span,
    /// How often while a change, an incident or a run is watched.
    pub look_every_watched: Span,
}

/// A machine with `releases/VERSION/` and a `current` symlink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleasePlatform {
    /// The platform.
    pub runbook: ReleaseRunbook,
    /// How often the platform is looked at.
    pub look_every: Span,
    /// How often while a change, an incident or a run is watched.
    pub look_every_watched: Span,
}

/// The Alertmanager to ask.
#[derive(Clone, Debug, PartialEq)]
pub struct Alertmanager {
    /// Its address, with the path it lives under if any.
    pub url: reqwest::Url,
    /// How to reach it.
    pub http: http::Options,
    /// How often it is asked while an incident stands on one of its alerts.
    pub ask_every: Span,
}

/// What the daemon does at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Polls under way.
    pub polls_at_once: usize,
    /// Deliveries under way.
    pub deliveries_at_once: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { polls_at_once: 64, deliveries_at_once: 16 }
    }
}

/// A configuration that can be used, and what is odd about it.
pub type Loaded = Result<(Config, Vec<Problem>), Vec<Problem>>;

/// Reads and checks a file of which nothing was found yet.
pub fn load(path: &std::path::Path) -> Loaded {
    load_with(path, &Discovered::new())
}

/// Reads and checks a file, with the services that its queries found.
pub fn load_with(path: &std::path::Path, discovered: &Discovered) -> Loaded {
    let name = path.display().to_string();
    match fs::read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => load_text_with(&name, &text, discovered),
            Err(fault) => {
                let at = fault.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(fault.as_bytes());
                let what = "this is not UTF-8 text";
                Err(vec![Problem::error(&name, &text, at..at, what, "save the file as UTF-8")])
            }
        },
        Err(fault) => {
            let what = format!("cannot be read: {fault}");
            Err(vec![Problem::of_file(&name, what, "name a file that the daemon may read")])
        }
    }
}

/// Checks the text of a file; `name` is what problems call it.
pub fn load_text(name: &str, text: &str) -> Loaded {
    load_text_with(name, text, &Discovered::new())
}

/// As [`load_text`], with the services that its queries found.
pub fn load_text_with(name: &str, text: &str, discovered: &Discovered) -> Loaded {
    let (raw, shape) = document::read(name, text, discovered);
    check::check(name, text, raw, shape).0
}
