//! The one place that prints.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::{client::Fault, paint::Paint};

/// Where answers go, and whether in colour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Out {
    /// How text is set off.
    pub(super) paint: Paint,
}

impl Out {
    /// Standard output; in colour only for a terminal, and not where `NO_COLOR` is set.
    pub(super) fn of_this_process() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { paint: Paint::new(io::stdout().is_terminal() && !unwanted) }
    }

    /// Prints a text, with a line break at its end.
    pub(super) fn text(self, text: &str) -> Result<(), Fault> {
        let mut stdout = io::stdout().lock();
        match writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush()) {
            // Whoever read only the first lines has seen enough.
            Err(fault) if fault.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(fault) => Err(Fault::Other(format!("the answer could not be printed: {fault}"))),
            Ok(()) => Ok(()),
        }
    }

    /// Prints a value as JSON.
    pub(super) fn json(self, value: &impl Serialize) -> Result<(), Fault> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|fault| Fault::Other(format!("the answer has no JSON: {fault}")))?;
        self.text(&text)
    }

    /// Says something beside the answer, on standard error.
    pub(super) fn aside(self, text: &str) {
        // Where that cannot be read, the answer is there all the same.
        let _ = writeln!(io::stderr(), "{text}");
    }

    /// Says what went wrong, on standard error.
    pub(super) fn fault(self, text: &str) {
        // Where even that cannot be written, the exit code says it.
        let _ = writeln!(io::stderr(), "rollbackd: {text}");
    }
}
