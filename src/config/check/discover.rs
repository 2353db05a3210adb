//! Queries that find services, and annotations that do.

use std::{collections::BTreeMap, ops::Range};

use toml::Spanned;

use crate::{
    config::{
        Discovery, Finding,
        check::{found::Found, kubernetes, signal::server},
        raw,
    },
    domain::roster,
    kubernetes::access,
    units::Span,
};

const EVERY: Span = Span::minutes(1);
/// What a Deployment says of itself that wants to be watched.
const ANNOTATION: &str = "rollbackd.dev/watch";

/// Every `[discover.NAME]`, ready to be asked.
pub(super) fn discoveries(
    found: &mut Found<'_>,
    raw: &raw::Raw,
    clusters: &BTreeMap<String, (access::Options, bool)>,
) -> Vec<Discovery> {
    let mut all = vec![];
    for (name, said) in &raw.discover {
        let every = found.positive(&said.every, EVERY);
        let options = roster::Options { every, ..options(found, said) };
        let finding = match &said.kubernetes {
            Some(annotated) => in_cluster(found, raw, clusters, (name, said), annotated),
            None => by_query(found, raw, name, said),
        };
        let Some(finding) = finding else { continue };
        all.push(Discovery {
            name: name.get_ref().clone(),
            template: said.template.get_ref().clone(),
            finding,
            every,
            options,
        });
    }
    all
}

fn by_query(
    found: &mut Found<'_>,
    raw: &raw::Raw,
    name: &Spanned<String>,
    said: &raw::Discover,
) -> Option<Finding> {
    let (Some(query), Some(label)) = (&said.query, &said.label) else {
        if !found.was_cut(&["discover", name.get_ref()]) {
            let instead = "add query = '...' and label = \"...\", or kubernetes = {}";
            found.error(name.span(), "nobody knows who finds its services", instead);
        }
        return None;
    };
    for (text, needed) in [(query, "write a query in PromQL"), (label, "name it")] {
        if text.get_ref().trim().is_empty() {
            found.error(text.span(), "this says nothing", needed);
        }
    }
    let server = server(found, &raw.prometheus, said.from.as_ref(), &name.span())?;
    Some(Finding::Query { server, query: query.get_ref().clone(), label: label.get_ref().clone() })
}

fn in_cluster(
    found: &mut Found<'_>,
    raw: &raw::Raw,
    clusters: &BTreeMap<String, (access::Options, bool)>,
    (name, said): (&Spanned<String>, &raw::Discover),
    annotated: &Spanned<raw::Annotated>,
) -> Option<Finding> {
    for other in [&said.query, &said.label, &said.from].into_iter().flatten() {
        let what =
            format!("the services of `{name}` are found in a cluster, and this asks Prometheus");
        found.error(other.span(), what, "leave it out, or the table `kubernetes`");
    }
    let place: Range<usize> = annotated.span();
    let asked = annotated.get_ref();
    let cluster = kubernetes::cluster(found, &raw.kubernetes, asked.from.as_ref(), &place)?;
    let legal =
        asked.namespace.as_ref().is_none_or(|namespace| kubernetes::is_namespace(found, namespace));
    let (options, _) = clusters.get(&cluster).filter(|_| legal)?;
    let text = |said: &raw::Placed<String>| said.as_ref().map(|said| said.get_ref().clone());
    let annotation = text(&asked.annotation).unwrap_or_else(|| ANNOTATION.to_owned());
    let options = access::Options { namespace: text(&asked.namespace), ..options.clone() };
    Some(Finding::Annotation { options: Box::new(options), annotation })
}

fn options(found: &mut Found<'_>, said: &raw::Discover) -> roster::Options {
    let default = roster::Options::default();
    if let Some(factor) = said.doubt_factor.as_ref().filter(|factor| *factor.get_ref() < 2) {
        let what = format!("{} would doubt every answer", factor.get_ref());
        found.error(factor.span(), what, "write 2 or more");
    }
    roster::Options {
        services_max: found.at_least_one(&said.services_max, default.services_max),
        forget_after: found.positive(&said.forget_after, default.forget_after),
        doubt_factor: said.doubt_factor.as_ref().map_or(default.doubt_factor, |f| *f.get_ref()),
        doubt_for: said.doubt_for.as_ref().map_or(default.doubt_for, |span| *span.get_ref()),
        ..default
    }
}
