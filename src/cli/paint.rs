//! Colours and aligned columns. Without colour the text alone says everything.

use crate::domain::{severity::Severity, trigger::State};

/// Sets text off, or leaves it as it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint(bool);

impl Paint {
    /// In colour or not.
    pub(super) fn new(colour: bool) -> Self {
        Self(colour)
    }

    fn set(self, code: &str, text: &str) -> String {
        if self.0 && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    /// A heading.
    pub(super) fn bold(self, text: &str) -> String {
        self.set("1", text)
    }

    /// What matters less.
    pub(super) fn dim(self, text: &str) -> String {
        self.set("2", text)
    }

    /// What is well.
    pub(super) fn good(self, text: &str) -> String {
        self.set("32", text)
    }

    /// What may become bad.
    pub(super) fn warn(self, text: &str) -> String {
        self.set("33", text)
    }

    /// What is bad.
    pub(super) fn bad(self, text: &str) -> String {
        self.set("31", text)
    }

    /// A severity, by its urgency.
    pub(super) fn severity(self, severity: Severity) -> String {
        let text = severity.to_string();
        match severity {
            Severity::P0 | Severity::P1 => self.bad(&text),
            Severity::P2 => self.warn(&text),
            Severity::P3 => text,
        }
    }

    /// A trigger's state.
    pub(super) fn state(self, state: State) -> String {
        let text = crate::domain::shown::state(state);
        match state {
            State::Firing => self.bad(text),
            State::Pending | State::Recovering => self.warn(text),
            State::Ok => self.good(text),
            State::NoData => self.dim(text),
        }
    }
}

/// How wide a text is on a terminal; colours take no room.
fn width(text: &str) -> usize {
    let mut width = 0;
    let mut in_code = false;
    for c in text.chars() {
        match c {
            '\u{1b}' => in_code = true,
            'm' if in_code => in_code = false,
            _ if in_code => {}
            _ => width += 1,
        }
    }
    width
}

/// Rows as columns, two blanks apart; the last column is not filled up.
pub(super) fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widest = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell)).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(widest).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, wide) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.push_str(&" ".repeat(wide - width(cell) + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_whether_or_not_they_are_coloured() {
        let rows = |paint: Paint| {
            columns(&[
                vec!["a".into(), paint.bad("firing"), "x".into()],
                vec!["longer".into(), paint.good("ok"), "y".into()],
            ])
        };
        assert_eq!(rows(Paint::new(false)), "a       firing  x\nlonger  ok      y\n");
        let coloured = rows(Paint::new(true));
        assert!(coloured.contains("\u{1b}[32mok\u{1b}[0m      y"), "{coloured:?}");
    }
}
