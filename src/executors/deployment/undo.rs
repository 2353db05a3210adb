//! Setting a Deployment's template back: only from where the plan saw it, only to the template that the plan hashed.

use tokio::time::{Instant, sleep};

use super::{
    Live,
    api::Api,
    held::{self, Held},
    patch, pods,
    refusal::Refusal,
    restart, stop,
};
use crate::{
    domain::{change::Revision, plan::DeploymentAt, run::Outcome},
    executors::{Attempt, Trouble, failed},
    units::UnixMs,
};

/// Somebody who writes at the same moment, an autoscaler for example, is waited for as often.
pub(super) const LOOKS_MAX: u32 = 5;

/// What a [`crate::domain::plan::Action::DeploymentUndo`] says.
pub(in crate::executors) struct Undo<'a> {
    /// Which one.
    pub at: &'a DeploymentAt,
    /// What it must be set to now.
    pub from: &'a Revision,
    /// What it will be set to.
    pub to: &'a Revision,
    /// What brings it there.
    pub by: By<'a>,
}

/// Where the template comes from.
#[derive(Clone, Copy)]
pub(in crate::executors) enum By<'a> {
    /// From what holds it.
    Held {
        /// The ReplicaSet.
        replica_set: Option<&'a str>,
        /// Since when its pods may have read what was restored since.
        misread_since: Option<UnixMs>,
    },
    /// From what is set, with another image in one container.
    Image {
        /// The container.
        container: &'a str,
        /// The whole reference.
        image: &'a str,
    },
}

/// Carries one out.
pub(in crate::executors) async fn undo(
    attempt: &mut Attempt<'_>,
    undo: Undo<'_>,
) -> Result<Outcome, Trouble> {
    let api = Api::open(&attempt.options.clusters, undo.at, attempt.until).await?;
    let shelf = attempt.shelf(undo.at);
    let mut target: Option<Held> = None;
    let mut last = Refusal::Silent("it was not looked at".to_owned());
    for look in 0..LOOKS_MAX {
        let Some(live) = looked(attempt, &api, look, &mut last).await? else { continue };
        if look == 0 {
            attempt.before = live.in_words();
        }
        attempt.after = live.in_words();
        if live.is_set_to(undo.to) {
            return Ok(if look == 0 && !attempt.touched {
                Outcome::AlreadyDone
            } else {
                Outcome::Done
            });
        }
        may_be_set(&live, &undo, &attempt.order.run)?;
        let held = match (&target, undo.by) {
            (Some(held), By::Held { .. }) => held,
            (None, By::Held { replica_set, misread_since }) => {
                let held = held::find(&api, &live, (undo.to, replica_set), &shelf).await?;
                target.insert(read_anew(attempt, &api, &live, (undo.to, misread_since), held).await)
            }
            // Each time of what was just seen: somebody may have started its pods anew.
            (_, By::Image { container, image }) => {
                target.insert(held::with_image(&live, undo.to, (container, image))?)
            }
        };
        attempt.permits()?;
        attempt.touched = true;
        let note = patch::note(undo.from, undo.to, &attempt.order.run);
        match api.patch(&patch::operations(&live, held, &note)).await {
            Ok(live) if live.is_set_to(undo.to) => {
                attempt.after = live.in_words();
                return Ok(Outcome::Done);
            }
            Ok(live) => {
                let why = format!(
                    "the API server made another template of it than {}: {}; an admission webhook changes it",
                    undo.to,
                    live.in_words()
                );
                return failed(why, false);
            }
            // Whether it was done is seen by looking again.
            Err(refusal) => last = pause(attempt, refusal, "setting the template", look).await?,
        }
    }
    Err(last.trouble("setting the template", attempt.touched))
}

/// Pods of the version that come back would be kept as they are: where some of them read what was restored since, all of
/// them start anew, in the same rollout. Whom nobody could ask may have.
async fn read_anew(
    attempt: &mut Attempt<'_>,
    api: &Api,
    live: &Live,
    (to, misread_since): (&Revision, Option<UnixMs>),
    held: Held,
) -> Held {
    let Some(since) = misread_since else { return held };
    let why = match pods::made_since(api, live, to, since).await {
        Ok(0) => return held,
        Ok(n) => format!("{n} of its pods were made since {} UTC", since.clock()),
        Err(refusal) => refusal.trouble("asking for its pods", false).to_string(),
    };
    attempt.say(&format!("all pods of {to} are started anew: {why}"));
    Held { template: restart::anew(&held.template), ..held }
}

/// Nobody may have deployed since, and it must come into effect.
fn may_be_set(live: &Live, undo: &Undo<'_>, run: &str) -> Result<(), Trouble> {
    let Undo { from, to, .. } = undo;
    if !live.is_set_to(from) {
        let now = live.in_words();
        let why = format!(
            "somebody deployed in between, it is {now}: this plan was made to go from {from} to {to}"
        );
        return failed(why, false);
    }
    if patch::was_set_by(live, run) {
        let why =
            format!("this rollback had set {to} already, and somebody set {from} again since");
        return failed(why, false);
    }
    if live.wanted() == 0 && !stop::is_stopped_by(live, run) {
        let why = "it is scaled to 0 pods: another version would serve no more than this one";
        return failed(why.to_owned(), false);
    }
    if live.is_paused() {
        let why = "its rollout is paused, and nothing would come of it: `kubectl rollout resume` it first";
        return failed(why.to_owned(), false);
    }
    Ok(())
}

/// The Deployment as it is now; nothing where it is to be looked at again, and `last` says why.
pub(super) async fn looked(
    attempt: &Attempt<'_>,
    api: &Api,
    look: u32,
    last: &mut Refusal,
) -> Result<Option<Live>, Trouble> {
    match api.look().await {
        Ok(live) => Ok(Some(live)),
        Err(refusal) => {
            *last = pause(attempt, refusal, "looking at the Deployment", look).await?;
            Ok(None)
        }
    }
}

/// What may be asked again is asked again, after a pause where one was asked for.
pub(super) async fn pause(
    attempt: &Attempt<'_>,
    refusal: Refusal,
    doing: &str,
    look: u32,
) -> Result<Refusal, Trouble> {
    let pause = match &refusal {
        Refusal::Moved(_) => std::time::Duration::from_millis(50 << look),
        Refusal::Busy { pause, .. } => *pause,
        Refusal::Silent(_) => std::time::Duration::from_millis(500 << look),
        Refusal::Refused { .. } | Refusal::Gone(_) => return Err(refusal.trouble(doing, false)),
    };
    if Instant::now() + pause >= attempt.until {
        return Err(refusal.trouble(doing, attempt.touched));
    }
    sleep(pause).await;
    Ok(refusal)
}
