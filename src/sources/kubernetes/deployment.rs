//! What a Deployment is set to, what serves of it, and how well: from what is known of its cluster.

use std::collections::BTreeMap;

use super::asked::About;
use super::{
    cluster::{Cluster, DeploymentKept, PodKept, ReplicaSetKept},
    objects::Key,
};
use crate::{
    domain::{
        change::{Component, Revision, Told},
        image::Ran,
        inventory::{Available, Deployed, HeldIn, Inventory, Pods, Serving},
    },
    kubernetes::{
        content,
        trouble::{self, Trouble},
    },
    units::UnixMs,
};

/// With fewer of the wanted pods ready than this share, a service is not well, whatever the reason.
const READY_SHARE: f64 = 0.5;
/// More revisions than this are not shown.
const AVAILABLE_MAX: usize = 50;

/// Pods say much the same of one version.
const WARNED_PODS_MAX: usize = 5;

/// How a Deployment stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It serves, and nothing says that it will not.
    Well,
    /// It serves, and something is wrong.
    Unwell(String),
    /// Nothing of it serves.
    Gone(String),
    /// Nobody can tell.
    Unknown(String),
}

/// What was seen of a Deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// What is deployed, and what serves.
    pub inventory: Inventory,
    /// How well.
    pub standing: Standing,
}

impl Seen {
    /// Nobody can tell, and why.
    pub fn unknown(why: &str) -> Self {
        Self {
            inventory: Inventory {
                component: Component::Application,
                linked: None,
                running: Serving::Unknown(why.to_owned()),
                switched_at: None,
                available: vec![],
                faults: vec![why.to_owned()],
                told: None,
                deployed: None,
                read: None,
            },
            standing: Standing::Unknown(why.to_owned()),
        }
    }
}

/// One ReplicaSet with its pods.
struct Set<'c> {
    name: &'c str,
    kept: &'c ReplicaSetKept,
    pods: Vec<&'c PodKept>,
}

impl Set<'_> {
    fn ready(&self) -> usize {
        self.pods.iter().filter(|pod| pod.is_ready).count()
    }
}

impl Cluster {
    /// What is to be seen of a Deployment. `container` names the one whose image is the version; the first otherwise.
    pub fn see(&self, key: &Key, container: Option<&str>, now: UnixMs) -> Seen {
        let Some(deployment) = self.find(key) else {
            return Seen::unknown(&format!("there is no Deployment {key}"));
        };
        let sets = self.sets(deployment);
        let current = current(&sets, deployment);
        let linked = deployment.template.revision(container);
        let wanted = deployment.wanted as usize;
        let ready: usize = sets.iter().map(Set::ready).sum();
        let troubles = current.map(|set| troubles(set, now)).unwrap_or_default();
        let mut faults = deployment.stuck.clone();
        faults.extend(troubles.iter().map(|trouble| format!("{linked}: {trouble}")));
        if deployment.paused {
            faults.push("its rollout is paused".to_owned());
        }
        if !deployment.is_observed {
            faults.push("its controller has not seen its newest state".to_owned());
        }
        let standing = standing(wanted, ready, &troubles, deployment);
        let running = running(&sets, current, &linked, container, wanted, &troubles);
        let inventory = Inventory {
            component: Component::Application,
            running,
            switched_at: switched_at(deployment, current),
            available: available(&sets, container),
            faults,
            told: Some(told(deployment, current)),
            read: None,
            deployed: Some(Box::new(Deployed {
                uid: deployment.uid.to_string(),
                wanted: deployment.wanted,
                stopped: deployment.stopped,
                paused: deployment.paused,
                owners: deployment.owners.to_vec(),
                configuration: None,
                pods: Some(pods_of(&sets, &linked, container)),
                ran: ran(&sets, deployment),
                warnings: vec![],
                previous: None,
            })),
            linked: Some(linked),
        };
        Seen { inventory, standing }
    }

    /// What may be warned of where a Deployment is not well: itself, its ReplicaSet, and pods of it that are not ready first.
    pub(super) fn warned_of(&self, key: &Key) -> Vec<About> {
        let found = self.find(key);
        let of = |kind, name: &str, uid| About { kind, name: name.to_owned(), uid };
        let mut about = vec![of("Deployment", &key.name, found.map(|it| it.uid))];
        let Some(deployment) = found else { return about };
        let sets = self.sets(deployment);
        if let Some(set) = current(&sets, deployment) {
            about.push(of("ReplicaSet", set.name, Some(set.kept.uid)));
            let mut pods: Vec<_> = self.pods_of(set.kept.uid).collect();
            pods.sort_by_key(|(_, pod)| (pod.is_ready, std::cmp::Reverse(pod.restarts)));
            let some = pods.into_iter().take(WARNED_PODS_MAX);
            // No two pods of it are ever called the same.
            about.extend(some.map(|(key, _)| of("Pod", &key.name, None)));
        }
        about
    }

    /// Newest first, by the controller's count.
    fn sets(&self, deployment: &DeploymentKept) -> Vec<Set<'_>> {
        let mut sets: Vec<Set<'_>> = self
            .replica_sets_of(deployment.uid)
            .into_iter()
            .map(|(key, kept)| Set {
                name: key.name.as_str(),
                kept,
                pods: self.pods_of(kept.uid).map(|(_, pod)| pod).collect(),
            })
            .collect();
        sets.sort_by_key(|set| std::cmp::Reverse((set.kept.number, set.kept.created_at)));
        sets
    }
}

/// The one that the controller takes for the Deployment's: of several equal ones, the oldest.
fn current<'s, 'c>(sets: &'s [Set<'c>], deployment: &DeploymentKept) -> Option<&'s Set<'c>> {
    let same = sets.iter().filter(|set| set.kept.template.is_exactly(&deployment.template));
    same.min_by_key(|set| set.kept.created_at)
}

/// What is wrong with enough of a revision's pods to be its own fault; each once.
fn troubles(set: &Set<'_>, now: UnixMs) -> Vec<Trouble> {
    let mut found: BTreeMap<String, (usize, &Trouble)> = BTreeMap::new();
    for trouble in set.pods.iter().filter_map(|pod| pod.trouble.as_deref()) {
        if trouble.holds(now) {
            found.entry(trouble.to_string()).or_insert((0, trouble)).0 += 1;
        }
    }
    let troubled: usize = found.values().map(|(pods, _)| pods).sum();
    if !trouble::is_of_version(troubled, set.pods.len()) {
        return vec![];
    }
    found.into_values().map(|(_, trouble)| trouble.clone()).collect()
}

fn standing(
    wanted: usize,
    ready: usize,
    troubles: &[Trouble],
    deployment: &DeploymentKept,
) -> Standing {
    let ready_of_wanted = format!("{ready} of {wanted} pods are ready");
    let reasons: Vec<String> =
        troubles.iter().map(Trouble::to_string).chain(deployment.stuck.clone()).collect();
    let because = reasons.join("; ");
    match (wanted, ready) {
        // Somebody wants it so: nothing is missing.
        (0, _) => Standing::Well,
        (_, 0) if reasons.is_empty() => Standing::Gone(ready_of_wanted),
        (_, 0) => Standing::Gone(format!("{ready_of_wanted}: {because}")),
        _ if !reasons.is_empty() => Standing::Unwell(format!("{ready_of_wanted}: {because}")),
        _ if (ready as f64) < READY_SHARE * wanted as f64 => Standing::Unwell(ready_of_wanted),
        _ => Standing::Well,
    }
}

/// The version of the pods that are ready. While those of several are, it is none of them.
fn running(
    sets: &[Set<'_>],
    current: Option<&Set<'_>>,
    linked: &Revision,
    container: Option<&str>,
    wanted: usize,
    troubles: &[Trouble],
) -> Serving {
    let mut versions: BTreeMap<String, usize> = BTreeMap::new();
    for set in sets.iter().filter(|set| set.ready() > 0) {
        let version = set.kept.template.revision(container).version;
        *versions.entry(version).or_default() += set.ready();
    }
    let mut each = versions.iter();
    match (each.next(), each.next()) {
        (Some((version, _)), None) => Serving::Version(version.clone()),
        (None, _) if wanted == 0 => Serving::NotRunning("it is scaled to 0 pods".to_owned()),
        (None, _) => {
            let pods = current.map_or(0, |set| set.pods.len());
            let why = troubles.first().map_or_else(
                || format!("none of {wanted} pods of {linked} is ready, {pods} are there"),
                |trouble| format!("none of {wanted} pods of {linked} is ready: {trouble}"),
            );
            Serving::NotRunning(why)
        }
        (Some(_), Some(_)) => {
            let parts: Vec<String> =
                versions.iter().map(|(version, pods)| format!("{pods} of {version}")).collect();
            Serving::Unknown(format!("pods of several versions are ready: {}", parts.join(", ")))
        }
    }
}

/// All pods of a version: a restart makes another ReplicaSet of the same.
fn pods_of(sets: &[Set<'_>], version: &Revision, container: Option<&str>) -> Pods {
    let of_it = sets.iter().filter(|set| set.kept.template.revision(container) == *version);
    of_it.flat_map(|set| &set.pods).fold(Pods::default(), |all, pod| Pods {
        there: all.there + 1,
        ready: all.ready + u32::from(pod.is_ready),
        restarts: all.restarts.saturating_add(pod.restarts),
        restarted_at: all.restarted_at.max(pod.restarted_at),
    })
}

/// What the ready pods of the set version run, by the names that its template has for it.
fn ran(sets: &[Set<'_>], deployment: &DeploymentKept) -> Vec<Ran> {
    let version = deployment.template.revision(None);
    let of_it = sets.iter().filter(|set| set.kept.template.revision(None) == version);
    let pods: Vec<&PodKept> = of_it.flat_map(|set| set.pods.iter().copied()).collect();
    let mut all: BTreeMap<&str, BTreeMap<[u8; 32], Option<UnixMs>>> = BTreeMap::new();
    for (container, image) in deployment.template.containers() {
        let known = all.entry(image).or_default();
        for pod in &pods {
            // What is started again may be pulled again.
            let since = pod.created_at.map(|at| pod.restarted_at.map_or(at, |again| again.max(at)));
            for (_, digest) in pod.ran.iter().filter(|(name, _)| name == container) {
                let first = known.entry(*digest).or_insert(since);
                *first = [*first, since].into_iter().flatten().min();
            }
        }
    }
    let named = |(name, digests): (&str, BTreeMap<[u8; 32], Option<UnixMs>>)| Ran {
        name: name.to_owned(),
        digests: digests.keys().map(content::in_words).collect(),
        since: digests
            .iter()
            .filter_map(|(digest, at)| Some((content::in_words(digest), (*at)?)))
            .collect(),
    };
    all.into_iter().filter(|(_, digests)| !digests.is_empty()).map(named).collect()
}

/// A ReplicaSet that is used for the first time is as old as the change; of one that is used again, whoever wrote the
/// template last wrote that. That it is used again is written beside it by a controller, which may not have seen it yet.
fn switched_at(deployment: &DeploymentKept, current: Option<&Set<'_>>) -> Option<UnixMs> {
    let written = deployment.written.as_ref().and_then(|written| written.at);
    match current {
        Some(set) if set.kept.is_reused || !deployment.is_observed => {
            written.max(set.kept.created_at)
        }
        Some(set) => set.kept.created_at,
        None => written,
    }
}

/// Each version once: a restart makes another ReplicaSet of the same, of which the newest is meant.
fn available(sets: &[Set<'_>], container: Option<&str>) -> Vec<Available> {
    let mut found: Vec<Available> = vec![];
    for set in sets {
        let revision = set.kept.template.revision(container);
        match found.iter_mut().find(|known| known.revision == revision) {
            Some(known) => known.modified_at = known.modified_at.min(set.kept.created_at),
            None => found.push(Available {
                revision,
                modified_at: set.kept.created_at,
                held_in: Some(HeldIn { replica_set: set.name.to_owned(), number: set.kept.number }),
                kept: false,
                images: vec![],
                differs: None,
            }),
        }
    }
    found.truncate(AVAILABLE_MAX);
    found
}

fn told(deployment: &DeploymentKept, current: Option<&Set<'_>>) -> Told {
    Told {
        by: deployment.written.as_ref().map(|written| written.by.to_string()),
        // Its controller may not have made the ReplicaSet yet.
        cause: current
            .map_or(&deployment.cause, |set| &set.kept.cause)
            .as_deref()
            .map(str::to_owned),
        called: current.map(|set| match deployment.is_observed {
            true => format!("revision {}, {}", set.kept.number, set.name),
            // It is numbered anew where it is used again.
            false => set.name.to_owned(),
        }),
        runs: deployment.template.images().map(str::to_owned).collect(),
    }
}
