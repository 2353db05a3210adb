//! The machine's shop: two releases of it, run by a real unit, with customers, and a configuration that watches it.

use super::machine::Machine;

/// The shop's unit, as a team that deploys by releases and a symlink would write it.
const SHOP: &str = "[Service]\nUser=shop\nWorkingDirectory=/srv/shop/current\nExecStart=/srv/shop/current/start\nType=exec\n";

/// Thirty customers a second, by the shell alone.
const CUSTOMERS: &str = "[Service]\nExecStart=/bin/bash -c 'exec 4<> <(:); \
    while :; do { exec 3<>/dev/tcp/127.0.0.1/8080 && printf \"GET /checkout HTTP/1.0\\\\r\\\\n\\\\r\\\\n\" >&3 && mapfile -u 3; } 2>/dev/null; \
    read -rt 0.03 -u 4; done'\n";

/// Lays out v1, which is healthy, and v2, which is not, and starts v1 with customers.
pub(super) fn open(machine: &Machine) {
    machine.run("useradd --system --user-group shop");
    for (version, behaviour) in [("v1", "healthy"), ("v2", "errors")] {
        let start = format!(
            "#!/bin/sh\nexec /usr/bin/rollbackd demo-shop --port 8080 --version {version} --behaviour {behaviour}\n"
        );
        machine.put(&format!("/srv/shop/releases/{version}/start"), 0o755, start.as_bytes());
    }
    machine.run("ln -s releases/v1 /srv/shop/current");
    machine.put("/etc/systemd/system/shop.service", 0o644, SHOP.as_bytes());
    machine.put("/etc/systemd/system/customers.service", 0o644, CUSTOMERS.as_bytes());
    machine.run("systemctl daemon-reload && systemctl start shop customers");
}

/// What a deployment script does.
pub(super) fn deploy(machine: &Machine, version: &str) {
    machine.run(&format!(
        "ln -s releases/{version} /srv/shop/new && mv -T /srv/shop/new /srv/shop/current && systemctl restart shop"
    ));
}

/// The demo's shortened durations, for the shop that runs as a unit; `over` is laid over them.
pub(super) fn config(over: &str) -> String {
    let demo = include_str!("../../../src/demo/demo.toml");
    let demo = demo.replace("{metrics_port}", "8080").replace("{health_port}", "8080");
    let mut all: toml::Table = demo.replace("{http_port}", "7676").parse().expect("TOML");
    for of_the_demo in ["state_dir", "reports_dir"] {
        all.remove(of_the_demo).expect("the demo says where");
    }
    let signals = table(&mut all, &["service", "shop", "signal"]);
    signals.remove("latency").expect("the demo has a latency");
    let rollback = table(&mut all, &["service", "shop", "rollback", "application"]);
    rollback.remove("release").expect("the demo has releases");
    for text in [RELEASE, over] {
        lay_over(&mut all, text.parse().unwrap_or_else(|why| panic!("{why}\n{text}")));
    }
    all.to_string()
}

const RELEASE: &str = r#"
[service.shop.rollback.application.release]
root = "/srv/shop"
restart = { unit = "shop.service" }
running = { http = { url = "http://127.0.0.1:8080/version" } }
restart_timeout = "20s"
look_every = "300ms"
look_every_watched = "300ms"
"#;

fn table<'a>(mut at: &'a mut toml::Table, path: &[&str]) -> &'a mut toml::Table {
    for name in path {
        let inner = at.get_mut(*name).and_then(toml::Value::as_table_mut);
        at = inner.unwrap_or_else(|| panic!("there is no {name}"));
    }
    at
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
