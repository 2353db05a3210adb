//! The unit: ready when it answers, guarded by the watchdog and the memory limit, shut in, followed in journald.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    machine::{Machine, SOON},
    shop,
};
use crate::rig::patiently;

/// Restarted without the pause that a person wants between two tries, and watched over more closely.
const QUICK: &str = "[Service]\nRestartSec=100ms\nWatchdogSec=2s\n";

/// What is held to be broken is only told, and has to last.
const CONFIG: &str = r#"
mode = "observe"
[trigger.critical-errors]
above = "5%"
holds_for = "8s"
grace = "2s"
escalation = { enabled = false }
[token.person]
scopes = ["operate"]
file = "/run/credentials/rollbackd.service/person"
[notify.ops]
audiences = ["stakeholders"]
slack = { url = { file = "/run/credentials/rollbackd.service/slack-webhook" } }
"#;

const CREDENTIAL: &str = "[Service]\nLoadCredential=person:/etc/rollbackd/secrets/person\n";

fn configure(machine: &Machine, config: &str) {
    machine.put("/etc/rollbackd/rollbackd.toml", 0o644, config.as_bytes());
}

fn main_pid(machine: &Machine) -> String {
    machine.property("rollbackd", "MainPID")
}

/// A configuration that is wrong fails the start, once, with its faults in the log.
async fn wrong_configuration(machine: &Machine) {
    configure(machine, "mode = \"atuo\"\n");
    let started = machine.ran("systemctl start rollbackd", b"");
    assert!(!started.status.success(), "{started:?}");
    machine.until("it is given up", "systemctl is-failed rollbackd").await;
    assert_eq!(machine.property("rollbackd", "ExecMainStatus"), "64");
    assert_eq!(machine.property("rollbackd", "NRestarts"), "0", "starting again cannot help");
    machine.told("the fault", |entry| text(entry, "MESSAGE").contains("atuo")).await;
}

fn text<'a>(entry: &'a Value, field: &str) -> &'a str {
    entry[field].as_str().unwrap_or_default()
}

/// `systemctl start` returns when the daemon answers, and neither sooner nor much later.
fn ready_when_it_answers(machine: &Machine) {
    let secret = "only-for-the-person-of-this-machine";
    machine.put("/etc/rollbackd/secrets/person", 0o600, secret.as_bytes());
    machine.put("/etc/rollbackd/secrets/slack-webhook", 0o600, b"http://127.0.0.1:9/slack");
    machine.put_shipped(
        "rollbackd.service.d/credentials.conf",
        "/etc/systemd/system/rollbackd.service.d/credentials.conf",
    );
    machine.drop_in("credential", CREDENTIAL);
    machine.drop_in("quick", QUICK);
    configure(machine, &shop::config(CONFIG));
    machine.run("systemctl start rollbackd && rollbackd status >/dev/null");
    assert_eq!(machine.property("rollbackd", "SubState"), "running");
    assert!(machine.property("rollbackd", "StatusText").contains("127.0.0.1:7676"));

    // The secrets are the daemon's alone, and in nobody's environment.
    machine.run(&format!(
        "printf %s {secret} >/tmp/token && rollbackd status --state-dir /nowhere --token-file /tmp/token"
    ));
    machine.run("! rollbackd status --state-dir /nowhere --token-file /etc/hostname 2>/dev/null");
    let environment =
        machine.run("tr '\\0' '\\n' </proc/$(systemctl show -P MainPID rollbackd)/environ");
    assert!(!environment.contains(secret) && !environment.contains("/slack"), "{environment}");
}

/// Exposure is 0 (locked) to 10 (open); what systemd says of the unit as it runs, with its drop-ins.
fn shut_in(machine: &Machine) {
    machine.run("systemd-analyze security --no-pager --threshold=20 rollbackd.service");
    assert_eq!(machine.run("ps -o user= -p $(systemctl show -P MainPID rollbackd)"), "rollbackd");
    let inside = |shell: &str| {
        machine.run(&format!(
            "nsenter -t $(systemctl show -P MainPID rollbackd) -m -- setpriv --reuid \
             $(stat -c %u /var/lib/private/rollbackd) --clear-groups /bin/sh -c '{shell}'"
        ))
    };
    inside("touch /var/lib/rollbackd/probe && rm /var/lib/rollbackd/probe");
    inside("! touch /etc/probe 2>/dev/null && ! touch /srv/shop/probe 2>/dev/null");
    // Without it a child of an earlier daemon could not be told from another process of that number.
    inside("grep -q - /proc/sys/kernel/random/boot_id");
    assert_eq!(machine.run("stat -c %a /var/lib/private/rollbackd"), "700");
}

/// Entries carry what one searches by, and how bad it is.
async fn in_journald(machine: &Machine) {
    let ready = machine.told("ready", |entry| text(entry, "MESSAGE").contains("is ready")).await;
    assert_eq!(text(&ready, "PRIORITY"), "6");
    assert_eq!(text(&ready, "_TRANSPORT"), "journal");
    assert_eq!(text(&ready, "SYSLOG_IDENTIFIER"), "rollbackd");
    let of_the_shop = machine.told("the shop", |entry| text(entry, "SERVICE") == "shop/demo").await;
    assert!(text(&of_the_shop, "MESSAGE").contains("shop/demo"), "{of_the_shop}");
    let found =
        machine.run("journalctl --unit rollbackd SERVICE=shop/demo --output cat --no-pager");
    assert!(!found.is_empty(), "found by its field");
}

/// How many samples of the errors' window, as `explain` draws it, show a breach that does not fire yet.
fn holding(machine: &Machine) -> usize {
    let explained = machine.asked("explain shop");
    let triggers = explained["triggers"].as_array().expect("triggers");
    let errors = triggers.iter().find(|t| t["name"] == "critical-errors").expect("it");
    assert_ne!(errors["state"], "firing", "too soon: {errors}");
    let drawn = errors["drawn"].as_array().expect("a line");
    drawn.iter().filter(|share| share.as_f64().is_some_and(|share| share > 0.1)).count()
}

/// A broken file changes nothing; another one is followed with the windows as they are. Both are said.
async fn reloaded(machine: &Machine) {
    let pid = main_pid(machine);
    shop::deploy(machine, "v2");
    patiently("a breach holds for a while", SOON, async || (holding(machine) >= 5).then_some(()))
        .await;

    configure(machine, &shop::config(CONFIG).replace("\"8s\"", "\"soonish\""));
    machine.run("systemctl reload rollbackd");
    let refused = |entry: &Value| text(entry, "MESSAGE").contains("the configuration is refused");
    let refused = machine.told("the refusal", refused).await;
    assert!(text(&refused, "MESSAGE").contains("soonish"), "{refused}");
    assert_eq!(text(&refused, "PRIORITY"), "3");
    let before = holding(machine);

    configure(machine, &shop::config(&CONFIG.replace("\"5%\"", "\"7%\"")));
    machine.run("systemctl reload rollbackd");
    assert!(holding(machine) >= before, "the window was lost");
    let followed =
        |entry: &Value| text(entry, "MESSAGE").contains("another configuration is followed");
    let followed = machine.told("the other one is followed", followed).await;
    let fires = |entry: &Value| text(entry, "MESSAGE").contains("critical-errors fires");
    let fires = machine.told("it fires", fires).await;
    assert!(text(&fires, "MESSAGE").contains("limit 7%"), "{fires}");
    let at = |entry: &Value| text(entry, "__REALTIME_TIMESTAMP").parse::<u64>().expect("a time");
    let took_us = at(&fires) - at(&followed);
    assert!(took_us < 7_000_000, "{took_us}: it began to hold anew");
    assert_eq!(main_pid(machine), pid, "it is the same process");

    // From the trigger to the page all of it is found by the incident.
    let opened = |entry: &Value| text(entry, "MESSAGE").contains(" opened as P1");
    let opened = machine.told("an incident", opened).await;
    let incident = text(&opened, "INCIDENT").to_owned();
    assert!(incident.starts_with("shop.demo-"), "{opened}");
    let page = |entry: &Value| {
        text(entry, "PRIORITY") == "3"
            && text(entry, "INCIDENT") == incident
            && text(entry, "SERVICE") == "shop/demo"
    };
    machine.told("a page", page).await;
}

/// A daemon that stands still is killed and started anew.
async fn watched_over(machine: &Machine) {
    let pid = main_pid(machine);
    machine.run(&format!("kill -STOP {pid}"));
    machine
        .until(
            "systemd saw it",
            "journalctl --unit rollbackd --no-pager | grep -F 'Watchdog timeout'",
        )
        .await;
    another(machine, &pid).await;
}

/// Another process is the daemon, and answers.
async fn another(machine: &Machine, pid: &str) {
    let answers = format!(
        "[ $(systemctl show -P MainPID rollbackd) != {pid} ] && systemctl is-active rollbackd && rollbackd status"
    );
    machine.until("another one answers", &answers).await;
}

/// The memory limit holds, and a daemon that it hits is started anew.
async fn bounded(machine: &Machine) {
    assert_eq!(machine.property("rollbackd", "MemoryMax"), (512 << 20).to_string());
    assert_eq!(machine.property("rollbackd", "OOMPolicy"), "continue");
    machine.drop_in("small", "[Service]\nMemoryMax=96M\n");
    machine.run("systemctl restart rollbackd");
    let pid = main_pid(machine);
    let group = machine.run(&format!(
        "p=$(grep -E ':memory:|^0::/.' /proc/{pid}/cgroup | head -n 1 | cut -d: -f3); \
         for d in /sys/fs/cgroup/memory$p /sys/fs/cgroup$p; do [ ! -e $d/cgroup.procs ] || echo $d; done | head -n 1"
    ));
    let limit = machine
        .run(&format!("cat {group}/memory.limit_in_bytes {group}/memory.max 2>/dev/null || :"));
    assert_eq!(limit, (96 << 20).to_string());
    // The daemon is the one that the kernel is to choose; tail keeps a line that never ends.
    machine.run(&format!("echo 1000 >/proc/{pid}/oom_score_adj"));
    machine.ran(
        &format!("echo $$ >{group}/cgroup.procs; head -c 90M /dev/zero | tail -c 90M >/dev/null"),
        b"",
    );
    another(machine, &pid).await;
    let ends: BTreeSet<String> = machine
        .logged()
        .iter()
        .map(|entry| text(entry, "MESSAGE").to_owned())
        .filter(|message| message.contains("Main process exited"))
        .collect();
    assert!(ends.iter().any(|end| end.contains("status=9/KILL")), "{ends:?}");
}

/// All of it.
pub(super) async fn the_unit() {
    let machine = Machine::with_daemon();
    wrong_configuration(&machine).await;
    shop::open(&machine);
    ready_when_it_answers(&machine);
    shut_in(&machine);
    in_journald(&machine).await;
    reloaded(&machine).await;
    watched_over(&machine).await;
    bounded(&machine).await;
}
