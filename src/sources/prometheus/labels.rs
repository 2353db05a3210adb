//! A series' labels in one piece of memory: an answer for ten thousand services has a hundred thousand of them.

use std::{borrow::Cow, cmp::Ordering, collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};

/// Names and values, in the order of the names.
#[derive(Clone, PartialEq, Eq)]
pub struct Labels {
    /// All names and values, one after the other.
    text: Box<str>,
    ends: Ends,
}

/// Where each name and each value ends.
#[derive(Clone, PartialEq, Eq)]
enum Ends {
    /// Of three labels or fewer; unused places are zero.
    Few(u8, [u32; 6]),
    Many(Box<[u32]>),
}

impl Ends {
    fn as_slice(&self) -> &[u32] {
        match self {
            Self::Few(count, ends) => &ends[..usize::from(*count)],
            Self::Many(ends) => ends,
        }
    }
}

impl Labels {
    /// The value of a label.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut from = 0;
        let mut piece = move |end: u32| {
            let piece = &self.text[from..end as usize];
            from = end as usize;
            piece
        };
        self.ends.as_slice().chunks_exact(2).map(move |ends| (piece(ends[0]), piece(ends[1])))
    }
}

/// Labels that are being put together.
#[derive(Default)]
struct Writing {
    text: String,
    few: [u32; 6],
    count: usize,
    more: Vec<u32>,
}

impl Writing {
    fn put(&mut self, piece: &str) {
        self.text.push_str(piece);
        // An answer is bounded to less than four gigabytes.
        let end = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        match self.few.get_mut(self.count) {
            Some(place) => *place = end,
            None => {
                if self.more.is_empty() {
                    self.more.extend(self.few);
                }
                self.more.push(end);
            }
        }
        self.count += 1;
    }

    fn done(self) -> Labels {
        let ends = match self.more.as_slice() {
            [] => Ends::Few(self.count as u8, self.few),
            more => Ends::Many(more.into()),
        };
        Labels { text: self.text.into_boxed_str(), ends }
    }
}

impl FromIterator<(String, String)> for Labels {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(labels: T) -> Self {
        let sorted: BTreeMap<String, String> = labels.into_iter().collect();
        let mut writing = Writing::default();
        for (name, value) in &sorted {
            writing.put(name);
            writing.put(value);
        }
        writing.done()
    }
}

/// A string of the answer itself, unless something in it is escaped.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Map)
    }
}

struct Map;

impl<'de> Visitor<'de> for Map {
    type Value = Labels;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("labels")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
        let mut writing = Writing { text: String::with_capacity(48), ..Writing::default() };
        let (mut before, mut sorted) = (Text(Cow::Borrowed("")), true);
        while let Some((name, value)) = map.next_entry::<Text<'de>, Text<'de>>()? {
            sorted &= writing.count == 0 || before.0 < name.0;
            writing.put(&name.0);
            writing.put(&value.0);
            before = name;
        }
        let labels = writing.done();
        if sorted {
            return Ok(labels);
        }
        Ok(labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(json: &str) -> Labels {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn labels_are_sorted_and_their_last_value_counts() {
        let labels = read(r#"{"pod":"a","__name__":"up","pod":"b\n"}"#);
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("__name__", "up"), ("pod", "b\n")]);
        assert_eq!(
            (labels.get("pod"), labels.get("po"), labels.get("")),
            (Some("b\n"), None, None)
        );
        assert_eq!(read("{}").iter().count(), 0);
    }

    proptest! {
        #[test]
        fn they_are_what_a_map_would_hold(all: Vec<(String, String)>) {
            let map: BTreeMap<String, String> = all.iter().cloned().collect();
            let labels = read(&serde_json::to_string(&map).unwrap());
            prop_assert!(labels.iter().eq(map.iter().map(|(n, v)| (n.as_str(), v.as_str()))));
            prop_assert_eq!(all.into_iter().collect::<Labels>(), labels);
        }
    }
}
