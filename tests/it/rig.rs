//! Real servers for one test: started privately on free ports of loopback, gone when the value is dropped.
//!
//! Each start is a process of its own below a temporary directory. It dies with the value, and, should the test
//! be killed, with the test's process (the kernel's parent-death signal, set by `setpriv`). A missing
//! program fails the test and says how to get it; nothing is ever skipped.

mod registry;
mod script;

use std::{
    fs,
    future::Future,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, Once},
    time::{Duration, Instant},
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::any};
use rollbackd::demo::port::ReservedPort;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};

pub(crate) use self::{registry::Registry, script::Script};

/// How long a server may take to be ready, on a machine that is busy with the other tests.
const START_MAX: Duration = Duration::from_secs(30);

/// A client for tests. Installs the TLS provider, without which reqwest cannot be built.
pub(crate) fn client() -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(10))
        .build()
        .expect("a client can be built")
}

/// Asks again and again until there is an answer; panics with `what` after `max`.
pub(crate) async fn eventually<T, F>(what: &str, max: Duration, ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    asked_every(Duration::from_millis(20), what, max, ask).await
}

/// The same, asking less often what costs the other side something to answer.
pub(crate) async fn patiently<T, F>(what: &str, max: Duration, ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    asked_every(Duration::from_millis(100), what, max, ask).await
}

async fn asked_every<T, F>(
    every: Duration,
    what: &str,
    max: Duration,
    mut ask: impl FnMut() -> F,
) -> T
where
    F: Future<Output = Option<T>>,
{
    let end = Instant::now() + max;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < end, "not within {max:?}: {what}");
        tokio::time::sleep(every).await;
    }
}

/// A server's process: killed when dropped, and by the kernel when the test's process dies.
#[derive(Debug)]
struct Server {
    child: Child,
    port: u16,
    log: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts `program` and waits until it has said where it listens and answers on `/-/ready`.
    async fn start(program: &str, install: &str, arguments: &[String]) -> Self {
        Self::started(program, install, arguments, "/-/ready").await
    }

    /// The same where another path tells whether it is ready.
    async fn started(program: &str, install: &str, arguments: &[String], ready: &str) -> Self {
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", program])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("setpriv (Debian's util-linux) can be started");
        let stderr = child.stderr.take().expect("stderr is piped");
        let log = Arc::<Mutex<Vec<String>>>::default();
        let (heard, mut listening) = mpsc::channel(1);
        let kept = Arc::clone(&log);
        // Ends with the process, whose end closes the pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if let Some(port) = listening_on(&line) {
                    let _ = heard.try_send(port);
                }
                kept.lock().expect("the log's lock").push(line);
            }
        });
        let mut server = Self { child, port: 0, log };
        let heard = tokio::time::timeout(START_MAX, listening.recv()).await;
        let Ok(Some(port)) = heard else {
            panic!("{program} did not start; if it is missing run `{install}`\n{}", server.log());
        };
        server.port = port;
        let (client, url) = (client(), format!("{}{ready}", server.url()));
        eventually(&format!("{program} ready"), START_MAX, async || {
            client.get(&url).send().await.ok().filter(|r| r.status().is_success())
        })
        .await;
        server
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn log(&self) -> String {
        self.log.lock().expect("the log's lock").join("\n")
    }

    /// As `kill -9` does; returns when the process is gone.
    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    #[expect(clippy::print_stderr, reason = "a failed test shows what its servers said")]
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- log of the server on port {}\n{}", self.port, self.log());
        }
    }
}

/// The port, from the line with which a program says that it listens.
fn listening_on(line: &str) -> Option<u16> {
    let says = ["msg=\"Listening on\" address=", "msg=\"listening on "];
    let (_, address) = says.into_iter().find_map(|says| line.split_once(says))?;
    address.split_whitespace().next()?.trim_matches('"').rsplit_once(':')?.1.parse().ok()
}

/// A private Prometheus with its configuration, rules and data in a temporary directory.
#[derive(Debug)]
pub(crate) struct Prometheus {
    server: Server,
    home: TempDir,
    _reserved: ReservedPort,
}

impl Prometheus {
    /// Starts one. Rule files are (name, text) and found by `rule_files: [name]` in the configuration.
    pub(crate) async fn start(config: &str, rules: &[(&str, &str)]) -> Self {
        let home = TempDir::new().expect("a temporary directory");
        write(home.path(), "prometheus.yml", config);
        for (name, text) in rules {
            write(home.path(), name, text);
        }
        Self::at_home(home).await
    }

    /// Starts one that scrapes nothing and remembers this, in OpenMetrics with times.
    pub(crate) async fn remembering(history: &str) -> Self {
        let home = TempDir::new().expect("a temporary directory");
        write(home.path(), "prometheus.yml", "scrape_configs: []");
        write(home.path(), "history.om", history);
        let output = Command::new("promtool")
            .args(["tsdb", "create-blocks-from", "openmetrics"])
            .args([home.path().join("history.om"), home.path().join("data")])
            .output()
            .expect("promtool; if it is missing run tests/rig/prometheus install");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self::at_home(home).await
    }

    async fn at_home(home: TempDir) -> Self {
        let reserved = ReservedPort::reserve().expect("a port");
        let server = Self::server(home.path(), reserved.number).await;
        Self { server, home, _reserved: reserved }
    }

    async fn server(home: &Path, port: u16) -> Server {
        let arguments = [
            format!("--config.file={}", home.join("prometheus.yml").display()),
            format!("--storage.tsdb.path={}", home.join("data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--web.enable-lifecycle".into(),
            // Alerts are sent again with the next evaluation, not only after a minute.
            "--rules.alert.resend-delay=1s".into(),
        ];
        Server::start("prometheus", "tests/rig/prometheus install", &arguments).await
    }

    /// Where it listens, without a slash at the end.
    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// The answer to an instant query, whole.
    pub(crate) async fn query(&self, query: &str) -> Value {
        let url = format!("{}/api/v1/query", self.url());
        let request =
            client().post(url).header("content-type", "application/x-www-form-urlencoded");
        let answer = request.body(format!("query={}", percent_encoded(query))).send().await;
        answer.expect("Prometheus answers").json().await.expect("Prometheus answers in JSON")
    }

    /// Waits until an instant query has a first value, and returns it.
    pub(crate) async fn value(&self, query: &str, max: Duration) -> f64 {
        eventually(query, max, async || {
            self.query(query).await["data"]["result"][0]["value"][1].as_str()?.parse().ok()
        })
        .await
    }

    /// Kills it, as a crash would; its data and its port stay.
    pub(crate) fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts it again on the same port, with the same configuration and data.
    pub(crate) async fn restart(&mut self) {
        self.server.kill();
        self.server = Self::server(self.home.path(), self.server.port).await;
    }
}

/// A private Alertmanager, with its configuration and data in a temporary directory.
#[derive(Debug)]
pub(crate) struct Alertmanager {
    server: Server,
    _home: TempDir,
}

impl Alertmanager {
    /// Starts one.
    pub(crate) async fn start(config: &str) -> Self {
        let home = TempDir::new().expect("a temporary directory");
        write(home.path(), "alertmanager.yml", config);
        let arguments = [
            format!("--config.file={}", home.path().join("alertmanager.yml").display()),
            format!("--storage.path={}", home.path().join("data").display()),
            "--web.listen-address=127.0.0.1:0".into(),
            // No cluster: it would listen beyond loopback.
            "--cluster.listen-address=".into(),
        ];
        let program = "prometheus-alertmanager";
        let server = Server::start(program, "tests/rig/alertmanager install", &arguments).await;
        Self { server, _home: home }
    }

    /// Where it listens, without a slash at the end.
    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// host:port, as Prometheus's configuration names it.
    pub(crate) fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.server.port)
    }
}

/// Scrapes these ports each second as job `job`, evaluates `rules.yml` each second, sends alerts on.
pub(crate) fn prometheus_config(job: &str, ports: &[u16], to: Option<&Alertmanager>) -> String {
    let ports: Vec<_> = ports.iter().map(|port| format!("\"127.0.0.1:{port}\"")).collect();
    let to: Vec<_> = to.into_iter().map(|to| format!("\"{}\"", to.authority())).collect();
    format!(
        r#"
global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}
rule_files: ["rules.yml"]
alerting: {{ alertmanagers: [ {{ static_configs: [ {{ targets: [{}] }} ] }} ] }}
scrape_configs: [ {{ job_name: "{job}", static_configs: [ {{ targets: [{}] }} ] }} ]
"#,
        to.join(", "),
        ports.join(", ")
    )
}

/// Everything to one webhook at once, resolves too; `token` is sent as a bearer token.
pub(crate) fn alertmanager_config(webhook: &str, token: Option<&str>) -> String {
    let http = token.map_or(String::new(), |token| {
        format!(", http_config: {{ authorization: {{ credentials: \"{token}\" }} }}")
    });
    format!(
        r#"
route: {{ receiver: webhook, group_by: ["..."], group_wait: 0s, group_interval: 1s, repeat_interval: 1h }}
receivers: [ {{ name: webhook, webhook_configs: [ {{ url: "{webhook}", send_resolved: true{http} }} ] }} ]
"#
    )
}

/// A small HTTP server of the test's own, on a free port; ends when dropped.
#[derive(Debug)]
pub(crate) struct Small {
    pub(crate) port: u16,
    task: JoinHandle<()>,
}

impl Small {
    pub(crate) async fn start(app: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("a bound address").port();
        let task = tokio::spawn(async move { axum::serve(listener, app).await.expect("serves") });
        Self { port, task }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A `/metrics` page (on every path) that says what it was last told.
#[derive(Debug)]
pub(crate) struct MetricsPage {
    small: Small,
    text: Arc<Mutex<String>>,
}

impl MetricsPage {
    /// Starts one that says this.
    pub(crate) async fn start(text: &str) -> Self {
        let text = Arc::new(Mutex::new(text.to_owned()));
        let said = Arc::clone(&text);
        let page = async move || said.lock().expect("the page's lock").clone();
        Self { small: Small::start(Router::new().fallback(any(page))).await, text }
    }

    pub(crate) fn port(&self) -> u16 {
        self.small.port
    }

    /// What it says from the next request on.
    pub(crate) fn say(&self, text: &str) {
        text.clone_into(&mut self.text.lock().expect("the page's lock"));
    }
}

/// A webhook that keeps everything that was posted to it, in order.
#[derive(Debug)]
pub(crate) struct Webhook {
    small: Small,
    posts: mpsc::UnboundedReceiver<Post>,
}

/// One request as it came in.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Post {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

impl Webhook {
    /// Starts one that answers 200.
    pub(crate) async fn start() -> Self {
        let (keep, posts) = mpsc::unbounded_channel();
        let post = async |State(keep): State<mpsc::UnboundedSender<Post>>,
                          headers: HeaderMap,
                          body: Bytes| {
            let _ = keep.send(Post { headers, body });
        };
        Self {
            small: Small::start(Router::new().fallback(any(post)).with_state(keep)).await,
            posts,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.small.port)
    }

    /// The next post, or a panic after `max`.
    pub(crate) async fn next(&mut self, max: Duration) -> Post {
        let next = tokio::time::timeout(max, self.posts.recv()).await;
        next.unwrap_or_else(|_| panic!("no post within {max:?}")).expect("the webhook is served")
    }
}

fn write(home: &Path, name: &str, text: &str) {
    fs::write(home.join(name), text).expect("the temporary directory can be written");
}

fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(
            |b| {
                if b.is_ascii_alphanumeric() {
                    (b as char).to_string()
                } else {
                    format!("%{b:02X}")
                }
            },
        )
        .collect()
}
