//! Values that are one word or one small table.

use std::{fmt, marker::PhantomData, str::FromStr};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IntoDeserializer, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

/// Anything that is parsed from text.
#[derive(Clone, Debug)]
pub(in crate::config) struct Word<T>(pub(in crate::config) T);

impl<'de, T: FromStr<Err = String>> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(D::Error::custom)
    }
}

/// A value, or the word `off`.
#[derive(Clone, Debug)]
pub(in crate::config) struct OrOff<T>(pub(in crate::config) Option<T>);

impl<'de, T: FromStr<Err = String>> Deserialize<'de> for OrOff<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "off" {
            return Ok(Self(None));
        }
        text.parse()
            .map(|value| Self(Some(value)))
            .map_err(|fault| D::Error::custom(format!("{fault}, or \"off\"")))
    }
}

/// One of something, or several in brackets. Not an untagged enum, for that would swallow what is wrong with it.
#[derive(Clone, Debug)]
pub(in crate::config) struct One<T>(pub(in crate::config) Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for One<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMore<T> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or several in brackets")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Vec<T>, E> {
                Ok(vec![T::deserialize(text.into_deserializer())?])
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
                let mut all = vec![];
                while let Some(one) = seq.next_element()? {
                    all.push(one);
                }
                Ok(all)
            }
        }
        deserializer.deserialize_any(OneOrMore(PhantomData)).map(Self)
    }
}

/// Where a secret is: never the secret itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::config) enum SecretRef {
    /// The content of a file, without its final line break.
    File(String),
    /// A variable of the daemon's own environment.
    Env(String),
}

/// By this [`crate::config::document`] knows that the line must not be shown.
pub(in crate::config) const SECRET_IN_THE_FILE: &str = "a secret must not stand in this file";

const WRITE_A_REFERENCE: &str =
    "a secret must not stand in this file; write { file = \"/path/to/it\" } or { env = \"NAME\" }";

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reference;

        impl<'de> Visitor<'de> for Reference {
            type Value = SecretRef;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("{ file = \"...\" } or { env = \"...\" }")
            }

            fn visit_str<E: Error>(self, _: &str) -> Result<SecretRef, E> {
                Err(E::custom(WRITE_A_REFERENCE))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SecretRef, A::Error> {
                #[derive(Deserialize)]
                #[serde(deny_unknown_fields)]
                struct Keys {
                    file: Option<String>,
                    env: Option<String>,
                }
                // Not serde's own words, for they would show what stands there.
                let keys = Keys::deserialize(MapAccessDeserializer::new(map));
                match keys.map_err(|_| A::Error::custom(WRITE_A_REFERENCE))? {
                    Keys { file: Some(file), env: None } => Ok(SecretRef::File(file)),
                    Keys { file: None, env: Some(name) } => Ok(SecretRef::Env(name)),
                    Keys { .. } => Err(A::Error::custom(WRITE_A_REFERENCE)),
                }
            }
        }
        deserializer.deserialize_any(Reference)
    }
}
