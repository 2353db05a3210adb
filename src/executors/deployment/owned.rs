//! Whether what else sets a Deployment would put back what is rolled away from, and whether it may be suspended.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{
    Live,
    rights::{Asking, RIGHTS, Right},
};
use crate::{
    domain::{
        owner::{Owner, OwnerRule},
        reconciler::Reconciler,
        runbook::DeploymentRunbook,
    },
    kubernetes::owners,
};

/// What is known of its owners, and what is missing to take over from them.
pub(super) async fn owned(
    asking: &Asking<'_>,
    live: &Live,
    runbook: &DeploymentRunbook,
) -> Result<String, String> {
    let owners = of(live);
    if owners.is_empty() {
        return Ok("nothing else sets it, as far as it says".to_owned());
    }
    if let Some(operator) = owners
        .iter()
        .find(|owner| runbook.owner == OwnerRule::TakeOver && owner.undoes(runbook.owner))
    {
        return Err(format!(
            "{}: it cannot be suspended, and people are asked",
            operator.outlook(runbook.owner)
        ));
    }
    let said: Vec<String> = owners.iter().map(|owner| owner.outlook(runbook.owner)).collect();
    let said = said.join("; ");
    if runbook.owner == OwnerRule::Page {
        let asked = owners.iter().any(|owner| owner.undoes(OwnerRule::Page));
        let then = if asked { ": people are asked (owner = \"page\")" } else { "" };
        return Ok(format!("{said}{then}"));
    }
    for owner in &owners {
        if let Some(reconciler) = owner.reconciler(&runbook.argocd_namespace) {
            may_suspend(asking, &reconciler).await?;
        }
    }
    Ok(said)
}

fn of(live: &Live) -> Box<[Owner]> {
    let meta = serde_json::from_value::<ObjectMeta>(live.object["metadata"].clone());
    owners::of(&meta.unwrap_or_default())
}

async fn may_suspend(asking: &Asking<'_>, reconciler: &Reconciler) -> Result<String, String> {
    let Reconciler { kind, namespace, name } = reconciler;
    let right = |verb| Right {
        verb,
        group: kind.group(),
        resource: kind.plural(),
        namespace: Some(namespace),
        name: Some(name),
    };
    let remedy = format!("kubectl apply -k {RIGHTS}/take-over -n {namespace}");
    asking.all(["get", "patch"].map(right).into(), &format!("in {namespace}"), &remedy).await
}
