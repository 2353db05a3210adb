//! Delivers what the outbox holds, channel by channel. Never in front of an action, and never silently given up.

use std::{collections::BTreeSet, sync::Arc};

use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
    time::{Duration, Instant},
};
use tracing::{error, warn};

use crate::handle::{Handle, Unanswered};
use crate::{
    domain::{
        backoff::backoff,
        delivery::{self, Next, Went},
        event::{Event, What},
        notice::{Notice, Urgency},
    },
    notifiers::{
        Channel, DeliveryError,
        pace::{Pace, Rate},
    },
    store::{OutboxRow, StoreError},
    telemetry,
};

/// So old may be what was found due: a page comes before the rest of it, also one that is tried again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Between two looks: in a storm there is news with every turn, and each look is the event loop's time.
const LOOK_PAUSE: Duration = Duration::from_millis(50);
/// How often a notice that cannot be written down is tried on each channel.
const UNWRITTEN_ATTEMPTS: u32 = 10;
/// Deliveries of such notices under way before the next one waits.
const UNWRITTEN_AT_ONCE: usize = 64;

/// Delivers one channel's notices until the event loop ends.
pub(super) async fn deliver(
    channel: Arc<Channel>,
    client: reqwest::Client,
    handle: Handle,
    mut news: watch::Receiver<u64>,
    permits: Arc<Semaphore>,
) {
    // What arrived while that could not be written down: nobody is told over and over because a disk is full.
    let mut arrived = BTreeSet::new();
    let mut pace = Pace::new(channel.notifier.rate().unwrap_or(Rate::WEBHOOK));
    let mut looked = None;
    loop {
        if let Some(looked) = looked {
            tokio::time::sleep_until(looked + LOOK_PAUSE).await;
        }
        news.mark_unchanged();
        let name = channel.name.clone();
        let look = handle
            .store(move |store, now| {
                let (rows, next) = store.due(&name, now.wall)?;
                Ok::<_, StoreError>((rows, next.map(|at| at.since(now.wall))))
            })
            .await;
        let (rows, next) = match look {
            Ok(Ok(waiting)) => waiting,
            Ok(Err(fault)) => {
                warn!(
                    channel = channel.name,
                    "the outbox cannot be read: {}",
                    telemetry::chain(&fault)
                );
                (vec![], None)
            }
            Err(_) => return,
        };
        let found = Instant::now();
        looked = Some(found);
        if rows.is_empty() {
            let pause = next.map_or(Duration::from_secs(5), |span| {
                span.duration().clamp(Duration::from_millis(50), Duration::from_secs(5))
            });
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                changed = news.changed() => if changed.is_err() { return },
            }
            continue;
        }
        for row in rows {
            let key = row.id;
            let arrives = if arrived.contains(&key) {
                mark_delivered(&handle, row).await
            } else {
                // Waited for without a permit: silence that one receiver asks for is no other channel's.
                match its_turn(&pace, row.notice.urgency, &mut news).await {
                    Turn::Now => {}
                    Turn::News => break,
                    Turn::Ended => return,
                }
                let Ok(_permit) = permits.acquire().await else { return };
                deliver_one(&channel, &client, &handle, &mut pace, row).await
            };
            match arrives {
                Ok(Written::Yes) => arrived.remove(&key),
                Ok(Written::NotThatItArrived) => arrived.insert(key),
                Err(_) => return,
            };
            if news.has_changed().unwrap_or(true) || found.elapsed() >= LOOK_AGAIN {
                break;
            }
        }
    }
}

/// Whether a notice is sent now.
enum Turn {
    Now,
    /// Something new has come, which may go first.
    News,
    Ended,
}

async fn its_turn(pace: &Pace, urgency: Urgency, news: &mut watch::Receiver<u64>) -> Turn {
    let ready = Instant::from_std(pace.ready_at(urgency, Instant::now().into_std()));
    tokio::select! {
        // First: however much news there is, what may be sent is sent.
        biased;
        () = tokio::time::sleep_until(ready) => Turn::Now,
        changed = news.changed() => if changed.is_ok() { Turn::News } else { Turn::Ended },
    }
}

/// What the outbox knows of a delivery.
enum Written {
    /// How it went.
    Yes,
    /// Nothing: it arrived, and the outbox could not be written.
    NotThatItArrived,
}

async fn mark_delivered(handle: &Handle, row: OutboxRow) -> Result<Written, Unanswered> {
    let written = write(handle, move |store, _| store.delivered(&row)).await?;
    Ok(if written { Written::Yes } else { Written::NotThatItArrived })
}

async fn deliver_one(
    channel: &Channel,
    client: &reqwest::Client,
    handle: &Handle,
    pace: &mut Pace,
    row: OutboxRow,
) -> Result<Written, Unanswered> {
    let result = channel.deliver(client, &row.notice).await;
    pace.sent(Instant::now().into_std());
    telemetry::delivered(&channel.name, &result);
    let (went, why) = match result {
        Ok(()) => (Went::Arrived, String::new()),
        Err(DeliveryError::Retry { why, after }) => {
            if let Some(after) = after {
                pace.close(after, Instant::now().into_std());
            }
            (Went::Later { after }, why)
        }
        Err(DeliveryError::Refused { why }) => {
            error!(channel = channel.name, "`{}` was refused: {why}", row.notice.subject);
            (Went::Refused, why)
        }
    };
    match delivery::next(went, &channel.name, &row.notice, row.attempts, &why) {
        Next::Delivered => return mark_delivered(handle, row).await,
        Next::Again { wait, tell } => {
            // Told once while it is tried again, and once when it is given up.
            report(handle, channel, &row, "late", tell).await?;
            write(handle, move |store, now| store.failed(&row, &why, now.wall + wait)).await?;
        }
        Next::GivenUp { tell } => {
            report(handle, channel, &row, "given-up", tell).await?;
            write(handle, move |store, _| store.dead(&row, &why)).await?;
        }
    }
    Ok(Written::Yes)
}

/// Tells the event loop, so that the failure is visible on every other channel.
async fn report(
    handle: &Handle,
    channel: &Channel,
    row: &OutboxRow,
    stage: &str,
    tell: Option<Box<What>>,
) -> Result<(), Unanswered> {
    let Some(what) = tell else { return Ok(()) };
    let id = format!("undelivered:{stage}:{}:{}", channel.name, row.notice.id);
    handle.report(Event { id, what: *what }).await
}

async fn write(
    handle: &Handle,
    work: impl FnOnce(&mut crate::store::Store, crate::domain::event::Now) -> Result<(), StoreError>
    + Send
    + 'static,
) -> Result<bool, Unanswered> {
    let Err(fault) = handle.store(work).await? else { return Ok(true) };
    let why = telemetry::chain(&fault);
    warn!("the outbox cannot be written, a notice may arrive twice: {why}");
    // The journal says so too; without a pause this would be tried over and over.
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(false)
}

/// Sends what cannot be written down, on every channel at once; one that does not answer keeps no other waiting.
pub(super) async fn deliver_unwritten(
    channels: watch::Receiver<Vec<Arc<Channel>>>,
    client: reqwest::Client,
    mut notices: mpsc::Receiver<Notice>,
) {
    let mut under_way: JoinSet<bool> = JoinSet::new();
    loop {
        tokio::select! {
            notice = notices.recv(), if under_way.len() < UNWRITTEN_AT_ONCE => {
                let Some(notice) = notice else { break };
                let channels = channels.borrow().clone();
                for channel in &channels {
                    let (channel, client) = (channel.clone(), client.clone());
                    under_way.spawn(insist(channel, client, notice.clone()));
                }
            }
            Some(_) = under_way.join_next() => {}
        }
    }
    while under_way.join_next().await.is_some() {}
}

/// Tries until it arrives or is refused, a bounded number of times: nothing else remembers this notice.
/// Whether it arrived.
pub(super) async fn insist(channel: Arc<Channel>, client: reqwest::Client, notice: Notice) -> bool {
    for attempt in 1..=UNWRITTEN_ATTEMPTS {
        match channel.deliver(&client, &notice).await {
            Ok(()) => return true,
            Err(fault @ DeliveryError::Refused { .. }) => {
                error!(channel = channel.name, "`{}` was refused: {fault}", notice.subject);
                return false;
            }
            Err(DeliveryError::Retry { why, after }) => {
                error!(
                    channel = channel.name,
                    attempt, "`{}` did not arrive: {why}", notice.subject
                );
                if attempt < UNWRITTEN_ATTEMPTS {
                    let pause = after.unwrap_or_else(|| backoff(attempt, &notice.id));
                    tokio::time::sleep(pause.duration()).await;
                }
            }
        }
    }
    false
}

#[cfg(test)]
mod tests;
