//! Which version serves, seen at the running process: asked over HTTP, printed by a command, or read from `/proc`.

use std::{fs, io, path::Path, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::{Options, child::End, command};
use crate::{
    domain::{
        inventory::Serving,
        plan::{CommandLine, Running},
    },
    units::Span,
};

/// One HTTP look in all; a service that takes longer is not seen to serve.
pub(super) const LOOK: Duration = Duration::from_secs(2);
const BODY_MAX: usize = 64 * 1024;
const VERSION_MAX: usize = 200;

/// Looks once, until `until` at most.
pub(super) async fn look(
    running: &Running,
    root: &Path,
    options: &Options,
    until: Instant,
) -> Serving {
    match running {
        Running::Http { url, pointer } => {
            let asked = ask(&options.http, url, pointer.as_deref());
            timeout_at(until, asked)
                .await
                .unwrap_or_else(|_| Serving::Unknown(format!("{url} did not answer in time")))
        }
        Running::Command(line) => printed(line, &options.state_dir, until).await,
        Running::Unit(unit) => started_from(unit, root, options, until).await,
    }
}

async fn ask(http: &reqwest::Client, url: &str, pointer: Option<&str>) -> Serving {
    let unknown = |why: &str| Serving::Unknown(format!("{url} {why}"));
    let mut response = match http.get(url).timeout(LOOK).send().await {
        Ok(response) if response.status().is_success() => response,
        Ok(response) => return unknown(&format!("answered with status {}", response.status())),
        Err(error) if error.is_timeout() => return unknown("did not answer in time"),
        Err(error) if error.is_connect() => {
            return Serving::NotRunning(format!("{url} cannot be connected to"));
        }
        Err(_) => return unknown("broke off"),
    };
    let mut body = vec![];
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= BODY_MAX => body.extend(chunk),
            Ok(Some(_)) => return unknown("answered with more than 64 KiB"),
            Ok(None) => break,
            Err(_) => return unknown("broke off while it answered"),
        }
    }
    version_in(&body, pointer).unwrap_or_else(|why| unknown(&why))
}

/// Pure: where in an answer the version stands.
fn version_in(body: &[u8], pointer: Option<&str>) -> Result<Serving, String> {
    let text = match pointer {
        None => String::from_utf8_lossy(body).into_owned(),
        Some(pointer) => {
            let json: serde_json::Value = serde_json::from_slice(body)
                .map_err(|_| "answered with something that is not JSON".to_owned())?;
            match json.pointer(pointer) {
                Some(serde_json::Value::String(text)) => text.clone(),
                Some(serde_json::Value::Number(number)) => number.to_string(),
                Some(_) => return Err(format!("has no text at {pointer}")),
                None => return Err(format!("has nothing at {pointer}")),
            }
        }
    };
    version(&text).ok_or_else(|| "answered with something that is no version".to_owned())
}

/// One word on its own: an error page or a stack trace is not taken for a version.
fn version(text: &str) -> Option<Serving> {
    let text = text.trim();
    let plain = !text.is_empty()
        && text.len() <= VERSION_MAX
        && !text.contains(|c: char| c.is_whitespace() || c.is_control() || "<>{}".contains(c));
    plain.then(|| Serving::Version(text.to_owned()))
}

async fn printed(line: &CommandLine, dir: &Path, until: Instant) -> Serving {
    let program = line.argv.first().map_or("(none)", String::as_str);
    match command::run_looking(line, dir, until).await {
        Ok(ran) if ran.is_ok() => version(&ran.stdout).unwrap_or_else(|| {
            Serving::Unknown(format!("`{program}` printed something that is no version"))
        }),
        // As `systemctl status` and every init script say it: 3 is "program is not running".
        Ok(ran) if ran.end == End::Exited(3) => {
            Serving::NotRunning(format!("`{program}` says that nothing runs"))
        }
        Ok(ran) => Serving::Unknown(format!("`{program}`: {}", ran.end)),
        Err(error) => Serving::Unknown(error.to_string()),
    }
}

async fn started_from(unit: &str, root: &Path, options: &Options, until: Instant) -> Serving {
    let pid = match property(unit, "MainPID", &options.state_dir, until).await {
        Ok(pid) if pid == "0" => {
            return Serving::NotRunning(format!("the unit {unit} has no main process"));
        }
        Ok(pid) if pid.parse::<u32>().is_ok() => pid,
        Ok(pid) => return Serving::Unknown(format!("systemd calls the main process `{pid}`")),
        Err(why) => return Serving::Unknown(why),
    };
    let root = root.to_owned();
    let read = tokio::task::spawn_blocking(move || release_of(&pid, &root)).await;
    read.unwrap_or_else(|error| Serving::Unknown(error.to_string()))
}

/// The release that a process was started from, by its binary, else by its working directory: both are resolved by
/// the kernel when the process starts, so they stay true after the symlink was moved.
fn release_of(pid: &str, root: &Path) -> Serving {
    let releases = match fs::canonicalize(root.join("releases")) {
        Ok(releases) => releases,
        Err(error) => return Serving::Unknown(format!("{}/releases: {error}", root.display())),
    };
    let mut refused = None;
    for what in ["exe", "cwd"] {
        match fs::read_link(format!("/proc/{pid}/{what}")) {
            Ok(path) => {
                let inside = path.strip_prefix(&releases).ok().and_then(|rest| rest.iter().next());
                if let Some(name) = inside.and_then(|name| name.to_str()) {
                    let name = name.strip_suffix(" (deleted)").unwrap_or(name);
                    return Serving::Version(name.to_owned());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Serving::NotRunning(format!("the main process {pid} has ended"));
            }
            Err(error) => refused = Some(error),
        }
    }
    Serving::Unknown(match refused {
        Some(error) => format!(
            "/proc/{pid} cannot be read ({error}); run as the same user or grant CAP_SYS_PTRACE"
        ),
        None => format!(
            "neither the binary nor the working directory of process {pid} lies in {}",
            releases.display()
        ),
    })
}

/// One property of a unit, as `systemctl show` prints it.
pub(super) async fn property(
    unit: &str,
    name: &str,
    dir: &Path,
    until: Instant,
) -> Result<String, String> {
    let line = systemctl(&["show", "--property", name, "--value", "--", unit], Span::seconds(5));
    let ran = command::run_looking(&line, dir, until).await.map_err(|error| error.to_string())?;
    match ran.is_ok() {
        true => Ok(ran.stdout.trim().to_owned()),
        false => Err(format!("systemctl does not tell about {unit}: {} {}", ran.end, ran.output())),
    }
}

/// A call of `systemctl` that never asks a person for a password.
pub(super) fn systemctl(args: &[&str], timeout: Span) -> CommandLine {
    let fixed = ["systemctl", "--no-ask-password", "--no-pager"];
    let argv = fixed.iter().chain(args).map(|&arg| arg.to_owned()).collect();
    CommandLine { argv, env: [].into(), dir: None, timeout }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_where_it_stands_and_nothing_else_is_taken_for_one() {
        let v1 = Ok(Serving::Version("v1".to_owned()));
        assert_eq!(version_in(b"v1\n", None), v1);
        let json = br#"{"build":{"version":"v1","number":7}}"#;
        assert_eq!(version_in(json, Some("/build/version")), v1);
        assert_eq!(version_in(json, Some("/build/number")), Ok(Serving::Version("7".into())));
        let html: &[u8] = b"<html><body>502 Bad Gateway</body></html>";
        for (body, pointer) in [
            (json.as_slice(), Some("/version")),
            (json.as_slice(), Some("/build")),
            (html, Some("/version")),
            (html, None),
            (b"", None),
            (b"not found", None),
        ] {
            assert!(version_in(body, pointer).is_err(), "{pointer:?}");
        }
    }

    #[test]
    fn a_process_is_of_the_release_it_was_started_in_whatever_current_says() {
        let dir = tempfile::tempdir().unwrap();
        let release = dir.path().join("releases/v2");
        fs::create_dir_all(&release).unwrap();
        let mut child =
            std::process::Command::new("sleep").arg("60").current_dir(&release).spawn().unwrap();
        let pid = child.id().to_string();
        assert_eq!(release_of(&pid, dir.path()), Serving::Version("v2".into()));
        fs::rename(&release, dir.path().join("releases/v3")).unwrap();
        assert_eq!(release_of(&pid, dir.path()), Serving::Version("v3".into()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(matches!(release_of(&pid, dir.path()), Serving::NotRunning(_)));
        let own = std::process::id().to_string();
        assert!(matches!(release_of(&own, dir.path()), Serving::Unknown(_)));
    }
}
