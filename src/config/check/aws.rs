//! Accounts of AWS, and which of them is meant.

use std::{collections::BTreeMap, ops::Range, path::PathBuf};

use toml::Spanned;

use crate::{
    aws::{self, Access, Role, access},
    config::{check::found::Found, nearest::nearest, raw},
};

/// As STS takes them.
const SESSION_MAX: usize = 64;
const EXTERNAL_ID_MAX: usize = 1224;

/// Every `[aws.NAME]`.
pub(super) fn accounts(found: &mut Found<'_>, raw: &raw::Raw) -> BTreeMap<String, Access> {
    let account = |(name, said): (&Spanned<String>, &raw::Aws)| {
        if !aws::IS_BUILT_IN {
            let what = "this rollbackd was built without AWS";
            let instead = "take one that was built with the feature `aws`, or leave this table out";
            found.error(name.span(), what, instead);
            return None;
        }
        Some((name.get_ref().clone(), access(found, name.get_ref(), said)?))
    };
    raw.aws.iter().filter_map(account).collect()
}

fn access(found: &mut Found<'_>, name: &str, said: &raw::Aws) -> Option<Access> {
    if let Err(what) = access::check_region(said.region.get_ref()) {
        let instead = "write it as AWS does: \"eu-central-1\"";
        found.error(said.region.span(), what, instead);
        return None;
    }
    let text = |said: &raw::Placed<String>| said.as_ref().map(|said| said.get_ref().clone());
    let usual = Access::new(name, said.region.get_ref());
    // Whoever shortens the whole has shortened its parts.
    let operation_timeout = found.positive(&said.operation_timeout, usual.operation_timeout);
    let attempt_timeout =
        found.positive(&said.attempt_timeout, usual.attempt_timeout.min(operation_timeout));
    let connect_timeout =
        found.positive(&said.connect_timeout, usual.connect_timeout.min(attempt_timeout));
    let access = Access {
        profile: text(&said.profile),
        credentials_file: credentials_file(found, &said.credentials_file),
        role: role(found, said),
        endpoint: said.endpoint.as_ref().and_then(|url| endpoint(found, url)),
        ca_pem: said.ca_file.as_ref().and_then(|path| found.certificates(path)),
        connect_timeout,
        attempt_timeout,
        operation_timeout,
        attempts: found.at_least_one(&said.attempts, usual.attempts),
        ..usual
    };
    in_order(found, said, &access);
    Some(access)
}

/// What takes longer than what it is a part of never ends by itself.
fn in_order(found: &mut Found<'_>, said: &raw::Aws, access: &Access) {
    let spans = [
        (&said.connect_timeout, access.connect_timeout, access.attempt_timeout, "attempt_timeout"),
        (
            &said.attempt_timeout,
            access.attempt_timeout,
            access.operation_timeout,
            "operation_timeout",
        ),
    ];
    for (at, part, whole, of) in spans {
        if part > whole {
            let place =
                [at, &said.attempt_timeout, &said.operation_timeout].into_iter().flatten().next();
            let what = format!(
                "{part} is longer than `{of}`, which is {whole}: it would never be reached"
            );
            found.error(
                place.map_or(0..0, Spanned::span),
                what,
                format!("write less than \"{whole}\", or a longer {of}"),
            );
        }
    }
}

/// It is read when an account is opened, and again when what was in it is not taken any more.
fn credentials_file(found: &mut Found<'_>, said: &raw::Placed<String>) -> Option<PathBuf> {
    let said = said.as_ref()?;
    found.bytes(said)?;
    Some(PathBuf::from(said.get_ref()))
}

fn role(found: &mut Found<'_>, said: &raw::Aws) -> Option<Role> {
    let session = checked(found, said.session_name.as_ref(), SESSION_MAX, "session_name");
    let external_id = checked(found, said.external_id.as_ref(), EXTERNAL_ID_MAX, "external_id");
    let Some(arn) = &said.role_arn else {
        for (at, key) in [(&said.session_name, "session_name"), (&said.external_id, "external_id")]
        {
            if let Some(at) = at {
                let what = format!("`{key}` is said of a role, and none is named");
                found.error(at.span(), what, "add role_arn = \"arn:aws:iam::ACCOUNT:role/NAME\"");
            }
        }
        return None;
    };
    if let Err(what) = access::check_role(arn.get_ref()) {
        let instead = "write it like \"arn:aws:iam::123456789012:role/rollbackd\"";
        found.error(arn.span(), what, instead);
        return None;
    }
    let session_name = session.unwrap_or_else(|| Access::SESSION.to_owned());
    Some(Role { arn: arn.get_ref().clone(), external_id, session_name })
}

fn checked(
    found: &mut Found<'_>,
    said: Option<&Spanned<String>>,
    length_max: usize,
    key: &str,
) -> Option<String> {
    let said = said?;
    if let Err(what) = access::check_session(said.get_ref(), length_max) {
        let instead = format!("write {key} with letters, digits and _+=,.@- alone");
        found.error(said.span(), what, instead);
        return None;
    }
    Some(said.get_ref().clone())
}

/// Requests are signed, not encrypted: what is read of a secret is as plain as the way there.
fn endpoint(found: &mut Found<'_>, said: &Spanned<String>) -> Option<String> {
    let url = found.url(said)?;
    let host = url.host_str().unwrap_or_default();
    let is_here =
        host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    if url.scheme() == "http" && !is_here {
        let what = format!("whoever is between here and {host} can read along");
        found.warn(said.span(), what, "write https://, and name the authority in ca_file");
    }
    Some(said.get_ref().trim_end_matches('/').to_owned())
}

/// The account that is named, or the only one; `at` is where one would be named, `key` as what.
pub(super) fn named(
    found: &mut Found<'_>,
    raw: &raw::Raw,
    accounts: &BTreeMap<String, Access>,
    from: Option<&Spanned<String>>,
    at: Range<usize>,
) -> Option<Access> {
    let names = || raw.aws.keys().map(|name| name.get_ref().as_str());
    let add = |name: &str| format!("add a table [aws.{name}] with its region");
    match from {
        Some(from) if names().any(|name| name == from.get_ref()) => {
            accounts.get(from.get_ref()).cloned()
        }
        Some(from) => {
            if !found.was_cut(&["aws", from.get_ref()]) {
                let instead = match nearest(from.get_ref(), names()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => add(from.get_ref()),
                };
                found.error(from.span(), format!("there is no account `{from}` of AWS"), instead);
            }
            None
        }
        None if raw.aws.len() == 1 => accounts.values().next().cloned(),
        None if found.was_cut(&["aws"]) => None,
        None => {
            let known: Vec<&str> = names().collect();
            let instead = match known.as_slice() {
                [] => add("main"),
                known => format!("add a line from = \"...\": one of {}", known.join(", ")),
            };
            found.error(at, "nobody knows which account of AWS is meant", instead);
            None
        }
    }
}
