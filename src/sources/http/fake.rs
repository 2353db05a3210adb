//! A server on loopback that answers as no decent server would.

use std::time::Duration;

use reqwest::Url;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

/// What the server sends, piece by piece.
#[derive(Clone)]
pub(crate) enum Send {
    Bytes(Vec<u8>),
    Wait(Duration),
}

/// A running fake, until it is dropped.
pub(crate) struct Fake {
    pub(crate) url: Url,
    asked: mpsc::UnboundedReceiver<String>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    /// Answers every request with the same pieces, then closes.
    pub(crate) async fn sends(pieces: Vec<Send>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        let (tell, asked) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, pieces.clone(), tell.clone()));
            }
        });
        let url = format!("http://{at}/metrics").parse().expect("a URL");
        Self { url, asked, task }
    }

    /// Answers with a status, headers and a body of the right length.
    pub(crate) async fn answers(status: u16, headers: &str, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let head = format!(
            "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
            body.len()
        );
        Self::sends(vec![Send::Bytes([head.as_bytes(), body].concat())]).await
    }

    /// Whether nobody asked anything that was not looked at yet.
    pub(crate) fn unasked(&self) -> bool {
        self.asked.is_empty()
    }

    /// The next request, head and body.
    pub(crate) async fn asked(&mut self) -> String {
        self.asked.recv().await.expect("a request")
    }
}

async fn answer(mut stream: TcpStream, pieces: Vec<Send>, tell: mpsc::UnboundedSender<String>) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !is_whole(&request) {
        match stream.read(&mut buffer).await {
            Ok(read @ 1..) => request.extend_from_slice(&buffer[..read]),
            Ok(_) | Err(_) => return,
        }
    }
    // The test may have ended already.
    let _ = tell.send(String::from_utf8_lossy(&request).into_owned());
    for piece in pieces {
        match piece {
            Send::Bytes(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Send::Wait(time) => tokio::time::sleep(time).await,
        }
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.and_then(|length| length.trim().parse().ok()).unwrap_or(0) <= body.len()
}

/// A port on which nothing listens.
pub(crate) async fn closed_port() -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("an address");
    format!("http://{at}/").parse().expect("a URL")
}
