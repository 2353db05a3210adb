//! What is watched: a service in one environment, and how far the daemon may go with it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// The identity of a service: its name in one environment, written `checkout/production`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId {
    // Short ones lie in the keys themselves: a tree of ten thousand is searched several times for each poll.
    name: SmolStr,
    environment: SmolStr,
}

impl ServiceId {
    /// Neither part may be empty or hold a slash; the configuration checks that first.
    pub fn new(name: &str, environment: &str) -> Result<Self, String> {
        for part in [name, environment] {
            if part.is_empty() || part.contains('/') || part.chars().any(char::is_control) {
                return Err(format!(
                    "`{part}` cannot name a service or an environment; use letters, digits, - and _"
                ));
            }
        }
        Ok(Self { name: name.into(), environment: environment.into() })
    }

    /// The name without its environment.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The environment, for example `production`.
    pub fn environment(&self) -> &str {
        &self.environment
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.environment)
    }
}

impl FromStr for ServiceId {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, environment) = text.split_once('/').ok_or_else(|| {
            format!("`{text}` is not a service; write it like checkout/production")
        })?;
        Self::new(name, environment)
    }
}

impl Serialize for ServiceId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ServiceId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// How far the daemon may go by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Decide and tell, never touch. The default of a new service.
    #[default]
    Observe,
    /// Act once a person has approved the exact plan.
    Approve,
    /// Act by itself where no guard refuses.
    Auto,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Observe => "observe",
            Self::Approve => "approve",
            Self::Auto => "auto",
        })
    }
}
