//! What else sets a Deployment, and may put back what was rolled away from.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    change::{Component, Revision},
    reconciler::{Kind, Reconciler},
};

/// Who a Deployment belongs to, as it says itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "owner")]
pub enum Owner {
    /// An Application of Argo CD.
    ArgoCd {
        /// Its name.
        application: String,
        /// Its namespace, where that is not the one of Argo CD itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
    },
    /// A Kustomization of Flux.
    Kustomization {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A HelmRelease of Flux.
    HelmRelease {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// Something else that cares for it all the time.
    Operator {
        /// The kind of the object that the Deployment was made for.
        kind: String,
        /// Its name.
        name: String,
    },
    /// A release of Helm, which only a person or a pipeline upgrades.
    Helm {
        /// Its name, where it is told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        release: Option<String>,
        /// Its namespace, where it is told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
    },
}

/// What the operator wants done where an owner would put back what is rolled away from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OwnerRule {
    /// Ask people.
    #[default]
    Page,
    /// Suspend it first, where that can be done.
    TakeOver,
}

impl Owner {
    /// Whether it puts back by itself what it wants: sooner or later, and without anybody asking it.
    pub fn reconciles(&self) -> bool {
        match self {
            Self::ArgoCd { .. }
            | Self::Kustomization { .. }
            | Self::HelmRelease { .. }
            | Self::Operator { .. } => true,
            Self::Helm { .. } => false,
        }
    }

    /// What can be told to leave alone what it owns, in a way that people can take back. `argo_cd` is the namespace of Argo
    /// CD itself.
    pub fn reconciler(&self, argo_cd: &str) -> Option<Reconciler> {
        let (kind, namespace, name) = match self {
            Self::ArgoCd { application, namespace } => {
                (Kind::Application, namespace.as_deref().unwrap_or(argo_cd), application)
            }
            Self::Kustomization { namespace, name } => {
                (Kind::Kustomization, namespace.as_str(), name)
            }
            Self::HelmRelease { namespace, name } => (Kind::HelmRelease, namespace.as_str(), name),
            Self::Operator { .. } | Self::Helm { .. } => return None,
        };
        Some(Reconciler { kind, namespace: namespace.to_owned(), name: name.clone() })
    }

    /// Whether there is such a thing.
    pub fn can_be_suspended(&self) -> bool {
        self.reconciler("").is_some()
    }

    /// Whether a rollback would be undone by it.
    pub fn undoes(&self, rule: OwnerRule) -> bool {
        match rule {
            OwnerRule::Page => self.reconciles(),
            OwnerRule::TakeOver => self.reconciles() && !self.can_be_suspended(),
        }
    }

    /// What becomes of a rollback, in a sentence.
    pub fn outlook(&self, rule: OwnerRule) -> String {
        if self.undoes(rule) {
            format!("{self} would put back what is rolled away from")
        } else if self.reconciles() {
            format!("{self} is suspended before a rollback, until people resume it")
        } else {
            format!("{self} puts nothing back by itself, and the next `helm upgrade` does")
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ArgoCd { application, namespace: Some(namespace) } => {
                write!(f, "Argo CD's application {namespace}/{application}")
            }
            Self::ArgoCd { application, namespace: None } => {
                write!(f, "Argo CD's application {application}")
            }
            Self::Kustomization { namespace, name } => {
                write!(f, "Flux's Kustomization {namespace}/{name}")
            }
            Self::HelmRelease { namespace, name } => {
                write!(f, "Flux's HelmRelease {namespace}/{name}")
            }
            Self::Operator { kind, name } => write!(f, "the operator of {kind} {name}"),
            Self::Helm { release: Some(release), namespace: Some(namespace) } => {
                write!(f, "the Helm release {namespace}/{release}")
            }
            Self::Helm { release: Some(release), namespace: None } => {
                write!(f, "the Helm release {release}")
            }
            Self::Helm { release: None, .. } => f.write_str("a Helm release"),
        }
    }
}

/// What was rolled away from is set again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAgain {
    /// Of which part.
    #[serde(default = "application")]
    pub component: Component,
    /// Which version.
    pub revision: Revision,
    /// The incident that rolled away from it.
    pub incident: String,
    /// The person or program that set it, where the platform tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What is known to put back by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<Owner>,
}

/// Before other parts were rolled back there was no other.
fn application() -> Component {
    Component::Application
}

impl fmt::Display for SetAgain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is set again, which {} rolled away from", self.revision, self.incident)?;
        if let Some(by) = &self.by {
            write!(f, ", by {by}")?;
        }
        if self.owners.is_empty() {
            return f.write_str(
                "; a person, a pipeline, or something that reconciles may have done it",
            );
        }
        let owners: Vec<String> = self.owners.iter().map(ToString::to_string).collect();
        write!(f, "; it is put back by {}", owners.join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_again_before_other_parts_went_back_was_the_application() {
        let written = r#"{ "revision": { "version": "v2" }, "incident": "shop-1" }"#;
        let read: SetAgain = serde_json::from_str(written).unwrap();
        assert_eq!(read.component, Component::Application);
    }
}
