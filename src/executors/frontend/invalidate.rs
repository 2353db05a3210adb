//! Telling the edges to forget, once, and waiting until they have.

use std::time::Duration;

use aws_sdk_cloudfront::types::{InvalidationBatch, Paths};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};

use super::{
    bucket::Bucket,
    manifests,
    perform::{Invalidate, site, trouble},
};
use crate::{
    aws::{Account, Clients, Fault, Kind},
    domain::{frontend::invalidated, plan::hex, run::Outcome},
    executors::{Attempt, Trouble, failed},
};

/// Between two looks at one that is in progress, at first and later; it takes a minute as a rule.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// The right that it takes.
pub(super) const INVALIDATE: &str = "cloudfront:CreateInvalidation";
/// As many paths as are shown to people.
const SHOWN: usize = 10;

/// Carries one out.
pub(super) async fn invalidate(
    attempt: &mut Attempt<'_>,
    it: Invalidate<'_>,
) -> Result<Outcome, Trouble> {
    let site = site(attempt, it.at)?;
    let until = attempt.until;
    let doing = "nothing was invalidated";
    let bucket = Bucket::of(&site).await.map_err(|fault| trouble(&fault, doing))?;
    let to = manifests::exactly(&bucket, &site, it.to, until).await?;
    let from = manifests::left(&bucket, &site, it.from, until).await?;
    let paths = invalidated(from.as_ref(), &to, (it.base, it.also), it.paths_max);
    attempt.say(&shown(&paths));
    if paths.is_empty() {
        return Ok(Outcome::AlreadyDone);
    }
    let account = Account::of(&site.access).map_err(|fault| trouble(&fault, doing))?;
    let edge = Edge::new((account.to_look().await, account.to_act().await), it.distribution);
    // The same reference and the same paths are the same invalidation, however often it is asked for.
    let order = attempt.order;
    let hash = hex(&Sha256::digest(paths.join("\n").as_bytes())[..8]);
    let reference = format!("rollbackd-{}-{}-{hash}", order.run, order.step);
    let mut pause = PAUSES.0;
    let begun = loop {
        attempt.permits()?;
        attempt.touched = true;
        match edge.create(&reference, &paths).await {
            Ok(begun) => break begun,
            Err(fault) if may_be_another_time(&fault) && Instant::now() + pause < until => {
                sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
            Err(fault) => {
                attempt.left = by_hand(it.distribution, &paths);
                return Err(trouble(&fault, "it is not known to be invalidated"));
            }
        }
    };
    let Begun { id, mut is_completed } = begun;
    let mut pause = PAUSES.0;
    while !is_completed {
        if Instant::now() + pause >= until {
            attempt.after = format!("invalidation {id} is in progress");
            return failed(
                format!("invalidation {id} is still in progress: edges may serve what they had"),
                true,
            );
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
        match edge.is_completed(&id).await {
            Ok(now) => is_completed = now,
            Err(fault) if fault.passes() => {}
            Err(fault) => {
                return Err(trouble(
                    &fault,
                    &format!("invalidation {id} was asked for, and cannot be seen"),
                ));
            }
        }
    }
    attempt.after = format!("invalidation {id} is completed");
    Ok(Outcome::Done)
}

/// Others have so many in progress that there is no room: they end.
fn may_be_another_time(fault: &Fault) -> bool {
    let is_full = |code: &str| code.starts_with("TooManyInvalidationsInProgress");
    fault.passes() || matches!(&fault.kind, Kind::Refused { code } if is_full(code))
}

fn shown(paths: &[String]) -> String {
    let first = paths.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(" ");
    match paths.len().saturating_sub(SHOWN) {
        0 => format!("paths: {first}"),
        more => format!("paths: {first} and {more} more"),
    }
}

/// What a person does instead: the bucket is as it should be, and edges serve what they had. More paths than fit are all of them.
fn by_hand(distribution: &str, paths: &[String]) -> String {
    const FITS: usize = 20;
    let paths = if paths.len() > FITS { &["/*".to_owned()][..] } else { paths };
    let paths = paths.iter().map(|path| format!("'{path}'")).collect::<Vec<_>>().join(" ");
    format!(
        "edges may serve what they had until somebody types: aws cloudfront create-invalidation --distribution-id {distribution} --paths {paths}"
    )
}

/// A distribution, to look at and to tell to forget.
pub(super) struct Edge<'a> {
    look: Clients,
    act: Clients,
    distribution: &'a str,
}

pub(super) struct Begun {
    id: String,
    is_completed: bool,
}

impl<'a> Edge<'a> {
    pub(super) fn new((look, act): (Clients, Clients), distribution: &'a str) -> Self {
        Self { look, act, distribution }
    }

    pub(super) async fn create(&self, reference: &str, paths: &[String]) -> Result<Begun, Fault> {
        let action = INVALIDATE;
        let unsent = |fault: &dyn std::fmt::Display| {
            Fault::new(
                action,
                Kind::Refused { code: "before it was sent".to_owned() },
                &fault.to_string(),
            )
        };
        let many = i32::try_from(paths.len()).unwrap_or(i32::MAX);
        let paths = Paths::builder().quantity(many).set_items(Some(paths.to_vec())).build();
        let paths = paths.map_err(|fault| unsent(&fault))?;
        let batch = InvalidationBatch::builder().paths(paths).caller_reference(reference).build();
        let batch = batch.map_err(|fault| unsent(&fault))?;
        let client = self.act.cloudfront();
        let asked = client.create_invalidation().distribution_id(self.distribution);
        let answer = Box::pin(asked.invalidation_batch(batch).send()).await;
        let answer = answer.map_err(|error| self.act.fault(action, error))?;
        let begun = answer
            .invalidation()
            .ok_or_else(|| Fault::new(action, Kind::Unanswered, "it names none"))?;
        Ok(Begun { id: begun.id().to_owned(), is_completed: is_completed(begun.status()) })
    }

    async fn is_completed(&self, id: &str) -> Result<bool, Fault> {
        let action = "cloudfront:GetInvalidation";
        let client = self.look.cloudfront();
        let answer =
            Box::pin(client.get_invalidation().distribution_id(self.distribution).id(id).send())
                .await;
        let answer = answer.map_err(|error| self.look.fault(action, error))?;
        Ok(answer.invalidation().is_some_and(|it| is_completed(it.status())))
    }
}

fn is_completed(status: &str) -> bool {
    status == "Completed"
}
