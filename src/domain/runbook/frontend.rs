//! A site of static files in a bucket, behind a distribution or not.

use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        change::Revision,
        frontend::{Difference, Marker, SiteAt},
        plan::{Action, Step},
    },
    units::Span,
};

/// Rolling a site back: by copies of what was recorded, an invalidation, and a look at it as its users see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrontendRunbook {
    /// Where its objects are.
    pub at: SiteAt,
    /// Where people open it, ending in `/`.
    pub url: String,
    /// The object that says which version is live.
    pub marker: Marker,
    /// The distribution in front of it, where there is one.
    pub distribution: Option<String>,
    /// Paths that are invalidated with every rollback.
    pub also_invalidate: Vec<String>,
    /// How many paths may be invalidated; directories are where there are more.
    pub paths_max: usize,
    /// How many objects are copied together.
    pub at_once: usize,
    /// At how many pages is looked when what is live is to be known, or a rollback to be verified.
    pub pages_max: usize,
    /// How long all copies may take.
    pub copy_timeout: Span,
    /// How long it may take until every edge has forgotten.
    pub invalidate_timeout: Span,
    /// How long it may take until its users see it.
    pub verify_timeout: Span,
    /// How often each step may be tried; at least 1.
    pub attempts: u32,
}

impl FrontendRunbook {
    /// What a plan locks.
    pub fn resource(&self) -> String {
        format!("frontend:{}", self.at)
    }

    /// The path of its address, ending in `/`: what its objects' names follow.
    pub fn base(&self) -> &str {
        let after_scheme = self.url.find("://").map_or(0, |at| at + 3);
        let path = self.url[after_scheme..].find('/').map(|at| &self.url[after_scheme + at..]);
        path.unwrap_or("/")
    }

    /// The steps from one exact revision to another.
    pub fn steps(&self, from: &Revision, to: &Revision, differs: Option<&Difference>) -> Vec<Step> {
        let copy = self.copy(from, to, differs);
        let invalidate =
            self.distribution.as_ref().map(|it| self.invalidate(it, (from, to), differs));
        [copy].into_iter().chain(invalidate).chain([self.verify(to)]).collect()
    }

    fn copy(&self, from: &Revision, to: &Revision, differs: Option<&Difference>) -> Step {
        let Self { at, .. } = self;
        let how_many = differs
            .map_or_else(String::new, |it| format!("{} of {} objects of ", it.copied, it.objects));
        Step {
            title: format!(
                "copy {how_many}{to} to {at} where {from} is, what nothing refers to yet first and pages last; nothing is deleted"
            ),
            action: Action::FrontendCopy {
                at: at.clone(),
                from: from.clone(),
                to: to.clone(),
                at_once: self.at_once,
            },
            needs: vec![
                format!("the manifest of {to}, unchanged since it served, and all that it names"),
                format!("s3:GetObject and s3:PutObject in {}", at.bucket),
            ],
            timeout: self.copy_timeout,
            attempts: self.attempts.max(1),
            fallback: None,
        }
    }

    fn invalidate(
        &self,
        distribution: &str,
        (from, to): (&Revision, &Revision),
        differs: Option<&Difference>,
    ) -> Step {
        let what = match differs.map(|it| it.paths) {
            Some(1) => "1 path".to_owned(),
            Some(many) => format!("{many} paths"),
            None => "what changed".to_owned(),
        };
        Step {
            title: format!("invalidate {what} in {distribution}, and wait until no edge has them"),
            action: Action::FrontendInvalidate {
                at: self.at.clone(),
                distribution: distribution.to_owned(),
                from: from.clone(),
                to: to.clone(),
                base: self.base().to_owned(),
                also: self.also_invalidate.clone(),
                paths_max: self.paths_max,
            },
            needs: vec![format!(
                "cloudfront:CreateInvalidation and cloudfront:GetInvalidation of {distribution}"
            )],
            timeout: self.invalidate_timeout,
            attempts: self.attempts.max(1),
            fallback: None,
        }
    }

    fn verify(&self, to: &Revision) -> Step {
        let url = &self.url;
        Step {
            title: format!(
                "see that {url} serves {to}: its marker and its pages, also past the edge"
            ),
            action: Action::FrontendVerify {
                at: self.at.clone(),
                to: to.clone(),
                url: url.clone(),
                marker: self.marker.clone(),
                pages_max: self.pages_max,
            },
            needs: vec![format!("{url}, answering this machine as it answers people")],
            timeout: self.verify_timeout,
            attempts: self.attempts.max(1),
            fallback: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::examples;

    #[test]
    fn a_site_goes_back_in_three_exact_steps() {
        let runbook = examples::site();
        let to = Revision { version: "1.4.0".into(), digest: Some("sha256:ab".into()) };
        let from = Revision::named("1.5.0");
        let differs = Difference { objects: 12, copied: 4, paths: 3 };
        let steps = runbook.steps(&from, &to, Some(&differs));
        let titles: Vec<&str> = steps.iter().map(|step| step.title.as_str()).collect();
        assert_eq!(
            titles,
            [
                "copy 4 of 12 objects of 1.4.0 to s3://shop-frontend/ where 1.5.0 is, what nothing refers to yet first and pages last; nothing is deleted",
                "invalidate 3 paths in E2EXAMPLE, and wait until no edge has them",
                "see that https://shop.example/ serves 1.4.0: its marker and its pages, also past the edge",
            ]
        );
        for step in &steps {
            let written = serde_json::to_string(&step.action).unwrap();
            assert_eq!(serde_json::from_str::<Action>(&written).unwrap(), step.action);
        }
        assert_eq!(
            (runbook.resource(), runbook.base()),
            ("frontend:s3://shop-frontend/".into(), "/")
        );
        let alone = FrontendRunbook {
            distribution: None,
            url: "https://shop.example/app/".into(),
            ..runbook
        };
        assert_eq!((alone.steps(&from, &to, None).len(), alone.base()), (2, "/app/"));
    }
}
