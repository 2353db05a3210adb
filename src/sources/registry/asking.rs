//! One question to one registry: does it have this image? By the OCI distribution specification, and with nothing changed.
//!
//! A credential goes to the registry that it is for, and to whoever that one names for tokens where both are of one
//! domain. A redirect carries none elsewhere, and nothing that began with TLS goes on without it.

use reqwest::{
    Method, RequestBuilder, Response, Url,
    header::{ACCEPT, HeaderMap, LOCATION, WWW_AUTHENTICATE},
};
use serde::Deserialize;

use super::{
    challenge::Challenge,
    credential::Credential,
    name::{Name, is_digest},
    places::{self, is_as_safe, is_of_one_domain},
};
use crate::{
    domain::image::Said,
    sources::http::{Client, Failure, shown},
    units::Secret,
};

/// Requests about one image: the way there, a token, and the way there again.
const REQUESTS_MAX: usize = 8;
/// Every manifest that there is, so that a registry has no reason to say that it has none of that kind.
const MANIFESTS: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
const DIGEST: &str = "docker-content-digest";
/// How a registry says itself that there is no such image; Harbor in its own words.
const NOT_THERE: [&str; 3] = ["MANIFEST_UNKNOWN", "NAME_UNKNOWN", "NOT_FOUND"];

/// Why nobody can tell.
#[derive(Debug)]
pub(super) struct NoAnswer {
    pub(super) why: String,
    /// Whether the registry does not answer at all, whatever it is asked.
    pub(super) is_silent: bool,
}

impl NoAnswer {
    pub(super) fn odd(why: impl Into<String>) -> Self {
        Self { why: why.into(), is_silent: false }
    }
}

impl From<Failure> for NoAnswer {
    fn from(failure: Failure) -> Self {
        Self { why: failure.story(), is_silent: true }
    }
}

/// What a registry said, and to whom.
pub(super) struct Heard {
    pub(super) said: Said,
    /// Whether nothing showed who asks: then anybody would be told the same.
    pub(super) is_stranger: bool,
}

/// How a request shows who asks.
enum Proof {
    Nobody,
    Basic,
    Token(Secret),
}

/// An image, and by which rights it is asked about.
pub(super) struct Question<'q> {
    pub(super) client: &'q Client,
    pub(super) name: &'q Name,
    pub(super) credential: Option<&'q Credential>,
    /// Whether pods may have a credential that is not at hand.
    pub(super) is_withheld: bool,
    /// Whether this registry is asked without TLS, as somebody said who vouches for it.
    pub(super) is_plain: bool,
}

impl Question<'_> {
    pub(super) async fn ask(&self) -> Result<Heard, NoAnswer> {
        let scheme = if self.is_plain { "http" } else { "https" };
        let url = self.name.url(scheme).ok_or_else(|| NoAnswer::odd("its name leads nowhere"))?;
        let (home, mut url) = (url.clone(), url);
        let (mut proof, mut has_used_it) = (Proof::Nobody, false);
        for _ in 0..REQUESTS_MAX {
            let is_home = url.origin() == home.origin();
            let ours = self.credential.filter(|_| is_home);
            let request = self.request(Method::HEAD, &url, &proof);
            let answer = self.client.head(request).await?;
            match (answer.status().as_u16(), &proof) {
                (200, _) => {
                    let said = Said::There { digest: digest(answer.headers()) };
                    return Ok(Heard { said, is_stranger: !has_used_it });
                }
                (401, Proof::Nobody) => {
                    (proof, has_used_it) = self.prove(&url, answer.headers(), ours).await?;
                }
                (301 | 302 | 303 | 307 | 308, _) => {
                    let next = next(&url, &answer)?;
                    self.check(&home, &next).await?;
                    if next.origin() != url.origin() {
                        proof = Proof::Nobody;
                    }
                    url = next;
                }
                // There are registries that say so to whoever may not know better.
                (404, Proof::Nobody) if ours.is_some() => {
                    (proof, has_used_it) = (Proof::Basic, true)
                }
                (404, _) if self.credential.is_some() && !has_used_it || self.is_withheld => {
                    let why = "it says that it has none, to somebody without the pods' credential";
                    return Err(NoAnswer::odd(why));
                }
                (404, _) => {
                    let said = self.gone(&url, &proof).await?;
                    return Ok(Heard { said, is_stranger: !has_used_it });
                }
                (status, _) => return Err(refused(status, !matches!(proof, Proof::Nobody))),
            }
        }
        Err(NoAnswer::odd("it leads from one place to the next"))
    }

    async fn check(&self, home: &Url, to: &Url) -> Result<(), NoAnswer> {
        places::check(home, to, self.is_plain, self.client.options()).await
    }

    fn request(&self, method: Method, url: &Url, proof: &Proof) -> RequestBuilder {
        let request = self.client.request(method, url.clone()).header(ACCEPT, MANIFESTS.join(", "));
        match (proof, self.credential) {
            (Proof::Token(token), _) => request.bearer_auth(token.expose()),
            (Proof::Basic, Some(it)) => {
                request.basic_auth(it.user.expose(), Some(it.password.expose()))
            }
            (Proof::Basic, None) | (Proof::Nobody, _) => request,
        }
    }

    /// What shows who asks, and whether that is the credential at hand.
    async fn prove(
        &self,
        url: &Url,
        headers: &HeaderMap,
        ours: Option<&Credential>,
    ) -> Result<(Proof, bool), NoAnswer> {
        let said = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|it| it.to_str().ok());
        let mut wanted: Vec<Challenge> = said.filter_map(Challenge::of).collect();
        wanted.sort_by_key(|it| *it == Challenge::Basic);
        match (wanted.into_iter().next(), ours) {
            (Some(Challenge::Bearer { realm, service }), _) => {
                let realm = realm_of(&realm, url)?;
                self.check(url, &realm).await?;
                let ours = ours.filter(|_| is_of_one_domain(url, &realm));
                let token = self.token(realm, service.as_deref(), ours).await?;
                Ok((Proof::Token(token), ours.is_some()))
            }
            (Some(Challenge::Basic), Some(_)) => Ok((Proof::Basic, true)),
            (Some(Challenge::Basic), None) => Err(NoAnswer::odd("it wants a password")),
            (None, _) => Err(NoAnswer::odd("it wants a credential of a kind that nobody knows")),
        }
    }

    /// Permission to pull this one repository, given to the credential or to anybody.
    async fn token(
        &self,
        mut realm: Url,
        service: Option<&str>,
        ours: Option<&Credential>,
    ) -> Result<Secret, NoAnswer> {
        let scope = format!("repository:{}:pull", self.name.repository);
        realm.query_pairs_mut().extend_pairs(service.map(|it| ("service", it)));
        realm.query_pairs_mut().append_pair("scope", &scope);
        let (place, request) = (shown(&realm), self.client.request(Method::GET, realm));
        let request = match ours {
            Some(it) => request.basic_auth(it.user.expose(), Some(it.password.expose())),
            None => request,
        };
        let answer = self.client.send(request).await?;
        if answer.status != 200 {
            let whom = if ours.is_some() { "the pods' credential" } else { "somebody without one" };
            let status = answer.status;
            return Err(NoAnswer::odd(format!("{place} gives {whom} no token: HTTP {status}")));
        }
        let token = serde_json::from_slice::<Token>(&answer.body).ok();
        let token = token.and_then(|it| it.token.or(it.access_token));
        let token = token.filter(|it| !it.is_empty() && it.bytes().all(|b| b.is_ascii_graphic()));
        token.map(Secret::new).ok_or_else(|| NoAnswer::odd(format!("{place} gives no token")))
    }

    /// Asked once more for the words: a proxy that knows no such page is no registry that knows no such image.
    async fn gone(&self, url: &Url, proof: &Proof) -> Result<Said, NoAnswer> {
        let answer = self.client.send(self.request(Method::GET, url, proof)).await?;
        let said = serde_json::from_slice::<Errors>(&answer.body).unwrap_or_default();
        let is_said = said.errors.iter().any(|it| NOT_THERE.contains(&it.code.as_str()));
        if answer.status == 404 && is_said {
            return Ok(Said::Gone);
        }
        let why = format!("it answers HTTP {}, but not as a registry does", answer.status);
        Err(NoAnswer::odd(why))
    }
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Errors {
    errors: Vec<Fault>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Fault {
    code: String,
}

fn digest(headers: &HeaderMap) -> Option<String> {
    let said = headers.get(DIGEST)?.to_str().ok()?;
    is_digest(said).then(|| said.to_owned())
}

fn refused(status: u16, is_somebody: bool) -> NoAnswer {
    match status {
        401 | 403 if is_somebody => {
            NoAnswer::odd(format!("it does not tell whoever asks: HTTP {status}"))
        }
        429 | 500.. => {
            NoAnswer { why: format!("it has too much to do: HTTP {status}"), is_silent: true }
        }
        _ => NoAnswer::odd(format!("it answers HTTP {status}")),
    }
}

fn next(url: &Url, answer: &Response) -> Result<Url, NoAnswer> {
    let to = answer.headers().get(LOCATION).and_then(|to| to.to_str().ok());
    let to = to.and_then(|to| url.join(to).ok());
    let to = to.ok_or_else(|| NoAnswer::odd("it leads to nowhere"))?;
    is_as_safe(url, &to).then_some(to).ok_or_else(|| NoAnswer::odd("it leads away from TLS"))
}

fn realm_of(realm: &str, registry: &Url) -> Result<Url, NoAnswer> {
    let odd = || NoAnswer::odd("it names nobody who could give a token");
    let realm: Url = realm.parse().map_err(|_| odd())?;
    is_as_safe(registry, &realm).then_some(realm).ok_or_else(odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gives_tokens_is_asked_no_less_safely_than_the_registry() {
        let url = |text: &str| text.parse::<Url>().unwrap();
        assert!(realm_of("http://169.254.169.254/", &url("https://a.example")).is_err());
        assert!(realm_of("file:///etc/passwd", &url("http://localhost")).is_err());
        assert!(realm_of("https://auth.example/token?x=1", &url("https://a.example")).is_ok());
    }
}
