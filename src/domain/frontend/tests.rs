use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::domain::change::Revision;

/// A version of a site: each object by its name and what its bytes are called.
fn version(version: &str, objects: &[(&str, &str)]) -> Manifest {
    let object = |(name, bytes): &(&str, &str)| {
        let object = Object {
            etag: (*bytes).to_owned(),
            size: 10,
            page: name.ends_with(".html"),
            ..Object::default()
        };
        ((*name).to_owned(), object)
    };
    let marker = ("version.json", version);
    Manifest {
        manifest: FORMAT,
        version: version.to_owned(),
        marker: marker.0.to_owned(),
        archive: Archive::Below(format!("versions/{version}/")),
        objects: objects.iter().chain([&marker]).map(object).collect(),
    }
}

fn live(manifest: &Manifest) -> BTreeMap<String, Live> {
    let now = |(name, object): (&String, &Object)| (name.clone(), as_live(object));
    manifest.objects.iter().map(now).collect()
}

fn as_live(object: &Object) -> Live {
    let Object { etag, size, headers, .. } = object.clone();
    Live { etag, size, headers, mark: None }
}

fn old() -> Manifest {
    version(
        "1.4.0",
        &[("index.html", "i4"), ("app.11.js", "a4"), ("logo.svg", "l4"), ("same.css", "s")],
    )
}

fn new() -> Manifest {
    version(
        "1.5.0",
        &[("index.html", "i5"), ("app.22.js", "a5"), ("logo.svg", "l5"), ("same.css", "s")],
    )
}

#[test]
fn what_differs_is_copied_new_ones_first_and_pages_last() {
    let copies = copies(Some(&new()), &old(), &live(&new())).unwrap();
    let names: Vec<(Stage, &str)> =
        copies.names.iter().map(|(stage, name)| (*stage, name.as_str())).collect();
    assert_eq!(
        names,
        [
            (Stage::New, "app.11.js"),
            (Stage::Replaced, "logo.svg"),
            (Stage::Pages, "index.html"),
            (Stage::Marker, "version.json"),
        ]
    );
    let difference = Difference::between(Some(&new()), &old(), 4);
    assert_eq!(difference, Difference { objects: 5, copied: 4, paths: 4 });
}

/// aws-cli skips what has the same size and is newer: the page that is to be replaced.
#[test]
fn a_page_of_the_same_size_is_another_page() {
    let (old, new) = (old(), new());
    assert_eq!(old.objects["index.html"].size, new.objects["index.html"].size);
    assert_eq!(copies(Some(&new), &old, &live(&new)).unwrap().of(Stage::Pages).count(), 1);
}

#[test]
fn the_page_that_people_open_first_is_the_last_of_all_pages() {
    let many = [("zoo.html", "z"), ("index.html", "i"), ("about/index.html", "a")];
    let copies = copies(None, &version("1", &many), &BTreeMap::new()).unwrap();
    let pages: Vec<&str> = copies.of(Stage::Pages).collect();
    assert_eq!(pages, ["about/index.html", "zoo.html", "index.html"]);
    assert_eq!(copies.names.last().unwrap().0, Stage::Marker);
}

#[test]
fn what_somebody_else_put_there_is_not_overwritten() {
    let mut now = live(&new());
    now.get_mut("logo.svg").unwrap().etag = "hotfix".into();
    let why = copies(Some(&new()), &old(), &now).unwrap_err();
    assert_eq!(why, "somebody changed logo.svg in between: it is neither of 1.5.0 nor of 1.4.0");
    // Of what was not recorded nobody knows what it was.
    assert!(copies(None, &old(), &now).is_ok());
    // What an earlier version left behind is nothing that the newer one refers to.
    let mut now = live(&new());
    now.insert("app.11.js".into(), Live { etag: "a3".into(), ..Live::default() });
    let copies = copies(Some(&new()), &old(), &now).unwrap();
    assert_eq!(copies.of(Stage::Replaced).collect::<Vec<_>>(), ["app.11.js", "logo.svg"]);
    // Or it is somebody else's, whose only copy it may be.
    assert_eq!(unnamed(Some(&new()), &old(), &now, &copies), ["app.11.js"]);
    now.get_mut("app.11.js").unwrap().mark = Some("a3".into());
    assert_eq!(unnamed(Some(&new()), &old(), &now, &copies), [""; 0], "a rollback made it");
    assert_eq!(unnamed(None, &old(), &now, &copies), [""; 0]);
}

/// Two versions ago it was another, and an edge keeps what nobody asked it to forget.
#[test]
fn what_comes_back_under_a_name_that_was_used_before_is_forgotten_and_what_never_changes_is_not() {
    let mut to = old();
    to.objects
        .insert("legacy.js".into(), Object { etag: "a".into(), size: 10, ..Object::default() });
    let immutable = to.objects.get_mut("app.11.js").unwrap();
    immutable.headers.cache_control = Some("public, max-age=31536000, immutable".into());
    let paths = invalidated(Some(&new()), &to, ("/", &[]), 100);
    assert!(paths.contains(&"/legacy.js".to_owned()), "{paths:?}");
    assert!(!paths.contains(&"/app.11.js".to_owned()), "{paths:?}");
}

#[test]
fn the_same_bytes_that_are_served_otherwise_are_copied_too() {
    let mut to = old();
    to.objects.get_mut("same.css").unwrap().headers.cache_control = Some("no-cache".into());
    let copies = copies(Some(&new()), &to, &live(&new())).unwrap();
    assert!(copies.of(Stage::Replaced).any(|name| name == "same.css"));
    let paths = invalidated(Some(&new()), &to, ("/", &[]), 100);
    assert!(paths.contains(&"/same.css".to_owned()));
}

/// A copy of what was uploaded in parts has another ETag than the original.
#[test]
fn what_was_copied_is_known_by_what_it_says_of_itself() {
    let (old, mut now) = (old(), live(&old()));
    let index = now.get_mut("index.html").unwrap();
    index.etag = "other".into();
    assert!(!old.objects["index.html"].is(index));
    index.mark = Some("i4".into());
    assert!(old.objects["index.html"].is(index));
    index.size = 11;
    assert!(!old.objects["index.html"].is(index));
}

#[test]
fn a_version_is_live_where_its_marker_and_its_pages_say_so() {
    let recorded: BTreeMap<String, Recorded> =
        [old(), new()].into_iter().map(|it| (it.version.clone(), it.in_short(10))).collect();
    let page = |bytes: Option<&str>| {
        let live = bytes.map(|etag| Live { etag: etag.into(), size: 10, ..Live::default() });
        BTreeMap::from([("index.html".to_owned(), live)])
    };
    let stands = |version: &str, bytes| standing(version, &recorded, &page(bytes));
    assert_eq!(stands("1.5.0", Some("i5")), Standing::At(new().revision()));
    assert_eq!(stands("1.6.0", Some("i6")), Standing::Unrecorded(Revision::named("1.6.0")));
    assert_eq!(
        stands("1.5.0", Some("i4")),
        Standing::Between(
            new().revision(),
            "version.json is of 1.5.0, index.html of 1.4.0: a deployment or a rollback stopped half-way".into()
        )
    );
    let unknown = |why: &str| Standing::Unknown(why.to_owned());
    assert_eq!(
        stands("1.5.0", Some("i9")),
        unknown("version.json says 1.5.0, and index.html is of no version that was recorded")
    );
    assert_eq!(stands("1.5.0", None), unknown("index.html of 1.5.0 is not there"));
}

#[test]
fn an_edge_forgets_what_changed_under_its_name_and_no_more() {
    let mut to = old();
    to.objects.get_mut("app.11.js").unwrap().headers.cache_control =
        Some("public, max-age=31536000, immutable".into());
    let paths = invalidated(Some(&new()), &to, ("/", &[]), 100);
    assert_eq!(paths, ["/", "/index.html", "/logo.svg", "/version.json"]);
    let below = invalidated(Some(&new()), &to, ("/shop/", &["/api/flags*".into()]), 100);
    assert_eq!(
        below,
        [
            "/shop",
            "/shop/",
            "/shop/index.html",
            "/shop/logo.svg",
            "/shop/version.json",
            "/api/flags*"
        ]
    );
    // Of what was not recorded everything may have been another, but what says that it never is.
    let paths = invalidated(None, &to, ("/", &[]), 100);
    assert_eq!(paths, ["/", "/index.html", "/logo.svg", "/same.css", "/version.json"]);
    assert_eq!(
        invalidated(Some(&version("1", &[])), &version("2", &[("ä b*.html", "x")]), ("/", &[]), 9),
        ["/%C3%A4%20b%2A.html", "/version.json"]
    );
}

#[test]
fn too_many_paths_become_directories_and_at_last_everything() {
    let docs: Vec<String> = (0..40).map(|n| format!("docs/{n}.html")).collect();
    let blog: Vec<String> = (0..10).map(|n| format!("blog/2026/{n}.html")).collect();
    let names: Vec<(&str, &str)> = docs.iter().chain(&blog).map(|n| (n.as_str(), "x")).collect();
    let (from, to) = (version("1", &[]), version("2", &names));
    let paths = |max| invalidated(Some(&from), &to, ("/", &[]), max);
    assert_eq!(paths(51).len(), 51);
    let some = paths(45);
    assert_eq!((some.len(), some.contains(&"/blog/2026/*".to_owned())), (42, true));
    assert_eq!((paths(12).len(), paths(12).last()), (12, Some(&"/docs/*".to_owned())));
    assert_eq!(paths(3), ["/version.json", "/blog/2026/*", "/docs/*"]);
    assert_eq!(paths(1), ["/*"]);
}

#[test]
fn a_manifest_that_leads_out_of_its_site_or_knows_too_little_is_none() {
    let good = old();
    assert_eq!(Manifest::parse(&good.bytes()).unwrap(), good);
    let refused = |change: &dyn Fn(&mut Manifest)| {
        let mut bad = old();
        change(&mut bad);
        Manifest::parse(&bad.bytes()).unwrap_err()
    };
    let named = |name: &'static str| {
        refused(&move |it: &mut Manifest| {
            it.objects.insert(name.into(), Object::default());
        })
    };
    for name in ["../other", "/root", "a/../b", "", "a\nb"] {
        assert!(named(name).contains("cannot name an object"), "{name:?}");
    }
    assert!(refused(&|it| it.version = "../1".into()).contains("cannot name a version"));
    assert!(refused(&|it| it.manifest = 2).contains("format 2"));
    assert!(refused(&|it| it.marker = "gone.json".into()).contains("gone.json"));
    assert!(refused(&|it| it.archive = Archive::BucketVersions).contains("which version"));
    assert!(Manifest::parse(b"<html>").unwrap_err().contains("no manifest"));
    assert_ne!(old().revision(), new().revision());
}

/// Sites whose pages load some of their assets; names are shared between both versions, bytes often are not.
fn site(of: &'static str) -> impl Strategy<Value = Manifest> {
    let assets = prop::collection::btree_map(0_u8..12, 0_u8..3, 0..10);
    let pages = prop::collection::btree_map(0_u8..4, 0_u8..3, 1..4);
    (assets, pages).prop_map(move |(assets, pages)| {
        let hashed =
            |(name, bytes): (&u8, &u8)| (format!("a{name}.{bytes}.js"), format!("{name}-{bytes}"));
        let plain = |(name, bytes): (&u8, &u8)| (format!("p{name}.css"), format!("{name}-{bytes}"));
        let page =
            |(name, bytes): (&u8, &u8)| (format!("page{name}.html"), format!("{of}{name}-{bytes}"));
        let assets: Vec<_> =
            assets.iter().map(hashed).chain(assets.iter().step_by(3).map(plain)).collect();
        let all: Vec<(String, String)> = assets.into_iter().chain(pages.iter().map(page)).collect();
        let all: Vec<(&str, &str)> = all.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        version(of, &all)
    })
}

proptest! {
    /// Whoever opens a page, at whatever moment, finds all that this page loads: in whichever order the copies of one stage end,
    /// wherever all of it is broken off, and however much of an earlier attempt is in effect.
    #[test]
    fn at_every_moment_each_page_that_is_live_finds_its_assets(
        from in site("from"),
        to in site("to"),
        begun in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        turns in prop::collection::vec(any::<u16>(), 64),
    ) {
        let mut now = live(&from);
        // What nothing ever deleted.
        now.insert("old.js".into(), Live::default());
        let of_page = |now: &BTreeMap<String, Live>, version: &Manifest| -> Result<(), TestCaseError> {
            let is_live = |(name, page): &(&str, &Object)| now.get(*name).is_some_and(|it| page.is(it));
            if version.pages().iter().any(is_live) {
                for (name, object) in version.objects.iter().filter(|(name, it)| !it.page && **name != version.marker) {
                    let found = now.get(name);
                    prop_assert!(found.is_some(), "{} of {} is missing", name, version.version);
                    if name.starts_with('a') {
                        prop_assert!(object.is(found.unwrap()), "{} of {} is another", name, version.version);
                    }
                }
            }
            Ok(())
        };
        for most in [begun.len(), usize::MAX] {
            let before: BTreeSet<String> = now.keys().cloned().collect();
            let copies = copies(Some(&from), &to, &now).unwrap();
            let mut order = vec![];
            for stage in Stage::ALL {
                let mut names: Vec<&str> = copies.of(stage).collect();
                names.sort_by_key(|name| turns[name.len().wrapping_mul(7) % 64].wrapping_mul(name.bytes().map(u16::from).sum()));
                order.extend(names);
            }
            for name in order.into_iter().take(most) {
                now.insert(name.to_owned(), as_live(&to.objects[name]));
                of_page(&now, &from)?;
                of_page(&now, &to)?;
            }
            prop_assert!(before.is_subset(&now.keys().cloned().collect()), "nothing is ever deleted");
        }
        for (name, object) in &to.objects {
            prop_assert!(object.is(&now[name]));
        }
        prop_assert!(copies(Some(&from), &to, &now).unwrap().is_empty());
    }

    #[test]
    fn paths_are_within_the_limits_and_leave_nothing_out_that_changed(
        from in site("from"),
        to in site("to"),
        recorded in any::<bool>(),
        most in 1_usize..20,
    ) {
        let from = recorded.then_some(&from);
        let paths = invalidated(from, &to, ("/s/", &[]), most);
        prop_assert!(paths.len() <= most, "{:?}", paths);
        prop_assert!(paths.iter().filter(|path| path.ends_with('*')).count() <= WILDCARDS_MAX);
        for (name, object) in &to.objects {
            let before = from.and_then(|from| from.objects.get(name));
            if before.is_none_or(|before| before.etag != object.etag) {
                let path = format!("/s/{name}");
                let covered = paths.iter().any(|it| *it == path || it.strip_suffix('*').is_some_and(|it| path.starts_with(it)));
                prop_assert!(covered, "{} in {:?}", path, paths);
            }
        }
    }
}
