//! Templates: one table for a fleet of services that differ by little.
//!
//! `[template.NAME]` holds what a service may hold. It is laid under each service that names it, table by table, and
//! `{service}` and `{environment}` in its texts become the service's; `{namespace}` and `{deployment}` what stands before and
//! behind the first dot of its name.

use std::{borrow::Cow, ops::Range};

use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

use crate::config::nearest::nearest;

/// The place, what is wrong, what to write instead.
type Fault = (Range<usize>, String, String);

/// Lays templates under the services that name them.
pub(super) fn apply(document: &mut DeTable<'_>) -> Vec<Fault> {
    let mut faults = vec![];
    let environment = text(document, "environment").unwrap_or("production").to_owned();
    let templates = match document.get("template").map(Spanned::get_ref) {
        Some(DeValue::Table(templates)) => templates.clone(),
        Some(_) | None => DeTable::new(),
    };
    let Some(DeValue::Table(services)) = document.get_mut("service").map(Spanned::get_mut) else {
        return faults;
    };
    for (key, service) in services.iter_mut() {
        let DeValue::Table(service) = service.get_mut() else { continue };
        let Some(wanted) = service.get("template") else { continue };
        let Some(name) = wanted.get_ref().as_str() else { continue };
        let Some(DeValue::Table(template)) = templates.get(name).map(Spanned::get_ref) else {
            let known = templates.keys().map(|key| key.get_ref().as_ref());
            let instead = match nearest(name, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("add a table [template.{name}]"),
            };
            faults.push((wanted.span(), format!("there is no template `{name}`"), instead));
            continue;
        };
        let mut template = template.clone();
        let own = text(service, "environment").or_else(|| text(&template, "environment"));
        let environment = own.unwrap_or(&environment).to_owned();
        let service_name = text(service, "name").unwrap_or(key.get_ref()).to_owned();
        // As Deployments that are found are called.
        let whole = service_name.as_str();
        let (namespace, deployment) = whole.split_once('.').unwrap_or((whole, whole));
        let words = [
            ("{service}", whole),
            ("{environment}", &environment),
            ("{namespace}", namespace),
            ("{deployment}", deployment),
        ];
        fill(&mut template, &words);
        lay_under(service, template);
    }
    faults
}

fn text<'t>(table: &'t DeTable<'_>, key: &str) -> Option<&'t str> {
    table.get(key)?.get_ref().as_str()
}

/// Whatever `over` does not say is taken from `under`.
fn lay_under<'i>(over: &mut DeTable<'i>, under: DeTable<'i>) {
    for (key, value) in under {
        match (over.get_mut(&key).map(Spanned::get_mut), value.get_ref()) {
            (Some(DeValue::Table(inner)), DeValue::Table(_)) => {
                if let DeValue::Table(under) = value.into_inner() {
                    lay_under(inner, under);
                }
            }
            (Some(_), _) => {}
            (None, _) => {
                over.insert(key, value);
            }
        }
    }
}

fn fill(table: &mut DeTable<'_>, words: &[(&str, &str)]) {
    for (_, value) in table.iter_mut() {
        fill_value(value.get_mut(), words);
    }
}

fn fill_value(value: &mut DeValue<'_>, words: &[(&str, &str)]) {
    match value {
        DeValue::String(text) => fill_text(text, words),
        DeValue::Array(values) => {
            for value in values.iter_mut() {
                fill_value(value.get_mut(), words);
            }
        }
        DeValue::Table(table) => fill(table, words),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {}
    }
}

fn fill_text(text: &mut DeString<'_>, words: &[(&str, &str)]) {
    for (word, value) in words {
        if text.contains(word) {
            *text = Cow::Owned(text.replace(word, value));
        }
    }
}
