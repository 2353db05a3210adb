//! Whether the wrong designs of `tests/wrong` still fit the tree. That each is caught is for `make wrong-designs` to say, which
//! takes minutes; that one rots is said here.

/// What is wrong with a patch: `read` gives the text of a file of the tree.
pub(crate) fn misfits(patch: &str, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut wrong = vec![];
    for header in ["Design: ", "Invariant: I", "Caught by: "] {
        if !patch.lines().take_while(|line| !line.starts_with("---")).any(|l| l.starts_with(header))
        {
            wrong.push(format!("it has no line `{header}...` at its beginning"));
        }
    }
    let mut text = None;
    let mut hunks = 0;
    let mut lines = patch.lines().skip_while(|line| !line.starts_with("--- ")).peekable();
    while let Some(line) = lines.next() {
        if let Some(path) = line.strip_prefix("+++ b/") {
            text = read(path);
            if text.is_none() {
                wrong.push(format!("{path} is not there any more"));
            }
        } else if line.starts_with("@@ ") {
            hunks += 1;
            let is_body = |line: &&str| !line.starts_with("@@ ") && !line.starts_with("--- ");
            let mut expected = String::new();
            while let Some(body) = lines.next_if(is_body) {
                // An empty line of the context may have lost its blank.
                let old = if body.is_empty() { Some("") } else { body.strip_prefix([' ', '-']) };
                old.into_iter().for_each(|old| expected += &format!("{old}\n"));
            }
            if text.as_ref().is_some_and(|text| text.matches(&expected).count() != 1) {
                wrong.push(format!("this is not there any more, or more than once:\n{expected}"));
            }
        }
    }
    if hunks == 0 {
        wrong.push("it changes nothing".to_owned());
    }
    wrong
}
