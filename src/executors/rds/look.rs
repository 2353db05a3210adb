//! What there is of a database of RDS, and where the service is told that it is. Looks only.

use crate::{
    aws::{
        Access, Fault,
        address::{self, Keys},
        rds,
    },
    databases::history::History,
    domain::{
        rds::{RdsAt, Seen},
        secret::SecretAt,
    },
    executors::snapshot::count_lost,
};

/// Of the newest of so many it is counted what would be lost.
const COUNTED: usize = 5;

/// A database of RDS, and how all of it is looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// Which one.
    pub at: RdsAt,
    /// Whose account it is in.
    pub access: Access,
    /// Whose account the secret with its address is in.
    pub keeps: Access,
    /// The secret in which its address is.
    pub secret: SecretAt,
    /// Where in that.
    pub keys: Keys,
    /// The history of migrations, of what is there now.
    pub history: History,
    /// How many of the newest snapshots are looked at.
    pub snapshots_max: usize,
    /// What is lost with a restore: what it is, and the query that counts it.
    pub lost: Vec<(String, String)>,
}

/// All of it; or why nobody can tell.
pub async fn seen(place: &Place) -> Result<Seen, String> {
    let Place { access, at, .. } = place;
    let told = |fault: Fault| format!("{fault}; {}", fault.advice());
    let found = rds::look(access, at, place.snapshots_max).await.map_err(told)?;
    let rds::Found { source, mut snapshots, names } = found;
    let port = source.endpoint.as_ref().map(|it| it.port).or(source.settings.port);
    let secret = (&place.keys, port.unwrap_or(place.history.options.database.port));
    let pointer =
        address::read_to_change(&place.keeps, &place.secret.secret, secret, &source.hosts);
    let pointer = pointer.await.map_err(told);
    for snapshot in snapshots.iter_mut().take(COUNTED) {
        if let Some(taken_at) = snapshot.taken_at.filter(|_| !place.lost.is_empty()) {
            snapshot.lost = count_lost(&place.history.options, &place.lost, taken_at).await;
        }
    }
    Ok(Seen { region: access.region.clone(), source, snapshots, names, pointer })
}
