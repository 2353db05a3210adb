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

/// Begins the name that stands for any service while none is known, so that a template is checked before the first
/// answer.
const ANY: &str = "any-service-of-";

/// Whether a service only stands for those that will be found.
pub(in crate::config) fn stands_for_any(name: &str) -> bool {
    name.starts_with(ANY)
}

/// Adds the services that were found; one that is written in the file stays as it is written.
pub(super) fn apply(document: &mut DeTable<'_>, discovered: &Discovered) {
    let mut found: Vec<(Range<usize>, String, String)> = vec![];
    if let Some(DeValue::Table(queries)) = document.get("discover").map(Spanned::get_ref) {
        for (name, query) in queries {
            let DeValue::Table(query) = query.get_ref() else { continue };
            let template = query.get("template").and_then(|template| template.get_ref().as_str());
            let Some(template) = template else { continue };
            let known = discovered.get(name.get_ref().as_ref()).filter(|known| !known.is_empty());
            let any = [format!("{ANY}{}", name.get_ref())];
            for service in known.map_or(any.as_slice(), Vec::as_slice) {
                found.push((name.span(), service.clone(), template.to_owned()));
            }
        }
    }
    if found.is_empty() {
        return;
    }
    let place = found[0].0.clone();
    let key = |text: &str, at: &Range<usize>| -> Spanned<DeString<'static>> {
        Spanned::new(at.clone(), Cow::Owned(text.to_owned()))
    };
    if !document.contains_key("service") {
        let empty = DeValue::Table(DeTable::new());
        document.insert(key("service", &place), Spanned::new(place, empty));
    }
    let Some(DeValue::Table(services)) = document.get_mut("service").map(Spanned::get_mut) else {
        return;
    };
    let named = |(key, service): (&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>)| {
        let name = service.get_ref().as_table().and_then(|service| service.get("name"));
        let name = name.and_then(|name| name.get_ref().as_str());
        name.unwrap_or(key.get_ref()).to_owned()
    };
    let written: BTreeSet<String> = services.iter().map(named).collect();
    for (at, service, template) in found {
        if written.contains(&service) || services.contains_key(service.as_str()) {
            continue;
        }
        let mut table = DeTable::new();
        let template = DeValue::String(Cow::Owned(template));
        table.insert(key("template", &at), Spanned::new(at.clone(), template));
        services.insert(key(&service, &at), Spanned::new(at, DeValue::Table(table)));
    }
}
