//! What a daemon still does that cannot start, or must end: it pages from memory, for nothing else may work, and says
//! on its interface why it does nothing.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{task::JoinSet, time::timeout};
use tracing::{error, warn};

use super::{clock, delivery::insist, journaling, reload, supervise};
use crate::{
    config::{Config, Http},
    domain::notice::Notice,
    http::{Interface, Server, auth::Tokens},
    notifiers::Notifier,
    store::StoreError,
    telemetry,
};

/// It is started again and again by systemd, and people are not paged each time.
const PAGE_EVERY: Duration = Duration::from_secs(5 * 60);
/// Longer than monitors pause between two looks, and short enough for a cause that goes away by itself.
const STAND_FOR: Duration = Duration::from_secs(60);
/// Longer than all attempts at one notice take together.
const ROUND: Duration = Duration::from_secs(60 * 60);
/// An empty file whose time is that of the last page. It can be touched while the disk is full.
const PAGED: &str = "cannot-start";

/// A daemon that cannot start protects nobody, and nobody may notice.
pub(super) async fn page(config: &Config, client: &reqwest::Client, fault: &anyhow::Error) {
    // Whoever holds the lease protects them.
    let held = fault.downcast_ref::<StoreError>();
    if matches!(held, Some(StoreError::LeaseHeld { .. })) {
        return;
    }
    if places(&config.state_dir).iter().any(|place| paged_lately(place, SystemTime::now())) {
        error!("it was paged a moment ago that the daemon cannot start; not again yet");
        return;
    }
    let notice = journaling::cannot_start_notice(&format!("{fault:#}"), clock::wall());
    if !page_from_memory(config, client, &notice, STAND_FOR).await {
        error!("nobody could be told that the daemon cannot start; the next start tries again");
        return;
    }
    let noted = places(&config.state_dir).iter().any(|place| note(place).is_ok());
    if !noted {
        warn!("that it was paged could not be noted: the next start pages again");
    }
}

/// Says on the interface why it does nothing: nobody may read the log, and monitors look here. After a minute it ends by
/// itself, for a new start may find the cause gone.
pub(super) async fn stand(config: &Config, metrics: PrometheusHandle, fault: &anyhow::Error) {
    let held = fault.downcast_ref::<StoreError>();
    let Some(http) = &config.http else { return };
    // The other daemon answers there.
    if matches!(held, Some(StoreError::LeaseHeld { .. })) {
        return;
    }
    let why = format!("{fault:#}");
    // The directory of this machine's own token may be what cannot be read.
    let tokens =
        reload::tokens(config, http).unwrap_or_else(|_| Tokens::new(http.tokens.iter().cloned()));
    say_why(http, tokens, metrics, &why, tokio::time::sleep(STAND_FOR)).await;
}

/// Says it on the interface, in the metrics and to systemd, until `end`.
pub(super) async fn say_why(
    http: &Http,
    tokens: Tokens,
    metrics: PrometheusHandle,
    why: &str,
    end: impl Future<Output = ()>,
) {
    telemetry::cannot_start();
    supervise::notify(&[sd_notify::NotifyState::Status(&format!("cannot start: {why}"))]);
    let Ok(interface) = Interface::that_cannot_start(why.to_owned(), metrics, tokens, http) else {
        return;
    };
    // Where the address is what cannot be had, whoever has it answers.
    let Ok(server) = Server::bind(http, &interface).await else { return };
    error!("nothing is done; {} says why", server.address());
    server.serve(end).await;
}

/// It has started: the next time that it cannot is news.
pub(super) fn forget(state_dir: &Path) {
    for place in places(state_dir) {
        if let Err(fault) = fs::remove_file(&place)
            && fault.kind() != io::ErrorKind::NotFound
        {
            warn!("{} could not be removed: {fault}", place.display());
        }
    }
}

/// The state directory may be what cannot be written; systemd's runtime directory is in memory.
fn places(state_dir: &Path) -> Vec<PathBuf> {
    let runtime = std::env::var_os("RUNTIME_DIRECTORY").map(PathBuf::from);
    [Some(state_dir.to_owned()), runtime].into_iter().flatten().map(|dir| dir.join(PAGED)).collect()
}

/// A time in the future is a clock that was set: better a page too many.
fn paged_lately(place: &Path, now: SystemTime) -> bool {
    let at = fs::metadata(place).and_then(|meta| meta.modified());
    at.is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age < PAGE_EVERY))
}

fn note(place: &Path) -> io::Result<()> {
    let file = fs::File::options().create(true).append(true).open(place)?;
    file.set_modified(SystemTime::now())
}

/// Tries every channel, all at the same time, each until it took the notice or refused it, and none for longer than
/// `within`. Whether one took it: the log is nobody's page where there is another channel.
pub(super) async fn page_from_memory(
    config: &Config,
    client: &reqwest::Client,
    notice: &Notice,
    within: Duration,
) -> bool {
    let mut tries = JoinSet::new();
    let alone = config.channels.len() == 1;
    for channel in config.channels.iter().cloned().map(Arc::new) {
        let (client, notice) = (client.clone(), notice.clone());
        let reaches = alone || !matches!(channel.notifier, Notifier::Log);
        tries.spawn(async move { insist(channel, client, notice).await && reaches });
    }
    let mut told = false;
    let all = async {
        while let Some(arrived) = tries.join_next().await {
            told |= arrived.unwrap_or(false);
        }
    };
    if timeout(within, all).await.is_err() {
        error!("`{}` is not tried any more after {} s", notice.subject, within.as_secs());
    }
    told
}

/// Goes on until somebody was told: nothing ends what it is about but itself.
pub(super) async fn page_until_told(config: Config, client: reqwest::Client, notice: Notice) {
    while !page_from_memory(&config, &client, &notice, ROUND).await {
        // Whoever refuses it is not asked without a pause.
        tokio::time::sleep(PAGE_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_that_fails_again_within_five_minutes_does_not_page_again() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join(PAGED);
        let now = SystemTime::now();
        assert!(!paged_lately(&place, now), "never paged");
        note(&place).unwrap();
        let noted = fs::metadata(&place).unwrap().modified().unwrap();
        assert!(paged_lately(&place, noted + Duration::from_secs(299)));
        assert!(!paged_lately(&place, noted + Duration::from_secs(300)));
        assert!(!paged_lately(&place, noted - Duration::from_secs(1)), "the clock was set back");
        forget(dir.path());
        assert!(!paged_lately(&place, noted), "it has started in between");
    }
}
