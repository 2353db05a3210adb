//! Which series are meant: a metric's name and matchers on its labels, written as in PromQL.

use std::{borrow::Cow, fmt, str::FromStr};

use regex_lite::Regex;

use super::exposition::Series;

/// `http_requests_total{code=~"5.."}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Selector {
    metric: String,
    matchers: Vec<Matcher>,
}

#[derive(Clone, Debug)]
struct Matcher {
    label: String,
    op: Op,
    value: String,
    regex: Option<Regex>,
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.label, self.op, &self.value) == (&other.label, other.op, &other.value)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Is,
    IsNot,
    Matches,
    MatchesNot,
}

impl Op {
    const ALL: [(&'static str, Self); 4] =
        [("=~", Self::Matches), ("!~", Self::MatchesNot), ("!=", Self::IsNot), ("=", Self::Is)];

    fn text(self) -> &'static str {
        Self::ALL.iter().find(|(_, op)| *op == self).map_or("=", |(text, _)| text)
    }
}

impl Selector {
    /// Every series of this name.
    pub fn metric(name: impl Into<String>) -> Self {
        Self { metric: name.into(), matchers: Vec::new() }
    }

    /// The metric's name.
    pub fn name(&self) -> &str {
        &self.metric
    }

    /// The same matchers on another metric, such as a histogram's `_bucket`.
    pub fn renamed(&self, name: String) -> Self {
        Self { metric: name, matchers: self.matchers.clone() }
    }

    /// Whether it means this series. A label that is not there is empty, as in PromQL.
    pub fn picks(&self, series: &Series<'_, '_>) -> bool {
        series.name == self.metric
            && self.matchers.iter().all(|matcher| {
                let value = series.label(&matcher.label);
                matcher.accepts(&value.map_or(Cow::Borrowed(""), |value| value.text()))
            })
    }
}

impl Matcher {
    fn new(label: &str, op: Op, value: String) -> Result<Self, String> {
        let regex = match op {
            Op::Is | Op::IsNot => None,
            // Anchored at both ends, and a dot is any character, as in Prometheus.
            Op::Matches | Op::MatchesNot => Some(
                Regex::new(&format!("^(?s:{value})$"))
                    .map_err(|error| format!("`{value}` is not a regular expression: {error}"))?,
            ),
        };
        Ok(Self { label: label.to_owned(), op, value, regex })
    }

    fn accepts(&self, value: &str) -> bool {
        let matches = || self.regex.as_ref().is_some_and(|regex| regex.is_match(value));
        match self.op {
            Op::Is => self.value == value,
            Op::IsNot => self.value != value,
            Op::Matches => matches(),
            Op::MatchesNot => !matches(),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.metric)?;
        for (at, matcher) in self.matchers.iter().enumerate() {
            let open = if at == 0 { "{" } else { "," };
            write!(f, "{open}{}{}{:?}", matcher.label, matcher.op.text(), matcher.value)?;
        }
        if self.matchers.is_empty() { Ok(()) } else { f.write_str("}") }
    }
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = |what: &str| {
            format!("`{text}` {what}; write it like `http_requests_total{{code=~\"5..\"}}`")
        };
        let text_in = text.trim();
        let (name, mut rest) = split_name(text_in, ":");
        if name.is_empty() {
            return Err(fault("does not begin with a metric's name"));
        }
        let mut selector = Self::metric(name);
        if rest.trim().is_empty() {
            return Ok(selector);
        }
        rest = rest.trim_start().strip_prefix('{').ok_or_else(|| fault("is not a selector"))?;
        loop {
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix('}') {
                let end = after.trim().is_empty();
                return if end { Ok(selector) } else { Err(fault("goes on after its `}`")) };
            }
            let (label, after) = split_name(rest, "");
            let after = after.trim_start();
            let found =
                Op::ALL.iter().find_map(|(op, kind)| Some((*kind, after.strip_prefix(op)?)));
            let (op, after) = found
                .filter(|_| !label.is_empty())
                .ok_or_else(|| fault("has a matcher that is none"))?;
            let (value, after) =
                quoted(after.trim_start()).ok_or_else(|| fault("has a value without quotes"))?;
            selector.matchers.push(Matcher::new(label, op, value)?);
            rest = after.trim_start();
            match rest.strip_prefix(',') {
                Some(after) => rest = after,
                None if rest.starts_with('}') => {}
                None => return Err(fault("has no `,` or `}` where one must be")),
            }
        }
    }
}

fn split_name<'text>(text: &'text str, also: &str) -> (&'text str, &'text str) {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || also.contains(c);
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return ("", text);
    }
    text.split_at(text.find(|c| !legal(c)).unwrap_or(text.len()))
}

/// A string in either kind of quotes, without its escapes, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                other => value.push(other),
            },
            _ if c == quote => return Some((value, &text[at + 1..])),
            _ => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::exposition::{Format, Limits, Wanted, scan};

    fn picked(selector: &str) -> Vec<f64> {
        let selector: Selector = selector.parse().expect("a selector");
        let body = "m{code=\"200\",uri=\"/a\\nb\"} 1\nm{code=\"503\"} 2\nm{code=\"5033\"} 3\nm 4\nother 5\n";
        let mut values = Vec::new();
        scan(body.as_bytes(), Format::Text, &Limits::default(), &Wanted::all(), |series| {
            if selector.picks(series) {
                values.push(series.value);
            }
        })
        .expect("an exposition");
        values
    }

    #[test]
    fn matchers_mean_what_they_mean_in_promql() {
        assert_eq!(picked("m"), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(picked(r#"m{code=~"5.."}"#), [2.0], "anchored");
        assert_eq!(picked(r#"m{code!~"5.."}"#), [1.0, 3.0, 4.0]);
        assert_eq!(picked(r#"m { code = "503" , }"#), [2.0]);
        assert_eq!(picked("m{code!='503', code!=\"\"}"), [1.0, 3.0]);
        assert_eq!(picked(r#"m{code=""}"#), [4.0], "a label that is not there is empty");
        assert_eq!(picked(r#"m{uri=~"/a.b"}"#), [1.0], "a dot is a newline, too");
        assert_eq!(picked(r#"m{code=~"2..|503"}"#), [1.0, 2.0], "anchored around alternatives");
    }

    #[test]
    fn a_selector_says_how_to_write_it() {
        for bad in ["", "5m", "m{", "m{code}", "m{code=5}", r#"m{a="b" c="d"}"#, r#"m{a="b"} > 1"#]
        {
            let error = bad.parse::<Selector>().expect_err(bad);
            assert!(error.contains("write it like"), "{error}");
        }
        assert!(r#"m{a=~"("}"#.parse::<Selector>().is_err());
        let text = r#"m{a="b",c=~"5.."}"#;
        assert_eq!(text.parse::<Selector>().map(|selector| selector.to_string()), Ok(text.into()));
    }
}
