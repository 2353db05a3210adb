//! What a new configuration changes for a daemon that runs, and what it cannot change.

use std::collections::BTreeMap;

use super::{Config, Poll};
use crate::domain::service::ServiceId;

/// What a reload does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What is followed from now on, a sentence each.
    pub taken: Vec<String>,
    /// What only a restart takes up, a sentence each.
    pub needs_restart: Vec<String>,
}

impl Config {
    /// The configuration to follow when a daemon that runs on `self` is given `new`: all of it but what a running
    /// daemon has opened already, with what that changes.
    pub fn followed_by(&self, new: Self) -> (Self, Difference) {
        let mut next = new;
        let needs_restart = self.keep_what_is_open(&mut next);
        let taken = self.what_changes(&next);
        (next, Difference { taken, needs_restart })
    }

    fn keep_what_is_open(&self, next: &mut Self) -> Vec<String> {
        let mut kept = vec![];
        let mut keep = |differs: bool, what: &str| {
            if differs {
                kept.push(format!("{what} changes only with a restart"));
            }
            differs
        };
        if keep(self.state_dir != next.state_dir, "`state_dir`") {
            next.state_dir.clone_from(&self.state_dir);
        }
        if keep(self.reports_dir != next.reports_dir, "`reports_dir`") {
            next.reports_dir.clone_from(&self.reports_dir);
        }
        if keep(self.store != next.store, "[store]") {
            next.store = self.store.clone();
        }
        match (&self.http, &mut next.http) {
            (Some(old), Some(new)) => {
                if keep(old.listen != new.listen || old.tls != new.tls, "where [http] listens") {
                    new.listen = old.listen;
                    new.tls.clone_from(&old.tls);
                }
                let limit = old.limits.connections_max;
                if keep(limit != new.limits.connections_max, "`connections_max` of [http]") {
                    new.limits.connections_max = limit;
                }
            }
            (None, None) => {}
            (old, new) => {
                keep(true, "whether there is an interface");
                new.clone_from(old);
            }
        }
        kept
    }

    fn polls_by_service(&self) -> BTreeMap<&ServiceId, Vec<&Poll>> {
        let mut polls: BTreeMap<&ServiceId, Vec<&Poll>> = BTreeMap::new();
        for poll in &self.polls {
            polls.entry(&poll.service).or_default().push(poll);
        }
        polls
    }

    fn what_changes(&self, next: &Self) -> Vec<String> {
        let mut changes = vec![];
        let (old, new) = (&self.policy.services, &next.policy.services);
        for id in old.keys().filter(|id| !new.contains_key(*id)) {
            changes.push(format!("{id} is not watched any more"));
        }
        let (polls_before, polls_next) = (self.polls_by_service(), next.polls_by_service());
        for (id, policy) in new {
            match old.get(id) {
                None => changes.push(format!("{id} is watched, mode {}", policy.mode)),
                Some(before) if before.mode != policy.mode => {
                    changes.push(format!("{id}: mode {} instead of {}", policy.mode, before.mode));
                }
                Some(before) if before != policy => changes.push(format!("{id}: its policy")),
                Some(_) if polls_before.get(id) != polls_next.get(id) => {
                    changes.push(format!("{id}: where its signals are read"));
                }
                Some(_) if self.platforms.get(id) != next.platforms.get(id) => {
                    changes.push(format!("{id}: how it is rolled back"));
                }
                Some(_) if self.secrets.get(id) != next.secrets.get(id) => {
                    changes.push(format!("{id}: how its secrets are looked at"));
                }
                Some(_) if self.databases.get(id) != next.databases.get(id) => {
                    changes.push(format!("{id}: how its database is looked at"));
                }
                Some(_) => {}
            }
        }
        let others = [
            (self.policy.fleet != next.policy.fleet, "the limits of the fleet"),
            (self.policy.freezes != next.policy.freezes, "the freezes"),
            (self.servers != next.servers, "the Prometheus servers"),
            (self.clusters != next.clusters, "the clusters that are watched"),
            (self.accounts != next.accounts, "how AWS is reached"),
            (self.targets != next.targets, "the targets that are scraped"),
            (self.channels != next.channels, "the channels that people are told on"),
            (self.heartbeat != next.heartbeat, "the heartbeat"),
            (self.http != next.http, "the interface's tokens, mapping or limits"),
            (self.alertmanager != next.alertmanager, "the Alertmanager that is asked"),
            (self.limits != next.limits, "[limits]"),
        ];
        let differs = others.into_iter().filter(|(differs, _)| *differs);
        changes.extend(differs.map(|(_, what)| what.to_owned()));
        if changes.is_empty() {
            changes.push("nothing that is followed differs".to_owned());
        }
        changes
    }
}
