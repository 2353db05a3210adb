//! What is copied, and in which order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Live, Manifest, Object};

/// The stages of a rollback: each begins when all of the one before is in effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// What is not there: nothing that is live refers to it.
    New,
    /// What is there with other bytes, or is served otherwise.
    Replaced,
    /// Pages, which refer to all of the above.
    Pages,
    /// The object that says which version is live.
    Marker,
}

impl Stage {
    /// In their order.
    pub const ALL: [Self; 4] = [Self::New, Self::Replaced, Self::Pages, Self::Marker];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new objects",
            Self::Replaced => "changed objects",
            Self::Pages => "pages",
            Self::Marker => "the marker",
        }
    }
}

/// What is still to be copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copies {
    /// By stage, and by name within each.
    pub names: Vec<(Stage, String)>,
}

impl Copies {
    /// The names of one stage.
    pub fn of(&self, stage: Stage) -> impl Iterator<Item = &str> {
        self.names.iter().filter(move |(of, _)| *of == stage).map(|(_, name)| name.as_str())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether all of it is in effect.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// What must be copied for `to` to be live, where this is live now; or what somebody else put there in between. `from` is what is
/// left, where it was recorded.
pub fn copies(
    from: Option<&Manifest>,
    to: &Manifest,
    live: &BTreeMap<String, Live>,
) -> Result<Copies, String> {
    let mut names = vec![];
    for (name, object) in &to.objects {
        let now = live.get(name);
        if now.is_some_and(|now| object.is(now)) {
            continue;
        }
        if let (Some(now), Some(before)) = (now, from.and_then(|from| from.objects.get(name)))
            && !before.is_held_by(now)
            && !object.is_held_by(now)
        {
            return Err(format!(
                "somebody changed {name} in between: it is neither of {} nor of {}",
                from.map_or("", |from| &from.version),
                to.version
            ));
        }
        let stage = match (name, now) {
            (name, _) if *name == to.marker => Stage::Marker,
            (_, _) if object.page => Stage::Pages,
            (_, Some(_)) => Stage::Replaced,
            (_, None) => Stage::New,
        };
        names.push((stage, name.clone()));
    }
    names.sort();
    // The page that people open first is the last: whoever opens it then finds the others.
    let root =
        names.iter().position(|(stage, name)| *stage == Stage::Pages && name == "index.html");
    if let Some(at) = root {
        let root = names.remove(at);
        let after = names.iter().position(|(stage, _)| *stage > Stage::Pages);
        names.insert(after.unwrap_or(names.len()), root);
    }
    Ok(Copies { names })
}

/// What would be replaced and is not named by the version that is left, nor a copy that a rollback made: an earlier version left it there,
/// or it is somebody else's.
pub fn unnamed<'c>(
    from: Option<&Manifest>,
    to: &Manifest,
    live: &BTreeMap<String, Live>,
    copies: &'c Copies,
) -> Vec<&'c str> {
    let Some(from) = from else { return vec![] };
    let is_unnamed = |name: &&str| {
        let now = live.get(*name).filter(|now| now.mark.is_none());
        !from.objects.contains_key(*name)
            && now.is_some_and(|now| to.objects.get(*name).is_some_and(|it| !it.is_held_by(now)))
    };
    copies.names.iter().map(|(_, name)| name.as_str()).filter(is_unnamed).collect()
}

/// By how much two versions differ, for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// How many objects the version has to which it goes.
    pub objects: u64,
    /// How many of them are other ones in the version that is left, or not there.
    pub copied: u64,
    /// How many paths are invalidated.
    pub paths: u64,
}

impl Difference {
    /// Between what was recorded of both, with so many paths to invalidate.
    pub fn between(from: Option<&Manifest>, to: &Manifest, paths: usize) -> Self {
        let is_other = |(name, object): &(&String, &Object)| {
            from.and_then(|from| from.objects.get(*name))
                .is_none_or(|before| !is_alike(before, object))
        };
        let count = |many: usize| u64::try_from(many).unwrap_or(u64::MAX);
        Self {
            objects: count(to.objects.len()),
            copied: count(to.objects.iter().filter(is_other).count()),
            paths: count(paths),
        }
    }
}

/// Whether both are live as the same, wherever each is kept.
pub(super) fn is_alike(one: &Object, other: &Object) -> bool {
    (one.size, &one.etag, &one.headers) == (other.size, &other.etag, &other.headers)
}
