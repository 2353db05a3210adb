//! How the rest of the daemon speaks to the event loop: it hides the channel, and every answer is durable.

pub mod trials;

use std::collections::BTreeSet;

use tokio::sync::{mpsc, oneshot};

use crate::{
    domain::{
        event::{Event, Now, What},
        fleet::Fleet,
        incident::speak::Reply,
        notice::Audience,
        policy::Policy,
        watch::Raw,
    },
    store::Store,
};

/// Why the event loop gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// The journal cannot be written; nothing of it happened, and nothing is acted upon. Answer 503.
    #[error("the journal cannot be written: {0}")]
    Unwritable(String),
    /// More is queued than the event loop will hold. Answer 503.
    #[error("the event loop is behind")]
    Behind,
    /// The daemon is stopping.
    #[error("the daemon is stopping")]
    Stopping,
}

/// A look at everything, on the event loop's own thread.
type Look = Box<dyn FnOnce(&Fleet, Now) + Send>;
/// Work on the store, on the event loop's own thread: it is the only writer.
type Work = Box<dyn FnOnce(&mut Store, Now) + Send>;
/// Which channels take notices for whom.
pub type Routing = Vec<(String, BTreeSet<Audience>)>;
/// Where the answer to an event goes.
pub(crate) type Answer = oneshot::Sender<Result<Option<Reply>, String>>;

/// What the event loop is asked.
pub(crate) enum Ask {
    /// Something happened.
    Told { event: Box<Event>, answer: Option<Answer> },
    /// Somebody wants to look.
    Look(Look),
    /// Something else is to be written or read.
    Store(Work),
    /// The operator decided something else.
    Adopt(Box<Policy>, Routing),
    /// Stop at the next safe point.
    Stop,
}

/// Who goes before whom. Within each nothing overtakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    /// What people say, how steps went, whatever somebody waits for: little, and first.
    Urgent,
    /// Probes: what a P0 begins with must not wait behind thousands of readings that lead to less.
    Probes,
    /// Alerts and changes: as many as others send.
    Told,
    /// Everything else that is read, again and again.
    Readings,
}

impl Lane {
    fn of(what: &What) -> Self {
        match what {
            What::Polled { readings, .. } => {
                let is_probe = |raw: &Raw| matches!(raw, Raw::Up { .. } | Raw::Down { .. });
                if readings.iter().any(is_probe) { Self::Probes } else { Self::Readings }
            }
            What::Backfilled { .. }
            | What::Seen { .. }
            | What::SchemaSeen { .. }
            | What::SnapshotsSeen { .. }
            | What::RdsSeen { .. }
            | What::ScriptsSeen { .. }
            | What::ScriptTried { .. }
            | What::IntegritySeen { .. }
            | What::AlertsActive { .. } => Self::Readings,
            What::ChangePosted { .. } | What::Alerted { .. } | What::StepGoesOn { .. } => {
                Self::Told
            }
            What::EvidencePosted { .. }
            | What::StepReported { .. }
            | What::Spoke { .. }
            | What::Undelivered { .. }
            | What::KillSwitch { .. }
            | What::ClockSet { .. }
            | What::Configured { .. }
            | What::Discovered { .. }
            | What::ConfigRefused { .. }
            | What::Started
            | What::Tick => Self::Urgent,
        }
    }
}

/// So often something goes first before everybody has a turn: whoever asks without end starves nobody.
const FIRST_IN_A_ROW: u32 = 32;

/// The event loop's end of everything that it is asked.
#[derive(Debug)]
pub(crate) struct Asks {
    urgent: mpsc::Receiver<Ask>,
    probes: mpsc::Receiver<Ask>,
    told: mpsc::Receiver<Ask>,
    readings: mpsc::Receiver<Ask>,
    first_in_a_row: u32,
}

impl Asks {
    /// What to do next, or that nobody is left to ask. May be dropped: nothing is lost.
    pub(crate) async fn recv(&mut self) -> Option<Ask> {
        if self.first_in_a_row < FIRST_IN_A_ROW
            && let Ok(ask) = self.urgent.try_recv().or_else(|_| self.probes.try_recv())
        {
            self.first_in_a_row += 1;
            return Some(ask);
        }
        self.first_in_a_row = 0;
        let Self { urgent, probes, told, readings, .. } = self;
        tokio::select! {
            Some(ask) = urgent.recv() => Some(ask),
            Some(ask) = probes.recv() => Some(ask),
            Some(ask) = told.recv() => Some(ask),
            Some(ask) = readings.recv() => Some(ask),
            else => None,
        }
    }
}

/// The event loop, from outside. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    urgent: mpsc::Sender<Ask>,
    probes: mpsc::Sender<Ask>,
    told: mpsc::Sender<Ask>,
    readings: mpsc::Sender<Ask>,
}

impl Handle {
    /// A handle and the receiving end; `depth` bounds what may wait in each lane.
    pub(crate) fn channel(depth: usize) -> (Self, Asks) {
        let [urgent, probes, told, readings] = [(); 4].map(|()| mpsc::channel(depth));
        let asks = Asks {
            urgent: urgent.1,
            probes: probes.1,
            told: told.1,
            readings: readings.1,
            first_in_a_row: 0,
        };
        let handle =
            Self { urgent: urgent.0, probes: probes.0, told: told.0, readings: readings.0 };
        (handle, asks)
    }

    fn lane(&self, event: &Event) -> &mpsc::Sender<Ask> {
        match Lane::of(&event.what) {
            Lane::Urgent => &self.urgent,
            Lane::Probes => &self.probes,
            Lane::Told => &self.told,
            Lane::Readings => &self.readings,
        }
    }

    /// How much waits for the event loop.
    pub fn waiting(&self) -> usize {
        let lanes = [&self.urgent, &self.probes, &self.told, &self.readings];
        lanes.map(|lane| lane.max_capacity() - lane.capacity()).iter().sum()
    }

    /// Tells what happened. When this returns `Ok`, whatever followed from it is durable; the reply is the domain's
    /// answer to a person, where one spoke.
    pub async fn tell(&self, event: Event) -> Result<Option<Reply>, Unanswered> {
        let (answer, answered) = oneshot::channel();
        let lane = self.lane(&event);
        let ask = Ask::Told { event: Box::new(event), answer: Some(answer) };
        lane.try_send(ask).map_err(|fault| match fault {
            mpsc::error::TrySendError::Full(_) => Unanswered::Behind,
            mpsc::error::TrySendError::Closed(_) => Unanswered::Stopping,
        })?;
        answered.await.map_err(|_| Unanswered::Stopping)?.map_err(Unanswered::Unwritable)
    }

    /// Tells what a source or a task found, waiting while the queue is full. No answer is wanted.
    pub async fn report(&self, event: Event) -> Result<(), Unanswered> {
        let lane = self.lane(&event);
        let ask = Ask::Told { event: Box::new(event), answer: None };
        lane.send(ask).await.map_err(|_| Unanswered::Stopping)
    }

    /// Looks at everything; `look` runs on the event loop's thread and must be quick.
    pub async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Fleet, Now) -> T + Send + 'static,
    ) -> Result<T, Unanswered> {
        let (answer, answered) = oneshot::channel();
        let look: Look = Box::new(move |fleet, now| {
            // Whoever asked may have gone away.
            let _ = answer.send(look(fleet, now));
        });
        self.urgent.send(Ask::Look(look)).await.map_err(|_| Unanswered::Stopping)?;
        answered.await.map_err(|_| Unanswered::Stopping)
    }

    /// Works on the store; `work` runs on the event loop's thread and must be quick.
    pub(crate) async fn store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Store, Now) -> T + Send + 'static,
    ) -> Result<T, Unanswered> {
        let (answer, answered) = oneshot::channel();
        let work: Work = Box::new(move |store, now| {
            let _ = answer.send(work(store, now));
        });
        self.urgent.send(Ask::Store(work)).await.map_err(|_| Unanswered::Stopping)?;
        answered.await.map_err(|_| Unanswered::Stopping)
    }

    /// Swaps what the operator decided; what happened and what was seen stays.
    pub(crate) async fn adopt(&self, policy: Policy, routing: Routing) -> Result<(), Unanswered> {
        let ask = Ask::Adopt(Box::new(policy), routing);
        self.urgent.send(ask).await.map_err(|_| Unanswered::Stopping)
    }

    /// Lets the event loop end at the next safe point.
    pub async fn stop(&self) {
        // When nobody listens it has stopped already.
        let _ = self.urgent.send(Ask::Stop).await;
    }
}

#[cfg(test)]
mod tests;
