//! `releases/<version>/` and the `current` symlink: what they say, and how the link is moved.
//!
//! All of it blocks on the file system; callers run it off the event loop's threads.

use std::{
    fmt, fs, io,
    os::unix::fs::symlink,
    path::{Component, Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::units::UnixMs;

/// What `current` is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// A link to `releases/<version>`, which may no longer be there.
    Version { version: String, written: PathBuf, dangling: bool },
    /// A link to something that is no release.
    Elsewhere { written: PathBuf },
    /// A file or a directory of its own.
    InTheWay,
    /// Nothing.
    Missing,
    /// Nobody can tell.
    Unreadable(String),
}

impl Link {
    /// The version it names, there or not.
    pub(super) fn version(&self) -> Option<&str> {
        match self {
            Self::Version { version, .. } => Some(version),
            Self::Elsewhere { .. } | Self::InTheWay | Self::Missing | Self::Unreadable(_) => None,
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { version, dangling: false, .. } => {
                write!(f, "current points at {version}")
            }
            Self::Version { version, dangling: true, .. } => {
                write!(f, "current dangles: it points at {version}, which is not there")
            }
            Self::Elsewhere { written } => {
                write!(f, "current points at {}, which is no release", written.display())
            }
            Self::InTheWay => f.write_str(
                "current is not a symlink; move it to releases/<version> and link current to that",
            ),
            Self::Missing => f.write_str("there is no current; link it to releases/<version>"),
            Self::Unreadable(why) => write!(f, "current cannot be read: {why}"),
        }
    }
}

/// Looks at `root/current`, with the time at which it was last switched.
pub(super) fn look(root: &Path) -> (Link, Option<UnixMs>) {
    let current = root.join("current");
    let found = match fs::symlink_metadata(&current) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound && root.is_dir() => {
            return (Link::Missing, None);
        }
        Err(error) => return (Link::Unreadable(error.to_string()), None),
    };
    if !found.is_symlink() {
        return (Link::InTheWay, None);
    }
    let switched_at = found.modified().ok().and_then(unix_ms);
    let link = match fs::read_link(&current) {
        Ok(written) => named(root, written),
        Err(error) => Link::Unreadable(error.to_string()),
    };
    (link, switched_at)
}

// Judged by the directory that the target lies in, so that a release that is itself a link counts as a release,
// and one that is gone still has its name.
fn named(root: &Path, written: PathBuf) -> Link {
    let target = root.join(&written);
    let releases = fs::canonicalize(root.join("releases")).ok();
    let parent = target.parent().and_then(|parent| fs::canonicalize(parent).ok());
    let version = target.file_name().and_then(|name| name.to_str());
    match version {
        Some(version) if releases.is_some() && parent == releases => {
            let dangling = !target.is_dir();
            Link::Version { version: version.to_owned(), written, dangling }
        }
        _ => Link::Elsewhere { written },
    }
}

/// The directory of a version, refused where the name would lead out of `releases/`.
pub(super) fn directory(root: &Path, version: &str) -> Result<PathBuf, String> {
    let mut parts = Path::new(version).components();
    let plain = matches!((parts.next(), parts.next()), (Some(Component::Normal(name)), None)
        if name == version);
    if plain && !version.contains('\0') {
        Ok(root.join("releases").join(version))
    } else {
        Err(format!("`{version}` cannot name a release: it is not one plain directory name"))
    }
}

/// Moves `current` to another version in one atomic rename, written the way the old link was.
pub(super) fn switch(root: &Path, written: &Path, to: &str) -> io::Result<()> {
    let new = root.join(".current.rollbackd");
    clear(&new)?;
    symlink(written.with_file_name(to), &new)?;
    fs::rename(&new, root.join("current")).inspect_err(|_| {
        let _ = clear(&new);
    })?;
    fs::File::open(root)?.sync_all()
}

/// Whether `current` could be switched: a symlink is made beside it, and removed.
pub(super) fn try_switching(root: &Path) -> io::Result<()> {
    let trial = root.join(".current.rollbackd-preflight");
    clear(&trial)?;
    symlink("releases", &trial)?;
    fs::remove_file(trial)
}

// What a crash between the two calls left behind.
fn clear(link: &Path) -> io::Result<()> {
    match fs::remove_file(link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A file's time; `None` outside what fits.
pub(super) fn unix_ms(time: SystemTime) -> Option<UnixMs> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok().map(UnixMs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_names_a_version_however_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("releases/v1")).unwrap();
        fs::create_dir_all(root.join("releases/v2/public")).unwrap();
        assert_eq!(look(root).0, Link::Missing);
        let absolute = root.join("releases/v2").display().to_string();
        for (written, version) in [
            ("releases/v2", Some("v2")),
            ("./releases/v2/", Some("v2")),
            (&absolute, Some("v2")),
            ("releases/v9", Some("v9")),
            ("releases/v2/public", None),
            ("/", None),
            ("../", None),
        ] {
            let _ = fs::remove_file(root.join("current"));
            symlink(written, root.join("current")).unwrap();
            let (link, at) = look(root);
            assert_eq!(link.version(), version, "{written}");
            assert!(at.is_some());
            if version.is_some() {
                switch(root, Path::new(written), "v1").unwrap();
                assert_eq!(look(root).0.version(), Some("v1"));
                let now = fs::read_link(root.join("current")).unwrap();
                assert_eq!(now.is_absolute(), written.starts_with('/'), "{}", now.display());
            }
        }
        assert!(!root.join(".current.rollbackd").exists());
    }

    #[test]
    fn no_version_leads_out_of_its_directory() {
        let root = Path::new("/srv/shop");
        assert_eq!(directory(root, "v1.2").unwrap(), Path::new("/srv/shop/releases/v1.2"));
        for escape in ["..", ".", "", "/etc", "../../etc", "v1/..", "v1/", "a/b", "./v1", "v\0"] {
            assert!(directory(root, escape).is_err(), "{escape:?}");
        }
    }
}
