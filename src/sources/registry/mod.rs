//! Registries of images, asked whether they still have what a version needs. Nothing is pulled, and nothing changed.
//!
//! What cannot be asked is unknown: a cluster may pull through a mirror, or by rights that the daemon has not.

mod asking;
mod challenge;
mod credential;
mod known;
mod name;
mod places;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

use self::{
    asking::{Heard, NoAnswer, Question},
    known::{Known, image_of, is_hidden},
};
pub use self::{challenge::Challenge, credential::Credential, known::Answer, name::Name};
use super::http::{self, CannotBuild, Client};
use crate::{
    domain::image::{Image, Said},
    kubernetes::pulls::Options,
    units::{Secret, UnixMs},
};

/// A token, or why there is no manifest, is no larger.
const BODY_MAX_BYTES: usize = 256 << 10;
/// So many credentials are tried for one image.
const CREDENTIALS_MAX: usize = 10;

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
        let known = Mutex::new(Known::new(options.keep.duration()));
        Ok(Self { shared: Arc::new(Shared { options, client, permits, known }) })
    }

    /// How they are asked.
    pub fn options(&self) -> &Options {
        &self.shared.options
    }

    /// What is to be said of an image: by what is known of it, if that is not too old.
    pub async fn ask(&self, image: &str, rights: &Rights, now: impl Fn() -> UnixMs) -> Answer {
        self.ask_anew(image, self.options().keep.duration(), rights, now).await
    }

    /// What is to be said of images, each by what is known of it, if that is no older than so.
    pub async fn ask_all(
        &self,
        images: &[(String, Duration)],
        rights: &Rights,
        now: impl Fn() -> UnixMs,
    ) -> Vec<Answer> {
        let mut all = vec![];
        for (image, age) in images {
            all.push(self.ask_anew(image, *age, rights, &now).await);
        }
        // Of what was hidden before another one of its repository was not.
        for ((image, age), answer) in images.iter().zip(&mut all) {
            if is_hidden(&answer.image) {
                *answer = self.ask_anew(image, *age, rights, &now).await;
            }
        }
        all
    }

    async fn ask_anew(
        &self,
        image: &str,
        age: Duration,
        rights: &Rights,
        now: impl Fn() -> UnixMs,
    ) -> Answer {
        let never = |registry: &str, why: &str| {
            let said = Said::Unknown(why.to_owned());
            self.known().believed(image_of(image, registry, said, now()), Instant::now())
        };
        let Some(name) = Name::of(image) else {
            return never("", "its name is none that a registry could know");
        };
        if let Some(why) = self.unasked(&name) {
            return never(&name.registry, why);
        }
        let mut credentials = Credential::for_image(&rights.credentials, &name);
        credentials.truncate(CREDENTIALS_MAX);
        let mut hash = Sha256::new_with_prefix([u8::from(rights.is_withheld)]);
        credentials.iter().for_each(|it| hash.update(it.hash()));
        let asked = (image.to_owned(), hash.finalize().into());
        if let Some(known) = self.known().of(&asked, &name, age) {
            return known;
        }
        // Closed never.
        let _turn = self.shared.permits.acquire().await;
        if let Some(known) = self.known().of(&asked, &name, age) {
            return known;
        }
        let within = self.options().timeout;
        let answer = self.ask_as_each(&name, &credentials, rights.is_withheld);
        let answer = timeout(within.duration(), answer).await.unwrap_or_else(|_| {
            Err(NoAnswer { why: format!("no answer within {within}"), is_silent: true })
        });
        self.known().note(asked, &name, answer, now())
    }

    /// As whoever has one of these credentials, until one of them is told of it; as a stranger, where there is none.
    async fn ask_as_each(
        &self,
        name: &Name,
        credentials: &[&Credential],
        is_withheld: bool,
    ) -> Result<Said, NoAnswer> {
        let (mut unsure, mut was_stranger) = (None, false);
        let nobody = credentials.is_empty().then_some(None);
        for credential in credentials.iter().copied().map(Some).chain(nobody) {
            let client = &self.shared.client;
            let is_plain = self.is_plain(&name.registry);
            let question = Question { client, name, credential, is_withheld, is_plain };
            match question.ask().await {
                Ok(Heard { said: Said::Gone, is_stranger }) => was_stranger |= is_stranger,
                Ok(Heard { said, is_stranger }) => {
                    if is_stranger {
                        self.known().opens(name);
                    }
                    return Ok(said);
                }
                Err(why) if why.is_silent => return Err(why),
                Err(why) => unsure = unsure.or(Some(why)),
            }
        }
        match unsure {
            Some(why) => Err(why),
            None if was_stranger => self.known().to_a_stranger(name),
            None => Ok(Said::Gone),
        }
    }

    /// Why a registry is never asked, where that is so.
    fn unasked(&self, name: &Name) -> Option<&'static str> {
        let Some(url) = name.url("http") else { return Some("its name leads nowhere") };
        if places::is_of_link(&url) {
            return Some("nobody is asked at an address of the link alone");
        }
        (places::is_loopback(&url) && !self.is_plain(&name.registry))
            .then_some("that is the node itself, which the daemon is not (`plain_http` names those that it is to ask)")
    }

    /// Whether it is news that a registry cannot be asked, for this reason.
    pub fn is_news(&self, image: &Image) -> bool {
        let Said::Unknown(why) = &image.said else { return false };
        self.known().is_news(&image.registry, why)
    }

    /// Whether somebody said that it is to be asked without TLS.
    fn is_plain(&self, registry: &str) -> bool {
        self.options().plain_http.iter().any(|plain| plain == registry)
    }

    /// Whoever panicked with it in hand left entries whole.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.shared.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
