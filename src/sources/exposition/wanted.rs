//! The names a caller wants, and which of them a line that cannot be read may have been.

use super::{Place, Suspect};

/// The sample names to hand over: `http_requests_total`, not the family's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    names: Option<Vec<String>>,
}

impl Wanted {
    /// Every series of the body.
    pub fn all() -> Self {
        Self { names: None }
    }

    /// Only series of these names; their order is the order of [`Scan::bad_of`](super::Scan::bad_of).
    pub fn names<Name: Into<String>>(names: impl IntoIterator<Item = Name>) -> Self {
        let mut distinct: Vec<String> = Vec::new();
        for name in names.into_iter().map(Into::into) {
            if !distinct.contains(&name) {
                distinct.push(name);
            }
        }
        Self { names: Some(distinct) }
    }

    /// What any of them wants.
    pub fn union(all: impl IntoIterator<Item = Self>) -> Self {
        let mut names = vec![];
        for wanted in all {
            match wanted.names {
                Some(more) => names.extend(more),
                None => return Self::all(),
            }
        }
        Self::names(names)
    }

    /// The place of a name in the list, if there is a list and it is in it.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.index_of(name.as_bytes())
    }

    fn index_of(&self, name: &[u8]) -> Option<usize> {
        self.names.as_ref()?.iter().position(|wanted| wanted.as_bytes() == name)
    }

    pub(super) fn len(&self) -> usize {
        self.names.as_ref().map_or(0, Vec::len)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.names.is_none() || self.index(name).is_some()
    }

    /// `tail` is what follows the longest legal bare name.
    pub(super) fn of(&self, name: &[u8], tail: &[u8]) -> Place {
        match (name.is_empty(), tail.first()) {
            (true, Some(b'{')) => Place::Read(None),
            (false, Some(b'{' | b' ' | b'\t')) => match &self.names {
                None => Place::Read(None),
                Some(_) => {
                    self.index_of(name).map_or(Place::Skip, |which| Place::Read(Some(which)))
                }
            },
            (_, _) => Place::Garbled,
        }
    }

    /// A line without a legal name could be of a wanted series where it begins or ends with one, is cut off within one, or holds bytes
    /// that no name has. `my-metric 3` is merely somebody else's mistake.
    #[cold]
    pub(super) fn suspect(&self, name: &[u8], tail: &[u8]) -> Suspect {
        let Some(names) = &self.names else { return Suspect::Unsure };
        let to = tail.iter().position(|byte| b"{ \t".contains(byte)).unwrap_or(tail.len());
        let token = [name, tail.get(..to).unwrap_or_default()].concat();
        let Ok(token) = str::from_utf8(&token) else { return Suspect::Unsure };
        if token.contains(|c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER) {
            return Suspect::Unsure;
        }
        let cut = to == tail.len();
        let alike = |wanted: &String| {
            token.starts_with(wanted.as_str())
                || token.ends_with(wanted.as_str())
                || (cut && wanted.starts_with(token))
        };
        if token.is_empty() || names.iter().any(alike) { Suspect::Unsure } else { Suspect::No }
    }
}
