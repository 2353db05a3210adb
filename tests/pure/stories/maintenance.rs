//! Maintenance mode that a rollback switches on: it goes off however that ends, or people are told what to type.

use insta::assert_snapshot;
use rollbackd::{
    domain::{
        event::{Said, What},
        incident::Phase,
        maintenance::{Commands, MaintenanceMode, MaintenanceRunbook, ObjectAt},
        plan::CommandLine,
        policy::Policy,
        run::{Attempt, Outcome},
        service::Mode,
    },
    units::Span,
};

use super::{
    place::{HEALTHY, OUTAGE},
    policy::{services_mut, shop_with},
    story,
    town::{Town, Windows, failed},
};

const TYPED: &str = "kubectl delete ingresses.networking.k8s.io maintenance -n shop (in main)";

fn maintained() -> Policy {
    shop_with(|shop| {
        let object = ObjectAt {
            api_version: "networking.k8s.io/v1".into(),
            kind: "Ingress".into(),
            plural: "ingresses".into(),
            namespace: "shop".into(),
            name: "maintenance".into(),
        };
        let mode = MaintenanceMode {
            service: shop.id.clone(),
            cluster: "main".into(),
            manifest: "sha256:page".into(),
            objects: vec![object],
            commands: None,
        };
        let (timeout, page_after) = (Span::seconds(30), Span::minutes(30));
        shop.runbook.as_mut().unwrap().maintenance =
            Some(MaintenanceRunbook { mode, timeout, attempts: 2, required: false, page_after });
    })
}

/// A bad release, and how the steps of its rollback end, the one that is none included.
fn breaks(town: &mut Town, outcomes: impl IntoIterator<Item = Outcome>) {
    town.deploy("v2", OUTAGE);
    town.place().outcomes.extend(outcomes);
    town.run("3m");
}

fn switched(town: &mut Town) -> Vec<String> {
    let all = town.place().done.iter().filter(|done| done.starts_with("maintenance"));
    all.map(|done| done.split(':').next().unwrap_or_default().to_owned()).collect()
}

fn is_on(town: &Town) -> bool {
    !town.shop().maintained.is_empty()
}

#[test]
fn it_is_on_before_anything_else_is_done_and_off_before_it_is_verified() {
    let told = story(maintained(), |town| {
        breaks(town, []);
        assert_eq!(
            town.place().done,
            [
                "maintenance on: Ingress shop/maintenance",
                "switch to v1",
                "restart on v1",
                "maintenance off: Ingress shop/maintenance"
            ]
        );
        assert!(!is_on(town));
        town.run("2h");
        assert_eq!(town.notices("maintenance").len(), 0, "nobody need hear of it");
    });
    let about: Vec<&str> = told.lines().filter(|line| line.contains("maintenance")).collect();
    assert_snapshot!(about.join("\n"), @r"
    12:02:00 maintenance mode is being switched off, attempt 1
    12:02:05 maintenance mode is off
    ");
}

#[test]
fn a_rollback_that_halts_takes_it_off_and_its_page_says_that_it_is_on() {
    story(maintained(), |town| {
        breaks(town, [Outcome::Done, failed("permission denied", false)]);
        let page = &town.notices("yours now")[0];
        let said = page.lines.join("; ");
        assert!(said.contains("maintenance mode is on since") && said.contains(TYPED), "{said}");
        assert_eq!(switched(town), ["maintenance off"]);
        assert!(!is_on(town) && matches!(town.incident().phase, Phase::Escalated { .. }));
    });
}

fn cannot_be_switched_on() -> [Vec<Outcome>; 3] {
    let unknown = || Outcome::Unknown { why: "no answer".into() };
    [
        vec![failed("there is another Ingress shop/maintenance", false)],
        vec![failed("the API server has too much to do", true); 2],
        vec![unknown(), unknown()],
    ]
}

/// A page is a courtesy: an outage does not wait for it.
#[test]
fn a_rollback_goes_on_without_it_where_it_cannot_be_switched_on_and_people_are_told() {
    for outcomes in cannot_be_switched_on() {
        story(maintained(), |town| {
            breaks(town, outcomes.clone());
            assert_eq!(town.serving(), "v1", "{outcomes:?}");
            let told = &town.notices("the rollback goes on without it")[..];
            let (Outcome::Failed { why, .. } | Outcome::Unknown { why }) = &outcomes[0] else {
                panic!("{outcomes:?}")
            };
            assert_eq!(told.len(), 1, "{told:?}");
            assert_eq!(told[0].fields.last().map(|(_, said)| said), Some(why));
            assert_eq!(switched(town), ["maintenance off"], "some of it may have been made");
            assert!(!is_on(town));
            let run = town.incident().run.as_ref().unwrap();
            let began: Vec<_> = run.attempts.iter().filter(|a| a.step == 0).collect();
            assert_eq!(began.len(), outcomes.len());
            let pause = |pair: &[&Attempt]| {
                pair[1].begun_at.since(pair[0].ended.as_ref().unwrap().0) >= Span::seconds(5)
            };
            assert!(began.windows(2).all(pause), "{began:?}");
        });
    }
}

#[test]
fn where_it_is_required_switching_it_on_that_fails_halts_before_anything_else_and_is_taken_back() {
    let mut policy = maintained();
    for shop in services_mut(&mut policy) {
        shop.runbook.as_mut().unwrap().maintenance.as_mut().unwrap().required = true;
    }
    for outcomes in cannot_be_switched_on() {
        story(policy.clone(), |town| {
            breaks(town, outcomes);
            assert_eq!(town.serving(), "v2");
            assert_eq!(switched(town), ["maintenance off"], "some of it may have been made");
            assert!(!is_on(town) && matches!(town.incident().phase, Phase::Escalated { .. }));
        });
    }
}

#[test]
fn a_crash_at_any_moment_takes_it_off_in_the_end() {
    for (at, applied) in [("1m50s", true), ("1m50s", false), ("1m56s", true), ("2m8s", false)] {
        story(maintained(), |town| {
            town.deploy("v2", OUTAGE);
            town.run(at);
            town.crash(Windows::Kept, applied);
            town.run("5m");
            assert_eq!(switched(town).last().map(String::as_str), Some("maintenance off"), "{at}");
            assert!(!is_on(town), "{at}");
        });
    }
}

#[test]
fn where_it_does_not_go_off_people_are_paged_until_somebody_has_seen_it_and_it_is_tried_on() {
    story(maintained(), |town| {
        let done = || Outcome::Done;
        let away = || failed("main cannot be reached: no route to host", true);
        let steps = [done(), done(), done()];
        breaks(town, steps.into_iter().chain((0..8).map(|_| away())));
        let page = &town.notices("maintenance mode is still on")[0];
        assert!(page.lines.contains(&TYPED.to_owned()), "{:?}", page.lines);
        assert_eq!(page.fields[0].1, "main cannot be reached: no route to host");
        town.run("40m");
        assert!(!is_on(town), "it was tried on");
        assert_eq!(town.notices("maintenance mode is off").len(), 1, "who was told must not look");
        assert!(!town.shop().page.is_open());
        let again = town.notices("maintenance mode is still on, nobody has acknowledged");
        assert!(!again.is_empty() && again[0].lines.contains(&TYPED.to_owned()), "{again:?}");
    });
}

/// What was seen behind the page proves nothing.
#[test]
fn it_is_verified_for_the_whole_time_after_it_is_off() {
    let told = story(maintained(), |town| {
        let away = || failed("no route to host", true);
        town.deploy("v2", OUTAGE);
        town.run("2m2s");
        assert_eq!(town.serving(), "v1");
        town.place().outcomes.extend((0..5).map(|_| away()));
        town.run("40m");
    });
    let ends = ["maintenance mode is off", "verified; watching for a relapse"];
    let lines: Vec<&str> =
        told.lines().filter(|line| ends.iter().any(|end| line[9..] == **end)).collect();
    assert_snapshot!(lines.join("\n"), @r"
    12:05:05 maintenance mode is off
    12:20:15 verified; watching for a relapse
    ");
}

/// Nobody goes on with it, and nobody can be asked about it.
#[test]
fn a_service_that_is_taken_out_while_it_is_on_is_paged_with_what_to_type() {
    story(maintained(), |town| {
        town.deploy("v2", OUTAGE);
        town.run("1m52s");
        assert!(is_on(town));
        town.adopts(|policy| policy.services.clear());
        town.turn(What::Started);
        let page = &town.notices("taken out of the configuration")[0];
        assert!(page.lines.contains(&TYPED.to_owned()), "{:?}", page.lines);
    });
}

#[test]
fn one_that_is_on_for_too_long_is_told_although_the_rollback_goes_on() {
    let mut policy = maintained();
    for shop in services_mut(&mut policy) {
        let maintenance = shop.runbook.as_mut().unwrap().maintenance.as_mut().unwrap();
        maintenance.page_after = Span::seconds(12);
    }
    story(policy, |town| {
        let slow = failed("unit shop.service does not start", true);
        breaks(town, [Outcome::Done, Outcome::Done, slow]);
        let page = &town.notices("maintenance mode is still on")[0];
        let why = "it has been on for 12s, and the rollback that needs it is still under way";
        assert_eq!(page.fields[0].1, why);
        assert!(!is_on(town), "and it went off when that had ended");
        assert_eq!(town.notices("maintenance mode is off").len(), 1);
    });
}

#[test]
fn a_hold_leaves_it_on_and_says_so_at_once() {
    story(maintained(), |town| {
        town.deploy("v2", OUTAGE);
        town.run("1m52s");
        assert!(is_on(town));
        town.says("ada", Said::Hold { reason: "I look first".into() }).unwrap();
        let paused = town.notices("the rollback");
        let said = paused.iter().flat_map(|notice| &notice.lines).any(|line| line == TYPED);
        assert!(said, "{paused:?}");
        town.says("ada", Said::Dismiss { reason: "by hand".into() }).ok();
        town.run("40m");
        assert!(!town.notices("maintenance mode is still on").is_empty());
        assert!(is_on(town), "a hold is a hold");
        town.says("ada", Said::Unhold).unwrap();
        town.run("5m");
        assert!(!is_on(town));
    });
}

/// Who acknowledged the one has not heard of the other.
#[test]
fn one_that_cannot_be_switched_off_when_the_hold_is_lifted_is_paged_anew() {
    story(maintained(), |town| {
        town.deploy("v2", OUTAGE);
        town.run("1m52s");
        assert!(is_on(town));
        town.says("ada", Said::Hold { reason: "I look first".into() }).unwrap();
        town.says("ada", Said::Dismiss { reason: "by hand".into() }).ok();
        town.run("40m");
        let pages = |town: &Town| -> Vec<_> {
            let all = town.notices("maintenance mode is still on").into_iter();
            all.filter(|notice| !notice.subject.contains("nobody")).collect()
        };
        let told = pages(town).len();
        town.says("ada", Said::Acknowledge).unwrap();
        assert!(!town.shop().page.is_open());
        let denied = || failed("the daemon is not permitted to do it", false);
        town.place().outcomes.extend((0..20).map(|_| denied()));
        town.says("ada", Said::Unhold).unwrap();
        town.run("2m");
        let told = pages(town).split_off(told);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].fields[0].1, "the daemon is not permitted to do it");
        assert!(told[0].lines[0].contains("not permitted"), "{:?}", told[0].lines);
        assert!(town.shop().page.is_open());
    });
}

/// What it looks like behind the page says nothing of whether it is well.
#[test]
fn an_incident_is_not_over_while_it_is_on() {
    story(maintained(), |town| {
        let denied = || failed("the daemon is not permitted to do it", false);
        let steps = [Outcome::Done, Outcome::Done, failed("no", false)];
        breaks(town, steps.into_iter().chain((0..60).map(|_| denied())));
        assert!(is_on(town));
        town.says("ada", Said::Acknowledge).unwrap();
        town.deploy("v1", HEALTHY);
        town.run("3h");
        assert!(is_on(town) && matches!(town.incident().phase, Phase::Escalated { .. }));
        town.place().outcomes.clear();
        town.run("3h");
        assert!(!is_on(town) && town.shop().incident.is_none());
    });
}

#[test]
fn the_kill_switch_and_the_mode_observe_leave_it_to_people_who_are_told() {
    for observe in [true, false] {
        story(maintained(), |town| {
            town.deploy("v2", OUTAGE);
            town.run("1m52s");
            assert!(is_on(town));
            if observe {
                town.adopts(|policy| {
                    services_mut(policy).for_each(|shop| shop.mode = Mode::Observe)
                });
            } else {
                town.turn(What::KillSwitch { reason: Some("everything stops".into()) });
            }
            town.run("40m");
            assert!(is_on(town), "observe: {observe}");
            let pages = town.notices("maintenance mode is still on");
            assert!(pages[0].lines.contains(&TYPED.to_owned()), "{pages:?}");
        });
    }
}

#[test]
fn what_a_program_does_not_switch_off_is_paged_with_what_to_type() {
    let program = |what: &str| CommandLine {
        argv: vec!["/usr/local/bin/maintenance".into(), what.into()],
        env: [].into(),
        dir: None,
        timeout: Span::seconds(30),
    };
    let mut policy = maintained();
    for shop in services_mut(&mut policy) {
        let maintenance = shop.runbook.as_mut().unwrap().maintenance.as_mut().unwrap();
        let [on, off, observe] = ["on", "off", "status"].map(program);
        maintenance.mode.commands = Some(Box::new(Commands { on, off, observe }));
        maintenance.mode.objects.clear();
    }
    story(policy, |town| {
        let steps = [Outcome::Done, Outcome::Done, Outcome::Done];
        let blind = || Outcome::Unknown { why: "observe exited with 1".into() };
        breaks(town, steps.into_iter().chain((0..4).map(|_| blind())));
        let page = &town.notices("maintenance mode is still on")[0];
        let typed = "/usr/local/bin/maintenance off (on rollbackd's machine)".to_owned();
        assert!(page.lines.contains(&typed), "{:?}", page.lines);
        town.run("40m");
        assert!(!is_on(town), "it was tried on");
        assert_eq!(switched(town), ["maintenance off"]);
        assert_eq!(town.notices("maintenance mode is off").len(), 1);
    });
}
