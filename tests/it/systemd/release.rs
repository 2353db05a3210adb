//! The release platform on a real unit: what polkit allows, and a rollback that is stopped and killed on its way.

use super::{machine::Machine, shop};

/// A step to stop the daemon in and one to kill it in; each leaves a line when it begins.
const CONFIG: &str = r#"
[severity.P1]
act_within = "1m"
verify_within = "2m"
[service.shop.rollback.before.drain]
argv = ["/bin/sh", "-c", "echo drain >>/var/lib/rollbackd/steps; exec sleep 2"]
observe = ["/bin/grep", "-q", "drain", "/var/lib/rollbackd/steps"]
timeout = "10s"
[service.shop.rollback.before.warm]
argv = ["/bin/sh", "-c", "echo warm >>/var/lib/rollbackd/steps; exec sleep 2"]
observe = ["/bin/grep", "-q", "warm", "/var/lib/rollbackd/steps"]
timeout = "10s"
"#;

fn started(machine: &Machine) {
    shop::open(machine);
    machine.run("chgrp shop /srv/shop && chmod g+w /srv/shop");
    machine.put_shipped(
        "rollbackd.service.d/release.conf",
        "/etc/systemd/system/rollbackd.service.d/release.conf",
    );
    machine.put_shipped("50-rollbackd.rules", "/etc/polkit-1/rules.d/50-rollbackd.rules");
    machine.put_shipped("rollbackd.sysusers", "/usr/lib/sysusers.d/rollbackd.conf");
    machine.run("systemd-sysusers rollbackd.conf");
    machine.drop_in("quick", "[Service]\nRestartSec=100ms\n");
    machine.put("/etc/rollbackd/rollbackd.toml", 0o644, shop::config(CONFIG).as_bytes());
    machine.run("systemctl start rollbackd");
    machine.run("systemd-analyze security --no-pager --threshold=20 rollbackd.service");
}

/// The rule lets the daemon's user restart the unit that it names, and nothing else.
fn allowed_is_what_the_rule_names(machine: &Machine) {
    let refused = |what: &str| {
        let shell = format!(
            "setpriv --reuid rollbackd --regid rollbackd --clear-groups systemctl --no-ask-password {what}"
        );
        let output = machine.ran(&shell, b"");
        (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(refused("restart shop.service"), None);
    for what in ["stop shop.service", "restart customers.service", "daemon-reload"] {
        let why = refused(what);
        assert!(why.as_ref().is_some_and(|why| why.contains("authentication")), "{what}: {why:?}");
    }
}

fn steps(machine: &Machine) -> String {
    machine.run("cat /var/lib/rollbackd/steps")
}

const SERVES: &str = "exec 3<>/dev/tcp/127.0.0.1/8080; printf 'GET /version HTTP/1.0\\r\\n\\r\\n' >&3; tail -n 1 <&3";

/// A rollback by a daemon that is stopped and killed on its way.
pub(super) async fn a_rollback() {
    let machine = Machine::with_daemon();
    started(&machine);
    allowed_is_what_the_rule_names(&machine);
    machine
        .until(
            "v1 is known good",
            "rollbackd explain shop --json | grep '\"serving_is_known_good\": true'",
        )
        .await;
    assert_eq!(machine.asked("status")[0]["platform_faults"], serde_json::json!([]));
    let before = machine.property("shop", "InvocationID");
    shop::deploy(&machine, "v2");

    // An orderly stop waits for the step under way and begins no other.
    machine.until("the first step is under way", "grep drain /var/lib/rollbackd/steps").await;
    machine.run("systemctl stop rollbackd");
    assert_eq!(machine.property("rollbackd", "Result"), "success");
    assert_eq!((steps(&machine).as_str(), machine.run(SERVES).as_str()), ("drain", "v2"));
    let said = |entry: &serde_json::Value, word: &str| {
        entry["MESSAGE"].as_str().is_some_and(|message| message.contains(word))
    };
    machine.told("it waited", |entry| said(entry, "stopping after the steps under way")).await;

    // A killed one leaves its program behind, and the next one knows it for its own.
    machine.run("systemctl start rollbackd");
    machine.until("the second step is under way", "grep warm /var/lib/rollbackd/steps").await;
    machine.run("systemctl kill --kill-whom=main --signal=KILL rollbackd");
    let orphan = machine
        .told("the orphan", |entry| said(entry, "a program of an earlier daemon still runs"))
        .await;
    assert!(said(&orphan, "warm") && orphan["PRIORITY"] == "4", "{orphan}");

    machine.until("it is over", "rollbackd incidents --json | grep '\"closed\": \"'").await;
    assert_eq!(steps(&machine), "drain\nwarm", "each once");
    assert_eq!(machine.run(SERVES), "v1");
    assert_eq!(machine.run("readlink /srv/shop/current"), "releases/v1");
    assert_ne!(machine.property("shop", "InvocationID"), before, "systemd started it anew");
    let switched =
        machine.told("the switch", |entry| said(entry, "done: ") && !entry["RUN"].is_null()).await;
    assert_eq!(switched["SERVICE"], "shop/demo");
}
