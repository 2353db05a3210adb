//! The address of what was restored is written into the secret where the service finds its database: from exactly the version and the
//! address that the plan saw.

use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep, timeout_at};

use super::{access, history, history_at, place_of, verify::holds};
use crate::{
    aws::{
        Access, Fault, Kind,
        address::{self, Change, Keys},
        secrets,
    },
    domain::{
        change::Revision,
        plan::{SchemaAt, hex},
        rds::{Endpoint, Pointer, RdsSwitch},
        run::{Order, Outcome},
    },
    executors::{Attempt, Trouble, failed},
};

/// So often is looked in one attempt.
const LOOKS_MAX: u32 = 6;
/// After the first look; twice as long after each other.
const PAUSE: Duration = Duration::from_millis(300);

/// What a [`crate::domain::plan::Action::RdsSwitch`] says.
pub(super) struct Switch<'a> {
    /// Whose history.
    pub(super) schema: &'a SchemaAt,
    /// Where the schema must be.
    pub(super) from: &'a Revision,
    /// Where it will be.
    pub(super) to: &'a Revision,
    /// In which secret.
    pub(super) what: &'a RdsSwitch,
}

/// Carries one out.
pub(super) async fn switch(attempt: &mut Attempt<'_>, it: Switch<'_>) -> Result<Outcome, Trouble> {
    let RdsSwitch { restored, secret, host_key, port_key, old, hosts, .. } = it.what;
    // Whoever led it away in an earlier attempt may have done so unseen.
    attempt.unmoved = !attempt.touched;
    let of_rds = access(attempt, &restored.at.account)?;
    let (name, new) = place_of(attempt, &of_rds, restored).await?;
    let access = access(attempt, &secret.account)?;
    let keys = Keys { host: host_key.clone(), port: port_key.clone() };
    let version = version(attempt.order, &name);
    let mut last = Fault::new(address::READ, Kind::Unanswered, "there was no time to look");
    let mut is_asked = false;
    let mut unseen = attempt.touched;
    for round in 0..LOOKS_MAX {
        if round > 0 {
            let wait = PAUSE * 2_u32.pow(round - 1);
            sleep(wait.min(attempt.until.saturating_duration_since(Instant::now()))).await;
        }
        let seen = match look(attempt.until, &access, (&secret.secret, &keys), it.what).await {
            Some(Ok(seen)) => seen,
            Some(Err(fault)) if fault.is_worth_another_try() => {
                last = fault;
                continue;
            }
            Some(Err(fault)) => return Err(ended(&fault, unseen)),
            None => break,
        };
        attempt.after = format!("{secret} says {}, in version {}", seen.endpoint, seen.version);
        if round == 0 {
            attempt.before.clone_from(&attempt.after);
        }
        if seen.version == version && seen.endpoint == new {
            let is_new = is_asked || attempt.touched;
            if let Some(follows) = &history(attempt, it.schema)?.options.follows {
                follows.learn(&new);
            }
            attempt.after = done(&it, (&name, &new));
            return Ok(if is_new { Outcome::Done } else { Outcome::AlreadyDone });
        }
        // What leads elsewhere is nothing that the service could be given back to.
        attempt.unmoved = false;
        is_as_planned(&seen, it.what)?;
        attempt.unmoved = !unseen;
        // What was taken shows a moment later; asked again, it would undo what somebody did since.
        if is_asked {
            last = Fault::new(address::WRITE, Kind::Unanswered, "it was taken, and does not show");
            continue;
        }
        agrees(attempt, &it, (&name, &new)).await?;
        attempt.permits()?;
        attempt.touched = true;
        let names = (restored.at.name.as_str(), name.as_str());
        let of = &it.what.version;
        let change = Change { of, old, new: &new, hosts, names, version: &version };
        let asked = address::write(&access, &secret.secret, (&keys, change));
        let answer = timeout_at(attempt.until, asked).await;
        attempt.unmoved &= matches!(&answer, Ok(Err(fault)) if !fault.may_be_done());
        match answer {
            Ok(Ok(())) => (is_asked, unseen) = (true, true),
            Ok(Err(fault)) if shows(&fault, round) => {
                unseen |= fault.may_be_done();
                last = fault;
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

pub(super) async fn look(
    until: Instant,
    access: &Access,
    (secret, keys): (&str, &Keys),
    what: &RdsSwitch,
) -> Option<Result<Pointer, Fault>> {
    let asked = address::read_to_change(access, secret, (keys, what.old.port), &what.hosts);
    timeout_at(until, asked).await.ok()
}

/// The id of the version that is made: of the run, the step and what it leads to, so that whoever asks twice makes one. It is formed
/// as AWS's own are.
fn version(order: &Order, name: &str) -> String {
    let of = format!("{}\n{}\n{name}", order.run, order.step);
    let hash = hex(&Sha256::digest(of.as_bytes())[..16]);
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32];
    parts.map(|part| hash[part].to_owned()).join("-")
}

/// Nobody may have changed it since.
pub(super) fn is_as_planned(seen: &Pointer, what: &RdsSwitch) -> Result<(), Trouble> {
    let RdsSwitch { secret, arn, version, old, .. } = what;
    let why = if seen.arn != *arn {
        format!("{secret} is another one than this plan was made for: {}", seen.arn)
    } else if seen.version != *version {
        format!(
            "somebody changed {secret} in between: its current version is {}, and this plan was made for {version}",
            seen.version
        )
    } else if seen.endpoint != *old {
        format!("{secret} says {}, and this plan was made for {old}", seen.endpoint)
    } else {
        return Ok(());
    };
    failed(why, false)
}

/// Whoever migrated in between is not thrown away, and nobody is sent to what holds something else. What is there may be why all of
/// this is done: one that cannot be read does not stop it.
async fn agrees(
    attempt: &mut Attempt<'_>,
    it: &Switch<'_>,
    (name, new): (&str, &Endpoint),
) -> Result<(), Trouble> {
    let history = history(attempt, it.schema)?;
    let old = &it.what.old;
    match holds(&history_at(&history, old)).await {
        Ok(revision) if revision.agrees_with(it.from) => {}
        Ok(revision) => {
            let why = format!(
                "nothing was begun: {} is at {revision} and not at {}; somebody migrated it in between",
                it.what.restored.at.name, it.from
            );
            return failed(why, false);
        }
        Err((why, _)) => attempt.say(&format!("what is at {old} cannot be read any more: {why}")),
    }
    match holds(&history_at(&history, new)).await {
        Ok(revision) if revision.agrees_with(it.to) => Ok(()),
        Ok(revision) => {
            failed(format!("nothing was begun: {name} holds {revision}, and not {}", it.to), false)
        }
        Err((why, retry)) => {
            failed(format!("nothing was begun: {name} cannot be read: {why}"), retry)
        }
    }
}

/// Whether the next look says more. AWS gives one name to many faults of a label: whether somebody was quicker is seen at the first.
fn shows(fault: &Fault, round: u32) -> bool {
    fault.is_worth_another_try() || (fault.action == secrets::CHANGE && round == 0)
}

fn ended(fault: &Fault, unseen: bool) -> Trouble {
    let why = format!("{fault}; {}", fault.advice());
    match unseen {
        true => Trouble::Unknown(format!("{why}; whether it was written could not be seen")),
        false => Trouble::Failed { why, retry: fault.is_worth_another_try() },
    }
}

fn done(it: &Switch<'_>, (name, new): (&str, &Endpoint)) -> String {
    let RdsSwitch { restored, secret, version, old, .. } = it.what;
    let at = &restored.at;
    format!(
        "{secret} says {new}, which is {name} and holds {}; the {} {} at {old} is kept, with all that was written to it, and so is version {version} of the secret, which leads there",
        it.to, at.form, at.name
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::plan::{Action, CommandLine, Step},
        units::Span,
    };

    fn order(run: &str, step: usize, attempt: u32) -> Order {
        let timeout = Span::minutes(1);
        let run_line =
            CommandLine { argv: vec!["true".into()], env: [].into(), dir: None, timeout };
        let what = Step {
            title: "a step".into(),
            action: Action::Check { run: run_line },
            needs: vec![],
            timeout,
            attempts: 1,
            fallback: None,
        };
        Order { run: run.into(), step, attempt, fallback: false, resumed: false, what }
    }

    #[test]
    fn each_attempt_at_one_step_makes_the_same_version_and_no_other_does() {
        let first = version(&order("run-7", 2, 1), "shop-restored-1");
        assert_eq!(first, version(&order("run-7", 2, 2), "shop-restored-1"));
        assert_ne!(first, version(&order("run-8", 2, 1), "shop-restored-1"));
        assert_ne!(first, version(&order("run-7", 3, 1), "shop-restored-1"));
        assert_ne!(first, version(&order("run-7", 2, 1), "shop-restored-2"));
        assert_eq!(first.len(), 36, "as a UUID has it");
    }
}
