//! Another version of a secret of AWS is made current under the real daemon: it is a change, and where it hurts it goes back.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{Router, routing::get};
use rollbackd::{
    aws::{Access, secrets},
    demo::shop::Behaviour,
    domain::{secret::labels, service::ServiceId},
};
use tokio::{net::TcpListener, task::JoinHandle};

use super::world::{SOON, Setup, World};
use crate::{
    aws::server::{Server, unique},
    rig::patiently,
};

/// Between two batches of requests.
const BATCH: Duration = Duration::from_millis(200);

/// A secret that the shop is given when it starts.
struct Given {
    access: Access,
    name: String,
    /// What is written anew whenever the shop is started.
    pid: PathBuf,
    good: String,
}

impl Given {
    async fn current(&self) -> String {
        let seen = secrets::look(&self.access, &self.name).await.unwrap();
        seen.current().unwrap().to_owned()
    }

    /// What the shop counts: half of the requests fail while it was given another version than the good one.
    async fn counts(self: Arc<Self>, listener: TcpListener) {
        let [bad, total] = [0, 0].map(|zero| Arc::new(AtomicU64::new(zero)));
        let (told_bad, told_total) = (Arc::clone(&bad), Arc::clone(&total));
        let tells = async move || {
            let [bad, total] = [&told_bad, &told_total].map(|count| count.load(Ordering::Relaxed));
            format!("requests_failed_total {bad}\nrequests_total {total}\n")
        };
        let app = Router::new().route("/metrics", get(tells));
        tokio::spawn(axum::serve(listener, app).into_future());
        let (mut started, mut given) = (String::new(), self.good.clone());
        let mut ticks = tokio::time::interval(BATCH);
        loop {
            ticks.tick().await;
            let now = fs::read_to_string(&self.pid).unwrap_or_default();
            if !now.is_empty() && now != started {
                (started, given) = (now, self.current().await);
            }
            bad.fetch_add(if given == self.good { 0 } else { 10 }, Ordering::Relaxed);
            total.fetch_add(20, Ordering::Relaxed);
        }
    }
}

fn config(given: &Given, metrics: SocketAddr) -> String {
    let Access { endpoint, credentials_file, region, .. } = &given.access;
    format!(
        r#"
[aws.main]
region = "{region}"
endpoint = "{}"
credentials_file = "{}"
[service.shop]
bake = "2s"
[service.shop.secret.db]
secret = "{}"
look_every = "1s"
look_every_watched = "500ms"
[service.shop.scrape]
url = "http://{metrics}/metrics"
[service.shop.signal.error_rate]
every = "300ms"
every_watched = "300ms"
[service.shop.signal.error_rate.scrape]
bad = "requests_failed_total"
total = "requests_total"
"#,
        endpoint.as_ref().unwrap(),
        credentials_file.as_ref().unwrap().display(),
        given.name,
    )
}

#[tokio::test]
async fn a_version_that_makes_requests_fail_goes_back_by_its_id_and_that_is_verified_and_told() {
    let server = Server::shared().await;
    let (clients, name) = (server.clients().await, unique("production/shop/db"));
    let first = clients.secrets().create_secret().name(&name).secret_string("hunter2-good");
    let good = first.send().await.unwrap().version_id().unwrap().to_owned();
    let mut world = World::set([Behaviour::Healthy; 2]).await;
    let given = Arc::new(Given {
        access: server.access(&unique("e2e")),
        name: name.clone(),
        pid: world.dir().join("shop.pid"),
        good: good.clone(),
    });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let metrics = listener.local_addr().unwrap();
    let counts: JoinHandle<()> = tokio::spawn(Arc::clone(&given).counts(listener));
    world.configure(&Setup::with(Behaviour::Healthy, &config(&given, metrics)));
    world.start().await;

    // Known good, and labelled by then, so that AWS does not delete it.
    let own = labels::label(&ServiceId::new("shop", "demo").unwrap(), &good);
    patiently("it is labelled", SOON, async || {
        let seen = secrets::look(&given.access, &name).await.ok()?;
        seen.versions.iter().any(|it| it.id == good && it.labels.contains(&own)).then_some(())
    })
    .await;
    let before = world.explained("it is known good", |it| {
        it.service.configuration.as_ref().is_some_and(|it| it.is_known_good)
    });
    let before = before.await.service;
    assert!(before.last_change.is_none(), "what is there at first start is no change");

    // As a pipeline does, which restarts what reads it.
    let bad = clients.secrets().put_secret_value().secret_id(&name).secret_string("hunter2-bad");
    let bad = bad.send().await.unwrap().version_id().unwrap().to_owned();
    assert_eq!(given.current().await, bad);
    world.explained("the change", |it| it.service.last_change.is_some()).await;
    world.boot_shop();

    let over = world.incident("over", |i| i.line.closed.is_some()).await;
    assert_eq!(over.line.because.as_deref(), Some("rolled back and verified"), "{over:#?}");
    assert_eq!(given.current().await, good);
    let after = world.explained("the rollback", |it| {
        it.service.last_change.as_ref().is_some_and(|change| change.is_rollback)
    });
    let after = after.await.service;
    assert_eq!(after.serving, before.serving, "the application stayed");
    let serving = |of: &Option<rollbackd::http::views::ConfigurationView>| {
        of.as_ref().and_then(|it| it.serving.clone())
    };
    assert_eq!(serving(&after.configuration), serving(&before.configuration));
    let told = world.log();
    assert!(told.contains("only the configuration goes back, and it is restarted"), "{told}");
    assert!(!told.contains("hunter2"), "what it holds is read by nobody here");
    counts.abort();
    world.ended().await;
}
