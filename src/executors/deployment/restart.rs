//! Starting every pod of a Deployment anew at the version that it is set to, as `kubectl rollout restart` does.

use serde_json::{Value, json};

use super::{
    Live,
    api::Api,
    patch,
    refusal::Refusal,
    undo::{LOOKS_MAX, looked, pause},
};
use crate::{
    domain::{change::Revision, plan::DeploymentAt, run::Outcome},
    executors::{Attempt, Trouble, failed},
    kubernetes::template::RESTARTED_AT,
};

/// Which run started the pods anew: once is enough.
const RESTARTED: &str = "rollbackd.dev/restarted";

/// Carries out a [`crate::domain::plan::Action::DeploymentRestart`].
pub(in crate::executors) async fn restart(
    attempt: &mut Attempt<'_>,
    at: &DeploymentAt,
    version: &Revision,
) -> Result<Outcome, Trouble> {
    let api = Api::open(&attempt.options.clusters, at, attempt.until).await?;
    let mut last = Refusal::Silent("it was not looked at".to_owned());
    for look in 0..LOOKS_MAX {
        let Some(live) = looked(attempt, &api, look, &mut last).await? else { continue };
        attempt.after = in_words(&live);
        if look == 0 {
            attempt.before.clone_from(&attempt.after);
        }
        if !live.is_set_to(version) {
            let now = live.in_words();
            let why = format!("somebody deployed in between, it is {now}, and not to {version}");
            return failed(why, false);
        }
        if is_restarted_by(&live, &attempt.order.run) {
            let is_new = look > 0 || attempt.touched;
            return Ok(if is_new { Outcome::Done } else { Outcome::AlreadyDone });
        }
        if live.is_paused() {
            let why = "its rollout is paused, and nothing would come of it: `kubectl rollout resume` it first";
            return failed(why.to_owned(), false);
        }
        attempt.permits()?;
        attempt.touched = true;
        match api.patch(&operations(&live, &attempt.order.run)).await {
            Ok(live) => {
                attempt.after = in_words(&live);
                return Ok(Outcome::Done);
            }
            // Whether it was done is seen by looking again.
            Err(refusal) => last = pause(attempt, refusal, "starting its pods anew", look).await?,
        }
    }
    Err(last.trouble("starting its pods anew", attempt.touched))
}

fn time_of(template: &Value) -> Option<&str> {
    template["metadata"]["annotations"][RESTARTED_AT].as_str()
}

fn in_words(live: &Live) -> String {
    match time_of(&live.object["spec"]["template"]) {
        Some(at) => format!("its pods were started anew at {at}"),
        None => "its pods were never started anew".to_owned(),
    }
}

fn is_restarted_by(live: &Live, run: &str) -> bool {
    let note = live.object["metadata"]["annotations"][RESTARTED].as_str();
    note.is_some_and(|note| note.ends_with(&format!(" by run {run}")))
}

/// The same template by its content, of which every pod is a new one.
pub(super) fn anew(template: &Value) -> Value {
    let mut anew = template.clone();
    let annotations = &mut anew["metadata"]["annotations"];
    if !annotations.is_object() {
        *annotations = json!({});
    }
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    annotations[RESTARTED_AT] = now.into();
    anew
}

/// They fail together when another template was set since it was seen. By its content the template stays the same version:
/// the daemon's ledger knows no other, and `kubectl rollout history` one more.
fn operations(live: &Live, run: &str) -> Vec<Value> {
    let (meta, template) = (&live.object["metadata"], &live.object["spec"]["template"]);
    let restarted = anew(template);
    let note =
        format!("at {} by run {run}", time_of(&restarted).expect("it was just written there"));
    let mut all = vec![
        json!({ "op": "test", "path": "/metadata/uid", "value": meta["uid"] }),
        json!({ "op": "test", "path": "/spec/template", "value": template }),
        json!({ "op": "replace", "path": "/spec/template", "value": restarted }),
    ];
    all.extend(patch::annotations(meta, &[(RESTARTED, Some(&note))]));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_changes_no_version_and_is_known_by_its_run() {
        let template =
            json!({ "metadata": { "labels": { "app": "shop" } }, "spec": { "containers": [] } });
        let live =
            Live::new(json!({ "metadata": { "uid": "u" }, "spec": { "template": template } }));
        let asked = operations(&live, "run-7");
        assert_eq!(asked[1]["value"], template);
        let set = &asked[2]["value"];
        let at = time_of(set).unwrap();
        let note = asked.last().unwrap()["value"].clone();
        let after = Live::new(json!({
            "metadata": { "uid": "u", "annotations": { RESTARTED: note.clone() } }, "spec": { "template": set },
        }));
        assert!(after.is_set_to(&live.template.revision(None)), "the same version");
        assert!(is_restarted_by(&after, "run-7") && !is_restarted_by(&after, "run-8"));
        assert!(!is_restarted_by(&live, "run-7"));
        assert_eq!(in_words(&after), format!("its pods were started anew at {at}"));
    }
}
