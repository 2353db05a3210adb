use super::*;
use crate::{
    domain::{
        maintenance::{Commands, MaintenanceMode},
        service::ServiceId,
    },
    executors::maintenance_preflight,
};

/// A page that is there while it is on.
struct Shop {
    bench: Bench,
    mode: MaintenanceMode,
}

impl Shop {
    fn new() -> Self {
        let bench = Bench::new();
        let commands = Commands {
            on: bench.script("on.sh", "echo on >> log; touch page"),
            off: bench.script("off.sh", "echo off >> log; rm page"),
            observe: bench.script("observe.sh", "test -e page || exit 3"),
        };
        let service = "shop/production".parse::<ServiceId>().unwrap();
        let (cluster, manifest, objects) = (String::new(), String::new(), vec![]);
        let commands = Some(Box::new(commands));
        Self { bench, mode: MaintenanceMode { service, cluster, manifest, objects, commands } }
    }

    fn with(&self, name: &str, text: &str) {
        self.bench.script(name, text);
    }

    fn on(&self) -> Order {
        let (mode, page_after) = (self.mode.clone(), Span::minutes(30));
        order(Action::MaintenanceOn { mode, page_after, required: false })
    }

    fn off(&self) -> Order {
        order(Action::MaintenanceOff { mode: self.mode.clone() })
    }

    async fn does(&self, order: &Order) -> Report {
        self.bench.carry_out(order).await
    }

    fn is_on(&self) -> bool {
        self.bench.path("page").exists()
    }
}

#[tokio::test]
async fn maintenance_mode_by_programs_is_on_once_and_off_once_however_often_it_is_asked_for() {
    let shop = Shop::new();
    assert_eq!(shop.does(&shop.off()).await.outcome, Outcome::AlreadyDone);
    assert_eq!(shop.does(&shop.on()).await.outcome, Outcome::Done);
    assert_eq!(shop.does(&shop.on()).await.outcome, Outcome::AlreadyDone);
    assert_eq!(shop.does(&resumed(shop.on())).await.outcome, Outcome::Done);
    assert!(shop.is_on());
    assert_eq!(shop.does(&shop.off()).await.outcome, Outcome::Done);
    assert_eq!(shop.does(&shop.off()).await.outcome, Outcome::AlreadyDone);
    assert_eq!(shop.does(&resumed(shop.off())).await.outcome, Outcome::Done);
    assert!(!shop.is_on());
    assert_eq!(shop.bench.read("log"), "on\noff\n");
}

#[tokio::test]
async fn what_somebody_else_switched_on_is_on_and_is_never_switched_off() {
    let shop = Shop::new();
    fs::write(shop.bench.path("page"), "").unwrap();
    let report = shop.does(&shop.on()).await;
    assert_eq!(report.outcome, Outcome::AlreadyDone);
    assert!(report.after.contains("somebody else switched it on"), "{report:?}");
    let report = shop.does(&shop.off()).await;
    let (why, retry) = failure(&report);
    assert!(why.contains("somebody else switched it on") && why.contains("off.sh"), "{why}");
    assert!(!retry && shop.is_on() && !shop.bench.path("log").exists());
    // They do.
    fs::remove_file(shop.bench.path("page")).unwrap();
    assert_eq!(shop.does(&shop.off()).await.outcome, Outcome::AlreadyDone);
    // A daemon that died right after its program began knows that it was its own.
    assert_eq!(shop.does(&shop.on()).await.outcome, Outcome::Done);
    assert_eq!(shop.does(&resumed(shop.off())).await.outcome, Outcome::Done);
    assert!(!shop.is_on());
}

#[tokio::test]
async fn what_cannot_be_observed_is_neither_on_nor_off_and_nothing_is_run() {
    let shop = Shop::new();
    for broken in ["exit 1", "exit 2", "exit 127", "kill -9 $$"] {
        shop.with("observe.sh", broken);
        let report = shop.does(&shop.on()).await;
        let (why, retry) = failure(&report);
        assert!(why.contains("nothing was begun") && retry, "{broken}: {why}");
        unknown(&shop.does(&resumed(shop.on())).await);
        let report = shop.does(&shop.off()).await;
        assert_eq!(report.outcome, Outcome::AlreadyDone, "there is nothing to take back");
        assert!(report.after.contains("rollbackd never switched it on"), "{report:?}");
    }
    shop.with("observe.sh", "exit 1");
    let why = unknown(&shop.does(&resumed(shop.on())).await).to_owned();
    assert!(
        why.contains("exited with 1, which is neither 0 (it is on) nor 3 (it is off)"),
        "{why}"
    );
    assert!(!shop.bench.path("log").exists());
    // It breaks while it is on: what was switched on is not forgotten.
    shop.with("observe.sh", "test -e page || exit 3");
    assert_eq!(shop.does(&shop.on()).await.outcome, Outcome::Done);
    shop.with("observe.sh", "exit 1");
    unknown(&shop.does(&shop.off()).await);
    shop.with("observe.sh", "test -e page || exit 3");
    assert_eq!(shop.does(&shop.off()).await.outcome, Outcome::Done);
    assert!(!shop.is_on());
}

#[tokio::test]
async fn what_a_program_says_of_itself_is_not_enough_and_a_hold_withholds_it() {
    let shop = Shop::new();
    shop.with("on.sh", "echo done");
    let report = shop.does(&shop.on()).await;
    let (why, retry) = failure(&report);
    assert!(why.contains("it exited with 0, and its `observe`") && retry, "{why}");
    shop.with("on.sh", "touch page; exit 1");
    assert_eq!(shop.does(&shop.on()).await.outcome, Outcome::Done, "failed, yet it is on");
    shop.with("off.sh", "true");
    let report = shop.does(&shop.off()).await;
    assert!(failure(&report).0.contains("says that it is on"), "{report:?}");
    shop.bench.hold();
    let report = shop.does(&shop.off()).await;
    assert!(matches!(report.outcome, Outcome::Withheld { .. }), "{report:?}");
    fs::remove_file(shop.bench.path("HOLD")).unwrap();
    shop.with("off.sh", "rm page");
    assert_eq!(shop.does(&shop.off()).await.outcome, Outcome::Done);
}

#[tokio::test]
async fn a_check_says_whether_it_could_be_switched_and_switches_nothing() {
    let shop = Shop::new();
    let mut commands = *shop.mode.commands.clone().unwrap();
    let checked = async |commands: &Commands| {
        let check = maintenance_preflight(commands, &shop.bench.options).await;
        (check.ok, check.why)
    };
    let (ok, why) = checked(&commands).await;
    assert!(ok && why.contains("it is off"), "{why}");
    fs::write(shop.bench.path("page"), "").unwrap();
    let (ok, why) = checked(&commands).await;
    assert!(!ok && why.contains("it is on already"), "{why}");
    commands.off = line(&["/nowhere/off"]);
    let (ok, why) = checked(&commands).await;
    assert!(!ok && why.contains("/nowhere/off"), "{why}");
    assert!(!shop.bench.path("log").exists());
}
