//! More than the daemon can take: targets that say hundreds of megabytes, a channel that never answers. Memory stays
//! bounded, what is shed is counted, and the bad release beside it is rolled back as always.

use std::{fmt::Write as _, fs, io};

use axum::{Router, response::Response, routing::any};
use rollbackd::demo::shop::Behaviour;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{
    together,
    world::{SOON, Setup, World},
};
use crate::rig::{Small, patiently};

/// How many targets say too much.
const LARGE: usize = 16;
/// What the README states: so much at once, of whatever sources.
const MEMORY_MAX_MB: u64 = 320;
const PIECE: usize = 64 << 10;

/// Whoever asks for `/endless` is told 200 MB of comments, anybody else 30 MB of them and then nothing, for ever.
async fn much() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("a bound address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(say_much(stream));
        }
    });
    port
}

async fn say_much(mut stream: TcpStream) -> io::Result<()> {
    let mut asked = vec![0; 4_096];
    let read = stream.read(&mut asked).await?;
    let is_endless = asked[..read].starts_with(b"GET /endless");
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n").await?;
    let piece = [b"# ", [b'x'; PIECE - 3].as_slice(), b"\n"].concat();
    for _ in 0..if is_endless { 3_200 } else { 480 } {
        stream.write_all(&piece).await?;
    }
    if !is_endless {
        std::future::pending::<()>().await;
    }
    Ok(())
}

fn most_memory_mb(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let kb = |name: &str| -> u64 {
        let line = status.lines().find(|line| line.starts_with(name)).expect("it is told");
        line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
    };
    // The unoptimised program itself, larger than what people run, is no part of what it was told.
    kb("VmHWM:").saturating_sub(kb("RssFile:")) >> 10
}

async fn metric(world: &World, name: &str) -> f64 {
    let text = world.get("/metrics").await;
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

async fn rolled_back(world: &World) {
    world.settled().await;
    world.stage.deploy("v2").expect("v2 is deployed");
    let over = world.incident("over", |i| i.line.closed.is_some()).await;
    assert_eq!(over.line.because.as_deref(), Some("rolled back and verified"), "{over:#?}");
    assert_eq!(world.stage.linked().as_deref(), Some("v1"));
}

async fn sources_that_say_too_much() {
    let port = much().await;
    let mut config = String::from("[http]\nopen_metrics = true\n");
    for n in 0..LARGE {
        let how = if n % 4 == 0 { "endless" } else { "stalls" };
        let _ = write!(
            config,
            "[service.large{n}]\nmode = \"observe\"\n[service.large{n}.scrape]\nurl = \"http://127.0.0.1:{port}/{how}\"\n\
             [service.large{n}.signal.error_rate]\nevery = \"1s\"\n[service.large{n}.signal.error_rate.scrape]\n\
             bad = \"bad_total\"\ntotal = \"all_total\"\n"
        );
    }
    let mut world = World::open(&Setup::with(Behaviour::Errors, &config)).await;
    world.start().await;
    let pid = world.stage.daemon().expect("it runs").id();
    rolled_back(&world).await;
    let failed = async || {
        let text = world.get("/metrics").await;
        let is =
            |line: &&str| line.contains("service=\"large") && line.contains("result=\"failed\"");
        let polls = text.lines().filter(|line| line.starts_with("rollbackd_polls_total"));
        (polls.filter(is).count() == LARGE).then_some(())
    };
    patiently("each of them has failed, and is counted", SOON, failed).await;
    let most = most_memory_mb(pid);
    assert!(most <= MEMORY_MAX_MB, "{most} MB");
    world.ended().await;
}

/// It takes the request and never answers.
async fn mute() -> Response {
    std::future::pending().await
}

async fn a_channel_that_never_answers() {
    let channel = Small::start(Router::new().fallback(any(mute))).await;
    let config = r#"
[http]
open_metrics = true
[store]
outbox_max = 4
[notify.mute]
audiences = ["on_call", "stakeholders"]
webhook = { url = { file = "{dir}/mute.url" } }
"#;
    let mut world = World::set([Behaviour::Healthy, Behaviour::Down]).await;
    fs::write(world.dir().join("mute.url"), format!("http://127.0.0.1:{}/", channel.port))
        .expect("a file");
    world.configure(&Setup::with(Behaviour::Down, config));
    world.start().await;
    rolled_back(&world).await;
    // What was to be told reached those who answer, in its order and in time; the silence of the other is told, too.
    world.all_told().await;
    patiently("the silence is paged on the other channel", SOON, async || {
        world.told.pages_that_say("mute").pop()
    })
    .await;
    // One more incident does not fit into its queue any more.
    world.stage.deploy("v2").expect("v2 is deployed");
    patiently("what is shed is counted", SOON, async || {
        let dropped = metric(&world, "rollbackd_notices_dropped_total{channel=\"mute\"}").await;
        (dropped >= 1.0).then_some(())
    })
    .await;
    let waits = "rollbackd_outbox_depth{channel=\"mute\",state=\"queued\"}";
    patiently("what waits is counted, and bounded", SOON, async || {
        let waits = metric(&world, waits).await;
        (1.0..=4.0).contains(&waits).then_some(())
    })
    .await;
    world.stage.kill_daemon().expect("it is killed");
}

#[test]
fn overload_is_bounded_counted_and_delays_no_rollback() {
    together(&[
        ("sources that say too much", || Box::pin(sources_that_say_too_much())),
        ("a channel that never answers", || Box::pin(a_channel_that_never_answers())),
    ]);
}
