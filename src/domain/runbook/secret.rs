//! A secret of AWS that goes back to an exact version.

use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        change::Revision,
        plan::{Action, Restore, Step},
        secret::{CURRENT, SecretAt, SecretMove},
    },
    units::Span,
};

/// How one secret that a service reads goes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRunbook {
    /// Its name in the service's configuration.
    pub name: String,
    /// Where it is.
    pub at: SecretAt,
    /// How long it may take to move the label, the looks before and after included.
    pub timeout: Span,
    /// How often that may be tried; at least 1.
    pub attempts: u32,
}

impl SecretRunbook {
    /// The label is moved to the version that was current when `good` served well, from exactly the one that is now.
    pub fn step(&self, what: &Restore, good: &Revision) -> Step {
        let SecretAt { account, secret } = &self.at;
        let (from, to) = (what.from.clone().unwrap_or_default(), what.to.clone());
        Step {
            title: format!(
                "move {CURRENT} of {} from version {from} to {to}, which it was when {good} served well",
                self.at
            ),
            needs: vec![
                format!("version {to} of {secret}, still there"),
                format!("{CURRENT} at version {from}"),
                format!(
                    "the rights secretsmanager:DescribeSecret, secretsmanager:ListSecretVersionIds and secretsmanager:UpdateSecretVersionStage on {secret} in aws {account}"
                ),
            ],
            action: Action::SecretMove {
                what: SecretMove { at: self.at.clone(), arn: what.uid.clone(), from, to },
            },
            timeout: self.timeout,
            attempts: self.attempts.max(1),
            fallback: None,
        }
    }
}

/// What a plan locks of it: several services may read one.
pub fn resource(what: &SecretMove) -> String {
    format!("secret:{}", what.arn.as_ref().unwrap_or(&what.at.secret))
}
