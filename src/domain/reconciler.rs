//! An object that puts back what it wants until it is suspended, and how people let it go on.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An Application of Argo CD.
    Application,
    /// A Kustomization of Flux.
    Kustomization,
    /// A HelmRelease of Flux.
    HelmRelease,
}

impl Kind {
    /// Its group in the API.
    pub fn group(self) -> &'static str {
        match self {
            Self::Application => "argoproj.io",
            Self::Kustomization => "kustomize.toolkit.fluxcd.io",
            Self::HelmRelease => "helm.toolkit.fluxcd.io",
        }
    }

    /// Several of it in the API.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Application => "applications",
            Self::Kustomization => "kustomizations",
            Self::HelmRelease => "helmreleases",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Application => "Application",
            Self::Kustomization => "Kustomization",
            Self::HelmRelease => "HelmRelease",
        })
    }
}

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconciler {
    /// What it is.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Reconciler {
    /// How people let it go on as before; `was` is what made it act by itself.
    pub fn resume(&self, was: &Value) -> String {
        let Self { namespace, name, .. } = self;
        match self.kind {
            Kind::Application => {
                let flag = |(key, flag): (&str, &'static str)| {
                    (was[key] == Value::Bool(true)).then_some(flag)
                };
                let flags = [
                    ("prune", " --auto-prune"),
                    ("selfHeal", " --self-heal"),
                    ("allowEmpty", " --allow-empty"),
                ];
                let flags: String = flags.into_iter().filter_map(flag).collect();
                format!(
                    "{self} stays suspended: `argocd app set {namespace}/{name} --sync-policy automated{flags}` \
                     resumes it (its spec.syncPolicy.automated was {was})"
                )
            }
            Kind::Kustomization => {
                format!(
                    "{self} stays suspended: `flux resume kustomization {name} -n {namespace}` resumes it"
                )
            }
            Kind::HelmRelease => {
                format!(
                    "{self} stays suspended: `flux resume helmrelease {name} -n {namespace}` resumes it"
                )
            }
        }
    }
}

impl fmt::Display for Reconciler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_is_resumed_as_it_was() {
        let resume = |kind, was| {
            let at = Reconciler { kind, namespace: "apps".into(), name: "web".into() };
            at.resume(&was)
        };
        let healing = json!({ "prune": false, "selfHeal": true });
        let said = resume(Kind::Application, healing);
        assert!(
            said.contains("`argocd app set apps/web --sync-policy automated --self-heal`"),
            "{said}"
        );
        assert!(said.contains(r#"was {"prune":false,"selfHeal":true}"#), "{said}");
        let said = resume(Kind::Kustomization, Value::Null);
        assert!(said.contains("`flux resume kustomization web -n apps`"), "{said}");
        let said = resume(Kind::HelmRelease, Value::Null);
        assert!(said.contains("`flux resume helmrelease web -n apps`"), "{said}");
    }
}
