//! Secrets of AWS: moving the label of the current version back to exactly the one that a plan says, only from the one that it
//! saw; and the labels of ours that keep AWS from deleting what was known good. What a version holds is neither read nor told.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::{Adopted, Attempt, Trouble, failed};
use crate::{
    aws::{Access, Fault, Kind, secrets},
    domain::{
        inventory::Check,
        run::Outcome,
        secret::{CURRENT, Secret, SecretAt, SecretMove, labels},
    },
    store::Lease,
};

/// So often is looked in one attempt.
const LOOKS_MAX: u32 = 6;
/// After the first look; twice as long after each other.
const PAUSE: Duration = Duration::from_millis(300);

/// How accounts are reached, by their names in the configuration.
pub type Accounts = Adopted<String, Access>;

/// Carries out a [`crate::domain::plan::Action::SecretMove`].
pub(super) async fn move_back(
    attempt: &mut Attempt<'_>,
    what: &SecretMove,
) -> Result<Outcome, Trouble> {
    let SecretAt { account, secret } = &what.at;
    let Some(access) = attempt.options.accounts.find(account) else {
        return failed(format!("the configuration names no [aws.{account}] any more"), false);
    };
    let mut last = Fault::new(secrets::LOOK[0], Kind::Unanswered, "there was no time to look");
    let mut is_asked = false;
    // Whether it may have been done without anybody having seen that it was not.
    let mut unseen = attempt.touched;
    for round in 0..LOOKS_MAX {
        pause(attempt, round).await;
        let Ok(seen) = timeout_at(attempt.until, secrets::look(&access, secret)).await else {
            break;
        };
        let seen = match seen {
            Ok(seen) => seen,
            Err(fault) if fault.is_worth_another_try() => {
                last = fault;
                continue;
            }
            Err(fault) => return Err(ended(&fault, unseen)),
        };
        attempt.after = in_words(&seen);
        if round == 0 {
            attempt.before.clone_from(&attempt.after);
        }
        if seen.current() == Some(&*what.to) && is_it(&seen, what) {
            let is_new = is_asked || attempt.touched;
            return Ok(if is_new { Outcome::Done } else { Outcome::AlreadyDone });
        }
        may_be_moved(&seen, what)?;
        // What AWS said it has done shows a moment later; asked again, it would undo what somebody did since.
        if is_asked {
            last = Fault::new(secrets::CHANGE, Kind::Unanswered, "it was taken, and does not show");
            continue;
        }
        attempt.permits()?;
        attempt.touched = true;
        let moved = secrets::Move { label: CURRENT, from: Some(&what.from), to: Some(&what.to) };
        match timeout_at(attempt.until, secrets::change(&access, secret, moved)).await {
            Ok(Ok(())) => (is_asked, unseen) = (true, true),
            // Whether it was done is seen by looking again; so is who was quicker.
            Ok(Err(fault)) if fault.is_worth_another_try() || is_of_the_moment(&fault) => {
                (unseen, last) = (fault.may_be_done(), fault);
            }
            Ok(Err(fault)) => return Err(ended(&fault, false)),
            Err(_) => {
                unseen = true;
                break;
            }
        }
    }
    Err(ended(&last, unseen))
}

async fn pause(attempt: &Attempt<'_>, round: u32) {
    if round > 0 {
        let wait = PAUSE * 2_u32.pow(round - 1);
        sleep(wait.min(attempt.until.saturating_duration_since(Instant::now()))).await;
    }
}

fn in_words(seen: &Secret) -> String {
    match seen.current() {
        Some(id) => format!("{CURRENT} is version {id}"),
        None => format!("no version is {CURRENT}"),
    }
}

fn is_it(seen: &Secret, what: &SecretMove) -> bool {
    what.arn.as_ref().is_none_or(|arn| *arn == seen.arn)
}

/// Nobody may have moved it since.
fn may_be_moved(seen: &Secret, what: &SecretMove) -> Result<(), Trouble> {
    let SecretMove { at, from, to, .. } = what;
    let why = if !is_it(seen, what) {
        format!("{at} is another one than this plan was made for: {}", seen.arn)
    } else if seen.current() != Some(from) {
        format!(
            "somebody moved {CURRENT} of {at} in between: {}, neither what this plan was made for nor where it would go",
            in_words(seen)
        )
    } else if !seen.has(to) {
        format!("version {to} of {at} is not there any more")
    } else if let Some(bars) = &seen.bars {
        format!("{CURRENT} of {at} cannot be moved: {bars}")
    } else {
        return Ok(());
    };
    failed(why, false)
}

/// AWS says so of a label that another version has by now, and of one that is gone: the next look says which.
fn is_of_the_moment(fault: &Fault) -> bool {
    match &fault.kind {
        Kind::Changed | Kind::NotFound => true,
        Kind::Refused { code } => code == "InvalidParameterException",
        Kind::Throttled
        | Kind::Denied { .. }
        | Kind::Credentials
        | Kind::Unreachable
        | Kind::Unanswered
        | Kind::Broken => false,
    }
}

fn ended(fault: &Fault, unseen: bool) -> Trouble {
    let why = format!("{fault}; {}", fault.advice());
    match unseen {
        true => Trouble::Unknown(format!("{why}; whether it was moved could not be seen")),
        false => Trouble::Failed { why, retry: fault.is_worth_another_try() },
    }
}

/// Puts labels of ours on, and takes them off. None of them is what anybody is given.
pub async fn relabel(
    access: &Access,
    secret: &str,
    changes: &[labels::Change],
    lease: &Lease,
) -> Result<(), String> {
    for change in changes {
        lease.permits().map_err(|withheld| withheld.to_string())?;
        let moved = match change {
            labels::Change::Add { label, version } => {
                secrets::Move { label, from: None, to: Some(version) }
            }
            labels::Change::Remove { label, version } => {
                secrets::Move { label, from: Some(version), to: None }
            }
        };
        let done = secrets::change(access, secret, moved).await;
        done.map_err(|fault| format!("{fault}; {}", fault.advice()))?;
    }
    Ok(())
}

/// Whether a rollback would find what it needs of a secret. Nothing is changed.
pub async fn secret_preflight(access: &Access, at: &SecretAt, even_if_rotated: bool) -> Vec<Check> {
    let said = |fault: Fault| format!("{}: {fault}; {}", access.place(), fault.advice());
    let check = |what: &str, seen: Result<String, String>| {
        Check::of(&format!("{what} {}", at.secret), seen)
    };
    let seen = secrets::look(access, &at.secret).await.map_err(said);
    let seen = seen.map(|seen| seen.barred(even_if_rotated));
    let told =
        seen.as_ref().map_err(Clone::clone).and_then(|seen| match (&seen.bars, seen.current()) {
            (Some(bars), _) => Err(bars.clone()),
            (None, None) => Err(in_words(seen)),
            (None, Some(_)) => {
                Ok(format!("{}, and {} others are there", in_words(seen), seen.versions.len() - 1))
            }
        });
    let may = secrets::may_change(access, &at.secret).await.map_err(said);
    let may = may.map(|()| format!("{} is allowed", secrets::CHANGE));
    vec![
        check("the versions can be seen of the secret", told),
        check("the current version can be set of the secret", may),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::secret::Version;

    fn seen(current: &str, others: &[&str]) -> Secret {
        let version = |id: &str, labels: &[&str]| Version {
            id: id.to_owned(),
            labels: labels.iter().map(|&label| label.to_owned()).collect(),
        };
        let others = others.iter().map(|id| version(id, &["AWSPREVIOUS"]));
        let versions = others.chain([version(current, &[CURRENT])]).collect();
        Secret { arn: "arn:1".into(), changed_at: None, rotates: false, bars: None, versions }
    }

    #[test]
    fn whoever_moves_it_in_between_wins_and_what_is_gone_is_not_gone_to() {
        let at = SecretAt { account: "main".into(), secret: "shop/db".into() };
        let arn = Some("arn:1".to_owned());
        let what = SecretMove { at, arn, from: "v2".into(), to: "v1".into() };
        let why = |seen: &Secret| match may_be_moved(seen, &what) {
            Ok(()) => String::new(),
            Err(trouble) => trouble.to_string(),
        };
        assert_eq!(why(&seen("v2", &["v1"])), "");
        let said = why(&seen("v3", &["v1", "v2"]));
        assert!(said.contains("in between: AWSCURRENT is version v3"), "{said}");
        assert!(why(&seen("v2", &["v0"])).contains("version v1"), "{}", why(&seen("v2", &[])));
        let another = Secret { arn: "arn:2".into(), ..seen("v2", &["v1"]) };
        assert!(why(&another).contains("another one than this plan"), "{}", why(&another));
        let replica = Secret { bars: Some("it is a replica".into()), ..seen("v2", &["v1"]) };
        assert!(why(&replica).contains("it is a replica"), "{}", why(&replica));
    }

    #[test]
    fn only_what_may_have_been_done_and_was_not_seen_is_unknown() {
        let fault = |kind| Fault::new(secrets::CHANGE, kind, "");
        assert!(matches!(ended(&fault(Kind::Unanswered), true), Trouble::Unknown(_)));
        assert!(matches!(
            ended(&fault(Kind::Throttled), false),
            Trouble::Failed { retry: true, .. }
        ));
        let denied = Kind::Denied { right: secrets::CHANGE.to_owned(), resource: None };
        let said = ended(&fault(denied), false);
        assert!(matches!(said, Trouble::Failed { retry: false, .. }), "{said:?}");
        assert!(
            said.to_string().contains("allow secretsmanager:UpdateSecretVersionStage"),
            "{said}"
        );
    }
}
