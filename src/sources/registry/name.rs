//! What an image's name means: which registry, which repository of it, and what of that.

use reqwest::Url;

/// Where what names no registry is.
const USUAL: &str = "docker.io";
/// Who answers for it.
const USUAL_ANSWERS_AT: &str = "registry-1.docker.io";
/// Other names of the same.
const USUAL_TOO: [&str; 2] = ["index.docker.io", USUAL_ANSWERS_AT];
/// Longer names nobody has.
const NAME_MAX: usize = 512;
const TAG_MAX: usize = 128;

/// An image's name, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The registry's host, with its port where one is said.
    pub registry: String,
    /// The repository there.
    pub repository: String,
    /// The digest, or the tag where there is none.
    pub reference: String,
}

impl Name {
    /// Of a name as templates have it; `None` where it can be none.
    pub fn of(image: &str) -> Option<Self> {
        if image.len() > NAME_MAX {
            return None;
        }
        let (rest, digest) = image.split_once('@').map_or((image, None), |(n, d)| (n, Some(d)));
        let (before, last) = rest.rsplit_once('/').map_or(("", rest), |(b, l)| (b, l));
        let (last, tag) = last.split_once(':').map_or((last, None), |(l, t)| (l, Some(t)));
        let path = if before.is_empty() { last.to_owned() } else { format!("{before}/{last}") };
        let is_host = |first: &str| first == "localhost" || first.contains(['.', ':']);
        let (registry, repository) = match path.split_once('/') {
            Some((first, rest)) if is_host(first) => (usual(first), rest.to_owned()),
            Some(_) | None => (USUAL, path),
        };
        let repository = match registry == USUAL && !repository.contains('/') {
            true => format!("library/{repository}"),
            false => repository,
        };
        let reference = digest.or(tag).unwrap_or("latest");
        let is_named = match digest {
            Some(digest) => is_digest(digest),
            None => is_tag(reference),
        };
        let is_whole = is_named && is_registry(registry) && is_repository(&repository);
        let (registry, reference) = (registry.to_owned(), reference.to_owned());
        is_whole.then_some(Self { registry, repository, reference })
    }

    /// Where the registry is asked about it.
    pub(super) fn url(&self, scheme: &str) -> Option<Url> {
        let Self { registry, repository, reference } = self;
        let host = if registry == USUAL { USUAL_ANSWERS_AT } else { registry };
        format!("{scheme}://{host}/v2/{repository}/manifests/{reference}").parse().ok()
    }
}

/// One name for each registry.
pub(super) fn usual(registry: &str) -> &str {
    if USUAL_TOO.contains(&registry) { USUAL } else { registry }
}

fn is_registry(text: &str) -> bool {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    !text.is_empty() && text.chars().all(is_legal)
}

fn is_repository(text: &str) -> bool {
    let is_legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    let is_part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric()) && part.chars().all(is_legal)
    };
    text.split('/').all(is_part)
}

fn is_tag(text: &str) -> bool {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (1..=TAG_MAX).contains(&text.len())
        && !text.starts_with(['.', '-'])
        && text.chars().all(is_legal)
}

/// Whether a text can be one: `sha256:…`.
pub(super) fn is_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else { return false };
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+._-".contains(c);
    !algorithm.is_empty()
        && algorithm.chars().all(is_word)
        && (32..=TAG_MAX).contains(&hex.len())
        && hex.chars().all(|c| c.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_which_registry_and_what_of_it() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let pinned = format!("ghcr.io/shop/web:1.4.1@{digest}");
        for (image, registry, repository, reference) in [
            ("nginx", "docker.io", "library/nginx", "latest"),
            ("shop/web:1.4.1", "docker.io", "shop/web", "1.4.1"),
            ("index.docker.io/nginx:1", "docker.io", "library/nginx", "1"),
            ("localhost/web:1", "localhost", "web", "1"),
            ("registry:5000/a/b/web:1_2", "registry:5000", "a/b/web", "1_2"),
            ("quay.io/web", "quay.io", "web", "latest"),
            (&pinned, "ghcr.io", "shop/web", &digest),
        ] {
            let name = Name::of(image).unwrap_or_else(|| panic!("{image} is a name"));
            let found = (&*name.registry, &*name.repository, &*name.reference);
            assert_eq!(found, (registry, repository, reference), "{image}");
        }
        let url = Name::of("nginx:1").unwrap().url("https").unwrap();
        assert_eq!(url.as_str(), "https://registry-1.docker.io/v2/library/nginx/manifests/1");
    }

    #[test]
    fn what_could_lead_elsewhere_is_no_name() {
        for text in [
            "",
            "Shop",
            "shop:",
            "shop:a b",
            "shop@sha256:12",
            "shop@latest",
            "user@evil.example/shop",
            "a.example/../shop",
            "a.example//shop",
            "a.example/shop?x=1",
            "a.example#/shop",
            "a.example/shop:../x",
        ] {
            assert_eq!(Name::of(text), None, "{text}");
        }
        assert_eq!(Name::of(&"a".repeat(NAME_MAX + 1)), None);
    }
}
