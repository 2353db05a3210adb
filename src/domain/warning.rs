//! What a cluster warns of: the `Warning` events of a Deployment, of what it is made of, and of its pods.
//!
//! For people alone. Events are best effort, expire, and say things again and again: nothing is decided by them.

use serde::{Deserialize, Serialize};

use crate::units::UnixMs;

/// One warning, as whoever watches over the object wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// When it was last so, by the writer's clock.
    pub at: UnixMs,
    /// Of what: `Pod shop-5f4d-x2x`.
    pub about: String,
    /// In a word: `FailedScheduling`.
    pub reason: String,
    /// In a sentence, without what looks like a secret.
    pub says: String,
    /// How often.
    pub times: u32,
}

impl Warning {
    /// For people.
    pub fn in_words(&self) -> String {
        let Self { at, about, reason, says, times } = self;
        let again = if *times > 1 { format!(", {times} times") } else { String::new() };
        format!("{} {about}: {reason}{again}: {says}", at.clock())
    }
}

/// The newest, newest first; one of several that say the same of objects of one kind, as all pods of a version do.
pub fn latest(mut all: Vec<Warning>, most: usize) -> Vec<Warning> {
    all.sort_by(|a, b| (b.at, &b.about, &b.reason).cmp(&(a.at, &a.about, &a.reason)));
    let mut kept: Vec<Warning> = vec![];
    for warning in all {
        let kind = |it: &Warning| it.about.split(' ').next().map(str::to_owned);
        let is_said = |it: &&Warning| {
            (&it.reason, &it.says) == (&warning.reason, &warning.says) && kind(it) == kind(&warning)
        };
        if kept.len() < most && !kept.iter().any(|it| is_said(&it)) {
            kept.push(warning);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warning(at: i64, about: &str, says: &str) -> Warning {
        let (about, reason) = (about.to_owned(), "FailedScheduling".to_owned());
        Warning { at: UnixMs(at), about, reason, says: says.into(), times: 1 }
    }

    #[test]
    fn the_newest_come_first_and_what_all_pods_say_is_said_once() {
        let all = vec![
            warning(1, "Pod shop-a", "no node has room"),
            warning(3, "Pod shop-b", "no node has room"),
            warning(4, "ReplicaSet shop", "no node has room"),
            warning(2, "Pod shop-a", "a node is gone"),
        ];
        let abouts = |most| -> Vec<String> {
            latest(all.clone(), most).into_iter().map(|it| it.about).collect()
        };
        assert_eq!(abouts(5), ["ReplicaSet shop", "Pod shop-b", "Pod shop-a"]);
        assert_eq!(abouts(1), ["ReplicaSet shop"]);
        assert_eq!(abouts(0), Vec::<String>::new());
    }

    #[test]
    fn a_warning_says_when_of_what_and_how_often() {
        let mut one = warning(0, "Pod shop-a", "no node has room");
        assert!(one.in_words().ends_with("Pod shop-a: FailedScheduling: no node has room"));
        one.times = 4;
        assert!(
            one.in_words().contains("FailedScheduling, 4 times: no node"),
            "{}",
            one.in_words()
        );
    }
}
