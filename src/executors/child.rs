//! A running child process: output captured in bounded memory, its whole process group ended on timeout.
//!
//! Nothing here decides what an exit status means.

use std::{
    fmt,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    task::JoinHandle,
    time::{Instant, sleep, timeout, timeout_at},
};
use tracing::warn;

use super::{
    orphan::Record,
    process::group_runs,
    program::{CannotStart, Program},
    tail::Tail,
};
use crate::domain::struck::struck_of_program;

/// Between asking a process group to end and making it.
pub(super) const GRACE: Duration = Duration::from_secs(5);
/// For output still on its way when the program has ended.
const DRAIN: Duration = Duration::from_millis(500);

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Exited(i32),
    Signalled(i32),
    TimedOut(Duration),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "it exited with {code}"),
            Self::Signalled(signal) => write!(f, "it was ended by signal {signal}"),
            Self::TimedOut(after) => {
                write!(f, "it did not end within {:.1} s and was ended", after.as_secs_f64())
            }
        }
    }
}

/// A program that has ended.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) end: End,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Ran {
    pub(super) fn is_ok(&self) -> bool {
        self.end == End::Exited(0)
    }

    /// Both streams, for people, without what looks like a secret that the program read by itself.
    pub(super) fn output(&self) -> String {
        let streams = [self.stdout.as_str(), self.stderr.as_str()];
        let both = streams.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>();
        struck_of_program(&both.join("\n"))
    }
}

/// Runs until the program ends, its own timeout passes or `until` comes; then its process group is ended.
///
/// With a record the child is found again after a crash at any instruction. Dropped, it takes the group with it.
pub(super) async fn run(
    program: &Program,
    record: Option<(&Path, Record)>,
    until: Instant,
) -> Result<Ran, CannotStart> {
    let mut command = Command::new(&program.path);
    command
        .args(&program.argv[1..])
        .env_clear()
        .envs(program.env.iter().map(|(name, value)| (name, value)))
        .current_dir(&program.dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let busy = |why: String| CannotStart::Busy { program: program.path.clone(), why };
    let mut kept = record;
    if let Some((dir, record)) = &mut kept {
        command.envs(record.environment());
        record
            .write(dir, None)
            .await
            .map_err(|error| busy(format!("it cannot be recorded: {error}")))?;
    }
    let begun = Instant::now();
    let spawned = command.spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            if let Some((dir, record)) = &kept {
                record.remove(dir);
            }
            return Err(CannotStart::of(&program.path, &error));
        }
    };
    let group = Group::of(&child);
    if let Some((dir, record)) = &mut kept
        && let Err(error) = record.write(dir, child.id()).await
    {
        // The record without a pid is still there, and finds the child by its mark.
        warn!(%error, "the pid of a child could not be recorded");
    }
    let stdout = Capture::of(child.stdout.take(), program.shown, &program.secrets);
    let stderr = Capture::of(child.stderr.take(), program.shown, &program.secrets);
    let until = until.min(begun + program.timeout);
    let status = match timeout_at(until, child.wait()).await {
        Ok(status) => Some(status.map_err(|error| busy(error.to_string()))?),
        Err(_) => {
            group.end(&mut child).await;
            None
        }
    };
    group.disarm();
    if let Some((dir, record)) = &kept {
        record.remove(dir);
    }
    let end = status.map_or_else(|| End::TimedOut(begun.elapsed()), end_of);
    let (stdout, stderr) =
        tokio::join!(stdout.text(&program.secrets), stderr.text(&program.secrets));
    Ok(Ran { end, stdout, stderr })
}

fn end_of(status: ExitStatus) -> End {
    match status.code() {
        Some(code) => End::Exited(code),
        None => End::Signalled(status.signal().unwrap_or(0)),
    }
}

/// Sends to a whole process group; one that has ended is no fault.
pub(super) fn signal(group: Pid, signal: Signal) {
    if let Err(error) = kill_process_group(group, signal)
        && error != rustix::io::Errno::SRCH
    {
        warn!(%error, group = group.as_raw_nonzero().get(), "a process group could not be ended");
    }
}

/// The child's process group, ended when this is dropped before the child has ended.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw))
    }

    fn disarm(mut self) {
        self.0 = None;
    }

    /// Asks the group, waits for all of it, then makes it.
    async fn end(&self, child: &mut Child) {
        let Some(group) = self.0 else { return };
        let until = Instant::now() + GRACE;
        signal(group, Signal::TERM);
        let leader_ended = timeout_at(until, child.wait()).await.is_ok();
        while leader_ended && Instant::now() < until && group_runs(group) {
            sleep(Duration::from_millis(20)).await;
        }
        signal(group, Signal::KILL);
        if timeout(GRACE, child.wait()).await.is_err() {
            warn!("a child does not end, even by SIGKILL");
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            signal(group, Signal::KILL);
        }
    }
}

/// One stream, read by a task of its own so that the child never waits for us.
struct Capture {
    tail: Arc<Mutex<Tail>>,
    reader: JoinHandle<()>,
}

impl Capture {
    fn of(
        stream: Option<impl AsyncRead + Unpin + Send + 'static>,
        shown: usize,
        secrets: &[String],
    ) -> Self {
        let tail = Arc::new(Mutex::new(Tail::new(shown, secrets)));
        let into = Arc::clone(&tail);
        let reader = tokio::spawn(async move {
            let Some(mut stream) = stream else { return };
            let mut chunk = [0; 8192];
            while let Ok(count @ 1..) = stream.read(&mut chunk).await {
                into.lock().unwrap_or_else(PoisonError::into_inner).push(&chunk[..count]);
            }
        });
        Self { tail, reader }
    }

    /// What came until the end. Where something that the program left behind still holds the stream, reading goes
    /// on by itself: closing it would end that process at its next line.
    async fn text(mut self, secrets: &[String]) -> String {
        let held = timeout(DRAIN, &mut self.reader).await.is_err();
        let mut text = self.tail.lock().unwrap_or_else(PoisonError::into_inner).text(secrets);
        if held {
            text.push_str(
                "\n[a process it started still holds this stream; redirect its output to a file or the journal]",
            );
        }
        text
    }
}
