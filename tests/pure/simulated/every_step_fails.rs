//! Every step of every kind of plan fails in every way, in turn: the result is the target state, or a halt that names what
//! was done and what was not, and a page.

use crate::world::{Bases, Life, Script, executor::Mishap, live, operator::Layout, script::Fate};

/// The steps of the plan with scripts: drain, announce, switch, restart, undrain, purge, smoke.
const SCRIPTED: usize = 7;
/// Switch and restart.
const PLAIN: usize = 2;
const LEFT_ON: &str = "maintenance mode is still on";
/// Maintenance mode on, switch and restart.
const MAINTAINED: usize = 3;

/// The migration taken back, switch and restart.
const MIGRATED: usize = 3;
/// The script that was tried and approved, switch and restart.
const REVERSED: usize = 3;
/// The snapshot read, restored, put in its place; switch and restart.
const RESTORED: usize = 5;

/// Seen to be as planned; made of a snapshot, seen over SQL, led to; switch and restart.
const IN_RDS: usize = 6;

/// The secret's label moved; switch and restart.
const SECRET: usize = 3;

/// Copied, invalidated, seen.
const SITE: usize = 3;

fn fates() -> Vec<Fate> {
    let each =
        Mishap::ALL.into_iter().flat_map(|mishap| [Fate::Once(mishap), Fate::Always(mishap)]);
    each.chain([Fate::Twice, Fate::CrashBefore, Fate::CrashAfter]).collect()
}

/// The target state, or a page that says of each step whether it is done.
fn ended_well(life: &Life, steps: usize) -> Result<(), String> {
    if let Some(violation) = &life.violation {
        return Err(violation.clone());
    }
    // `done: ` is part of `not done: `.
    let named = |page: &String| {
        ["done: ", "failed: ", "unknown: "].map(|mark| page.matches(mark).count()).iter().sum()
    };
    let halted = life.pages.iter().any(|page| {
        let named: usize = named(page);
        page.contains("yours now") && named >= steps
    });
    if life.maintained[0] && !life.pages.iter().any(|page| page.contains(LEFT_ON)) {
        return Err("it is in maintenance mode, and nobody was told".to_owned());
    }
    let verified = life.story.iter().any(|line| line.contains("closed: rolled back and verified"));
    let first = ("first".to_owned(), "first".to_owned());
    let is_given = life.secrets[0].as_ref().is_none_or(|both| *both == first);
    let serves = life.serves[0].as_deref() == Some("v1") && is_given;
    match () {
        () if verified && serves => Ok(()),
        () if halted => Ok(()),
        // A release that is called by another's name is not what it says: the verification tells.
        () if life.pages.iter().any(|page| page.contains("could not be verified")) => Ok(()),
        () => Err(format!("verified: {verified}, halted: {halted}, serves: {:?}", life.serves)),
    }
}

#[test]
fn every_step_that_fails_ends_at_its_target_or_in_a_page_that_says_what_is_done() {
    let mut bases = Bases::default();
    let mut wrong = vec![];
    let plans = [
        (Layout::Alone, SCRIPTED, SCRIPTED),
        (Layout::Pair, PLAIN, PLAIN),
        // Switching it off is no step of the plan, and fails as each of them.
        (Layout::Maintained, MAINTAINED, MAINTAINED + 1),
        (Layout::Migrated, MIGRATED, MIGRATED),
        (Layout::Reversed, REVERSED, REVERSED),
        (Layout::Restored, RESTORED, RESTORED),
        (Layout::InRds, IN_RDS, IN_RDS),
        (Layout::Secrets, SECRET, SECRET),
        (Layout::Sites, SITE, SITE),
    ];
    for (layout, steps, all) in plans {
        for step in 0..all {
            for fate in fates() {
                let script = Script::of_one_step(layout, step, fate);
                let life = live(&mut bases, 1, script, true);
                if let Err(why) = ended_well(&life, steps) {
                    let story = life.story.join("\n");
                    wrong.push(format!("{layout:?}, step {step}, {fate:?}: {why}\n{story}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of them, first: {}", wrong.len(), wrong[0]);
}
