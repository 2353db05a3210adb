//! Secrets of AWS that a service reads.

use std::collections::BTreeMap;

use toml::Spanned;

use super::{aws, found::Found};
use crate::{
    aws::Access,
    config::{ReadSecret, raw},
    domain::{
        planning::Runbook,
        runbook::{ApplicationRunbook, SecretRunbook},
        secret::SecretAt,
    },
    units::Span,
};

const EVERY: Span = Span::seconds(30);
const EVERY_WATCHED: Span = Span::seconds(5);
const TIMEOUT: Span = Span::minutes(1);
const ATTEMPTS: u32 = 2;
/// As Secrets Manager takes a name or an ARN.
const ID_MAX: usize = 2048;
/// A configuration consists of no more objects than are kept of one.
const SECRETS_MAX: usize = 16;

/// Every `[service.KEY.secret.NAME]`: how each is looked at, with the runbook that moves them back.
pub(super) fn secrets(
    found: &mut Found<'_>,
    (raw, accounts): (&raw::Raw, &BTreeMap<String, Access>),
    said: &raw::Table<raw::Secret>,
    runbook: Option<Runbook>,
) -> (Vec<ReadSecret>, Option<Runbook>) {
    let (mut all, mut back) = (vec![], vec![]);
    for (name, secret) in said {
        if all.len() == SECRETS_MAX {
            let what = format!("a service reads at most {SECRETS_MAX} secrets");
            found.error(name.span(), what, "leave some of them out");
            break;
        }
        let Some((read, step)) = one(found, (raw, accounts), name, secret) else { continue };
        if let Some(other) = all.iter().find(|it: &&ReadSecret| it.at == read.at) {
            let what = format!("`{name}` and `{}` are both {}", other.name, read.at);
            found.error(name.span(), what, "leave one of them out");
            continue;
        }
        all.push(read);
        back.push(step);
    }
    let restarts = runbook.as_ref().is_some_and(|it| match it.application {
        ApplicationRunbook::Release(_) | ApplicationRunbook::Deployment(_) => true,
        ApplicationRunbook::Frontend(_) => false,
    });
    if let Some((name, _)) = said.first_key_value().filter(|_| !restarts) {
        let what = "nobody knows what is restarted so that it reads another version";
        let instead = "add [service.NAME.rollback.application.kubernetes] or .release, or leave this table out";
        found.error(name.span(), what, instead);
    }
    (all, runbook.map(|runbook| Runbook { secrets: back, ..runbook }))
}

fn one(
    found: &mut Found<'_>,
    (raw, accounts): (&raw::Raw, &BTreeMap<String, Access>),
    name: &Spanned<String>,
    said: &raw::Secret,
) -> Option<(ReadSecret, SecretRunbook)> {
    let access = aws::named(found, raw, accounts, said.from.as_ref(), name.span());
    let Some(id) = &said.secret else {
        let instead = "add secret = \"production/shop/db\", its name at AWS, or its ARN";
        found.error(name.span(), "nobody knows which secret is meant", instead);
        return None;
    };
    let access = access?;
    if let Err(what) = check_id(id.get_ref(), &access.region) {
        let instead = "write its name as AWS has it, \"production/shop/db\", or its whole ARN";
        found.error(id.span(), what, instead);
        return None;
    }
    let every = found.positive(&said.look_every, EVERY);
    let every_watched = found.no_slower(&said.look_every_watched, EVERY_WATCHED, every);
    let is = |said: &raw::Placed<bool>, usual| said.as_ref().map_or(usual, |it| *it.get_ref());
    let at = SecretAt { account: access.name.clone(), secret: id.get_ref().clone() };
    let name = name.get_ref().clone();
    let step = SecretRunbook {
        name: name.clone(),
        at: at.clone(),
        timeout: found.positive(&said.timeout, TIMEOUT),
        attempts: found.at_least_one(&said.attempts, ATTEMPTS),
    };
    let (label, even_if_rotated) = (is(&said.label, true), is(&said.even_if_rotated, false));
    Some((ReadSecret { name, at, access, every, every_watched, label, even_if_rotated }, step))
}

/// What is wrong with the name or the ARN of a secret in that region.
pub(super) fn check_id(id: &str, region: &str) -> Result<(), String> {
    let may_be = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-".contains(c);
    if id.is_empty() || id.len() > ID_MAX {
        return Err(format!("a secret's name has 1 to {ID_MAX} characters"));
    }
    if !id.starts_with("arn:") {
        return match id.chars().find(|c| !may_be(*c)) {
            Some(odd) => Err(format!("{odd:?} cannot stand in the name of a secret")),
            None => Ok(()),
        };
    }
    match id.split(':').collect::<Vec<_>>().as_slice() {
        [_, _, "secretsmanager", of, _, "secret", name] if !name.is_empty() => {
            match *of == region {
                true => Ok(()),
                false => Err(format!(
                    "it is in {of}, and its account is asked in {region}: name an [aws.NAME] of that region in `from`"
                )),
            }
        }
        _ => Err(format!("`{id}` is not the ARN of a secret")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_by_its_name_or_by_an_arn_of_the_region_that_is_asked() {
        let arn = |region: &str| {
            format!("arn:aws:secretsmanager:{region}:123456789012:secret:shop/db-a1b2c3")
        };
        assert_eq!(check_id("production/shop/db", "eu-west-1"), Ok(()));
        assert_eq!(check_id(&arn("eu-west-1"), "eu-west-1"), Ok(()));
        assert!(check_id(&arn("us-east-1"), "eu-west-1").unwrap_err().contains("is in us-east-1"));
        for id in ["", "shop db", "arn:aws:s3:::bucket"] {
            assert!(check_id(id, "eu-west-1").is_err(), "{id}");
        }
    }
}
