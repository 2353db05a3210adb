//! Attempts in flight: starts each order the event loop sends, and reports how it ended.

use std::time::Duration;

use tokio::{
    sync::mpsc,
    task::{JoinError, JoinHandle, JoinSet},
    time::{MissedTickBehavior, interval},
};
use tracing::{Instrument, error, info_span};

use crate::handle::Handle;
use crate::{
    domain::{
        event::{Event, What},
        run::{Order, Outcome, Report},
        service::ServiceId,
    },
    executors,
    store::Lease,
    telemetry,
};

/// An attempt is asked so often how far it is; how often people are told is for the policy to say.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Carries out orders until the event loop has gone and every attempt has ended.
pub(super) async fn carry_out(
    mut orders: mpsc::UnboundedReceiver<(ServiceId, Order)>,
    options: executors::Options,
    lease: Lease,
    handle: Handle,
    hold: super::hold::Hold,
) {
    let mut in_flight: JoinSet<()> = JoinSet::new();
    loop {
        tokio::select! {
            order = orders.recv() => {
                let Some((service, order)) = order else { break };
                let span = info_span!("step", %service, run = order.run);
                let (options, lease) = (options.clone(), lease.clone());
                let (handle, hold) = (handle.clone(), hold.clone());
                let attempt = one(service, order, options, lease, handle, hold);
                in_flight.spawn(attempt.instrument(span));
            }
            Some(ended) = in_flight.join_next() => {
                if let Err(fault) = ended {
                    error!("a step's task ended badly; it is observed at the next start: {fault}");
                }
            }
        }
    }
    while in_flight.join_next().await.is_some() {}
}

/// Waits for an attempt, and tells meanwhile how far it is.
async fn told_of(
    service: &ServiceId,
    order: &Order,
    options: &executors::Options,
    handle: &Handle,
    mut work: JoinHandle<Report>,
) -> Result<Report, JoinError> {
    let mut telling = interval(TOLD_EVERY);
    telling.set_missed_tick_behavior(MissedTickBehavior::Delay);
    telling.tick().await;
    loop {
        tokio::select! {
            ended = &mut work => return ended,
            _ = telling.tick() => {}
        }
        let (run, step, attempt) = (order.run.clone(), order.step, order.attempt);
        let id = format!("goes-on:{run}:{step}:{attempt}");
        let said = options.progress.of(&run);
        let what = What::StepGoesOn { service: service.clone(), run, step, attempt, said };
        tokio::select! {
            ended = &mut work => return ended,
            // A loop that has gone is told by whoever reports the end.
            _ = handle.report(Event { id, what }) => {}
        }
    }
}

async fn one(
    service: ServiceId,
    order: Order,
    options: executors::Options,
    lease: Lease,
    handle: Handle,
    hold: super::hold::Hold,
) {
    // A panic in an executor must not leave the run waiting for ever: it becomes an unknown outcome.
    let work = {
        let (order, options, lease) = (order.clone(), options.clone(), lease.clone());
        let attempt = async move { executors::carry_out(&order, &options, &lease).await };
        tokio::spawn(attempt.in_current_span())
    };
    let report =
        told_of(&service, &order, &options, &handle, work).await.unwrap_or_else(|fault| Report {
            outcome: Outcome::Unknown { why: format!("its task ended badly: {fault}") },
            before: String::new(),
            after: String::new(),
            output: String::new(),
            left: String::new(),
            unmoved: false,
            took_ms: 0,
        });
    telemetry::step(&service, &report);
    if matches!(report.outcome, Outcome::Withheld { .. }) {
        // The domain must know of the kill switch before it hears that a step was withheld by it.
        hold.look(&handle).await;
    }
    let id = format!("step:{}:{}:{}", order.run, order.step, order.attempt);
    let what = What::StepReported {
        service,
        run: order.run,
        step: order.step,
        attempt: order.attempt,
        fallback: order.fallback,
        report,
    };
    if handle.report(Event { id, what }).await.is_err() {
        error!("the event loop has gone; the step is observed at the next start");
    }
}
