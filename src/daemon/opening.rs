//! From the disk to a daemon that knows what is true; and what it says while a disk that hangs keeps it from that.
//!
//! Nothing has failed then, so nobody else would say so. It goes on by itself once the disk does.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, anyhow};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};
use tracing::{error, warn};

use super::{
    clock::{self, Clock},
    discovery, giving_up, journaling, recovery, reload,
};
use crate::{
    config::{Config, Discovered},
    domain::{fleet::Fleet, policy::Policy, roster::Roster},
    executors,
    http::auth::Tokens,
    store::Store,
    telemetry,
};

/// Opening takes far less, also of a long journal; beyond what another daemon's lease is waited for.
const OPENS_WITHIN: Duration = Duration::from_secs(20);

/// What the disk holds, read and known to be writable.
pub(super) struct Opened {
    pub store: Store,
    pub fleet: Fleet,
    pub clock: Clock,
    pub rosters: BTreeMap<String, Roster>,
    pub text: Arc<str>,
    pub config: Config,
}

/// Opens all of it. Nothing here waits for the disk on an async thread: it may never answer.
pub(super) async fn open(config: &Config, path: &Path) -> anyhow::Result<Opened> {
    let known = config.clone();
    let (store, mut rosters) = tokio::task::spawn_blocking(move || {
        let store = Store::open(known.store).context("the store cannot be opened")?;
        let rosters =
            discovery::load(&store, &known.discoveries).context("the store cannot be read")?;
        anyhow::Ok((store, rosters))
    })
    .await??;
    let found = discovery::found(&rosters);
    let all = found.values().flatten().cloned().collect();
    let reload::Read { text, config, broken } = match reload::read(path, found, all).await {
        Ok(read) => read,
        // A file that is right by itself is followed: what is written in it must not stay unwatched. The next answer
        // is refused by the same words, and told.
        Err(why) => {
            error!("the services that were found are not followed:\n{}", why.join("\n"));
            rosters.clear();
            let without = reload::read(path, Discovered::new(), BTreeSet::new()).await;
            without.map_err(|why| anyhow!(why.join("\n")))?
        }
    };
    for roster in rosters.values_mut() {
        // Who was left out by an earlier daemon may be taken by this file.
        roster.try_again();
        roster.leave_out(&broken, clock::wall());
    }
    let (policy, state_dir) = (config.policy.clone(), config.state_dir.clone());
    let folded = tokio::task::spawn_blocking(move || fold(store, policy, &state_dir)).await?;
    let (store, fleet, clock) = folded?;
    Ok(Opened { store, fleet, clock, rosters, text, config })
}

fn fold(
    mut store: Store,
    policy: Policy,
    state_dir: &Path,
) -> anyhow::Result<(Store, Fleet, Clock)> {
    let (fleet, last) = recovery::recover(&store, policy)?;
    let clock = Clock::starting(last);
    store.probe_write().context("the journal cannot be written")?;
    executors::orphan::can_record(state_dir)
        .context("what a step starts could not be recorded, so that no step could be begun")?;
    Ok((store, fleet, clock))
}

/// Waits for the journal to be opened. When that takes too long, people are paged once, and the interface says why until
/// it is over.
pub(super) async fn told_if_it_hangs<T>(
    opening: impl Future<Output = anyhow::Result<T>>,
    config: &Config,
    client: &reqwest::Client,
    metrics: &PrometheusHandle,
) -> anyhow::Result<T> {
    let begun = Instant::now();
    let mut opening = pin!(opening);
    let patience = config.store.lease_wait.duration() + OPENS_WITHIN;
    if let Ok(opened) = timeout(patience, &mut opening).await {
        return opened;
    }
    let why = format!(
        "opening the journal in {} has not ended for {} s: most likely the disk under it hangs",
        config.state_dir.display(),
        patience.as_secs()
    );
    error!("nothing is watched: {why}");
    let notice = journaling::cannot_start_notice(&why, clock::wall());
    // A channel that hangs too keeps nobody from starting.
    let paging = giving_up::page_until_told(config.clone(), client.clone(), notice);
    let paging = tokio::spawn(paging);
    let (over, ended) = oneshot::channel::<()>();
    let say = async {
        let Some(http) = &config.http else { return };
        // This machine's own token is behind the same disk.
        let tokens = Tokens::new(http.tokens.iter().cloned());
        let ended = async { drop(ended.await) };
        giving_up::say_why(http, tokens, metrics.clone(), &why, ended).await;
    };
    let opened = async {
        let opened = opening.await;
        drop(over);
        // What is over by now would mislead.
        paging.abort();
        opened
    };
    let (opened, ()) = tokio::join!(opened, say);
    let took_s = begun.elapsed().as_secs_f64();
    match &opened {
        Ok(_) => {
            telemetry::can_start();
            warn!("the journal is opened, after {took_s:.1} s");
        }
        Err(_) => warn!("the journal answered after {took_s:.1} s, and cannot be opened"),
    }
    opened
}
