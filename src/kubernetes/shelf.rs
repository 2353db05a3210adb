//! What the daemon keeps of Deployments that served well: a cluster forgets its history, and a bad release may take it away.
//!
//! One file for each version, called by its hash and checked by it when it is read. A template can hold secrets: only the
//! daemon's user can read them, as everything in the state directory.

use std::{
    collections::BTreeSet,
    fs, io,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{pulls::Pulls, template::Template};
use crate::{
    domain::{
        change::Revision,
        plan::{DeploymentAt, hex},
    },
    units::UnixMs,
};

/// A Deployment's specification is a few kilobytes, and etcd takes no object beyond 1.5 MiB. A text that is quoted may grow.
const BYTES_MAX: u64 = 8 << 20;

/// A version that served well, as the API server had it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Which version.
    pub revision: Revision,
    /// When it was kept.
    pub kept_at: UnixMs,
    /// Its pod template.
    pub template: Value,
    /// Why it was there: `kubernetes.io/change-cause`.
    #[serde(default)]
    pub cause: Option<String>,
    /// What else the Deployment was to be, without how many pods; only where it was set to this version when it was kept.
    #[serde(default)]
    pub spec: Option<Map<String, Value>>,
}

/// A version that is kept, without what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Which version.
    pub revision: Revision,
    /// When it was kept.
    pub kept_at: UnixMs,
    /// Whether more than its template is kept.
    pub is_whole: bool,
    /// What its pods need of registries.
    pub pulls: Pulls,
}

/// The versions of one Deployment that are kept.
#[derive(Clone, Debug)]
pub struct Shelf {
    dir: PathBuf,
}

impl Shelf {
    /// In the daemon's state directory.
    pub fn of(state_dir: &Path, at: &DeploymentAt) -> Self {
        Self { dir: state_dir.join("manifests").join(called(at)) }
    }

    /// What is kept, by its hash; `None` where nothing whole is.
    pub fn find(&self, digest: &str) -> io::Result<Option<Manifest>> {
        let Some(path) = self.path(digest) else { return Ok(None) };
        let manifest: Option<Manifest> = read(&path)?;
        Ok(manifest.filter(|manifest| {
            Template::of(&manifest.template).revision(None).digest.as_deref() == Some(digest)
        }))
    }

    /// Everything that is kept, newest first.
    pub fn all(&self) -> io::Result<Vec<Kept>> {
        let mut all = vec![];
        for digest in listed(&self.dir)? {
            all.extend(self.find(&digest)?.map(|kept| Kept {
                pulls: Pulls::of(&kept.template),
                revision: kept.revision,
                kept_at: kept.kept_at,
                is_whole: kept.spec.is_some(),
            }));
        }
        all.sort_by_key(|kept| std::cmp::Reverse(kept.kept_at));
        Ok(all)
    }

    /// Keeps a version; durable when this returns.
    pub fn keep(&self, manifest: &Manifest) -> io::Result<()> {
        let nameless = || io::Error::other("it has no hash");
        let digest = manifest.revision.digest.as_deref().ok_or_else(nameless)?;
        let path = self.path(digest).ok_or_else(nameless)?;
        write(&path, &serde_json::to_vec(manifest)?)
    }

    /// Forgets every other one.
    pub fn retain(&self, digests: &BTreeSet<String>) -> io::Result<()> {
        for digest in listed(&self.dir)? {
            let path = self.path(&digest).filter(|_| !digests.contains(&digest));
            path.map(fs::remove_file).transpose()?;
        }
        Ok(())
    }

    fn path(&self, digest: &str) -> Option<PathBuf> {
        named_by(&self.dir, digest)
    }
}

/// The directory of a Deployment. A cluster is called as the operator likes, which need not be a legal name of a file.
pub(super) fn called(at: &DeploymentAt) -> String {
    let DeploymentAt { cluster, namespace, name, .. } = at;
    let hash = Sha256::digest(format!("{cluster}/{namespace}/{name}"));
    format!("{name}.{}", hex(&hash[..8]))
}

/// The file in which something of that hash is; none where it is no hash.
pub(super) fn named_by(dir: &Path, digest: &str) -> Option<PathBuf> {
    let hex = digest.strip_prefix("sha256:")?;
    let is_hex = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| dir.join(format!("{hex}.json")))
}

/// All hashes by which files in a directory are called.
pub(super) fn listed(dir: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        Err(fault) => return Err(fault),
    };
    let mut digests = vec![];
    for entry in entries {
        let name = entry?.file_name();
        let hex = name.to_str().and_then(|name| name.strip_suffix(".json"));
        digests.extend(hex.map(|hex| format!("sha256:{hex}")));
    }
    Ok(digests)
}

/// What is in a file; nothing where it is not there, too large, or not whole.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let size = match fs::metadata(path) {
        Ok(meta) => meta.len(),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(fault) => return Err(fault),
    };
    if size > BYTES_MAX {
        return Ok(None);
    }
    Ok(serde_json::from_slice(&fs::read(path)?).ok())
}

/// Writes a file that nobody else can read; durable when this returns.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if bytes.len() as u64 > BYTES_MAX {
        return Err(io::Error::other(format!("it is larger than {BYTES_MAX} bytes")));
    }
    let dir = path.parent().unwrap_or(path);
    fs::create_dir_all(dir)?;
    let new = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    fs::File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use serde_json::json;

    use super::*;

    fn manifest(image: &str, kept_at: i64) -> Manifest {
        let template = json!({ "spec": { "containers": [{ "name": "app", "image": image }] } });
        Manifest {
            revision: Template::of(&template).revision(None),
            kept_at: UnixMs(kept_at),
            template,
            cause: None,
            spec: None,
        }
    }

    fn shelf(dir: &Path, cluster: &str) -> Shelf {
        let [cluster, namespace, name] = [cluster, "shop", "checkout"].map(str::to_owned);
        Shelf::of(dir, &DeploymentAt { cluster, namespace, name, uid: None })
    }

    fn digest(manifest: &Manifest) -> String {
        manifest.revision.digest.clone().unwrap()
    }

    #[test]
    fn what_is_kept_is_found_by_its_hash_and_read_by_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = shelf(dir.path(), "ma/../in");
        assert_eq!(shelf.all().unwrap(), []);
        let (one, two) = (manifest("shop:1", 1), manifest("shop:2", 2));
        for kept in [&one, &two, &one] {
            shelf.keep(kept).unwrap();
        }
        assert_eq!(shelf.find(&digest(&one)).unwrap().as_ref(), Some(&one));
        let line = |manifest: &Manifest| Kept {
            pulls: Pulls::of(&manifest.template),
            revision: manifest.revision.clone(),
            kept_at: manifest.kept_at,
            is_whole: false,
        };
        assert_eq!(shelf.all().unwrap(), [line(&two), line(&one)]);
        let mode = fs::metadata(shelf.path(&digest(&one)).unwrap()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let other = self::shelf(dir.path(), "other");
        assert_eq!(other.find(&digest(&one)).unwrap(), None, "of another cluster");
        shelf.retain(&[digest(&two)].into()).unwrap();
        assert_eq!(shelf.all().unwrap(), [line(&two)]);
        assert_eq!(shelf.find("../../etc/passwd").unwrap(), None);
    }

    #[test]
    fn what_is_not_what_its_name_says_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = shelf(dir.path(), "main");
        let mut kept = manifest("shop:1", 1);
        let wanted = digest(&kept);
        kept.template["spec"]["containers"][0]["image"] = json!("shop:evil");
        shelf.keep(&kept).unwrap();
        assert_eq!(shelf.find(&wanted).unwrap(), None, "its content has another hash");
        fs::write(shelf.path(&wanted).unwrap(), "{ half").unwrap();
        assert_eq!(shelf.find(&wanted).unwrap(), None);
        assert_eq!(shelf.all().unwrap(), []);
    }
}
