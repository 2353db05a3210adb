//! What registries said, for as long as that is believed: shared by all who ask.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;

use super::{asking::NoAnswer, name::Name};
use crate::{
    domain::image::{Image, Said},
    units::UnixMs,
};

/// Answers that are kept.
const KEPT_MAX: usize = 10_000;
/// What was told is remembered of so many reasons.
const TOLD_MAX: usize = 1_000;
/// One that did not answer is asked again after so long, by whoever comes first.
const SILENT_FOR: Duration = Duration::from_secs(30);
/// There are registries that say so of all that is private, and pods may have credentials that no template names.
const HIDDEN: &str = "it says that it has none, to a stranger, and told strangers of no other of that repository yet";

/// An image, and by whose rights it was asked about: by a hash, for what one may know is not for everybody.
pub(super) type Asked = (String, [u8; 32]);

/// What is known of an image.
#[derive(Clone, Debug)]
pub struct Answer {
    /// As it was said.
    pub image: Image,
    /// When that was.
    pub at: Instant,
    /// Until then asking again says nothing else.
    pub until: Instant,
}

pub(super) struct Known {
    keep: Duration,
    answers: BTreeMap<Asked, (Instant, Image)>,
    /// Registries that do not answer, and why.
    silent: BTreeMap<String, (Instant, UnixMs, String)>,
    /// Repositories, with their registry, that strangers were told of: of those nothing is hidden.
    open: BTreeSet<(String, String)>,
    /// What was told of registries that could not be asked: some images of one may be known, and others not.
    told: BTreeSet<(String, String)>,
}

impl Known {
    pub(super) fn new(keep: Duration) -> Self {
        let (answers, silent) = (BTreeMap::new(), BTreeMap::new());
        Self { keep, answers, silent, open: BTreeSet::new(), told: BTreeSet::new() }
    }

    /// What is known of an image, if that is no older than so.
    pub(super) fn of(&self, asked: &Asked, name: &Name, age: Duration) -> Option<Answer> {
        let is_open = self.open.contains(&repository(name));
        let answered = self.answers.get(asked).filter(|(at, image)| {
            at.elapsed() < age.min(self.keep) && !(is_open && is_hidden(image))
        });
        if let Some((at, image)) = answered {
            return Some(self.believed(image.clone(), *at));
        }
        let is_silent = |at: &Instant| at.elapsed() < self.silence();
        let (at, asked_at, why) =
            self.silent.get(&name.registry).filter(|(at, ..)| is_silent(at))?;
        let said = Said::Unknown(why.clone());
        let image = image_of(&asked.0, &name.registry, said, *asked_at);
        Some(Answer { image, at: *at, until: *at + self.silence() })
    }

    pub(super) fn note(
        &mut self,
        asked: Asked,
        name: &Name,
        answer: Result<Said, NoAnswer>,
        now: UnixMs,
    ) -> Answer {
        let at = Instant::now();
        let said = match answer {
            // What was said before is still so until it says otherwise.
            Err(NoAnswer { why, is_silent: true }) => {
                self.silent.insert(name.registry.clone(), (at, now, why.clone()));
                let image = image_of(&asked.0, &name.registry, Said::Unknown(why), now);
                return Answer { image, at, until: at + self.silence() };
            }
            Err(NoAnswer { why, .. }) => Said::Unknown(why),
            Ok(said) => said,
        };
        self.silent.remove(&name.registry);
        let mut image = image_of(&asked.0, &name.registry, said, now);
        let before = self.answers.get(&asked).filter(|(_, before)| before.said == image.said);
        if let Some((_, before)) = before {
            image.since = before.since;
        }
        if self.answers.len() >= KEPT_MAX {
            let keep = self.keep;
            self.answers.retain(|_, (at, _)| at.elapsed() < keep);
        }
        if self.answers.len() < KEPT_MAX || self.answers.contains_key(&asked) {
            self.answers.insert(asked, (at, image.clone()));
        }
        self.believed(image, at)
    }

    pub(super) fn believed(&self, image: Image, at: Instant) -> Answer {
        Answer { image, at, until: at + self.keep }
    }

    /// A stranger was told of an image of it.
    pub(super) fn opens(&mut self, name: &Name) {
        if self.open.len() < KEPT_MAX {
            self.open.insert(repository(name));
        }
    }

    /// What it means that a stranger is told that there is none.
    pub(super) fn to_a_stranger(&self, name: &Name) -> Result<Said, NoAnswer> {
        let is_open = self.open.contains(&repository(name));
        is_open.then_some(Said::Gone).ok_or_else(|| NoAnswer::odd(HIDDEN))
    }

    /// Whether it is news that a registry cannot be asked, for this reason.
    pub(super) fn is_news(&mut self, registry: &str, why: &str) -> bool {
        if self.told.len() >= TOLD_MAX {
            self.told.clear();
        }
        self.told.insert((registry.to_owned(), why.to_owned()))
    }

    fn silence(&self) -> Duration {
        self.keep.min(SILENT_FOR)
    }
}

fn repository(name: &Name) -> (String, String) {
    (name.registry.clone(), name.repository.clone())
}

/// Whether it may be there for others.
pub(super) fn is_hidden(image: &Image) -> bool {
    image.said == Said::Unknown(HIDDEN.to_owned())
}

pub(super) fn image_of(name: &str, registry: &str, said: Said, asked_at: UnixMs) -> Image {
    let (name, registry) = (name.to_owned(), registry.to_owned());
    Image { name, registry, said, asked_at, since: Some(asked_at) }
}
