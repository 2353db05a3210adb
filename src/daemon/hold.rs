//! The kill switch: a `HOLD` file in the state directory, which works when nothing else does.

use std::{path::PathBuf, sync::Arc};

use tokio::{
    sync::Mutex,
    time::{Duration, MissedTickBehavior},
};

use crate::handle::Handle;
use crate::{
    domain::event::{Event, What},
    store::lease::HOLD_FILE,
};

/// How often the file is looked for; executors look for themselves before every effect.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A reason longer than this is cut.
const REASON_MAX: usize = 300;

/// The kill switch, as last seen.
#[derive(Clone, Debug)]
pub(super) struct Hold {
    path: PathBuf,
    seen: Arc<Mutex<Option<String>>>,
}

impl Hold {
    /// The kill switch of a state directory; `known` is what the journal says of it.
    pub(super) fn new(state_dir: &std::path::Path, known: Option<String>) -> Self {
        Self { path: state_dir.join(HOLD_FILE), seen: Arc::new(Mutex::new(known)) }
    }

    /// Looks now, and tells the event loop of a change.
    pub(super) async fn look(&self, handle: &Handle) {
        let mut seen = self.seen.lock().await;
        let reason = match tokio::fs::read(&self.path).await {
            Ok(content) => Some(first_line(&content)),
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => None,
            // A file that cannot be read still says no.
            Err(fault) => Some(format!("the HOLD file cannot be read: {fault}")),
        };
        if *seen != reason {
            let id = format!("hold:{}", super::clock::wall().0);
            let event = Event { id, what: What::KillSwitch { reason: reason.clone() } };
            if handle.tell(event).await.is_ok() {
                *seen = reason;
            }
        }
    }

    /// Looks again and again, until the event loop ends.
    pub(super) async fn watch(self, handle: Handle) {
        let mut every = tokio::time::interval(LOOK_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            self.look(&handle).await;
        }
    }
}

fn first_line(content: &[u8]) -> String {
    let text = String::from_utf8_lossy(content);
    let line: String = text.lines().next().unwrap_or("").trim().chars().take(REASON_MAX).collect();
    if line.is_empty() { "no reason given".into() } else { line }
}

#[cfg(test)]
mod tests {
    use super::first_line;

    #[test]
    fn the_reason_is_the_first_line_bounded() {
        assert_eq!(first_line(b"deploy freeze\nmore"), "deploy freeze");
        assert_eq!(first_line(b""), "no reason given");
        assert_eq!(first_line(&[b'x'; 10_000]).len(), 300);
    }
}
