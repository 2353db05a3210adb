//! Which series are meant: a metric's name and matchers on its labels, written as in PromQL.

use std::{borrow::Cow, fmt, str::FromStr};

use regex_lite::Regex;

use super::exposition::Series;

/// `http_requests_total{code=~"5.."}`, or `{"http.requests", "status.code"=~"5.."}` where names are not the usual ones.
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

    /// Whether a name of it can only be written in quotes: a target tells such names only when it is asked to.
    pub fn is_quoted(&self) -> bool {
        !is_usual(&self.metric, ":") || self.matchers.iter().any(|m| !is_usual(&m.label, ""))
    }

    /// Whether it means this series. A label that is not there is empty, as in PromQL.
    pub fn picks(&self, series: &Series<'_, '_>) -> bool {
        series.name == *self.metric
            && self.matchers.iter().all(|matcher| {
                let value = series.label(&matcher.label);
                matcher.accepts(&value.map_or(Cow::Borrowed(""), |value| value.text()))
            })
    }
}

impl Matcher {
    fn new(label: String, op: Op, value: String) -> Result<Self, String> {
        let regex = match op {
            Op::Is | Op::IsNot => None,
            // Anchored at both ends, and a dot is any character, as in Prometheus.
            Op::Matches | Op::MatchesNot => Some(
                Regex::new(&format!("^(?s:{value})$"))
                    .map_err(|error| format!("`{value}` is not a regular expression: {error}"))?,
            ),
        };
        Ok(Self { label, op, value, regex })
    }

    fn accepts(&self, value: &str) -> bool {
        let matches = || self.regex.as_ref().is_some_and(|regex| regex.is_match(value));
        match self.op {
            Op::Is => self.is(value),
            Op::IsNot => !self.is(value),
            Op::Matches => matches(),
            Op::MatchesNot => !matches(),
        }
    }

    /// Bounds and quantiles are numbers: one format writes `1`, the other `1.0`.
    fn is(&self, value: &str) -> bool {
        let number = |text: &str| text.parse::<f64>().ok();
        let bound = matches!(self.label.as_str(), "le" | "quantile");
        self.value == value
            || bound && number(&self.value).is_some_and(|bound| Some(bound) == number(value))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = vec![];
        if is_usual(&self.metric, ":") {
            f.write_str(&self.metric)?;
        } else {
            parts.push(format!("{:?}", self.metric));
        }
        for Matcher { label, op, value, .. } in &self.matchers {
            let label = if is_usual(label, "") { label.clone() } else { format!("{label:?}") };
            parts.push(format!("{label}{}{value:?}", op.text()));
        }
        if parts.is_empty() { Ok(()) } else { write!(f, "{{{}}}", parts.join(",")) }
    }
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = |what: &str| {
            format!("`{text}` {what}; write it like `http_requests_total{{code=~\"5..\"}}`")
        };
        let (name, rest) = split_name(text.trim(), ":");
        let mut selector = Self::metric(name);
        if rest.trim().is_empty() && !name.is_empty() {
            return Ok(selector);
        }
        let no_name = || fault("does not begin with a metric's name");
        let inside = rest.trim_start().strip_prefix('{');
        let mut rest = match inside {
            Some(inside) => inside,
            None if name.is_empty() => return Err(no_name()),
            None => return Err(fault("is not a selector")),
        };
        loop {
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix('}') {
                if selector.metric.is_empty() {
                    return Err(no_name());
                }
                let end = after.trim().is_empty();
                return if end { Ok(selector) } else { Err(fault("goes on after its `}`")) };
            }
            let (label, after) = match quoted(rest) {
                Some((label, after)) => (label, after.trim_start()),
                None => {
                    let (label, after) = split_name(rest, "");
                    (label.to_owned(), after.trim_start())
                }
            };
            let is_metric = selector.metric.is_empty() && selector.matchers.is_empty();
            rest = if is_metric && rest.starts_with(['"', '\'']) && after.starts_with([',', '}']) {
                selector.metric = label;
                after
            } else if selector.metric.is_empty() {
                return Err(no_name());
            } else {
                let (matcher, after) = matcher(label, after).map_err(|what| match what {
                    Unfit::Matcher(what) => fault(what),
                    Unfit::Regex(what) => what,
                })?;
                selector.matchers.push(matcher);
                after.trim_start()
            };
            match rest.strip_prefix(',') {
                Some(after) => rest = after,
                None if rest.starts_with('}') => {}
                None => return Err(fault("has no `,` or `}` where one must be")),
            }
        }
    }
}

enum Unfit {
    Matcher(&'static str),
    Regex(String),
}

/// What follows a label's name: an operator, and a value in quotes.
fn matcher(label: String, after: &str) -> Result<(Matcher, &str), Unfit> {
    let found = Op::ALL.iter().find_map(|(op, kind)| Some((*kind, after.strip_prefix(op)?)));
    let (op, after) =
        found.filter(|_| !label.is_empty()).ok_or(Unfit::Matcher("has a matcher that is none"))?;
    let (value, after) =
        quoted(after.trim_start()).ok_or(Unfit::Matcher("has a value without quotes"))?;
    let matcher = Matcher::new(label, op, value).map_err(Unfit::Regex)?;
    Ok((matcher, after))
}

fn is_usual(name: &str, also: &str) -> bool {
    !name.is_empty() && split_name(name, also).1.is_empty()
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
        let body = "m{code=\"200\",uri=\"/a\\nb\"} 1\nm{code=\"503\"} 2\nm{code=\"5033\"} 3\nm 4\nother 5\n\
                    {\"http.requests\",\"status.code\"=\"500\"} 6\n{\"http.requests\"} 7\n\
                    h{le=\"1.0\"} 8\nh{le=\"+Inf\"} 9\n";
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
        assert_eq!(picked(r#"{"m", code="503"}"#), [2.0]);
        assert_eq!(picked(r#"{"http.requests"}"#), [6.0, 7.0]);
        assert_eq!(picked(r#"{"http.requests","status.code"=~"5.."}"#), [6.0]);
        assert_eq!(picked(r#"h{le="1"}"#), [8.0], "a bound is a number");
        assert_eq!(picked(r#"h{le!="1"}"#), [9.0]);
    }

    #[test]
    fn a_selector_says_how_to_write_it() {
        for bad in [
            "",
            "5m",
            "m{",
            "m{code}",
            "m{code=5}",
            r#"m{a="b" c="d"}"#,
            r#"m{a="b"} > 1"#,
            "{}",
            r#"{a="b"}"#,
            r#"{"m""#,
            r#"{"m" a="b"}"#,
        ] {
            let error = bad.parse::<Selector>().expect_err(bad);
            assert!(error.contains("write it like"), "{error}");
        }
        assert!(r#"m{a=~"("}"#.parse::<Selector>().is_err());
        for (text, quoted) in [
            (r#"m{a="b",c=~"5.."}"#, false),
            (r#"{"http.requests","label.dotted"="x"}"#, true),
            (r#"m{"label.dotted"="x"}"#, true),
            ("a:b", false),
        ] {
            let selector: Selector = text.parse().expect(text);
            assert_eq!((selector.to_string().as_str(), selector.is_quoted()), (text, quoted));
        }
    }
}
