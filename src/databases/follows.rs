//! Where a database is, by the secret in which its service finds it: asked now and then, for it may move to another server.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::time::Instant;

use super::{Fault, Options, Problem};
use crate::{
    aws::{
        Access,
        address::{self, Keys},
    },
    domain::rds::Endpoint,
    units::Span,
};

/// Whoever is in doubt asks again, and not more often than this: a database that is down is tried often.
const DOUBTED: Span = Span::seconds(10);
/// Where AWS does not answer, what it said last counts for so long.
const KEPT: Span = Span::minutes(10);

/// Where the address is kept. Whoever is made of one knows what it knows.
#[derive(Clone)]
pub struct Follows {
    /// In whose account.
    pub access: Access,
    /// The secret's name, or its ARN.
    pub secret: String,
    /// Where in it.
    pub keys: Keys,
    /// How long what was read counts.
    pub refresh: Span,
    known: Arc<Mutex<Option<Known>>>,
}

#[derive(Clone)]
struct Known {
    endpoint: Endpoint,
    at: Instant,
    is_doubted: bool,
}

impl Follows {
    /// How long what was read counts, unless told.
    pub const REFRESH: Span = Span::minutes(1);

    /// Nothing is read yet.
    pub fn new(access: Access, secret: String, keys: Keys, refresh: Span) -> Self {
        Self { access, secret, keys, refresh, known: Arc::default() }
    }

    /// The same options with the address of now.
    pub(super) async fn located(&self, options: &Options) -> Result<Options, Fault> {
        let endpoint = self.endpoint(options).await?;
        let mut options = options.clone();
        options.database.host = endpoint.host;
        options.database.port = endpoint.port;
        Ok(options)
    }

    /// Where it is from now on: whoever wrote it there need not ask.
    pub fn learn(&self, endpoint: &Endpoint) {
        let (endpoint, at) = (endpoint.clone(), Instant::now());
        *self.held() = Some(Known { endpoint, at, is_doubted: false });
    }

    /// Nobody was met there as expected: it may have moved.
    pub(super) fn doubt(&self) {
        if let Some(known) = self.held().as_mut() {
            known.is_doubted = true;
        }
    }

    async fn endpoint(&self, options: &Options) -> Result<Endpoint, Fault> {
        let known = self.held().clone();
        if let Some(known) = known.as_ref().filter(|known| self.counts(known)) {
            return Ok(known.endpoint.clone());
        }
        let at = (&self.keys, options.database.port);
        match address::read(&self.access, &self.secret, at).await {
            Ok(pointer) => {
                self.learn(&pointer.endpoint);
                Ok(pointer.endpoint)
            }
            Err(fault) => match known {
                Some(known) if fault.passes() && known.at.elapsed() < KEPT.duration() => {
                    Ok(known.endpoint)
                }
                Some(_) | None => Err(Fault::new(Problem::Unlocated, options, &fault.to_string())),
            },
        }
    }

    fn counts(&self, known: &Known) -> bool {
        let for_so_long = if known.is_doubted { self.refresh.min(DOUBTED) } else { self.refresh };
        known.at.elapsed() < for_so_long.duration()
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was read of it is no part of it.
impl PartialEq for Follows {
    fn eq(&self, other: &Self) -> bool {
        let of = |it: &Self| (it.access.clone(), it.secret.clone(), it.keys.clone(), it.refresh);
        of(self) == of(other)
    }
}

/// For people.
impl fmt::Display for Follows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the secret {} of {}", self.secret, self.access.place())
    }
}

impl fmt::Debug for Follows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Follows({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    use crate::databases::Database;

    fn follows(file: &Path) -> Follows {
        let keys = Keys { host: "host".into(), port: "port".into() };
        let mut access = Access::new("main", "eu-central-1");
        // Nobody listens there.
        access.endpoint = Some("http://127.0.0.1:9".into());
        access.credentials_file = Some(file.to_owned());
        access.attempts = 1;
        Follows::new(access, "shop/db".into(), keys, Span::minutes(1))
    }

    fn options(follows: &Follows) -> Options {
        let mut options = Options::new("shop", Database::parse("postgres://x@of-url/d").unwrap());
        options.follows = Some(follows.clone());
        options
    }

    fn read(follows: &Follows, host: &str, ago: Span) {
        let endpoint = Endpoint { host: host.into(), port: 7 };
        let at = Instant::now().checked_sub(ago.duration()).unwrap();
        *follows.held() = Some(Known { endpoint, at, is_doubted: false });
    }

    fn keys() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let keys = "[default]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = example\n";
        std::fs::write(file.path(), keys).unwrap();
        file
    }

    #[tokio::test]
    async fn what_was_read_counts_for_everybody_who_was_made_of_it_until_it_is_doubted() {
        let file = keys();
        let follows = follows(file.path());
        let options = options(&follows);
        let counts = || follows.held().as_ref().is_some_and(|known| follows.counts(known));
        read(&follows, "first", Span::seconds(50));
        assert_eq!(follows.located(&options).await.unwrap().database.to_string(), "d at first:7");
        assert!(counts());
        options.follows.as_ref().unwrap().doubt();
        assert!(!counts(), "a doubt of one is a doubt of all");
        read(&follows, "second", Span::seconds(1));
        follows.doubt();
        assert!(counts(), "who doubts does not ask at once again");
        read(&follows, "second", Span::seconds(61));
        assert!(!counts());
        assert_eq!(
            options.follows,
            Some(self::follows(file.path())),
            "what was read is no part of it"
        );
    }

    #[tokio::test]
    async fn where_nobody_can_be_asked_what_was_read_counts_for_a_while_and_then_nobody_can_tell() {
        let file = keys();
        let follows = follows(file.path());
        let options = options(&follows);
        let unknown = follows.located(&options).await.unwrap_err();
        assert_eq!(unknown.problem, Problem::Unlocated);
        assert!(unknown.in_words().contains("[database.NAME.address]"), "{unknown}");
        read(&follows, "first", Span::minutes(5));
        assert_eq!(follows.located(&options).await.unwrap().database.host, "first");
        read(&follows, "first", Span::minutes(11));
        assert_eq!(follows.located(&options).await.unwrap_err().problem, Problem::Unlocated);
    }
}
