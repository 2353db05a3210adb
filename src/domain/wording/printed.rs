//! What a program itself said when its step failed: a few lines, for whoever is woken by that. The report has more.

use crate::domain::run::{Attempt, Outcome, Report, Run};

/// So many lines of the end: what Flyway says of a script that failed takes seven.
const LINES_MAX: usize = 8;
/// Of each line.
const CHARS_MAX: usize = 200;

/// Of the step at which a rollback stands, the newest attempt that failed.
pub(super) fn by(run: &Run) -> Vec<String> {
    let mut here = run.attempts.iter().rev().filter(|it| it.step == run.cursor);
    let failed = |it: &Attempt| match &it.ended {
        Some((_, report)) => {
            matches!(report.outcome, Outcome::Failed { .. } | Outcome::Unknown { .. })
        }
        None => false,
    };
    let report = here.find(|it| failed(it)).and_then(|it| it.ended.as_ref());
    report.map_or_else(Vec::new, |(_, report)| in_short(report))
}

/// The end of it; the executor has struck out what looks like a secret.
pub(super) fn in_short(report: &Report) -> Vec<String> {
    let printed = |line: &str| {
        let line: String = line.trim().chars().filter(|c| !c.is_control()).collect();
        match line.char_indices().nth(CHARS_MAX) {
            Some((end, _)) => format!("{} …", &line[..end]),
            None => line,
        }
    };
    // A line that only underlines another tells nothing.
    let says = |line: &&str| line.chars().any(char::is_alphanumeric);
    let lines: Vec<&str> = report.output.lines().filter(says).collect();
    let end = lines[lines.len().saturating_sub(LINES_MAX)..].iter().map(|line| printed(line));
    let heading = (!lines.is_empty()).then(|| "It printed at the end:".to_owned());
    heading.into_iter().chain(end.map(|line| format!("• {line}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(output: &str) -> Vec<String> {
        let outcome = Outcome::Failed { why: "it exited with 1".into(), retry: false };
        let [before, after, left] = [(); 3].map(|()| String::new());
        let output = output.to_owned();
        in_short(&Report { outcome, before, after, output, left, unmoved: false, took_ms: 1 })
    }

    #[test]
    fn of_what_a_program_printed_a_few_short_lines_of_the_end_are_told() {
        assert!(shown("").is_empty() && shown("----\n\n").is_empty());
        let flyway = "Database: jdbc\nERROR: Failed to execute script U2__two.sql\n------\nSQL State  : 42P01\nMessage    : ERROR: table \"x\" does not exist\u{1b}";
        let told = shown(flyway);
        assert_eq!(told[0], "It printed at the end:");
        assert_eq!(told.last().unwrap(), "• Message    : ERROR: table \"x\" does not exist");
        assert!(told.iter().all(|line| !line.contains("---")), "{told:?}");
        let many: Vec<String> = (0..99).map(|n| format!("{n} {}", "ü".repeat(999))).collect();
        let told = shown(&many.join("\n"));
        assert_eq!(told.len(), 1 + LINES_MAX);
        assert!(told[8].starts_with("• 98 ü") && told[8].ends_with("ü …"), "{}", told[8]);
        assert!(told.iter().all(|line| line.chars().count() < CHARS_MAX + 10));
    }
}
