//! The images of a version, and whether their registries still have them.
//!
//! Three-valued: who cannot be asked says nothing. A cluster may pull what the daemon cannot, and a node may hold what no
//! registry has any more, so that only a registry that says itself that an image is gone speaks against a version.

use serde::{Deserialize, Serialize};

use super::change::Revision;
use crate::units::UnixMs;

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

impl Image {
    /// For people: how it stands.
    pub fn in_words(&self) -> String {
        let Self { name, registry, said, asked_at } = self;
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
pub fn missing(version: &Revision, images: &[Image]) -> Option<String> {
    let gone = images.iter().filter(|image| image.said == Said::Gone);
    let gone: Vec<String> = gone.map(Image::in_words).collect();
    (!gone.is_empty()).then(|| {
        format!(
            "{}: pods of {version} start only on nodes that still hold it; push it again, or go to another version",
            gone.join("; ")
        )
    })
}

/// What is known of the images that nothing speaks against; nothing where nobody asked.
pub fn outlook(images: &[Image]) -> Option<String> {
    let is_unknown = |image: &&Image| matches!(image.said, Said::Unknown(_));
    match images.iter().find(is_unknown) {
        Some(unknown) => Some(unknown.in_words()),
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
        Image { name, registry, said, asked_at: UnixMs(0) }
    }

    #[test]
    fn only_a_registry_that_says_that_it_is_gone_speaks_against_a_version() {
        let version = Revision::named("1.4.1+ab");
        let there = || image(Said::There { digest: None });
        let unknown = || image(Said::Unknown("no answer within 5 s".into()));
        assert_eq!(missing(&version, &[]), None);
        assert_eq!(missing(&version, &[there(), unknown()]), None);
        let why = missing(&version, &[there(), image(Said::Gone), unknown()]).unwrap();
        assert!(why.contains("registry.example has no registry.example/shop:1.4.1"), "{why}");
        assert!(why.contains("only on nodes that still hold it"), "{why}");
        assert_eq!(outlook(&[]), None);
        assert!(outlook(&[there()]).unwrap().contains("still has its image"));
        assert!(outlook(&[there(), unknown()]).unwrap().contains("no answer within 5 s"));
    }
}
