//! The daemon from its start to its safe end.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{Notify, mpsc, watch},
    task::JoinSet,
};
use tracing::{error, info, warn};

use super::{
    clock::{self, Clock},
    delivery, discovery,
    event_loop::{EventLoop, Wiring},
    followers::Followers,
    giving_up,
    hold::Hold,
    journaling,
    opening::{self, Opened},
    reload::Reload,
    serving::{self, Served},
    standstill, supervise, tasks, wiring,
};
use crate::{
    config::Config,
    domain::{fleet::Fleet, notice::Notice, policy::Policy, wording},
    executors,
    handle::{Asks, Handle},
    notifiers,
    store::{Lease, Store},
    telemetry,
};

/// What may wait for the event loop before senders are told that it is behind.
const ASKS_MAX: usize = 10_000;
/// Steps under way have this long to end after SIGTERM; systemd waits a little longer.
const STOP_WITHIN: Duration = Duration::from_secs(80);
/// Whoever lost the lease does nothing any more but to say so, and ends for the other one's sake.
const LEASE_LOST_TELLS: Duration = Duration::from_secs(15);
/// Whoever stops it does not wait longer for the page that it was in the middle of something.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// The event loop has this long to end once nothing is waited for any more.
const END_WITHIN: Duration = Duration::from_secs(5);

/// Runs until SIGTERM or SIGINT, or until something that must run has ended. SIGHUP reads the file at `path` anew.
pub async fn run(config: Config, path: PathBuf) -> anyhow::Result<()> {
    // A limit on the size of files is to look like a full disk, which is told and survived; the signal would end us.
    // Once there is a receiver the default is gone for good, whatever becomes of the receiver.
    let too_large = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    drop(signal(too_large).context("SIGXFSZ")?);
    // Of a large fleet both are large, and they are read again with what was found before.
    let config = Config { policy: Policy::default(), polls: vec![], ..config };
    let metrics = telemetry::install_metrics().context("the metrics recorder")?;
    let client =
        notifiers::http::client(notifiers::http::CONNECT).context("the client of notices")?;
    let mut running = match Box::pin(start(&config, path, &client, metrics.clone())).await {
        Ok(running) => running,
        Err(fault) => {
            error!("the daemon cannot start: {fault:#}");
            let mut stop = StopSignals::new()?;
            let tell = async {
                let page = giving_up::page(&config, &client, &fault);
                tokio::join!(page, giving_up::stand(&config, metrics, &fault))
            };
            tokio::select! {
                () = stop.next() => {}
                _ = tell => {}
            }
            return Err(fault);
        }
    };
    giving_up::forget(&config.state_dir);
    let mut stop = StopSignals::new()?;
    let result = until_told_to_stop(&mut running, &client, &mut stop).await;
    supervise::notify(&[sd_notify::NotifyState::Stopping]);
    running.stop_serving.notify_waiters();
    let left = running.handle.look(|fleet, _| wording::left_at_stop(fleet)).await;
    running.handle.stop().await;
    let end = wait_for_the_end(&running.handle, running.ended, &mut stop);
    let told = tell_what_is_left(left.ok().flatten(), &running.reload.config, &client);
    let (safe, ()) = tokio::join!(end, told);
    running.followers.tasks.shutdown().await;
    running.side.shutdown().await;
    if safe && running.thread.join().is_err() {
        error!("the event loop ended badly");
    }
    result
}

/// Nobody switches off what is on when it stops; whoever stopped it may not start it again.
async fn tell_what_is_left(left: Option<String>, config: &Config, client: &reqwest::Client) {
    let Some(why) = left else { return };
    let notice = journaling::stopped_in_maintenance_notice(&why, clock::wall());
    giving_up::page_from_memory(config, client, &notice, LAST_WORDS).await;
}

/// A daemon that is ready.
struct Running {
    side: JoinSet<()>,
    followers: Followers,
    reload: Reload,
    handle: Handle,
    lease: Lease,
    ended: watch::Receiver<bool>,
    thread: std::thread::JoinHandle<()>,
    stop_serving: Arc<Notify>,
}

async fn start(
    config: &Config,
    path: PathBuf,
    client: &reqwest::Client,
    metrics: PrometheusHandle,
) -> anyhow::Result<Running> {
    let opening = opening::open(config, &path);
    let opened = opening::told_if_it_hangs(opening, config, client, &metrics).await?;
    let Opened { store, fleet, clock, rosters, text, config: read } = opened;
    let config = &read;
    let lease = store.lease().clone();
    info!(epoch = lease.epoch(), services = fleet.policy.services.len(), "the journal is folded");
    let hold = Hold::new(&config.state_dir, fleet.kill_switch.clone());
    let (handle, asks) = Handle::channel(ASKS_MAX);
    let Parts { wiring, orders, unwritten, outbox, watched, closed } = Parts::new(config);
    let from_memory = wiring.unwritten.clone();
    let executor = executors::Options::new(config.state_dir.clone()).context("the executors")?;
    end_orphans(&config.state_dir).await;

    let mut side = JoinSet::new();
    let mut followers = Followers::new(
        handle.clone(),
        client.clone(),
        (executor.clone(), lease.clone()),
        outbox,
        watched,
    );
    let channels = followers.channels.subscribe();
    side.spawn(delivery::deliver_unwritten(channels, client.clone(), unwritten));
    side.spawn(supervise::reports(config.reports_dir.clone(), handle.clone(), closed));
    side.spawn(supervise::gauges(handle.clone(), metrics.clone()));
    side.spawn(supervise::housekeeping(handle.clone()));
    followers.follow(config, async { Ok(()) }).await?;
    let Served { stop: stop_serving, at, interface } =
        serving::start(&mut side, config, &handle, metrics, &executor.scripts).await?;
    // Whatever can fail has been done: a daemon that cannot start neither begins a step nor breaks one off. What was
    // asked meanwhile waits in the channel.
    let (ending, ended) = watch::channel(false);
    let thread = start_event_loop(fleet, store, clock, wiring, asks, ending)?;
    let (to_lease, to_hold) = (lease.clone(), hold.clone());
    side.spawn(tasks::carry_out(orders, executor, to_lease, handle.clone(), to_hold));
    side.spawn(hold.watch(handle.clone()));
    side.spawn(standstill::watch(handle.clone(), from_memory));
    tokio::spawn(supervise::watchdog(handle.clone()));
    supervise::notify(&[sd_notify::NotifyState::Ready, sd_notify::NotifyState::Status(&at)]);
    info!("rollbackd {} is ready; {at}", env!("CARGO_PKG_VERSION"));
    let written = discovery::Written::default();
    let reload = Reload { path, text, config: read, rosters, written, refused: None, interface };
    Ok(Running { side, followers, reload, handle, lease, ended, thread, stop_serving })
}

/// The ends of the event loop's channels that the tasks hold.
struct Parts {
    wiring: Wiring,
    orders: mpsc::UnboundedReceiver<(crate::domain::service::ServiceId, crate::domain::run::Order)>,
    unwritten: mpsc::Receiver<Notice>,
    outbox: watch::Receiver<u64>,
    watched: watch::Receiver<BTreeSet<crate::domain::service::ServiceId>>,
    closed: mpsc::UnboundedReceiver<(crate::domain::service::ServiceId, String)>,
}

impl Parts {
    fn new(config: &Config) -> Self {
        // Orders and closed incidents are few: one for each service at most.
        let (orders_in, orders) = mpsc::unbounded_channel();
        let (closed_in, closed) = mpsc::unbounded_channel();
        let (unwritten_in, unwritten) = mpsc::channel(16);
        let (outbox_in, outbox) = watch::channel(0);
        let (watched_in, watched) = watch::channel(BTreeSet::new());
        let wiring = Wiring {
            orders: orders_in,
            unwritten: unwritten_in,
            outbox: outbox_in,
            watched: watched_in,
            closed: closed_in,
            routing: wiring::routing(&config.channels),
            snapshot_every: config.store.snapshot_every,
        };
        Self { wiring, orders, unwritten, outbox, watched, closed }
    }
}

fn start_event_loop(
    fleet: Fleet,
    store: Store,
    clock: Clock,
    wiring: Wiring,
    asks: Asks,
    ending: watch::Sender<bool>,
) -> anyhow::Result<std::thread::JoinHandle<()>> {
    let runtime = tokio::runtime::Handle::current();
    let event_loop = EventLoop::new(fleet, store, clock, wiring);
    let thread = std::thread::Builder::new().name("event-loop".into()).spawn(move || {
        runtime.block_on(event_loop.run(asks));
        // Nobody may be left to hear it.
        let _ = ending.send(true);
    });
    thread.context("the event loop's thread")
}

/// Children that outlived a crash are dealt with before anything is carried out: their step observes afterwards.
async fn end_orphans(state_dir: &Path) {
    for orphan in executors::orphan::orphans(state_dir).await {
        let executors::orphan::Orphan { record, process } = orphan;
        warn!(
            run = record.run,
            step = record.step + 1,
            pid = process.pid,
            "a program of an earlier daemon still runs: `{}`; its step waits for it, then ends it",
            record.argv.join(" ")
        );
    }
}

/// The signals that end the daemon. One and the same stream hears the first and the second: between two of them nothing
/// is lost.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("SIGINT")?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Waits for a signal. A task that must run and has ended ends the daemon too: systemd starts it anew.
async fn until_told_to_stop(
    running: &mut Running,
    client: &reqwest::Client,
    stop: &mut StopSignals,
) -> anyhow::Result<()> {
    let Running { side, followers, reload, handle, lease, ended, .. } = running;
    let mut lost = std::pin::pin!(supervise::lease_lost(lease));
    let mut hangup = signal(SignalKind::hangup()).context("SIGHUP")?;
    loop {
        tokio::select! {
            () = stop.next() => return Ok(()),
            _ = hangup.recv() => {
                supervise::notify_reloading();
                reload.reload(handle, followers).await;
                supervise::notify(&[sd_notify::NotifyState::Ready]);
            }
            why = &mut lost => {
                let notice = journaling::lease_lost_notice(&why, clock::wall());
                giving_up::page_from_memory(&reload.config, client, &notice, LEASE_LOST_TELLS).await;
                anyhow::bail!("the lease is lost: {why}");
            }
            _ = ended.changed() => anyhow::bail!("the event loop has ended"),
            Some(task) = side.join_next() => return ended_early(task),
            Some(answer) = followers.answers.recv() => {
                reload.found(answer, handle, followers).await;
            }
            // What is not read any more was ended by us.
            Some(task) = followers.tasks.join_next() => {
                if !task.as_ref().is_err_and(tokio::task::JoinError::is_cancelled) {
                    return ended_early(task);
                }
            }
        }
    }
}

fn ended_early(task: Result<(), tokio::task::JoinError>) -> anyhow::Result<()> {
    match task {
        Ok(()) => anyhow::bail!("a task that must run has ended"),
        Err(fault) => anyhow::bail!("a task that must run ended badly: {fault}"),
    }
}

/// Whether the event loop has ended. A step that takes too long, or whose task has died, is not waited for, nor is
/// any once somebody asks again: a person who asks a second time does not want to wait.
async fn wait_for_the_end(
    handle: &Handle,
    mut ended: watch::Receiver<bool>,
    stop: &mut StopSignals,
) -> bool {
    let safe = tokio::select! {
        safe = tokio::time::timeout(STOP_WITHIN, ended.wait_for(|ended| *ended)) => safe.is_ok(),
        () = stop.next() => false,
    };
    if safe {
        return true;
    }
    warn!("a step is still under way; it is observed at the next start");
    let end = async {
        handle.stop().await;
        // An error says that it has ended too, and badly.
        let _ = ended.wait_for(|ended| *ended).await;
    };
    let ends = tokio::time::timeout(END_WITHIN, end).await.is_ok();
    if !ends {
        error!("the event loop does not end; the windows since the last snapshot are lost");
    }
    ends
}
