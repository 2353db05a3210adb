//! A line of a log, or of what a program prints, without what looks like a secret: nobody has told the daemon the secrets of the services it
//! watches, nor what a program reads by itself.

/// What stands for one.
const HIDDEN: &str = "[hidden]";
/// A word that ends in one of these names a secret; its value follows a `=` or a `:`.
const NAMES: [&str; 10] = [
    "password",
    "passwd",
    "pwd",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "authorization",
    "credential",
];
/// So begins every JSON web token.
const JWT: &str = "eyJ";
/// What is as long as this and of letters and digits only is more likely a key than a word.
const KEY_MIN: usize = 40;

/// The line with every such value hidden.
pub fn struck(line: &str) -> String {
    without(line, looks_secret)
}

/// Each line of what a program printed, without what names itself a secret. What is merely long stays: programs that deploy tell of digests
/// and commits.
pub fn struck_of_program(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(|line| without(line, is_token)).collect();
    lines.join("\n")
}

fn without(line: &str, looks_secret: fn(&str) -> bool) -> String {
    let mut out = String::with_capacity(line.len());
    let mut next_is_secret = false;
    let mut rest = line;
    while !rest.is_empty() {
        let ends = if next_is_secret { ends_value } else { is_between };
        let end = rest.find(ends).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let gap_end = after.find(|c| !is_between(c)).unwrap_or(after.len());
        let (gap, after) = after.split_at(gap_end);
        let is_scheme = matches!(word.to_ascii_lowercase().as_str(), "bearer" | "basic");
        // One that is hidden already stands between two signs that are none of its.
        let is_hidden = word == "hidden" && out.ends_with('[');
        let is_secret =
            !word.is_empty() && !is_hidden && (next_is_secret && !is_scheme || looks_secret(word));
        out.push_str(if is_secret { HIDDEN } else { word });
        out.push_str(gap);
        next_is_secret = match word {
            "" => next_is_secret,
            _ if is_scheme => true,
            _ => names_secret(word) && (gap.contains('=') || gap.contains(':')),
        };
        rest = after;
    }
    without_login(&out)
}

fn is_between(c: char) -> bool {
    c.is_whitespace() || "=:\"'`,;&?{}[]()<>".contains(c)
}

/// A password may hold signs that end a name.
fn ends_value(c: char) -> bool {
    c.is_whitespace() || "\"'`,;&}])".contains(c)
}

fn names_secret(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    NAMES.iter().any(|name| word.ends_with(name))
}

fn looks_secret(word: &str) -> bool {
    let has = |is: fn(&char) -> bool| word.chars().any(|c| is(&c));
    // A pod's name is as long, and has dashes.
    let is_key = word.len() >= KEY_MIN
        && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '+')
        && has(char::is_ascii_digit)
        && has(char::is_ascii_alphabetic);
    is_token(word) || is_key
}

fn is_token(word: &str) -> bool {
    word.starts_with(JWT) && word.len() > 20
}

/// `postgres://user:pass@db` without who logs in.
fn without_login(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end =
            after.find(|c: char| c.is_whitespace() || "/\"'`".contains(c)).unwrap_or(after.len());
        rest = match after[..end].rfind('@') {
            Some(login) => {
                out.push_str(HIDDEN);
                &after[login..]
            }
            None => after,
        };
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_what_names_a_secret_are_hidden_and_the_rest_is_left() {
        for (line, shown) in [
            ("panic: nil map", "panic: nil map"),
            ("login failed, password=hunter2 user=ada", "login failed, password=[hidden] user=ada"),
            (
                r#"{"db_password": "hunter2", "port": 5432}"#,
                r#"{"db_password": "[hidden]", "port": 5432}"#,
            ),
            ("Authorization: Bearer abc.def", "Authorization: Bearer [hidden]"),
            ("GET /x?api_key=k&page=2 500", "GET /x?api_key=[hidden]&page=2 500"),
            (
                "cannot reach postgres://ada:hunter2@db:5432/shop",
                "cannot reach postgres://[hidden]@db:5432/shop",
            ),
            ("the token expired", "the token expired"),
            ("pwd=a:b=c d", "pwd=[hidden] d"),
            (
                "pod checkout-service-production-6d4b75cb6d-hwspq",
                "pod checkout-service-production-6d4b75cb6d-hwspq",
            ),
            ("got eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl", "got [hidden]"),
            ("key 0123456789abcdef0123456789abcdef01234567 is bad", "key [hidden] is bad"),
        ] {
            assert_eq!(struck(line), shown, "{line}");
        }
    }

    #[test]
    fn what_a_program_prints_keeps_its_lines_and_the_digests_in_them() {
        let digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        let printed = format!(
            "deployed {digest}\nPASSWORD=[hidden]\njdbc:postgresql://db/shop?user=ada&password=hunter2\npsql: postgres://ada:hunter2@db/shop\n"
        );
        assert_eq!(
            struck_of_program(&printed),
            format!(
                "deployed {digest}\nPASSWORD=[hidden]\njdbc:postgresql://db/shop?user=ada&password=[hidden]\npsql: postgres://[hidden]@db/shop\n"
            )
        );
    }
}
