//! Finds queries whose windows overlap.
//!
//! The daemon takes the deltas of raw counters itself. A query over a range, such as `rate(x[5m])`, asked every 15 s,
//! would hand it each error twenty times.

use std::ops::Range;

/// A call that looks over a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The bytes of the query that are the call, for a caret.
    pub span: Range<usize>,
    /// The function.
    pub function: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "`{}()` looks over a window longer than a poll, so each error is counted several times; \
             write the counter itself",
            self.function
        )
    }
}

/// The first call in a query that looks over a range, outermost first; `None` if there is none.
///
/// `last_over_time` is let through: it yields the counter as it is.
pub fn overlap(query: &str) -> Option<Problem> {
    let mut at = 0;
    while let Some((token, from)) = next(query, &mut at) {
        if !looks_back(token) {
            continue;
        }
        let open = from + token.len();
        let gap = query[open..].len() - query[open..].trim_start().len();
        if query[open + gap..].starts_with('(') {
            let end = closing(query, open + gap);
            return Some(Problem { span: from..end, function: token.to_owned() });
        }
    }
    None
}

fn looks_back(name: &str) -> bool {
    const NAMES: [&str; 11] = [
        "rate",
        "irate",
        "increase",
        "delta",
        "idelta",
        "deriv",
        "changes",
        "resets",
        "increase_pure",
        "predict_linear",
        "rollup_rate",
    ];
    let name = name.to_ascii_lowercase();
    NAMES.contains(&name.as_str()) || (name.ends_with("_over_time") && name != "last_over_time")
}

/// The next word outside of strings, comments and label matchers, or the next bracket.
fn next<'query>(query: &'query str, at: &mut usize) -> Option<(&'query str, usize)> {
    loop {
        let from = *at;
        let rest = query.get(from..)?;
        let first = rest.chars().next()?;
        let length = match first {
            '"' | '\'' | '`' => string(rest, first),
            '#' => rest.find('\n').unwrap_or(rest.len()),
            '{' => matchers(rest),
            c if is_word(c) => {
                let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                *at = from + length;
                return Some((&rest[..length], from));
            }
            '(' | ')' => {
                *at = from + 1;
                return Some((&rest[..1], from));
            }
            other => other.len_utf8(),
        };
        *at = from + length;
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// How long a string is, with its quotes.
fn string(rest: &str, quote: char) -> usize {
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return at + 1;
        }
        if c == '\\' && quote != '`' {
            chars.next();
        }
    }
    rest.len()
}

/// How long a `{...}` is.
fn matchers(rest: &str) -> usize {
    let mut at = 1;
    while let Some(c) = rest.get(at..).and_then(|rest| rest.chars().next()) {
        at += match c {
            '}' => return at + 1,
            '"' | '\'' | '`' => string(&rest[at..], c),
            other => other.len_utf8(),
        };
    }
    rest.len()
}

/// Where the bracket that opens here has its end.
fn closing(query: &str, open: usize) -> usize {
    let (mut at, mut depth) = (open, 0);
    while let Some((token, from)) = next(query, &mut at) {
        match token {
            "(" => depth += 1,
            ")" if depth == 1 => return from + 1,
            ")" => depth -= 1,
            _ => {}
        }
    }
    query.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(query: &str) -> Option<&str> {
        overlap(query).map(|problem| &query[problem.span])
    }

    #[test]
    fn a_call_over_a_range_is_found_where_it_stands() {
        for (query, call) in [
            ("sum(rate(errors[5m]))", "rate(errors[5m])"),
            ("sum by (pod) (increase (x{a=\"(\"}[1h:30s]))", "increase (x{a=\"(\"}[1h:30s])"),
            ("RATE(x[1m])", "RATE(x[1m])"),
            ("avg_over_time(rate(x[1m])[5m:])", "avg_over_time(rate(x[1m])[5m:])"),
            ("a + # rate(x[1m])\n irate(y[1m]) / 2", "irate(y[1m])"),
            ("rate(x)", "rate(x)"),
            ("delta(x[1m]", "delta(x[1m]"),
        ] {
            assert_eq!(found(query), Some(call), "{query}");
        }
    }

    #[test]
    fn raw_counters_are_let_through() {
        for query in [
            "sum by (service, pod) (http_requests_total{code=~\"5..\"})",
            "x{rate=\"rate(y[5m])\"}",
            "label_replace(x, \"a\", 'rate(y[5m])', `increase(`, \"\")",
            "rate",
            "sum by (rate) (x)",
            "sum(job:http_errors:rate5m)",
            "error_rate",
            "sum(last_over_time(x[2m]))",
            "histogram_quantile(0.95, sum by (le) (x_bucket))",
            "x # increase(y[5m])",
            "\"unfinished rate(x[5m])",
            "é{é",
        ] {
            assert_eq!(found(query), None, "{query}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_to_its_end(query in proptest::prelude::any::<String>()) {
            if let Some(problem) = overlap(&query) {
                proptest::prop_assert!(query.get(problem.span).is_some());
            }
        }
    }
}
