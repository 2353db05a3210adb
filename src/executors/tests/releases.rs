use std::{os::unix::fs::symlink, time::UNIX_EPOCH};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::{
    domain::{
        change::Revision,
        inventory::Serving,
        plan::{Restart, Running},
        runbook::ReleaseRunbook,
    },
    executors::{
        digest::{Bounds, digest_of},
        inventory::{Hashed, release_inventory},
        preflight::release_preflight,
    },
};

/// Two releases, the second deployed. What serves is the file `serving`, which a restart writes.
struct Shop {
    bench: Bench,
    runbook: ReleaseRunbook,
}

impl Shop {
    fn new() -> Self {
        let bench = Bench::new();
        for version in ["v1", "v2"] {
            fs::create_dir_all(bench.path("releases").join(version)).unwrap();
            fs::write(bench.path("releases").join(version).join("app"), version).unwrap();
        }
        symlink("releases/v2", bench.path("current")).unwrap();
        fs::write(bench.path("serving"), "v2\n").unwrap();
        let restart = "echo restarted >> restarts; basename $(readlink current) > serving";
        let runbook = ReleaseRunbook {
            root: bench.dir.path().display().to_string(),
            restart: Restart::Command(bench.script("restart.sh", restart)),
            running: Running::Command(line(&["cat", "serving"])),
            switch_timeout: Span::seconds(20),
            restart_timeout: Span::seconds(20),
            attempts: 2,
        };
        Self { bench, runbook }
    }

    fn restarts_with(mut self, script: &str) -> Self {
        self.runbook.restart = Restart::Command(self.bench.script("restart.sh", script));
        self
    }

    fn link(&self, to: &str) {
        let current = self.bench.path("current");
        // The daemon knows a link by the millisecond in which it was made: within the same, and within one tick of a file system's
        // clock, a link that is made anew looks the same.
        let made = || {
            let made = fs::symlink_metadata(&current).and_then(|link| link.modified()).unwrap();
            made.duration_since(UNIX_EPOCH).unwrap().as_millis()
        };
        let before = made();
        while made() == before {
            fs::remove_file(&current).unwrap();
            symlink(to, &current).unwrap();
        }
    }

    fn linked(&self) -> PathBuf {
        fs::read_link(self.bench.path("current")).unwrap()
    }

    async fn digest(&self, version: &str) -> Option<String> {
        digest_of(self.bench.dir.path(), version, Bounds::default()).await.ok()
    }

    async fn switch(&self, to: &str, digest: Option<String>) -> Report {
        let to = Revision { version: to.to_owned(), digest };
        let [switch, _] = self.orders(&to);
        self.bench.carry_out(&switch).await
    }

    async fn restart(&self) -> Report {
        let [_, restart] = self.orders(&Revision::named("v1"));
        self.bench.carry_out(&restart).await
    }

    fn orders(&self, to: &Revision) -> [Order; 2] {
        let steps = self.runbook.steps(&Revision::named("v2"), to, false);
        let orders: Vec<Order> = steps
            .into_iter()
            .enumerate()
            .map(|(step, what)| Order { step, what, ..order(Action::Check { run: line(&[]) }) })
            .collect();
        orders.try_into().unwrap()
    }
}

#[tokio::test]
async fn a_release_is_switched_and_restarted_and_twice_is_once() {
    let shop = Shop::new();
    let digest = shop.digest("v1").await;
    assert!(digest.is_some());
    let report = shop.switch("v1", digest.clone()).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    let seen = (report.before.as_str(), report.after.as_str());
    assert_eq!(seen, ("current points at v2", "current points at v1"));
    assert_eq!(shop.linked(), Path::new("releases/v1"));
    assert_eq!(shop.switch("v1", digest).await.outcome, Outcome::AlreadyDone);

    let report = shop.restart().await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert_eq!(
        (report.before, report.after),
        ("current points at v1; v2 serves".into(), "v1 serves".into())
    );
    assert_eq!(shop.restart().await.outcome, Outcome::AlreadyDone);
    assert_eq!(shop.bench.read("restarts"), "restarted\n");
}

#[tokio::test]
async fn a_switch_refuses_what_the_plan_did_not_see() {
    let refused = async |shop: &Shop, to: &str, digest: Option<&str>, wanted: &str| {
        let report = shop.switch(to, digest.map(str::to_owned)).await;
        let (why, retry) = failure(&report);
        assert!(!retry && why.contains(wanted), "{why}");
    };
    let shop = Shop::new();
    let unchanged = shop.linked();
    refused(&shop, "v0", None, "there is no release v0").await;
    refused(&shop, "../v1", None, "cannot name a release").await;
    refused(&shop, "..", None, "cannot name a release").await;
    refused(&shop, "v1", Some("sha256:00"), "v1 is not what it was").await;
    assert_eq!(shop.linked(), unchanged);

    fs::create_dir(shop.bench.path("releases/v3")).unwrap();
    shop.link("releases/v3");
    refused(&shop, "v1", None, "somebody deployed v3 in between").await;
    shop.link("/");
    refused(&shop, "v1", None, "which is no release").await;
    fs::remove_file(shop.bench.path("current")).unwrap();
    refused(&shop, "v1", None, "there is no current").await;
    fs::create_dir(shop.bench.path("current")).unwrap();
    refused(&shop, "v1", None, "move it to releases/<version>").await;
    assert!(shop.bench.path("current").is_dir());
}

#[tokio::test]
async fn a_dangling_link_is_switched_when_it_names_what_the_plan_leaves() {
    let shop = Shop::new();
    fs::remove_dir_all(shop.bench.path("releases/v2")).unwrap();
    let report = shop.switch("v1", None).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert!(report.before.contains("dangles"));
    shop.link("releases/v0");
    let report = shop.switch("v1", None).await;
    assert!(!failure(&report).1);
}

#[tokio::test]
async fn a_restart_that_returns_0_and_does_nothing_fails() {
    let mut shop = Shop::new().restarts_with("exit 0");
    shop.link("releases/v1");
    shop.runbook.restart_timeout = Span::seconds(1);
    let report = shop.restart().await;
    let (why, retry) = failure(&report);
    assert_eq!((why, retry), ("the restart returned 0, but v1 does not serve: v2 serves", true));
}

#[tokio::test]
async fn a_restart_that_hangs_is_ended_and_then_looked_at() {
    let mut shop = Shop::new().restarts_with("sleep 1000");
    shop.link("releases/v1");
    shop.runbook.restart_timeout = Span::seconds(1);
    let report = shop.restart().await;
    let (why, retry) = failure(&report);
    assert!(retry && why.contains("did not end within") && why.ends_with("v2 serves"), "{why}");

    let mut shop = shop.restarts_with("echo v1 > serving; sleep 1000");
    shop.runbook.restart_timeout = Span::seconds(3);
    assert_eq!(shop.restart().await.outcome, Outcome::Done, "it hangs, but v1 serves");
}

#[tokio::test]
async fn a_restart_is_not_tried_where_it_would_not_help() {
    let shop = Shop::new();
    let report = shop.restart().await;
    let (why, retry) = failure(&report);
    assert!(!retry && why.contains("current points at v2"), "{why}");
    assert!(!shop.bench.path("restarts").exists());
    shop.link("releases/v1");
    shop.bench.hold();
    assert!(matches!(shop.restart().await.outcome, Outcome::Withheld { .. }));
    assert!(!shop.bench.path("restarts").exists());
}

#[tokio::test]
async fn what_serves_is_asked_over_http() {
    let mut shop = Shop::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/version", listener.local_addr().unwrap());
    shop.runbook.running = Running::Http { url, pointer: Some("/build/version".into()) };
    let serving = shop.bench.path("serving");
    let server = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await.unwrap();
            let version = fs::read_to_string(&serving).unwrap();
            let body = format!("{{\"build\":{{\"version\":\"{}\"}}}}", version.trim());
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).await.unwrap();
        }
    });
    shop.link("releases/v1");
    let report = shop.restart().await;
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    server.abort();
    let _ = server.await;
    // A connection that was kept from before may break off first, which says nothing yet.
    let mut looked = vec![];
    while !looked.iter().any(|seen| matches!(seen, Serving::NotRunning(_))) {
        let mut hashed = Hashed::default();
        let inventory = release_inventory(&shop.runbook, &shop.bench.options, &mut hashed).await;
        looked.push(inventory.running);
        assert!(looked.len() < 5, "{looked:?}");
    }
}

#[tokio::test]
async fn the_inventory_tells_what_is_deployed_and_what_is_wrong() {
    let shop = Shop::new();
    let mut hashed = Hashed::default();
    let mut look =
        async || release_inventory(&shop.runbook, &shop.bench.options, &mut hashed).await;
    let first = look().await;
    let digest = shop.digest("v2").await;
    assert_eq!(first.linked, Some(Revision { version: "v2".into(), digest: digest.clone() }));
    assert!(first.is_settled() && first.switched_at.is_some() && first.faults.is_empty());
    let mut versions: Vec<&str> =
        first.available.iter().map(|a| a.revision.version.as_str()).collect();
    versions.sort_unstable();
    assert_eq!(versions, ["v1", "v2"]);
    fs::write(shop.bench.path("releases/v2/extra"), "more").unwrap();
    assert_eq!(look().await.linked, first.linked, "hashed once");

    shop.link("releases/v1");
    let second = look().await;
    assert_eq!(second.linked.as_ref().unwrap().version, "v1");
    assert_ne!(second.linked.as_ref().unwrap().digest, digest);
    assert!(!second.is_settled(), "v2 still serves");

    shop.link("releases/v0");
    let dangling = look().await;
    assert!(dangling.faults[0].contains("dangles"), "{:?}", dangling.faults);
    fs::remove_file(shop.bench.path("current")).unwrap();
    fs::create_dir(shop.bench.path("current")).unwrap();
    let in_the_way = look().await;
    assert!(in_the_way.faults[0].contains("not a symlink"), "{:?}", in_the_way.faults);
    let runbook = ReleaseRunbook { root: "/no/such/root".into(), ..shop.runbook.clone() };
    let missing = release_inventory(&runbook, &shop.bench.options, &mut Hashed::default()).await;
    assert_eq!((missing.faults.len(), missing.linked), (2, None));
}

#[tokio::test]
async fn a_release_that_is_too_much_to_hash_is_walked_once() {
    let mut shop = Shop::new();
    shop.bench.options.digest.files = 2;
    let extra = |n: u8| shop.bench.path(&format!("releases/v2/extra-{n}"));
    (0..3).for_each(|n| fs::write(extra(n), "more").unwrap());
    let mut hashed = Hashed::default();
    let mut look = async || {
        let seen = release_inventory(&shop.runbook, &shop.bench.options, &mut hashed).await;
        (seen.linked.and_then(|linked| linked.digest), seen.faults)
    };
    let first = look().await;
    assert!(first.0.is_none() && first.1[0].contains("holds more than"), "{first:?}");
    (0..3).for_each(|n| fs::remove_file(extra(n)).unwrap());
    assert_eq!(look().await, first, "it is not walked again");
    shop.link("releases/v2");
    let (digest, faults) = look().await;
    assert!(digest.is_some() && faults.is_empty(), "the link was switched: {faults:?}");
}

#[tokio::test]
async fn preflight_finds_what_a_rollback_would_miss() {
    let mut shop = Shop::new();
    let faults = async |shop: &Shop| -> Vec<String> {
        let checks = release_preflight(&shop.runbook, &shop.bench.options).await;
        assert_eq!(checks.len(), 5);
        checks.into_iter().filter(|check| !check.ok).map(|check| check.what).collect()
    };
    assert_eq!(faults(&shop).await, Vec::<String>::new());
    let names: Vec<_> = fs::read_dir(shop.bench.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('.'))
        .collect();
    assert!(names.is_empty(), "left behind: {names:?}");
    fs::remove_dir_all(shop.bench.path("releases/v1")).unwrap();
    shop.runbook.restart = Restart::Command(line(&["/no/such/restart"]));
    shop.runbook.running = Running::Command(line(&["echo", "two words"]));
    assert_eq!(
        faults(&shop).await,
        ["an earlier version is kept", "it can be restarted", "the version that serves is seen"]
    );
}
