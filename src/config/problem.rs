//! What is wrong with the file: where, what, and what to write instead.

use std::{fmt, ops::Range};

use serde::Serialize;

/// Whether the daemon starts all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// It does not.
    Error,
    /// It does, and it may not do what was meant.
    Warning,
}

/// One thing that is wrong, in the form in which people and editors read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Whether the daemon starts all the same.
    pub level: Level,
    /// The file, as it was named.
    pub file: String,
    /// Counted from 1; 0 when the whole file is meant.
    pub line: usize,
    /// In characters, counted from 1; 0 when the whole file is meant.
    pub column: usize,
    /// The bytes of the file.
    pub span: Range<usize>,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub instead: String,
    /// Whether it is of a server, as it is now, and not of the file: starting again can help.
    #[serde(skip)]
    pub is_outside: bool,
    #[serde(skip)]
    picture: String,
}

impl Problem {
    /// An error at a place in the text.
    pub fn error(
        file: &str,
        text: &str,
        span: Range<usize>,
        what: impl Into<String>,
        instead: impl Into<String>,
    ) -> Self {
        let start = floor(text, span.start);
        let end = floor(text, span.end.max(start));
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let line = text[..start].matches('\n').count() + 1;
        let source = text[line_start..line_end].trim_end_matches('\r');
        let before = text[line_start..start].chars();
        let width = text[start..end.min(line_end)].chars().count().max(1);
        Self {
            level: Level::Error,
            file: file.to_owned(),
            line,
            column: before.clone().count() + 1,
            span: start..end,
            what: what.into(),
            instead: instead.into(),
            is_outside: false,
            picture: picture(line, source, before, width),
        }
    }

    /// An error of the file as a whole.
    pub fn of_file(file: &str, what: impl Into<String>, instead: impl Into<String>) -> Self {
        Self {
            level: Level::Error,
            file: file.to_owned(),
            line: 0,
            column: 0,
            span: 0..0,
            what: what.into(),
            instead: instead.into(),
            is_outside: false,
            picture: String::new(),
        }
    }

    /// The same, as something that the daemon can live with.
    #[must_use]
    pub fn but_only_a_warning(mut self) -> Self {
        self.level = Level::Warning;
        self
    }

    /// The same, where the file may be right, and a server is not as it should be.
    #[must_use]
    pub(super) fn of_what_is_outside(mut self) -> Self {
        self.is_outside = true;
        self
    }

    /// The same with stars for every text in quotes, which may be a secret.
    #[must_use]
    pub(super) fn masked(mut self) -> Self {
        self.picture = masked(&self.picture);
        self
    }
}

/// The largest boundary of a character that is not behind `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The columns of a long line that are shown at most.
const WIDEST: usize = 160;

/// Keys whose text would be a secret, whatever else is wrong with the line.
const SECRETIVE: [&str; 6] = ["password", "passwd", "secret", "bearer", "token", "signing_key"];

fn is_secretive(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    let said = |word: &&str| {
        line.split(*word).skip(1).any(|rest| {
            let value = rest.trim_start().strip_prefix('=').map(str::trim_start);
            value.is_some_and(|value| value.starts_with(['"', '\'']))
        })
    };
    line.contains("hooks.slack") || SECRETIVE.iter().any(said)
}

fn masked(picture: &str) -> String {
    let mut quote = None;
    let star = |c: char| {
        match quote {
            None if matches!(c, '"' | '\'') => quote = Some(c),
            Some(open) if open == c => quote = None,
            Some(_) if c != '\n' => return '*',
            Some(_) => quote = None,
            None => {}
        }
        c
    };
    picture.chars().map(star).collect()
}

fn picture(line: usize, source: &str, before: std::str::Chars<'_>, width: usize) -> String {
    let gutter = " ".repeat(line.to_string().len());
    // A file that is no text must not steer the terminal it is shown on.
    let visible = |c: char| if c.is_control() && c != '\t' { '\u{fffd}' } else { c };
    let shown: String = source.chars().take(WIDEST).map(visible).collect();
    // A tab is as wide here as it is above.
    let indent: String = before.take(WIDEST).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let carets = "^".repeat(width.min(WIDEST.saturating_sub(indent.chars().count()).max(1)));
    let shown = if is_secretive(source) { masked(&shown) } else { shown };
    let shown = shown.trim_end();
    format!("{gutter} |\n{line} | {shown}\n{gutter} | {indent}{carets}\n")
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        if self.line == 0 {
            write!(f, "{level}: {}: {}", self.file, self.what)?;
        } else {
            let Self { file, line, column, picture, what, .. } = self;
            write!(f, "{level}: {file}, line {line}, column {column}\n{picture}{what}")?;
        }
        if self.instead.is_empty() { Ok(()) } else { write!(f, "\n{}", self.instead) }
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_what_is_wrong() {
        let text = "a = 1\n\tüb = \"0.05\"\r\nc = 2\n";
        let at = text.find("\"0.05\"").unwrap();
        let problem = Problem::error("x.toml", text, at..at + 6, "not a percentage", "");
        assert_eq!((problem.line, problem.column), (2, 7));
        assert_eq!(
            problem.to_string(),
            "error: x.toml, line 2, column 7\n  |\n2 | \tüb = \"0.05\"\n  | \t     ^^^^^^\nnot a percentage"
        );
    }

    #[test]
    fn what_is_no_text_is_shown_without_its_control_characters() {
        let text = "x = \u{1b}[2J\u{7}1";
        let shown = Problem::error("x", text, 0..1, "not a key", "").to_string();
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
    }

    #[test]
    fn what_may_be_a_secret_is_masked() {
        let text = "basic = { user = 5, password = \"hunter2\" }";
        let shown = Problem::error("x", text, 17..18, "not a text", "").to_string();
        assert!(shown.contains("password = \"*******\" }"), "{shown}");
        let unknown = Problem::error("x", "hook = 'hunter2'", 0..4, "", "").masked().to_string();
        assert!(unknown.contains("hook = '*******'"), "{unknown}");
    }

    #[test]
    fn any_span_is_drawn_somewhere() {
        let text = "ä";
        for span in [0..0, 1..1, 0..2, 2..2, 5..9] {
            assert_eq!(Problem::error("x", text, span, "", "").line, 1);
        }
        assert_eq!(Problem::error("x", "", 0..0, "", "").line, 1);
    }
}
