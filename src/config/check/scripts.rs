//! How a service's schema goes back by a reviewed script.

use std::collections::BTreeMap;

use toml::Spanned;

use super::{
    database::{called, checks::one_select},
    snapshots::Among,
};
use crate::{
    config::{Migrated, Reversed, check::found::Found, raw},
    databases::{Kind, Options, checks::Asks},
    domain::{integrity::Expects, runbook::ScriptRunbook, schema::script},
    executors::script::Scripted,
    units::Span,
};

const LOCK: Span = Span::seconds(2);

/// What `[service.NAME.rollback.database]` says of a script.
pub(super) fn script(
    found: &mut Found<'_>,
    said: &raw::Undo,
    among: &Among<'_>,
) -> Option<(ScriptRunbook, Reversed)> {
    let Some(script) = &said.script else {
        needless(found, said);
        return None;
    };
    let file = file(found, script);
    let lock_timeout = found.positive(&said.lock_timeout, LOCK);
    let verify = verify(found, &said.verify);
    if let Some(at) = said.automatic.as_ref().filter(|it| *it.get_ref() && said.undo.is_none()) {
        let what = "a script is never run without a person who approved that very script";
        found.error(at.span(), what, "leave automatic out");
    }
    let through = through(found, said, among);
    let looked_at = among.looked_at?;
    let history = looked_at.history()?.clone();
    if history.options.database.kind != Kind::Postgresql {
        let what = "MariaDB and MySQL commit each change of a table by itself: no script can be tried there, or taken back when it fails";
        found.error(
            script.span(),
            what,
            "leave it out, and write undo scripts for your migration tool",
        );
        return None;
    }
    let scripted = Scripted { history, through: through?, checks: checks(looked_at) };
    let file = file?;
    let (every, every_watched) = (looked_at.every, looked_at.every_watched);
    let reversed = Reversed { scripted, files: file.clone(), every, every_watched };
    Some((ScriptRunbook { file, lock_timeout, verify }, reversed))
}

/// Of keys that say something of a script only.
fn needless(found: &mut Found<'_>, said: &raw::Undo) {
    let through = said.through.as_ref().map(|it| ("through", it.span()));
    let lock = said.lock_timeout.as_ref().map(|it| ("lock_timeout", it.span()));
    let verify = said.verify.values().next().map(|it| ("verify", it.span()));
    for (key, at) in [through, lock, verify].into_iter().flatten() {
        let what = format!("`{key}` is of a script, and there is none");
        found.error(at, what, "add script = \"/srv/shop/reverse.sql\", or leave it out");
    }
}

fn file(found: &mut Found<'_>, said: &Spanned<String>) -> Option<String> {
    let text = said.get_ref();
    let instead = "write it from the root: \"/srv/checkout/releases/{release}/reverse.sql\", with {release}, {from} and {to} where it needs them";
    let plain = text.split('/').all(|part| part != ".." && part != ".");
    if !text.starts_with('/') || text.ends_with('/') || !plain || text.contains('\0') {
        found.error(said.span(), format!("`{text}` is not the absolute path of a file"), instead);
        return None;
    }
    let left =
        crate::domain::runbook::PLACES.iter().fold(text.clone(), |left, it| left.replace(it, ""));
    if left.contains(['{', '}']) {
        found.error(said.span(), "something else stands in braces there", instead);
        return None;
    }
    Some(text.clone())
}

/// What must be so afterwards, each by one SELECT.
pub(super) fn verify(
    found: &mut Found<'_>,
    said: &BTreeMap<String, Spanned<String>>,
) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (what, said) in said {
        let query = one_select(said.get_ref()).ok();
        let Some(query) = query.filter(|it| script::statements::bars(it).is_none()) else {
            let instead = "write one SELECT, which must return no row afterwards";
            found.error(said.span(), format!("`{what}` is no single query"), instead);
            continue;
        };
        all.insert(what.clone(), query.to_owned());
    }
    all
}

/// The same database as somebody who may change it; as who looks at it, where nobody is named.
fn through(found: &mut Found<'_>, said: &raw::Undo, among: &Among<'_>) -> Option<Options> {
    let there = || among.looked_at.and_then(Migrated::history).map(|it| it.options.clone());
    let Some(said) = &said.through else { return there() };
    let (name, at) = (said.get_ref(), said.span());
    called(found, among.raw, said, ", as a user who may change its tables")?;
    let reached = among.databases.get(name)?;
    let place = |options: &Options| {
        let it = &options.database;
        (it.kind, it.host.clone(), it.port, it.name.clone())
    };
    let (options, there) = (&reached.options, there()?);
    if place(options) != place(&there) {
        let what = format!("`{name}` is another database than {}", there.database);
        found.error(
            at,
            what,
            "name a [database.NAME] with the same host, port and name, and another user",
        );
        return None;
    }
    Some(options.clone())
}

/// The service's own, as far as each says by itself what must be so: what is compared with before, and foreign keys, are asked when the
/// rollback is verified.
fn checks(looked_at: &Migrated) -> BTreeMap<String, (String, Expects)> {
    let by_itself = |expects| matches!(expects, Expects::NoRow | Expects::Within { .. });
    let asked = looked_at.checks.iter().filter_map(|(name, check)| match &check.asks {
        Asks::Query(query) if by_itself(check.expects) => {
            Some((name.clone(), (query.clone(), check.expects)))
        }
        Asks::Query(_) | Asks::ForeignKeys { .. } | Asks::Lag { .. } => None,
    });
    asked.collect()
}
