//! Registries of images, asked whether they still have what a version needs. Nothing is pulled, and nothing changed.
//!
//! What cannot be asked is unknown: a cluster may pull through a mirror, or by rights that the daemon has not.

mod asking;
mod challenge;
mod credential;
mod name;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

use self::asking::{NoAnswer, Question};
pub use self::{challenge::Challenge, credential::Credential, name::Name};
use super::http::{self, CannotBuild, Client};
use crate::{
    domain::image::{Image, Said},
    kubernetes::pulls::Options,
    units::{Secret, UnixMs},
};

/// A token, or why there is no manifest, is no larger.
const BODY_MAX_BYTES: usize = 256 << 10;
/// Answers that are kept.
const KEPT_MAX: usize = 10_000;
/// What was told is remembered of so many reasons.
const TOLD_MAX: usize = 1_000;

/// The registries of one cluster's images; shared by all who ask.
#[derive(Clone)]
pub struct Registries {
    shared: Arc<Shared>,
}

struct Shared {
    options: Options,
    client: Client,
    permits: Semaphore,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// By image, and whether it was asked about with a credential.
    answers: BTreeMap<(String, bool), (Instant, Image)>,
    /// Registries that do not answer, and why.
    silent: BTreeMap<String, (Instant, UnixMs, String)>,
    /// What was told of registries that could not be asked: some images of one may be known, and others not.
    told: BTreeSet<(String, String)>,
}

/// What pods of one Deployment pull with.
#[derive(Clone, Debug, Default)]
pub struct Rights {
    /// Of all Secrets that were read.
    pub credentials: Vec<Credential>,
    /// Whether one could not be.
    pub is_withheld: bool,
}

impl Rights {
    /// Of the Secrets that were read, and of those that could not be, with why.
    pub fn read(secrets: Vec<Result<Secret, String>>) -> (Self, Vec<String>) {
        let (mut credentials, mut unread) = (vec![], vec![]);
        for secret in secrets {
            match secret {
                Ok(file) => credentials.extend(Credential::all(file.expose().as_bytes())),
                Err(why) => unread.push(why),
            }
        }
        (Self { credentials, is_withheld: !unread.is_empty() }, unread)
    }
}

impl fmt::Debug for Registries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registries").field("options", self.options()).finish_non_exhaustive()
    }
}

impl Registries {
    /// Nothing was asked yet.
    pub fn new(options: Options) -> Result<Self, CannotBuild> {
        let client = Client::new(http::Options {
            connect: options.timeout,
            attempt: options.timeout,
            total: options.timeout,
            body_bytes: BODY_MAX_BYTES,
            ca_pem: options.ca_pem.clone(),
            ..http::Options::default()
        })?;
        let permits = Semaphore::new(options.at_once);
        let known = Mutex::default();
        Ok(Self { shared: Arc::new(Shared { options, client, permits, known }) })
    }

    /// How they are asked.
    pub fn options(&self) -> &Options {
        &self.shared.options
    }

    /// What is to be said of an image: by what is known of it, if that is not too old.
    pub async fn ask(&self, image: &str, rights: &Rights, now: impl Fn() -> UnixMs) -> Image {
        let Some(name) = Name::of(image) else {
            let said = Said::Unknown("its name is none that a registry could know".to_owned());
            return image_of(image, String::new(), said, now());
        };
        let credential = Credential::for_image(&rights.credentials, &name);
        let key = (image.to_owned(), credential.is_some());
        if let Some(known) = self.known_of(&key, &name) {
            return known;
        }
        // Closed never.
        let _turn = self.shared.permits.acquire().await;
        if let Some(known) = self.known_of(&key, &name) {
            return known;
        }
        let question = Question {
            client: &self.shared.client,
            name: &name,
            credential,
            is_withheld: rights.is_withheld && credential.is_none(),
            is_plain: self.is_plain(&name.registry),
        };
        let within = self.options().timeout;
        let answer = timeout(within.duration(), question.ask()).await.unwrap_or_else(|_| {
            Err(NoAnswer { why: format!("no answer within {within}"), is_silent: true })
        });
        self.note(key, &name, answer, now())
    }

    /// Whether it is news that a registry cannot be asked, for this reason.
    pub fn is_news(&self, image: &Image) -> bool {
        let Said::Unknown(why) = &image.said else { return false };
        let told = &mut self.known().told;
        if told.len() >= TOLD_MAX {
            told.clear();
        }
        told.insert((image.registry.clone(), why.clone()))
    }

    fn known_of(&self, key: &(String, bool), name: &Name) -> Option<Image> {
        let (known, keep) = (self.known(), self.options().keep.duration());
        let answered = known.answers.get(key).filter(|(at, _)| at.elapsed() < keep);
        if let Some((_, image)) = answered {
            return Some(image.clone());
        }
        let silent = known.silent.get(&name.registry).filter(|(at, ..)| at.elapsed() < keep);
        let (_, asked_at, why) = silent?;
        Some(image_of(&key.0, name.registry.clone(), Said::Unknown(why.clone()), *asked_at))
    }

    fn note(
        &self,
        key: (String, bool),
        name: &Name,
        answer: Result<Said, NoAnswer>,
        now: UnixMs,
    ) -> Image {
        let (mut known, at) = (self.known(), Instant::now());
        let said = match answer {
            Ok(said) => {
                known.silent.remove(&name.registry);
                said
            }
            Err(NoAnswer { why, is_silent }) => {
                if is_silent {
                    known.silent.insert(name.registry.clone(), (at, now, why.clone()));
                }
                Said::Unknown(why)
            }
        };
        let image = image_of(&key.0, name.registry.clone(), said, now);
        if known.answers.len() >= KEPT_MAX {
            let keep = self.options().keep.duration();
            known.answers.retain(|_, (at, _)| at.elapsed() < keep);
        }
        if known.answers.len() < KEPT_MAX {
            known.answers.insert(key, (at, image.clone()));
        }
        image
    }

    /// Nobody is between the daemon and its own machine; elsewhere somebody has to say so.
    fn is_plain(&self, registry: &str) -> bool {
        let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
        let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        host == "localhost"
            || address.is_some_and(|address| address.is_loopback())
            || self.options().plain_http.iter().any(|plain| plain == registry)
    }

    /// Whoever panicked with it in hand left entries whole.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.shared.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn image_of(name: &str, registry: String, said: Said, asked_at: UnixMs) -> Image {
    Image { name: name.to_owned(), registry, said, asked_at }
}
