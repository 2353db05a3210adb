//! What was deployed when, as series tell it that exist for each version: a deployment is where a new one first appears.

use std::collections::{BTreeMap, BTreeSet};

use super::{Changes, changes::named};
use crate::{
    domain::service::ServiceId,
    replay::tape::Deployment,
    sources::prometheus::Track,
    units::{Span, UnixMs},
};

/// What is there when the record begins was deployed before it; nobody knows when.
const LONG_BEFORE: Span = Span::hours(24);

/// The labels that tell the version and the service of a series.
#[derive(Clone, Debug)]
pub struct Labels {
    /// Its value is the version.
    pub version: String,
    /// Its value is the service, where there is more than one.
    pub service: Option<String>,
}

/// The deployments of the services that are `known`. Series without one of the labels are counted, services that are not known named.
pub(super) fn deployments(tracks: &[Track], labels: &Labels, known: &[ServiceId]) -> Changes {
    let mut changes = Changes::default();
    let (mut nameless, mut strangers) = (0, BTreeSet::new());
    let mut services: BTreeMap<ServiceId, BTreeMap<UnixMs, BTreeSet<&str>>> = BTreeMap::new();
    for track in tracks {
        let whose = match (&labels.service, known) {
            (None, [only]) => Some(only.clone()),
            (None, _) => None,
            (Some(label), _) => track
                .labels
                .get(label)
                .and_then(|name| named(name, known).map_err(|why| _ = strangers.insert(why)).ok()),
        };
        let lacks = |label: &str| track.labels.get(label).is_none();
        if lacks(&labels.version) || labels.service.as_deref().is_some_and(lacks) {
            nameless += 1;
            continue;
        }
        let (Some(service), Some(version)) = (whose, track.labels.get(&labels.version)) else {
            continue;
        };
        let times = services.entry(service).or_default();
        for (at, _) in &track.points {
            times.entry(*at).or_default().insert(version);
        }
    }
    for (service, times) in services {
        for deployment in appeared(&times) {
            changes.add(service.clone(), deployment);
        }
    }
    if nameless > 0 {
        changes
            .unknown
            .push(format!("--versions: {nameless} series lack a label that was asked for"));
    }
    changes.said.extend(strangers.into_iter().map(|why| format!("--versions: {why}")));
    changes.sort();
    changes
}

fn appeared(times: &BTreeMap<UnixMs, BTreeSet<&str>>) -> Vec<Deployment> {
    let mut deployments = vec![];
    let mut since: BTreeMap<&str, UnixMs> = BTreeMap::new();
    let (mut before, mut current): (Option<&BTreeSet<&str>>, &str) = (None, "");
    for (at, there) in times {
        let next = match before {
            None => there.last().copied(),
            Some(before) => there
                .difference(before)
                .last()
                .copied()
                // The newest has gone: what it had come after serves again.
                .or_else(|| (!there.contains(current)).then(|| newest(there, &since))?),
        };
        for version in there.iter().filter(|version| before.is_none_or(|b| !b.contains(*version))) {
            since.insert(version, *at);
        }
        if let Some(version) = next.filter(|version| *version != current) {
            let at = if before.is_none() { *at - LONG_BEFORE } else { *at };
            deployments.push(Deployment { at, version: version.to_owned() });
            current = version;
        }
        before = Some(there);
    }
    deployments
}

fn newest<'v>(there: &BTreeSet<&'v str>, since: &BTreeMap<&str, UnixMs>) -> Option<&'v str> {
    there.iter().copied().max_by_key(|version| since.get(version))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track(labels: &[(&str, &str)], seconds: impl Iterator<Item = i64>) -> Track {
        Track {
            labels: labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            points: seconds.map(|second| (UnixMs(second * 1000), 1.0)).collect(),
            lost: vec![],
            native: false,
        }
    }

    fn labels(service: Option<&str>) -> Labels {
        Labels { version: "version".to_owned(), service: service.map(str::to_owned) }
    }

    fn told(changes: &Changes, service: &str) -> Vec<(i64, String)> {
        let all = changes.deployments.get(&service.parse().unwrap()).into_iter().flatten();
        all.map(|d| (d.at.0 / 1000, d.version.clone())).collect()
    }

    #[test]
    fn a_version_is_deployed_where_it_first_appears_beside_the_old_one() {
        let known = ["shop/production".parse().unwrap()];
        let beat = |from: i64, to: i64| (from..to).filter(|second| second % 15 == 0);
        let tracks = [
            // A canary that was taken back, a gap of everything, a rollout, and a rollback.
            track(&[("version", "v1")], beat(0, 600).chain(beat(700, 915)).chain(beat(1200, 1500))),
            track(&[("version", "v2")], beat(300, 330)),
            track(&[("version", "v3")], beat(900, 1215)),
        ];
        let changes = deployments(&tracks, &labels(None), &known);
        let told = told(&changes, "shop/production");
        let expected = [(-86_400, "v1"), (300, "v2"), (330, "v1"), (900, "v3"), (1200, "v1")];
        assert_eq!(told, expected.map(|(at, version)| (at, version.to_owned())));
    }

    #[test]
    fn services_are_told_apart_and_those_that_are_not_replayed_named() {
        let known = ["shop/production", "cart/production"].map(|name| name.parse().unwrap());
        let series = |service, version| {
            track(&[("app", service), ("version", version)], std::iter::once(15))
        };
        let tracks = [series("shop", "v1"), series("cart", "v9"), series("mail", "v4")];
        let mut all = tracks.to_vec();
        all.push(track(&[("app", "shop")], std::iter::once(15)));
        let changes = deployments(&all, &labels(Some("app")), &known);
        assert_eq!(told(&changes, "shop/production").len(), 1);
        assert_eq!(told(&changes, "cart/production")[0].1, "v9");
        assert_eq!(changes.said, ["--versions: no service that is replayed is called `mail`"]);
        assert_eq!(changes.unknown, ["--versions: 1 series lack a label that was asked for"]);
    }
}
