//! Who may do what. Nobody without a credential can cause, approve, stop or silence anything, on loopback too.

use std::{
    collections::BTreeSet,
    fs, io,
    io::{Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::Response,
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Shared, problem::Problem};
use crate::{
    config::{Scope, Token},
    domain::plan::hex,
    units::{Secret, base64},
};

fn implies(has: Scope, wanted: Scope) -> bool {
    has == wanted || has == Scope::Admin || (has == Scope::Operate && wanted == Scope::View)
}

/// Who a request comes from, once its credential was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller(pub(super) String);

/// Every credential, by its hash.
#[derive(Clone, Debug, Default)]
pub struct Tokens(Vec<(String, BTreeSet<Scope>, [u8; 32])>);

impl Tokens {
    /// Keeps the hashes; an empty secret would let anybody in and is left out.
    pub fn new(tokens: impl IntoIterator<Item = Token>) -> Self {
        let usable = tokens.into_iter().filter(|token| !token.secret.expose().is_empty());
        Self(usable.map(|t| (t.name, t.scopes, digest(t.secret.expose()))).collect())
    }

    /// Whoever sends this secret. Every hash is compared, so that the time says nothing.
    fn find(&self, secret: &str) -> Option<&(String, BTreeSet<Scope>, [u8; 32])> {
        let sent = digest(secret);
        let mut found = None;
        for token in &self.0 {
            if bool::from(token.2.ct_eq(&sent)) {
                found = Some(token);
            }
        }
        found
    }

    fn admit(&self, headers: &HeaderMap, wanted: Scope) -> Result<Caller, Problem> {
        let secret = secret(headers)?;
        let (name, scopes, _) = self.find(&secret).ok_or_else(|| {
            Problem::no_credential("this token is not known; see [token.NAME] in the configuration")
        })?;
        if scopes.iter().any(|scope| implies(*scope, wanted)) {
            return Ok(Caller(name.clone()));
        }
        let has: Vec<&str> = scopes.iter().map(|scope| scope.name()).collect();
        Err(Problem::out_of_scope(format!(
            "this needs the scope `{}`; the token `{name}` has {}",
            wanted.name(),
            if has.is_empty() { "none".to_owned() } else { has.join(", ") }
        )))
    }
}

fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// The bearer token, or the password of basic authentication, whatever its user name is.
fn secret(headers: &HeaderMap) -> Result<String, Problem> {
    let sent = headers.get(header::AUTHORIZATION).ok_or_else(|| {
        Problem::no_credential("send `Authorization: Bearer TOKEN`, or the token as basic password")
    })?;
    let unusable =
        || Problem::no_credential("the Authorization header is neither Bearer nor Basic");
    let text = sent.to_str().map_err(|_| unusable())?;
    let (scheme, value) = text.split_once(' ').ok_or_else(unusable)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(value.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(unusable());
    }
    let decoded = base64(value.trim()).and_then(|bytes| String::from_utf8(bytes).ok());
    let (_, password) =
        decoded.as_deref().and_then(|pair| pair.split_once(':')).ok_or_else(unusable)?;
    Ok(password.to_owned())
}

/// Lets a request through whose credential reaches `wanted`; its name goes along as [`Caller`].
pub(super) async fn require(
    State((shared, wanted)): State<(Shared, Scope)>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let settings = shared.settings();
    let open = wanted == Scope::View && settings.open_metrics && request.uri().path() == "/metrics";
    let caller = if open {
        Caller("anybody".to_owned())
    } else {
        settings.tokens.admit(request.headers(), wanted)?
    };
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// The file with the credential of the local command line.
pub fn token_file(state_dir: &Path) -> PathBuf {
    state_dir.join("token")
}

/// The credential of the local command line: made at first start, readable by its owner alone.
pub fn local_token(state_dir: &Path) -> io::Result<Token> {
    let path = token_file(state_dir);
    let text = match read_own(&path) {
        Ok(text) if !text.trim().is_empty() => text,
        Ok(_) => make(&path)?,
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => make(&path)?,
        Err(fault) => return Err(fault),
    };
    Ok(Token {
        name: "local".to_owned(),
        scopes: BTreeSet::from([Scope::Admin]),
        secret: Secret::new(text.trim()),
    })
}

/// What stands in a file that nobody else could have written or read.
fn read_own(path: &Path) -> io::Result<String> {
    let mut file = fs::File::open(path)?;
    let found = file.metadata()?;
    let (owner, ours) = (found.uid(), rustix::process::geteuid().as_raw());
    let mode = found.mode() & 0o777;
    let at = path.display();
    if owner != ours {
        return Err(io::Error::other(format!(
            "{at} belongs to uid {owner}, and rollbackd runs as uid {ours}: whoever wrote it knows the token; \
             remove it, and a new one is made"
        )));
    }
    if mode & 0o077 != 0 {
        return Err(io::Error::other(format!(
            "{at} has mode {mode:03o}, so others may know the token; remove it, and a new one is made"
        )));
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// Writes a new secret beside the file and renames it, so that a crash leaves no empty token behind.
fn make(path: &Path) -> io::Result<String> {
    let secret = hex(&random::<32>()?);
    let fresh = path.with_extension("new");
    match fs::remove_file(&fresh) {
        Err(fault) if fault.kind() != io::ErrorKind::NotFound => return Err(fault),
        Ok(()) | Err(_) => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(format!("{secret}\n").as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    Ok(secret)
}

/// Bytes that nobody can guess.
pub(super) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn tokens() -> Tokens {
        let token = |name: &str, scope, secret: &str| Token {
            name: name.to_owned(),
            scopes: BTreeSet::from([scope]),
            secret: Secret::new(secret),
        };
        Tokens::new([
            token("am", Scope::Alerts, "alert-secret"),
            token("ada", Scope::Operate, "ada-secret"),
            token("root", Scope::Admin, "root-secret"),
            token("nobody", Scope::Admin, ""),
        ])
    }

    fn admit(header: &str, wanted: Scope) -> Result<String, u16> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, header.parse().unwrap());
        tokens().admit(&headers, wanted).map(|caller| caller.0).map_err(|p| p.status)
    }

    #[test]
    fn each_sender_has_only_its_scope() {
        assert_eq!(admit("Bearer alert-secret", Scope::Alerts), Ok("am".into()));
        assert_eq!(admit("Bearer alert-secret", Scope::View), Err(403));
        assert_eq!(admit("bearer ada-secret", Scope::View), Ok("ada".into()));
        assert_eq!(admit("Bearer ada-secret", Scope::Alerts), Err(403));
        assert_eq!(admit("Bearer root-secret", Scope::Evidence), Ok("root".into()));
        assert_eq!(admit("Bearer wrong", Scope::Alerts), Err(401));
        assert_eq!(admit("Bearer ", Scope::Alerts), Err(401), "an empty secret is nobody's");
        assert_eq!(admit("Digest x", Scope::Alerts), Err(401));
    }

    #[test]
    fn a_basic_password_is_a_token_too() {
        // alertmanager:alert-secret
        let basic = "Basic YWxlcnRtYW5hZ2VyOmFsZXJ0LXNlY3JldA==";
        assert_eq!(admit(basic, Scope::Alerts), Ok("am".into()));
        assert_eq!(admit("Basic ???", Scope::Alerts), Err(401));
        assert_eq!(base64("YWI=").as_deref(), Some(b"ab".as_slice()));
    }

    #[test]
    fn the_local_token_is_made_once_and_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let first = local_token(dir.path()).unwrap();
        assert_eq!(first.secret.expose().len(), 64);
        let mode = fs::metadata(token_file(dir.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(local_token(dir.path()).unwrap().secret, first.secret);
        fs::set_permissions(token_file(dir.path()), fs::Permissions::from_mode(0o644)).unwrap();
        let why = local_token(dir.path()).unwrap_err().to_string();
        assert!(why.contains("has mode 644"), "{why}");
    }
}
