//! Whether each service's database lets its history of migrations be read, and understands the checks of its data.

use toml::de::DeTable;

use crate::{
    config::{Config, Histories, Problem},
    databases::checks::Asks,
};

/// Looks at each once; what was read is given to whoever needs it after that. What may be over in a moment, as a server that is just
/// starting, is a warning. Nothing of it is the file's fault alone.
pub(super) async fn looked(config: &Config, name: &str, text: &str) -> (Histories, Vec<Problem>) {
    let (mut histories, mut problems) = (Histories::new(), vec![]);
    for (service, database) in &config.databases {
        let Some(history) = database.history() else { continue };
        let read = history.read().await;
        let known = read.as_ref().map(Clone::clone).map_err(ToString::to_string);
        histories.insert(service.clone(), known);
        let Err(fault) = read else { continue };
        let at = place(text, &history.options.name).unwrap_or(0..0);
        let what = format!("the history of migrations of {service} cannot be read: {fault}");
        let instead = "until it can, no migration that fails is noticed";
        let problem = Problem::error(name, text, at, what, instead).of_what_is_outside();
        problems.push(if fault.passes() { problem.but_only_a_warning() } else { problem });
    }
    for (service, database) in &config.databases {
        for (check_name, check) in &database.checks {
            let Err(fault) = check.explain().await else { continue };
            let at = match &check.asks {
                Asks::Query(asked) => query(text, check_name, asked),
                Asks::ForeignKeys { .. } | Asks::Lag { .. } => place(text, &check.options.name),
            };
            let at = at.unwrap_or(0..0);
            let what = format!("the check {check_name} of {service} cannot be asked: {fault}");
            let instead = format!("{}; until it can, nobody looks at that data", fault.advice());
            let problem = Problem::error(name, text, at, what, instead).of_what_is_outside();
            let passes = fault.problem.passes();
            problems.push(if passes { problem.but_only_a_warning() } else { problem });
        }
    }
    (histories, problems)
}

/// Where the query stands, be it a service's or a template's.
fn query(text: &str, name: &str, query: &str) -> Option<std::ops::Range<usize>> {
    let document = DeTable::parse(text).ok()?;
    let tables = ["service", "template"].into_iter().filter_map(|it| document.get_ref().get(it));
    let stanzas = tables.filter_map(|it| it.get_ref().as_table()).flat_map(|it| it.values());
    let queries = stanzas.filter_map(|it| {
        let check = it.get_ref().get("database")?.get_ref().get("check")?.get_ref().get(name)?;
        check.get_ref().get("query")
    });
    let ours = queries.filter(|it| it.get_ref().as_str().is_some_and(|it| it.contains(query)));
    ours.map(|it| it.span()).next()
}

/// Where the database's address stands.
fn place(text: &str, name: &str) -> Option<std::ops::Range<usize>> {
    let document = DeTable::parse(text).ok()?;
    let database = document.get_ref().get("database")?.get_ref().get(name)?;
    Some(database.get_ref().get("url")?.span())
}
