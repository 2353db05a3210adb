//! Another configuration for a daemon that runs: checked whole, then taken whole or refused, and told either way.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use tracing::{error, info, warn};

use super::{
    clock,
    discovery::{self, Answer},
    followers::Followers,
    wiring,
};
use crate::{
    config::{self, Config, Discovered},
    domain::{
        event::{Event, What},
        fleet::Fleet,
        incident::Incident,
        maintenance::Maintained,
        roster::{self, Roster, Taken},
        service::ServiceId,
    },
    handle::Handle,
    http::{
        Interface,
        auth::{self, Tokens},
    },
    kubernetes::access::Access,
};

/// Faults told in one notice; the log has them all.
const TOLD_MAX: usize = 10;

/// What a reload works on.
#[derive(Debug)]
pub(super) struct Reload {
    /// The file.
    pub path: PathBuf,
    /// The file as it was read last: other services are laid under the same text, whatever became of the file.
    pub text: Arc<str>,
    /// What the daemon runs on.
    pub config: Config,
    /// The services that queries found.
    pub rosters: BTreeMap<String, Roster>,
    /// What of them is written down.
    pub written: discovery::Written,
    /// Why what was found could not be followed, so that it is told once.
    pub refused: Option<Vec<String>>,
    /// The interface, whose tokens may change.
    pub interface: Option<Arc<Interface>>,
}

impl Reload {
    /// Reads the file anew. What is wrong with it, or what changed, is in the journal and told when this returns.
    pub(super) async fn reload(&mut self, handle: &Handle, followers: &mut Followers) {
        let at = clock::wall().0;
        let what = match self.attempt(handle, followers).await {
            Ok(changes) => {
                info!("another configuration is followed: {}", changes.join("; "));
                What::Configured { changes }
            }
            Err(why) => {
                error!("the configuration is refused, the one before goes on:\n{}", why.join("\n"));
                What::ConfigRefused { why: in_short(why) }
            }
        };
        if let Err(fault) = handle.tell(Event { id: format!("reload-{at}"), what }).await {
            error!("the reload could not be written down: {fault}");
        }
    }

    async fn attempt(
        &mut self,
        handle: &Handle,
        followers: &mut Followers,
    ) -> Result<Vec<String>, Vec<String>> {
        let found = discovery::found(&self.rosters);
        let Read { text, config: new, .. } = read(&self.path, found, BTreeSet::new()).await?;
        let (next, difference) = self.config.followed_by(new);
        let one = |fault: anyhow::Error| vec![format!("{fault:#}")];
        must_go_on(handle, &self.config, &next).await?;
        let tokens = next.http.as_ref().map(|http| tokens(&next, http)).transpose().map_err(one)?;
        followers.follow(&next, adopt(handle, &next)).await.map_err(one)?;
        if let (Some(interface), Some(http), Some(tokens)) = (&self.interface, &next.http, tokens) {
            interface.adopt(tokens, http);
        }
        (self.text, self.config) = (text, next);
        self.rosters.values_mut().for_each(Roster::try_again);
        for kept in &difference.needs_restart {
            warn!("{kept}");
        }
        Ok(difference.taken.into_iter().chain(difference.needs_restart).collect())
    }

    /// Follows what a query for services found, as far as it is believed. Of those that are new, who breaks its template
    /// is left out alone.
    pub(super) async fn found(
        &mut self,
        answer: Answer,
        handle: &Handle,
        followers: &mut Followers,
    ) {
        let Some(options) = answer.to(&self.config.discoveries).map(|d| d.options.clone()) else {
            return;
        };
        let Answer { of, question, named } = answer;
        let Ok(busy) = handle.look(|fleet, _| busy(fleet)).await else { return };
        let now = clock::wall();
        let before = self.rosters.get(&of).cloned().unwrap_or_default();
        let mut roster = before.clone();
        let Taken { came, went, mut odd } = match &named {
            Ok(named) => roster.take(&question, named, &busy, now, &options),
            Err(why) => Taken { odd: roster.failed(why, now, &options), ..Taken::default() },
        };
        let mut changes = roster::changes(&came, &went);
        let mut refused = None;
        if !changes.is_empty() {
            let rosters = self.with(&of, &roster);
            match self.follow_found(&rosters, &came, handle, followers).await {
                Ok(broken) => {
                    // Told as not odd any more, where it was refused before.
                    if self.refused.take().is_some() {
                        odd = odd.or(Some(vec![]));
                    }
                    if !broken.is_empty() {
                        roster.leave_out(&broken, now);
                        changes = roster::changes(&without(&came, &broken), &went);
                    }
                }
                Err(why) => {
                    (roster, changes, odd) = (before, vec![], None);
                    refused = self.newly_refused(&of, why);
                }
            }
        }
        // Only what is followed is written down: the next start stands on it.
        self.rosters.insert(of.clone(), roster.clone());
        if let Some(kept) = self.written.due(&of, &roster, now) {
            let written = handle.store(move |store, _| store.save_snapshots(&[kept])).await;
            if matches!(written, Ok(Ok(()))) {
                self.written.stands(&of, &roster);
            } else {
                warn!("what discover.{of} found could not be written down");
            }
        }
        let says = |odd: Vec<roster::Odd>| odd.iter().map(roster::Odd::says).collect();
        let odd: Option<Vec<String>> = refused.or(odd.map(says));
        if changes.is_empty() && odd.is_none() {
            return;
        }
        let id = format!("discover-{of}-{}", now.0);
        let what = What::Discovered { of, changes, odd };
        if let Err(fault) = handle.tell(Event { id, what }).await {
            error!("what was found could not be written down: {fault}");
        }
    }

    fn with(&self, of: &str, roster: &Roster) -> BTreeMap<String, Roster> {
        let mut rosters = self.rosters.clone();
        rosters.insert(of.to_owned(), roster.clone());
        rosters
    }

    /// Why what was found is not followed, unless that was told already.
    fn newly_refused(&mut self, of: &str, why: Vec<String>) -> Option<Vec<String>> {
        let all = why.join("\n");
        let told = in_short(why);
        if self.refused.as_ref() == Some(&told) {
            return None;
        }
        error!("what discover.{of} found is not followed:\n{all}");
        self.refused = Some(told.clone());
        Some(told)
    }

    async fn follow_found(
        &mut self,
        rosters: &BTreeMap<String, Roster>,
        came: &[String],
        handle: &Handle,
        followers: &mut Followers,
    ) -> Result<BTreeMap<String, String>, Vec<String>> {
        let (name, text) = (self.path.display().to_string(), self.text.clone());
        let (found, new) = (discovery::found(rosters), came.iter().cloned().collect());
        let load = move || config::load_text_without_the_broken(&name, &text, &found, &new);
        let loaded = tokio::task::spawn_blocking(load).await;
        let (loaded, broken) = loaded.map_err(|fault| vec![fault.to_string()])?;
        let new = usable(loaded)?;
        let (next, _) = self.config.followed_by(new);
        let followed = followers.follow_found(&next, adopt(handle, &next)).await;
        followed.map_err(|fault| vec![format!("{fault:#}")])?;
        self.config = next;
        say_broken(&broken);
        Ok(broken)
    }
}

/// All of them stand in the log; people are told of one.
fn say_broken(broken: &BTreeMap<String, String>) {
    for (name, why) in broken {
        warn!("{name} was found and is not watched, its template cannot take it: {why}");
    }
}

fn without(came: &[String], broken: &BTreeMap<String, String>) -> Vec<String> {
    came.iter().filter(|name| !broken.contains_key(*name)).cloned().collect()
}

/// As many faults as a notice has room for.
fn in_short(mut why: Vec<String>) -> Vec<String> {
    let more = why.len().saturating_sub(TOLD_MAX);
    why.truncate(TOLD_MAX);
    if more > 0 {
        why.push(format!("and {more} more, in the log"));
    }
    why
}

/// The event loop decides by this configuration from now on.
async fn adopt(handle: &Handle, next: &Config) -> anyhow::Result<()> {
    Ok(handle.adopt(next.policy.clone(), wiring::routing(&next.channels)).await?)
}

/// The names of services with an open incident, or in maintenance mode: somebody must go on with them.
fn busy(fleet: &Fleet) -> BTreeSet<String> {
    let (open, on) = (fleet.open().map(|(id, _)| id), fleet.maintained().map(|(id, _)| id));
    open.chain(on).map(|id| id.name().to_owned()).collect()
}

/// A file that was read.
#[derive(Debug)]
pub(super) struct Read {
    /// As it stands.
    pub text: Arc<str>,
    /// What it says.
    pub config: Config,
    /// Those that are left out of it, and why.
    pub broken: BTreeMap<String, String>,
}

/// The file at `path`, with the services that were found; without those of the `doubtful` that their template cannot
/// take.
pub(super) async fn read(
    path: &Path,
    found: Discovered,
    doubtful: BTreeSet<String>,
) -> Result<Read, Vec<String>> {
    let path = path.to_owned();
    let loaded = tokio::task::spawn_blocking(move || match std::fs::read_to_string(&path) {
        // Read once: what is checked is what is kept.
        Ok(text) => {
            let name = path.display().to_string();
            let loaded = config::load_text_without_the_broken(&name, &text, &found, &doubtful);
            (Arc::from(text), loaded)
        }
        // What cannot be read has its own words.
        Err(_) => (Arc::from(""), (config::load_with(&path, &found), BTreeMap::new())),
    });
    let (text, (loaded, broken)) = loaded.await.map_err(|fault| vec![fault.to_string()])?;
    let config = usable(loaded)?;
    say_broken(&broken);
    Ok(Read { text, config, broken })
}

fn usable(loaded: config::Loaded) -> Result<Config, Vec<String>> {
    match loaded {
        Ok((config, warnings)) => {
            for warning in warnings {
                warn!("{warning}");
            }
            Ok(config)
        }
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
    }
}

/// A service with an open incident cannot be dropped: nobody would go on with it, remind people of it, or let go of
/// what its rollback holds.
async fn must_go_on(handle: &Handle, now: &Config, next: &Config) -> Result<(), Vec<String>> {
    let kept: BTreeSet<ServiceId> = next.policy.services.keys().cloned().collect();
    let moved = moved(now, next);
    let refused = handle.look(move |fleet, _| {
        let known = |id: &ServiceId| fleet.policy.services.contains_key(id);
        let gone = fleet.open().filter(|(id, _)| known(id) && !kept.contains(*id));
        let why = |(id, incident): (&ServiceId, &Incident)| {
            format!(
                "{id} has the open incident {} ({}): drop it when that is over, or end it with \
                 `rollbackd dismiss {id} --reason '…'`",
                incident.id,
                incident.phase.name()
            )
        };
        let on = fleet.maintained().filter(|(id, _)| known(id) && !kept.contains(*id));
        let on = on.map(|(id, _)| {
            format!("{id} is in maintenance mode: drop it when that is off; `rollbackd explain {id}` says why it is not")
        });
        gone.map(why).chain(on).chain(left_behind(fleet, &moved)).collect::<Vec<_>>()
    });
    let refused = refused.await.map_err(|fault| vec![fault.to_string()])?;
    if refused.is_empty() { Ok(()) } else { Err(refused) }
}

/// Clusters that are reached in another way from now on, or not at all: they may be others.
fn moved(now: &Config, next: &Config) -> BTreeSet<String> {
    fn reached(config: &Config) -> BTreeMap<&str, &Access> {
        config
            .clusters
            .iter()
            .map(|((name, _), options)| (name.as_str(), &options.access))
            .collect()
    }
    let next = reached(next);
    let differs = |(name, access): &(&str, &Access)| next.get(name) != Some(access);
    reached(now).into_iter().filter(differs).map(|(name, _)| name.to_owned()).collect()
}

/// In another cluster nothing of maintenance mode is there, which looks as if it were off.
fn left_behind(fleet: &Fleet, moved: &BTreeSet<String>) -> Vec<String> {
    let of = |(id, maintained): (&ServiceId, &Maintained)| {
        let on = maintained.iter().find(|on| moved.contains(&on.mode.cluster))?;
        let cluster = &on.mode.cluster;
        Some(format!(
            "{id} is in maintenance mode in {cluster}: reach {cluster} in another way when that is off; `rollbackd explain {id}` says why it is not"
        ))
    };
    fleet.maintained().filter_map(of).collect()
}

/// Who may do what: the tokens of the file, and the one of this machine.
pub(super) fn tokens(config: &Config, http: &config::Http) -> anyhow::Result<Tokens> {
    let local = auth::local_token(&config.state_dir).context("the token of this machine")?;
    Ok(Tokens::new(http.tokens.iter().cloned().chain([local])))
}

#[cfg(test)]
mod tests;
