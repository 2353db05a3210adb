//! Whoever asks that a script be tried, and whoever can.

use tokio::sync::{mpsc, oneshot};

use crate::domain::schema::script::{Changes, ScriptRun};

/// What a trial shows, or why it cannot be run.
type Came = Result<Changes, String>;

/// One script to be tried. Once nobody waits for the answer any more, it need not be.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Which, on which schema.
    pub(crate) of: ScriptRun,
    /// Where the answer goes.
    pub(crate) answer: oneshot::Sender<Came>,
}

/// The asking end. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Trials(mpsc::Sender<Asked>);

impl Trials {
    /// An asking end, and the other. One at a time: two would wait for one another's locks, and so would everybody else.
    pub(crate) fn channel() -> (Self, mpsc::Receiver<Asked>) {
        let (asking, asked) = mpsc::channel(1);
        (Self(asking), asked)
    }

    /// Has it tried, unless another is.
    pub(crate) async fn try_out(&self, of: ScriptRun) -> Result<Came, &'static str> {
        let (answer, answered) = oneshot::channel();
        let asked = self.0.try_send(Asked { of, answer });
        asked.map_err(|_| "another script is being tried, or the daemon stops: ask again later")?;
        answered.await.map_err(|_| "the daemon stops, and what was tried is taken back")
    }
}
