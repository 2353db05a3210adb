//! Copying what differs of a version to where it is served from: first looked at, all of it, then copied in its order.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep_until};
use tracing::info;

use super::{
    Site,
    bucket::{Bucket, Kept, in_time, patiently},
    known::known,
    look, manifests,
    perform::{Copy, each, site, trouble},
};
use crate::{
    aws::Fault,
    domain::{
        frontend::{Copies, Live, Manifest, Object, Stage, copies, unnamed},
        run::Outcome,
    },
    executors::{Attempt, Trouble, failed},
};

/// How often it is said how far it is.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// What a site goes from and to, and how it is reached.
struct Way {
    bucket: Bucket,
    site: Site,
    from: Option<Manifest>,
    to: Manifest,
    at_once: usize,
}

/// Carries one out.
pub(super) async fn copy(attempt: &mut Attempt<'_>, it: Copy<'_>) -> Result<Outcome, Trouble> {
    let site = site(attempt, it.at)?;
    let until = attempt.until;
    let bucket = Bucket::of(&site).await.map_err(|fault| trouble(&fault, "nothing was begun"))?;
    let to = manifests::exactly(&bucket, &site, it.to, until).await?;
    let from = manifests::left(&bucket, &site, it.from, until).await?;
    let way = Way { bucket, site, from, to, at_once: it.at_once };
    way.is_marked(&it, until).await?;
    let all: Vec<&str> = way.to.objects.keys().map(String::as_str).collect();
    let live = way.look(&all, until).await.map_err(|fault| trouble(&fault, "nothing was begun"))?;
    let missing = way.missing(&live)?;
    let there = all.len() - missing.len();
    attempt.before = format!("{there} of {} objects are as in {}", all.len(), it.to);
    attempt.after.clone_from(&attempt.before);
    if missing.is_empty() {
        return Ok(if attempt.touched { Outcome::Done } else { Outcome::AlreadyDone });
    }
    way.are_kept(&missing, until).await?;
    let unnamed = unnamed(way.from.as_ref(), &way.to, &live, &missing);
    known((&way.bucket, &way.site), &unnamed, &live, until).await?;
    let copied = Arc::new(AtomicUsize::new(0));
    let made = way.make(attempt, (&it, &live), &missing, &copied).await;
    let many = copied.load(Ordering::Relaxed);
    attempt.say(&format!("{many} of {} objects copied", missing.len()));
    attempt.after = format!("{} of {} objects are as in {}", there + many, all.len(), it.to);
    made?;
    let names: Vec<&str> = missing.names.iter().map(|(_, name)| name.as_str()).collect();
    let until = until.max(Instant::now() + Duration::from_secs(10));
    let live = way.look(&names, until).await;
    let live = live.map_err(|fault| trouble(&fault, "all was copied, and cannot be looked at"))?;
    let lacks: Vec<&str> = names
        .iter()
        .filter(|name| {
            !way.to.objects.get(**name).zip(live.get(**name)).is_some_and(|(it, now)| it.is(now))
        })
        .copied()
        .collect();
    match lacks.as_slice() {
        [] => Ok(Outcome::Done),
        lacks => failed(
            format!(
                "{} of {} objects are not as they were copied: {}",
                lacks.len(),
                names.len(),
                few(lacks)
            ),
            true,
        ),
    }
}

impl Way {
    /// Where nothing was recorded of what is left, its marker alone says that it is still there.
    async fn is_marked(&self, it: &Copy<'_>, until: Instant) -> Result<(), Trouble> {
        if self.from.is_some() {
            return Ok(());
        }
        let marked = patiently(until, || look::marked(&self.bucket, &self.site)).await;
        match marked.map_err(|fault| trouble(&fault, "nothing was begun"))? {
            Ok((version, _)) if version == it.from.version || version == it.to.version => Ok(()),
            Ok((version, _)) => failed(
                format!(
                    "somebody deployed {version} in between: this plan was made to go from {} to {}",
                    it.from, it.to
                ),
                false,
            ),
            Err(why) => failed(format!("nothing was begun: {why}"), false),
        }
    }

    /// Each of these as it is now; those that are missing are left out.
    async fn look(&self, names: &[&str], until: Instant) -> Result<BTreeMap<String, Live>, Fault> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let seen = each(names, self.at_once, |name| {
            let (bucket, key) = (self.bucket.clone(), self.site.runbook.at.key(&name));
            async move {
                let head = patiently(until, || bucket.head(&key, None)).await?;
                Ok((name, head.map(|head| head.live)))
            }
        });
        let seen = in_time(until, seen).await?;
        Ok(seen.into_iter().filter_map(|(name, live)| Some((name, live?))).collect())
    }

    fn missing(&self, live: &BTreeMap<String, Live>) -> Result<Copies, Trouble> {
        copies(self.from.as_ref(), &self.to, live)
            .map_err(|why| Trouble::Failed { why, retry: false })
    }

    fn kept(&self, name: &str, object: &Object) -> Kept {
        Kept {
            key: self.to.kept_at(&self.site.runbook.at.prefix, name),
            version_id: object.version_id.clone(),
            etag: object.kept_etag().to_owned(),
        }
    }

    /// Everything that is to be copied must still be what was recorded: a rollback that stops half-way is worse than none.
    async fn are_kept(&self, missing: &Copies, until: Instant) -> Result<(), Trouble> {
        let all: Vec<Kept> = missing
            .names
            .iter()
            .filter_map(|(_, name)| Some(self.kept(name, self.to.objects.get(name)?)))
            .collect();
        let many = all.len();
        let seen = each(all, self.at_once, |kept| {
            let bucket = self.bucket.clone();
            async move {
                let version = kept.version_id.clone();
                let head = patiently(until, || bucket.head(&kept.key, version.as_deref())).await?;
                let is_it = head.is_some_and(|head| head.is_kept(&kept.etag));
                Ok::<_, Fault>((!is_it).then_some(kept.key))
            }
        });
        let seen = in_time(until, seen).await;
        let seen = seen.map_err(|fault| trouble(&fault, "nothing was begun"))?;
        let mut gone: Vec<String> = seen.into_iter().flatten().collect();
        gone.sort();
        let names: Vec<&str> = gone.iter().map(String::as_str).collect();
        match names.as_slice() {
            [] => Ok(()),
            gone => failed(
                format!(
                    "nothing was begun: {} of {many} objects that are kept of {} are gone, archived, or others than were recorded: {}",
                    gone.len(),
                    self.to.version,
                    few(gone)
                ),
                false,
            ),
        }
    }

    /// Stage by stage; pages only where still nobody has deployed anything else: what was of one of both versions at the beginning must be as
    /// it was then.
    async fn make(
        &self,
        attempt: &mut Attempt<'_>,
        (it, began): (&Copy<'_>, &BTreeMap<String, Live>),
        missing: &Copies,
        copied: &Arc<AtomicUsize>,
    ) -> Result<(), Trouble> {
        for stage in Stage::ALL {
            let names: Vec<&str> = missing.of(stage).collect();
            if names.is_empty() {
                continue;
            }
            attempt.permits()?;
            if stage >= Stage::Pages {
                let live = self.look(&names, attempt.until).await;
                let live = live.map_err(|fault| trouble(&fault, &self.stands(stage)))?;
                self.is_marked(it, attempt.until).await?;
                if let Some(name) = self.moved(&names, began, &live) {
                    let stands = self.stands(stage);
                    return failed(format!("{stands}: somebody changed {name} meanwhile"), false);
                }
            }
            attempt.touched = true;
            // The page that people open first comes after all others.
            let last = names.last().filter(|_| stage == Stage::Pages && names.len() > 1).copied();
            let others: Vec<&str> =
                names.iter().filter(|name| Some(**name) != last).copied().collect();
            for some in [others, last.into_iter().collect()] {
                self.copy_all(&some, attempt, (copied, missing.len()))
                    .await
                    .map_err(|why| why.into_trouble(&self.stands(stage)))?;
            }
        }
        Ok(())
    }

    /// What of these is neither as it was at the beginning nor as it is to be.
    fn moved<'n>(
        &self,
        names: &[&'n str],
        began: &BTreeMap<String, Live>,
        now: &BTreeMap<String, Live>,
    ) -> Option<&'n str> {
        let is_to_be = |name: &str| {
            self.to.objects.get(name).zip(now.get(name)).is_some_and(|(it, now)| it.is(now))
        };
        names.iter().copied().find(|name| began.get(*name) != now.get(*name) && !is_to_be(name))
    }

    /// What people are served when it stops in a stage.
    fn stands(&self, stage: Stage) -> String {
        let from = self.from.as_ref().map_or("the version that was left", |it| &it.version);
        match stage {
            Stage::New | Stage::Replaced => {
                format!(
                    "it stopped at {}, and the pages are still those of {from}, with all that they load",
                    stage.name()
                )
            }
            Stage::Pages | Stage::Marker => format!(
                "it stopped at {}: some are of {from} and some of {}, each with all that it loads",
                stage.name(),
                self.to.version
            ),
        }
    }

    async fn copy_all(
        &self,
        names: &[&str],
        attempt: &Attempt<'_>,
        (copied, of): (&Arc<AtomicUsize>, usize),
    ) -> Result<(), Stopped> {
        let (lease, until) = (attempt.lease, attempt.until);
        let all: Vec<(String, Object)> = names
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), self.to.objects.get(*name)?.clone())))
            .collect();
        let mut telling = tokio::time::interval(TOLD_EVERY);
        telling.tick().await;
        let making = each(all, self.at_once, |(name, object)| {
            let (bucket, kept) = (self.bucket.clone(), self.kept(&name, &object));
            let (key, lease, copied) =
                (self.site.runbook.at.key(&name), lease.clone(), Arc::clone(copied));
            async move {
                lease.permits().map_err(|why| Stopped::Withheld(why.to_string()))?;
                let copying =
                    patiently(until, || bucket.copy(&kept, &key, &object.headers, &object.etag));
                copying.await.map_err(|fault| Stopped::Fault(name, fault))?;
                copied.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        });
        tokio::pin!(making);
        loop {
            tokio::select! {
                made = &mut making => return made.map(drop),
                () = sleep_until(until) => return Err(Stopped::Late),
                _ = telling.tick() => {
                    let copied = copied.load(Ordering::Relaxed);
                    attempt.progress(&format!("{copied} of {of} objects copied"));
                    info!(copied, of, "{} goes back to {}", self.site.runbook.at, self.to.version);
                }
            }
        }
    }
}

/// Why not all was copied.
enum Stopped {
    Withheld(String),
    Late,
    Fault(String, Fault),
}

impl Stopped {
    fn into_trouble(self, stands: &str) -> Trouble {
        match self {
            Self::Withheld(why) => Trouble::Withheld(why),
            Self::Late => {
                Trouble::Failed { why: format!("{stands}: its time was over"), retry: true }
            }
            Self::Fault(name, fault) => trouble(&fault, &format!("{stands}: {name}")),
        }
    }
}

/// The first of them.
fn few(names: &[&str]) -> String {
    const SHOWN: usize = 5;
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
