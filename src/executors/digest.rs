//! What a release directory holds, as one hash: two releases of one name are the same only when it agrees.
//!
//! Hashed are the sorted relative paths, each with its type, and the exec bit and content of a file or the target of
//! a symlink. Not hashed is what runtimes write beside the code: `__pycache__`, sockets and pipes, and `log`, `logs`
//! and `tmp` at the top. Never kept between calls: no time or size on disk proves that nothing changed.

use std::{
    fs,
    io::{self, Read},
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};

use super::layout;
use crate::domain::plan::hex;

/// How much is read at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Directories count as files.
    pub files: usize,
    /// Of content.
    pub bytes: u64,
    /// Of reading.
    pub time: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { files: 100_000, bytes: 4 << 30, time: Duration::from_secs(60) }
    }
}

/// Why a directory has no hash.
#[derive(Debug, thiserror::Error)]
pub enum NoDigest {
    /// The version's name leads elsewhere.
    #[error("{0}")]
    NoSuchName(String),
    /// It is not there.
    #[error("{} is not a directory", .0.display())]
    Missing(PathBuf),
    /// More than the bounds allow.
    #[error("{} holds more than {what}", .path.display())]
    TooMuch {
        /// The release.
        path: PathBuf,
        /// The bound.
        what: String,
    },
    /// The system refused.
    #[error("{} cannot be read", .path.display())]
    Unreadable {
        /// What could not be read.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The content hash of `root/releases/<version>`, as `sha256:…`.
pub async fn digest_of(root: &Path, version: &str, bounds: Bounds) -> Result<String, NoDigest> {
    let dir = layout::directory(root, version).map_err(NoDigest::NoSuchName)?;
    let path = dir.clone();
    let hashed = tokio::task::spawn_blocking(move || digest(&dir, bounds)).await;
    hashed
        .unwrap_or_else(|error| Err(NoDigest::Unreadable { path, source: io::Error::other(error) }))
}

fn digest(release: &Path, bounds: Bounds) -> Result<String, NoDigest> {
    // A release may itself be a link to where it is kept; within it no link is followed.
    let top = fs::canonicalize(release).map_err(|_| NoDigest::Missing(release.to_owned()))?;
    if !top.is_dir() {
        return Err(NoDigest::Missing(release.to_owned()));
    }
    let mut walk = Walk { top, bounds, begun: Instant::now(), bytes: 0, all: Sha256::new() };
    let mut paths = walk.paths()?;
    paths.sort();
    for path in &paths {
        walk.add(path)?;
    }
    Ok(format!("sha256:{}", hex(&walk.all.finalize())))
}

struct Walk {
    top: PathBuf,
    bounds: Bounds,
    begun: Instant,
    bytes: u64,
    all: Sha256,
}

impl Walk {
    fn paths(&self) -> Result<Vec<PathBuf>, NoDigest> {
        let (mut found, mut open) = (vec![], vec![PathBuf::new()]);
        while let Some(dir) = open.pop() {
            let full = self.top.join(&dir);
            for entry in fs::read_dir(&full).map_err(|source| unreadable(&full, source))? {
                let entry = entry.map_err(|source| unreadable(&full, source))?;
                let path = dir.join(entry.file_name());
                let kind = entry.file_type().map_err(|source| unreadable(&path, source))?;
                if is_written_at_run_time(&path) {
                    continue;
                }
                if found.len() >= self.bounds.files {
                    return Err(self.too_much(format!("{} files", self.bounds.files)));
                }
                if kind.is_dir() {
                    open.push(path.clone());
                }
                if kind.is_dir() || kind.is_file() || kind.is_symlink() {
                    found.push(path);
                }
            }
            self.in_time()?;
        }
        Ok(found)
    }

    /// Each part has its length before it, so that no two trees look alike.
    fn add(&mut self, path: &Path) -> Result<(), NoDigest> {
        let full = self.top.join(path);
        let unreadable = |source| unreadable(&full, source);
        let found = fs::symlink_metadata(&full).map_err(unreadable)?;
        let (kind, content) = if found.is_symlink() {
            let target = fs::read_link(&full).map_err(unreadable)?;
            (b'l', target.as_os_str().as_bytes().to_vec())
        } else if found.is_dir() {
            (b'd', vec![])
        } else {
            let kind = if found.permissions().mode() & 0o111 == 0 { b'f' } else { b'x' };
            (kind, self.content(&full)?)
        };
        let name = path.as_os_str().as_bytes();
        self.all.update([kind]);
        for part in [name, content.as_slice()] {
            self.all.update((part.len() as u64).to_be_bytes());
            self.all.update(part);
        }
        Ok(())
    }

    fn content(&mut self, path: &Path) -> Result<Vec<u8>, NoDigest> {
        let mut file = fs::File::open(path).map_err(|source| unreadable(path, source))?;
        let (mut hash, mut chunk) = (Sha256::new(), vec![0; 64 * 1024]);
        loop {
            let count = file.read(&mut chunk).map_err(|source| unreadable(path, source))?;
            if count == 0 {
                return Ok(hash.finalize().to_vec());
            }
            hash.update(&chunk[..count]);
            self.bytes += count as u64;
            if self.bytes > self.bounds.bytes {
                return Err(self.too_much(format!("{} bytes", self.bounds.bytes)));
            }
            self.in_time()?;
        }
    }

    fn in_time(&self) -> Result<(), NoDigest> {
        match self.begun.elapsed() <= self.bounds.time {
            true => Ok(()),
            false => Err(self.too_much(format!("{:?} can read", self.bounds.time))),
        }
    }

    fn too_much(&self, what: String) -> NoDigest {
        NoDigest::TooMuch { path: self.top.clone(), what }
    }
}

fn unreadable(path: &Path, source: io::Error) -> NoDigest {
    NoDigest::Unreadable { path: path.to_owned(), source }
}

fn is_written_at_run_time(path: &Path) -> bool {
    let at_top = ["log", "logs", "tmp"].iter().any(|name| path == Path::new(name));
    at_top || path.file_name().is_some_and(|name| name == "__pycache__")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_change_of_what_is_deployed_changes_the_hash() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        fs::create_dir(at("bin")).unwrap();
        fs::write(at("bin/shop"), "v1").unwrap();
        symlink("bin/shop", at("run")).unwrap();
        let hash = || digest(dir.path(), Bounds::default()).unwrap();
        let mode = |mode| fs::set_permissions(at("bin/shop"), fs::Permissions::from_mode(mode));
        let mut seen = vec![hash()];
        assert_eq!(hash(), seen[0], "the same twice");
        let mut differs = |what: &str| {
            let now = hash();
            assert!(!seen.contains(&now), "{what}");
            seen.push(now);
        };
        mode(0o755).unwrap();
        differs("exec bit");
        fs::write(at("bin/shop"), "v2").unwrap();
        differs("content");
        fs::remove_file(at("run")).unwrap();
        symlink("bin/other", at("run")).unwrap();
        differs("symlink target");
        fs::rename(at("bin/shop"), at("bin/shop2")).unwrap();
        differs("name");
        fs::create_dir(at("empty")).unwrap();
        differs("empty directory");
        for written in ["log", "bin/__pycache__"] {
            fs::create_dir(at(written)).unwrap();
            fs::write(at(written).join("x"), "x").unwrap();
        }
        assert_eq!(hash(), *seen.last().unwrap(), "what runtimes write is not hashed");
    }

    #[test]
    fn a_directory_beyond_the_bounds_has_no_hash_and_says_why() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c"] {
            fs::write(dir.path().join(name), "12345").unwrap();
        }
        let why = |bounds| digest(dir.path(), bounds).unwrap_err().to_string();
        let bounds = Bounds::default();
        assert!(why(Bounds { files: 2, ..bounds }).ends_with("holds more than 2 files"));
        assert!(why(Bounds { bytes: 14, ..bounds }).ends_with("holds more than 14 bytes"));
        assert!(digest(dir.path(), Bounds { files: 3, bytes: 15, ..bounds }).is_ok());
        assert!(matches!(digest(&dir.path().join("no"), bounds), Err(NoDigest::Missing(_))));
    }
}
