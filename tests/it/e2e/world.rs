//! One machine: the shop with its releases, the load on it, the daemon beside it, and those it tells.

use std::{
    fs,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rollbackd::{
    demo::{
        eye::Eye,
        load::{self, Load},
        port::ReservedPort,
        shop::Behaviour,
        stage::{Ports, Stage},
    },
    domain::{fact::Fact, trigger::State},
    http::views::{Explain, IncidentView},
    store::{Reader, Record},
};
use rustix::{
    fs::inotify,
    process::{Pid, Signal},
};
use tempfile::TempDir;

use super::{journal, told::Told};
use crate::rig::{client, patiently};

/// Longer than anything takes here, on a machine that is busy with the other stories.
pub(super) const SOON: Duration = Duration::from_secs(45);

/// Under all stories: the demo's configuration with a webhook, windows that a crash hardly loses, and no latency,
/// whose baseline takes its time.
const UNDER_ALL: &str = r#"
watch_after = "2s"
[verification]
hold = "3s"
[store]
snapshot_every = "500ms"
lease_wait = "300ms"
[notify.hook]
audiences = ["on_call", "stakeholders"]
webhook = { url = { file = "{dir}/hook.url" } }
"#;

/// What a story wants to be otherwise.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    /// How v1 and v2 behave.
    pub(super) releases: [Behaviour; 2],
    /// TOML laid over the demo's; `{dir}` stands for the directory.
    pub(super) config: String,
    /// Tables taken out before, such as `service.shop.scrape`.
    pub(super) without: Vec<&'static str>,
}

impl Setup {
    pub(super) fn with(second: Behaviour, config: &str) -> Self {
        Self {
            releases: [Behaviour::Healthy, second],
            config: config.to_owned(),
            without: vec!["service.shop.signal.latency"],
        }
    }
}

/// One machine. Dropping it ends every process that was started in it.
#[derive(Debug)]
pub(super) struct World {
    pub(super) stage: Stage,
    pub(super) told: Told,
    pub(super) ports: Ports,
    eye: Option<Eye>,
    _load: Load,
    renames: OwnedFd,
    demo: String,
    home: TempDir,
    _reserved: [ReservedPort; 2],
}

impl World {
    /// Everything but the daemon runs, v1 serves, and the daemon is configured.
    pub(super) async fn open(setup: &Setup) -> Self {
        let world = Self::set(setup.releases).await;
        world.configure(setup);
        world
    }

    /// Everything but the daemon runs, and v1 serves.
    pub(super) async fn set(releases: [Behaviour; 2]) -> Self {
        Self::set_with(PathBuf::from(env!("CARGO_BIN_EXE_rollbackd")), releases).await
    }

    /// The same with what starts the daemon's program, instead of that itself.
    pub(super) async fn set_with(program: PathBuf, releases: [Behaviour; 2]) -> Self {
        let home = TempDir::new().expect("a temporary directory");
        let reserved = [(); 2].map(|()| ReservedPort::reserve().expect("a port"));
        let [shop, http] = [reserved[0].number, reserved[1].number];
        let ports = Ports { shop, metrics: shop, health: shop, http };
        let stage = Stage::set(home.path().to_owned(), program, releases, ports);
        let stage = stage.expect("the stage is set");
        let told = Told::listen().await;
        fs::write(home.path().join("hook.url"), told.url()).expect("a file");
        let demo = fs::read_to_string(stage.config()).expect("the demo's configuration");
        stage.deploy("v1").expect("v1 is deployed");
        let renames = inotify::init(inotify::CreateFlags::NONBLOCK).expect("inotify");
        // What comes before each is watched too: of equal events in a row the kernel keeps one.
        let moved = inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::CREATE;
        inotify::add_watch(&renames, home.path().join("shop"), moved).expect("a watch");
        let load = load::Options::new(format!("http://127.0.0.1:{shop}/checkout"), 60);
        let load = Load::start(client(), load);
        Self {
            stage,
            told,
            ports,
            eye: None,
            _load: load,
            renames,
            demo,
            home,
            _reserved: reserved,
        }
    }

    /// Configures the daemon that is started next.
    pub(super) fn configure(&self, setup: &Setup) {
        let parse = |text: &str| -> toml::Table {
            let text = text.replace("{dir}", &self.dir().display().to_string());
            text.parse().unwrap_or_else(|fault| panic!("{fault}\n{text}"))
        };
        let mut all = parse(&self.demo);
        for path in &setup.without {
            take_out(&mut all, path);
        }
        lay_over(&mut all, parse(UNDER_ALL));
        lay_over(&mut all, parse(&setup.config));
        fs::write(self.stage.config(), all.to_string()).expect("the configuration is written");
    }

    /// Starts the daemon and waits until it answers.
    pub(super) async fn start(&mut self) {
        // Its port was free a moment ago. Where another test has it by now the daemon ends, and whoever keeps it
        // running, as systemd does, tries again.
        for _ in 0..3 {
            self.stage.start_daemon().expect("the daemon is started");
            match Eye::open(self.ports.http, &self.state_dir()).await {
                Ok(eye) => {
                    self.eye = Some(eye);
                    return;
                }
                Err(_) if self.stage.daemon_has_ended() => {}
                Err(fault) => panic!("{fault:#}\n{}", self.log()),
            }
        }
        panic!("the daemon ended three times\n{}", self.log());
    }

    /// Waits until the daemon that was started answers.
    pub(super) async fn answers(&mut self) {
        match Eye::open(self.ports.http, &self.state_dir()).await {
            Ok(eye) => self.eye = Some(eye),
            Err(_) if self.stage.daemon_has_ended() => self.start().await,
            Err(fault) => panic!("{fault:#}\n{}", self.log()),
        }
    }

    /// Ends the daemon as a crash would, and starts it anew.
    pub(super) async fn crash(&mut self) {
        self.stage.kill_daemon().expect("the daemon is killed");
        self.start().await;
    }

    /// Sends the daemon a signal.
    pub(super) fn signal(&mut self, signal: Signal) {
        let pid = self.stage.daemon().expect("it runs").id();
        let pid = Pid::from_raw(pid.cast_signed()).expect("a pid");
        rustix::process::kill_process(pid, signal).expect("it is there");
    }

    /// Kills the daemon, the shop and whatever else runs here, as a power cut does; nothing is started anew.
    pub(super) fn lose_power(&mut self) {
        self.stage.kill_daemon().expect("the daemon is killed");
        // What was about to start another program has started it by the second look.
        while end_all_in(self.home.path()) > 0 {}
        // Of a machine that has booted no process has an earlier one's number.
        let _ = fs::remove_file(self.dir().join("shop.pid"));
    }

    /// Starts whatever release is deployed, as the machine does when it boots.
    pub(super) fn boot_shop(&self) {
        let booted = Command::new("/bin/sh").arg(self.dir().join("restart.sh")).status();
        assert!(booted.is_ok_and(|status| status.success()), "the shop is started");
    }

    pub(super) fn dir(&self) -> &Path {
        self.home.path()
    }

    pub(super) fn state_dir(&self) -> PathBuf {
        self.dir().join("state")
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.stage.daemon_log()).unwrap_or_default()
    }

    pub(super) fn eye(&self) -> &Eye {
        self.eye.as_ref().expect("the daemon was started")
    }

    /// What the daemon answers at this path, as text.
    pub(super) async fn get(&self, path: &str) -> String {
        let token = fs::read_to_string(self.state_dir().join("token")).expect("a token");
        let url = format!("http://127.0.0.1:{}{path}", self.ports.http);
        let answer = client().get(url).bearer_auth(token.trim()).send().await;
        answer.expect("it answers").text().await.expect("a body")
    }

    /// The explanation, once it is as wanted.
    pub(super) async fn explained(&self, what: &str, is: impl Fn(&Explain) -> bool) -> Explain {
        patiently(what, SOON, async || self.eye().explain().await.ok().filter(|e| is(e))).await
    }

    /// The newest incident, once it is as wanted.
    pub(super) async fn incident(
        &self,
        what: &str,
        is: impl Fn(&IncidentView) -> bool,
    ) -> IncidentView {
        patiently(what, SOON, async || {
            let all = self.eye().incidents().await.ok()?;
            let incident = self.eye().incident(&all.first()?.id).await.ok()?;
            Some(incident).filter(|i| is(i))
        })
        .await
    }

    /// The newest incident, once it has come to this phase.
    pub(super) async fn phase(&self, phase: &str) -> IncidentView {
        self.incident(phase, |i| i.line.phase == phase).await
    }

    /// Waits until v1 is known good and its windows know it.
    pub(super) async fn settled(&self) {
        let is_known = |e: &Explain| {
            let tells = |name| {
                let mut all = e.triggers.iter().filter(|t| t.name == name);
                all.all(|t| t.state == State::Ok)
            };
            e.service.serving_is_known_good && tells("critical-errors") && tells("service-outage")
        };
        self.explained("v1 is known good", is_known).await;
    }

    /// How often `current` was switched since v1 was deployed, by anybody.
    pub(super) fn switched(&self) -> usize {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&self.renames, &mut buffer);
        let mut switched = 0;
        while let Ok(event) = events.next() {
            switched += usize::from(event.file_name().is_some_and(|name| name == c"current"));
        }
        switched
    }

    /// Waits until every notice that the journal says was to be told has arrived, or a later one that says that it stands
    /// for it.
    pub(super) async fn all_told(&self) {
        let state_dir = self.state_dir();
        patiently("every notice arrives", SOON, async || {
            let told = self.told.ids();
            let reader = Reader::open(&state_dir).ok()?;
            let outbox = reader.view().outbox(usize::MAX).ok()?;
            let hook: Vec<_> = outbox.iter().filter(|row| row.channel == "hook").collect();
            let covered = |id: &String| {
                let row = hook.iter().find(|row| row.notice_id == *id)?;
                hook.iter().find(|other| Some(other.id) == row.coalesced_into)
            };
            let wanted = journal::notices(&journal::read(&state_dir));
            let mut arrived = wanted.iter().map(|id| {
                told.contains(id) || covered(id).is_some_and(|row| told.contains(&row.notice_id))
            });
            arrived.all(|arrived| arrived).then_some(())
        })
        .await;
    }

    /// Waits until every notice of the journal has arrived, ends the daemon, and checks what always holds.
    pub(super) async fn ended(mut self) -> Vec<(Record, Fact)> {
        let state_dir = self.state_dir();
        self.all_told().await;
        let ended = self.stage.stop_daemon().expect("the daemon ends");
        assert!(ended.success(), "{ended}\n{}", self.log());
        journal::checked(&state_dir)
    }
}

impl Drop for World {
    #[expect(clippy::print_stderr, reason = "a failed story shows what its daemon said")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let name = std::thread::current().name().unwrap_or_default().to_owned();
            eprintln!("--- the daemon of `{name}`\n{}", self.log());
        }
        // Not asked: a story that failed may have left it in the middle of something long.
        let _ = self.stage.kill_daemon();
        end_all_in(self.home.path());
    }
}

/// Ends what was started in this directory and may have nobody left to end it: shops, scripts of a killed daemon.
/// Says how many there were.
fn end_all_in(dir: &Path) -> usize {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut ended = 0;
    for process in processes {
        // Of one that has ended, and that nobody has waited for yet, there is no directory.
        let inside = fs::read_link(process.path().join("cwd")).is_ok_and(|at| at.starts_with(dir));
        let pid = process.file_name().to_str().and_then(|name| name.parse().ok());
        if let (true, Some(pid)) = (inside, pid.and_then(Pid::from_raw)) {
            ended += usize::from(rustix::process::kill_process(pid, Signal::KILL).is_ok());
        }
    }
    ended
}

fn take_out(table: &mut toml::Table, path: &str) {
    match path.split_once('.') {
        None => assert!(table.remove(path).is_some(), "there is no {path} to take out"),
        Some((first, rest)) => {
            let inner = table.get_mut(first).and_then(toml::Value::as_table_mut);
            take_out(inner.unwrap_or_else(|| panic!("there is no {first}")), rest);
        }
    }
}

fn lay_over(under: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(toml::Value::Table(under)), toml::Value::Table(over)) => lay_over(under, over),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}
