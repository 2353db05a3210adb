use std::time::Duration;

use super::{
    fake::{Fake, Send, closed_port},
    *,
};
use crate::sources::reading::Class;

fn quick() -> Options {
    Options {
        connect: Span(500),
        attempt: Span(300),
        total: Span(600),
        body_bytes: 1 << 20,
        ..Options::default()
    }
}

async fn get(url: Url, options: Options) -> Result<Answer, Failure> {
    let client = Client::new(options).expect("a client");
    client.send(client.request(reqwest::Method::GET, url)).await
}

async fn fails(pieces: Vec<Send>) -> Failure {
    let fake = Fake::sends(pieces).await;
    get(fake.url.clone(), quick()).await.expect_err("no answer")
}

fn bytes(text: &str) -> Send {
    Send::Bytes(text.as_bytes().to_vec())
}

const SLEEP: Send = Send::Wait(Duration::from_secs(3));

#[tokio::test]
async fn an_answer_of_any_status_is_read_whole() {
    let mut fake = Fake::answers(503, "Content-Type: text/plain\r\n", "busy").await;
    let options = Options { auth: Some(Auth::Bearer(Secret::new("hunter2"))), ..quick() };
    assert!(!format!("{options:?}").contains("hunter2"));
    let answer = get(fake.url.clone(), options).await.expect("an answer");
    assert_eq!((answer.status, answer.body.as_slice()), (503, &b"busy"[..]));
    assert_eq!(answer.content_type.as_deref(), Some("text/plain"));
    let asked = fake.asked().await.to_lowercase();
    assert!(asked.contains(concat!("user-agent: rollbackd/", env!("CARGO_PKG_VERSION"))));
    assert!(asked.contains("authorization: bearer hunter2"));
}

#[tokio::test]
async fn every_wait_has_an_end() {
    assert!(matches!(fails(vec![SLEEP]).await, Failure::SlowHead { after: Span(300) }));
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
    let slow = fails(vec![bytes(head), bytes("m 1"), SLEEP]).await;
    assert!(matches!(slow, Failure::SlowBody { after: Span(600) }), "{slow:?}");
    // One byte now and then keeps a connection alive, and no poll.
    let mut drip = vec![bytes(head)];
    for _ in 0..20 {
        drip.extend([Send::Wait(Duration::from_millis(100)), bytes("m")]);
    }
    assert_eq!(fails(drip[..14].to_vec()).await.class(), Class::Down);
}

#[tokio::test]
async fn a_broken_answer_is_the_targets_fault() {
    for pieces in [
        vec![],
        vec![bytes("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nm 1\n")],
        vec![bytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nm 1\n\r\n")],
        vec![bytes("SSH-2.0-OpenSSH_9.2\r\n")],
        vec![Send::Bytes(vec![0xff; 64])],
        vec![bytes("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nm 1\n")],
    ] {
        let failure = fails(pieces).await;
        assert_eq!(failure.class(), Class::Down, "{failure:?}");
    }
    let refused = get(closed_port().await, quick()).await.expect_err("no answer");
    assert!(matches!(refused, Failure::Refused(_)), "{refused:?}");
    assert_eq!(refused.class(), Class::Down);
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    io::Write::write_all(&mut encoder, body).expect("written");
    encoder.finish().expect("compressed")
}

#[tokio::test]
async fn a_compressed_body_is_bounded_by_what_it_becomes() {
    const HEAD: &str = "Content-Encoding: gzip\r\n";
    let text = "requests_total 7\n".repeat(1000);
    let whole = gzip(text.as_bytes());
    let mut fake = Fake::answers(200, HEAD, &whole).await;
    let answer = get(fake.url.clone(), quick()).await.expect("an answer");
    assert_eq!(answer.body, text.as_bytes());
    assert!(fake.asked().await.to_lowercase().contains("accept-encoding: gzip"));
    // Its end is missing: half of a body is not the whole of it.
    let cut = Fake::answers(200, HEAD, &whole[..whole.len() - 12]).await;
    let failure = get(cut.url.clone(), quick()).await.expect_err("cut");
    assert!(matches!(failure, Failure::Broken(_)), "{failure:?}");
    // 64 kB that become 64 MB are not unpacked.
    let bomb = gzip(&vec![b'm'; 64 << 20]);
    assert!(bomb.len() < 100_000, "{}", bomb.len());
    let fake = Fake::answers(200, HEAD, &bomb).await;
    let slow = Options { attempt: Span(5000), total: Span(5000), ..quick() };
    let failure = get(fake.url.clone(), slow).await.expect_err("too much");
    assert!(matches!(failure, Failure::TooLarge { limit: 1_048_576 }), "{failure:?}");
}

#[tokio::test]
async fn a_body_is_bounded_whatever_it_announces() {
    let ten = vec![b'm'; 10 << 20];
    let fake = Fake::answers(200, "", &ten).await;
    let failure = get(fake.url.clone(), quick()).await.expect_err("too much");
    assert!(matches!(failure, Failure::TooLarge { limit: 1_048_576 }), "{failure:?}");
    let unannounced = [&b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"[..], &ten].concat();
    let failure = fails(vec![Send::Bytes(unannounced)]).await;
    assert!(matches!(failure, Failure::TooLarge { .. }), "{failure:?}");
    assert_eq!(failure.class(), Class::Unknown);
}

/// A resolver that hangs was told as "service down".
#[tokio::test]
async fn a_name_that_is_not_resolved_in_time_is_no_outage_and_starves_nobody() {
    static TWO: Semaphore = Semaphore::const_new(2);
    let options = quick();
    let within = Resolver::of(&options).within;
    assert!(within < options.connect.duration() && within < options.attempt.duration());
    let hung =
        || bounded(Duration::from_millis(20), &TWO, std::future::pending::<io::Result<()>>());
    for _ in 0..2 {
        let late = hung().await.expect_err("it hangs");
        assert!(late.to_string().contains("does not answer"), "{late}");
    }
    let third = bounded(Duration::from_millis(20), &TWO, async { Ok(()) }).await;
    assert!(third.expect_err("both threads hang").to_string().contains("do not end"));
    assert_eq!(Failure::Name(io::ErrorKind::TimedOut.into()).class(), Class::Unknown);
}

#[tokio::test]
async fn what_is_our_own_fault_is_unknown() {
    let nowhere = "http://rollbackd.invalid/".parse().expect("a URL");
    let failure = get(nowhere, quick()).await.expect_err("no such host");
    assert!(matches!(failure, Failure::Name(_)), "{failure:?}");
    assert_eq!(failure.class(), Class::Unknown);
    // Plain HTTP where TLS was expected.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let url: Url = format!("https://127.0.0.1:{port}/").parse().expect("a URL");
    let speaks = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .expect("written");
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    let (failure, ()) = tokio::join!(get(url, quick()), speaks);
    let failure = failure.expect_err("no TLS");
    assert!(matches!(failure, Failure::Tls(_)), "{failure:?}");
    assert_eq!(failure.class(), Class::Unknown);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let trap = Fake::answers(200, "", "secret").await;
    let location = format!("Location: {}\r\n", trap.url);
    let fake = Fake::answers(302, &location, "").await;
    assert_eq!(get(fake.url.clone(), quick()).await.expect("an answer").status, 302);
}

#[tokio::test]
async fn no_error_prints_a_credential() {
    let mut url = closed_port().await;
    url.set_username("admin").expect("a user");
    url.set_password(Some("hunter2")).expect("a password");
    url.set_query(Some("token=hunter2"));
    assert!(!shown(&url).contains("hunter2") && !shown(&url).contains("admin"));
    let failure = get(url, quick()).await.expect_err("no answer");
    let all = format!("{failure:?} {failure} {}", failure.story());
    assert!(!all.contains("hunter2"), "{all}");
    assert!(failure.story().starts_with("the connection was refused: "), "{all}");
}

/// One TLS provider for all: a client of every kind, with TLS of its own settings, in one process.
#[tokio::test]
async fn a_client_of_every_kind_is_built() {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".into()]).expect("a certificate");
    let with_ca = Options { ca_pem: Some(key.cert.pem().into_bytes()), ..quick() };
    for options in [
        quick(),
        with_ca.clone(),
        Options { insecure: true, ..quick() },
        Options { proxy: Proxy::Environment, ..quick() },
        Options { proxy: Proxy::Url(Secret::new("http://user:pw@127.0.0.1:3128")), ..quick() },
    ] {
        Client::new(options).expect("a client");
    }
    drop(rustls::ClientConfig::builder().with_root_certificates(rustls::RootCertStore::empty()));
    let bad = Client::new(Options { ca_pem: Some(b"not a certificate".to_vec()), ..quick() });
    assert!(matches!(bad, Err(CannotBuild::Ca(_))), "{bad:?}");

    // And one real handshake each: refused without the CA, fine with it or with `insecure`.
    let (url, task) = tls_server(&key).await;
    let failure = get(url.clone(), quick()).await.expect_err("an unknown issuer");
    assert!(matches!(failure, Failure::Tls(_)), "{failure:?}");
    assert_eq!(get(url.clone(), with_ca).await.expect("an answer").status, 204);
    assert_eq!(get(url, Options { insecure: true, ..quick() }).await.expect("it").status, 204);
    task.abort();
}

async fn tls_server(
    key: &rcgen::CertifiedKey<rcgen::KeyPair>,
) -> (Url, tokio::task::JoinHandle<()>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der());
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private.expect("a key"))
        .expect("a configuration");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
            let _ = stream.shutdown().await;
        }
    });
    (format!("https://localhost:{port}/").parse().expect("a URL"), task)
}
