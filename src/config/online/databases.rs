//! Whether each service's database lets its history of migrations be read.

use toml::de::DeTable;

use crate::config::{Config, Problem};

/// Looks at each once. What may be over in a moment, as a server that is just starting, is a warning.
pub(super) async fn problems(config: &Config, name: &str, text: &str) -> Vec<Problem> {
    let mut problems = vec![];
    for (service, database) in &config.databases {
        let Err(fault) = database.history.read().await else { continue };
        let at = place(text, &database.history.options.name).unwrap_or(0..0);
        let what = format!("the history of migrations of {service} cannot be read: {fault}");
        let instead = "until it can, no migration that fails is noticed";
        let problem = Problem::error(name, text, at, what, instead);
        problems.push(if fault.passes() { problem.but_only_a_warning() } else { problem });
    }
    problems
}

/// Where the database's address stands.
fn place(text: &str, name: &str) -> Option<std::ops::Range<usize>> {
    let document = DeTable::parse(text).ok()?;
    let database = document.get_ref().get("database")?.get_ref().get(name)?;
    Some(database.get_ref().get("url")?.span())
}
