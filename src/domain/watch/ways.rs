//! What there is to take a service's database back with, as it was looked at last.

use crate::domain::{
    event::What,
    rds,
    schema::{
        script::{Script, Trial},
        snapshot::Snapshots,
    },
};

/// What was seen of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WaysBack {
    /// Which copies of its database there are, as the newest look of this daemon showed them; or why nobody can tell.
    pub snapshots: Option<Result<Snapshots, String>>,
    /// Which snapshots RDS has of it, in the same way.
    pub rds: Option<Result<Box<rds::Seen>, String>>,
    /// Which scripts there are that take its schema back, in the same way.
    pub scripts: Option<Result<Vec<Script>, String>>,
    /// What came of the newest trial of one, whichever daemon made it: it is of this very script and schema, or of no use.
    pub trial: Option<Box<Trial>>,
}

impl WaysBack {
    pub(super) fn see(&mut self, what: &What) {
        if let What::SnapshotsSeen { seen, .. } = what {
            self.snapshots = Some(seen.clone());
        } else if let What::RdsSeen { seen, .. } = what {
            self.rds = Some(seen.clone());
        } else if let What::ScriptsSeen { seen, .. } = what {
            self.scripts = Some(seen.clone());
        } else if let What::ScriptTried { trial, .. } = what {
            self.trial = Some(trial.clone());
        }
    }
}
