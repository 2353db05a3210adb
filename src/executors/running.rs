//! Which version serves, seen at the running process: asked over HTTP, printed by a command, or read from `/proc`.

use std::{error::Error, fs, io, path::Path, time::Duration};

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
            let asked = ask(&options.http, url, pointer.as_deref(), LOOK);
            timeout_at(until, asked)
                .await
                .unwrap_or_else(|_| Serving::Unknown(format!("{url} did not answer in time")))
        }
        Running::Command(line) => printed(line, &options.state_dir, until).await,
        Running::Unit(unit) => started_from(unit, root, options, until).await,
    }
}

/// Asks an address once.
pub(super) async fn ask(
    http: &reqwest::Client,
    url: &str,
    pointer: Option<&str>,
    within: Duration,
) -> Serving {
    let unknown = |why: &str| Serving::Unknown(format!("{url} {why}"));
    let mut response = match http.get(url).timeout(within).send().await {
        Ok(response) if response.status().is_success() => response,
        Ok(response) => return unknown(&format!("answered with status {}", response.status())),
        Err(error) if error.is_timeout() => return unknown("did not answer in time"),
        // Only this is said by the machine itself: nobody listens. A name that does not resolve, no route, a failed
        // handshake are as likely our own fault, and our blindness is no witness of an outage.
        Err(error) if is_refused(&error) => {
            return Serving::NotRunning(format!("{url} refuses the connection"));
        }
        Err(error) if error.is_connect() => {
            return unknown(&format!("cannot be connected to: {}", innermost(&error)));
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

fn is_refused(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(inner) = cause {
        let io = inner.downcast_ref::<io::Error>();
        if io.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            return true;
        }
        cause = inner.source();
    }
    false
}

/// What lies at the bottom: the outer ones say no more than that a connection failed.
pub(super) fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// Pure: where in an answer the version stands.
pub(super) fn version_in(body: &[u8], pointer: Option<&str>) -> Result<Serving, String> {
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
    let unit_now = async || UnitNow::ask(unit, &options.state_dir, until).await;
    let seen = match unit_now().await {
        Ok(seen) => seen,
        Err(why) => return Serving::Unknown(why),
    };
    if seen.main_pid == 0 {
        return seen.without_process(unit);
    }
    let (pid, root) = (seen.main_pid, root.to_owned());
    let read = tokio::task::spawn_blocking(move || release_of(pid, &root)).await;
    match read {
        Ok(Some(serving)) => serving,
        // It has ended since, or a sandbox hides it from us: systemd knows.
        Ok(None) => {
            unit_now().await.map_or_else(Serving::Unknown, |seen| seen.without_process(unit))
        }
        Err(error) => Serving::Unknown(error.to_string()),
    }
}

/// What systemd says of a unit.
#[derive(Debug, Default, PartialEq, Eq)]
struct UnitNow {
    load: String,
    active: String,
    sub: String,
    main_pid: u32,
}

impl UnitNow {
    async fn ask(unit: &str, dir: &Path, until: Instant) -> Result<Self, String> {
        let names = "LoadState,ActiveState,SubState,MainPID";
        let said = show(&["--property", names], unit, dir, until).await?;
        Self::read(&said).ok_or_else(|| format!("systemd says of {unit} what is not understood"))
    }

    fn read(said: &str) -> Option<Self> {
        let of = |name: &str| {
            said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).map(str::trim)
        };
        Some(Self {
            load: of("LoadState")?.to_owned(),
            active: of("ActiveState")?.to_owned(),
            sub: of("SubState")?.to_owned(),
            main_pid: of("MainPID")?.parse().ok()?,
        })
    }

    /// What it means that no main process is seen: nothing runs only where systemd says so.
    fn without_process(&self, unit: &str) -> Serving {
        let Self { load, active, sub, main_pid } = self;
        if load != "loaded" {
            return Serving::Unknown(format!("systemd has no unit {unit}: {load}"));
        }
        match (active.as_str(), sub.as_str(), main_pid) {
            ("inactive" | "failed", _, 0) | (_, "auto-restart", 0) => {
                Serving::NotRunning(format!("the unit {unit} is {active} ({sub})"))
            }
            (_, _, 0) => Serving::Unknown(format!(
                "the unit {unit} is {active} ({sub}) without a main process"
            )),
            (_, _, pid) => Serving::Unknown(format!(
                "the main process {pid} of {unit} cannot be seen, and systemd says {active}: it ended this moment, or \
                 a sandbox hides it (ProtectProc=); use `http` or `command`"
            )),
        }
    }
}

/// The release that a process was started from, by its binary, else by its working directory: both are resolved by
/// the kernel when the process starts, so they stay true after the symlink was moved. `None` where there is no such
/// process to be seen.
fn release_of(pid: u32, root: &Path) -> Option<Serving> {
    let releases = match fs::canonicalize(root.join("releases")) {
        Ok(releases) => releases,
        Err(error) => {
            return Some(Serving::Unknown(format!("{}/releases: {error}", root.display())));
        }
    };
    let mut refused = None;
    for what in ["exe", "cwd"] {
        match fs::read_link(format!("/proc/{pid}/{what}")) {
            Ok(path) => {
                let inside = path.strip_prefix(&releases).ok().and_then(|rest| rest.iter().next());
                if let Some(name) = inside.and_then(|name| name.to_str()) {
                    let name = name.strip_suffix(" (deleted)").unwrap_or(name);
                    return Some(Serving::Version(name.to_owned()));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => refused = Some(error),
        }
    }
    Some(Serving::Unknown(match refused {
        Some(error) => format!(
            "/proc/{pid} cannot be read ({error}); run as the same user or grant CAP_SYS_PTRACE"
        ),
        None => format!(
            "neither the binary nor the working directory of process {pid} lies in {}",
            releases.display()
        ),
    }))
}

/// One property of a unit, as `systemctl show` prints it.
pub(super) async fn property(
    unit: &str,
    name: &str,
    dir: &Path,
    until: Instant,
) -> Result<String, String> {
    let said = show(&["--property", name, "--value"], unit, dir, until).await?;
    Ok(said.trim().to_owned())
}

async fn show(what: &[&str], unit: &str, dir: &Path, until: Instant) -> Result<String, String> {
    let args = [&["show"], what, &["--", unit]].concat();
    let line = systemctl(&args, Span::seconds(5));
    let ran = command::run_looking(&line, dir, until).await.map_err(|error| error.to_string())?;
    match ran.is_ok() {
        true => Ok(ran.stdout),
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
        let pid = child.id();
        assert_eq!(release_of(pid, dir.path()), Some(Serving::Version("v2".into())));
        fs::rename(&release, dir.path().join("releases/v3")).unwrap();
        assert_eq!(release_of(pid, dir.path()), Some(Serving::Version("v3".into())));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(release_of(pid, dir.path()), None, "whether it runs is not for us to say");
        let own = std::process::id();
        assert!(matches!(release_of(own, dir.path()), Some(Serving::Unknown(_))));
    }

    #[test]
    fn a_process_that_is_not_seen_is_unknown_unless_systemd_says_that_nothing_runs() {
        let means = |said: &str| UnitNow::read(said).unwrap().without_process("shop.service");
        let unit = |load: &str, active: &str, sub: &str, pid: u32| {
            format!("MainPID={pid}\nLoadState={load}\nActiveState={active}\nSubState={sub}\n")
        };
        for (active, sub) in
            [("inactive", "dead"), ("failed", "failed"), ("activating", "auto-restart")]
        {
            let serving = means(&unit("loaded", active, sub, 0));
            assert!(matches!(serving, Serving::NotRunning(_)), "{serving}");
        }
        for (load, active, sub, pid) in [
            ("loaded", "active", "running", 4711),
            ("loaded", "active", "running", 0),
            ("loaded", "activating", "start", 0),
            ("not-found", "inactive", "dead", 0),
            ("masked", "inactive", "dead", 0),
        ] {
            let serving = means(&unit(load, active, sub, pid));
            assert!(matches!(serving, Serving::Unknown(_)), "{serving}");
        }
        assert_eq!(UnitNow::read("MainPID=1\nLoadState=loaded\n"), None);
    }

    #[tokio::test]
    async fn only_a_refused_connection_says_that_nothing_runs() {
        let http = Options::new(".".into()).unwrap().http;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        // Whoever connects is hung up on: the port listens, and no handshake succeeds.
        std::thread::spawn(move || listener.incoming().take(1).for_each(drop));
        for url in [format!("https://127.0.0.1:{port}/version"), "http://shop.invalid/".into()] {
            let serving = ask(&http, &url, None, LOOK).await;
            let Serving::Unknown(why) = serving else { panic!("{serving}") };
            assert_eq!(why.matches(&url).count(), 1, "{why}");
        }
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/version", free.local_addr().unwrap());
        drop(free);
        let serving = ask(&http, &url, None, LOOK).await;
        assert!(matches!(serving, Serving::NotRunning(_)), "{serving}");
    }
}
