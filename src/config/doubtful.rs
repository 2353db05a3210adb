//! Services that a query found and that their template cannot take, such as one without the secret that it names. They
//! alone are left out: nobody else is to stay unwatched for them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Discovered, Loaded, check, document, load_text_with};

/// Whoever is still at fault after so many readings is not the only one that is.
const READINGS_MAX: usize = 5;

/// As [`load_text_with`], without those of the `doubtful` names that are at fault themselves: with
/// what is wrong with each. A fault of anything else is the file's.
pub fn load_text_without_the_broken(
    name: &str,
    text: &str,
    found: &Discovered,
    doubtful: &BTreeSet<String>,
) -> (Loaded, BTreeMap<String, String>) {
    let (mut found, mut left_out) = (found.clone(), BTreeMap::new());
    for _ in 0..READINGS_MAX {
        let (raw, shape) = document::read(name, text, &found);
        let (loaded, at_fault) = check::check(name, text, raw, shape);
        if loaded.is_ok() {
            return (loaded, left_out);
        }
        // One of that name in another environment has a longer key; a name has no slash.
        let named = |(key, why): (String, String)| {
            let name = key.split('/').next().unwrap_or_default().to_owned();
            (doubtful.contains(&name) && !left_out.contains_key(&name)).then_some((name, why))
        };
        let broken: BTreeMap<String, String> = at_fault.into_iter().filter_map(named).collect();
        for names in found.values_mut() {
            names.retain(|name| !broken.contains_key(name));
        }
        if broken.is_empty() {
            return (loaded, BTreeMap::new());
        }
        left_out.extend(broken);
    }
    (load_text_with(name, text, &found), left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
[prometheus.main]
url = "http://127.0.0.1:9"
[template.web]
watch_only = true
signal.e.kind = "error_rate"
signal.e.scrape = { bad = 'b', total = 't' }
scrape.url = "http://{service}.internal/metrics"
scrape.bearer = { file = "DIR/{service}" }
[discover.web]
template = "web"
query = 'count by (service) (requests)'
label = "service"
[service.written]
watch_only = true
signal.e.kind = "error_rate"
signal.e.prometheus = { bad = 'b', total = 't' }
"#;

    fn load(
        text: &str,
        found: &[&str],
        doubtful: &[&str],
    ) -> Result<[Vec<String>; 2], Vec<String>> {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let all = [("web".to_owned(), own(found))].into();
        let doubtful = own(doubtful).into_iter().collect();
        let (loaded, left) = load_text_without_the_broken("f.toml", text, &all, &doubtful);
        let what = |problems: Vec<crate::config::Problem>| {
            problems.into_iter().map(|problem| problem.what).collect::<Vec<_>>()
        };
        let (config, _) = loaded.map_err(what)?;
        let watched = config.policy.services.keys().map(ToString::to_string).collect();
        Ok([watched, left.into_iter().map(|(name, why)| format!("{name}: {why}")).collect()])
    }

    #[test]
    fn a_found_name_that_its_template_cannot_take_is_left_out_alone() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["cart", "shop", "empty"] {
            let secret = if name == "empty" { "" } else { "hunter2" };
            std::fs::write(dir.path().join(name), secret).unwrap();
        }
        let text = FILE.replace("DIR", &dir.path().display().to_string());
        load(&text, &[], &[]).expect("nobody has been found yet");
        let found = ["cart", "empty", "gone", "shop"];
        let [watched, left] = load(&text, &found, &["empty", "gone", "shop"]).unwrap();
        assert_eq!(watched, ["cart/production", "shop/production", "written/production"]);
        assert!(
            left[0].starts_with("empty: the file") && left[1].starts_with("gone: "),
            "{left:?}"
        );
        // One that is watched already is not dropped for it: that is the file's fault, or the machine's.
        let why = load(&text, &found, &["empty", "shop"]).unwrap_err();
        assert!(why.iter().any(|why| why.contains("gone")), "{why:?}");
        let broken =
            text.replace("bad = 'b', total = 't' }\n\"", "").replace("label = ", "lable = ");
        load(&broken, &found, &found).unwrap_err();
    }

    #[test]
    fn one_that_takes_what_another_has_is_left_out_and_the_other_stays() {
        let text = FILE.replace(
            "scrape.bearer = { file = \"DIR/{service}\" }",
            "rollback.application.release = { root = \"/opt/{service}\", restart.unit = \"a.service\", running.unit = \"a.service\" }",
        );
        let text = text.replacen("watch_only = true\n", "", 1)
            + "[service.own]\nrollback.application.release = { \
            root = \"/opt/cart\", restart.unit = \"a.service\", running.unit = \"a.service\" }\nsignal.e.kind = \"error_rate\"\n\
            signal.e.prometheus = { bad = 'b', total = 't' }\n";
        let [watched, left] = load(&text, &["cart", "shop"], &["cart", "shop"]).unwrap();
        assert_eq!(watched, ["own/production", "shop/production", "written/production"]);
        assert_eq!(left.len(), 1);
        assert!(left[0].contains("is rolled back in /opt/cart too"), "{left:?}");
    }
}
