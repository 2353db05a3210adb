//! The images of a version: whether their registries still have them, and whether they are what served well.
//!
//! Three-valued: who cannot be asked says nothing. A cluster may pull what the daemon cannot, and a node may hold what no
//! registry has any more, so that only a registry that says itself that an image is gone speaks against a version.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::change::Revision;
use crate::units::{Span, UnixMs};

/// One image, as its registry was asked about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// As the template has it.
    pub name: String,
    /// Who was asked.
    pub registry: String,
    /// What was said.
    pub said: Said,
    /// When.
    pub asked_at: UnixMs,
    /// Since when it says just that, as often as it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<UnixMs>,
}

/// What a registry says of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// It has it.
    There {
        /// What its name stands for there: of an index, where it is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        digest: Option<String>,
    },
    /// It says itself that it does not.
    Gone,
    /// Nobody can tell; why not.
    Unknown(String),
}

/// What pods that are ready run under the name of an image, as their kubelets say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ran {
    /// As the template has it.
    pub name: String,
    /// Of an index or of one platform's part of it, whichever the runtime tells; each once.
    pub digests: Vec<String>,
    /// Since when the first of the pods that run it runs it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub since: BTreeMap<String, UnixMs>,
}

/// An image of a version as it was when that was known good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Good {
    /// As the template has it.
    pub name: String,
    /// What its registry said that the name stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stood_for: Option<String>,
    /// What pods ran under it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ran: Vec<String>,
}

/// So many images of a version are remembered ...
const GOOD_MAX: usize = 20;
/// ... and so many digests of each: nodes of different kinds run different ones.
const RAN_MAX: usize = 4;
/// So much of a digest stands in a sentence.
const SHORT: usize = 19;

/// What a registry says is what pods were made from, where it said so this soon after their version began to serve.
const SAID_WITHIN: Span = Span::minutes(5);

/// For how long a version has served when its images are remembered.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// Since when it serves.
    pub since: UnixMs,
    /// What is so since then has been for long enough.
    pub proven_since: UnixMs,
}

impl Served {
    /// What pods have run for long enough.
    fn proven<'r>(&self, ran: &'r Ran) -> impl Iterator<Item = &'r String> {
        let is_old = |since: &UnixMs| *since <= self.proven_since;
        ran.digests.iter().filter(move |it| ran.since.get(*it).is_some_and(is_old))
    }

    /// Whether a registry said so from the beginning, and ever since: one that was asked later may name what nobody ran.
    fn is_of_it(&self, image: &Image) -> bool {
        image
            .since
            .is_some_and(|said| said <= self.proven_since && said <= self.since + SAID_WITHIN)
    }
}

/// How images stand at a moment, to be remembered: only what served for long enough.
pub fn good(asked: &[Image], ran: &[Ran], served: Served) -> Vec<Good> {
    let names = asked.iter().map(|it| &it.name).chain(ran.iter().map(|it| &it.name));
    let mut names: Vec<&String> = names.collect();
    names.sort_unstable();
    names.dedup();
    let one = |name: &String| {
        let ran = ran.iter().filter(|it| it.name == *name).flat_map(|it| served.proven(it));
        let ran: Vec<String> = ran.take(RAN_MAX).cloned().collect();
        let asked = asked.iter().find(|it| it.name == *name);
        let is_it =
            |it: &&Image| served.is_of_it(it) || it.digest().is_some_and(|d| ran.contains(d));
        let stood_for = asked.filter(is_it).and_then(Image::digest).cloned();
        Good { name: name.clone(), stood_for, ran }
    };
    let all = names.into_iter().map(one);
    all.filter(|it| it.stood_for.is_some() || !it.ran.is_empty()).take(GOOD_MAX).collect()
}

/// What is remembered, with what is known besides since: the first answer of a registry stays, and whatever served well
/// under a name is added to what did, in place of what did so first.
pub fn added(then: &[Good], now: Vec<Good>) -> Vec<Good> {
    let mut all = then.to_vec();
    for good in now {
        match all.iter_mut().find(|known| known.name == good.name) {
            Some(known) => {
                known.stood_for = known.stood_for.take().or(good.stood_for);
                let news = good.ran.iter().filter(|it| !known.ran.contains(it)).cloned();
                let news: Vec<String> = news.collect();
                known.ran.extend(news);
                while known.ran.len() > RAN_MAX {
                    let oldest = known.ran.iter().position(|it| !good.ran.contains(it));
                    known.ran.remove(oldest.unwrap_or_default());
                }
            }
            None => all.push(good),
        }
    }
    all.truncate(GOOD_MAX);
    all
}

impl Good {
    /// For people.
    pub fn in_words(&self) -> String {
        let stood_for = self.stood_for.as_ref().map(|digest| format!(" stood for {digest}"));
        let ran = (!self.ran.is_empty()).then(|| format!(" ran {}", self.ran.join(", ")));
        let both: Vec<String> = stood_for.into_iter().chain(ran).collect();
        format!("{}{}", self.name, both.join(", and its pods"))
    }

    /// Whether a name stands for another image than then, for certain: two answers of one registry are compared. What a
    /// kubelet tells may be a part of what the name stands for, so that it says only that something is the same.
    fn is_other(&self, now: &str) -> bool {
        let then = self.stood_for.as_deref();
        then.is_some_and(|then| then != now) && self.ran.iter().all(|ran| ran != now)
    }
}

fn short(digest: &str) -> &str {
    digest.get(..SHORT).unwrap_or(digest)
}

/// Why what would start is not what was known good, where a name stands for another image now.
pub fn moved(version: &Revision, now: &[&Image], then: &[Good]) -> Option<String> {
    let one = |image: &Image| {
        let (digest, good) = (image.digest()?, then.iter().find(|it| it.name == image.name)?);
        good.is_other(digest).then(|| {
            let before = good.stood_for.as_deref().unwrap_or_default();
            format!(
                "{} stands for another image than when {version} was known good ({} then, {} now)",
                image.name,
                short(before),
                short(digest)
            )
        })
    };
    let all: Vec<String> =
        now.iter().filter(|it| it.was_said_again()).filter_map(|it| one(it)).collect();
    (!all.is_empty()).then(|| format!("{}: what would start never served well", all.join("; ")))
}

impl Image {
    /// Whether it was said twice in a row: what a registry says once may be its own fault.
    fn was_said_again(&self) -> bool {
        self.since.is_some_and(|since| since < self.asked_at)
    }

    /// Whether it speaks against a version, or would if it were said once more; then it is asked again sooner.
    pub fn is_doubtful(&self, then: &[Good]) -> bool {
        let good = then.iter().find(|it| it.name == self.name);
        let is_other = || self.digest().zip(good).is_some_and(|(now, good)| good.is_other(now));
        self.said == Said::Gone || is_other()
    }

    fn digest(&self) -> Option<&String> {
        match &self.said {
            Said::There { digest } => digest.as_ref(),
            Said::Gone | Said::Unknown(_) => None,
        }
    }

    /// The same, beside how it was when it was known good.
    pub fn beside(&self, then: &[Good]) -> String {
        let good = then.iter().find(|it| it.name == self.name);
        let compared = match (self.digest(), good.and_then(|it| it.stood_for.as_deref())) {
            (Some(now), Some(then)) if now == then => ", as when it was known good".to_owned(),
            (_, Some(then)) => format!("; it stood for {then} when it was known good"),
            (_, None) => String::new(),
        };
        let ran = good.map(|it| it.ran.join(", ")).filter(|ran| !ran.is_empty());
        let ran = ran.map(|ran| format!("; its pods ran {ran}")).unwrap_or_default();
        format!("{}{compared}{ran}", self.in_words())
    }

    /// For people: how it stands.
    pub fn in_words(&self) -> String {
        let Self { name, registry, said, asked_at, .. } = self;
        match said {
            Said::There { digest: Some(digest) } => format!("{name} is at {registry}: {digest}"),
            Said::There { digest: None } => format!("{name} is at {registry}"),
            Said::Gone => {
                format!("{registry} has no {name} any more (asked at {})", asked_at.clock())
            }
            Said::Unknown(why) => format!("whether {registry} has {name} is unknown: {why}"),
        }
    }
}

/// Why pods of a version may not start, where a registry says that an image of it is gone.
pub fn missing(version: &Revision, images: &[&Image]) -> Option<String> {
    let is_gone = |image: &&&Image| image.said == Said::Gone && image.was_said_again();
    let gone = images.iter().filter(is_gone);
    let gone: Vec<String> = gone.map(|image| image.in_words()).collect();
    (!gone.is_empty()).then(|| {
        format!(
            "{}: pods of {version} start only on nodes that still hold it; push it again, or go to another version",
            gone.join("; ")
        )
    })
}

/// What is known of the images that nothing speaks against; nothing where nobody asked.
pub fn outlook(images: &[Image]) -> Option<String> {
    let is_unsure = |image: &&Image| !matches!(image.said, Said::There { .. });
    match images.iter().find(is_unsure) {
        Some(unsure) => Some(unsure.in_words()),
        None => images.first().map(|first| match images.len() {
            1 => format!("{} still has its image", first.registry),
            many => format!("its {many} images can still be pulled"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(said: Said) -> Image {
        let (name, registry) = ("registry.example/shop:1.4.1".into(), "registry.example".into());
        Image { name, registry, said, asked_at: UnixMs(1), since: Some(UnixMs(0)) }
    }

    #[test]
    fn a_tag_has_moved_where_its_registry_said_otherwise_and_nothing_ran_what_it_is_now() {
        let version = Revision::named("1.4.1+ab");
        let at = |digest: &str| image(Said::There { digest: Some(digest.to_owned()) });
        let ran = |digests: &[&str]| Ran {
            name: image(Said::Gone).name,
            digests: digests.iter().map(|it| (*it).to_owned()).collect(),
            since: digests.iter().map(|it| ((*it).to_owned(), UnixMs(0))).collect(),
        };
        let served = Served { since: UnixMs(0), proven_since: UnixMs(0) };
        let good = |asked: &[Image], ran: &[Ran]| good(asked, ran, served);
        let is_moved = |then: &[Good], now: Image| moved(&version, &[&now], then);
        let then = good(&[at("sha256:index")], &[ran(&["sha256:amd64", "sha256:arm64"])]);
        assert_eq!(is_moved(&then, at("sha256:index")), None);
        assert_eq!(is_moved(&then, at("sha256:arm64")), None, "one of them runs just that");
        let why = is_moved(&then, at("sha256:other")).unwrap();
        assert!(why.contains("sha256:index then, sha256:other now"), "{why}");
        let once = Image { since: None, ..at("sha256:other") };
        assert!(once.is_doubtful(&then) && !at("sha256:index").is_doubtful(&then));
        assert_eq!(is_moved(&then, once), None, "it was said once");
        assert_eq!(is_moved(&then, image(Said::Unknown("silence".into()))), None);
        // By what kubelets tell alone nothing is certain.
        let by_pods = good(&[], &[ran(&["sha256:amd64"])]);
        assert_eq!(is_moved(&by_pods, at("sha256:other")), None);
        assert_eq!(good(&[image(Said::Gone)], &[ran(&[])]), []);
        // A registry that answers later, and pods that were made from what a tag came to stand for, and served well.
        let with_both = added(&by_pods, good(&[at("sha256:index")], &[ran(&["sha256:other"])]));
        assert!(is_moved(&with_both, at("sha256:third")).is_some());
        assert_eq!(is_moved(&with_both, at("sha256:other")), None);
        let later = good(&[at("sha256:third")], &[]);
        assert_eq!(added(&with_both, later), with_both, "what was good is not what is there now");
        let said = at("sha256:index").beside(&then);
        assert!(said.contains("as when it was known good; its pods ran sha256:amd64"), "{said}");
        let said = at("sha256:other").beside(&then);
        assert!(said.contains("; it stood for sha256:index when it was known good"), "{said}");
        let said = then[0].in_words();
        assert!(said.contains("shop:1.4.1 stood for sha256:index, and its pods ran "), "{said}");
    }

    fn of_pods(digests: &[(&str, i64)]) -> Ran {
        Ran {
            name: image(Said::Gone).name,
            digests: digests.iter().map(|(it, _)| (*it).to_owned()).collect(),
            since: digests.iter().map(|(it, at)| ((*it).to_owned(), UnixMs(*at))).collect(),
        }
    }

    #[test]
    fn only_what_served_for_long_enough_is_good() {
        let said = |digest: &str, since: i64| {
            let said = Said::There { digest: Some(digest.to_owned()) };
            Image { since: Some(UnixMs(since)), ..image(said) }
        };
        let minutes = |it| UnixMs(0) + Span::minutes(it);
        let served = Served { since: UnixMs(0), proven_since: minutes(60) };
        let of = |asked: Image, ran: &[(&str, i64)]| good(&[asked], &[of_pods(ran)], served);
        let late = minutes(61).0;
        let all = of(said("sha256:a", 1), &[("sha256:old", 1), ("sha256:new", late)]);
        assert_eq!(all[0].ran, ["sha256:old"], "the other one runs for a moment");
        assert_eq!(all[0].stood_for.as_deref(), Some("sha256:a"));
        // Pods began long before anybody asked, and the tag may have been pushed again since.
        let asked_late = minutes(30).0;
        let all = of(said("sha256:today", asked_late), &[("sha256:old", 1)]);
        assert_eq!(all[0].stood_for, None);
        let all = of(said("sha256:old", late), &[("sha256:old", 1)]);
        assert_eq!(all[0].stood_for.as_deref(), Some("sha256:old"), "pods run just that");
        assert_eq!(of(said("sha256:a", late), &[("sha256:a", late)]), []);
    }

    #[test]
    fn what_ran_last_is_remembered_when_there_is_no_room_for_all() {
        let served = Served { since: UnixMs(0), proven_since: UnixMs(0) };
        let of = |digests: &[(&str, i64)]| good(&[], &[of_pods(digests)], served);
        let full = of(&[("a", 0), ("b", 0), ("c", 0), ("d", 0)]);
        let later = added(&full, of(&[("a", 0), ("e", 0)]));
        assert_eq!(later[0].ran, ["a", "c", "d", "e"]);
        assert_eq!(added(&later, of(&[("a", 0), ("e", 0)])), later);
    }

    #[test]
    fn only_a_registry_that_says_that_it_is_gone_speaks_against_a_version() {
        let version = Revision::named("1.4.1+ab");
        let there = || image(Said::There { digest: None });
        let unknown = || image(Said::Unknown("no answer within 5 s".into()));
        assert_eq!(missing(&version, &[]), None);
        assert_eq!(missing(&version, &[&there(), &unknown()]), None);
        let why = missing(&version, &[&there(), &image(Said::Gone), &unknown()]).unwrap();
        assert!(why.contains("registry.example has no registry.example/shop:1.4.1"), "{why}");
        assert!(why.contains("only on nodes that still hold it"), "{why}");
        let once = Image { since: Some(UnixMs(1)), ..image(Said::Gone) };
        assert_eq!(missing(&version, &[&once]), None, "it may be its own fault");
        assert!(once.is_doubtful(&[]) && !there().is_doubtful(&[]));
        assert_eq!(outlook(&[]), None);
        assert!(outlook(&[there()]).unwrap().contains("still has its image"));
        assert!(outlook(&[there(), unknown()]).unwrap().contains("no answer within 5 s"));
    }
}
