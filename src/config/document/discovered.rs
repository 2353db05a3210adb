//! Services that were found stand in the document like those that were written: each a table that names its template.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

/// The services that each `[discover.NAME]` found.
pub type Discovered = BTreeMap<String, Vec<String>>;

/// Begin the names that stand for any service while none is known, so that a template is checked before the first
/// answer. Two of them: what only one service can have is a fault of the template.
const ANY: [&str; 2] = ["any-service-of-", "any-other-service-of-"];

/// Services that only stand for those that will be found, by name and environment, each with its `[discover.NAME]`.
/// What a service is called does not tell: one that is written may be called so.
pub(in crate::config) type StandIns = BTreeMap<(String, String), StandIn>;

/// For whom a service stands.
#[derive(Clone, Debug)]
pub(in crate::config) struct StandIn {
    /// Those that this `[discover.NAME]` finds.
    pub(in crate::config) of: String,
    /// What they all follow.
    pub(in crate::config) template: String,
}

/// Whether a text that a template fills in was filled in for one of those.
pub(in crate::config) fn names_any(text: &str) -> bool {
    ANY.iter().any(|any| text.contains(any))
}

/// Adds the services that were found; one that is written in the file stays as it is written.
pub(super) fn apply(document: &mut DeTable<'_>, discovered: &Discovered) -> StandIns {
    let mut stand_ins = StandIns::new();
    let mut found: Vec<Found> = vec![];
    if let Some(DeValue::Table(queries)) = document.get("discover").map(Spanned::get_ref) {
        for (name, query) in queries {
            let DeValue::Table(query) = query.get_ref() else { continue };
            let template = query.get("template").and_then(|template| template.get_ref().as_str());
            let Some(template) = template else { continue };
            let known = discovered.get(name.get_ref().as_ref()).filter(|known| !known.is_empty());
            let any = ANY.map(|any| format!("{any}{}", name.get_ref()));
            for service in known.map_or(any.as_slice(), Vec::as_slice) {
                found.push(Found {
                    at: name.span(),
                    service: service.clone(),
                    template: template.to_owned(),
                    stands_for: known.is_none().then(|| name.get_ref().to_string()),
                });
            }
        }
    }
    if found.is_empty() {
        return stand_ins;
    }
    let environments = Environments::of(document);
    let place = found[0].at.clone();
    let key = |text: &str, at: &Range<usize>| -> Spanned<DeString<'static>> {
        Spanned::new(at.clone(), Cow::Owned(text.to_owned()))
    };
    if !document.contains_key("service") {
        let empty = DeValue::Table(DeTable::new());
        document.insert(key("service", &place), Spanned::new(place, empty));
    }
    let Some(DeValue::Table(services)) = document.get_mut("service").map(Spanned::get_mut) else {
        return stand_ins;
    };
    let named = |(key, service): (&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>)| {
        let service = service.get_ref().as_table()?;
        let name = text(service, "name").unwrap_or(key.get_ref()).to_owned();
        Some((name, environments.of_service(service)))
    };
    let mut known: BTreeSet<(String, String)> = services.iter().filter_map(named).collect();
    for Found { at, service, template, stands_for } in found {
        let environment = environments.of_template(&template);
        if !known.insert((service.clone(), environment.clone())) {
            continue;
        }
        if let Some(of) = stands_for {
            let stand_in = StandIn { of, template: template.clone() };
            stand_ins.insert((service.clone(), environment.clone()), stand_in);
        }
        let mut table = DeTable::new();
        let value = |text: String| Spanned::new(at.clone(), DeValue::String(Cow::Owned(text)));
        table.insert(key("template", &at), value(template));
        table.insert(key("name", &at), value(service.clone()));
        // One of that name in another environment may stand there already.
        let mut place = service;
        if services.contains_key(place.as_str()) {
            place = format!("{place}/{environment}");
        }
        services.insert(key(&place, &at), Spanned::new(at.clone(), DeValue::Table(table)));
    }
    stand_ins
}

struct Found {
    at: Range<usize>,
    service: String,
    template: String,
    stands_for: Option<String>,
}

/// Where services live that do not say so themselves.
struct Environments {
    of_all: String,
    of_templates: BTreeMap<String, String>,
}

impl Environments {
    fn of(document: &DeTable<'_>) -> Self {
        let of_all = text(document, "environment").unwrap_or("production").to_owned();
        let templates = document.get("template").and_then(|all| all.get_ref().as_table());
        let own = |(name, template): (&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>)| {
            let environment = text(template.get_ref().as_table()?, "environment")?;
            Some((name.get_ref().to_string(), environment.to_owned()))
        };
        Self { of_all, of_templates: templates.into_iter().flatten().filter_map(own).collect() }
    }

    fn of_template(&self, name: &str) -> String {
        self.of_templates.get(name).unwrap_or(&self.of_all).clone()
    }

    fn of_service(&self, service: &DeTable<'_>) -> String {
        let own = text(service, "environment").map(str::to_owned);
        own.unwrap_or_else(|| match text(service, "template") {
            Some(template) => self.of_template(template),
            None => self.of_all.clone(),
        })
    }
}

fn text<'t>(table: &'t DeTable<'_>, key: &str) -> Option<&'t str> {
    table.get(key)?.get_ref().as_str()
}
