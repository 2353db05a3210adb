//! The Debian package on a real machine: installed, upgraded, removed, purged.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::machine::{Machine, root};

/// As `make deb` does, around the program that the tests have.
fn package(home: &Path) -> PathBuf {
    let release = home.join("target/release");
    fs::create_dir_all(&release).expect("a directory");
    let program = env!("CARGO_BIN_EXE_rollbackd");
    let placed = fs::hard_link(program, release.join("rollbackd"));
    placed.or_else(|_| fs::copy(program, release.join("rollbackd")).map(drop)).expect("a copy");
    let mut tools = fs::read_dir(root().join("target/tools/bin")).into_iter().flatten().flatten();
    let tool = tools.find(|entry| entry.file_name().to_string_lossy().starts_with("cargo-deb-"));
    let tool = tool.expect("cargo-deb is there; if it is missing run `make rig`").path();
    let output = Command::new(tool)
        .args(["--no-build", "--offline", "--locked", "--fast", "--strip", "--output"])
        .arg(home.join("first.deb"))
        .env("CARGO_TARGET_DIR", home.join("target"))
        .current_dir(root())
        .output()
        .expect("cargo-deb can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("warning"), "{said}");
    home.join("first.deb")
}

/// The same under a later version.
fn later(first: &Path, home: &Path) -> PathBuf {
    let second = home.join("second.deb");
    let shell = "dpkg-deb --raw-extract \"$1\" \"$2/tree\"\n\
                 sed -i 's/^Version: .*/Version: 99.0.0-1/' \"$2/tree/DEBIAN/control\"\n\
                 dpkg-deb --root-owner-group -Zgzip -z1 --build \"$2/tree\" \"$3\" >/dev/null";
    let made = Command::new("sh").args(["-euc", shell, "sh"]).args([first, home, &second]).status();
    assert!(made.expect("a shell").success());
    second
}

fn install(machine: &Machine, package: &Path) {
    machine.put("/var/tmp/new.deb", 0o644, &fs::read(package).expect("the package"));
    machine.run("dpkg --install /var/tmp/new.deb");
}

/// How often a daemon has begun on this journal.
fn epoch(machine: &Machine) -> String {
    machine.run("journalctl -u rollbackd -o cat --no-pager | grep -o 'epoch [0-9]*' | tail -n 1")
}

/// Installed, observing, upgraded, removed, purged without a trace.
pub(super) async fn a_package() {
    let home = TempDir::new().expect("a temporary directory");
    let first = package(home.path());
    let second = later(&first, home.path());
    let machine = Machine::boot();

    install(&machine, &first);
    machine.run("systemctl is-enabled rollbackd && systemctl is-active rollbackd && rollbackd check /etc/rollbackd/rollbackd.toml");
    assert_eq!(machine.asked("status"), serde_json::json!([]), "it observes, and nothing yet");
    machine.told("it says so", |entry| entry["MESSAGE"] == "no service is watched").await;
    machine.run("test -s /usr/share/doc/rollbackd/examples/rollbackd.service.d/release.conf");
    machine.run("test -s /usr/share/doc/rollbackd/examples/50-rollbackd.rules");
    machine.run("systemd-analyze security --no-pager --threshold=20 rollbackd.service");
    let pid = machine.property("rollbackd", "MainPID");
    assert_eq!(epoch(&machine), "epoch 1");

    machine.run("echo 'environment = \"harbour\"' >/tmp/new && cat /etc/rollbackd/rollbackd.toml >>/tmp/new && cp /tmp/new /etc/rollbackd/rollbackd.toml");
    install(&machine, &second);
    assert_eq!(machine.run("dpkg-query -f '${Version}' -W rollbackd"), "99.0.0-1");
    machine.run("cmp /tmp/new /etc/rollbackd/rollbackd.toml && systemctl is-active rollbackd && rollbackd status");
    assert_ne!(machine.property("rollbackd", "MainPID"), pid, "the new program runs");
    assert_eq!(epoch(&machine), "epoch 2", "on the journal that was there");

    machine.run("dpkg --remove rollbackd && test -e /etc/rollbackd/rollbackd.toml && test -e /var/lib/private/rollbackd");
    machine.run("if systemctl is-active rollbackd; then exit 1; fi");
    machine.run("dpkg --purge rollbackd");
    let places = "/etc /run /usr/bin /usr/lib/systemd /usr/lib/sysusers.d /usr/share/doc /var/lib";
    let left = machine.run(&format!("find {places} -name '*rollbackd*'"));
    assert_eq!(left, "");
    assert_eq!(machine.run("systemctl --failed --no-legend"), "");
    assert_eq!(machine.run("systemctl is-system-running"), "running");
    assert_eq!(machine.property("rollbackd", "LoadState"), "not-found");
}
