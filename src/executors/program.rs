//! A configured command line, made ready to be started: program found, environment read, secrets known.
//!
//! Secrets are resolved here and nowhere else. They reach the child's environment and are struck from its output;
//! they are never logged, recorded or part of an error.

use std::{
    ffi::OsString,
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::Access;

use super::{Trouble, tail::SHOWN};
use crate::domain::plan::{CommandLine, EnvValue};

/// Larger than any key or token; a mistaken path to a log must not fill memory.
const SECRET_MAX: u64 = 64 * 1024;
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a program cannot be started. Nothing has run.
#[derive(Debug, thiserror::Error)]
pub enum CannotStart {
    /// The command line is empty.
    #[error("the command is empty; write the program and its arguments as a list")]
    Empty,
    /// There is no such program.
    #[error("the program `{0}` was not found (looked in {1})")]
    NotFound(String, String),
    /// There is one, but it may not be executed.
    #[error("`{}` is not executable by this daemon; see its mode and owner", .0.display())]
    NotExecutable(PathBuf),
    /// The working directory is not there.
    #[error("the working directory {} is not a directory", .0.display())]
    NoDirectory(PathBuf),
    /// The one where nothing else is said: the daemon makes it.
    #[error("the working directory {}, the daemon's own, is not there", .0.display())]
    NoStateDirectory(PathBuf),
    /// A variable of its environment could not be read.
    #[error("the variable {name} cannot be set: {why}")]
    Environment {
        /// Its name.
        name: String,
        /// Where it should have come from, never what it holds.
        why: String,
    },
    /// The system refused for good: no interpreter, wrong format, no permission.
    #[error("`{}` could not be started: {why}", .program.display())]
    Refused {
        /// What was tried.
        program: PathBuf,
        /// What the system said.
        why: String,
    },
    /// The system refused for now: out of processes, memory or disk.
    #[error("`{}` could not be started for now: {why}", .program.display())]
    Busy {
        /// What was tried.
        program: PathBuf,
        /// What the system said.
        why: String,
    },
}

impl CannotStart {
    /// With what a person does about it.
    pub(super) fn in_words(&self) -> String {
        let advice = match self {
            Self::Empty | Self::Refused { .. } | Self::Busy { .. } => return self.to_string(),
            Self::NotFound(..) => "install it where the daemon runs, or write its whole path",
            Self::NotExecutable(_) => "chmod +x it, or name another program",
            Self::NoDirectory(_) => "make it, or name another one in `dir`",
            Self::NoStateDirectory(_) => "it is made at its first start; or name a `dir`",
            Self::Environment { .. } => {
                "put it there, readable for the daemon, or name another place in `env`"
            }
        };
        format!("{self}; {advice}")
    }

    pub(super) fn of(program: &Path, error: &io::Error) -> Self {
        use rustix::io::Errno;
        let (program, why) = (program.to_owned(), error.to_string());
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOENT) => {
                Self::Refused { program, why: "its interpreter was not found".to_owned() }
            }
            Some(Errno::NOEXEC) => {
                let why = "it is neither a binary of this machine nor has it a `#!` line";
                Self::Refused { program, why: why.to_owned() }
            }
            Some(Errno::ACCESS | Errno::PERM | Errno::TOOBIG) => Self::Refused { program, why },
            Some(_) => Self::Busy { program, why },
            // Never reached the system: a zero byte in an argument.
            None => Self::Refused { program, why },
        }
    }
}

impl From<CannotStart> for Trouble {
    fn from(error: CannotStart) -> Self {
        let retry = matches!(error, CannotStart::Busy { .. });
        Self::Failed { why: error.to_string(), retry }
    }
}

/// Ready to be started.
#[derive(Clone)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) argv: Vec<String>,
    pub(super) env: Vec<(String, OsString)>,
    pub(super) dir: PathBuf,
    pub(super) secrets: Vec<String>,
    /// How many bytes of each of its streams are kept.
    pub(super) shown: usize,
    pub(super) timeout: Duration,
}

impl Program {
    /// Finds the program and reads its environment; `dir` is where it runs when the configuration names none.
    pub(super) async fn resolve(line: &CommandLine, dir: &Path) -> Result<Self, CannotStart> {
        let (line, dir) = (line.clone(), dir.to_owned());
        let resolved = tokio::task::spawn_blocking(move || Self::read(&line, &dir)).await;
        resolved.unwrap_or_else(|error| {
            Err(CannotStart::Busy { program: PathBuf::new(), why: error.to_string() })
        })
    }

    fn read(line: &CommandLine, dir: &Path) -> Result<Self, CannotStart> {
        let (dir, or) = match &line.dir {
            Some(own) => (PathBuf::from(own), CannotStart::NoDirectory as fn(PathBuf) -> _),
            None => (dir.to_owned(), CannotStart::NoStateDirectory as fn(PathBuf) -> _),
        };
        if !dir.is_dir() {
            return Err(or(dir));
        }
        let mut env: Vec<(String, OsString)> = [("PATH", PATH), ("HOME", "/"), ("LANG", "C.UTF-8")]
            .map(|(name, or)| (name.to_owned(), std::env::var_os(name).unwrap_or(or.into())))
            .into();
        let mut secrets = vec![];
        for (name, value) in &line.env {
            let value = read_value(value)
                .and_then(|value| match value.contains('\0') {
                    true => Err("its value holds a zero byte".to_owned()),
                    false => Ok(value),
                })
                .map_err(|why| CannotStart::Environment { name: name.clone(), why })?;
            if !matches!(line.env[name], EnvValue::Text(_)) {
                secrets.push(value.clone());
            }
            env.retain(|(known, _)| known != name);
            env.push((name.clone(), value.into()));
        }
        let search = env.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone());
        let name = line.argv.first().filter(|name| !name.is_empty()).ok_or(CannotStart::Empty)?;
        let path = find(name, &search.unwrap_or_default(), &dir)?;
        let argv = line.argv.clone();
        let timeout = line.timeout.duration();
        Ok(Self { path, argv, env, dir, secrets, shown: SHOWN, timeout })
    }
}

fn read_value(value: &EnvValue) -> Result<String, String> {
    match value {
        EnvValue::Text(text) => Ok(text.clone()),
        EnvValue::Env(name) => std::env::var(name)
            .map_err(|_| format!("the daemon's own environment has no readable {name}")),
        EnvValue::File(path) => {
            let mut text = String::new();
            std::fs::File::open(path)
                .and_then(|file| file.take(SECRET_MAX + 1).read_to_string(&mut text))
                .map_err(|error| format!("{path}: {error}"))?;
            if text.len() as u64 > SECRET_MAX {
                return Err(format!("{path} is larger than 64 KiB"));
            }
            let cut = text.strip_suffix('\n').unwrap_or(&text);
            Ok(cut.strip_suffix('\r').unwrap_or(cut).to_owned())
        }
    }
}

fn find(name: &str, search: &OsString, dir: &Path) -> Result<PathBuf, CannotStart> {
    let executable = |path: &Path| rustix::fs::access(path, Access::EXEC_OK).is_ok();
    let candidates: Vec<PathBuf> = if name.contains('/') {
        vec![dir.join(name)]
    } else {
        std::env::split_paths(search).map(|place| place.join(name)).collect()
    };
    let files: Vec<PathBuf> = candidates.into_iter().filter(|path| path.is_file()).collect();
    if let Some(path) = files.iter().find(|path| executable(path)) {
        return Ok(path.clone());
    }
    Err(match files.into_iter().next() {
        Some(path) => CannotStart::NotExecutable(path),
        None if name.contains('/') => {
            CannotStart::NotFound(name.to_owned(), dir.display().to_string())
        }
        None => CannotStart::NotFound(name.to_owned(), search.to_string_lossy().into_owned()),
    })
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt};

    use super::*;
    use crate::units::Span;

    fn line(argv: &[&str], env: &[(&str, EnvValue)]) -> CommandLine {
        CommandLine {
            argv: argv.iter().map(|&arg| arg.to_owned()).collect(),
            env: env.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            dir: None,
            timeout: Span::seconds(5),
        }
    }

    #[test]
    fn what_cannot_be_started_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let fault = |argv: &[&str]| Program::read(&line(argv, &[]), dir.path()).err().unwrap();
        assert!(matches!(fault(&[]), CannotStart::Empty));
        assert!(
            fault(&["no-such-program"]).to_string().contains("`no-such-program` was not found")
        );
        assert!(matches!(fault(&["./restart.sh"]), CannotStart::NotFound(..)));
        let script = dir.path().join("restart.sh");
        fs::write(&script, "exit 0").unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(
            matches!(fault(&["./restart.sh"]), CannotStart::NotExecutable(path) if path == script)
        );
        let mut nowhere = line(&["/bin/sh"], &[]);
        nowhere.dir = Some("/no/such/directory".into());
        assert!(matches!(Program::read(&nowhere, dir.path()), Err(CannotStart::NoDirectory(_))));
        let first = Program::read(&line(&["/bin/sh"], &[]), &dir.path().join("state"));
        let said = first.err().unwrap().in_words();
        assert!(said.contains("it is made at its first start"), "{said}");
    }

    #[test]
    fn the_environment_is_clean_and_its_secrets_are_known() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        fs::write(&file, "hunter2\n").unwrap();
        let env = [
            ("PASSWORD", EnvValue::File(file.display().to_string())),
            ("MODE", EnvValue::Text("fast".into())),
        ];
        let program = Program::read(&line(&["sh"], &env), dir.path()).unwrap();
        let env: BTreeMap<_, _> = program.env.iter().cloned().collect();
        let names: Vec<&str> = env.keys().map(String::as_str).collect();
        assert_eq!(names, ["HOME", "LANG", "MODE", "PASSWORD", "PATH"]);
        assert_eq!(env["PASSWORD"], "hunter2");
        assert_eq!(program.secrets, ["hunter2"]);
        let missing = [("TOKEN", EnvValue::File("/no/such/file".into()))];
        let error = Program::read(&line(&["sh"], &missing), dir.path()).err().unwrap();
        assert!(error.to_string().contains("TOKEN cannot be set: /no/such/file"));
    }
}
