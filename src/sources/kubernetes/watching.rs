//! Lists and watches what is known of a cluster, again and again: whatever fails is tried again, and told.

use std::time::Duration;

use futures_util::StreamExt;
use kube::{
    Api, Client,
    core::{ApiResource, DynamicResourceScope, Object, Resource},
    runtime::watcher::{self, Event, watcher},
};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{
    cluster::{Cluster, Said},
    objects::{Held, Key, Kind, resource},
    opened::{self, Asked, Opened},
    watched::Watched,
};
use crate::{causes::chain, kubernetes::access::Options};

/// How what is said of a kind is taken.
type Take<K> = fn(&mut Cluster, Said<K>) -> Option<Key>;

/// The first pause after a failure; each further one is twice as long ...
const PAUSE: Duration = Duration::from_millis(500);
/// ... up to this.
const PAUSE_MAX: Duration = Duration::from_secs(20);
/// So many ConfigMaps or Secrets are asked for at once.
const HELD_PAGE: u32 = 50;

/// Watches until it is dropped.
pub async fn watch(watched: Watched) {
    let Options { config_maps, secrets, .. } = watched.options();
    tokio::join!(
        always(&watched, Kind::Deployments, Cluster::deployment),
        always(&watched, Kind::ReplicaSets, Cluster::replica_set),
        always(&watched, Kind::Pods, Cluster::pod),
        async {
            if *config_maps {
                always(&watched, Kind::ConfigMaps, Cluster::config_map).await;
            }
        },
        async {
            if secrets.are_watched() {
                always(&watched, Kind::Secrets, Cluster::secret).await;
            }
        },
    );
}

/// Each kind by a client of its own, which tells when a watch of this kind is opened.
async fn always<K: Watchable>(watched: &Watched, kind: Kind, take: Take<K>) {
    let mut pause = PAUSE;
    loop {
        let begun = Instant::now();
        match opened::client(watched.options()).await {
            Ok((client, opened, asked)) => {
                one(watched, client, (opened, asked), kind, take).await;
            }
            Err(why) => watched.failed(kind, why),
        }
        // The credential was refused, or there is none yet: what says it is read anew.
        if begun.elapsed() > PAUSE_MAX {
            pause = PAUSE;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Ends when it was refused for its credential, or cannot go on from where it was.
async fn one<K: Watchable>(
    watched: &Watched,
    client: Client,
    (mut opened, asked): (Opened, Asked),
    kind: Kind,
    take: Take<K>,
) {
    let api: Api<K> = match &watched.options().namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource(kind)),
        None => Api::all_with(client, &resource(kind)),
    };
    let mut events = std::pin::pin!(watcher(api, config(watched.options(), kind)));
    let mut pause = PAUSE;
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            changed = opened.changed() => {
                if changed.is_ok() {
                    watched.opened(kind);
                    pause = PAUSE;
                }
                continue;
            }
        };
        let (said, is_list) = match event {
            // Said before the API server was even asked: this is no answer yet.
            Some(Ok(Event::Init)) => {
                watched.expects(|cluster| take(cluster, Said::Begins));
                continue;
            }
            Some(Ok(Event::InitApply(object))) => (Said::Listed(object), false),
            Some(Ok(Event::InitDone)) => (Said::Whole, true),
            Some(Ok(Event::Apply(object))) => (Said::Is(object), false),
            Some(Ok(Event::Delete(object))) => (Said::Gone(object), false),
            Some(Err(fault)) => {
                watched.failed(kind, chain(&fault));
                if begins_anew(&fault) {
                    return;
                }
                // Who is asked to wait for an hour would see nothing for an hour.
                let asked = (*asked.borrow()).min(PAUSE_MAX);
                tokio::time::sleep(pause.max(asked)).await;
                pause = (pause * 2).min(PAUSE_MAX);
                continue;
            }
            None => return,
        };
        watched.heard(kind, is_list, |cluster| take(cluster, said));
    }
}

/// An object that can be watched wherever its kind is known by name only.
trait Watchable:
    Resource<DynamicType = ApiResource, Scope = DynamicResourceScope>
    + Clone
    + std::fmt::Debug
    + DeserializeOwned
    + Send
    + 'static
{
}

impl Watchable for Held {}

impl<P, U> Watchable for Object<P, U>
where
    P: Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
    U: Clone + Default + std::fmt::Debug + DeserializeOwned + Send + 'static,
{
}

fn config(options: &Options, kind: Kind) -> watcher::Config {
    let seconds = u32::try_from(options.reopen_every.duration().as_secs()).unwrap_or(u32::MAX);
    let config = watcher::Config::default().timeout(seconds.max(1));
    let config = match (kind, &options.labels) {
        // Each may be 1 MiB, and whoever labels what is deployed need not label what that reads.
        (Kind::ConfigMaps | Kind::Secrets, _) => {
            return config.page_size(options.page.min(HELD_PAGE));
        }
        (Kind::Deployments | Kind::ReplicaSets | Kind::Pods, None) => {
            config.page_size(options.page)
        }
        (Kind::Deployments | Kind::ReplicaSets | Kind::Pods, Some(labels)) => {
            config.page_size(options.page).labels(labels)
        }
    };
    match kind {
        // What has ended serves nobody and is kept for long.
        Kind::Pods => config.fields("status.phase!=Succeeded,status.phase!=Failed"),
        Kind::Deployments | Kind::ReplicaSets | Kind::ConfigMaps | Kind::Secrets => config,
    }
}

/// Told by an event that what it had is too old, kube's watcher lists again; told so by the status of the answer it would
/// ask for the same for ever.
fn begins_anew(fault: &watcher::Error) -> bool {
    let is_gone = matches!(fault, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 410);
    is_gone || is_unauthorized(fault)
}

fn is_unauthorized(fault: &watcher::Error) -> bool {
    let status = match fault {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => status,
        watcher::Error::WatchError(status) => status,
        watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchStartFailed(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::NoResourceVersion => return false,
    };
    status.code == 401
}
