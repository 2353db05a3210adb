//! What a registry asks for that does not answer anybody: the header `WWW-Authenticate`.

/// What it wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// User and password.
    Basic,
    /// A token that somebody else gives.
    Bearer {
        /// Who gives it.
        realm: String,
        /// For whom, as that one knows the registry.
        service: Option<String>,
    },
}

impl Challenge {
    /// Of one header, which may hold several; a token rather than a password.
    pub fn of(header: &str) -> Option<Self> {
        let mut found = None;
        let mut rest = header;
        while let Some((scheme, pairs, after)) = next(rest) {
            match scheme.to_ascii_lowercase().as_str() {
                "bearer" => {
                    let value = |key: &str| {
                        let same = |(name, _): &&(&str, String)| name.eq_ignore_ascii_case(key);
                        pairs.iter().find(same).map(|(_, value)| value.clone())
                    };
                    if let Some(realm) = value("realm") {
                        return Some(Self::Bearer { realm, service: value("service") });
                    }
                }
                "basic" => found = Some(Self::Basic),
                _ => {}
            }
            rest = after;
        }
        found
    }
}

type Pairs<'t> = Vec<(&'t str, String)>;

/// The next scheme, its pairs, and what stands behind them.
fn next(text: &str) -> Option<(&str, Pairs<'_>, &str)> {
    let text = text.trim_start_matches([' ', '\t', ',']);
    let (scheme, mut rest) = word(text)?;
    let mut pairs = vec![];
    loop {
        let from = rest.trim_start_matches([' ', '\t', ',']);
        let Some((key, after)) = word(from) else { return Some((scheme, pairs, "")) };
        // A word without a value begins the next one.
        let Some(after) = after.strip_prefix('=') else { return Some((scheme, pairs, from)) };
        let (value, after) = value(after);
        pairs.push((key, value));
        rest = after;
    }
}

fn word(text: &str) -> Option<(&str, &str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return (value.to_owned(), rest);
    };
    let (mut value, mut escaped) = (String::new(), false);
    for (at, c) in quoted.char_indices() {
        match c {
            _ if escaped => (value.push(c), escaped = false).1,
            '\\' => escaped = true,
            '"' => return (value, &quoted[at + 1..]),
            _ => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>) -> Option<Challenge> {
        Some(Challenge::Bearer { realm: realm.into(), service: service.map(str::to_owned) })
    }

    #[test]
    fn who_gives_the_token_is_found_in_whatever_order_it_is_said() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull""#;
        assert_eq!(
            Challenge::of(hub),
            bearer("https://auth.docker.io/token", Some("registry.docker.io"))
        );
        let spaced = r#"bearer service=a , realm="https://a.example/t?x=\"1\"""#;
        assert_eq!(Challenge::of(spaced), bearer(r#"https://a.example/t?x="1""#, Some("a")));
        let both = r#"Basic realm="a", Bearer realm="https://a.example/t""#;
        assert_eq!(Challenge::of(both), bearer("https://a.example/t", None));
        assert_eq!(Challenge::of(r#"Basic realm="Registry Realm""#), Some(Challenge::Basic));
        assert_eq!(Challenge::of("BASIC"), Some(Challenge::Basic));
        for nothing in
            ["", "Bearer", r#"Bearer service="a""#, "Negotiate", ",,=", "\"", "Bearer =\""]
        {
            assert_eq!(Challenge::of(nothing), None, "{nothing}");
        }
    }
}
