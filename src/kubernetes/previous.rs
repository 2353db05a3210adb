//! The image that an annotation of a Deployment names by its tag: `kubectl set image`, with every choice made.

use serde_json::Value;

use super::template::{Template, repository};
use crate::domain::previous::{Names, NewImage, Previous};

/// As registries know tags.
const TAG_MAX: usize = 128;
/// So much of what is no tag is shown.
const SHOWN_MAX: usize = 60;

/// How a service reads it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Options {
    /// Which annotation.
    pub annotation: String,
    /// Where images are pulled from; where each is pulled from now when it is empty.
    pub image_prefix: String,
}

/// What `said` comes to in a template, in the container that is meant or the first.
pub fn named(said: &str, template: &Value, container: Option<&str>, options: &Options) -> Previous {
    let image = image(said, template, container, options);
    let names = image.map_or_else(Names::Nothing, |image| Names::Image(Box::new(image)));
    Previous { annotation: options.annotation.clone(), names }
}

fn image(
    said: &str,
    template: &Value,
    container: Option<&str>,
    options: &Options,
) -> Result<NewImage, String> {
    if !is_tag(said) {
        let shown: String = said.chars().take(SHOWN_MAX).collect();
        return Err(format!(
            "it says {shown:?}, which is no tag of an image; write the tag alone, as \"1.4.1\": letters, digits and . _ -, at most {TAG_MAX} of them, and no . or - first"
        ));
    }
    let known = Template::of(template);
    let mut all = known.containers();
    let meant = match container {
        Some(name) => all.find(|(known, _)| *known == name),
        // Whose version it is that was before, of several, only people know.
        None if known.containers().count() > 1 => {
            let instead = "name the one it is about with `container`";
            return Err(format!("its template has several containers; {instead}"));
        }
        None => all.next(),
    };
    let (name, now) = meant.ok_or_else(|| match container {
        Some(name) => format!("its template has no container {name}"),
        None => "its template has no container".to_owned(),
    })?;
    let repository = repository(now);
    let image = match options.image_prefix.trim_end_matches('/') {
        "" => format!("{repository}:{said}"),
        prefix => {
            let last = repository.rsplit('/').next().unwrap_or(repository);
            format!("{prefix}/{last}:{said}")
        }
    };
    let with = with_image(template, name, &image).ok_or("its template cannot be read")?;
    let revision = Template::of(&with).revision(container);
    Ok(NewImage { container: name.to_owned(), image, revision })
}

/// A template with another image in one of its containers; none where it has no such container.
pub fn with_image(template: &Value, container: &str, image: &str) -> Option<Value> {
    let mut with = template.clone();
    let all = with.pointer_mut("/spec/containers")?.as_array_mut()?;
    let of = all.iter_mut().find(|it| it["name"] == container)?.as_object_mut()?;
    of.insert("image".to_owned(), Value::from(image));
    Some(with)
}

fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut bytes = text.bytes();
    text.len() <= TAG_MAX
        && bytes.next().is_some_and(is_word)
        && bytes.all(|byte| is_word(byte) || b".-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template() -> Value {
        json!({ "spec": { "containers": [
            { "name": "proxy", "image": "registry:5000/envoy:1.30" },
            { "name": "app", "image": "registry:5000/shop/app:1.4.2@sha256:0123" },
        ] } })
    }

    fn of(said: &str, container: Option<&str>, prefix: &str) -> Result<NewImage, String> {
        let options =
            Options { annotation: "previous-version".into(), image_prefix: prefix.into() };
        let previous = named(said, &template(), container, &options);
        assert_eq!(previous.annotation, "previous-version");
        match previous.names {
            Names::Image(image) => Ok(*image),
            Names::Nothing(why) => Err(why),
        }
    }

    #[test]
    fn a_tag_becomes_one_whole_image_and_the_hash_of_the_template_with_it() {
        let app = of("1.4.1", Some("app"), "").unwrap();
        assert_eq!((&*app.container, &*app.image), ("app", "registry:5000/shop/app:1.4.1"));
        assert!(app.revision.version.starts_with("1.4.1+"), "{}", app.revision);
        let with = with_image(&template(), "app", &app.image).unwrap();
        assert_eq!(Template::of(&with).revision(None).digest, app.revision.digest);
        let image = |container, prefix| of("1.4.1", container, prefix).unwrap().image;
        assert!(of("1.4.1", None, "").unwrap_err().contains("several containers; name the one"));
        for prefix in ["mirror.internal/eu", "mirror.internal/eu/"] {
            assert_eq!(image(Some("app"), prefix), "mirror.internal/eu/app:1.4.1");
        }
        assert_eq!(with_image(&template(), "nobody", "a:1"), None);
        assert_eq!(of("1", Some("nobody"), ""), Err("its template has no container nobody".into()));
    }

    #[test]
    fn what_is_no_tag_is_told_with_what_one_is() {
        for good in ["1.4.1", "v1", "_x", "2026-11-27_1", &"a".repeat(128)] {
            assert!(of(good, Some("app"), "").is_ok(), "{good}");
        }
        for bad in
            ["", "shop:1.4.1", "a/b", ".1", "-1", "1.4.1\n", "1 4", "1.4.ü", &"a".repeat(129)]
        {
            let why = of(bad, None, "").unwrap_err();
            assert!(why.contains("no tag of an image; write the tag alone, as \"1.4.1\""), "{why}");
            assert!(!why.contains('\n') && why.len() < 300, "{why}");
        }
        assert!(of("shop:1.4.1", None, "").unwrap_err().starts_with("it says \"shop:1.4.1\","));
    }
}
