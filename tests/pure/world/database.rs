//! The database of a site: which migrations were applied there, on which of them each release runs, and a copy of it.

use std::collections::BTreeMap;

use rollbackd::{
    domain::{
        change::Revision,
        schema::{
            Migration, Schema, Seen, history,
            snapshot::{Snapshot, Snapshots},
        },
    },
    units::UnixMs,
};

/// What an author writes of a migration on which the code before runs.
pub(crate) const MARKER: &str = "compatible with before";

/// One migration that is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    rank: i64,
    version: u32,
    compatible: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Database {
    rows: Vec<Row>,
    /// For which version of the schema each release was written.
    written_for: BTreeMap<String, u32>,
    copied: (UnixMs, Vec<Row>),
    restored: Option<Vec<Row>>,
    replaced: usize,
}

impl Database {
    pub(crate) fn new(wall: UnixMs) -> Self {
        let rows = vec![Row { rank: 1, version: 1, compatible: false }];
        Self {
            copied: (wall, rows.clone()),
            rows,
            written_for: [("v1".to_owned(), 1)].into(),
            restored: None,
            replaced: 0,
        }
    }

    pub(crate) fn current(&self) -> u32 {
        self.rows.iter().map(|row| row.version).max().unwrap_or(0)
    }

    /// A release comes with a migration, or with none.
    pub(crate) fn released(&mut self, release: &str, migrates: Option<bool>) {
        if let Some(compatible) = migrates {
            let rank = self.rows.iter().map(|row| row.rank).max().unwrap_or(0) + 1;
            // No version is used again for another script.
            let version = self.written_for.values().copied().max().unwrap_or(0) + 1;
            self.rows.push(Row { rank, version, compatible });
        }
        self.written_for.insert(release.to_owned(), self.current());
    }

    /// Whether it finds what it needs, and nothing that it cannot bear.
    pub(crate) fn bears(&self, release: &str) -> bool {
        let Some(needs) = self.written_for.get(release) else { return true };
        let later = self.rows.iter().filter(|row| row.version > *needs);
        self.rows.iter().any(|row| row.version == *needs) && later.clone().all(|it| it.compatible)
    }

    pub(crate) fn has(&self, version: &str) -> bool {
        self.rows.iter().any(|row| row.version.to_string() == version)
    }

    /// An undo script, which deletes its row.
    pub(crate) fn take_back(&mut self, version: &str) {
        self.rows.retain(|row| row.version.to_string() != version);
    }

    pub(crate) fn restore(&mut self) {
        self.restored = Some(self.copied.1.clone());
    }

    pub(crate) fn is_restored(&self) -> bool {
        self.restored.is_some()
    }

    /// What was restored takes its place.
    pub(crate) fn replace(&mut self) {
        if let Some(rows) = self.restored.take() {
            self.rows = rows;
            self.replaced += 1;
        }
    }

    fn told(rows: &[Row]) -> Schema {
        let migration = |row: &Row| history::Row {
            migration: Migration {
                rank: row.rank,
                version: Some(row.version.to_string()),
                description: if row.compatible { MARKER.into() } else { "orders".into() },
                kind: "SQL".into(),
                script: format!("V{}__orders.sql", row.version),
                checksum: Some(7),
                installed_by: "shop".into(),
                installed_on: String::new(),
                installed_at: None,
                execution_ms: 5,
                state: rollbackd::domain::schema::MigrationState::Success,
            },
            success: true,
        };
        let all = rows.len() as u64;
        let told = history::told(rows.iter().map(migration).collect(), all);
        told.schema("public.history".into(), all, true)
    }

    pub(crate) fn revision(&self) -> Revision {
        Self::told(&self.rows).revision()
    }

    pub(crate) fn seen(&self, is_readable: bool) -> Seen {
        match is_readable {
            true => Seen::Known(Box::new(Self::told(&self.rows))),
            false => Seen::Unknown("nobody answers there".into()),
        }
    }

    pub(crate) fn snapshots(&self, is_readable: bool) -> Result<Snapshots, String> {
        if !is_readable {
            return Err("the file system hangs".into());
        }
        let (taken_at, rows) = &self.copied;
        let snapshot = Snapshot {
            file: "/var/backups/shop.dump".into(),
            bytes: 7,
            fingerprint: "ab".into(),
            taken_at: *taken_at,
            schema: Ok(Self::told(rows).revision()),
            lost: vec![],
        };
        let restored = self.restored.iter().map(|_| "shop_restored_1".to_owned());
        let replaced = (1..=self.replaced).map(|number| format!("shop_replaced_{number}"));
        let databases = ["shop".to_owned()].into_iter().chain(restored).chain(replaced).collect();
        Ok(Snapshots { newest: vec![snapshot], databases })
    }
}
