//! What a script of `tests/rig` serves, for as long as its standard input is open: it is told what to do there, and says what it has done.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Mutex, mpsc},
    time::Duration,
};

/// One that was started, and was ready. It ends with the value.
#[derive(Debug)]
pub(crate) struct Script {
    name: &'static str,
    /// How long it may take to start, or to do as it is told, on a machine that is busy with the other tests.
    within: Duration,
    child: Child,
    input: Mutex<Option<ChildStdin>>,
    lines: Mutex<mpsc::Receiver<String>>,
}

impl Script {
    /// Runs `tests/rig/NAME serve HOME` with further arguments and variables; what it said before it was ready.
    pub(crate) fn serve(
        (name, home): (&'static str, &Path),
        arguments: &[&str],
        variables: &[(&str, &str)],
        within: Duration,
    ) -> (Self, Vec<String>) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rig").join(name);
        let mut child = Command::new(script)
            .args([Path::new("serve"), home])
            .args(arguments)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the script can be started");
        let (input, output) = (child.stdin.take(), child.stdout.take().expect("it is piped"));
        let (said, lines) = mpsc::channel();
        // Ends with the process, whose end closes the pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = said.send(line);
            }
        });
        let (input, lines) = (Mutex::new(input), Mutex::new(lines));
        let script = Self { name, within, child, input, lines };
        let said = script.wait_for("ready");
        (script, said)
    }

    /// `kill server`, `start apiserver`: returns when it is done.
    pub(crate) fn tell(&self, what: &str) {
        let mut input = self.input.lock().expect("the input's lock");
        writeln!(input.as_mut().expect("it was not dropped"), "{what}").expect("the script reads");
        self.wait_for(&format!("done: {what}"));
    }

    fn wait_for(&self, line: &str) -> Vec<String> {
        let lines = self.lines.lock().expect("the lines' lock");
        let mut before = vec![];
        loop {
            match lines.recv_timeout(self.within) {
                Ok(said) if said == line => return before,
                Ok(said) => before.push(said),
                Err(_) => panic!(
                    "no `{line}`; if its programs are missing run `tests/rig/{} install`",
                    self.name
                ),
            }
        }
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        drop(self.input.lock().expect("the input's lock").take());
        let _ = self.child.wait();
    }
}
