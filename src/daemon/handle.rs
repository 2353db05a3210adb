//! How the rest of the daemon speaks to the event loop: it hides the channel, and every answer is durable.

use tokio::sync::{mpsc, oneshot};

use crate::domain::{
    event::{Event, Now},
    fleet::Fleet,
    incident::speak::Reply,
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

/// What the event loop is asked.
pub(crate) enum Ask {
    /// Something happened.
    Told { event: Box<Event>, answer: Option<oneshot::Sender<Result<Option<Reply>, String>>> },
    /// Somebody wants to look.
    Look(Look),
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
}
