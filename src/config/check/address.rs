//! Where a database is, by a secret of AWS in which its service finds it.

use std::collections::BTreeMap;

use toml::Spanned;

use super::{aws, found::Found, secrets::check_id};
use crate::{
    aws::{Access, address::Keys},
    config::raw,
    databases::Follows,
    units::Span,
};

/// Asked less often than this, a database that moved is looked for where it was.
const REFRESH_MAX: Span = Span::minutes(10);

/// What `[database.NAME.address]` says.
pub(super) fn address(
    found: &mut Found<'_>,
    (raw, accounts): (&raw::Raw, &BTreeMap<String, Access>),
    said: &Spanned<raw::Address>,
) -> Option<Follows> {
    let (at, said) = (said.span(), said.get_ref());
    let access = aws::named(found, raw, accounts, said.from.as_ref(), at);
    let refresh = found.positive(&said.refresh, Follows::REFRESH);
    if let Some(at) = said.refresh.as_ref().filter(|_| refresh > REFRESH_MAX) {
        let what = format!("it would be looked for where it was, for {refresh}");
        found.error(at.span(), what, format!("write \"{REFRESH_MAX}\" or less"));
    }
    let access = access?;
    let id = &said.secret;
    if let Err(what) = check_id(id.get_ref(), &access.region) {
        let instead = "write its name as AWS has it, \"production/shop/db\", or its whole ARN";
        found.error(id.span(), what, instead);
        return None;
    }
    let key = |said: &raw::Placed<String>, usual: &str| {
        said.as_ref().map_or_else(|| usual.to_owned(), |it| it.get_ref().clone())
    };
    let keys = Keys { host: key(&said.host_key, "host"), port: key(&said.port_key, "port") };
    Some(Follows::new(access, id.get_ref().clone(), keys, refresh))
}
