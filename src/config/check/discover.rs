//! Queries that find services.

use crate::{
    config::{
        Discovery,
        check::{found::Found, signal::server},
        raw,
    },
    domain::roster,
    units::Span,
};

const EVERY: Span = Span::minutes(1);

/// Every `[discover.NAME]`, ready to be asked.
pub(super) fn discoveries(found: &mut Found<'_>, raw: &raw::Raw) -> Vec<Discovery> {
    let mut all = vec![];
    for (name, said) in &raw.discover {
        for (text, needed) in [(&said.query, "write a query in PromQL"), (&said.label, "name it")] {
            if text.get_ref().trim().is_empty() {
                found.error(text.span(), "this says nothing", needed);
            }
        }
        let every = found.positive(&said.every, EVERY);
        let options = roster::Options { every, ..options(found, said) };
        let Some(server) = server(found, &raw.prometheus, said.from.as_ref(), &name.span()) else {
            continue;
        };
        all.push(Discovery {
            name: name.get_ref().clone(),
            template: said.template.get_ref().clone(),
            server,
            query: said.query.get_ref().clone(),
            label: said.label.get_ref().clone(),
            every,
            options,
        });
    }
    all
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
