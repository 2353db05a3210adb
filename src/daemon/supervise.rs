//! Everything that runs beside the event loop, each in a task of its own: what ends unexpectedly ends the daemon.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};
use tracing::{error, info, warn};

use crate::handle::Handle;
use crate::{
    domain::{
        event::{Event, What},
        report,
        service::ServiceId,
    },
    notifiers::heartbeat::Heartbeat,
    store::{Lease, Withheld},
    telemetry,
};

/// Whether the event loop answers: what the watchdog stands on.
pub(super) async fn is_alive(handle: &Handle) -> bool {
    let look = handle.look(|_, _| ());
    tokio::time::timeout(Duration::from_secs(10), look).await.is_ok_and(|answer| answer.is_ok())
}

/// Whether the daemon could act: the event loop answers, the lease is held, and the journal can be written.
pub(super) async fn is_able(handle: &Handle) -> bool {
    let permits = handle.store(|store, _| store.lease().permits());
    let answer = tokio::time::timeout(Duration::from_secs(10), permits).await;
    match answer {
        // A person's HOLD is no fault of ours.
        Ok(Ok(Ok(()) | Err(Withheld::Hold { .. }))) => true,
        Ok(Ok(Err(_)) | Err(_)) | Err(_) => false,
    }
}

/// Ends when the lease is lost, and says why: a daemon whose every step is withheld must be started anew.
pub(super) async fn lease_lost(lease: &Lease) -> String {
    let mut tick = interval(Duration::from_secs(5));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if let Err(lost @ Withheld::LeaseLost) = lease.permits() {
            return lost.to_string();
        }
    }
}

/// Tells systemd that all is well, half as often as it asks for, and only while the event loop answers.
pub(super) async fn watchdog(handle: Handle) {
    let Some(every) = sd_notify::watchdog_enabled() else { return };
    let mut tick = interval(every / 2);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if is_alive(&handle).await {
            notify(&[sd_notify::NotifyState::Watchdog]);
        } else {
            error!("the event loop does not answer; systemd will restart the daemon");
        }
    }
}

/// Tells systemd that a reload begins; it is over with the next `Ready`.
pub(super) fn notify_reloading() {
    match sd_notify::NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[sd_notify::NotifyState::Reloading, now]),
        Err(fault) => warn!("systemd could not be told of the reload: {fault}"),
    }
}

/// Tells systemd something, where it listens.
pub(super) fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(fault) = sd_notify::notify(states) {
        warn!("systemd could not be told: {fault}");
    }
}

/// Pings an outside monitor while all is well: a silent daemon is the worst fault.
pub(super) async fn heartbeat(heartbeat: Heartbeat, client: reqwest::Client, handle: Handle) {
    let mut tick = interval(heartbeat.every.duration());
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if !is_able(&handle).await {
            warn!("no heartbeat: the daemon could not act now");
            continue;
        }
        let result = heartbeat.ping(&client).await;
        telemetry::heartbeat(result.is_ok());
        if let Err(fault) = result {
            warn!("the heartbeat did not arrive: {fault}");
        }
    }
}

/// Keeps the gauges, from the start on, and the recorder's memory bounded.
pub(super) async fn gauges(handle: Handle, metrics: metrics_exporter_prometheus::PrometheusHandle) {
    let mut gauges = telemetry::Gauges::default();
    let mut tick = interval(Duration::from_secs(5));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        metrics.run_upkeep();
        let depth = handle.store(|store, _| store.view().depth()).await;
        if let Ok(Ok(depth)) = depth {
            telemetry::outbox(&depth);
        }
        let seen =
            handle.look(|fleet, now| (telemetry::Seen::of(fleet, now), telemetry::drops(fleet)));
        if let Ok((seen, drops)) = seen.await {
            gauges.set(seen);
            telemetry::dropped(&drops);
        }
    }
}

/// Writes the report of every incident that closed.
pub(super) async fn reports(
    dir: PathBuf,
    handle: Handle,
    mut closed: mpsc::UnboundedReceiver<(ServiceId, String)>,
) {
    while let Some((service, incident)) = closed.recv().await {
        let path = dir.join(format!("{incident}.md"));
        if path.exists() {
            continue;
        }
        let wanted = incident.clone();
        let text = handle.look(move |fleet, now| {
            fleet.look(&service, now, |s, _| {
                let past = s.state.past.each().find(|i| i.id == wanted)?;
                Some(report::markdown(s, past))
            })
        });
        let Ok(Some(Some(text))) = text.await else { continue };
        match write_report(&dir, &path, text).await {
            Ok(()) => info!("report of {incident}: {}", path.display()),
            Err(fault) => error!("the report of {incident} could not be written: {fault:#}"),
        }
    }
}

async fn write_report(
    dir: &std::path::Path,
    path: &std::path::Path,
    text: String,
) -> anyhow::Result<()> {
    tokio::fs::create_dir_all(dir).await.with_context(|| format!("making {}", dir.display()))?;
    let new = path.with_extension("new");
    tokio::fs::write(&new, text).await.with_context(|| format!("writing {}", new.display()))?;
    tokio::fs::rename(&new, path).await.with_context(|| format!("naming {}", path.display()))
}

/// Asks Alertmanager which alerts are still active, while an incident stands on one.
pub(super) async fn confirm_alerts(
    asks: Arc<crate::sources::alertmanager::Alertmanager>,
    every: Duration,
    handle: Handle,
) {
    let mut tick = interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let Ok(wanted) = handle.look(|fleet, _| fleet.alerts_to_confirm()).await else { return };
        if wanted.is_empty() {
            continue;
        }
        let firing = match asks.firing().await {
            Ok(firing) => firing,
            Err(fault) => {
                warn!("Alertmanager could not be asked: {}", telemetry::chain(&fault));
                continue;
            }
        };
        for (service, fingerprints) in wanted {
            let of_it = |all: &BTreeSet<String>| all.intersection(&fingerprints).cloned().collect();
            let (active, suppressed) = (of_it(&firing.active), of_it(&firing.suppressed));
            let id = format!("alerts:{service}:{}", super::clock::wall().0);
            let what = What::AlertsActive { service, fingerprints: active, suppressed };
            let event = Event { id, what };
            if handle.report(event).await.is_err() {
                return;
            }
        }
    }
}

/// Prunes the journal once a night. A calendar job, and no deadline: a night missed is made up for the next.
pub(super) async fn housekeeping(handle: Handle) {
    let calendar = match tokio_cron_scheduler::JobScheduler::new().await {
        Ok(calendar) => calendar,
        Err(fault) => {
            error!("the calendar cannot be kept, the journal is not pruned: {fault}");
            return std::future::pending().await;
        }
    };
    let job = tokio_cron_scheduler::Job::new_async("0 17 3 * * *", move |_, _| {
        let handle = handle.clone();
        Box::pin(async move { prune(&handle).await })
    });
    let kept = match job {
        Ok(job) => calendar.add(job).await.map(|_| ()),
        Err(fault) => Err(fault),
    };
    let started = match kept {
        Ok(()) => calendar.start().await,
        Err(fault) => Err(fault),
    };
    if let Err(fault) = started {
        error!("the calendar cannot be kept, the journal is not pruned: {fault}");
    }
    // The calendar ends with this task.
    std::future::pending().await
}

async fn prune(handle: &Handle) {
    loop {
        let pruned = handle
            .store(|store, now| {
                let floor = store.view().load_checkpoint()?.map_or(0, |kept| kept.seq);
                store.prune(now.wall, floor)
            })
            .await;
        match pruned {
            Ok(Ok(pruned)) if pruned.more => {}
            Ok(Ok(pruned)) => {
                info!(records = pruned.records, "the journal is pruned");
                return;
            }
            Ok(Err(fault)) => {
                warn!("the journal could not be pruned: {}", telemetry::chain(&fault));
                return;
            }
            Err(_) => return,
        }
    }
}
