//! Sites of static files.

use super::{loaded, refused};
use crate::{
    config::Platform,
    domain::{frontend::Marker, runbook::ApplicationRunbook},
    executors::frontend::Archived,
    units::Span,
};

const SITE: &str = "
    [aws.main]
    region = 'eu-central-1'
    [service.site.signal.health.http]
    url = 'https://shop.example/'
    [service.site.rollback.application.frontend]
    bucket = 'shop-frontend'
    url = 'https://shop.example/'
";

#[test]
fn a_site_needs_its_bucket_and_its_address_and_the_rest_is_as_usual() {
    let (config, warnings) = loaded(SITE);
    assert!(warnings.is_empty(), "{warnings:?}");
    let (_, Platform::Frontend(platform)) = config.platforms.iter().next().unwrap() else {
        panic!("{:?}", config.platforms)
    };
    let site = &platform.site;
    assert_eq!(
        (site.runbook.at.to_string(), site.access.name.as_str()),
        ("s3://shop-frontend/".into(), "main")
    );
    assert_eq!(site.archive, Archived::Below("versions/{version}/".into()));
    assert_eq!(site.runbook.marker, Marker { name: "version.json".into(), pointer: None });
    assert_eq!((site.runbook.distribution.as_deref(), site.runbook.paths_max), (None, 3_000));
    assert_eq!(
        (platform.look_every, platform.look_every_watched),
        (Span::seconds(30), Span::seconds(5))
    );
    assert!(site.is_reserved("versions/1.4.0/index.html") && site.is_reserved("manifests/1.json"));
    assert!(!site.is_reserved("index.html"));
    let runbook = config.policy.services.values().next().unwrap().runbook.clone().unwrap();
    assert_eq!(runbook.application, ApplicationRunbook::Frontend(site.runbook.clone()));
    let (config, _) = loaded(&format!(
        "{SITE}archive = 'bucket-versions'\nprefix = 'shop/'\nleft_out = ['uploads/']\n"
    ));
    let Some(Platform::Frontend(platform)) = config.platforms.into_values().next() else {
        panic!()
    };
    assert_eq!(platform.site.archive, Archived::BucketVersions);
    assert_eq!(platform.site.reserved(), ["manifests/", "shop/uploads/"]);
}

#[test]
fn what_cannot_be_a_site_is_refused_with_what_to_write() {
    for (line, what, instead) in [
        ("prefix = '/shop'", "is not what the keys of a site begin with", "\"shop/\""),
        ("prefix = 'versions/live/'", "lies among what is kept", "another prefix"),
        ("archive = 'old/'", "does not say where a version is kept", "versions/{version}/"),
        ("archive = '{version}/'", "does not say where a version is kept", "before {version}"),
        ("manifests = 'versions/all/'", "would lie among the versions", "another `manifests`"),
        ("manifests = ''", "is not what the keys of manifests begin with", "\"manifests/\""),
        (
            "distribution = 'd111111abcdef8.cloudfront.net'",
            "is not the id of a distribution",
            "E2QWRUHEXAMPLE",
        ),
        (
            "also_invalidate = ['/a*b']",
            "is not a path that CloudFront can invalidate",
            "/api/flags*",
        ),
        ("paths_max = 3001", "more than CloudFront takes: 3000", "3000 or less"),
        ("at_once = 1000", "more than S3 serves: 256", "256 or less"),
        ("pointer = 'version'", "is not a JSON pointer", "/version"),
        ("marker = '/version.json'", "is not the name of an object", "version.json"),
        ("look_every_watched = '1m'", "slower while it matters", "30s"),
        ("from = 'mian'", "there is no account `mian`", "did you mean `main`?"),
    ] {
        let said = refused(&format!("{SITE}{line}\n"));
        assert!(said.contains(what) && said.contains(instead), "{line}: {said}");
    }
    let wild: Vec<String> = (0..16).map(|n| format!("'/{n}*'")).collect();
    let said = refused(&format!("{SITE}also_invalidate = [{}]\n", wild.join(", ")));
    assert!(said.contains("16 of these end in *, and CloudFront takes 15"), "{said}");
    for (of, to, what) in [
        ("'shop-frontend'", "'s3://shop'", "is not the name of a bucket"),
        (
            "frontend]\n    bucket = 'shop-frontend'\n    url = 'https://shop.example/'",
            "frontend]\n    bucket = 'shop-frontend'\n    url = 'https://shop.example'",
            "is not where the names of its objects could follow",
        ),
        (
            "[aws.main]\n    region = 'eu-central-1'",
            "",
            "nobody knows which account of AWS is meant",
        ),
    ] {
        assert!(SITE.contains(of), "{of}");
        let said = refused(&SITE.replace(of, to));
        assert!(said.contains(what), "{said}");
    }
    let twice = SITE
        .replace("[aws.main]\n    region = 'eu-central-1'", "")
        .replace("service.site", "service.copy");
    let said = refused(&format!("{SITE}{twice}"));
    assert!(said.contains("is rolled back in s3://shop-frontend/ too"), "{said}");
}
