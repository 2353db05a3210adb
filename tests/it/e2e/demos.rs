//! Every story that the demo can play ends as it promises.

use std::{
    process::{Command, Output},
    time::{Duration, Instant},
};

use rollbackd::demo::scenario::Scenario;

/// What the demo promises, and a little for starting the process.
const ENDS_WITHIN: Duration = Duration::from_secs(40);

fn play(scenario: Scenario) -> (Scenario, Duration, Output) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let begun = Instant::now();
    let played = Command::new(env!("CARGO_BIN_EXE_rollbackd"))
        .args(["demo", &scenario.to_string(), "--dir"])
        .arg(home.path())
        .output();
    (scenario, begun.elapsed(), played.expect("the program can be started"))
}

/// What a story says that was not over in time.
const LATE: &str = "in time";

/// Why a demo did not end as it promises, and whether only because it took too long.
fn wrong((scenario, took, output): &(Scenario, Duration, Output)) -> Option<(String, bool)> {
    let said = String::from_utf8_lossy(&output.stderr);
    let late = took > &ENDS_WITHIN || said.contains(LATE);
    (!output.status.success() || late).then(|| {
        let shown = String::from_utf8_lossy(&output.stdout);
        (format!("--- {scenario}: {} after {took:?}\n{shown}{said}\n", output.status), late)
    })
}

/// The promise is made to somebody who plays one demo. Played all at once beside every other test, one that is late
/// is played again by itself; whatever else goes wrong is wrong at once.
#[test]
fn all_demos_end_as_they_promise() {
    let threads = Scenario::ALL.map(|scenario| std::thread::spawn(move || play(scenario)));
    let played: Vec<_> = threads.map(|t| t.join().expect("a demo was played")).into();
    let mut faults = vec![];
    for demo in &played {
        match wrong(demo) {
            Some((_, true)) => faults.extend(wrong(&play(demo.0)).map(|(why, _)| why)),
            Some((why, false)) => faults.push(why),
            None => {}
        }
    }
    assert!(faults.is_empty(), "{}", faults.concat());
}
