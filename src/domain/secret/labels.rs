//! Labels of ours: AWS deletes versions that nobody has labelled once there are too many, and what was known good is among them.
//!
//! A secret takes twenty labels in all, of everybody. A few of them stay free, and each service has a few at most.

use sha2::{Digest, Sha256};

use super::Secret;
use crate::domain::{plan::hex, service::ServiceId};

/// So many labels a secret takes at AWS.
const ALL_MAX: usize = 20;
/// So many are left to others: `AWSCURRENT`, `AWSPREVIOUS`, `AWSPENDING`, and one that somebody needs.
const FREE: usize = 4;
/// So many versions of one secret are labelled for one service: the newest that were known good.
pub const OF_A_SERVICE_MAX: usize = 5;
/// As AWS takes them, with what follows the service's name.
const NAME_MAX: usize = 200;

/// What is done with one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is put on a version that has none of ours for that service.
    Add {
        /// The label.
        label: String,
        /// The id of the version.
        version: String,
    },
    /// It is taken off a version that is not needed any more.
    Remove {
        /// The label.
        label: String,
        /// The id of the version.
        version: String,
    },
}

/// What is to be done, and what is not for want of room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// In this order: what is taken off makes room.
    pub changes: Vec<Change>,
    /// Versions that get none.
    pub without: Vec<String>,
}

/// The label of a version for a service: `rollbackd-shop-production-1a2b3c4d5e6f`.
pub fn label(service: &ServiceId, version: &str) -> String {
    let name: String = service.to_string().replace('/', "-").chars().take(NAME_MAX).collect();
    // Another service's name may read the same; its labels are never taken for ours.
    let hash = hex(&Sha256::digest(format!("{service}\n{version}"))[..6]);
    format!("rollbackd-{name}-{hash}")
}

/// So that the newest of `good`, the first, have a label of that service's, and nothing else has.
pub fn labels(service: &ServiceId, secret: &Secret, good: &[String]) -> Labels {
    let mut wanted: Vec<&String> = vec![];
    for id in good {
        if secret.has(id) && !wanted.contains(&id) && wanted.len() < OF_A_SERVICE_MAX {
            wanted.push(id);
        }
    }
    let mut all = Labels::default();
    let mut count: usize = secret.versions.iter().map(|version| version.labels.len()).sum();
    let mut missing = vec![];
    for version in &secret.versions {
        let own = label(service, &version.id);
        let (has, needs) = (version.labels.contains(&own), wanted.contains(&&version.id));
        if has && !needs {
            count -= 1;
            all.changes.push(Change::Remove { label: own, version: version.id.clone() });
        } else if needs && !has {
            missing.push(&version.id);
        }
    }
    missing.sort_by_key(|id| wanted.iter().position(|it| it == id));
    for id in missing {
        if count + FREE < ALL_MAX {
            count += 1;
            all.changes.push(Change::Add { label: label(service, id), version: id.clone() });
        } else {
            all.without.push(id.clone());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{examples::id, secret::Version};

    fn secret(versions: &[(&str, Vec<String>)]) -> Secret {
        let version = |(id, labels): &(&str, Vec<String>)| Version {
            id: (*id).to_owned(),
            labels: labels.clone(),
        };
        let versions = versions.iter().map(version).collect();
        Secret { arn: "arn".into(), changed_at: None, rotates: false, bars: None, versions }
    }

    fn shop() -> ServiceId {
        id("shop/production")
    }

    fn own(version: &str) -> String {
        label(&shop(), version)
    }

    fn add(version: &str) -> Change {
        Change::Add { label: own(version), version: version.into() }
    }

    fn good(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|&id| id.to_owned()).collect()
    }

    #[test]
    fn what_was_known_good_is_labelled_and_what_is_that_no_more_is_not() {
        let current = vec!["AWSCURRENT".to_owned()];
        let seen = secret(&[("v3", current), ("v2", vec![]), ("v1", vec![own("v1")])]);
        let all = labels(&shop(), &seen, &good(&["v3", "v2", "gone"]));
        let removed = Change::Remove { label: own("v1"), version: "v1".into() };
        assert_eq!(all.changes, [removed, add("v3"), add("v2")]);
        let done = secret(&[("v3", vec![own("v3")]), ("v2", vec![own("v2")]), ("v1", vec![])]);
        assert_eq!(labels(&shop(), &done, &good(&["v3", "v2"])), Labels::default());
    }

    #[test]
    fn a_label_of_another_service_or_of_people_is_never_taken_off() {
        let other = label(&id("shop-production/eu"), "v1");
        assert_ne!(other, own("v1"));
        assert!(own("v1").starts_with("rollbackd-shop-production-"), "{}", own("v1"));
        let people = format!("rollbackd-shop-production-{}", "0".repeat(12));
        let seen = secret(&[("v1", vec![other, people, "blue".to_owned()])]);
        assert_eq!(labels(&shop(), &seen, &[]).changes, []);
    }

    #[test]
    fn some_labels_stay_free_for_others_and_the_newest_come_first() {
        let taken = |count: usize| (0..count).map(|nth| format!("team-{nth}")).collect();
        let seen = secret(&[("v1", vec![]), ("v2", vec![]), ("full", taken(15))]);
        let all = labels(&shop(), &seen, &good(&["v2", "v1"]));
        assert_eq!((all.changes, all.without), (vec![add("v2")], good(&["v1"])));
        let ids: Vec<String> = (0..9).map(|nth| format!("v{nth}")).collect();
        let versions: Vec<_> = ids.iter().map(|id| (id.as_str(), vec![])).collect();
        let all = labels(&shop(), &secret(&versions), &ids);
        assert_eq!(all.changes.len(), OF_A_SERVICE_MAX);
        assert_eq!(all.changes[0], add("v0"));
    }
}
