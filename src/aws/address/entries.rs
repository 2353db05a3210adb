//! The JSON of a secret, each value with the place where it stands. The errors never say what stands there: only the names of keys, and
//! of which kind a value is.

use std::{fmt, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

/// So many of its keys are told where one is missing.
const TOLD_MAX: usize = 10;
/// A key's name is shown to here.
const NAME_MAX: usize = 40;

/// One value, and where it stands.
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) value: Value,
    pub(super) at: Range<usize>,
}

/// All of them.
pub(super) struct Entries(Vec<Entry>);

impl Entries {
    pub(super) fn of(text: &str) -> Result<Self, String> {
        // What a parser says of it may repeat it.
        let none = |_| "it is no JSON object".to_owned();
        let Read(all) = serde_json::from_str(text).map_err(none)?;
        let entry = |(key, raw): (String, &RawValue)| {
            let from = raw.get().as_ptr().addr() - text.as_ptr().addr();
            let value = serde_json::from_str(raw.get()).map_err(none)?;
            Ok(Entry { key, value, at: from..from + raw.get().len() })
        };
        all.into_iter().map(entry).collect::<Result<_, String>>().map(Self)
    }

    /// What stands under a key. Of two with one name each reader takes another.
    pub(super) fn entry(&self, key: &str) -> Result<Option<&Entry>, String> {
        let mut there = self.0.iter().filter(|it| it.key == key);
        match (there.next(), there.next()) {
            (found, None) => Ok(found),
            (_, Some(_)) => Err(format!("it has the key `{key}` twice")),
        }
    }

    /// The text under a key, which must be there.
    pub(super) fn text(&self, key: &str) -> Result<(&Entry, &str), String> {
        let Some(entry) = self.entry(key)? else {
            return Err(format!("it has no key `{key}`; it has: {}", self.names()));
        };
        match entry.value.as_str() {
            Some("") => Err(format!("the text under the key `{key}` is empty")),
            Some(text) => Ok((entry, text)),
            None => {
                let kind = kind(&entry.value);
                Err(format!("what it has under the key `{key}` is {kind}, and no text"))
            }
        }
    }

    /// Those that do not stand under this key.
    pub(super) fn beside(&self, key: &str) -> impl Iterator<Item = &Entry> {
        self.0.iter().filter(move |it| it.key != key)
    }

    fn names(&self) -> String {
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        let name = |it: &Entry| it.key.chars().take(NAME_MAX).map(plain).collect();
        let mut names: Vec<String> = self.0.iter().take(TOLD_MAX).map(name).collect();
        match self.0.len() {
            0 => names.push("nothing".to_owned()),
            all if all > TOLD_MAX => names.push(format!("{} more", all - TOLD_MAX)),
            _ => {}
        }
        names.join(", ")
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// As they stand there, those that stand there twice as well.
struct Read<'t>(Vec<(String, &'t RawValue)>);

impl<'de> Deserialize<'de> for Read<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Read<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Read<'de>, A::Error> {
                let mut all = vec![];
                while let Some(entry) = map.next_entry()? {
                    all.push(entry);
                }
                Ok(Read(all))
            }
        }
        deserializer.deserialize_map(All)
    }
}
