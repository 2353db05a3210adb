//! Whether the event loop stands still: a disk that hangs holds it inside a write, and nobody else would say so.
//!
//! What is told of it goes out from memory: the outbox is behind the same disk.

use std::{pin::pin, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tracing::{error, warn};

use super::{clock, journaling};
use crate::{domain::notice::Notice, handle::Handle, telemetry};

/// How often the event loop is asked.
const EVERY: Duration = Duration::from_secs(1);
/// A turn takes far less than a second: without an answer for so long people are paged. The watchdog waits longer.
const STANDS_STILL: Duration = Duration::from_secs(8);
/// Whoever was stopped together with everything else finds every patience at its end, and has an answer at once.
const GRACE: Duration = Duration::from_secs(1);

/// Asks again and again whether the event loop answers, and pages once when it does not.
pub(super) async fn watch(handle: Handle, unwritten: mpsc::Sender<Notice>) {
    let mut every = interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        telemetry::events_waiting(handle.waiting());
        let begun = Instant::now();
        let mut look = pin!(handle.look(|_, _| ()));
        let answered = match timeout(STANDS_STILL, &mut look).await {
            Ok(answer) => Some(answer),
            Err(_) => timeout(GRACE, &mut look).await.ok(),
        };
        let answer = match answered {
            Some(answer) => answer,
            None => {
                page(&unwritten, begun.elapsed());
                telemetry::event_loop_answers(false);
                let answer = loop {
                    tokio::select! {
                        answer = &mut look => break answer,
                        _ = every.tick() => telemetry::events_waiting(handle.waiting()),
                    }
                };
                telemetry::event_loop_answers(true);
                warn!("the event loop answers again, after {:.1} s", begun.elapsed().as_secs_f64());
                answer
            }
        };
        if answer.is_err() {
            // It has ended, and whoever waits for that knows.
            return std::future::pending().await;
        }
    }
}

fn page(unwritten: &mpsc::Sender<Notice>, after: Duration) {
    let why = format!(
        "its event loop has not answered for {} s: most likely the disk under its journal hangs",
        after.as_secs()
    );
    error!("nothing is decided: {why}");
    if unwritten.try_send(journaling::standstill_notice(&why, clock::wall())).is_err() {
        error!("and the page about it could not be queued");
    }
}
