//! Reading Rust text just well enough for the rules: comments, strings, test modules, paths.

/// One source file, or a snippet that a rule's own test pretends is one.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Relative to the package, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// The text with comments and the insides of string literals blanked; line numbers stay.
    pub(crate) fn code(&self) -> String {
        blank(&self.text, true)
    }

    /// The text with comments blanked and strings kept.
    pub(crate) fn code_and_strings(&self) -> String {
        blank(&self.text, false)
    }

    /// True when all of the file is test code.
    pub(crate) fn is_test(&self) -> bool {
        self.path.starts_with("tests/")
            || self.path.ends_with("/tests.rs")
            || self.path.contains("/tests/")
    }

    /// The first module below the crate's root: `domain` for src/domain/window.rs.
    pub(crate) fn top_module(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        Some(inside.split(['/', '.']).next().unwrap_or(inside))
    }

    /// `path:line: message`, for the place at this byte of the text.
    pub(crate) fn at(&self, byte: usize, message: &str) -> String {
        let line = self.text.as_bytes()[..byte].iter().filter(|b| **b == b'\n').count() + 1;
        format!("{}:{line}: {message}", self.path)
    }
}

/// What comes before the first `mod tests`, which by our style is the last thing in a file.
pub(crate) fn before_tests(code: &str) -> &str {
    words(code)
        .zip(words(code).skip(1))
        .find(|((_, first), (_, second))| *first == "mod" && *second == "tests")
        .map_or(code, |((at, _), _)| &code[..at])
}

/// Every identifier and keyword with its place.
pub(crate) fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut rest = 0;
    std::iter::from_fn(move || {
        let start = rest + code[rest..].find(is_word)?;
        let end = code[start..].find(|c| !is_word(c)).map_or(code.len(), |len| start + len);
        rest = end;
        Some((start, &code[start..end]))
    })
}

/// What is named right below `root` in paths: `std::fs::read` and `use std::{fs, net::IpAddr}` both name `fs`.
pub(crate) fn below<'a>(code: &'a str, root: &str) -> Vec<(usize, &'a str)> {
    words(code)
        .filter(|(_, word)| *word == root)
        .flat_map(|(at, word)| {
            let Some(after) = code[at + word.len()..].trim_start().strip_prefix("::") else {
                return vec![];
            };
            let after = code.len() - after.trim_start().len();
            if code[after..].starts_with('{') {
                group(code, after + 1)
            } else {
                words(&code[after..]).take(1).map(|(offset, word)| (after + offset, word)).collect()
            }
        })
        .collect()
}

/// The first words of a `{a::b, c::{d, e}}` group whose inside starts here.
fn group(code: &str, start: usize) -> Vec<(usize, &str)> {
    let mut depth = 0;
    let mut expecting = true;
    let mut found = vec![];
    for (offset, c) in code[start..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => expecting = true,
            c if expecting && (c.is_alphabetic() || c == '_') => {
                expecting = false;
                found.extend(
                    words(&code[start + offset..]).take(1).map(|(_, word)| (start + offset, word)),
                );
            }
            _ => {}
        }
    }
    found
}

/// Comments, and strings when asked, become spaces of the same length.
fn blank(text: &str, strings: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut wipe = |from: usize, to: usize| {
        for byte in &mut out[from..to] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    };
    let find = |from: usize, what: &str| {
        text.as_bytes()[from..]
            .windows(what.len())
            .position(|window| window == what.as_bytes())
            .map_or(bytes.len(), |at| from + at)
    };
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let in_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
        at = if rest.starts_with(b"//") {
            let end = find(at, "\n");
            wipe(at, end);
            end
        } else if rest.starts_with(b"/*") {
            let end = (find(at, "*/") + 2).min(bytes.len());
            wipe(at, end);
            end
        } else if let Some(hashes) = raw_string(rest).filter(|_| !in_word || rest[0] == b'"') {
            let open = find(at, "\"") + 1;
            let close = find(open, &format!("\"{}", "#".repeat(hashes)));
            if strings {
                wipe(open, close);
            }
            (close + 1 + hashes).min(bytes.len())
        } else if rest[0] == b'"' {
            let close = end_of_string(bytes, at + 1);
            if strings {
                wipe(at + 1, close);
            }
            (close + 1).min(bytes.len())
        } else if rest.starts_with(b"'\\") {
            (find(at + 3, "'") + 1).min(bytes.len())
        } else if rest.starts_with(b"'\"'") {
            at + 3
        } else {
            at + 1
        };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The number of hashes when a raw string starts here: `r"`, `r#"`, `br##"`.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let rest = rest.strip_prefix(b"b").unwrap_or(rest).strip_prefix(b"r")?;
    let hashes = rest.iter().take_while(|b| **b == b'#').count();
    (rest.get(hashes) == Some(&b'"')).then_some(hashes)
}

fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at.min(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_blanked_and_lines_stay() {
        let source = Source::new(
            "x.rs",
            "let a = \"tokio // \\\" x\"; // tokio\nlet b = r#\"to\"kio\"#; /* tokio\n */ let c = '\"'; tokio",
        );
        let code = source.code();
        assert_eq!(code.len(), source.text.len());
        assert_eq!(code.matches("tokio").count(), 1, "{code}");
        assert_eq!(code.lines().count(), 3);
        assert_eq!(source.code_and_strings().matches("tokio").count(), 2);
    }

    #[test]
    fn paths_name_what_is_right_below_their_root() {
        let code = "use std::{fs, collections::{HashMap, BTreeMap}, net :: IpAddr}; std::time::Duration; my_std::x";
        let names: Vec<_> = below(code, "std").into_iter().map(|(_, word)| word).collect();
        assert_eq!(names, ["fs", "collections", "net", "time"]);
    }

    #[test]
    fn a_file_is_cut_before_its_tests() {
        assert_eq!(before_tests("fn a() {}\nmod tests { x }"), "fn a() {}\n");
        assert_eq!(before_tests("fn tests() {}"), "fn tests() {}");
    }
}
