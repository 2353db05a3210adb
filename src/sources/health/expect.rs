//! What a healthy answer looks like.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use serde_json::Value;

use crate::sources::exposition::excerpt;

/// A set of HTTP statuses, written `200-299, 418`, or `none`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statuses(Vec<RangeInclusive<u16>>);

impl Default for Statuses {
    fn default() -> Self {
        Self(vec![200..=299])
    }
}

impl Statuses {
    /// By which a proxy says that what is behind it is not there.
    pub fn of_a_proxy() -> Self {
        Self(vec![502..=502, 504..=504])
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it holds a status.
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        for (at, range) in self.0.iter().enumerate() {
            let gap = if at == 0 { "" } else { ", " };
            let (start, end) = (range.start(), range.end());
            if start == end {
                write!(f, "{gap}{start}")?;
            } else {
                write!(f, "{gap}{start}-{end}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Statuses {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "none" {
            return Ok(Self(vec![]));
        }
        let status = |part: &str| part.trim().parse().ok().filter(|s| (100..=599).contains(s));
        let range = |part: &str| {
            let (start, end) = part.split_once('-').unwrap_or((part, part));
            let (start, end) = (status(start)?, status(end)?);
            (start <= end).then_some(start..=end)
        };
        text.split(',').map(range).collect::<Option<_>>().map(Self).ok_or_else(|| {
            format!("`{text}` is not a set of statuses; write it like \"200-299, 418\"")
        })
    }
}

/// What a body must say.
#[derive(Clone, Debug, PartialEq)]
pub enum BodyIs {
    /// It contains this text.
    Contains(String),
    /// It is JSON, and what the pointer leads to equals this: `/status` and `"UP"`.
    Json {
        /// An RFC 6901 pointer.
        pointer: String,
        /// What must be there.
        equals: Value,
    },
}

impl BodyIs {
    /// What is wrong with a body, if anything.
    pub fn fault(&self, body: &[u8]) -> Option<String> {
        match self {
            Self::Contains(text) => {
                let there = memchr::memmem::find(body, text.as_bytes()).is_some();
                (!there).then(|| format!("the body lacks {text:?}: `{}`", excerpt(body)))
            }
            Self::Json { pointer, equals } => {
                let Ok(json) = serde_json::from_slice::<Value>(body) else {
                    return Some(format!("the body is not JSON: `{}`", excerpt(body)));
                };
                match json.pointer(pointer) {
                    Some(value) if value == equals => None,
                    Some(value) => {
                        let value = excerpt(value.to_string().as_bytes());
                        Some(format!("{pointer} is {value}, expected {equals}"))
                    }
                    None => Some(format!("the body has no {pointer}: `{}`", excerpt(body))),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_single_ones_and_ranges() {
        let set: Statuses = "200-204, 418".parse().expect("a set");
        assert!(set.contains(204) && set.contains(418) && !set.contains(205));
        assert_eq!(set.to_string(), "200-204, 418");
        let none: Statuses = "none".parse().expect("a set");
        assert!(none.is_empty() && !none.contains(200) && none.to_string() == "none");
        for bad in ["", "2xx", "204-200", "99", "200-", "600"] {
            assert!(bad.parse::<Statuses>().is_err(), "{bad}");
        }
    }

    #[test]
    fn springs_status_is_read_by_its_pointer() {
        let up = BodyIs::Json { pointer: "/status".into(), equals: "UP".into() };
        assert_eq!(up.fault(br#"{"status":"UP","components":{}}"#), None);
        assert_eq!(
            up.fault(br#"{"status":"UNKNOWN"}"#).as_deref(),
            Some("/status is \"UNKNOWN\", expected \"UP\"")
        );
        assert!(up.fault(b"UP").is_some_and(|why| why.contains("not JSON")));
        assert!(up.fault(b"{}").is_some_and(|why| why.contains("no /status")));
        assert_eq!(BodyIs::Contains("ok".into()).fault(b"all ok"), None);
    }
}
