//! The demo's machine: two releases of the shop, the link that says which one runs, and how it is restarted.

use std::{
    fs,
    os::unix::{fs::symlink, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use anyhow::{Context, bail};

use super::shop::Behaviour;

const CONFIG: &str = "rollbackd.toml";

/// A directory that holds everything, and the processes in it.
#[derive(Debug)]
pub struct Stage {
    dir: PathBuf,
    program: PathBuf,
    daemon: Option<Child>,
}

impl Stage {
    /// Lays out both releases of `program`'s shop, `current` pointing at v1, and the daemon's configuration.
    pub fn set(
        dir: PathBuf,
        program: PathBuf,
        [first, second]: [Behaviour; 2],
        ports: Ports,
    ) -> anyhow::Result<Self> {
        let stage = Self { dir, program, daemon: None };
        stage.release("v1", first, ports.shop)?;
        stage.release("v2", second, ports.shop)?;
        stage.link("v1")?;
        let dir = stage.dir.display();
        // The shop outlives the restart: it leaves the step's process group and lets go of its output.
        let restart = format!(
            "set -e\n\
             if [ -f {dir}/shop.pid ]; then kill \"$(cat {dir}/shop.pid)\" 2>/dev/null || true; fi\n\
             cd {dir}/shop/current/.\n\
             setsid ./start </dev/null >>{dir}/shop.log 2>&1 &\n\
             echo $! >{dir}/shop.pid\n"
        );
        stage.write("restart.sh", &restart)?;
        // What serves is what the running process was started from, not what the link says.
        let running = format!(
            "read -r pid <{dir}/shop.pid\nkill -0 \"$pid\" 2>/dev/null || exit 3\nat=$(readlink /proc/\"$pid\"/cwd) && echo \"${{at##*/}}\"\n"
        );
        stage.write("running.sh", &running)?;
        let config = include_str!("demo.toml")
            .replace("{dir}", &dir.to_string())
            .replace("{metrics_port}", &ports.metrics.to_string())
            .replace("{health_port}", &ports.health.to_string())
            .replace("{http_port}", &ports.http.to_string());
        stage.write(CONFIG, &config)?;
        Ok(stage)
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.dir.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    }

    fn release(&self, version: &str, behaviour: Behaviour, port: u16) -> anyhow::Result<()> {
        use clap::ValueEnum;
        let dir = self.dir.join("shop/releases").join(version);
        fs::create_dir_all(&dir)?;
        let value = behaviour.to_possible_value().context("a behaviour without a name")?;
        let start = format!(
            "#!/bin/sh\nexec {} demo-shop --port {port} --version {version} --behaviour {} \
             --blip-every-ms 4000 --blip-ms 800\n",
            self.program.display(),
            value.get_name()
        );
        let path = dir.join("start");
        fs::write(&path, start)?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&path, mode)?;
        Ok(())
    }

    /// What a deployment script does: switches the link.
    fn link(&self, version: &str) -> anyhow::Result<()> {
        let new = self.dir.join("shop/current.new");
        symlink(format!("releases/{version}"), &new)?;
        fs::rename(&new, self.dir.join("shop/current"))?;
        Ok(())
    }

    /// Deploys a version: switches the link, restarts.
    pub fn deploy(&self, version: &str) -> anyhow::Result<()> {
        self.link(version)?;
        let status = Command::new("/bin/sh").arg(self.dir.join("restart.sh")).status()?;
        if !status.success() {
            bail!("the shop could not be restarted: {status}");
        }
        Ok(())
    }

    /// The version that `current` points at.
    pub fn linked(&self) -> Option<String> {
        let target = fs::read_link(self.dir.join("shop/current")).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    }

    /// Starts the daemon, as an operator would.
    pub fn start_daemon(&mut self) -> anyhow::Result<()> {
        // Appended to: what an earlier daemon said stays.
        let log = fs::File::options().create(true).append(true).open(self.daemon_log())?;
        let child = Command::new(&self.program)
            .args(["run", "--config"])
            .arg(self.config())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .context("starting the daemon")?;
        self.daemon = Some(child);
        Ok(())
    }

    /// The daemon's process, while there is one.
    pub fn daemon(&mut self) -> Option<&mut Child> {
        self.daemon.as_mut()
    }

    /// Asks the daemon to end at a safe point, and waits for it.
    pub fn stop_daemon(&mut self) -> anyhow::Result<ExitStatus> {
        let mut daemon = self.daemon.take().context("no daemon runs")?;
        Self::signal(daemon.id().cast_signed(), rustix::process::Signal::TERM);
        Ok(daemon.wait()?)
    }

    /// Ends the daemon as a crash would.
    pub fn kill_daemon(&mut self) -> anyhow::Result<()> {
        let mut daemon = self.daemon.take().context("no daemon runs")?;
        daemon.kill()?;
        daemon.wait()?;
        Ok(())
    }

    /// Whether the daemon has ended, which it must not.
    pub fn daemon_has_ended(&mut self) -> bool {
        self.daemon.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
    }

    /// Where the daemon writes what it says.
    pub fn daemon_log(&self) -> PathBuf {
        self.dir.join("rollbackd.log")
    }

    /// The daemon's configuration.
    pub fn config(&self) -> PathBuf {
        self.dir.join(CONFIG)
    }

    /// Where everything is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn signal(pid: i32, signal: rustix::process::Signal) {
        if let Some(pid) = rustix::process::Pid::from_raw(pid) {
            // It may have ended already, which is what is wanted.
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Nobody is left to hear how it went.
        let _ = self.stop_daemon();
        let pid = fs::read_to_string(self.dir.join("shop.pid"));
        if let Some(pid) = pid.ok().and_then(|text| text.trim().parse().ok()) {
            Self::signal(pid, rustix::process::Signal::TERM);
        }
    }
}

/// Ports of the demo, all on loopback.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// Where the shop listens.
    pub shop: u16,
    /// Through which its metrics are read.
    pub metrics: u16,
    /// Through which its health is probed.
    pub health: u16,
    /// Where the daemon's own interface listens.
    pub http: u16,
}
