//! A step that takes long: people hear how far it is, at a calm pace, and nobody is woken for it.

use rollbackd::domain::{
    event::{Said, What},
    notice::{Kind, Notice, Urgency},
    service::Mode,
};

use super::{place::errors, policy::shop_with, town::Town};

/// A person has approved a rollback whose steps take an hour.
fn under_way() -> Town {
    let mut town = Town::healthy(shop_with(|p| p.mode = Mode::Approve));
    town.deploy("v2", errors(0.2));
    town.run("10m");
    let plan = town.offered();
    town.takes = "1h".parse().unwrap();
    town.says("ada", Said::Approve { plan }).unwrap();
    town
}

/// As the shell says it once a minute of the attempt that runs.
fn goes_on(town: &mut Town, minutes: usize, said: &str, of: impl Fn(&mut String, &mut u32)) {
    for _ in 0..minutes {
        town.run("1m");
        let (service, order) = town.fleet.wanted().pop().unwrap();
        let (mut run, step, mut attempt, said) =
            (order.run, order.step, order.attempt, said.to_owned());
        of(&mut run, &mut attempt);
        town.turn(What::StepGoesOn { service, run, step, attempt, said });
    }
}

fn told(town: &Town) -> Vec<Notice> {
    town.notices("goes on")
}

#[test]
fn how_far_it_is_is_told_every_ten_minutes_and_wakes_nobody() {
    let mut town = under_way();
    goes_on(&mut town, 9, "4 of 12 objects copied", |_, _| {});
    assert_eq!(told(&town).len(), 0, "{}", town.transcript());
    goes_on(&mut town, 1, "5 of 12 objects copied", |_, _| {});
    let notice = told(&town).pop().unwrap();
    assert_eq!((notice.urgency, notice.kind), (Urgency::Info, Kind::RollbackInProgress));
    let plain = notice.plain();
    for says in ["step 1 of ", "5 of 12 objects copied", "UTC (10m)", "At most until"] {
        assert!(plain.contains(says), "{says}: {plain}");
    }
    goes_on(&mut town, 9, "6 of 12 objects copied", |_, _| {});
    assert_eq!(told(&town).len(), 1, "{}", town.transcript());
    goes_on(&mut town, 11, "", |_, _| {});
    let all = told(&town);
    assert_eq!(all.len(), 3, "{}", town.transcript());
    let silent = all.iter().filter(|it| it.plain().contains("it does not say how far")).count();
    assert_eq!(silent, 2, "{all:?}");
    let shown = town.seen(|s| s.state.incident.as_ref().unwrap().stands(s).unwrap().in_words());
    assert!(shown.starts_with("step 1 of ") && shown.contains("runs for 30m"), "{shown}");
    town.check_everything();
}

/// What was sent before a restart, or of an attempt that has ended meanwhile, says nothing of the one that runs.
#[test]
fn another_attempt_says_nothing_of_the_one_that_runs() {
    let mut town = under_way();
    goes_on(&mut town, 12, "another run", |run, _| run.push('x'));
    goes_on(&mut town, 12, "another attempt", |_, attempt| *attempt += 1);
    assert_eq!(told(&town).len(), 0, "{}", town.transcript());
    goes_on(&mut town, 1, "this one", |_, _| {});
    assert_eq!(told(&town).len(), 1, "{}", town.transcript());
    assert_eq!(town.incident().goes_on.as_ref().unwrap().said, "this one");
}
