//! Processes as `/proc` shows them: identified beyond doubt, and waited for without being their parent.

use std::{fs, io, path::Path, sync::Arc, time::Duration};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, pidfd_open},
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::units::UnixMs;

/// A process that cannot be mistaken for a later one with the same pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its pid; also its process group.
    pub pid: i32,
    /// In clock ticks since boot.
    pub started: u64,
}

impl Process {
    pub(super) fn of(pid: u32) -> Option<Self> {
        let pid = i32::try_from(pid).ok()?;
        Some(Self { pid, started: Stat::of(pid)?.started })
    }

    /// Whether it is still there and not a zombie.
    pub(super) fn is_alive(self) -> bool {
        Stat::of(self.pid).is_some_and(|stat| stat.started == self.started && stat.runs)
    }
}

/// Whether it ended within `wait`.
pub(super) async fn has_ended(process: Process, wait: Duration) -> io::Result<bool> {
    let until = Instant::now() + wait;
    let Some(pid) = Pid::from_raw(process.pid) else { return Ok(true) };
    let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { return Ok(!process.is_alive()) };
    let handle = Arc::new(handle);
    // Looked at after the handle was opened, so that the handle cannot be of a later process.
    while process.is_alive() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        // In short turns, so that a daemon that is going down never waits for the thread.
        let turn =
            Timespec::try_from(left.min(Duration::from_secs(1))).map_err(io::Error::other)?;
        let handle = Arc::clone(&handle);
        let poll = move || poll(&mut [PollFd::new(&*handle, PollFlags::IN)], Some(&turn));
        match tokio::task::spawn_blocking(poll).await.map_err(io::Error::other)? {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

/// What the kernel keeps about a process.
pub(super) struct Stat {
    runs: bool,
    pub(super) group: i32,
    pub(super) session: i32,
    pub(super) started: u64,
}

impl Stat {
    pub(super) fn of(pid: i32) -> Option<Self> {
        let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
        let text = String::from_utf8_lossy(&text);
        // The name in parentheses may itself hold spaces and parentheses.
        let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
        Some(Self {
            runs: !matches!(*fields.first()?, "Z" | "X" | "x"),
            group: fields.get(2)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }
}

/// When a process was started, by this machine's clock, in whole seconds.
pub(super) fn started_at(pid: i32) -> Option<UnixMs> {
    /// In these the kernel counts for programs, on every architecture.
    const TICKS: u64 = 100;
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let boot: u64 = stat.lines().find_map(|line| line.strip_prefix("btime "))?.parse().ok()?;
    let seconds = boot + Stat::of(pid)?.started / TICKS;
    i64::try_from(seconds).ok().map(|seconds| UnixMs(seconds * 1_000))
}

/// Every process that can be seen, with what the kernel keeps about it.
pub(super) fn all() -> Vec<(i32, Stat)> {
    let Ok(entries) = fs::read_dir("/proc") else { return vec![] };
    let pids =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| Some((pid, Stat::of(pid)?))).collect()
}

/// Whether anything of a process group still runs. Zombies do not: where nobody reaps them, as under a container's
/// first process, a group would otherwise never end.
pub(super) fn group_runs(group: Pid) -> bool {
    let group = group.as_raw_nonzero().get();
    all().iter().any(|(_, stat)| stat.group == group && stat.runs)
}

/// Different after every start of the machine.
pub(super) fn boot_id() -> io::Result<String> {
    boot_id_in(Path::new("/proc"))
}

fn boot_id_in(proc: &Path) -> io::Result<String> {
    let path = proc.join("sys/kernel/random/boot_id");
    let text = fs::read_to_string(&path).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("{}: {error}; a sandbox must not hide it (ProcSubset=pid)", path.display()),
        )
    })?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_that_a_sandbox_hides_is_an_error_that_names_it() {
        let whole = boot_id().unwrap();
        assert_eq!(whole.len(), 36, "{whole}");
        let hidden = tempfile::tempdir().unwrap();
        let error = boot_id_in(hidden.path()).unwrap_err().to_string();
        assert!(error.contains("boot_id") && error.contains("ProcSubset=pid"), "{error}");
    }
}
