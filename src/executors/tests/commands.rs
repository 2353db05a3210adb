use std::time::Instant;

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::unix::pipe,
};

use super::*;
use crate::executors::{
    child::GRACE,
    process::{Process, has_ended},
};

#[tokio::test]
async fn a_command_is_done_when_it_is_seen_to_be_and_twice_is_once() {
    let bench = Bench::new();
    let run =
        bench.script("run.sh", "echo ran >> log; touch in-effect; echo \"as $ROLLBACKD_STEP\"");
    let observe = line(&["test", "-e", "in-effect"]);
    let order = command(run, Some(observe), false);
    let report = bench.carry_out(&order).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert_eq!(report.output, "as run-1-0-1");
    assert!(!bench.has_records());
    assert_eq!(bench.carry_out(&order).await.outcome, Outcome::AlreadyDone);
    assert_eq!(bench.read("log"), "ran\n");
}

#[tokio::test]
async fn returning_0_is_not_enough_where_it_can_be_observed() {
    let bench = Bench::new();
    let absent = || Some(line(&["test", "-e", "in-effect"]));
    let report = bench.carry_out(&command(line(&["true"]), absent(), false)).await;
    let (why, retry) = failure(&report);
    assert!(retry && why.starts_with("it exited with 0, and its `observe`"), "{why}");
    let run = bench.script("run.sh", "touch in-effect; exit 3");
    let report = bench.carry_out(&command(run, absent(), false)).await;
    assert_eq!(report.outcome, Outcome::Done, "failed, yet in effect");
}

#[tokio::test]
async fn without_observe_the_exit_status_is_all_there_is() {
    let bench = Bench::new();
    for (run, idempotent, wanted) in [
        ("exit 0", false, Outcome::Done),
        ("exit 3", true, Outcome::Failed { why: "it exited with 3".into(), retry: true }),
        ("exit 3", false, Outcome::Failed { why: "it exited with 3".into(), retry: false }),
    ] {
        let run = bench.script("run.sh", run);
        assert_eq!(bench.carry_out(&command(run, None, idempotent)).await.outcome, wanted);
    }
    let run = bench.script("run.sh", "kill -9 $$");
    let report = bench.carry_out(&command(run.clone(), None, false)).await;
    assert!(unknown(&report).starts_with("it was ended by signal 9"));
    let report = bench.carry_out(&command(run, None, true)).await;
    assert!(failure(&report).1);
}

#[tokio::test]
async fn what_an_earlier_daemon_began_is_never_repeated_blindly() {
    let bench = Bench::new();
    let run = bench.script("run.sh", "echo ran >> log");
    let once = resumed(command(run.clone(), None, false));
    let report = bench.carry_out(&once).await;
    assert!(unknown(&report).contains("is not repeated"));
    bench.hold();
    let report = bench.carry_out(&once).await;
    unknown(&report);
    fs::remove_file(bench.path("HOLD")).unwrap();
    assert!(!bench.path("log").exists(), "it ran");
    let observed = resumed(command(run.clone(), Some(line(&["test", "-e", "log"])), false));
    assert_eq!(bench.carry_out(&observed).await.outcome, Outcome::Done);
    assert_eq!(bench.carry_out(&observed).await.outcome, Outcome::AlreadyDone);
    assert_eq!(bench.carry_out(&resumed(command(run, None, true))).await.outcome, Outcome::Done);
    assert_eq!(bench.read("log"), "ran\nran\n");
}

#[tokio::test]
async fn a_hold_withholds_everything() {
    let bench = Bench::new();
    bench.hold();
    let run = bench.script("run.sh", "touch ran");
    for order in [command(run.clone(), None, true), order(Action::Check { run })] {
        let report = bench.carry_out(&order).await;
        assert!(matches!(&report.outcome, Outcome::Withheld { why } if why.contains("HOLD")));
    }
    assert!(!bench.path("ran").exists());
    // Pulled while the step is under way: whatever is asked next is withheld.
    fs::remove_file(bench.path("HOLD")).unwrap();
    let observe = bench.script("observe.sh", "touch HOLD; exit 1");
    let run = bench.script("run.sh", "touch ran");
    let report = bench.carry_out(&command(run, Some(observe), false)).await;
    assert!(matches!(report.outcome, Outcome::Withheld { .. }), "{report:?}");
    assert!(!bench.path("ran").exists());
}

#[tokio::test]
async fn a_command_that_hangs_is_ended_with_all_it_started() {
    let bench = Bench::new();
    let run = bench.script("run.sh", "sleep 1000 & echo $! > grandchild; echo begun; wait");
    let order = within(command(run, None, true), Span::seconds(2));
    let begun = Instant::now();
    let report = bench.carry_out(&order).await;
    let (why, retry) = failure(&report);
    assert!(retry && why.contains("did not end within"), "{why}");
    assert_eq!(report.output, "begun");
    assert!(begun.elapsed() < std::time::Duration::from_secs(2) + GRACE, "SIGTERM was enough");
    let pid = bench.read("grandchild").trim().parse().unwrap();
    assert!(gone(pid).await);
    assert!(!bench.has_records());
}

#[tokio::test]
async fn a_command_that_ignores_the_request_to_end_is_made_to() {
    let bench = Bench::new();
    let run = bench.script(
        "run.sh",
        "trap '' TERM; sleep 1000 & echo $! > grandchild; echo begun; sleep 1000",
    );
    let report = bench.carry_out(&within(command(run, None, false), Span::seconds(1))).await;
    assert!(unknown(&report).contains("no `observe` command"));
    assert!(gone(bench.read("grandchild").trim().parse().unwrap()).await);
}

#[tokio::test]
async fn a_dropped_attempt_takes_its_processes_with_it() {
    let bench = Bench::new();
    assert!(
        std::process::Command::new("mkfifo").arg(bench.path("begun")).status().unwrap().success()
    );
    let run = bench.script("run.sh", "sleep 1000 & echo $! > begun; wait");
    let order = command(run, None, true);
    let fifo = pipe::OpenOptions::new().read_write(true).open_receiver(bench.path("begun"));
    let mut begun = BufReader::new(fifo.unwrap()).lines();
    let pid = tokio::select! {
        pid = begun.next_line() => pid.unwrap().unwrap(),
        report = bench.carry_out(&order) => panic!("{report:?}"),
    };
    assert!(gone(pid.trim().parse().unwrap()).await);
}

#[tokio::test]
async fn a_chatty_command_neither_blocks_nor_fills_the_report() {
    let bench = Bench::new();
    let run =
        bench.script("run.sh", "yes | head -c 5000000; yes no | head -c 5000000 >&2; echo end");
    let report = bench.carry_out(&command(run, None, true)).await;
    assert_eq!(report.outcome, Outcome::Done);
    assert!(report.output.len() < 9000, "{}", report.output.len());
    assert!(report.output.starts_with("[4995908 bytes before this]\n"));
    assert!(report.output.contains("\nend\n["));
}

#[tokio::test]
async fn what_is_left_in_the_background_lives_on_and_is_told_of() {
    let bench = Bench::new();
    let run = bench.script("run.sh", "sleep 1000 & echo $! > service; echo started");
    let report = bench.carry_out(&command(run, None, true)).await;
    assert_eq!(report.outcome, Outcome::Done);
    assert!(report.output.starts_with("started\n[a process it started"), "{}", report.output);
    let pid = bench.read("service").trim().parse().unwrap();
    let service = Process::of(pid).unwrap();
    assert!(!has_ended(service, std::time::Duration::ZERO).await.unwrap());
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(service.pid).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
}

#[tokio::test]
async fn no_secret_is_seen_in_a_report() {
    let bench = Bench::new();
    fs::write(bench.path("password"), "hunter2\n").unwrap();
    let mut run =
        bench.script("run.sh", "echo \"using $PASSWORD\"; echo \"$PASSWORD\" >&2; exit 1");
    run.env.insert("PASSWORD".into(), secret_in(&bench.path("password")));
    let mut observe = bench.script("observe.sh", "echo \"seen $PASSWORD\"; exit 1");
    observe.env = run.env.clone();
    let report = bench.carry_out(&command(run, Some(observe), false)).await;
    let text = serde_json::to_string(&report).unwrap();
    assert!(!text.contains("hunter2"), "{text}");
    assert_eq!(report.output, "using [hidden]\n[hidden]");
}

#[tokio::test]
async fn what_cannot_be_started_fails_for_good() {
    let bench = Bench::new();
    fs::write(bench.path("plain"), "").unwrap();
    fs::write(bench.path("odd"), "#!/no/such/interpreter\n").unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(bench.path("odd"), executable).unwrap();
    for (argv, wanted) in [
        ("no-such-program", "was not found"),
        ("./plain", "is not executable"),
        ("./odd", "its interpreter was not found"),
    ] {
        let report = bench.carry_out(&command(line(&[argv]), None, true)).await;
        let (why, retry) = failure(&report);
        assert!(!retry && why.contains(wanted), "{why}");
    }
    assert!(!bench.has_records());
}

#[tokio::test]
async fn a_check_says_how_it_ended() {
    let bench = Bench::new();
    let check = |code| {
        let run = bench.script("check.sh", &format!("echo looked; exit {code}"));
        order(Action::Check { run })
    };
    assert_eq!(bench.carry_out(&check(0)).await.outcome, Outcome::Done);
    let report = bench.carry_out(&check(1)).await;
    assert_eq!((failure(&report), report.output.as_str()), (("it exited with 1", true), "looked"));
}

async fn gone(pid: u32) -> bool {
    match Process::of(pid) {
        Some(process) => has_ended(process, std::time::Duration::from_secs(10)).await.unwrap(),
        None => true,
    }
}
