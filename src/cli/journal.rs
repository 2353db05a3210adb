//! `rollbackd journal verify|export|rescue`: reads the state directory itself, for there may be no daemon that can.

use std::{
    fs::OpenOptions,
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Fault, Out};
use crate::store::{
    StoreError,
    salvage::{Readable, Rescued, Salvage, Verdict, Wrong},
};

/// Everything that can be read, beside the new journal.
const EXPORTED: &str = "facts.jsonl";

/// The journal of facts, whole or damaged, beside a running daemon or without one.
#[derive(Debug, Args)]
pub(super) struct Journal {
    #[command(subcommand)]
    what: What,
}

/// Where it is.
#[derive(Debug, Args)]
struct Place {
    /// Where the daemon keeps its state.
    #[arg(
        long,
        value_name = "DIR",
        env = "ROLLBACKD_STATE_DIR",
        default_value = "/var/lib/rollbackd"
    )]
    state_dir: PathBuf,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Check every record; say what is wrong, and what can still be read. Exits 0 when whole, 65 when damaged, 66 when
    /// there is none, 69 when a newer rollbackd wrote it.
    Verify(Place),
    /// Print every fact that can be read, one JSON object a line; exits as `verify` does.
    Export(Place),
    /// Make a new state directory of what can be read; the old one stays as it is.
    Rescue {
        #[command(flatten)]
        place: Place,
        /// A directory that does not exist yet.
        #[arg(long, value_name = "DIR")]
        into: PathBuf,
    },
}

impl Journal {
    pub(super) fn run(self, out: &Out) -> Result<(), Fault> {
        match self.what {
            What::Verify(place) => verify(&place, out),
            What::Export(place) => export(&place, out),
            What::Rescue { place, into } => rescue(&place, &into, out),
        }
    }
}

fn open(place: &Place) -> Result<Salvage, Fault> {
    Salvage::open(&place.state_dir).map_err(fault)
}

/// Why a journal cannot be read.
pub(super) fn fault(fault: StoreError) -> Fault {
    let text = crate::telemetry::chain(&fault);
    if matches!(fault, StoreError::Absent { .. }) {
        return Fault::NoJournal(text);
    }
    if matches!(fault, StoreError::NewerSchema { .. }) {
        return Fault::Newer(text);
    }
    let elsewhere = matches!(fault, StoreError::NotEmpty { .. });
    if elsewhere { Fault::Usage(text) } else { Fault::Other(text) }
}

/// Whether it is whole, as an exit code.
fn judged(verdict: &Verdict, advice: &str) -> Result<(), Fault> {
    if verdict.whole {
        return Ok(());
    }
    let path = verdict.path.display();
    if verdict.wrong.iter().all(is_newer) {
        return Err(Fault::Newer(format!("{path} was written by a newer rollbackd; run that one")));
    }
    Err(Fault::Damaged(format!("{path} is damaged; {advice}")))
}

fn is_newer(wrong: &Wrong) -> bool {
    matches!(wrong, Wrong::NewerSchema { .. } | Wrong::NewerFact { .. })
}

fn verify(place: &Place, out: &Out) -> Result<(), Fault> {
    let salvage = open(place)?;
    let verdict = salvage.verdict();
    if place.json {
        out.json(verdict)?;
    } else {
        out.text(&text(verdict))?;
    }
    let dir = place.state_dir.display();
    judged(
        verdict,
        &format!("`rollbackd journal rescue --state-dir {dir} --into NEW` makes a new one of it"),
    )
}

/// What was found, in words.
pub(super) fn text(verdict: &Verdict) -> String {
    let listed = |runs: Vec<String>| match runs.len() {
        0 => "none".to_owned(),
        1..=10 => runs.join(", "),
        more => format!("{}, and {} more runs", runs[..10].join(", "), more - 10),
    };
    let sound = listed(
        verdict
            .sound
            .iter()
            .map(|run| match run.from == run.through {
                true => run.from.to_string(),
                false => format!("{} to {}", run.from, run.through),
            })
            .collect(),
    );
    let state = if verdict.whole { "whole" } else { "not whole" };
    let mut text = format!("{}: {state}\n", verdict.path.display());
    for wrong in &verdict.wrong {
        text.push_str(&format!("  {wrong}\n"));
    }
    if verdict.more > 0 {
        text.push_str(&format!("  and {} more\n", verdict.more));
    }
    let written = verdict.last - verdict.pruned;
    text.push_str(&format!(
        "readable: {} of {written} records\nsound: {sound}\n",
        verdict.readable
    ));
    if verdict.pruned > 0 {
        text.push_str(&format!("removed by retention: 1 to {}\n", verdict.pruned));
    }
    match verdict.checkpoint {
        Some(seq) => text.push_str(&format!("checkpoint: at record {seq}\n")),
        None => text.push_str("checkpoint: none\n"),
    }
    text
}

fn export(place: &Place, out: &Out) -> Result<(), Fault> {
    let salvage = open(place)?;
    let mut stdout = BufWriter::new(io::stdout().lock());
    let written = write_all(&salvage, &mut stdout).and_then(|count| {
        stdout.flush().map_err(Stop::Print)?;
        Ok(count)
    });
    match written {
        // Whoever read only the first lines has seen enough.
        Err(Stop::Print(why)) if why.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
        Err(Stop::Print(why)) => {
            return Err(Fault::Other(format!("the facts could not be printed: {why}")));
        }
        Err(Stop::Read(why)) => return Err(fault(why)),
        Ok(count) => out.aside(&format!("{count} facts")),
    }
    judged(
        salvage.verdict(),
        "what could be read of it is printed, `\"sound\": false` where altered",
    )
}

/// What ends an export early.
enum Stop {
    Read(StoreError),
    Print(io::Error),
}

impl From<StoreError> for Stop {
    fn from(fault: StoreError) -> Self {
        Self::Read(fault)
    }
}

fn write_all(salvage: &Salvage, to: &mut impl Write) -> Result<u64, Stop> {
    let mut count = 0;
    salvage.each(|readable| {
        count += 1;
        writeln!(to, "{}", line(&readable)).map_err(Stop::Print)
    })?;
    Ok(count)
}

/// One record, as it is exported.
fn line(readable: &Readable) -> Value {
    let Readable { record, sound } = readable;
    let written = &record.fact;
    let service = Some(&written.stream).filter(|stream| stream.contains('/'));
    let fact = serde_json::from_str(&written.body).unwrap_or(json!(written.body));
    json!({
        "seq": record.seq,
        "time": written.at.to_string(),
        "service": service,
        "incident": written.incident,
        "kind": written.kind,
        "sound": sound,
        "fact": fact,
        "fact_version": written.fact_version,
        "cause": written.cause,
        "stream": written.stream,
        "stream_seq": record.stream_seq,
        "epoch": record.epoch,
        "steady_ms": written.steady_ms,
        "daemon_version": record.daemon_version,
        "config_hash": written.config_hash,
        "policy_version": written.policy_version,
        "prev_hash": record.prev_hash,
        "hash": record.hash,
    })
}

fn rescue(place: &Place, into: &Path, out: &Out) -> Result<(), Fault> {
    let salvage = open(place)?;
    let rescued = salvage.rescue(into).map_err(fault)?;
    let exported = into.join(EXPORTED);
    let count = save(&salvage, &exported)?;
    if place.json {
        let (facts, verdict) = (count, salvage.verdict());
        return out.json(&json!({
            "rescued": rescued, "exported": exported, "facts": facts, "verdict": verdict,
        }));
    }
    out.text(&told(&rescued, count, &exported))
}

fn save(salvage: &Salvage, path: &Path) -> Result<u64, Fault> {
    let failed = |why: io::Error| Fault::Other(format!("{}: {why}", path.display()));
    let mut options = OpenOptions::new();
    let file = options.create_new(true).write(true).mode(0o600).open(path).map_err(failed)?;
    let mut to = BufWriter::new(file);
    let count = match write_all(salvage, &mut to) {
        Ok(count) => count,
        Err(Stop::Read(why)) => return Err(fault(why)),
        Err(Stop::Print(why)) => return Err(failed(why)),
    };
    let file = to.into_inner().map_err(|why| failed(why.into_error()))?;
    file.sync_all().map_err(failed)?;
    Ok(count)
}

fn told(rescued: &Rescued, count: u64, exported: &Path) -> String {
    let mut text = format!("{}: a new state directory\n", rescued.into.display());
    match (rescued.records, rescued.checkpoint) {
        (Some(run), _) => text.push_str(&format!("its journal holds {run}\n")),
        (None, Some(seq)) => {
            text.push_str(&format!("its journal stands on the checkpoint at record {seq}\n"));
        }
        (None, None) => {}
    }
    text.push_str(&format!(
        "every fact that could be read, {count} of them: {}\n",
        exported.display()
    ));
    match (&rescued.unknown, &rescued.hold) {
        (Some(unknown), Some(hold)) => text.push_str(&format!(
            "NOT COMPLETE: what {unknown} said is not in it. {} keeps the daemon from acting: compare `rollbackd status` \
             with what is deployed, then remove it\n",
            hold.display()
        )),
        _ => text.push_str("complete: everything that the daemon needs is in it\n"),
    }
    text.push_str("next: stop the daemon, move the old directory aside, and move this one into its place, owned by the same user\n");
    text
}
