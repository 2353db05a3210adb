//! The state directory before the daemon first ran: whoever checks a configuration then is told who makes it.

use std::path::{Path, PathBuf};

use rustix::fs::Access;

use crate::domain::inventory::Check;

/// Below this systemd makes what a unit calls its StateDirectory, whoever the daemon is then.
const MADE_BY_SYSTEMD: &str = "/var/lib";

/// Where programs are looked for meanwhile that would run in it, and what is said where it is not there yet.
pub(super) fn place(dir: &Path) -> (PathBuf, Option<Check>) {
    if dir.is_dir() {
        return (dir.to_owned(), None);
    }
    let above = dir.ancestors().skip(1).find(|it| it.exists()).unwrap_or(Path::new("/"));
    let shown = dir.display();
    let may_make =
        above.is_dir() && rustix::fs::access(above, Access::WRITE_OK | Access::EXEC_OK).is_ok();
    let seen = if dir.exists() {
        Err(format!("{shown} is no directory; name another one in state_dir"))
    } else if may_make {
        Ok(format!("{shown} is not there yet: `rollbackd run` makes it"))
    } else if dir.parent() == Some(Path::new(MADE_BY_SYSTEMD)) {
        Ok(format!("{shown} is not there yet: systemd makes it, by StateDirectory in the unit"))
    } else {
        Err(format!(
            "{shown} is not there, and nothing can be made in {}; make it for whoever runs the daemon, or name another one in state_dir",
            above.display()
        ))
    };
    let above = if above.is_dir() { above } else { Path::new("/") };
    (above.to_owned(), Some(Check::of("there is a place for the daemon's state", seen)))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn before_the_daemon_ran_it_is_said_who_makes_it() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(place(home.path()), (home.path().to_owned(), None));
        let (meanwhile, check) = place(&home.path().join("not/yet"));
        let check = check.unwrap();
        assert_eq!(meanwhile, home.path());
        assert!(check.ok && check.why.contains("`rollbackd run` makes it"), "{check:?}");
        let file = home.path().join("file");
        fs::write(&file, "").unwrap();
        for wrong in [file.clone(), file.join("below")] {
            let check = place(&wrong).1.unwrap();
            assert!(!check.ok && check.why.contains("state_dir"), "{check:?}");
        }
        if !rustix::process::geteuid().is_root() {
            fs::set_permissions(home.path(), fs::Permissions::from_mode(0o500)).unwrap();
            let check = place(&home.path().join("not")).1.unwrap();
            assert!(!check.ok && check.why.contains("nothing can be made"), "{check:?}");
        }
    }
}
