//! Which snapshots there are. Looks only.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read,
    path::Path,
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::{Files, Keeper, archive};
use crate::{
    databases::{self, Session, literal},
    domain::{
        change::Revision,
        plan::hex,
        schema::snapshot::{Lost, Snapshot, Snapshots},
    },
    executors::layout::unix_ms,
    units::{Span, UnixMs},
};

/// What was written to so lately may still be.
const SETTLES: Duration = Duration::from_secs(60);
/// So much of its beginning is hashed: who and when, and the list of what is in it.
const BEGINNING: u64 = 1 << 20;
/// No two time zones are less apart, by half; two clocks of one may be by less.
const ZONES_APART: Span = Span::minutes(7);
/// For one file.
const ONE: Duration = Duration::from_secs(60);
/// Of the newest of so many schemas it is counted what would be lost: no other is restored.
const COUNTED: usize = 5;

/// What was found in files that are as they were: from look to look.
#[derive(Debug, Default)]
pub struct Known(BTreeMap<File, Snapshot>);

/// A file, as long as nobody writes to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct File {
    path: String,
    bytes: u64,
    written_at: UnixMs,
}

/// The newest of them, each with what is in it; or why nobody can tell.
pub async fn snapshots(
    keeper: &Keeper,
    (dir, known): (&Path, &mut Known),
    now: UnixMs,
) -> Result<Snapshots, String> {
    let files = keeper.files.clone();
    let found = tokio::task::spawn_blocking(move || found(&files)).await;
    let found = found.map_err(|error| error.to_string())??;
    let mut newest = vec![];
    let mut kept = BTreeMap::new();
    for file in found {
        if now.since(file.written_at) < Span::from(SETTLES) {
            newest.push(unusable(&file, "it is being written, or was a moment ago"));
            continue;
        }
        let read = match known.0.remove(&file) {
            Some(read) => read,
            None => read(keeper, &file, dir).await,
        };
        // What could not be read is tried again: the program may have been missing for a moment.
        if read.schema.is_ok() {
            kept.insert(file, read.clone());
        }
        newest.push(read);
    }
    known.0 = kept;
    newest.sort_by_key(|it| std::cmp::Reverse(it.taken_at));
    let mut schemas: Vec<Revision> = vec![];
    let is_meant = |it: &&mut Snapshot| {
        let Ok(schema) = &it.schema else { return false };
        let is_new = !schemas.contains(schema);
        schemas.extend(is_new.then(|| schema.clone()));
        is_new
    };
    count(keeper, newest.iter_mut().filter(is_meant).take(COUNTED)).await;
    let databases = named(keeper).await?;
    Ok(Snapshots { newest, databases })
}

/// The newest files that are called so.
fn found(files: &Files) -> Result<Vec<File>, String> {
    let Files { dir, begins, ends, max } = files;
    let unreadable = |error: std::io::Error| format!("{} cannot be read: {error}", dir.display());
    let mut all = vec![];
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let is_called_so = name.len() >= begins.len() + ends.len()
            && name.starts_with(begins.as_str())
            && name.ends_with(ends.as_str());
        // What was deleted in between is not there.
        let Some(meta) = fs::metadata(entry.path()).ok().filter(|it| is_called_so && it.is_file())
        else {
            continue;
        };
        let written_at = meta.modified().ok().and_then(unix_ms).unwrap_or(UnixMs(0));
        let Ok(path) = entry.path().into_os_string().into_string() else { continue };
        all.push(File { path, bytes: meta.len(), written_at });
    }
    all.sort_by_key(|file| std::cmp::Reverse(file.written_at));
    all.truncate(*max);
    Ok(all)
}

fn unusable(file: &File, why: &str) -> Snapshot {
    Snapshot {
        file: file.path.clone(),
        bytes: file.bytes,
        fingerprint: String::new(),
        taken_at: file.written_at,
        schema: Err(why.to_owned()),
        lost: vec![],
    }
}

async fn read(keeper: &Keeper, file: &File, dir: &Path) -> Snapshot {
    match tried(keeper, file, dir).await {
        Ok(snapshot) => snapshot,
        Err(why) => unusable(file, &why),
    }
}

async fn tried(keeper: &Keeper, file: &File, dir: &Path) -> Result<Snapshot, String> {
    let (path, program) = (file.path.as_str(), &keeper.program);
    let fingerprint = fingerprint(path.to_owned()).await?;
    let until = Instant::now() + ONE;
    let taken_at = archive::taken_at(program, (path, &keeper.zone), (dir, until)).await?;
    if taken_at.since(file.written_at) > ZONES_APART {
        return Err(format!(
            "it says that it was taken at {taken_at}, which is after it was written: whoever dumped it was in another time zone, write time_zone = \"…\""
        ));
    }
    let name = &keeper.history.name;
    let table = (name.schema.as_deref(), name.table.as_str(), keeper.history.rows_max);
    let schema = archive::schema(program, path, table, (dir, until)).await;
    let (file, bytes) = (file.path.clone(), file.bytes);
    Ok(Snapshot { file, bytes, fingerprint, taken_at, schema, lost: vec![] })
}

/// The hash of how a file begins.
pub(super) async fn fingerprint(path: String) -> Result<String, String> {
    let hashed = move || {
        let mut begin = vec![];
        let file = fs::File::open(&path).map_err(|error| format!("{path}: {error}"))?;
        file.take(BEGINNING).read_to_end(&mut begin).map_err(|error| format!("{path}: {error}"))?;
        Ok(hex(&Sha256::digest(&begin)))
    };
    let hashed = tokio::task::spawn_blocking(hashed).await;
    hashed.unwrap_or_else(|error| Err(error.to_string()))
}

/// Counts in what is there now what would be gone.
async fn count(keeper: &Keeper, snapshots: impl Iterator<Item = &mut Snapshot>) {
    if keeper.lost.is_empty() {
        return;
    }
    let options = &keeper.history.options;
    for snapshot in snapshots {
        snapshot.lost = count_lost(options, &keeper.lost, snapshot.taken_at).await;
    }
}

/// Counts there what was written since; each of these says what it is, and how it is counted.
pub async fn count_lost(
    options: &databases::Options,
    queries: &[(String, String)],
    taken_at: UnixMs,
) -> Vec<Lost> {
    let mut all = vec![];
    for (what, query) in queries {
        let taken_at = literal(options.database.kind, &taken_at.to_string());
        let rows = number(options, &query.replace("{taken_at}", &taken_at)).await;
        all.push(Lost { what: what.clone(), rows });
    }
    all
}

async fn number(options: &databases::Options, sql: &str) -> Result<u64, String> {
    let rows = Session::once(options, sql).await.map_err(|fault| fault.in_words())?;
    let first = rows.into_iter().flatten().flatten().next();
    let first = first.ok_or("its query gives no row")?;
    first.parse().map_err(|_| format!("its query gives `{first}`, which is no number of rows"))
}

/// The names of that server's databases that begin like this one's.
async fn named(keeper: &Keeper) -> Result<BTreeSet<String>, String> {
    let sql = "SELECT datname::text FROM pg_catalog.pg_database";
    let rows = Session::once(&keeper.through, sql).await.map_err(|fault| fault.in_words())?;
    let names = rows.into_iter().flatten().flatten();
    // A long name is cut where another is put behind it.
    let begin: String = keeper.database().chars().take(8).collect();
    Ok(names.filter(|name| name.starts_with(&begin)).collect())
}
