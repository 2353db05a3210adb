//! Kubernetes clusters, and Deployments in them.

use std::{collections::BTreeMap, ops::Range, path::PathBuf};

use toml::Spanned;

use crate::{
    config::{
        DeploymentAt, KubernetesPlatform, check::found::Found, document::names_any,
        nearest::nearest, raw,
    },
    domain::{
        owner::OwnerRule,
        previous::ANNOTATION,
        runbook::{ARGOCD, DeploymentRunbook},
    },
    kubernetes::{
        access::{Access, Options, check_kubeconfig},
        previous, pulls,
        seal::{self, Secrets},
    },
    sources::kubernetes::Key,
    units::Span,
};

/// As DNS knows names.
const LABEL_MAX: usize = 63;
const NAME_MAX: usize = 253;
const CRON_JOB_MAX: usize = 52;

/// Every `[kubernetes.NAME]`, and whether all its namespaces are watched.
pub(super) fn clusters(found: &mut Found<'_>, raw: &raw::Raw) -> BTreeMap<String, (Options, bool)> {
    let cluster = |(name, said): (&Spanned<String>, &raw::Kubernetes)| {
        if let Some(argocd) = &said.argocd_namespace {
            is_named(found, argocd, LABEL_MAX, "namespace");
        }
        let usual = Options::new(name.get_ref(), access(found, name, said)?);
        let options = Options {
            labels: said.labels.as_ref().map(|labels| labels.get_ref().clone()),
            stale_after: found.positive(&said.stale_after, usual.stale_after),
            reopen_every: whole_seconds(found, &said.reopen_every, usual.reopen_every),
            connect: found.positive(&said.connect_timeout, usual.connect),
            page: found.at_least_one(&said.page, usual.page),
            config_maps: said
                .config_maps
                .as_ref()
                .map_or(usual.config_maps, |said| *said.get_ref()),
            secrets: secrets(found, name, said),
            events_max: said.events_max.as_ref().map_or(usual.events_max, |said| *said.get_ref()),
            registries: registries(found, &said.registries),
            ..usual
        };
        Some((name.get_ref().clone(), (options, said.all_namespaces)))
    };
    raw.kubernetes.iter().filter_map(cluster).collect()
}

/// What is done with Secrets, and the key where what they hold is kept.
fn secrets(found: &mut Found<'_>, name: &Spanned<String>, said: &raw::Kubernetes) -> Secrets {
    const MAKE_ONE: &str = "make one: openssl rand -base64 32 > /etc/rollbackd/secrets-key";
    let look = said.secrets.as_ref().map(|look| *look.get_ref());
    match (look, &said.secrets_key) {
        (Some(raw::LookAtSecrets::Encrypted), Some(at)) => {
            let Some(text) = found.secret(at) else { return Secrets::Hash };
            match seal::Key::parse(text.expose().trim()) {
                Ok(key) => Secrets::Encrypted(key),
                Err(why) => {
                    let what = format!(
                        "this is no key of 32 bytes in base64 or hexadecimal digits: {why}"
                    );
                    found.error(at.span(), what, MAKE_ONE);
                    Secrets::Hash
                }
            }
        }
        (Some(raw::LookAtSecrets::Encrypted), None) => {
            let at = said.secrets.as_ref().map_or(name.span(), |look| look.span());
            let what = "nobody knows by which key Secrets are encrypted";
            let instead = "add secrets_key = { file = \"/etc/rollbackd/secrets-key\" }; openssl rand -base64 32 makes one";
            found.error(at, what, instead);
            Secrets::Hash
        }
        (_, Some(at)) => {
            let what = "a key for Secrets that are not kept";
            found.error(at.span(), what, "leave it out, or say secrets = \"encrypted\"");
            Secrets::Hash
        }
        (Some(raw::LookAtSecrets::Hash), None) => Secrets::Hash,
        (Some(raw::LookAtSecrets::Off) | None, None) => Secrets::Off,
    }
}

fn registries(found: &mut Found<'_>, said: &raw::Registries) -> pulls::Options {
    let usual = pulls::Options::default();
    let is =
        |said: &raw::Placed<bool>, usual: bool| said.as_ref().map_or(usual, |it| *it.get_ref());
    let plain = said.plain_http.as_ref().map(|names| names.get_ref().clone()).unwrap_or_default();
    if let Some(at) = &said.plain_http {
        for name in plain.iter().filter(|name| name.contains('/') || name.is_empty()) {
            let what = format!("`{name}` is not a registry");
            found.error(at.span(), what, "write it as images do: \"registry.internal:5000\"");
        }
    }
    pulls::Options {
        ask: is(&said.ask, usual.ask),
        timeout: found.positive(&said.timeout, usual.timeout),
        keep: found.positive(&said.keep, usual.keep),
        images_max: found.at_least_one(&said.images_max, usual.images_max),
        at_once: found.at_least_one(&said.at_once, usual.at_once),
        pull_secrets: is(&said.pull_secrets, usual.pull_secrets),
        plain_http: plain,
        ca_pem: said.ca_file.as_ref().and_then(|path| found.certificates(path)),
    }
}

/// The API server counts in seconds.
fn whole_seconds(found: &mut Found<'_>, said: &raw::Placed<Span>, usual: Span) -> Span {
    let span = found.positive(said, usual);
    match said {
        Some(at) if span < Span::seconds(1) => {
            found.error(at.span(), "a watch lasts a second at least", "write \"30s\"");
            usual
        }
        Some(_) | None => span,
    }
}

fn access(found: &mut Found<'_>, name: &Spanned<String>, said: &raw::Kubernetes) -> Option<Access> {
    let in_cluster = said.in_cluster.as_ref().filter(|said| *said.get_ref());
    match (&said.kubeconfig, in_cluster) {
        (Some(_), Some(at)) => {
            let what = format!("`{name}` is reached in two ways");
            found.error(at.span(), what, "keep one of `kubeconfig` and `in_cluster`");
            None
        }
        (None, None) if found.was_cut(&["kubernetes", name.get_ref()]) => None,
        (None, None) => {
            let what = format!("nobody knows how `{name}` is reached");
            let instead = "add kubeconfig = \"/etc/rollbackd/kubeconfig\", or in_cluster = true";
            found.error(name.span(), what, instead);
            None
        }
        (None, Some(_)) => {
            if let Some(context) = &said.context {
                let what = "a context is of a kubeconfig";
                found.error(context.span(), what, "leave it out with in_cluster");
            }
            Some(Access::InCluster)
        }
        (Some(path), None) => {
            found.bytes(path)?;
            let context = said.context.as_ref().map(|context| context.get_ref().as_str());
            let file = PathBuf::from(path.get_ref());
            if let Err(why) = check_kubeconfig(&file, context) {
                let at = said.context.as_ref().unwrap_or(path).span();
                let what = format!("`{path}` cannot be used: {why}");
                found.error(at, what, "name a kubeconfig, and one of its contexts");
                return None;
            }
            Some(Access::Kubeconfig { path: file, context: context.map(str::to_owned) })
        }
    }
}

/// What is rolled back, and how often it is looked at without being told of news.
pub(super) fn platform(
    found: &mut Found<'_>,
    all: &raw::Raw,
    raw: &raw::Deployment,
) -> Option<KubernetesPlatform> {
    let look_every = found.positive(&raw.look_every, Span::seconds(15));
    let at = at(
        found,
        all,
        (raw.from.as_ref(), &raw.namespace, &raw.deployment),
        &raw.deployment.span(),
    )?;
    let container = raw.container.as_ref().map(|container| container.get_ref().clone());
    let previous = previous(found, raw);
    let runbook = DeploymentRunbook {
        cluster: at.cluster.clone(),
        namespace: at.key.namespace.to_string(),
        name: at.key.name.to_string(),
        undo_timeout: found.positive(&raw.undo_timeout, Span::seconds(30)),
        rollout_timeout: found.positive(&raw.rollout_timeout, Span::minutes(10)),
        stuck_after: found.positive(&raw.stuck_after, Span::minutes(3)),
        attempts: found.at_least_one(&raw.attempts, 2),
        argocd_namespace: argocd(all, &at.cluster),
        owner: raw.owner.as_ref().map_or_else(OwnerRule::default, |said| *said.get_ref()),
        previous: previous.as_ref().map(|it| it.annotation.clone()),
    };
    let left_out = raw.not_configuration.as_ref().map(|names| names.get_ref().clone());
    let left_out = left_out.unwrap_or_default();
    let manifest = None;
    Some(KubernetesPlatform { at, runbook, container, left_out, previous, look_every, manifest })
}

/// How it is read what the version before was; not at all where the annotation's name is left empty.
fn previous(found: &mut Found<'_>, raw: &raw::Deployment) -> Option<previous::Options> {
    let annotation = raw.previous_version_annotation.as_ref();
    let image_prefix = match &raw.image_prefix {
        Some(at) if !is_repository(at.get_ref()) && !names_any(at.get_ref()) => {
            let what = format!("`{}` is not where images are pulled from", at.get_ref());
            found.error(at.span(), what, "write it as images do: \"registry.internal:5000/shop\"");
            String::new()
        }
        Some(at) => at.get_ref().clone(),
        None => String::new(),
    };
    let annotation = match annotation {
        Some(at) if at.get_ref().is_empty() => return None,
        Some(at) if !is_annotation(at.get_ref()) && !names_any(at.get_ref()) => {
            let what = format!("`{}` is not the name of an annotation", at.get_ref());
            let instead = "write it as Kubernetes does: \"previous-version\", \"shop.example/previous-version\"";
            found.error(at.span(), what, instead);
            return None;
        }
        Some(at) => at.get_ref().clone(),
        None => ANNOTATION.to_owned(),
    };
    Some(previous::Options { annotation, image_prefix })
}

/// As Kubernetes knows keys: a name, and before a slash a domain.
fn is_annotation(text: &str) -> bool {
    let (domain, name) = text.split_once('/').map_or((None, text), |(d, name)| (Some(d), name));
    let legal = |text: &str, more: &str| {
        let ends = |c: char| c.is_ascii_alphanumeric();
        text.starts_with(ends)
            && text.ends_with(ends)
            && text.chars().all(|c| ends(c) || more.contains(c))
    };
    legal(name, "-_.")
        && name.len() <= LABEL_MAX
        && domain.is_none_or(|domain| legal(domain, "-.") && domain.len() <= NAME_MAX)
}

/// A registry, and what comes before an image's own name.
fn is_repository(text: &str) -> bool {
    let text = text.trim_end_matches('/');
    let legal = |c: char| c.is_ascii_alphanumeric() || "-._/:".contains(c);
    let has_tag =
        text.rsplit('/').next().is_some_and(|last| last.contains(':')) && text.contains('/');
    !text.starts_with('/') && !text.contains("//") && text.chars().all(legal) && !has_tag
}

fn argocd(all: &raw::Raw, cluster: &str) -> String {
    let said = all.kubernetes.get(cluster).and_then(|said| said.argocd_namespace.as_ref());
    said.map_or_else(|| ARGOCD.to_owned(), |said| said.get_ref().clone())
}

/// What a signal is read of: what it says, over what is rolled back.
pub(super) fn pods(
    found: &mut Found<'_>,
    all: &raw::Raw,
    rolled_back: Option<&raw::Deployment>,
    raw: &Spanned<raw::Pods>,
) -> Option<DeploymentAt> {
    let (place, said) = (raw.span(), raw.get_ref());
    let from = said.from.as_ref().or(rolled_back.and_then(|it| it.from.as_ref()));
    let namespace = said.namespace.as_ref().or(rolled_back.map(|it| &it.namespace));
    let deployment = said.deployment.as_ref().or(rolled_back.map(|it| &it.deployment));
    let (Some(namespace), Some(deployment)) = (namespace, deployment) else {
        let what = "nobody knows which Deployment this is";
        found.error(place, what, "add namespace = \"...\" and deployment = \"...\"");
        return None;
    };
    at(found, all, (from, namespace, deployment), &place)
}

fn at(
    found: &mut Found<'_>,
    all: &raw::Raw,
    (from, namespace, deployment): (Option<&Spanned<String>>, &Spanned<String>, &Spanned<String>),
    place: &Range<usize>,
) -> Option<DeploymentAt> {
    let cluster = cluster(found, &all.kubernetes, from, place);
    let legal =
        [is_namespace(found, namespace), is_named(found, deployment, NAME_MAX, "Deployment")];
    let key = Key::new(namespace.get_ref(), deployment.get_ref());
    legal.into_iter().all(|legal| legal).then_some(DeploymentAt { cluster: cluster?, key })
}

/// Whether it can be one.
pub(super) fn is_namespace(found: &mut Found<'_>, name: &Spanned<String>) -> bool {
    is_named(found, name, LABEL_MAX, "namespace")
}

/// The same of a CronJob, whose name is a part of its Jobs'.
pub(super) fn is_cron_job(found: &mut Found<'_>, name: &Spanned<String>) -> bool {
    is_named(found, name, CRON_JOB_MAX, "CronJob")
}

fn is_named(found: &mut Found<'_>, name: &Spanned<String>, max: usize, what: &str) -> bool {
    let text = name.get_ref();
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_legal = text.len() <= max
        && text.starts_with(ends)
        && text.ends_with(ends)
        && text.chars().all(legal);
    if !is_legal && !names_any(text) {
        let what = format!("`{text}` is not the name of a {what}");
        found.error(name.span(), what, "write it as `kubectl get` shows it: \"checkout\"");
    }
    is_legal || names_any(text)
}

/// The cluster that is named, or the only one; `at` is where one would be named.
pub(super) fn cluster(
    found: &mut Found<'_>,
    clusters: &raw::Table<raw::Kubernetes>,
    from: Option<&Spanned<String>>,
    at: &Range<usize>,
) -> Option<String> {
    let names = || clusters.keys().map(|name| name.get_ref().as_str());
    match from {
        Some(from) if clusters.contains_key(from.get_ref().as_str()) => {
            Some(from.get_ref().clone())
        }
        Some(from) if found.was_cut(&["kubernetes", from.get_ref()]) => None,
        Some(from) => {
            let what = format!("there is no cluster `{from}`");
            let instead = match nearest(from.get_ref(), names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("add a table [kubernetes.{from}]"),
            };
            found.error(from.span(), what, instead);
            None
        }
        None if clusters.len() == 1 => names().next().map(str::to_owned),
        None if found.was_cut(&["kubernetes"]) => None,
        None => {
            let known: Vec<&str> = names().collect();
            let instead = if known.is_empty() {
                "add a table [kubernetes.main]".to_owned()
            } else {
                format!("add a line from = \"...\": one of {}", known.join(", "))
            };
            found.error(at.clone(), "nobody knows which cluster is meant", instead);
            None
        }
    }
}
