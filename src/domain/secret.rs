//! Secrets of AWS that a service reads: which exact version is the one that is given, by its id. What any of them holds is asked
//! for by nobody.
//!
//! They are a part of what a service reads beside its code ([`crate::domain::configuration`]). `AWSPREVIOUS` means nothing here:
//! it is whatever was current before, however bad, and after a rollback it is what was rolled away from.

pub mod labels;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::configuration::{self, Configuration, Item, Kind, Seen, Written};
use crate::units::UnixMs;

/// The label of the version that is given to whoever names none.
pub const CURRENT: &str = "AWSCURRENT";

/// A moment is compared with those of pods, which are whole seconds.
const SECOND: i64 = 1_000;

/// Which secret, of which account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SecretAt {
    /// The account's name in the configuration.
    pub account: String,
    /// Its name there, or its ARN.
    pub secret: String,
}

impl fmt::Display for SecretAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the secret {} of aws {}", self.secret, self.account)
    }
}

/// From which exact version to which one a secret goes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretMove {
    /// Which secret.
    pub at: SecretAt,
    /// Its ARN: one that was deleted and made anew has another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arn: Option<String>,
    /// The id of the version that must be current now; another one means that somebody moved it in between.
    pub from: String,
    /// The id of the version that will be.
    pub to: String,
}

/// One version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its id.
    pub id: String,
    /// Its labels, by everybody. AWS may delete one that has none.
    pub labels: Vec<String>,
}

/// A secret as AWS has it, without what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// Its ARN.
    pub arn: String,
    /// When anything of it was last changed, a label too.
    pub changed_at: Option<UnixMs>,
    /// Whether AWS makes new versions of it by itself, whose passwords take the place of the old ones.
    pub rotates: bool,
    /// Why its label may not be moved, where that is so.
    pub bars: Option<String>,
    /// Every version that is left, those without labels too.
    pub versions: Vec<Version>,
}

impl Secret {
    /// The id of the version that is given to whoever names none.
    pub fn current(&self) -> Option<&str> {
        let is_current = |it: &&Version| it.labels.iter().any(|label| label == CURRENT);
        self.versions.iter().find(is_current).map(|it| it.id.as_str())
    }

    /// With the reason why its label may not be moved, where AWS rotates it and nobody said that this does no harm.
    pub fn barred(mut self, even_if_rotated: bool) -> Self {
        if self.rotates && !even_if_rotated {
            self.bars.get_or_insert_with(|| {
                "AWS rotates it, and what an earlier version holds need not be taken any more: say `even_if_rotated = true` where it is".to_owned()
            });
        }
        self
    }

    /// Whether that version is still there.
    pub fn has(&self, id: &str) -> bool {
        self.versions.iter().any(|version| version.id == id)
    }
}

/// A secret, and since when its current version is that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// As it was seen last.
    pub secret: Secret,
    /// Since when, at the latest: what was made after that was given this version.
    pub moved_at: UnixMs,
}

impl Known {
    /// After another look. AWS does not say when a label was moved, but when anything was last changed: that is the moment,
    /// or later than it. What is seen for the first time may be older than that; nobody can tell.
    pub fn after(before: Option<&Self>, secret: Secret, now: UnixMs) -> Self {
        let whole = |at: UnixMs| UnixMs(at.0 - at.0.rem_euclid(SECOND));
        let moved_at = match before {
            Some(before) if before.secret.current() == secret.current() => before.moved_at,
            Some(before) => {
                let newer = secret.changed_at.filter(|at| Some(*at) > before.secret.changed_at);
                whole(newer.unwrap_or(now))
            }
            None => whole(secret.changed_at.unwrap_or(now)),
        };
        Self { secret, moved_at }
    }
}

/// What is known of one secret that a service reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Its name in the service's configuration.
    pub name: String,
    /// What was seen, or why nobody can tell.
    pub known: Result<Known, String>,
}

impl Look {
    fn item(&self) -> Result<(Item, UnixMs), String> {
        let why = |why: &str| format!("{} {}: {why}", Kind::AwsSecret, self.name);
        let Known { secret, moved_at } = self.known.as_ref().map_err(|it| why(it))?;
        let current =
            secret.current().ok_or_else(|| why(&format!("no version of it is {CURRENT}")))?;
        let item = Item {
            kind: Kind::AwsSecret,
            name: self.name.clone(),
            uid: Some(secret.arn.clone()),
            digest: Some(current.to_owned()),
            immutable: false,
            bars: secret.bars.clone(),
            owners: vec![],
        };
        Ok((item, *moved_at))
    }
}

/// Of what else a service reads, with these: one configuration. Where one of them is unknown all of it is. Without anything
/// else `started` says since when it runs, where that is known.
pub fn with(read: Option<Seen>, looks: &[Look], started: Option<UnixMs>) -> Option<Seen> {
    if looks.is_empty() {
        return read;
    }
    let mut all = match read {
        Some(Seen::Unknown(why)) => return Some(Seen::Unknown(why)),
        Some(Seen::Known(all)) => *all,
        None => Configuration { read_at: started, ..Configuration::default() },
    };
    let mut looks: Vec<&Look> = looks.iter().collect();
    looks.sort_by(|a, b| a.name.cmp(&b.name));
    for look in looks {
        let (item, moved_at) = match look.item() {
            Ok(seen) => seen,
            Err(why) => return Some(Seen::Unknown(why)),
        };
        if all.written_at.is_none_or(|at| at < moved_at) {
            all.written_at = Some(moved_at);
            all.written = Some(Written { what: item.called(), by: None });
        }
        // Whoever started before it was moved was given another one.
        all.read_at = all.read_at.filter(|at| *at >= moved_at);
        all.items.push(item);
    }
    let parts = all.items.iter().map(|it| (it.kind, it.name.as_str(), it.digest.as_deref()));
    all.revision = configuration::revision(parts);
    Some(Seen::Known(Box::new(all)))
}

/// Says of what is kept which versions are not there any more. Gives a sentence for each that a rollback might go to.
pub fn tell_gone(all: &mut Configuration, looks: &[Look]) -> Vec<String> {
    let mut told = vec![];
    for kept in &mut all.kept {
        let secrets = kept.items.iter_mut().filter(|item| item.kind == Kind::AwsSecret);
        for item in secrets {
            let look = looks.iter().find(|look| look.name == item.name);
            let Some(Ok(known)) = look.map(|look| &look.known) else { continue };
            let Some(id) = item.digest.as_ref().filter(|id| !known.secret.has(id)) else {
                continue;
            };
            item.gone = true;
            told.push(format!(
                "{} cannot be gone back to: version {id} of {} {} is not there any more",
                kept.revision, item.kind, item.name
            ));
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::configuration::{Kept, KeptItem};

    fn secret(current: &str, others: &[&str], changed_at: i64) -> Secret {
        let version = |id: &str, labels: &[&str]| Version {
            id: id.to_owned(),
            labels: labels.iter().map(|&label| label.to_owned()).collect(),
        };
        let versions = others.iter().map(|id| version(id, &[]));
        Secret {
            arn: "arn:aws:secretsmanager:eu-central-1:123456789012:secret:shop/db-a1b2c3".into(),
            changed_at: Some(UnixMs(changed_at)),
            rotates: false,
            bars: None,
            versions: versions.chain([version(current, &[CURRENT])]).collect(),
        }
    }

    fn look(current: &str, moved_at: i64) -> Look {
        let known =
            Known { secret: secret(current, &["v0"], moved_at), moved_at: UnixMs(moved_at) };
        Look { name: "db".into(), known: Ok(known) }
    }

    fn known(seen: Option<Seen>) -> Configuration {
        match seen {
            Some(Seen::Known(known)) => *known,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn when_it_was_moved_is_no_earlier_than_aws_says_and_a_label_of_ours_makes_it_no_later() {
        let first = Known::after(None, secret("v1", &[], 5_700), UnixMs(9_000));
        assert_eq!(first.moved_at, UnixMs(5_000), "whole seconds, as pods have them");
        let labelled = Known::after(Some(&first), secret("v1", &[], 12_000), UnixMs(13_000));
        assert_eq!(labelled.moved_at, UnixMs(5_000), "it is the same version");
        let moved = Known::after(Some(&labelled), secret("v2", &["v1"], 20_100), UnixMs(25_000));
        assert_eq!(moved.moved_at, UnixMs(20_000));
        let unsaid = Known::after(Some(&moved), secret("v1", &["v2"], 20_100), UnixMs(31_500));
        assert_eq!(unsaid.moved_at, UnixMs(31_000), "nothing says when: somewhen until now");
    }

    #[test]
    fn another_version_is_another_configuration_which_nobody_has_read_who_started_before() {
        let at = |current, moved_at, started: i64| {
            known(with(None, &[look(current, moved_at)], Some(UnixMs(started))))
        };
        let (one, two) = (at("v1", 1_000, 2_000), at("v2", 5_000, 2_000));
        assert_ne!(one.revision, two.revision);
        assert_eq!((one.read_at, two.read_at), (Some(UnixMs(2_000)), None));
        assert_eq!(at("v2", 5_000, 5_000).read_at, Some(UnixMs(5_000)));
        assert_eq!(two.written.unwrap().what, "AWS secret db");
        assert_eq!(with(None, &[], Some(UnixMs(1))), None);
    }

    #[test]
    fn what_is_unknown_of_one_secret_is_unknown_of_all_that_is_read() {
        let throttled = Look { known: Err("throttled".into()), ..look("v1", 1) };
        let seen = with(None, &[look("v1", 1), throttled], None);
        assert_eq!(seen, Some(Seen::Unknown("AWS secret db: throttled".into())));
        let mut nothing = look("v1", 1);
        if let Ok(known) = &mut nothing.known {
            known.secret.versions.clear();
        }
        let Some(Seen::Unknown(why)) = with(None, &[nothing], None) else { panic!() };
        assert!(why.contains("no version of it is AWSCURRENT"), "{why}");
    }

    #[test]
    fn a_version_that_aws_has_deleted_is_told_and_not_gone_back_to() {
        let mut all = known(with(None, &[look("v2", 5_000)], None));
        let item = |digest: &str| KeptItem {
            kind: Kind::AwsSecret,
            name: "db".into(),
            digest: Some(digest.into()),
            ..KeptItem::default()
        };
        let kept = |digest: &str| {
            let items = vec![item(digest)];
            let unnamed = Kept { items, ..Kept::default() };
            Kept { revision: unnamed.exact(), ..unnamed }
        };
        all.kept = vec![kept("v1"), kept("v0")];
        let told = tell_gone(&mut all, &[look("v2", 5_000)]);
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("version v1 of AWS secret db is not there any more"), "{told:?}");
        let why = all.back_to(&all.kept[0]).unwrap_err();
        assert!(why.contains("v1") && why.contains("not there any more"), "{why}");
        let restores = all.back_to(&all.kept[1]).unwrap();
        assert_eq!((restores[0].from.as_deref(), &*restores[0].to), (Some("v2"), "v0"));
        all.items[0].bars = Some("it is a replica of eu-west-1".into());
        let why = all.back_to(&all.kept[1]).unwrap_err();
        assert!(why.contains("a replica of eu-west-1"), "{why}");
    }
}
