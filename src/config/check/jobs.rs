//! Smoke tests that the cluster runs.

use toml::Spanned;

use crate::{
    config::{
        check::{found::Found, kubernetes},
        raw,
    },
    domain::{planning::SmokeJob, runbook::ApplicationRunbook},
    units::Span,
};

/// In the order in which they stand in the file, which is the order in which they run: where the Deployment is that is
/// rolled back.
pub(super) fn jobs(
    found: &mut Found<'_>,
    raw: &raw::Table<raw::Job>,
    application: &ApplicationRunbook,
) -> Vec<SmokeJob> {
    let mut all: Vec<(&Spanned<String>, &raw::Job)> = raw.iter().collect();
    all.sort_by_key(|(name, _)| name.span().start);
    let mut jobs = vec![];
    for (name, raw) in all {
        let ApplicationRunbook::Deployment(deployment) = application else {
            let what = "a Job runs where a Deployment is, and here is none";
            let instead = "write [service.NAME.rollback.check.NAME] with an argv";
            found.error(name.span(), what, instead);
            continue;
        };
        if kubernetes::is_cron_job(found, &raw.cron_job) {
            jobs.push(SmokeJob {
                title: raw.title.clone().unwrap_or_else(|| name.get_ref().clone()),
                cluster: deployment.cluster.clone(),
                namespace: deployment.namespace.clone(),
                cron_job: raw.cron_job.get_ref().clone(),
                timeout: found.positive(&raw.timeout, Span::minutes(5)),
                keep: found.positive(&raw.keep, Span::hours(24)),
                attempts: found.at_least_one(&raw.attempts, 2),
            });
        }
    }
    jobs
}
