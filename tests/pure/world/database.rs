//! The database of a site: which migrations were applied there, on which of them each release runs, and a copy of it.

use std::collections::BTreeMap;

use rollbackd::{
    domain::{
        change::Revision,
        rds,
        schema::{
            Migration, Schema, Seen, history,
            script::{Changes, Script, ScriptRun},
            snapshot::{Snapshot, Snapshots},
        },
    },
    units::{Span, UnixMs},
};

/// What an author writes of a migration on which the code before runs.
pub(crate) const MARKER: &str = "compatible with before";

/// One migration that is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    rank: i64,
    version: u32,
    compatible: bool,
    at: UnixMs,
}

#[derive(Clone, Debug)]
pub(crate) struct Database {
    rows: Vec<Row>,
    /// For which version of the schema each release was written.
    written_for: BTreeMap<String, u32>,
    /// Scripts that take it back, by their files; each says to which version.
    scripts: BTreeMap<String, u32>,
    /// How often somebody has rewritten all of them.
    rewritten: u32,
    copied: (UnixMs, Vec<Row>),
    restored: Option<Vec<Row>>,
    replaced: usize,
}

impl Database {
    pub(crate) fn new(wall: UnixMs) -> Self {
        let rows = vec![Row { rank: 1, version: 1, compatible: false, at: wall - Span::hours(1) }];
        Self {
            copied: (wall, rows.clone()),
            rows,
            written_for: [("v1".to_owned(), 1)].into(),
            scripts: BTreeMap::new(),
            rewritten: 0,
            restored: None,
            replaced: 0,
        }
    }

    pub(crate) fn current(&self) -> u32 {
        self.rows.iter().map(|row| row.version).max().unwrap_or(0)
    }

    /// A release comes with a migration, or with none.
    pub(crate) fn released(&mut self, release: &str, migrates: Option<bool>, at: UnixMs) {
        if let Some(compatible) = migrates {
            self.apply(compatible, at);
        }
        let from = self.current();
        self.written_for.insert(release.to_owned(), from);
        for to in 1..from {
            self.scripts.insert(format!("/srv/{release}/{from}-to-{to}.sql"), to);
        }
    }

    /// Somebody migrates without a release: what runs bears it.
    pub(crate) fn migrate(&mut self, at: UnixMs) {
        self.apply(true, at);
    }

    fn apply(&mut self, compatible: bool, at: UnixMs) {
        let rank = self.rows.iter().map(|row| row.rank).max().unwrap_or(0) + 1;
        // No version is used again for another script.
        let written = self.written_for.values().copied().max().unwrap_or(0);
        let version = written.max(self.current()) + 1;
        self.rows.push(Row { rank, version, compatible, at });
    }

    /// Somebody writes other scripts in the place of those that lie there.
    pub(crate) fn rewrite(&mut self) {
        self.rewritten += 1;
    }

    fn script(&self, file: &str, to: u32) -> Script {
        let text = format!("DELETE FROM history WHERE version > {to}; SELECT {};", self.rewritten);
        Script::of(file, text.as_bytes())
    }

    pub(crate) fn scripts(&self, is_readable: bool) -> Result<Vec<Script>, String> {
        match is_readable {
            true => Ok(self.scripts.iter().map(|(file, to)| self.script(file, *to)).collect()),
            false => Err("the file system hangs".into()),
        }
    }

    /// In one transaction, before it is committed or taken back.
    pub(crate) fn try_out(&self, of: &ScriptRun) -> Result<Changes, String> {
        let to = self.scripts.get(&of.file).ok_or("there is no such file")?;
        if self.script(&of.file, *to).sha256 != of.sha256 {
            return Err("it is another script than was approved".into());
        }
        let is_whole = of.undone.iter().all(|version| self.has(version));
        if !is_whole || !self.revision().agrees_with(&of.from) {
            return Err("it begins elsewhere".into());
        }
        let goes = self.rows.iter().filter(|row| row.version > *to);
        let lines = goes.map(|row| format!("column public.orders.n{} text", row.version));
        let rewritten = (0..self.rewritten).map(|nth| format!("index public.i{nth}"));
        Ok(Changes::between(&lines.chain(rewritten).collect(), &[].into()))
    }

    /// Whether all that a script takes back is gone, and nothing else.
    pub(crate) fn is_back(&self, of: &ScriptRun) -> bool {
        self.revision().version == of.to.version && !of.undone.iter().any(|it| self.has(it))
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

    /// What was restored is there, or has taken its place.
    pub(crate) fn was_restored(&self) -> bool {
        self.is_restored() || self.replaced > 0
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
                installed_at: Some(row.at),
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

    /// The same where RDS keeps it: whoever took its place has another address, of which the operator's file does not know.
    pub(crate) fn in_rds(&self, is_readable: bool) -> Result<Box<rds::Seen>, String> {
        if !is_readable {
            return Err("rds:DescribeDBInstances reached nobody".into());
        }
        let at = |number: usize| rds::Endpoint { host: format!("shop-{number}.rds"), port: 5432 };
        let snapshot = rds::Snapshot {
            arn: "arn:aws:rds:eu-central-1:123456789012:snapshot:night".into(),
            name: "night".into(),
            of: None,
            kind: rds::SnapshotKind::Automated,
            status: rds::AVAILABLE.into(),
            taken_at: Some(self.copied.0),
            engine: "postgres".into(),
            encrypted: false,
            version: None,
            storage_gib: Some(100),
            lost: vec![],
        };
        let restored = self.restored.iter().map(|_| "shop-restored-1".to_owned());
        Ok(Box::new(rds::Seen {
            region: "eu-central-1".into(),
            source: rds::Source {
                arn: "arn:aws:rds:eu-central-1:123456789012:db:shop".into(),
                resource: None,
                status: rds::AVAILABLE.into(),
                engine: "postgres".into(),
                version: "15.4".into(),
                endpoint: Some(at(0)),
                encrypted: false,
                settings: rds::Settings::default(),
                beside: vec![],
                members: vec![],
                hosts: vec![],
                bars: None,
            },
            snapshots: vec![snapshot],
            names: ["shop".to_owned()].into_iter().chain(restored).collect(),
            pointer: Ok(rds::Pointer {
                arn: "arn:secret".into(),
                version: format!("v{}", self.replaced),
                endpoint: at(self.replaced),
            }),
        }))
    }
}
