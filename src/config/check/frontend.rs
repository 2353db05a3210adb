//! Sites of static files: where they are, where their versions are kept, and how they go back.

use std::collections::BTreeMap;

use toml::Spanned;

use crate::{
    aws::Access,
    config::{
        FrontendPlatform,
        check::{aws, found::Found},
        raw,
    },
    domain::{
        frontend::{Marker, PATHS_MAX, SiteAt, WILDCARDS_MAX},
        runbook::FrontendRunbook,
    },
    executors::frontend::{Archived, Site},
    units::Span,
};

const MARKER: &str = "version.json";
const ARCHIVE: &str = "versions/{version}/";
const BUCKET_VERSIONS: &str = "bucket-versions";
const MANIFESTS: &str = "manifests/";
const PAGES: [&str; 2] = ["*.html", "*.htm"];
/// S3 slows down whoever asks for much more at once.
const AT_ONCE_MAX: usize = 256;

/// What is rolled back, and how often it is looked at.
pub(super) fn platform(
    found: &mut Found<'_>,
    all: &raw::Raw,
    accounts: &BTreeMap<String, Access>,
    raw: &raw::Frontend,
) -> Option<FrontendPlatform> {
    let access = aws::named(found, all, accounts, raw.from.as_ref(), raw.bucket.span());
    let bucket = bucket(found, &raw.bucket);
    let prefix = prefix(found, &raw.prefix);
    let url = address(found, &raw.url);
    let marker = marker(found, raw);
    let distribution = raw.distribution.as_ref().map(|id| distribution(found, id));
    let archive = archive(found, &raw.archive);
    let manifests = manifests(found, &raw.manifests);
    let also_invalidate = also(found, &raw.also_invalidate);
    let paths_max = at_most(found, &raw.paths_max, (PATHS_MAX, PATHS_MAX), "CloudFront takes");
    let at_once = at_most(found, &raw.at_once, (16, AT_ONCE_MAX), "S3 serves");
    let look_every = found.positive(&raw.look_every, Span::seconds(30));
    let watched = found.no_slower(&raw.look_every_watched, Span::seconds(5), look_every);
    let access = access?;
    let at = SiteAt { account: access.name.clone(), bucket: bucket?, prefix: prefix? };
    let list = |said: &raw::Placed<Vec<String>>, usual: &[&str]| {
        let said = said.as_ref().map(|said| said.get_ref().clone());
        said.unwrap_or_else(|| usual.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>())
    };
    let runbook = FrontendRunbook {
        at,
        url: url?,
        marker: marker?,
        distribution: distribution.map_or(Some(None), |id| id.map(Some))?,
        also_invalidate,
        paths_max,
        at_once,
        pages_max: found.at_least_one(&raw.pages_max, 10),
        copy_timeout: found.positive(&raw.copy_timeout, Span::minutes(15)),
        invalidate_timeout: found.positive(&raw.invalidate_timeout, Span::minutes(15)),
        verify_timeout: found.positive(&raw.verify_timeout, Span::minutes(5)),
        attempts: found.at_least_one(&raw.attempts, 2),
    };
    let site = Site {
        access,
        runbook,
        manifests: manifests?,
        archive: archive?,
        pages: list(&raw.pages, &PAGES),
        left_out: list(&raw.left_out, &[]),
        objects_max: found.at_least_one(&raw.objects_max, 100_000),
        versions_max: found.at_least_one(&raw.versions_max, 20),
    };
    stands_apart(found, raw, &site)?;
    Some(FrontendPlatform { site, look_every, look_every_watched: watched })
}

fn bucket(found: &mut Found<'_>, said: &Spanned<String>) -> Option<String> {
    let text = said.get_ref();
    let may_be = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let is_one = (3..=63).contains(&text.len())
        && text.chars().all(may_be)
        && ends(text.chars().next())
        && ends(text.chars().last());
    if !is_one {
        let what = format!("`{text}` is not the name of a bucket");
        found.error(said.span(), what, "write its name alone, without s3://: \"shop-frontend\"");
    }
    is_one.then(|| text.clone())
}

fn is_directory(text: &str) -> bool {
    text.ends_with('/')
        && !text.starts_with('/')
        && text.split('/').all(|part| part != ".." && part != ".")
        && !text.contains("//")
}

fn prefix(found: &mut Found<'_>, said: &raw::Placed<String>) -> Option<String> {
    let Some(said) = said.as_ref().filter(|said| !said.get_ref().is_empty()) else {
        return Some(String::new());
    };
    let text = said.get_ref();
    if !is_directory(text) {
        let what = format!("`{text}` is not what the keys of a site begin with");
        found.error(said.span(), what, "write it without / before and with / behind it: \"shop/\"");
        return None;
    }
    Some(text.clone())
}

fn address(found: &mut Found<'_>, said: &Spanned<String>) -> Option<String> {
    let url = found.url(said)?;
    let text = said.get_ref();
    if !text.ends_with('/') || url.query().is_some() || url.fragment().is_some() {
        let what = format!("`{text}` is not where the names of its objects could follow");
        found.error(
            said.span(),
            what,
            "write where people open it, with / at the end: \"https://shop.example/\"",
        );
        return None;
    }
    Some(text.clone())
}

fn marker(found: &mut Found<'_>, raw: &raw::Frontend) -> Option<Marker> {
    let pointer = raw.pointer.as_ref();
    if let Some(pointer) = pointer.filter(|pointer| !pointer.get_ref().starts_with('/')) {
        let what = format!("`{}` is not a JSON pointer", pointer.get_ref());
        found.error(
            pointer.span(),
            what,
            "write it like \"/version\", or leave it out where all of the object is the version",
        );
        return None;
    }
    let name = raw.marker.as_ref().map_or(MARKER, |said| said.get_ref());
    if let Some(said) = raw
        .marker
        .as_ref()
        .filter(|_| name.is_empty() || name.starts_with('/') || name.ends_with('/'))
    {
        let what = format!("`{name}` is not the name of an object of the site");
        found.error(said.span(), what, "write it as it follows the address: \"version.json\"");
        return None;
    }
    let pointer = pointer.map(|pointer| pointer.get_ref().clone());
    Some(Marker { name: name.to_owned(), pointer })
}

fn distribution(found: &mut Found<'_>, said: &Spanned<String>) -> Option<String> {
    let text = said.get_ref();
    let is_one =
        !text.is_empty() && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    if !is_one {
        let what = format!("`{text}` is not the id of a distribution");
        found.error(
            said.span(),
            what,
            "write its id, not its ARN and not its domain: \"E2QWRUHEXAMPLE\"",
        );
    }
    is_one.then(|| text.clone())
}

fn archive(found: &mut Found<'_>, said: &raw::Placed<String>) -> Option<Archived> {
    let Some(said) = said else { return Some(Archived::Below(ARCHIVE.to_owned())) };
    let text = said.get_ref();
    if text == BUCKET_VERSIONS {
        return Some(Archived::BucketVersions);
    }
    let (before, after) = text.split_once("{version}").unwrap_or(("", ""));
    if before.is_empty() || after.contains('{') || !is_directory(text) {
        let what = format!("`{text}` does not say where a version is kept");
        found.error(said.span(), what, "write \"versions/{version}/\", with something before {version}, or \"bucket-versions\"");
        return None;
    }
    Some(Archived::Below(text.clone()))
}

fn manifests(found: &mut Found<'_>, said: &raw::Placed<String>) -> Option<String> {
    let Some(said) = said else { return Some(MANIFESTS.to_owned()) };
    let text = said.get_ref();
    if !is_directory(text) {
        let what = format!("`{text}` is not what the keys of manifests begin with");
        found.error(
            said.span(),
            what,
            "write it without / before and with / behind it: \"manifests/\"",
        );
        return None;
    }
    Some(text.clone())
}

fn also(found: &mut Found<'_>, said: &raw::Placed<Vec<String>>) -> Vec<String> {
    let Some(said) = said else { return vec![] };
    let is_path = |path: &str| {
        path.starts_with('/') && path.is_ascii() && !path.trim_end_matches('*').contains('*')
    };
    if let Some(odd) = said.get_ref().iter().find(|path| !is_path(path)) {
        let what = format!("`{odd}` is not a path that CloudFront can invalidate");
        found.error(
            said.span(),
            what,
            "write it from the root, with * at its end alone: \"/api/flags*\"",
        );
    }
    let wild = said.get_ref().iter().filter(|path| path.ends_with('*')).count();
    if wild > WILDCARDS_MAX {
        let what =
            format!("{wild} of these end in *, and CloudFront takes {WILDCARDS_MAX} at a time");
        found.error(said.span(), what, "write fewer and wider ones");
    }
    said.get_ref().clone()
}

fn at_most(
    found: &mut Found<'_>,
    said: &raw::Placed<usize>,
    (usual, most): (usize, usize),
    whose: &str,
) -> usize {
    let value = found.at_least_one(said, usual);
    if let Some(at) = said.as_ref().filter(|_| value > most) {
        let what = format!("{value} are more than {whose}: {most}");
        found.error(at.span(), what, format!("write {most} or less"));
    }
    value
}

/// What is kept of versions must not be a part of what is served as the newest.
fn stands_apart(found: &mut Found<'_>, raw: &raw::Frontend, site: &Site) -> Option<()> {
    let at = raw.prefix.as_ref().map_or_else(|| raw.bucket.span(), Spanned::span);
    let marker = &site.runbook.marker.name;
    if site.is_reserved(marker) {
        let what = format!(
            "{} lies among what is kept, and not among what is served",
            site.runbook.at.key(marker)
        );
        found.error(
            at,
            what,
            "give the archive and the manifests keys of their own, or the site another prefix",
        );
        return None;
    }
    let kept = site.archive.beginning();
    if kept
        .is_some_and(|kept| site.manifests.starts_with(kept) || kept.starts_with(&site.manifests))
    {
        let at = raw.manifests.as_ref().map_or(at, Spanned::span);
        let what = "manifests would lie among the versions that are kept";
        found.error(at, what, "write another `manifests` than the archive begins with");
        return None;
    }
    Some(())
}
