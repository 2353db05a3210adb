//! Who tells how far a database is migrated, where not its own table does.

use toml::Spanned;

use super::{platform::line, reach};
use crate::{
    config::{Info, Teller, check::found::Found, raw},
    domain::plan::CommandLine,
    sources::{http, migrations::Actuator},
    units::Span,
};

const ANSWER: Span = Span::seconds(10);
/// More migrations than anybody has.
const BODY_MAX: usize = 16 << 20;

/// Whoever is named beside the table; where that is somebody, its place for people.
pub(super) fn teller(
    found: &mut Found<'_>,
    said: &raw::Migrated,
    rows_max: usize,
) -> Option<Option<(Teller, String)>> {
    let of_the_table = [&said.from, &said.history_table].into_iter().flatten().next();
    let others = [said.actuator.as_ref().map(Spanned::span), said.info.as_ref().map(Spanned::span)];
    let mut others = others.into_iter().flatten();
    let Some(first) = others.next() else { return Some(None) };
    let second = others.next().or_else(|| of_the_table.map(Spanned::span));
    if let Some(second) = second {
        let what = "two are named that tell how far it is migrated";
        found.error(second, what, "keep one: from, which sees most, or actuator, or info");
        return None;
    }
    if let Some((check, _)) = said.check.iter().next() {
        let what = "its data is checked in the database itself, and none is named";
        found.error(check.span(), what, "write from = \"...\" instead of actuator or info");
        return None;
    }
    let told = match (&said.actuator, &said.info) {
        (Some(actuator), _) => actuated(found, actuator.get_ref(), rows_max),
        (None, Some(info)) => informed(found, (info, first), rows_max),
        (None, None) => None,
    };
    told.map(Some)
}

fn actuated(
    found: &mut Found<'_>,
    said: &raw::Actuator,
    rows_max: usize,
) -> Option<(Teller, String)> {
    let usual = http::Options { total: ANSWER, body_bytes: BODY_MAX, ..http::Options::default() };
    let http = reach::options(found, &said.reach(), usual);
    let url = found.url(&said.url)?;
    let (place, bean) = (http::shown(&url), said.bean.clone());
    Some((Teller::Actuator(Box::new(Actuator { url, http, bean, rows_max })), place))
}

fn informed(
    found: &mut Found<'_>,
    (said, at): (&Spanned<raw::Command>, std::ops::Range<usize>),
    rows_max: usize,
) -> Option<(Teller, String)> {
    let said = said.get_ref();
    let line: CommandLine = line(found, &said.argv, &said.env, &said.dir, &said.timeout)?;
    let is_json = line.argv.iter().any(|it| it.to_ascii_lowercase().contains("outputtype=json"));
    // A script of one's own may add it.
    if !is_json && line.argv.iter().any(|it| it == "info") {
        let instead = "add \"-outputType=json\"";
        found.warn(at, "`flyway info` prints a table for people", instead);
    }
    let place = format!("what `{}` tells of", line.argv.first().map_or("", String::as_str));
    Some((Teller::Info(Info { line, rows_max }), place))
}
