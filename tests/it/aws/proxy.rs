//! What stands before the AWS of this machine and does what only the real one does: throttles, fails, says nothing, loses an
//! answer after the effect, takes its time with a state.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, Request, Response},
};
use http_body_util::BodyExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinHandle};

/// What is done with a request, instead of handing it on.
#[derive(Clone)]
pub(crate) enum Twist {
    /// It is refused, in the words of the service's own protocol. Nothing is done.
    Refuse { status: u16, code: &'static str, said: &'static str },
    /// It is refused where the request has this in it, and else handed on.
    RefuseOf { having: &'static str, code: &'static str, said: &'static str },
    /// Nobody ever answers, and nothing is done.
    Silent,
    /// The connection is closed, and nothing is done.
    Cut,
    /// It is done, and the connection is closed instead of the answer.
    Lost,
    /// Something else is answered with 200, and nothing is done.
    Answer(Vec<u8>),
    /// It is done, and something else is said of it.
    Rewrite(fn(&str) -> String),
    /// The same by whoever remembers what was said before; of the request, and of the answer.
    Reword(Arc<Rewording>),
    /// Something else is done in its place, and something else is said of that.
    Instead { asked: fn(&str) -> String, said: fn(&str) -> String },
}

impl Twist {
    /// What is answered without anything being done.
    fn instead_of_asking(&self, words: Words, asked: &Bytes) -> Option<Response<Body>> {
        match self {
            Self::Refuse { status, code, said } => Some(words.refused(*status, code, said)),
            Self::RefuseOf { having, code, said } => {
                let is_of_it = String::from_utf8_lossy(asked).contains(having);
                is_of_it.then(|| words.refused(400, code, said))
            }
            Self::Answer(body) => Some(words.answer(200, body.clone())),
            Self::Silent
            | Self::Cut
            | Self::Lost
            | Self::Rewrite(_)
            | Self::Reword(_)
            | Self::Instead { .. } => None,
        }
    }
}

/// What was asked, and what is said of it.
type Rewording = dyn Fn(&str, &str) -> String + Send + Sync;

impl fmt::Debug for Twist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refuse { code, .. } | Self::RefuseOf { code, .. } => code,
            Self::Silent => "Silent",
            Self::Cut => "Cut",
            Self::Lost => "Lost",
            Self::Answer(_) => "Answer",
            Self::Rewrite(_) | Self::Reword(_) => "Rewrite",
            Self::Instead { .. } => "Instead",
        })
    }
}

/// What somebody asked for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// `Publish`, or `PUT /bucket/key?query` where the protocol has no names.
    pub(crate) action: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Asked {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

#[derive(Debug, Default)]
struct Script {
    /// Which actions, how often still, and what is done then. The first that fits counts.
    twists: Vec<(String, usize, Twist)>,
    asked: Vec<Asked>,
}

/// A server that hands everything on, but for what it is told; ends when dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    port: u16,
    script: Arc<Mutex<Script>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Before the server at this URL.
    pub(crate) async fn before(upstream: &str) -> Self {
        rollbackd::tls::install();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("a bound address").port();
        let script = Arc::<Mutex<Script>>::default();
        let client = reqwest::Client::builder().no_proxy().no_gzip().build();
        let way = Way {
            upstream: upstream.to_owned(),
            client: client.expect("a client can be built"),
            script: Arc::clone(&script),
        };
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let way = way.clone();
                tokio::spawn(async move {
                    let each = service_fn(move |request| handed_on(way.clone(), request));
                    let _ =
                        http1::Builder::new().serve_connection(TokioIo::new(stream), each).await;
                });
            }
        });
        Self { port, script, task }
    }

    /// Without a slash at the end.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What is done with the next so many requests whose action has this in it.
    pub(crate) fn twist(&self, action: &str, times: usize, twist: Twist) {
        self.lock().twists.push((action.to_owned(), times, twist));
    }

    /// Everything is handed on again.
    pub(crate) fn straighten(&self) {
        self.lock().twists.clear();
    }

    /// What was asked whose action has this in it, in order.
    pub(crate) fn asked(&self, action: &str) -> Vec<Asked> {
        let script = self.lock();
        script.asked.iter().filter(|asked| asked.action.contains(action)).cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Script> {
        self.script.lock().expect("the script's lock")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Way {
    upstream: String,
    client: reqwest::Client,
    script: Arc<Mutex<Script>>,
}

/// Whoever ends with this ends the connection.
#[derive(Debug)]
struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("closed on purpose")
    }
}

impl std::error::Error for Closed {}

async fn handed_on(way: Way, request: Request<Incoming>) -> Result<Response<Body>, Closed> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Closed)?.to_bytes();
    let path = parts.uri.path_and_query().map_or("/", |it| it.as_str()).to_owned();
    let action = action(parts.method.as_str(), &path, &parts.headers, &body);
    let asked = Asked { action, headers: parts.headers.clone(), body: body.clone() };
    let twist = next_twist(&way, asked);
    let words = Words::of(&path, &parts.headers);
    match &twist {
        Some(Twist::Silent) => std::future::pending().await,
        Some(Twist::Cut) => return Err(Closed),
        Some(twist) => {
            if let Some(answer) = twist.instead_of_asking(words, &body) {
                return Ok(answer);
            }
        }
        None => {}
    }
    let body = match &twist {
        Some(Twist::Instead { asked, .. }) => Bytes::from(asked(&String::from_utf8_lossy(&body))),
        _ => body,
    };
    let mut to = way
        .client
        .request(parts.method.clone(), format!("{}{path}", way.upstream))
        .body(body.clone());
    for (name, value) in &parts.headers {
        if !matches!(
            name.as_str(),
            "connection" | "transfer-encoding" | "content-length" | "expect"
        ) {
            to = to.header(name, value);
        }
    }
    let from = to.send().await.map_err(|_| Closed)?;
    let is_head = parts.method == "HEAD";
    let mut answer = Response::builder().status(from.status());
    for (name, value) in from.headers() {
        let of_the_way =
            matches!(name.as_str(), "connection" | "transfer-encoding" | "content-length");
        if !of_the_way || is_head && name == "content-length" {
            answer = answer.header(name, value);
        }
    }
    let asked = body;
    let body = from.bytes().await.map_err(|_| Closed)?;
    let body = match twist {
        Some(Twist::Lost) => return Err(Closed),
        Some(Twist::Rewrite(other) | Twist::Instead { said: other, .. }) => {
            Bytes::from(other(&String::from_utf8_lossy(&body)))
        }
        Some(Twist::Reword(other)) => {
            let [asked, said] = [&asked, &body].map(|it| String::from_utf8_lossy(it));
            Bytes::from(other(&asked, &said))
        }
        _ => body,
    };
    Ok(answer.body(Body::from(body)).expect("an answer"))
}

/// What is done with this one; it is remembered.
fn next_twist(way: &Way, asked: Asked) -> Option<Twist> {
    let mut script = way.script.lock().expect("the script's lock");
    let is_meant = |(of, left, _): &&mut (String, usize, Twist)| {
        *left > 0 && asked.action.contains(of.as_str())
    };
    let twist = script.twists.iter_mut().find(is_meant).map(|(_, left, twist)| {
        *left -= 1;
        twist.clone()
    });
    script.asked.push(asked);
    twist
}

fn action(method: &str, path: &str, headers: &HeaderMap, body: &Bytes) -> String {
    if let Some(target) = headers.get("x-amz-target").and_then(|it| it.to_str().ok()) {
        return target.rsplit('.').next().unwrap_or(target).to_owned();
    }
    if let Some((_, operation)) = path.split_once("/operation/") {
        return operation.to_owned();
    }
    let text = String::from_utf8_lossy(body);
    match text.split('&').find_map(|part| part.strip_prefix("Action=")) {
        Some(action) if path == "/" => action.to_owned(),
        _ => format!("{method} {path}"),
    }
}

/// How a service words an error.
#[derive(Clone, Copy)]
enum Words {
    Cbor,
    Json,
    Query,
    S3,
}

impl Words {
    fn of(path: &str, headers: &HeaderMap) -> Self {
        let form =
            headers.get("content-type").is_some_and(|it| it == "application/x-www-form-urlencoded");
        match () {
            () if path.starts_with("/service/") => Self::Cbor,
            () if headers.contains_key("x-amz-target") => Self::Json,
            // CloudFront's are worded as those of the query protocol.
            () if form || path.starts_with("/2020-05-31/") => Self::Query,
            () => Self::S3,
        }
    }

    fn refused(self, status: u16, code: &str, said: &str) -> Response<Body> {
        let body = match self {
            Self::Cbor => {
                let texts = [("__type", code), ("message", said)];
                let mut bytes = vec![0xa2];
                for text in texts.into_iter().flat_map(|(key, value)| [key, value]) {
                    bytes.extend(cbor_text(text));
                }
                bytes
            }
            Self::Json => serde_json::json!({ "__type": code, "message": said }).to_string().into_bytes(),
            Self::Query => format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{said}</Message></Error>\
                 <RequestId>rig-1</RequestId></ErrorResponse>"
            )
            .into_bytes(),
            Self::S3 => format!("<Error><Code>{code}</Code><Message>{said}</Message></Error>").into_bytes(),
        };
        self.answer(status, body)
    }

    fn answer(self, status: u16, body: Vec<u8>) -> Response<Body> {
        let content = match self {
            Self::Cbor => "application/cbor",
            Self::Json => "application/x-amz-json-1.1",
            Self::Query => "text/xml",
            Self::S3 => "application/xml",
        };
        let mut answer = Response::builder().status(status).header("content-type", content);
        if matches!(self, Self::Cbor) {
            answer = answer.header("smithy-protocol", "rpc-v2-cbor");
        }
        answer.header("x-amzn-requestid", "rig-1").body(Body::from(body)).expect("an answer")
    }
}

/// A text of at most 255 bytes, as CBOR has it.
pub(crate) fn cbor_text(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).expect("a short text");
    let head = if length < 24 { vec![0x60 + length] } else { vec![0x78, length] };
    [head, text.as_bytes().to_vec()].concat()
}
