//! A label as it stands in the body, and texts with or without escapes.

use std::{borrow::Cow, fmt};

/// One label of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label<'body> {
    /// The name; escaped only where it is a quoted UTF-8 name.
    pub name: Text<'body>,
    /// The value.
    pub value: Text<'body>,
}

/// A label's value or a name, still escaped where the body escaped it.
#[derive(Clone, Copy, Debug)]
pub struct Text<'body> {
    pub(super) raw: &'body str,
    pub(super) escaped: bool,
}

impl<'body> Text<'body> {
    pub(super) fn plain(raw: &'body str) -> Self {
        Self { raw, escaped: false }
    }

    /// The value as the program meant it; borrowed unless it holds an escape.
    pub fn text(self) -> Cow<'body, str> {
        if self.escaped { Cow::Owned(unescaped(self.raw)) } else { Cow::Borrowed(self.raw) }
    }

    /// The value as it is written between the quotes.
    pub fn raw(self) -> &'body str {
        self.raw
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        if self.escaped == other.escaped && self.raw == other.raw {
            return true;
        }
        (self.escaped || other.escaped) && self.text() == other.text()
    }
}

impl Eq for Text<'_> {}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        if self.escaped { self.text() == other } else { self.raw == other }
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// `\\`, `\"` and `\n`; any other backslash stands for itself, as Prometheus reads it.
fn unescaped(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        match rest.next() {
            Some('n') => text.push('\n'),
            Some(same @ ('\\' | '"')) => text.push(same),
            Some(other) => text.extend(['\\', other]),
            None => text.push('\\'),
        }
    }
    text
}
