//! From the journal to what is true: a checkpoint, then every later record folded in.

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;

use super::rounds;
use crate::{
    domain::{event::Now, fact, fact::Fact, fleet::Fleet, policy::Policy, service::ServiceId},
    store::{Checkpoint, Record, Store, StoreError},
    units::UnixMs,
};

/// The stream of facts that belong to no service.
pub const FLEET_STREAM: &str = "fleet";
/// The key under which a checkpoint notes the version of its facts.
pub const CHECKPOINT_KIND: &str = "fleet";

/// What the journal says is true, and when it was last written.
pub fn recover(store: &Store, policy: Policy) -> anyhow::Result<(Fleet, Option<Now>)> {
    let mut fleet = Fleet::new(policy, store.lease().epoch());
    let mut after = 0;
    let checkpoint = store.view().load_checkpoint().context("the checkpoint cannot be read")?;
    if let Some(kept) = checkpoint {
        match usable(&kept) {
            Ok(body) => {
                fleet.restore(body);
                after = kept.seq;
            }
            // While the journal is whole the checkpoint only saves time. Without its beginning, what the checkpoint
            // held is nowhere else.
            Err(why) => {
                let first = store.view().first_seq()?;
                if first.is_none_or(|seq| seq > 1) {
                    bail!(
                        "the checkpoint at record {} is of no use ({why}), and the records it stands for are pruned; \
                         run the rollbackd that wrote it, restore a backup, or move the database aside to begin anew",
                        kept.seq
                    );
                }
                tracing::warn!("the checkpoint is of no use, folding the journal: {why}");
            }
        }
    }
    let mut folding = Folding::over(fleet, after);
    store
        .view()
        .replay(after, |record: Record| folding.fold(&record).map_err(Unreadable::Fact))
        .context("the journal cannot be folded")?;
    let Folding { mut fleet, mut last, .. } = folding;
    if last.is_none() && after > 0 {
        let newest = store.view().last(1)?;
        last = newest.first().map(|r| Now { wall: r.fact.at, steady: UnixMs(r.fact.steady_ms) });
    }
    restore_windows(store, &mut fleet, last);
    Ok((fleet, last))
}

/// What the journal says is true, record after record.
#[derive(Debug)]
pub struct Folding {
    /// What is true after the records so far.
    pub fleet: Fleet,
    /// When the last of them was written.
    pub last: Option<Now>,
    seq: u64,
}

impl Folding {
    /// Goes on from what is true after the first `seq` records.
    pub fn over(fleet: Fleet, seq: u64) -> Self {
        Self { fleet, last: None, seq }
    }

    /// Folds the next record. One that is in already, as behind an older checkpoint, changes nothing.
    pub fn fold(&mut self, record: &Record) -> anyhow::Result<()> {
        if record.seq <= self.seq {
            return Ok(());
        }
        let now = Now { wall: record.fact.at, steady: UnixMs(record.fact.steady_ms) };
        let (service, fact) = parse(record)?;
        self.fleet.recover(service.as_ref(), &fact, now);
        (self.seq, self.last) = (record.seq, Some(now));
        Ok(())
    }
}

fn usable<T: DeserializeOwned>(kept: &Checkpoint) -> Result<T, String> {
    match kept.versions.get(CHECKPOINT_KIND) {
        Some(&fact::VERSION) => serde_json::from_str(&kept.body).map_err(|fault| fault.to_string()),
        Some(other) => Err(format!("its version is {other}, this one reads {}", fact::VERSION)),
        None => Err("it does not say its version".to_owned()),
    }
}

/// Why the journal could not be folded.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("the journal cannot be read")]
    Store(#[from] StoreError),
    #[error("a record cannot be understood")]
    Fact(#[source] anyhow::Error),
}

/// Whose fact a record is, and which.
pub fn parse(record: &Record) -> anyhow::Result<(Option<ServiceId>, Fact)> {
    if record.fact.fact_version > fact::VERSION {
        bail!(
            "record {} was written by rollbackd {}, which is newer; run that version or a newer one",
            record.seq,
            record.daemon_version
        );
    }
    let fact = serde_json::from_str(&record.fact.body).with_context(|| {
        format!("record {} of {} is not a fact", record.seq, record.fact.stream)
    })?;
    let service = match record.fact.stream.as_str() {
        FLEET_STREAM => None,
        stream => Some(stream.parse().map_err(anyhow::Error::msg)?),
    };
    Ok((service, fact))
}

fn restore_windows(store: &Store, fleet: &mut Fleet, last: Option<Now>) {
    // Without a record no clock was set.
    let now = last.unwrap_or(Now { wall: UnixMs(0), steady: UnixMs(0) });
    let snapshots = match store.view().load_snapshots() {
        Ok(snapshots) => snapshots,
        Err(fault) => {
            tracing::warn!("the windows begin empty: {fault}");
            return;
        }
    };
    let (pasts, windows): (Vec<_>, Vec<_>) =
        snapshots.into_iter().partition(|s| rounds::of_past(&s.key).is_some());
    // What is older first: a snapshot holds what came since.
    for snapshot in pasts.into_iter().chain(windows) {
        let past = rounds::of_past(&snapshot.key);
        let Some(id) = past.clone().or_else(|| snapshot.key.parse().ok()) else { continue };
        let Some(watch) = fleet.watches.get_mut(&id) else { continue };
        let body = &snapshot.body;
        let restored = match past {
            Some(_) => serde_json::from_slice(body).map(|past| watch.restore_past(&past)),
            None => serde_json::from_slice(body).map(|kept| fleet.restore_windows(&id, kept, now)),
        };
        if let Err(fault) = restored {
            tracing::warn!(service = %id, "the windows of {id} begin empty: {fault}");
        }
    }
}
