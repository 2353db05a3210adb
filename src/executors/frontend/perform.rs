//! What a plan says of a site, to whoever carries it out; and what they have in common.

use super::{Site, copy::copy, invalidate::invalidate, served::verify};
use crate::{
    aws::Fault,
    domain::{
        change::Revision,
        frontend::{Marker, SiteAt},
        plan::Action,
        run::Outcome,
    },
    executors::{Attempt, Trouble, failed},
};

/// What a site goes from and to, and what is told to forget it.
pub(super) struct Copy<'a> {
    pub(super) at: &'a SiteAt,
    pub(super) from: &'a Revision,
    pub(super) to: &'a Revision,
    pub(super) at_once: usize,
}

pub(super) struct Invalidate<'a> {
    pub(super) at: &'a SiteAt,
    pub(super) distribution: &'a str,
    pub(super) from: &'a Revision,
    pub(super) to: &'a Revision,
    pub(super) base: &'a str,
    pub(super) also: &'a [String],
    pub(super) paths_max: usize,
}

pub(super) struct Verify<'a> {
    pub(super) at: &'a SiteAt,
    pub(super) to: &'a Revision,
    pub(super) url: &'a str,
    pub(super) marker: &'a Marker,
    pub(super) pages_max: usize,
}

/// Carries out what is done for a site.
pub(in crate::executors) async fn perform(
    attempt: &mut Attempt<'_>,
    action: &Action,
) -> Result<Outcome, Trouble> {
    if let Action::FrontendCopy { at, from, to, at_once } = action {
        return Box::pin(copy(attempt, Copy { at, from, to, at_once: *at_once })).await;
    }
    if let Action::FrontendInvalidate { at, distribution, from, to, base, also, paths_max } = action
    {
        let paths_max = *paths_max;
        let it = Invalidate { at, distribution, from, to, base, also, paths_max };
        return Box::pin(invalidate(attempt, it)).await;
    }
    if let Action::FrontendVerify { at, to, url, marker, pages_max } = action {
        let it = Verify { at, to, url, marker, pages_max: *pages_max };
        return Box::pin(verify(attempt, it)).await;
    }
    failed(format!("this is nothing that is done for a site: {action:?}"), false)
}

pub(super) fn site(attempt: &Attempt<'_>, at: &SiteAt) -> Result<Site, Trouble> {
    let why = || format!("the configuration names no site in {at} any more");
    attempt.options.sites.find(at).ok_or_else(|| Trouble::Failed { why: why(), retry: false })
}

/// What a fault of AWS means for an attempt.
pub(super) fn trouble(fault: &Fault, doing: &str) -> Trouble {
    let retry = fault.is_worth_another_try();
    Trouble::Failed { why: format!("{doing}: {fault}: {}", fault.advice()), retry }
}

/// Does the same to all of these, so many together; the first fault ends it, when all that was begun has ended.
pub(super) async fn each<T, R, E, W>(
    all: impl IntoIterator<Item = T>,
    at_once: usize,
    work: impl Fn(T) -> W,
) -> Result<Vec<R>, E>
where
    W: Future<Output = Result<R, E>> + Send + 'static,
    R: Send + 'static,
    E: Send + 'static,
{
    let (mut all, mut under_way) = (all.into_iter(), tokio::task::JoinSet::new());
    let (mut done, mut first) = (vec![], None);
    loop {
        while first.is_none() && under_way.len() < at_once.max(1) {
            let Some(next) = all.next() else { break };
            under_way.spawn(work(next));
        }
        match under_way.join_next().await {
            None => break,
            Some(Ok(Ok(result))) => done.push(result),
            Some(Ok(Err(fault))) => first = first.or(Some(fault)),
            // What panicked there is as bad as if it had done so here.
            Some(Err(ended)) => {
                if let Ok(panic) = ended.try_into_panic() {
                    std::panic::resume_unwind(panic);
                }
            }
        }
    }
    first.map_or(Ok(done), Err)
}
