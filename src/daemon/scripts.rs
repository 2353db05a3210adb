//! Looks again and again which scripts there are that take a service's schema back.

use std::collections::BTreeSet;

use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use super::{clock, pace};
use crate::{
    config::Reversed,
    domain::{
        event::{Event, What},
        schema::script::Script,
        service::ServiceId,
    },
    executors::{self, script::Scripts},
    handle::{Handle, trials::Asked},
};

/// Tries what people ask for, one after the other. What nobody waits for any more is taken back.
pub(super) async fn try_out(mut asked: mpsc::Receiver<Asked>, scripts: Scripts) {
    while let Some(Asked { of, mut answer }) = asked.recv().await {
        tokio::select! {
            came = scripts.try_out(&of) => {
                // Whoever asked may have gone away this moment.
                let _ = answer.send(came);
            }
            () = answer.closed() => info!("whoever had {} tried is gone", of.in_words()),
        }
    }
}

/// Looks until the event loop has gone.
pub(super) async fn look(
    service: ServiceId,
    reversed: Reversed,
    (handle, mut watched): (Handle, watch::Receiver<BTreeSet<ServiceId>>),
) {
    let mut last = None;
    loop {
        let seen = executors::script::scripts(&reversed.files).await;
        tell(&service, last.as_ref(), &seen);
        last = Some(seen.clone());
        let what = What::ScriptsSeen { service: service.clone(), seen };
        let id = format!("scripts:{service}:{}", clock::wall().0);
        if handle.report(Event { id, what }).await.is_err() {
            return;
        }
        let every = (reversed.every, reversed.every_watched);
        if !pace::wait(&mut watched, &service, every).await {
            return;
        }
    }
}

type Seen = Result<Vec<Script>, String>;

/// Each that is new or another once, and once that nobody can tell.
fn tell(service: &ServiceId, last: Option<&Seen>, seen: &Seen) {
    let all = match seen {
        Ok(all) => all,
        Err(why) => {
            if !matches!(last, Some(Err(before)) if before == why) {
                warn!(%service, "which scripts take the schema of {service} back is unknown: {why}");
            }
            return;
        }
    };
    let known = last.and_then(|last| last.as_ref().ok());
    for it in all.iter().filter(|it| !known.is_some_and(|known| known.contains(it))) {
        let Script { file, sha256, bytes, barred, .. } = it;
        match barred {
            None => info!(%service, "the script {file} is there: sha256 {sha256}, {bytes} bytes"),
            Some(why) => warn!(%service, "the script {file} cannot be run: {why}"),
        }
    }
}
