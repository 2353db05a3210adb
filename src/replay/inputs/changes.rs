//! What was deployed when, from a file of JSON Lines.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    config::nearest,
    domain::service::ServiceId,
    replay::tape::{Deployment, Tape},
};

/// Deployments, from wherever they are known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// Each service's, ascending.
    pub deployments: BTreeMap<ServiceId, Vec<Deployment>>,
    /// What names no service that is replayed, line by line.
    pub unknown: Vec<String>,
    /// What is to be said beside, and misleads nobody.
    pub said: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    service: String,
    at: String,
    version: String,
}

/// Reads every line of a file called `name`. A line that cannot be read is told with what to write; a service that is not `known`
/// is told and left out.
pub fn read(name: &str, text: &str, known: &[ServiceId]) -> Result<Changes, Vec<String>> {
    let (mut changes, mut wrong) = (Changes::default(), vec![]);
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    for (number, line) in lines {
        match change(line) {
            Err(why) => wrong.push(format!("{name}:{number}: {why}")),
            Ok((service, deployment)) => match named(&service, known) {
                Ok(id) => changes.add(id, deployment),
                Err(why) => changes.unknown.push(format!("{name}:{number}: {why}")),
            },
        }
    }
    changes.sort();
    if wrong.is_empty() { Ok(changes) } else { Err(wrong) }
}

fn change(line: &str) -> Result<(String, Deployment), String> {
    let line: Line = serde_json::from_str(line).map_err(|fault| {
        format!(
            "this is no change: {fault}; write {{\"service\":\"checkout/production\",\"at\":\"2026-11-22T21:40:00Z\",\"version\":\"v2\"}}"
        )
    })?;
    let at = line.at.parse().map_err(|why| format!("`at`: {why}"))?;
    if line.version.is_empty() {
        return Err("`version` is empty; write what was deployed".to_owned());
    }
    Ok((line.service, Deployment { at, version: line.version }))
}

/// The service of that name, whose environment may be left out where only one has the name.
pub(super) fn named(name: &str, known: &[ServiceId]) -> Result<ServiceId, String> {
    let mut fitting = known.iter().filter(|id| id.to_string() == name || id.name() == name);
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok(one.clone()),
        (Some(one), Some(other)) => Err(format!("`{name}` may be {one} or {other}; write which")),
        (None, _) => {
            let whole: Vec<String> = known.iter().map(ToString::to_string).collect();
            let all = whole.iter().map(String::as_str).chain(known.iter().map(ServiceId::name));
            let near = nearest(name, all);
            let hint = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
            Err(format!("no service that is replayed is called `{name}`{hint}"))
        }
    }
}

impl Changes {
    pub(super) fn add(&mut self, service: ServiceId, deployment: Deployment) {
        self.deployments.entry(service).or_default().push(deployment);
    }

    /// In the order of their times; what serves already is not deployed.
    pub(super) fn sort(&mut self) {
        for deployments in self.deployments.values_mut() {
            deployments
                .sort_by(|one, other| (one.at, &one.version).cmp(&(other.at, &other.version)));
            deployments.dedup_by(|later, earlier| later.version == earlier.version);
        }
    }

    /// More of them, from elsewhere.
    pub fn join(&mut self, more: Self) {
        for (service, deployments) in more.deployments {
            self.deployments.entry(service).or_default().extend(deployments);
        }
        self.unknown.extend(more.unknown);
        self.said.extend(more.said);
        self.sort();
    }

    /// Puts them on the tapes, also those from before a tape begins: what served then, and what it could be rolled back to.
    pub fn onto(&self, tapes: &mut [Tape]) {
        for tape in tapes {
            let all = self.deployments.get(&tape.service).map_or(&[][..], Vec::as_slice);
            let until = tape.span().map(|(_, until)| until);
            let seen =
                all.iter().filter(|deployment| until.is_some_and(|end| deployment.at <= end));
            tape.deployments = seen.cloned().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{replay::tape::Track, units::UnixMs};

    fn known() -> Vec<ServiceId> {
        ["checkout/production", "shop/production", "shop/staging"]
            .map(|name| name.parse().unwrap())
            .to_vec()
    }

    #[test]
    fn every_bad_line_is_told_with_what_to_write() {
        let text = r#"{"service":"checkout","at":"yesterday","version":"v2"}
{"service":"checkout","at":"2026-11-22T21:40:00Z"}
{"service":"checkout","at":"2026-11-22T21:40:00Z","version":""}
v2"#;
        let wrong = read("file", text, &known()).unwrap_err();
        insta::assert_snapshot!(wrong.join("\n"), @r#"
        file:1: `at`: `yesterday` is not a time; write it like "2026-11-22T21:40:00Z"
        file:2: this is no change: missing field `version` at line 1 column 50; write {"service":"checkout/production","at":"2026-11-22T21:40:00Z","version":"v2"}
        file:3: `version` is empty; write what was deployed
        file:4: this is no change: expected value at line 1 column 1; write {"service":"checkout/production","at":"2026-11-22T21:40:00Z","version":"v2"}
        "#);
    }

    #[test]
    fn a_service_that_is_not_replayed_is_told_and_the_others_are_taken() {
        let text = r#"{"service":"shop","at":"2026-11-22T21:40:00Z","version":"v1"}
{"service":"chekout","at":"2026-11-22T21:40:00Z","version":"v2"}

{"service":"checkout","at":"2026-11-22T21:50:00Z","version":"v3"}
{"service":"checkout/production","at":"2026-11-22T22:40:00+01:00","version":"v2"}"#;
        let changes = read("file", text, &known()).unwrap();
        insta::assert_snapshot!(changes.unknown.join("\n"), @r#"
        file:1: `shop` may be shop/production or shop/staging; write which
        file:2: no service that is replayed is called `chekout`; did you mean checkout?
        "#);
        let checkout = &changes.deployments[&known()[0]];
        let versions: Vec<&str> = checkout.iter().map(|d| d.version.as_str()).collect();
        assert_eq!(versions, ["v2", "v3"], "in the order of their times");
        assert_eq!(changes.deployments.len(), 1);
    }

    #[test]
    fn what_was_deployed_after_the_end_is_none_of_a_tapes() {
        let service = known()[0].clone();
        let polls = [5, 9].map(|at| (UnixMs(at), vec![])).to_vec();
        let tracks = vec![("latency".to_owned(), Track::Polls(polls))];
        let mut tapes = [Tape { service: service.clone(), tracks, deployments: vec![] }];
        let mut changes = Changes::default();
        for at in [3, 9, 10, 9] {
            let version = format!("v{at}");
            changes.add(service.clone(), Deployment { at: UnixMs(at), version });
        }
        changes.join(Changes::default());
        changes.onto(&mut tapes);
        let at: Vec<i64> = tapes[0].deployments.iter().map(|d| d.at.0).collect();
        assert_eq!(at, [3, 9]);
    }
}
