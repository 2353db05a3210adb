//! How the rest of the daemon speaks to the event loop: it hides the channel, and every answer is durable.

use std::collections::BTreeSet;

use tokio::sync::{mpsc, oneshot};

use crate::{
    domain::{
        event::{Event, Now},
        fleet::Fleet,
        incident::speak::Reply,
        notice::Audience,
        policy::Policy,
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

/// The event loop, from outside. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    asks: mpsc::Sender<Ask>,
}

impl Handle {
    /// A handle and the receiving end; `depth` bounds what may wait.
    pub(crate) fn channel(depth: usize) -> (Self, mpsc::Receiver<Ask>) {
        let (asks, receiver) = mpsc::channel(depth);
        (Self { asks }, receiver)
    }

    /// Tells what happened. When this returns `Ok`, whatever followed from it is durable; the reply is the domain's
    /// answer to a person, where one spoke.
    pub async fn tell(&self, event: Event) -> Result<Option<Reply>, Unanswered> {
        let (answer, answered) = oneshot::channel();
        let ask = Ask::Told { event: Box::new(event), answer: Some(answer) };
        self.asks.try_send(ask).map_err(|fault| match fault {
            mpsc::error::TrySendError::Full(_) => Unanswered::Behind,
            mpsc::error::TrySendError::Closed(_) => Unanswered::Stopping,
        })?;
        answered.await.map_err(|_| Unanswered::Stopping)?.map_err(Unanswered::Unwritable)
    }

    /// Tells what a source or a task found, waiting while the queue is full. No answer is wanted.
    pub async fn report(&self, event: Event) -> Result<(), Unanswered> {
        let ask = Ask::Told { event: Box::new(event), answer: None };
        self.asks.send(ask).await.map_err(|_| Unanswered::Stopping)
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
        self.asks.send(Ask::Look(look)).await.map_err(|_| Unanswered::Stopping)?;
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
        self.asks.send(Ask::Store(work)).await.map_err(|_| Unanswered::Stopping)?;
        answered.await.map_err(|_| Unanswered::Stopping)
    }

    /// Swaps what the operator decided; what happened and what was seen stays.
    pub(crate) async fn adopt(&self, policy: Policy, routing: Routing) -> Result<(), Unanswered> {
        let ask = Ask::Adopt(Box::new(policy), routing);
        self.asks.send(ask).await.map_err(|_| Unanswered::Stopping)
    }

    /// Lets the event loop end at the next safe point.
    pub async fn stop(&self) {
        // When nobody listens it has stopped already.
        let _ = self.asks.send(Ask::Stop).await;
    }
}
