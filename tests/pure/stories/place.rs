//! One service of the town: its releases, its requests, its probes, and what a source reads of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rollbackd::{
    domain::{
        change::{Component, Revision, Told},
        configuration::{self, Configuration, Item, Kept, KeptItem, Kind, Seen},
        image::Image,
        inventory::{Available, Deployed, Inventory, Pods, Serving},
        owner::Owner,
        plan::{Action, Step},
        previous::Previous,
        run::Outcome,
        secret::SecretMove,
        signal::Unknown,
        warning::Warning,
        watch::Raw,
    },
    units::{Span, UnixMs},
};

use super::town::failed;

/// How a version behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Behaviour {
    /// Requests in 15 s.
    pub(super) requests: f64,
    /// The share of them that fails.
    pub(super) errors: f64,
    /// The share of them that takes a second.
    pub(super) slow: f64,
    /// Whether a probe is answered.
    pub(super) up: bool,
}

pub(super) const HEALTHY: Behaviour =
    Behaviour { requests: 100.0, errors: 0.0, slow: 0.0, up: true };

/// This share of requests fails.
pub(super) fn errors(share: f64) -> Behaviour {
    Behaviour { errors: share, ..HEALTHY }
}

/// Nothing works: every request fails, and so does every probe.
pub(super) const OUTAGE: Behaviour = Behaviour { errors: 1.0, up: false, ..HEALTHY };

/// Nobody comes.
pub(super) const IDLE: Behaviour = Behaviour { requests: 0.0, ..HEALTHY };

const BOUNDS: [f64; 7] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, f64::INFINITY];

pub(super) struct Place {
    pub(super) versions: BTreeMap<String, Behaviour>,
    /// Those that nothing holds any more.
    pub(super) gone: BTreeSet<String>,
    pub(super) linked: String,
    pub(super) running: Option<String>,
    switched_at: UnixMs,
    started: UnixMs,
    bad: f64,
    total: f64,
    slow: f64,
    /// Another version that serves too.
    beside: Option<Beside>,
    /// Whether the counters tell which version they are of.
    told_apart: bool,
    /// How old what a source of metrics tells is.
    pub(super) behind: Span,
    /// Why nothing can be read of any signal.
    pub(super) monitoring_down: Option<Unknown>,
    /// Since which poll, on the steady clock.
    pub(super) monitoring_down_since: Option<UnixMs>,
    /// How the next attempts end; well, when empty.
    pub(super) outcomes: VecDeque<Outcome>,
    /// What the program prints that fails.
    pub(super) prints: String,
    /// Whether what fails leaves all of it as it was, and sees that.
    pub(super) unmoved: bool,
    /// Why nobody can tell what is deployed.
    pub(super) faults: Vec<String>,
    /// What else sets it, where it is a Deployment.
    pub(super) owners: Option<Vec<Owner>>,
    /// What it says that the version before was.
    pub(super) previous: Option<Previous>,
    /// Its pods, where it is one.
    pub(super) pods: Option<Pods>,
    /// How many are wanted: three, unless it was stopped.
    pub(super) wanted: u32,
    /// How many a rollback has taken away, as it is written beside it.
    pub(super) stopped: Option<u32>,
    /// Who set it last.
    pub(super) set_by: Option<String>,
    /// What its pods are given: maps by name, each with what it holds.
    pub(super) maps: BTreeMap<String, String>,
    maps_written_at: Option<UnixMs>,
    /// What they were given when they started, and when that was.
    reads: BTreeMap<String, String>,
    /// What the service does with a map that holds this, whatever its version.
    pub(super) with: BTreeMap<String, Behaviour>,
    /// Everything they were ever given, as the daemon would keep it.
    kept_maps: Vec<Kept>,
    /// Why nobody can tell what they are given.
    pub(super) maps_unknown: Option<String>,
    /// Which of them is a Secret.
    pub(super) secret: Option<String>,
    /// Which of them is a secret of AWS, which holds the id of its current version.
    pub(super) aws: Option<String>,
    /// Versions of it that are not there any more.
    pub(super) deleted: BTreeSet<String>,
    /// Why it may not be set back.
    pub(super) bars: Option<String>,
    /// What registries say of the images of its versions.
    pub(super) images: BTreeMap<String, Vec<Image>>,
    /// What its cluster warns of.
    pub(super) warnings: Vec<Warning>,
    /// What was really done, in order.
    pub(super) done: Vec<String>,
}

/// A version that serves a share of the requests beside the one that was switched to.
struct Beside {
    version: String,
    share: f64,
    bad: f64,
    total: f64,
}

type Poll = (&'static str, Vec<Raw>, Option<String>);

impl Place {
    pub(super) fn new(wall: UnixMs) -> Self {
        Self {
            versions: [("v1".to_owned(), HEALTHY)].into(),
            gone: BTreeSet::new(),
            linked: "v1".into(),
            running: Some("v1".into()),
            switched_at: wall,
            started: wall,
            bad: 0.0,
            total: 0.0,
            slow: 0.0,
            beside: None,
            told_apart: false,
            behind: Span::ZERO,
            monitoring_down: None,
            monitoring_down_since: None,
            outcomes: VecDeque::new(),
            prints: String::new(),
            unmoved: false,
            faults: vec![],
            owners: None,
            previous: None,
            pods: Some(Pods { there: 3, ready: 3, ..Pods::default() }),
            set_by: None,
            wanted: 3,
            stopped: None,
            maps: BTreeMap::new(),
            maps_written_at: None,
            reads: BTreeMap::new(),
            with: BTreeMap::new(),
            kept_maps: vec![],
            maps_unknown: None,
            secret: None,
            aws: None,
            deleted: BTreeSet::new(),
            bars: None,
            images: BTreeMap::new(),
            warnings: vec![],
            done: vec![],
        }
    }

    pub(super) fn switch(&mut self, version: &str, at: UnixMs) {
        self.linked = version.to_owned();
        self.switched_at = at;
    }

    /// What is linked serves, with counters from zero.
    pub(super) fn restart(&mut self, at: UnixMs) {
        self.running = Some(self.linked.clone());
        self.started = at;
        self.reads.clone_from(&self.maps);
        if self.beside.as_ref().is_some_and(|beside| beside.version == self.linked) {
            self.rolled_out();
        }
        (self.bad, self.total, self.slow) = (0.0, 0.0, 0.0);
    }

    /// The version that serves now goes on with a share of the requests, whatever is switched to.
    pub(super) fn keeps_serving(&mut self, share: f64) {
        let version = self.linked.clone();
        self.told_apart = true;
        self.beside = Some(Beside { version, share, bad: 0.0, total: 0.0 });
    }

    /// Only what was switched to serves from now on.
    pub(super) fn rolled_out(&mut self) {
        self.beside = None;
    }

    /// A map holds something else from now on: pods that run know nothing of it.
    pub(super) fn edit(&mut self, name: &str, holds: &str, at: UnixMs) {
        if self.aws.is_none() {
            self.owners.get_or_insert_default();
        }
        self.maps.insert(name.to_owned(), holds.to_owned());
        self.maps_written_at = Some(at);
        if let Some(Seen::Known(now)) = self.configuration() {
            let items = now.items.iter().map(Item::kept).collect();
            self.kept_maps.push(Kept { revision: now.revision, items });
        }
    }

    fn configuration(&self) -> Option<Seen> {
        if let Some(why) = &self.maps_unknown {
            return Some(Seen::Unknown(why.clone()));
        }
        let item = |(name, holds): (&String, &String)| Item {
            kind: match name {
                name if self.secret.as_ref() == Some(name) => Kind::Secret,
                name if self.aws.as_ref() == Some(name) => Kind::AwsSecret,
                _ => Kind::ConfigMap,
            },
            name: name.clone(),
            uid: Some(format!("u-{name}")),
            digest: Some(match self.aws.as_ref() == Some(name) {
                true => holds.clone(),
                false => format!("sha256:{holds}"),
            }),
            immutable: false,
            bars: self.bars.clone().filter(|_| self.aws.as_ref() == Some(name)),
            owners: vec![],
        };
        let items: Vec<Item> = self.maps.iter().map(item).collect();
        if items.is_empty() {
            return None;
        }
        let parts = items.iter().map(|it| (it.kind, it.name.as_str(), it.digest.as_deref()));
        Some(Seen::Known(Box::new(Configuration {
            revision: configuration::revision(parts),
            written_at: self.maps_written_at,
            written: None,
            read_at: Some(self.started).filter(|at| Some(*at) >= self.maps_written_at),
            items,
            kept: self.kept(),
            beside: vec![],
        })))
    }

    fn kept(&self) -> Vec<Kept> {
        let is_gone =
            |item: &KeptItem| item.digest.as_ref().is_some_and(|id| self.deleted.contains(id));
        let item = |item: KeptItem| KeptItem { gone: is_gone(&item), ..item };
        let kept = |kept: Kept| Kept { items: kept.items.into_iter().map(item).collect(), ..kept };
        self.kept_maps.iter().cloned().map(kept).collect()
    }

    fn behaviour(&self) -> Behaviour {
        if let Some(with) = self.reads.values().find_map(|holds| self.with.get(holds)) {
            return *with;
        }
        let running = self.running.as_ref().and_then(|version| self.versions.get(version));
        running.copied().unwrap_or(OUTAGE)
    }

    /// Fifteen seconds of requests, and what every source reads of them.
    pub(super) fn poll(&mut self, at: UnixMs) -> Vec<Poll> {
        let mut now = self.behaviour();
        let mut others = vec![];
        if let Some(beside) = &mut self.beside {
            let behaviour = self.versions[&beside.version];
            let requests = behaviour.requests * beside.share;
            now.requests *= 1.0 - beside.share;
            beside.total += requests;
            beside.bad += requests * behaviour.errors;
            others.push(Raw::Counter {
                series: "pod-0".into(),
                revision: beside.version.clone(),
                at,
                bad: Some(beside.bad.floor()),
                total: Some(beside.total.floor()),
                started: None,
            });
        }
        self.total += now.requests;
        self.bad += now.requests * now.errors;
        self.slow += now.requests * now.slow;
        if let Some(why) = self.monitoring_down {
            let nothing =
                || (vec![Raw::Unknown { at, why }], Some("connection refused".to_owned()));
            return ["errors", "health", "latency"]
                .map(|signal| {
                    let (raw, fault) = nothing();
                    (signal, raw, fault)
                })
                .into();
        }
        let (series, started) = ("pod-1".to_owned(), Some(self.started));
        let probed_at = at;
        let at = at - self.behind;
        let counter = Raw::Counter {
            series: series.clone(),
            revision: self.running.clone().filter(|_| self.told_apart).unwrap_or_default(),
            at,
            bad: Some(self.bad.floor()),
            total: Some(self.total.floor()),
            started,
        };
        let fast = self.total - self.slow;
        let count = |bound: f64| match bound {
            bound if bound < 0.1 => (fast * 0.5).floor(),
            bound if bound < 1.0 => fast.floor(),
            _ => self.total.floor(),
        };
        let buckets = BOUNDS.map(|bound| (bound, count(bound))).into();
        let histogram = Raw::Histogram { series, at, buckets, started };
        let at = probed_at;
        let probe = if now.up { Raw::Up { at } } else { Raw::Down { at, answered: false } };
        others.push(counter);
        vec![
            ("errors", others, None),
            ("health", vec![probe], None),
            ("latency", vec![histogram], None),
        ]
    }

    pub(super) fn inventory(&self) -> Inventory {
        let available = |version: &String| Available {
            images: self.images.get(version).cloned().unwrap_or_default(),
            ..Available::named(version, None)
        };
        Inventory {
            component: Component::Application,
            linked: self.faults.is_empty().then(|| Revision::named(&self.linked)),
            running: match &self.running {
                Some(version) => Serving::Version(version.clone()),
                None => Serving::NotRunning("the unit is not active".into()),
            },
            switched_at: Some(self.switched_at),
            available: self
                .versions
                .keys()
                .rev()
                .filter(|version| !self.gone.contains(*version))
                .map(available)
                .collect(),
            faults: self.faults.clone(),
            told: self.set_by.clone().map(|by| Told { by: Some(by), ..Told::default() }),
            read: self.configuration().filter(|_| self.owners.is_none()),
            deployed: self.owners.clone().map(|owners| {
                Box::new(Deployed {
                    uid: "u-1".into(),
                    ran: vec![],
                    warnings: self.warnings.clone(),
                    previous: self.previous.clone(),
                    wanted: self.wanted,
                    stopped: self.stopped.filter(|_| self.wanted == 0),
                    paused: false,
                    owners,
                    configuration: self.configuration(),
                    pods: self.pods,
                })
            }),
        }
    }

    fn does(&mut self, what: String) -> Outcome {
        self.done.push(what);
        Outcome::Done
    }

    fn moves(&mut self, what: &SecretMove, at: UnixMs) -> Outcome {
        let name = self.aws.clone().expect("nobody moves what nobody reads");
        match self.maps.get(&name) {
            Some(now) if *now == what.to => return Outcome::AlreadyDone,
            now => assert_eq!(now, Some(&what.from), "somebody moved it in between"),
        }
        self.edit(&name, &what.to, at);
        self.does(format!("move {name} to {}", what.to))
    }

    /// Does what a step says, unless the story wants it to end otherwise.
    pub(super) fn carry_out(&mut self, step: &Step, at: UnixMs) -> Outcome {
        if let Some(outcome) = self.outcomes.pop_front() {
            return outcome;
        }
        match &step.action {
            Action::ReleaseSwitch { to, .. } if self.linked == *to => Outcome::AlreadyDone,
            Action::ReleaseRestart { to, anew: false, .. } if self.running.as_ref() == Some(to) => {
                Outcome::AlreadyDone
            }
            Action::ReleaseSwitch { to, .. } => {
                self.switch(to, at);
                self.does(format!("switch to {to}"))
            }
            Action::ReleaseRestart { to, .. } => {
                self.restart(at);
                self.does(format!("restart on {to}"))
            }
            Action::MaintenanceOn { mode, .. } => self.does(format!("maintenance on: {mode}")),
            Action::MaintenanceOff { mode } => self.does(format!("maintenance off: {mode}")),
            Action::OwnerSuspend { reconciler, .. } => self.does(format!("suspend {reconciler}")),
            Action::ConfigMapRestore { what, .. } => {
                let holds = what.to.trim_start_matches("sha256:").to_owned();
                if self.maps.get(&what.name) == Some(&holds) {
                    return Outcome::AlreadyDone;
                }
                self.edit(&what.name, &holds, at);
                self.does(format!("restore {} to {holds}", what.name))
            }
            Action::SecretMove { what } => self.moves(what, at),
            Action::DeploymentRestart { version, .. } => {
                self.restart(at);
                self.does(format!("restart at {version}"))
            }
            Action::MigrationsUndo { to, .. } => self.does(format!("migrate back to {to}")),
            Action::ReverseScript { script, .. } => self.does(format!("run {}", script.file)),
            Action::SnapshotRestore { restored, .. } => self.does(format!("restore {restored}")),
            Action::DatabaseSwitch { replaced, .. } => self.does(format!("keep {replaced}")),
            Action::RdsReady { .. } => Outcome::Done,
            Action::RdsRestore { .. } | Action::RdsVerify { .. } => self.rds(&step.action),
            Action::RdsSwitch { what, .. } => self.does(format!("lead away from {}", what.old)),
            Action::DeploymentStop { pods, .. } => self.scale(0, Some(*pods)),
            Action::DeploymentStart { pods, .. } => self.scale(*pods, None),
            Action::WritesStop { run, .. } | Action::WritesStart { run } => {
                self.does(run.in_words())
            }
            Action::DeploymentImage { to, image, .. } => {
                self.switch(&to.version, at);
                self.does(format!("set {image}"))
            }
            Action::DeploymentUndo { to, .. } => {
                self.switch(&to.version, at);
                self.does(format!("undo to {to}"))
            }
            Action::DeploymentRollout { to, .. } if to.version == self.linked => {
                self.restart(at);
                self.does(format!("rollout of {to}"))
            }
            Action::DeploymentRollout { .. } => failed(&format!("it is at {}", self.linked), false),
            Action::FrontendCopy { .. }
            | Action::FrontendInvalidate { .. }
            | Action::FrontendVerify { .. } => self.site(&step.action, at),
            Action::DeploymentApply { .. } | Action::CheckJob { .. } => {
                panic!("nothing is kept here: {:?}", step.action)
            }
            Action::Command { run, .. } | Action::Check { run } => self.does(run.argv.join(" ")),
        }
    }

    /// To so many pods, while so many are written down beside it.
    fn scale(&mut self, wanted: u32, stopped: Option<u32>) -> Outcome {
        (self.wanted, self.stopped) = (wanted, stopped);
        match stopped {
            Some(pods) => self.does(format!("stop {pods} pods")),
            None => self.does(format!("start {wanted} pods")),
        }
    }

    /// The first snapshot is one that can be restored.
    fn rds(&mut self, action: &Action) -> Outcome {
        if let Action::RdsRestore { what } = action {
            return self.does(format!("make {}", what.candidates[0].restored));
        }
        let Action::RdsVerify { restored, .. } = action else { panic!("{action:?}") };
        self.does(format!("verify {}", restored.names[0]))
    }

    /// What is copied is linked; edges serve what they had until they are told to forget.
    fn site(&mut self, action: &Action, at: UnixMs) -> Outcome {
        if let Action::FrontendCopy { to, .. } = action {
            if self.linked == to.version {
                return Outcome::AlreadyDone;
            }
            self.switch(&to.version, at);
            return self.does(format!("copy {to}"));
        }
        if let Action::FrontendInvalidate { distribution, .. } = action {
            self.restart(at);
            return self.does(format!("invalidate {distribution}"));
        }
        let serves = self.running.clone().unwrap_or_default();
        if let Action::FrontendVerify { to, .. } = action
            && serves == to.version
        {
            return self.does(format!("see {to}"));
        }
        Outcome::Failed { why: format!("it serves {serves}"), retry: true }
    }
}
