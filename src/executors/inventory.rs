//! What is deployed now, as the `release` platform shows it. Looks only; changes nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    Options,
    digest::{self, NoDigest},
    layout::{self, Link},
    process,
    release::in_full,
    running,
};
use crate::{
    domain::{
        change::{Component, Revision},
        inventory::{Available, Inventory},
        plan::Running,
        runbook::ReleaseRunbook,
    },
    units::UnixMs,
};

/// The newest releases that are shown; more are kept on disk than a plan can mean.
const AVAILABLE_MAX: usize = 50;
/// For one look at what serves.
pub(super) const LOOK: Duration = Duration::from_secs(5);
/// For so long a release that was too much to hash is not tried again: a disk that was slow may have been the reason.
const TOO_MUCH_FOR: Duration = Duration::from_secs(60 * 60);

/// Looks at the link, at what serves and at what is kept. Faults are part of the answer, not errors.
///
/// `hashed` is kept from look to look at the same runbook: the linked release is hashed again only when the link has
/// changed since. What a plan switches to is hashed anew in any case.
pub async fn release_inventory(
    runbook: &ReleaseRunbook,
    options: &Options,
    hashed: &mut Hashed,
) -> Inventory {
    let root = PathBuf::from(&runbook.root);
    let at = root.clone();
    let (seen, serving) = tokio::join!(
        tokio::task::spawn_blocking(move || Seen::at(&at)),
        running::look(&runbook.running, &root, options, Instant::now() + LOOK),
    );
    let Seen { link, switched_at, available, mut faults } = seen.unwrap_or_else(|error| Seen {
        link: Link::Unreadable(error.to_string()),
        switched_at: None,
        available: vec![],
        faults: vec![],
    });
    let linked = match &link {
        Link::Version { version, dangling: false, .. } => {
            let mut linked = Revision::named(version);
            let digest = hashed.digest(&root, version, switched_at, options.digest).await;
            linked.digest = digest.map_err(|fault| faults.push(fault)).ok();
            Some(linked)
        }
        Link::Version { version, dangling: true, .. } => {
            faults.push(link.to_string());
            Some(Revision::named(version))
        }
        Link::Elsewhere { .. } | Link::InTheWay | Link::Missing | Link::Unreadable(_) => {
            faults.push(link.to_string());
            None
        }
    };
    let component = Component::Application;
    Inventory {
        component,
        linked,
        running: serving,
        switched_at,
        available,
        faults,
        told: None,
        deployed: None,
        read: None,
    }
}

/// Since when the process runs that a unit started; none where nobody names its unit.
pub async fn started_at(runbook: &ReleaseRunbook, options: &Options) -> Option<UnixMs> {
    let Running::Unit(unit) = &runbook.running else { return None };
    let until = Instant::now() + LOOK;
    let pid = running::property(unit, "MainPID", &options.state_dir, until).await.ok()?;
    process::started_at(pid.parse().ok().filter(|pid| *pid > 0)?)
}

/// The hash of the release that was linked at the last look, or why it has none.
#[derive(Debug, Default)]
pub struct Hashed(Option<Known>);

#[derive(Debug)]
struct Known {
    version: String,
    switched_at: UnixMs,
    digest: Result<String, String>,
    at: Instant,
}

impl Hashed {
    async fn digest(
        &mut self,
        root: &Path,
        version: &str,
        switched_at: Option<UnixMs>,
        bounds: digest::Bounds,
    ) -> Result<String, String> {
        let same = |known: &&Known| {
            known.version == version
                && Some(known.switched_at) == switched_at
                && (known.digest.is_ok() || known.at.elapsed() < TOO_MUCH_FOR)
        };
        if let Some(known) = self.0.as_ref().filter(same) {
            return known.digest.clone();
        }
        let found = digest::digest_of(root, version, bounds).await;
        // What could not be read may be mended by the next look; what is too much stays so, and costs most to find out.
        let lasts = matches!(found, Ok(_) | Err(NoDigest::TooMuch { .. }));
        let digest = found.map_err(|error| in_full(&error));
        self.0 = switched_at.filter(|_| lasts).map(|switched_at| Known {
            version: version.to_owned(),
            switched_at,
            digest: digest.clone(),
            at: Instant::now(),
        });
        digest
    }
}

/// What one pass over the file system showed.
struct Seen {
    link: Link,
    switched_at: Option<UnixMs>,
    available: Vec<Available>,
    faults: Vec<String>,
}

impl Seen {
    fn at(root: &Path) -> Self {
        let (link, switched_at) = layout::look(root);
        let mut faults = vec![];
        let available = available(root, &mut faults);
        Self { link, switched_at, available, faults }
    }
}

fn available(root: &Path, faults: &mut Vec<String>) -> Vec<Available> {
    let releases = root.join("releases");
    let entries = match fs::read_dir(&releases) {
        Ok(entries) => entries,
        Err(error) => {
            faults.push(format!("{} cannot be read: {error}", releases.display()));
            return vec![];
        }
    };
    let mut found: Vec<Available> = vec![];
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else {
            faults.push(format!("{} has no readable name", entry.path().display()));
            continue;
        };
        // Followed, for a release may be a link; hidden names are what deployments are still writing.
        let Ok(meta) = fs::metadata(entry.path()) else { continue };
        if meta.is_dir() && !name.starts_with('.') {
            let modified_at = meta.modified().ok().and_then(layout::unix_ms);
            found.push(Available::named(&name, modified_at));
        }
    }
    found.sort_by(|a, b| (b.modified_at, &b.revision).cmp(&(a.modified_at, &a.revision)));
    found.truncate(AVAILABLE_MAX);
    found
}
