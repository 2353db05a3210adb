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

/// Those of loopback are asked where somebody says so.
fn registries(at: SocketAddr) -> Registries {
    with(at, Options { timeout: Span::seconds(20), ..Options::default() })
}

fn with(at: SocketAddr, options: Options) -> Registries {
    Registries::new(Options { plain_http: vec![at.to_string()], ..options }).unwrap()
}

fn rights(at: SocketAddr) -> Rights {
    let file = format!(r#"{{"auths":{{"{at}":{{"username":"hub","password":"secret"}}}}}}"#);
    Rights { credentials: Credential::all(file.as_bytes()), is_withheld: false }
}

async fn said(image: &str, rights: &Rights) -> Said {
    let (at, _) = image.split_once('/').unwrap();
    heard(&registries(at.parse().unwrap()), image, rights).await
}

async fn heard(registries: &Registries, image: &str, rights: &Rights) -> Said {
    registries.ask(image, rights, || UnixMs(7)).await.image.said
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
        what if what.contains("/there/manifests/1") => there(),
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
    let lost = why(said(&registry.image("lost:1"), &nobody).await);
    assert!(lost.contains("to a stranger"), "{lost}");
    let all = registries(registry.at);
    let of_one = ["there:2", "there:1", "lost:1"].map(|it| (registry.image(it), Duration::MAX));
    let answers = all.ask_all(&of_one, &nobody, || UnixMs(7)).await;
    let answers: Vec<Said> = answers.into_iter().map(|it| it.image.said).collect();
    assert_eq!((&answers[0], &answers[1]), (&Said::Gone, &there), "nothing of it is hidden");
    assert!(matches!(answers[2], Said::Unknown(_)), "another one may be: {answers:?}");
    assert_eq!(heard(&all, &registry.image("there:3"), &nobody).await, Said::Gone);
    let proxy = why(said(&registry.image("proxy:1"), &nobody).await);
    assert!(proxy.contains("not as a registry does"), "{proxy}");
    assert!(why(said(&registry.image("busy:1"), &nobody).await).contains("HTTP 503"));
    let withheld = Rights { is_withheld: true, ..Rights::default() };
    let withheld = why(heard(&all, &registry.image("there:2"), &withheld).await);
    assert!(withheld.contains("without the pods' credential"), "{withheld}");
    assert!(why(heard(&all, "Not A Name", &nobody).await).contains("its name"));
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
    let silent = with(at, Options { timeout: Span(200), ..Options::default() });
    let nobody = Rights::default();
    let ask =
        async |name: &str| silent.ask(&format!("{at}/{name}"), &nobody, || UnixMs(7)).await.image;
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
    let registries = with(registry.at, Options { keep: Span(50), ..Options::default() });
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

fn login(at: SocketAddr, below: &str, password: &str) -> Credential {
    let file = format!(r#"{{"{at}{below}":{{"username":"hub","password":"{password}"}}}}"#);
    Credential::all(file.as_bytes()).remove(0)
}

#[tokio::test]
async fn what_one_may_know_is_told_to_nobody_with_other_rights() {
    let registry = Fake::start(|asked| match asked.shown.as_deref() {
        Some(SHOWN) => there(),
        Some(_) => gone(),
        None => answer(401, &[("www-authenticate", "Basic realm=\"r\"")], ""),
    })
    .await;
    let (all, image) = (registries(registry.at), registry.image("shop:1"));
    let of = |password| Rights {
        credentials: vec![login(registry.at, "", password)],
        is_withheld: false,
    };
    let is_there = |said: &Said| matches!(said, Said::There { .. });
    assert!(is_there(&heard(&all, &image, &of("secret")).await));
    assert_eq!(heard(&all, &image, &of("other")).await, Said::Gone);
    let unsure = Rights { is_withheld: true, ..of("other") };
    assert!(why(heard(&all, &image, &unsure).await).contains("without the pods' credential"));
    // One that fits may know what a narrower one does not.
    let both = vec![login(registry.at, "/shop", "other"), login(registry.at, "", "secret")];
    let both = Rights { credentials: both, is_withheld: false };
    assert!(is_there(&heard(&all, &image, &both).await));
}

#[tokio::test]
async fn the_loopback_of_a_node_is_not_the_daemons() {
    let registry = Fake::start(|_| there()).await;
    let port = registry.at.port();
    let nobody = Rights::default();
    let all = Registries::new(Options::default()).unwrap();
    for host in ["127.0.0.1", "localhost", "127.1"] {
        let image = format!("{host}:{port}/shop:1");
        assert!(why(heard(&all, &image, &nobody).await).contains("the node itself"), "{image}");
    }
    let link = why(heard(&all, "169.254.169.254/latest:1", &nobody).await);
    assert!(link.contains("address of the link"), "{link}");
    assert_eq!(registry.asked(), []);
}

#[tokio::test]
async fn a_registry_leads_the_daemon_nowhere_inside() {
    let registry = Fake::start(|asked| match &asked.what {
        what if what.contains("/moved/") => {
            answer(307, &[("location", "http://169.254.169.254/latest")], "")
        }
        _ => {
            let realm = r#"Bearer realm="http://169.254.169.254/latest""#;
            answer(401, &[("www-authenticate", realm)], "")
        }
    })
    .await;
    for name in ["moved:1", "token:1"] {
        let refused = why(said(&registry.image(name), &Rights::default()).await);
        assert!(refused.contains("a place inside"), "{refused}");
    }
}

#[tokio::test]
async fn one_that_was_busy_for_a_moment_is_asked_again_soon_and_says_the_same_since_before() {
    let is_busy = Arc::new(Mutex::new(false));
    let busy = is_busy.clone();
    let registry = Fake::start(move |_| match *busy.lock().unwrap() {
        true => answer(503, &[], ""),
        false => there(),
    })
    .await;
    let image = registry.image("shop:1");
    let ask =
        async |all: &Registries, at: i64| all.ask(&image, &Rights::default(), || UnixMs(at)).await;
    let impatient = with(registry.at, Options { keep: Span(1), ..Options::default() });
    assert_eq!(ask(&impatient, 1).await.image.since, Some(UnixMs(1)));
    *is_busy.lock().unwrap() = true;
    let silent = ask(&registries(registry.at), 2).await;
    assert!(silent.until <= silent.at + Duration::from_secs(30), "long before answers get old");
    let is_there = |said: &Said| matches!(said, Said::There { .. });
    let until = async |wanted: bool, at: i64| loop {
        let image = ask(&impatient, at).await.image;
        if is_there(&image.said) == wanted {
            return image;
        }
    };
    let limit = Duration::from_secs(20);
    let _ = tokio::time::timeout(limit, until(false, 3)).await.expect("it is busy");
    *is_busy.lock().unwrap() = false;
    let again = tokio::time::timeout(limit, until(true, 4)).await.expect("it is asked again");
    assert_eq!((again.asked_at, again.since), (UnixMs(4), Some(UnixMs(1))));
}
