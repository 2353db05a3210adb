//! Children that outlived a crash: the record that finds them again, and how they are dealt with.
//!
//! A record is durable before its child is started and is removed after the child has ended. Between the two it
//! holds no pid: such a child is found by the mark in its environment. A pid alone is never trusted: the start
//! time and the boot must be the same.

use std::{
    ffi::OsString,
    fs,
    io::{self, Write},
    os::unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tracing::warn;

use super::{
    child,
    process::{self, Process, Stat, boot_id, has_ended},
};
use crate::domain::{plan::hex, run::Order};

/// The variable that marks every child of a step. Unique to one attempt, so scripts can use it as idempotency key.
pub const MARK: &str = "ROLLBACKD_STEP";
/// The variable that says whose child it is: several daemons on one machine may count their runs alike.
pub const OWNER: &str = "ROLLBACKD_STATE";

/// What is written down about a child.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The run it belongs to.
    pub run: String,
    /// Which step.
    pub step: usize,
    /// Which attempt.
    pub attempt: u32,
    /// Whether of the fallback.
    pub fallback: bool,
    /// What was started.
    pub argv: Vec<String>,
    owner: PathBuf,
    boot: String,
    session: i32,
    process: Option<Process>,
}

/// Whether what a step starts could be recorded under the state directory `dir`. Without a record nothing is started,
/// so that a daemon that cannot do this could roll nothing back.
pub fn can_record(dir: &Path) -> io::Result<()> {
    whose(dir).map(drop)
}

/// What tells this daemon's children from those of another one, or of another boot: the directory, the boot, and the
/// session, which is 0 where it was begun outside our own view of the processes, as in a container.
fn whose(dir: &Path) -> io::Result<(PathBuf, String, i32)> {
    let stat = Stat::of(rustix::process::getpid().as_raw_nonzero().get())
        .ok_or_else(|| io::Error::other("/proc does not show this process"))?;
    Ok((fs::canonicalize(dir)?, boot_id()?, stat.session))
}

impl Record {
    /// The record of what this order starts, for the state directory `dir`.
    pub(super) fn of(dir: &Path, order: &Order, argv: &[String]) -> io::Result<Self> {
        let (owner, boot, session) = whose(dir)?;
        Ok(Self {
            run: order.run.clone(),
            step: order.step,
            attempt: order.attempt,
            fallback: order.fallback,
            argv: argv.to_owned(),
            owner,
            boot,
            session,
            process: None,
        })
    }

    /// The name of the record's file and the value of the child's mark.
    pub(super) fn mark(&self) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let mut run = self.run.replace(|c| !plain(c), "_");
        if run != self.run {
            run.push_str(&format!("_{}", hex(&Sha256::digest(&self.run)[..4])));
        }
        let fallback = if self.fallback { "f" } else { "" };
        format!("{run}-{}-{}{fallback}", self.step, self.attempt)
    }

    /// What is added to the child's environment, so that it is found without its pid.
    pub(super) fn environment(&self) -> [(&'static str, OsString); 2] {
        [(MARK, self.mark().into()), (OWNER, self.owner.clone().into())]
    }

    /// On disk when this returns. Without a pid: about to be started.
    pub(super) async fn write(&mut self, dir: &Path, pid: Option<u32>) -> io::Result<()> {
        self.process = pid.and_then(Process::of).or(self.process);
        let (record, dir) = (self.clone(), dir.to_owned());
        tokio::task::spawn_blocking(move || record.save(&dir)).await.map_err(io::Error::other)?
    }

    fn save(&self, dir: &Path) -> io::Result<()> {
        let children = dir.join("children");
        fs::create_dir_all(&children)?;
        let new = children.join(format!(".{}.new", self.mark()));
        let mut file =
            fs::File::options().create(true).write(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(&new, self.path(dir))?;
        fs::File::open(&children)?.sync_all()
    }

    /// The child has ended, or was never started.
    pub(super) fn remove(&self, dir: &Path) {
        if let Err(error) = fs::remove_file(self.path(dir))
            && error.kind() != io::ErrorKind::NotFound
        {
            warn!(path = %self.path(dir).display(), %error, "a child's record could not be removed");
        }
    }

    fn path(&self, dir: &Path) -> PathBuf {
        dir.join("children").join(format!("{}.json", self.mark()))
    }

    /// The child, if it still runs.
    fn survivor(&self) -> Option<Process> {
        if boot_id().ok()? != self.boot {
            return None;
        }
        self.process.map_or_else(|| self.search(), Some).filter(|process| process.is_alive())
    }

    /// The group leader with the mark, in the session of the daemon that started it. What such a child itself
    /// started into the background inherits the mark, but neither leads the group nor started first.
    fn search(&self) -> Option<Process> {
        let wanted = self
            .environment()
            .map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat());
        let marked = |pid: i32| {
            let env = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let entries: Vec<&[u8]> = env.split(|&byte| byte == 0).collect();
            wanted.iter().all(|entry| entries.contains(&entry.as_slice()))
        };
        process::all()
            .into_iter()
            .filter(|(pid, stat)| stat.group == *pid && stat.session == self.session)
            .filter(|(pid, _)| marked(*pid))
            .map(|(pid, stat)| Process { pid, started: stat.started })
            .min_by_key(|process| process.started)
    }
}

/// A child of an earlier daemon that still runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// What it was started for.
    pub record: Record,
    /// Which process it is.
    pub process: Process,
}

/// How an orphan came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It ended while it was waited for.
    ByItself,
    /// Its process group was ended.
    Ended,
}

/// Every child that outlived an earlier daemon. Records of children that have ended are cleared away.
///
/// To be called before this daemon starts anything of its own under the same state directory `dir`.
pub async fn orphans(dir: &Path) -> Vec<Orphan> {
    let dir = dir.to_owned();
    tokio::task::spawn_blocking(move || survivors(&dir, |_| true)).await.unwrap_or_default()
}

/// The orphans of one step of a run, whichever attempt started them.
pub(super) async fn of_step(dir: &Path, order: &Order) -> Vec<Orphan> {
    let (dir, run, step) = (dir.to_owned(), order.run.clone(), order.step);
    let of_it = move |record: &Record| record.run == run && record.step == step;
    tokio::task::spawn_blocking(move || survivors(&dir, of_it)).await.unwrap_or_default()
}

fn survivors(dir: &Path, wanted: impl Fn(&Record) -> bool) -> Vec<Orphan> {
    let Ok(entries) = fs::read_dir(dir.join("children")) else { return vec![] };
    let mut found = vec![];
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let record = fs::read(&path)
            .map_err(|error| error.to_string())
            .and_then(|text| serde_json::from_slice::<Record>(&text).map_err(|e| e.to_string()));
        match record {
            Ok(record) if !wanted(&record) => {}
            Ok(record) => match record.survivor() {
                Some(process) => found.push(Orphan { record, process }),
                None => record.remove(dir),
            },
            Err(why) => warn!(path = %path.display(), why, "a child's record cannot be read"),
        }
    }
    found
}

/// Waits for an orphan for at most `wait`, then ends its process group. Its record is removed.
pub async fn end_orphan(dir: &Path, orphan: &Orphan, wait: Duration) -> io::Result<Ending> {
    let ending = if has_ended(orphan.process, wait).await? {
        Ending::ByItself
    } else {
        let Some(group) = Pid::from_raw(orphan.process.pid) else {
            return Err(io::Error::other("a record without a pid"));
        };
        child::signal(group, Signal::TERM);
        let _ = has_ended(orphan.process, child::GRACE).await?;
        child::signal(group, Signal::KILL);
        if !has_ended(orphan.process, child::GRACE).await? {
            return Err(io::Error::other("it does not end, even by SIGKILL"));
        }
        Ending::Ended
    };
    orphan.record.remove(dir);
    Ok(ending)
}
