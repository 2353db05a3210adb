//! The state directory, in memory: the real records in the real chain, and the outbox beside them. What stands here
//! survived every crash; what does not, is lost.

use std::collections::BTreeMap;

use rollbackd::{
    daemon::recovery,
    domain::{
        fact::Fact,
        notice::{Notice, Urgency},
        service::ServiceId,
    },
    store::{
        Draft, OutboxDraft, Record, lane,
        queue::{self, Pick, Waiting},
    },
    units::{Span, UnixMs},
};

/// Why nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The daemon is dead, whatever was written before.
    Crash,
    DiskFull,
    /// Another daemon has the lease.
    Stale,
}

/// A notice waiting for one channel.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    id: i64,
    pub(crate) notice: Notice,
    attempts: u32,
    next_try_at: UnixMs,
}

/// A notice to send now.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    pub(crate) notice: Notice,
    pub(crate) attempts: u32,
    rows: Vec<i64>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Journal {
    pub(crate) records: Vec<Record>,
    streams: BTreeMap<String, u64>,
    /// Who may write.
    pub(crate) epoch: u64,
    pub(crate) full_until: i64,
    /// What each channel has still to take.
    pub(crate) outbox: BTreeMap<String, Vec<Row>>,
    /// After how many records it was made, and what it says.
    pub(crate) checkpoint: Option<(usize, String)>,
    /// The windows, as last written down.
    pub(crate) snapshots: BTreeMap<ServiceId, String>,
    rows: i64,
}

impl Journal {
    /// The place and hash of the last record.
    pub(crate) fn tail(&self) -> (u64, String) {
        self.records.last().map_or((0, String::new()), |r| (r.seq, r.hash.clone()))
    }

    /// One transaction under an epoch: facts and notices, all or nothing.
    pub(crate) fn append(
        &mut self,
        epoch: u64,
        facts: &[Draft],
        notices: &[OutboxDraft],
        at: i64,
    ) -> Result<(), Fault> {
        self.may_write(epoch, at)?;
        let mut last = self.tail();
        for fact in facts {
            let count = self.streams.entry(fact.stream.clone()).or_insert(0);
            *count += 1;
            let record = Record::following(&last, *count, epoch, fact);
            last = (record.seq, record.hash.clone());
            self.records.push(record);
        }
        for OutboxDraft { channel, notice } in notices {
            self.enqueue(channel, notice);
        }
        Ok(())
    }

    pub(crate) fn may_write(&self, epoch: u64, at: i64) -> Result<(), Fault> {
        match () {
            () if epoch != self.epoch => Err(Fault::Stale),
            () if at < self.full_until => Err(Fault::DiskFull),
            () => Ok(()),
        }
    }

    /// As `src/store/enqueue.rs`: the same notice for the same channel is one row, and a page hurries its lane.
    fn enqueue(&mut self, channel: &str, notice: &Notice) {
        let queue = self.outbox.entry(channel.to_owned()).or_default();
        if queue.iter().any(|row| row.notice.id == notice.id) {
            return;
        }
        self.rows += 1;
        let next_try_at = notice.at;
        queue.push(Row { id: self.rows, notice: notice.clone(), attempts: 0, next_try_at });
        if notice.urgency == Urgency::Page {
            let hurried = lane(notice);
            for row in queue.iter_mut().filter(|row| lane(&row.notice) == hurried) {
                row.next_try_at = row.next_try_at.min(notice.at);
            }
        }
    }

    fn waiting(&self, channel: &str) -> Vec<Pick> {
        let rows = self.outbox.get(channel).into_iter().flatten();
        let waiting: Vec<Waiting> = rows
            .map(|row| Waiting {
                id: row.id,
                lane: lane(&row.notice),
                audience: format!("{:?}", row.notice.audience),
                urgency: row.notice.urgency,
                next_try_at: row.next_try_at,
                attempts: row.attempts,
            })
            .collect();
        queue::heads(&waiting)
    }

    /// When a channel has something to send.
    pub(crate) fn next_due(&self, channel: &str, wall: UnixMs) -> Option<UnixMs> {
        if self.outbox.get(channel).is_none_or(Vec::is_empty) {
            return None;
        }
        self.waiting(channel).iter().map(|pick| pick.due_at(wall)).min()
    }

    /// What a channel sends now.
    pub(crate) fn due(&self, channel: &str, wall: UnixMs) -> Option<Due> {
        let pick = self.waiting(channel).into_iter().find(|pick| pick.due_at(wall) <= wall)?;
        let row = self.outbox.get(channel)?.iter().find(|row| row.id == pick.id)?;
        let notice = queue::coalesce(row.notice.clone(), pick.covers.len());
        let rows = pick.covers.iter().copied().chain([pick.id]).collect();
        Some(Due { notice, attempts: pick.attempts, rows })
    }

    /// The channel took it, or never will.
    pub(crate) fn settled(&mut self, channel: &str, due: &Due) {
        if let Some(queue) = self.outbox.get_mut(channel) {
            queue.retain(|row| !due.rows.contains(&row.id));
        }
    }

    /// It is tried again.
    pub(crate) fn failed(&mut self, channel: &str, due: &Due, retry_at: UnixMs) {
        let queue = self.outbox.get_mut(channel).into_iter().flatten();
        for row in queue.filter(|row| due.rows.contains(&row.id)) {
            row.attempts += 1;
            row.next_try_at = retry_at;
        }
    }

    /// As `Store::clock_set_back`.
    pub(crate) fn clock_set_back(&mut self, by: Span) {
        for row in self.outbox.values_mut().flatten() {
            row.next_try_at = row.next_try_at - by;
        }
    }

    /// Whether nothing waits any more.
    pub(crate) fn is_told(&self) -> bool {
        self.outbox.values().all(Vec::is_empty)
    }
}

/// The text of every page that was written down.
pub(crate) fn pages(records: &[Record]) -> Vec<String> {
    let fact = |record: &Record| recovery::parse(record).ok().map(|(_, fact)| fact);
    let page = |fact| {
        let Fact::Told(notice) = fact else { return None };
        (notice.urgency == Urgency::Page).then(|| notice.plain())
    };
    records.iter().filter_map(fact).filter_map(page).collect()
}
