//! What is known of the Deployments of one cluster, or of one of its namespaces, while it is watched.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::watch, time::Instant};

use super::{
    asked::{About, Events, NoEvents},
    cluster::Cluster,
    configured::Look,
    deployment::{Seen, Standing},
    link::{Link, Patience},
    objects::{Key, Kind},
};
use crate::{
    domain::{configuration::Configuration, warning::Warning},
    kubernetes::{access::Options, previous, pulls::Pulls},
    units::UnixMs,
};

/// Shared by whoever watches and whoever looks.
#[derive(Clone, Debug)]
pub struct Watched {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: Options,
    known: Mutex<Known>,
    events: Events,
    /// What is wrong with the links, for who tells it.
    faults: watch::Sender<BTreeMap<Kind, String>>,
}

#[derive(Debug)]
struct Known {
    cluster: Cluster,
    links: BTreeMap<Kind, Link>,
    /// Who waits for news of a Deployment.
    news: BTreeMap<Key, watch::Sender<u64>>,
}

/// What the configuration says of a Deployment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'s> {
    /// What its template refers to and is no part of what its pods read.
    pub left_out: &'s [String],
    /// Whether they read something that is nowhere in the cluster.
    pub elsewhere: bool,
    /// How it is read what the version before was.
    pub previous: Option<&'s previous::Options>,
}

impl Watched {
    /// Nothing is known yet.
    pub fn new(options: Options) -> Self {
        let now = Instant::now();
        let read = [
            (Kind::ConfigMaps, options.config_maps),
            (Kind::Secrets, options.secrets.are_watched()),
        ];
        let read = read.into_iter().filter(|(_, is_watched)| *is_watched).map(|(kind, _)| kind);
        let links = Kind::ALL.into_iter().chain(read).map(|kind| (kind, Link::new(now))).collect();
        let cluster = Cluster::reading(&options.previous);
        let known = Known { cluster, links, news: BTreeMap::new() };
        let (faults, _) = watch::channel(BTreeMap::new());
        Self {
            shared: Arc::new(Shared {
                options,
                known: Mutex::new(known),
                events: Events::default(),
                faults,
            }),
        }
    }

    /// How it is reached, and what of it is watched.
    pub fn options(&self) -> &Options {
        &self.shared.options
    }

    /// What is to be seen of a Deployment; unknown while the API server is not heard.
    pub fn see(&self, key: &Key, container: Option<&str>, now: UnixMs) -> Seen {
        self.see_but(key, container, Wanted::default(), now)
    }

    /// The same, with what its configuration says of what its pods read, and what it says was before.
    pub fn see_but(
        &self,
        key: &Key,
        container: Option<&str>,
        said: Wanted<'_>,
        now: UnixMs,
    ) -> Seen {
        match self.unknown() {
            Some(why) => Seen::unknown(&why),
            None => {
                let Wanted { left_out, elsewhere, previous } = said;
                let look = Look { elsewhere, ..self.look_at_configuration() };
                let known = self.known();
                let mut seen = known.cluster.see(key, container, now);
                if let Some(deployed) = &mut seen.inventory.deployed {
                    deployed.configuration = known.cluster.configuration(key, &look, left_out);
                    let named = |options| known.cluster.previous(key, container, options);
                    deployed.previous = previous.and_then(named);
                    seen.inventory.faults.extend(known.cluster.missing(key, &look));
                }
                seen
            }
        }
    }

    /// How a Deployment stands: a poll asks for no more.
    pub fn standing(&self, key: &Key, now: UnixMs) -> Standing {
        match self.unknown() {
            Some(why) => Standing::Unknown(why),
            None => self.known().cluster.see(key, None, now).standing,
        }
    }

    /// Adds to a configuration what else those that are kept consist of, as it is now.
    pub fn look_beside(&self, key: &Key, configuration: &mut Configuration) {
        self.known().cluster.look_beside(key, configuration);
    }

    fn look_at_configuration(&self) -> Look {
        let Options { config_maps, secrets, .. } = self.options();
        let (config_maps, secrets) = (*config_maps, secrets.are_watched());
        let unknown = self.unknown_of(&[Kind::ConfigMaps, Kind::Secrets]);
        Look { config_maps, secrets, elsewhere: false, unknown }
    }

    /// The pods of the version that a Deployment is set to, by name, or why nobody knows.
    pub fn pods_of(&self, key: &Key) -> Result<Vec<String>, String> {
        match self.unknown() {
            Some(why) => Err(why),
            None => self.known().cluster.pods_named(key),
        }
    }

    /// What pods of a version need of registries, where anything in the cluster holds its template.
    pub fn pulls_of(&self, key: &Key, digest: &str) -> Option<Pulls> {
        self.known().cluster.pulls_of(key, digest)
    }

    /// What may be warned of where a Deployment is not well.
    pub fn warned_of(&self, key: &Key) -> Vec<About> {
        self.known().cluster.warned_of(key)
    }

    /// What is warned of them.
    pub async fn warnings(&self, key: &Key, about: &[About]) -> Result<Vec<Warning>, NoEvents> {
        self.shared.events.warnings(self.options(), key, about).await
    }

    /// Why nothing is known, if that is so.
    pub fn unknown(&self) -> Option<String> {
        self.unknown_of(&Kind::ALL)
    }

    fn unknown_of(&self, kinds: &[Kind]) -> Option<String> {
        let (patience, now) = (self.patience(), Instant::now());
        let known = self.known();
        let why = |(kind, link): (&Kind, &Link)| Some((*kind, link.unknown(patience, now)?));
        let mut links = known.links.iter().filter(|(kind, _)| kinds.contains(kind));
        let (kind, why) = links.find_map(why)?;
        let options = self.options();
        Some(format!("the {} of {} cannot be watched: {why}", kind.name(), options.place()))
    }

    /// What is wrong with the watches, as it changes.
    pub fn faults(&self) -> watch::Receiver<BTreeMap<Kind, String>> {
        self.shared.faults.subscribe()
    }

    /// Told of whatever is new about a Deployment.
    pub fn news(&self, key: &Key) -> watch::Receiver<u64> {
        let mut known = self.known();
        known.news.retain(|_, news| news.receiver_count() > 0);
        known.news.entry(key.clone()).or_insert_with(|| watch::channel(0).0).subscribe()
    }

    /// How many objects of each kind are known.
    pub fn counts(&self) -> [(Kind, usize); 3] {
        let known = self.known();
        Kind::ALL.map(|kind| (kind, known.cluster.count(kind)))
    }

    /// Something was said of objects; `is_list` where a list is whole by it.
    pub(super) fn heard(
        &self,
        kind: Kind,
        is_list: bool,
        take: impl FnOnce(&mut Cluster) -> Option<Key>,
    ) {
        let mut known = self.known();
        let about = take(&mut known.cluster);
        known.link(kind).heard(is_list, Instant::now());
        match about {
            Some(key) if matches!(kind, Kind::ConfigMaps | Kind::Secrets) => {
                known.tell_readers(kind, &key);
            }
            Some(key) => known.tell(&key),
            None if is_list => known.tell_all(),
            None => {}
        }
        drop(known);
        self.say();
    }

    /// A list is about to be asked for.
    pub(super) fn expects(&self, take: impl FnOnce(&mut Cluster) -> Option<Key>) {
        take(&mut self.known().cluster);
    }

    /// A watch was opened: nothing is new, and that is certain.
    pub(super) fn opened(&self, kind: Kind) {
        self.known().link(kind).heard(false, Instant::now());
        self.say();
    }

    pub(super) fn failed(&self, kind: Kind, why: String) {
        self.known().link(kind).failed(why, Instant::now());
        self.say();
    }

    fn say(&self) {
        let known = self.known();
        let fault = |(kind, link): (&Kind, &Link)| Some((*kind, link.fault()?.to_owned()));
        let faults: BTreeMap<Kind, String> = known.links.iter().filter_map(fault).collect();
        drop(known);
        self.shared.faults.send_if_modified(|said| {
            let is_news = *said != faults;
            *said = faults;
            is_news
        });
    }

    fn patience(&self) -> Patience {
        let options = self.options();
        Patience {
            stale_after: options.stale_after.duration(),
            reopened_every: options.reopen_every.duration(),
        }
    }

    /// Whoever panicked with it in hand left records whole: each is put in or taken out at once.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.shared.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn link(&mut self, kind: Kind) -> &mut Link {
        self.links.entry(kind).or_insert_with(|| Link::new(Instant::now()))
    }

    fn tell(&self, key: &Key) {
        if let Some(news) = self.news.get(key) {
            news.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// Of those who wait for news of a Deployment, those whose Deployment reads this.
    fn tell_readers(&self, kind: Kind, held: &Key) {
        for key in self.news.keys().filter(|key| self.cluster.reads(key, kind, held)) {
            self.tell(key);
        }
    }

    fn tell_all(&self) {
        for news in self.news.values() {
            news.send_modify(|count| *count = count.wrapping_add(1));
        }
    }
}
