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

#[test]
fn all_demos_end_as_they_promise() {
    let threads = Scenario::ALL.map(|scenario| std::thread::spawn(move || play(scenario)));
    let mut wrong = String::new();
    for thread in threads {
        let (scenario, took, output) = thread.join().expect("a demo was played");
        if !output.status.success() || took > ENDS_WITHIN {
            wrong.push_str(&format!(
                "--- {scenario}: {} after {took:?}\n{}{}\n",
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
