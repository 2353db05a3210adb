//! How a service's whole database is put back where RDS keeps it.

use std::{collections::BTreeMap, ops::Range};

use toml::Spanned;

use super::{
    aws,
    migrations::{self, Stops},
    scripts,
    snapshots::{self, Among},
};
use crate::{
    aws::Access,
    config::{KeptByRds, Migrated, check::found::Found, raw},
    databases::{
        Follows,
        history::{History, ZONE},
    },
    domain::{
        rds::{Form, RdsAt, SnapshotKind},
        runbook::RdsRunbook,
        secret::SecretAt,
    },
    executors::rds::Place,
    units::Span,
};

const RESTORE: Span = Span::hours(2);
const EVERY: Span = Span::minutes(30);
const EVERY_WATCHED: Span = Span::minutes(2);
const WAIT_EVERY: Span = Span::seconds(30);
const SNAPSHOTS_MAX: usize = 20;
const FALLBACKS: usize = 1;
/// Each takes as long as the one before it.
const FALLBACKS_MAX: usize = 5;
const NAME_MAX: usize = 63;
/// So many characters AWS adds to a secret's name in its ARN.
const ADDED: usize = 6;
/// Those whose names begin so are RDS's own, and nobody else may write into them.
const OWN: &str = "rds!";

/// What `[service.NAME.rollback.rds]` says.
pub(super) fn restore(
    found: &mut Found<'_>,
    said: &Spanned<raw::Rds>,
    accounts: &BTreeMap<String, Access>,
    among: &Among<'_>,
) -> Option<(RdsRunbook, KeptByRds)> {
    let (at, said) = (said.span(), said.get_ref());
    let history = among.looked_at.and_then(Migrated::history);
    if history.is_none() {
        let what = "which schema a snapshot holds is known of a database whose table of migrations is looked at";
        found.error(at.clone(), what, "add [service.NAME.database] with from = \"...\"");
    }
    let access = aws::named(found, among.raw, accounts, said.from.as_ref(), at.clone());
    let named = named(found, said, at.clone());
    let follows = followed(found, at.clone(), history);
    led_elsewhere(found, among.raw, history);
    let fallbacks = fallbacks(found, said.fallbacks.as_ref());
    let snapshots_max = found.at_least_one(&said.snapshots_max, SNAPSHOTS_MAX);
    let age_max = said.max_age.as_ref().map(|_| found.positive(&said.max_age, Span::hours(26)));
    let every = found.positive(&said.every, EVERY);
    let every_watched = found.no_slower(&said.every_watched, EVERY_WATCHED, every);
    let look_every = found.positive(&said.wait_every, WAIT_EVERY);
    let restore_timeout = found.positive(&said.timeout, RESTORE);
    let place = said.wait_every.as_ref().or(said.timeout.as_ref());
    if let Some(place) = place.filter(|_| look_every >= restore_timeout) {
        let what = format!("a restore is given up after {restore_timeout}, before it is looked at");
        found.error(place.span(), what, "write wait_every = \"30s\", and a timeout of hours");
    }
    let verify = scripts::verify(found, &said.verify);
    let lost = snapshots::lost(found, &said.lost);
    let zone = snapshots::zone(found, said.time_zone.as_ref());
    let stops = Stops {
        how: said.stop_writes.as_ref(),
        stop: said.stop.as_ref(),
        start: said.start.as_ref(),
        env: &said.env,
        dir: &said.dir,
    };
    let stop_writes = migrations::stop_writes(found, &stops, at, among.runbook);
    let (mut history, access, (form, name)) = (history?.clone(), access?, named?);
    zone?;
    history.zone = said.time_zone.as_ref().map_or(ZONE, |it| it.get_ref()).to_owned();
    let at = RdsAt { account: access.name.clone(), form, name };
    let Follows { access: keeps, secret, keys, .. } = follows?;
    let secret = SecretAt { account: keeps.name.clone(), secret };
    let kind = said.snapshots.as_ref().and_then(|said| match said.get_ref() {
        raw::Kinds::Any => None,
        raw::Kinds::Automated => Some(SnapshotKind::Automated),
        raw::Kinds::Manual => Some(SnapshotKind::Manual),
    });
    let runbook = RdsRunbook {
        schema: history.at(),
        at: at.clone(),
        secret: secret.clone(),
        host_key: keys.host.clone(),
        port_key: keys.port.clone(),
        kind,
        age_max,
        fallbacks,
        look_every,
        restore_timeout,
        verify,
        stop_writes: stop_writes?,
        automatic: said.automatic.as_ref().is_some_and(|said| *said.get_ref()),
    };
    let place = Place { at, access, keeps, secret, keys, history, snapshots_max, lost };
    Some((runbook, KeptByRds { place, every, every_watched }))
}

/// Exactly one of an instance and a cluster.
fn named(found: &mut Found<'_>, said: &raw::Rds, at: Range<usize>) -> Option<(Form, String)> {
    let (form, name) = match (&said.instance, &said.cluster) {
        (Some(instance), None) => (Form::Instance, instance),
        (None, Some(cluster)) => (Form::Cluster, cluster),
        (Some(_), Some(cluster)) => {
            let instead = "keep cluster of Aurora, and instance of anything else";
            found.error(cluster.span(), "it is either an instance or a cluster", instead);
            return None;
        }
        (None, None) => {
            let instead = "add instance = \"shop-production\", or cluster of Aurora";
            found.error(at, "nobody knows which database of RDS is meant", instead);
            return None;
        }
    };
    if let Err(what) = check_name(name.get_ref()) {
        found.error(name.span(), what, "write its identifier as RDS has it: \"shop-production\"");
        return None;
    }
    Some((form, name.get_ref().clone()))
}

/// What is wrong with an identifier, as RDS shows them.
fn check_name(name: &str) -> Result<(), String> {
    if name.starts_with("arn:") {
        return Err("it is an ARN, and the identifier is meant".to_owned());
    }
    let may_be = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    match name.chars().find(|c| !may_be(*c)) {
        Some(odd) => Err(format!("{odd:?} cannot stand in an identifier of RDS")),
        None if name.is_empty() || name.len() > NAME_MAX => {
            Err(format!("an identifier of RDS has 1 to {NAME_MAX} characters"))
        }
        None => Ok(()),
    }
}

/// Where its service finds it, as the daemon does: an address that moved under the service only would be looked for in vain.
fn followed(found: &mut Found<'_>, at: Range<usize>, history: Option<&History>) -> Option<Follows> {
    let options = &history?.options;
    let Some(follows) = &options.follows else {
        let what = "nobody knows where the service finds its database, which gets another address";
        let instead = format!(
            "add [database.{}.address] with secret = \"...\", of AWS, in which it stands",
            options.name
        );
        found.error(at, what, instead);
        return None;
    };
    if follows.secret.rsplit(":secret:").next().unwrap_or_default().starts_with(OWN) {
        let what = format!("{follows} is kept by RDS itself, and nobody else may write into it");
        let instead = format!(
            "let [database.{}.address] name a secret of your own, which holds the address",
            options.name
        );
        found.error(at, what, instead);
        return None;
    }
    Some(follows.clone())
}

/// Who else is led by that secret, and who is led by no secret at all.
fn led_elsewhere(found: &mut Found<'_>, raw: &raw::Raw, history: Option<&History>) {
    let Some(options) = history.map(|it| &it.options) else { return };
    let said = raw.database.iter().find(|(name, _)| *name.get_ref() == options.name);
    let Some((_, database)) = said else { return };
    if let Some(url) = &database.replica_url {
        let what = "a replica goes on following the database that was left, and checks of the data would look at that";
        let instead =
            "leave replica_url and replica_lag_max out: the checks then go where the service goes";
        found.error_without_the_line(url.span(), what, instead);
    }
    let Some(address) = database.address.as_ref().map(Spanned::get_ref) else { return };
    let account = |from: &raw::Placed<String>| match from {
        Some(from) => Some(from.get_ref().clone()),
        None => raw.aws.keys().next().map(|only| only.get_ref().clone()),
    };
    for (service, said) in &raw.service {
        for (name, read) in &said.secret {
            let Some(id) = &read.secret else { continue };
            let of_both = (account(&address.from), account(&read.from));
            if !is_same(address.secret.get_ref(), id.get_ref(), of_both.0 == of_both.1) {
                continue;
            }
            let what = format!(
                "[database.{}.address] names the same secret: whoever sets its version back leads `{service}` to the database that was left",
                options.name
            );
            let instead = format!("leave [service.{service}.secret.{name}] out");
            found.error(id.span(), what, instead);
        }
    }
}

/// Whether both mean one secret, each by its name or its ARN, of one account in the configuration or of two.
fn is_same(one: &str, other: &str, of_one_account: bool) -> bool {
    let parts =
        |id: &str| id.rsplit_once(":secret:").map(|(at, name)| (at.to_owned(), name.to_owned()));
    match (parts(one), parts(other)) {
        (Some(one), Some(other)) => one.0 == other.0 && plain(&one.1) == plain(&other.1),
        (Some((_, arn)), None) => of_one_account && is_named(&arn, other),
        (None, Some((_, arn))) => of_one_account && is_named(&arn, one),
        (None, None) => of_one_account && one == other,
    }
}

/// What stands at the end of an ARN may be a name, or a name with the six characters that AWS adds.
fn is_named(end: &str, name: &str) -> bool {
    end == name || plain(end) == name
}

fn plain(end: &str) -> &str {
    match end.rsplit_once('-') {
        Some((name, added)) if added.len() == ADDED => name,
        Some(_) | None => end,
    }
}

fn fallbacks(found: &mut Found<'_>, said: Option<&Spanned<usize>>) -> usize {
    let many = said.map_or(FALLBACKS, |said| *said.get_ref());
    if let Some(said) = said.filter(|_| many > FALLBACKS_MAX) {
        let what = format!("each takes as long as the first: at most {FALLBACKS_MAX} are tried");
        found.error(said.span(), what, format!("write {FALLBACKS_MAX} or less"));
    }
    many
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_the_same_by_its_name_and_by_its_arn() {
        let arn = "arn:aws:secretsmanager:eu-central-1:1:secret:shop/db-AbCdEf";
        assert!(is_same(arn, "shop/db", true) && is_same("shop/db", arn, true));
        assert!(is_same(arn, arn, false) && is_same("shop/db", "shop/db", true));
        assert!(!is_same("shop/db", "shop/db", false) && !is_same(arn, "shop/db-two", true));
        assert!(!is_same(arn, &arn.replace(":1:", ":2:"), true));
    }

    #[test]
    fn an_identifier_is_known_by_its_form() {
        assert_eq!(check_name("shop-production-1"), Ok(()));
        for name in ["", "Shop", "shop_production", "arn:aws:rds:x:1:db:shop", &"x".repeat(64)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
