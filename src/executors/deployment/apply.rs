//! The whole of a Deployment set back as it was when the version served well: for when its template alone did not help.
//!
//! Nothing is scaled down for it: while anything is ready it goes on to serve.

use super::{
    api::Api,
    patch,
    rollout::{Rollout, missing, rollout},
};
use crate::{
    domain::{change::Revision, plan::DeploymentAt, run::Outcome},
    executors::{Attempt, Trouble},
    kubernetes::shelf::Manifest,
    units::Span,
};

/// What a [`crate::domain::plan::Action::DeploymentApply`] says.
pub(in crate::executors) struct Apply<'a> {
    /// Which one.
    pub at: &'a DeploymentAt,
    /// What the rollback leaves, for the note beside it.
    pub from: &'a Revision,
    /// What its template is set to already, and all of it will be.
    pub to: &'a Revision,
    /// As of a rollout.
    pub stuck_after: Span,
}

/// Carries one out, and waits until that serves.
pub(in crate::executors) async fn apply(
    attempt: &mut Attempt<'_>,
    apply: Apply<'_>,
) -> Result<Outcome, Trouble> {
    let Apply { at, from, to, stuck_after } = apply;
    let failed = |why: String| Err(Trouble::Failed { why, retry: false });
    let shelf = attempt.shelf(at);
    let kept = to.digest.as_deref().map(|digest| shelf.find(digest)).transpose();
    let kept = match kept {
        Ok(kept) => kept.flatten(),
        Err(fault) => return failed(format!("what was kept of {to} cannot be read: {fault}")),
    };
    let Some(Manifest { cause, spec: Some(spec), .. }) = kept else {
        return failed(format!("no whole manifest of {to} is kept"));
    };
    let api = Api::open(&attempt.options.clusters, at, attempt.until).await?;
    let doing = "setting the whole Deployment back";
    let live = api.look().await.map_err(|refusal| refusal.trouble(doing, attempt.touched))?;
    // Its template was set back before: whoever set another since, be it the bad one again, wins.
    if !live.is_set_to(to) {
        let now = live.in_words();
        return failed(format!("somebody deployed in between, it is {now}, and not to {to}"));
    }
    if live.is_paused() {
        return failed("its rollout is paused, and nothing would come of it".to_owned());
    }
    if missing(&live).is_none() {
        attempt.after = "every pod is of it, and available".to_owned();
        return Ok(Outcome::Done);
    }
    let differs = patch::parts(&live, &spec);
    attempt.before = match differs.as_slice() {
        [] => "everything but how many pods is as it was".to_owned(),
        parts => format!("another {} than then", parts.join(", ")),
    };
    if differs.is_empty() && !attempt.order.resumed {
        return failed(format!("nothing else of it is otherwise than when {to} served well"));
    }
    if !differs.is_empty() {
        attempt.permits()?;
        attempt.touched = true;
        let note = patch::note(from, to, &attempt.order.run);
        let asked = patch::whole(&live, cause.as_deref(), &spec, &note);
        api.patch(&asked).await.map_err(|refusal| refusal.trouble(doing, true))?;
    }
    rollout(attempt, Rollout { at, to, stuck_after }).await
}
