//! Looks at which version of each secret of AWS is the current one, again and again; and keeps those labelled that were known
//! good. A look at the platform takes what is known and waits for none of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::{
    sync::watch,
    task::{JoinSet, spawn_blocking},
    time::Instant,
};
use tracing::{info, warn};

use super::{clock, keeping::KnownGood, pace};
use crate::{
    aws::secrets,
    config::ReadSecret,
    domain::{
        configuration::{self, Kind},
        inventory::Inventory,
        secret::{self, Known, Look, labels},
        service::ServiceId,
    },
    executors,
    kubernetes::maps::{Configuration, KEPT_MAX, Maps},
    store::Lease,
    units::UnixMs,
};

/// What could not be labelled or kept is tried again after so long.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// What is known of each, by its name.
type All = BTreeMap<String, Result<Known, String>>;

/// Of one service.
#[derive(Debug)]
pub(super) struct Secrets {
    service: ServiceId,
    said: Vec<ReadSecret>,
    known: watch::Receiver<All>,
    lease: Lease,
    /// What could not be labelled, so that it is told once, and when that was.
    failed: BTreeMap<String, (String, Instant)>,
    /// Those that look; they end with this.
    _looking: JoinSet<()>,
}

impl Secrets {
    /// Looks at these from now on.
    pub(super) fn begin(
        service: &ServiceId,
        said: Vec<ReadSecret>,
        watched: &watch::Receiver<BTreeSet<ServiceId>>,
        lease: Lease,
    ) -> Self {
        let first = |it: &ReadSecret| (it.name.clone(), Err("it was not looked at yet".to_owned()));
        let (tell, known) = watch::channel(said.iter().map(first).collect::<All>());
        let mut looking = JoinSet::new();
        for one in &said {
            let (service, one) = (service.clone(), one.clone());
            looking.spawn(look(service, one, tell.clone(), watched.clone()));
        }
        let service = service.clone();
        Self { service, said, known, lease, failed: BTreeMap::new(), _looking: looking }
    }

    fn looks(&self) -> Vec<Look> {
        let known = self.known.borrow();
        let look = |(name, known): (&String, &Result<Known, String>)| Look {
            name: name.clone(),
            known: known.clone(),
        };
        known.iter().map(look).collect()
    }

    /// Says of an inventory what is known of them: `started` is since when the service runs, where nothing else says that.
    pub(super) fn add_to(&self, seen: &mut Inventory, started: Option<UnixMs>) {
        let read = seen.reads_mut();
        *read = secret::with(read.take(), &self.looks(), started);
    }

    /// The same of what is kept, and of what of it is not there any more.
    pub(super) fn tell_gone(&self, seen: &mut Inventory) {
        let looks = self.looks();
        let gone = seen.configuration_mut().map(|all| secret::tell_gone(all, &looks));
        seen.faults.extend(gone.unwrap_or_default());
    }

    /// Returns when another version is current, or it is unknown which, or known again.
    pub(super) async fn changed(&mut self) {
        if self.known.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// Labels what was known good of what is kept, and nothing else. Where nobody may act nothing is labelled.
    pub(super) async fn label(&mut self, seen: &Inventory, known: &KnownGood) {
        let Some(all) = seen.configuration().filter(|_| known.may_act) else { return };
        let is_good = |kept: &&configuration::Kept| {
            known.good.iter().any(|good| good.agrees_with(&kept.revision))
        };
        for said in self.said.clone().iter().filter(|said| said.label) {
            let now = self.known.borrow().get(&said.name).cloned();
            let Some(Ok(now)) = now else { continue };
            let of_it = |kept: &configuration::Kept| {
                let mut items = kept.items.iter();
                items
                    .find(|item| item.kind == Kind::AwsSecret && item.name == said.name)?
                    .digest
                    .clone()
            };
            let good: Vec<String> = all.kept.iter().filter(is_good).filter_map(of_it).collect();
            // A journal that was lost has nothing to say of what was labelled.
            if good.is_empty() {
                continue;
            }
            let wanted = labels::labels(&self.service, &now.secret, &good);
            let failed = self.failed.get(&said.name);
            if wanted == labels::Labels::default()
                || failed.is_some_and(|(_, at)| at.elapsed() < AGAIN_AFTER)
            {
                continue;
            }
            let done =
                executors::relabel(&said.access, &said.at.secret, &wanted.changes, &self.lease);
            let done = done.await.and_then(|()| match wanted.without.as_slice() {
                [] => Ok(()),
                without => Err(format!(
                    "it has so many labels that version {} gets none: take some off",
                    without.join(", ")
                )),
            });
            self.note_labelled(said, done);
        }
    }

    /// The next look shows it; until then, and after what could not be, nothing is done again.
    fn note_labelled(&mut self, said: &ReadSecret, done: Result<(), String>) {
        let service = &self.service;
        let why = done.err().unwrap_or_default();
        let told = self.failed.get(&said.name).map(|(why, _)| why.as_str());
        match why.as_str() {
            "" => {
                info!(%service, "{}: what was known good of it is labelled, and nothing else", said.at)
            }
            why if told == Some(why) => {}
            why => {
                warn!(%service, "{}: what was known good of it could not be labelled, and AWS may delete it: {why}", said.at)
            }
        }
        self.failed.insert(said.name.clone(), (why, Instant::now()));
    }
}

/// Looks until nobody wants to know.
async fn look(
    service: ServiceId,
    said: ReadSecret,
    tell: watch::Sender<All>,
    mut watched: watch::Receiver<BTreeSet<ServiceId>>,
) {
    let mut before: Option<Known> = None;
    let mut fault: Option<String> = None;
    loop {
        let seen = secrets::look(&said.access, &said.at.secret).await;
        let now = match seen {
            Ok(seen) => {
                let seen = seen.barred(said.even_if_rotated);
                let known = Known::after(before.as_ref(), seen, clock::wall());
                before = Some(known.clone());
                if fault.take().is_some() {
                    info!(%service, "{} can be looked at again", said.at);
                }
                Ok(known)
            }
            Err(now) => {
                let why = format!("{now}; {}", now.advice());
                // What AWS calls a request is another name each time.
                let kind = format!("{:?}", now.kind);
                if fault.as_ref() != Some(&kind) {
                    warn!(%service, "{} cannot be looked at: {why}", said.at);
                    fault = Some(kind);
                }
                Err(why)
            }
        };
        tell.send_if_modified(|all| {
            let is_news = all.get(&said.name) != Some(&now);
            all.insert(said.name.clone(), now);
            is_news
        });
        if !pace::wait(&mut watched, &service, (said.every, said.every_watched)).await {
            return;
        }
    }
}

/// What a service that is no Deployment read when it served well: which versions, and nothing of what they hold.
#[derive(Debug)]
pub(super) struct Kept {
    service: ServiceId,
    maps: Maps,
    all: Option<Vec<Configuration>>,
    failed: Option<(String, Instant)>,
}

impl Kept {
    pub(super) fn of(service: &ServiceId, executor: &executors::Options) -> Self {
        let maps = Maps::of_service(&executor.state_dir, service);
        Self { service: service.clone(), maps, all: None, failed: None }
    }

    /// Says of an inventory what is kept.
    pub(super) async fn add_to(&mut self, seen: &mut Inventory) {
        if self.all.is_none() {
            let maps = self.maps.clone();
            let read = spawn_blocking(move || maps.all()).await;
            match read.unwrap_or_else(|fault| Err(fault.into())) {
                Ok(all) => self.all = Some(all),
                Err(fault) => self.tell("cannot be read", fault.to_string()),
            }
        }
        if let Some(found) = seen.configuration_mut() {
            let all = self.all.as_deref().unwrap_or_default();
            found.kept = all.iter().map(Configuration::in_short).collect();
        }
    }

    /// Keeps what has come to be known good, and forgets what the ledger does.
    pub(super) async fn tend(&mut self, seen: &Inventory, known: &KnownGood) {
        if known.good.is_empty()
            || self.failed.as_ref().is_some_and(|(_, at)| at.elapsed() < AGAIN_AFTER)
        {
            return;
        }
        let all = self.all.as_deref().unwrap_or_default();
        let is_kept = |found: &&configuration::Configuration| {
            all.iter().any(|kept| kept.revision.agrees_with(&found.revision))
        };
        let found = seen.configuration().filter(|found| known.good.contains(&found.revision));
        let new = found.filter(|found| !is_kept(found)).map(|found| Configuration {
            revision: found.revision.clone(),
            kept_at: clock::wall(),
            items: found.items.iter().map(configuration::Item::kept).collect(),
            metadata: BTreeMap::new(),
        });
        let is_stale = |kept: &Configuration| {
            kept.revision.digest.as_ref().is_none_or(|digest| !known.digests.contains(digest))
        };
        if new.is_none() && all.len() <= KEPT_MAX && !all.iter().any(is_stale) {
            return;
        }
        let (maps, digests) = (self.maps.clone(), known.digests.clone());
        let done = spawn_blocking(move || {
            new.map(|new| maps.keep(&new, &[])).transpose()?;
            maps.retain(&digests)
        });
        match done.await.unwrap_or_else(|fault| Err(fault.into())) {
            Ok(()) => (self.all, self.failed) = (None, None),
            Err(fault) => self.tell("could not be kept", fault.to_string()),
        }
    }

    fn tell(&mut self, what: &str, why: String) {
        let service = &self.service;
        if self.failed.as_ref().is_none_or(|(told, _)| *told != why) {
            warn!(%service, "which versions of its secrets were known good {what}: {why}");
        }
        self.failed = Some((why, Instant::now()));
    }
}
