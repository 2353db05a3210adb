//! Whether what a service would be rolled back to can still be pulled: its registries are asked before there is need, and
//! never waited for.

use std::{collections::BTreeMap, time::Duration};

use smol_str::SmolStr;
use tokio::{task::JoinSet, time::Instant};
use tracing::{info, warn};

use super::{clock, keeping::Keeper};
use crate::{
    domain::{
        change::Revision,
        image::{Good, Image, Said},
        inventory::Inventory,
        service::ServiceId,
    },
    kubernetes::pulls::Pulls,
    sources::{
        kubernetes::{Key, Watched, pull_secrets},
        registry::{Answer, Registries, Rights},
    },
};

/// What registries said, and which Secrets could not be read.
type Answers = (Vec<Answer>, Vec<String>);

/// While something is wrong, what speaks against going back is asked for anew this often: it may be there again, and what
/// is said once may be a mistake.
const DOUBTED_FOR: Duration = Duration::from_secs(15);

/// Of one service.
#[derive(Debug)]
pub(super) struct Puller {
    service: ServiceId,
    watched: Watched,
    key: Key,
    registries: Registries,
    /// What pods need of the versions that matter, by their hash.
    wanted: Vec<(String, Pulls)>,
    /// What was said last.
    known: BTreeMap<String, Answer>,
    /// At most one round at a time; ends with its owner.
    asking: JoinSet<Answers>,
    /// What of the Secrets could not be read, so that it is told once.
    unread: Vec<String>,
}

impl Puller {
    pub(super) fn new(
        service: &ServiceId,
        watched: &Watched,
        key: &Key,
        registries: Registries,
    ) -> Self {
        Self {
            service: service.clone(),
            watched: watched.clone(),
            key: key.clone(),
            registries,
            wanted: vec![],
            known: BTreeMap::new(),
            asking: JoinSet::new(),
            unread: vec![],
        }
    }

    /// Says of an inventory what is known of the images.
    pub(super) fn add_to(&self, seen: &mut Inventory) {
        for available in &mut seen.available {
            let digest = available.revision.digest.as_ref();
            let wanted = self.wanted.iter().find(|(of, _)| Some(of) == digest);
            let mut pulls = wanted.map(|(_, pulls)| pulls.clone());
            // What was set a moment ago may use what is known already.
            if pulls.is_none() && seen.linked.as_ref() == Some(&available.revision) {
                pulls = digest.and_then(|digest| self.watched.pulls_of(&self.key, digest));
            }
            let images = pulls.iter().flat_map(|pulls| &pulls.images);
            let known = images.filter_map(|image| self.known.get(image.as_str()));
            available.images = known.map(|answer| answer.image.clone()).collect();
        }
    }

    /// Asks about what it would be rolled back to, and about what is set, where that is not known or too old.
    pub(super) async fn tend(&mut self, seen: &Inventory, keeper: &mut Keeper) {
        let versions = [keeper.target().cloned(), seen.linked.clone()];
        let digests = versions.into_iter().flatten().filter_map(|version: Revision| version.digest);
        self.wanted.clear();
        for digest in digests {
            let pulls = match self.watched.pulls_of(&self.key, &digest) {
                Some(pulls) => Some(pulls),
                None => keeper.pulls_of(&digest).await,
            };
            if let Some(pulls) = pulls.filter(|_| self.wanted.iter().all(|(of, _)| *of != digest)) {
                self.wanted.push((digest, pulls));
            }
        }
        if self.asking.is_empty() {
            self.begin(keeper.is_alarmed(), keeper.target_images());
        }
    }

    fn begin(&mut self, is_alarmed: bool, good: &[Good]) {
        let options = self.registries.options().clone();
        let keep = options.keep.duration();
        let all = self.wanted.iter().flat_map(|(_, pulls)| &pulls.images);
        let mut images: Vec<String> = all.map(|image| image.to_string()).collect();
        images.truncate(options.images_max);
        self.known.retain(|image, _| images.contains(image));
        let is_doubted = |known: &Answer| is_alarmed && known.image.is_doubtful(good);
        let age = |image: String| {
            let known = self.known.get(&image);
            due(known, known.is_some_and(is_doubted), keep).map(|age| (image, age))
        };
        let images: Vec<(String, Duration)> = images.into_iter().filter_map(age).collect();
        if images.is_empty() {
            return;
        }
        let named = self.wanted.iter().flat_map(|(_, pulls)| &pulls.secrets);
        let mut secrets: Vec<SmolStr> = named.cloned().collect();
        secrets.sort_unstable();
        secrets.dedup();
        let (watched, key) = (self.watched.clone(), self.key.clone());
        let registries = self.registries.clone();
        self.asking.spawn(async move {
            let (rights, unread) = rights(&watched, &key, &secrets, options.pull_secrets).await;
            (registries.ask_all(&images, &rights, clock::wall).await, unread)
        });
    }

    /// Returns when there are answers.
    pub(super) async fn answered(&mut self) {
        let Some(answers) = self.asking.join_next().await else {
            return std::future::pending().await;
        };
        // One that panicked is asked again.
        let (answers, unread) = answers.unwrap_or_default();
        for why in unread.iter().filter(|why| !self.unread.contains(why)) {
            warn!(service = %self.service, "registries are asked without what pods pull with: {why}");
        }
        self.unread = unread;
        for answer in answers {
            self.tell(&answer.image);
            self.known.insert(answer.image.name.clone(), answer);
        }
    }

    /// What is gone, once for each service; what cannot be asked, once for each registry.
    fn tell(&self, image: &Image) {
        let before = self.known.get(&image.name).map(|before| &before.image.said);
        match &image.said {
            Said::Gone if before != Some(&Said::Gone) => {
                warn!(service = %self.service, "{}", image.in_words());
            }
            Said::There { .. } if before == Some(&Said::Gone) => {
                info!(service = %self.service, "{}", image.in_words());
            }
            Said::Unknown(_) if self.registries.is_news(image) => {
                info!("{}; rollbacks go on without knowing", image.in_words());
            }
            Said::Gone | Said::There { .. } | Said::Unknown(_) => {}
        }
    }
}

/// Whether it is time to ask about an image, and how old an answer may be then.
fn due(known: Option<&Answer>, is_doubted: bool, keep: Duration) -> Option<Duration> {
    let age = if is_doubted { DOUBTED_FOR.min(keep) } else { keep };
    let is_due =
        known.is_none_or(|it| it.until <= Instant::now() || is_doubted && it.at.elapsed() >= age);
    is_due.then_some(age)
}

/// With what the pods themselves pull, as far as that may be read, and what could not be.
async fn rights(
    watched: &Watched,
    key: &Key,
    secrets: &[SmolStr],
    may_read: bool,
) -> (Rights, Vec<String>) {
    if secrets.is_empty() || !may_read {
        return (Rights { credentials: vec![], is_withheld: !secrets.is_empty() }, vec![]);
    }
    Rights::read(pull_secrets(watched.options(), &key.namespace, secrets).await)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::UnixMs;

    #[test]
    fn what_speaks_against_going_back_is_asked_anew_soon_and_nothing_else_is() {
        let keep = Duration::from_secs(300);
        let now = Instant::now();
        let asked_ago = |seconds: u64| Answer {
            image: Image {
                name: "shop:1".into(),
                registry: "registry.example".into(),
                said: Said::Gone,
                asked_at: UnixMs(0),
                since: None,
            },
            at: now.checked_sub(Duration::from_secs(seconds)).unwrap(),
            until: now + keep - Duration::from_secs(seconds),
        };
        assert_eq!(due(None, false, keep), Some(keep));
        assert_eq!(due(Some(&asked_ago(16)), false, keep), None);
        assert_eq!(due(Some(&asked_ago(16)), true, keep), Some(DOUBTED_FOR));
        assert_eq!(due(Some(&asked_ago(1)), true, keep), None);
        assert_eq!(due(Some(&asked_ago(300)), false, keep), Some(keep));
    }
}
