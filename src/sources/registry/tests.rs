//! Registries that do what the real one of the integration tests does not: they are slow, lead elsewhere, or lie.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{Response, header::AUTHORIZATION},
    routing::any,
};
use tokio::{net::TcpListener, task::JoinHandle};

use super::{Credential, Registries, Rights};
use crate::{
    domain::image::{Image, Said},
    kubernetes::pulls::Options,
    units::{Span, UnixMs},
};

/// `hub:secret`, as a client shows it.
const SHOWN: &str = "Basic aHViOnNlY3JldA==";
const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A request as it came.
#[derive(Clone, Debug, PartialEq)]
struct Asked {
    what: String,
    shown: Option<String>,
}

type AllAsked = Arc<Mutex<Vec<Asked>>>;
type Answers = dyn Fn(&Asked) -> Response<Body> + Send + Sync;

struct Fake {
    at: SocketAddr,
    asked: AllAsked,
    task: JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    async fn on(
        listener: TcpListener,
        answers: impl Fn(&Asked) -> Response<Body> + Send + Sync + 'static,
    ) -> Self {
        let at = listener.local_addr().unwrap();
        let asked = AllAsked::default();
        let answers: Arc<Answers> = Arc::new(answers);
        let page = async |State((asked, answers)): State<(AllAsked, Arc<Answers>)>,
                          request: Request| {
            let what = format!("{} {}", request.method(), request.uri());
            let shown = request.headers().get(AUTHORIZATION);
            let shown = shown.map(|it| it.to_str().unwrap().to_owned());
            let one = Asked { what, shown };
            asked.lock().unwrap().push(one.clone());
            answers(&one)
        };
        let app = Router::new().fallback(any(page)).with_state((asked.clone(), answers));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { at, asked, task }
    }

    async fn start(answers: impl Fn(&Asked) -> Response<Body> + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), answers).await
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.at)
    }
}

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Response<Body> {
    let response = Response::builder().status(status);
    let response = headers.iter().fold(response, |it, (key, value)| it.header(*key, *value));
    response.body(Body::from(body.to_owned())).unwrap()
}

fn there() -> Response<Body> {
    answer(200, &[("docker-content-digest", DIGEST)], "")
}

fn gone() -> Response<Body> {
    answer(404, &[], r#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#)
}

fn registries() -> Registries {
    let options = Options { timeout: Span::seconds(20), ..Options::default() };
    Registries::new(options).unwrap()
}

fn rights(at: SocketAddr) -> Rights {
    let file = format!(r#"{{"auths":{{"{at}":{{"username":"hub","password":"secret"}}}}}}"#);
    Rights { credentials: Credential::all(file.as_bytes()), is_withheld: false }
}

async fn said(image: &str, rights: &Rights) -> Said {
    registries().ask(image, rights, || UnixMs(7)).await.said
}

fn why(said: Said) -> String {
    match said {
        Said::Unknown(why) => why,
        Said::There { .. } | Said::Gone => panic!("{said:?} is known"),
    }
}

#[tokio::test]
async fn only_a_registrys_own_words_say_that_an_image_is_gone() {
    let registry = Fake::start(|asked| match &asked.what {
        what if what.contains("/there/") => there(),
        what if what.contains("/odd/") => answer(200, &[("docker-content-digest", "odd")], ""),
        what if what.contains("/proxy/") => answer(404, &[], "<h1>not found</h1>"),
        what if what.contains("/busy/") => answer(503, &[], ""),
        _ => gone(),
    })
    .await;
    let nobody = Rights::default();
    let there = said(&registry.image("there:1"), &nobody).await;
    assert_eq!(there, Said::There { digest: Some(DIGEST.to_owned()) });
    assert_eq!(said(&registry.image("odd:1"), &nobody).await, Said::There { digest: None });
    assert_eq!(said(&registry.image("lost:1"), &nobody).await, Said::Gone);
    let proxy = why(said(&registry.image("proxy:1"), &nobody).await);
    assert!(proxy.contains("not as a registry does"), "{proxy}");
    assert!(why(said(&registry.image("busy:1"), &nobody).await).contains("HTTP 503"));
    let withheld = Rights { is_withheld: true, ..Rights::default() };
    let withheld = why(said(&registry.image("lost:1"), &withheld).await);
    assert!(withheld.contains("without the pods' credential"), "{withheld}");
    assert!(why(said("Not A Name", &nobody).await).contains("its name"));
}

/// As Docker Hub does it: nobody may without a token, and everybody gets one.
#[tokio::test]
async fn a_token_is_fetched_for_this_one_repository_and_shown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let registry = Fake::on(listener, move |asked| {
        let wanted = format!(r#"Bearer realm="http://{at}/token",service="hub""#);
        match (&asked.what, asked.shown.as_deref()) {
            (what, None) if what.starts_with("GET /token?") => {
                answer(200, &[], r#"{"access_token":"for-anybody"}"#)
            }
            (what, Some(SHOWN)) if what.starts_with("GET /token?") => {
                answer(200, &[], r#"{"token":"for-the-pods"}"#)
            }
            (what, _) if what.starts_with("GET /token?") => answer(401, &[], ""),
            (what, Some("Bearer for-anybody")) if what.contains("/public/") => there(),
            (_, Some("Bearer for-the-pods")) => there(),
            (_, Some(_)) => answer(401, &[], ""),
            (_, None) => answer(401, &[("www-authenticate", &wanted)], ""),
        }
    })
    .await;
    let (nobody, pods) = (Rights::default(), rights(registry.at));
    let is_there = |said: Said| matches!(said, Said::There { .. });
    assert!(is_there(said(&registry.image("shop/public:1"), &nobody).await));
    let asked = registry.asked();
    let token = "GET /token?service=hub&scope=repository%3Ashop%2Fpublic%3Apull";
    assert_eq!((asked.len(), &*asked[1].what), (3, token));
    assert!(why(said(&registry.image("private:1"), &nobody).await).contains("HTTP 401"));
    assert!(is_there(said(&registry.image("private:1"), &pods).await));
    let wrong = format!(r#"{{"{at}":{{"username":"hub","password":"wrong"}}}}"#);
    let wrong = Rights { credentials: Credential::all(wrong.as_bytes()), is_withheld: false };
    let refused = why(said(&registry.image("private:1"), &wrong).await);
    assert!(refused.contains("gives the pods' credential no token: HTTP 401"), "{refused}");
}

#[tokio::test]
async fn a_password_is_shown_to_nobody_that_a_registry_names_elsewhere() {
    let elsewhere = Fake::start(|asked| match &asked.what {
        what if what.starts_with("GET /token") => answer(200, &[], r#"{"token":"t"}"#),
        _ => there(),
    })
    .await;
    // The same machine by another name is another host.
    let port = elsewhere.at.port();
    let registry = Fake::start(move |asked| {
        let token = format!(r#"Bearer realm="http://localhost:{port}/token""#);
        let to = format!("http://localhost:{port}{}", &asked.what[5..]);
        match (&asked.what, &asked.shown) {
            (what, _) if what.contains("/loop/") => {
                answer(307, &[("location", "/v2/loop/manifests/1")], "")
            }
            (what, None) if what.contains("/token/") => {
                answer(401, &[("www-authenticate", &token)], "")
            }
            (what, Some(_)) if what.contains("/token/") => gone(),
            (_, None) => answer(401, &[("www-authenticate", "Basic realm=\"r\"")], ""),
            (_, Some(_)) => answer(307, &[("location", &to)], ""),
        }
    })
    .await;
    let pods = rights(registry.at);
    assert!(matches!(said(&registry.image("moved:1"), &pods).await, Said::There { .. }));
    assert_eq!(registry.asked()[1].shown.as_deref(), Some(SHOWN), "its own registry sees it");
    let unsure = why(said(&registry.image("token:1"), &pods).await);
    assert!(unsure.contains("without the pods' credential"), "{unsure}");
    let asked = elsewhere.asked();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked.iter().all(|asked| asked.shown.is_none()), "{asked:?}");
    let endless = why(said(&registry.image("loop:1"), &pods).await);
    assert!(endless.contains("from one place to the next"), "{endless}");
}

#[tokio::test]
async fn a_registry_that_does_not_answer_is_asked_once_and_told_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    // It takes connections and says nothing.
    let options = Options { timeout: Span(200), ..Options::default() };
    let silent = Registries::new(options).unwrap();
    let nobody = Rights::default();
    let ask = async |name: &str| silent.ask(&format!("{at}/{name}"), &nobody, || UnixMs(7)).await;
    let first = ask("a:1").await;
    assert!(why(first.said.clone()).contains("no answer within 200ms"), "{first:?}");
    assert!(silent.is_news(&first) && !silent.is_news(&first));
    drop(listener);
    // A closed port would be refused: it was not asked.
    let second = ask("b:1").await;
    assert_eq!((second.said.clone(), second.asked_at), (first.said, UnixMs(7)));
    assert!(!silent.is_news(&second));
    let known = Image { said: Said::Gone, ..second.clone() };
    assert!(!silent.is_news(&known) && !silent.is_news(&second), "another image is no reason");
    let other = Image { said: Said::Unknown("HTTP 503".into()), ..second };
    assert!(silent.is_news(&other));
}

#[tokio::test]
async fn an_answer_is_believed_for_a_while_by_all_who_ask() {
    let registry = Fake::start(|_| there()).await;
    let image = registry.image("shop:1");
    let options = Options { keep: Span(50), ..Options::default() };
    let registries = Registries::new(options).unwrap();
    let nobody = Rights::default();
    for _ in 0..3 {
        registries.ask(&image, &nobody, || UnixMs(7)).await;
    }
    assert!(registry.asked().len() <= 2, "{:?}", registry.asked());
    tokio::time::timeout(Duration::from_secs(20), async {
        let before = registry.asked().len();
        while registry.asked().len() == before {
            registries.ask(&image, &nobody, || UnixMs(7)).await;
        }
    })
    .await
    .expect("it is asked again");
}
