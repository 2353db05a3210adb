use std::{
    os::unix::process::CommandExt,
    process::{Child, Command},
    time::Duration,
};

use super::*;
use crate::executors::{
    orphan::{Ending, Orphan, Record, end_orphan, orphans},
    process::Process,
};

/// A child of a daemon that has crashed: started as a step's child is, with its record still there.
struct Left {
    child: Child,
    record: Record,
}

impl Left {
    async fn behind(bench: &Bench, order: &Order, argv: &[&str], pid_was_recorded: bool) -> Self {
        let words: Vec<String> = argv.iter().map(|&arg| arg.to_owned()).collect();
        let mut record = Record::of(bench.dir.path(), order, &words).unwrap();
        record.write(bench.dir.path(), None).await.unwrap();
        let child = Command::new(argv[0])
            .args(&argv[1..])
            .current_dir(bench.dir.path())
            .envs(record.environment())
            .process_group(0)
            .spawn()
            .unwrap();
        if pid_was_recorded {
            record.write(bench.dir.path(), Some(child.id())).await.unwrap();
        }
        Self { child, record }
    }

    fn process(&self) -> Process {
        Process::of(self.child.id()).unwrap()
    }

    fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn some_order() -> Order {
    resumed(command(line(&["true"]), None, true))
}

#[tokio::test]
async fn a_child_that_outlived_a_crash_is_found_and_ended() {
    for pid_was_recorded in [true, false] {
        let bench = Bench::new();
        let order = Order { run: "checkout/production/7".into(), ..some_order() };
        let mut left = Left::behind(&bench, &order, &["sleep", "1000"], pid_was_recorded).await;
        let found = orphans(bench.dir.path()).await;
        let [orphan] = found.as_slice() else { panic!("{pid_was_recorded}: {found:?}") };
        assert_eq!(orphan.process, left.process());
        assert_eq!((orphan.record.run.as_str(), orphan.record.step), (order.run.as_str(), 0));
        let ending = end_orphan(bench.dir.path(), orphan, Duration::ZERO).await.unwrap();
        assert_eq!(ending, Ending::Ended);
        assert!(!left.runs());
        assert!(!bench.has_records());
        assert_eq!(orphans(bench.dir.path()).await, []);
    }
}

#[tokio::test]
async fn a_later_process_of_the_same_pid_is_left_alone() {
    let bench = Bench::new();
    let mut left = Left::behind(&bench, &some_order(), &["sleep", "1000"], true).await;
    let path = bench.path("children").join(format!("{}.json", left.record.mark()));
    let text = fs::read_to_string(&path).unwrap();
    let started = format!("\"started\":{}", left.process().started);
    for (real, other) in [(started.as_str(), "\"started\":1"), ("\"boot\":\"", "\"boot\":\"x")] {
        assert!(text.contains(real));
        fs::write(&path, text.replace(real, other)).unwrap();
        assert_eq!(orphans(bench.dir.path()).await, []);
        assert!(!path.exists(), "nothing is left to look for");
    }
    assert!(left.runs());
}

#[tokio::test]
async fn a_child_that_was_never_started_leaves_nothing() {
    let (bench, other) = (Bench::new(), Bench::new());
    let mut of_another = Left::behind(&other, &some_order(), &["sleep", "1000"], false).await;
    let mut record = Record::of(bench.dir.path(), &some_order(), &["true".into()]).unwrap();
    record.write(bench.dir.path(), None).await.unwrap();
    fs::write(bench.path("children/torn.json"), "{").unwrap();
    assert_eq!(orphans(bench.dir.path()).await, []);
    let names: Vec<_> =
        fs::read_dir(bench.path("children")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["torn.json"]);
    assert!(of_another.runs(), "another daemon's child of the same mark");
    assert_eq!(orphans(other.dir.path()).await.len(), 1);
}

#[tokio::test]
async fn a_resumed_step_waits_for_its_orphan_before_it_looks() {
    let bench = Bench::new();
    assert!(Command::new("mkfifo").arg(bench.path("go")).status().unwrap().success());
    let script = bench.script("run.sh", "read go < go; sleep 2; touch in-effect");
    let argv: Vec<&str> = script.argv.iter().map(String::as_str).collect();
    let observe = Some(line(&["test", "-e", "in-effect"]));
    let order = resumed(command(script.clone(), observe, false));
    let mut left = Left::behind(&bench, &order, &argv, true).await;
    let go = bench.path("go");
    let write = tokio::task::spawn_blocking(move || fs::write(go, "go\n"));
    let report = bench.carry_out(&order).await;
    write.await.unwrap().unwrap();
    assert_eq!(report.outcome, Outcome::AlreadyDone, "{report:?}");
    assert!(report.output.contains("left over from an earlier attempt, ended by itself"));
    assert!(!left.runs());
}

#[tokio::test]
async fn an_orphan_that_does_not_end_is_ended_before_its_step_is_repeated() {
    let bench = Bench::new();
    let run = bench.script("run.sh", "touch in-effect");
    let first = within(resumed(command(run, None, true)), Span::seconds(2));
    let mut left = Left::behind(&bench, &first, &["sleep", "1000"], true).await;
    bench.hold();
    let held = bench.carry_out(&first).await;
    assert!(matches!(held.outcome, Outcome::Withheld { .. }));
    assert!(left.runs(), "a hold forbids ending things too");
    fs::remove_file(bench.path("HOLD")).unwrap();
    // A withheld attempt is begun anew, no longer as a resumed one: its orphan is found all the same.
    let mut anew = first;
    (anew.resumed, anew.attempt) = (false, 2);
    let report = bench.carry_out(&anew).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert!(report.output.contains("did not end in time and was ended"));
    assert!(!left.runs());
    let others: Vec<Orphan> = orphans(bench.dir.path()).await;
    assert_eq!(others, []);
}
