//! An answer of AWS that is none, in our words. It never holds a credential or a signed request.

use std::fmt;

/// As much of what a service says is kept.
const SAID_MAX: usize = 400;

/// What became of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What was asked, by the name of the right that it takes: `sns:Publish`.
    pub action: &'static str,
    /// What it means.
    pub kind: Kind,
    /// What was said, cut.
    pub said: String,
    /// The service's own name for it, where it said one.
    pub code: Option<Box<str>>,
    /// By this AWS's own support finds it.
    pub request: Option<Box<str>>,
}

/// What an answer that is none means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Too many requests, of whomever: it was not done.
    Throttled,
    /// It is not allowed.
    Denied {
        /// The right that is missing, as AWS names it.
        right: String,
        /// To what, where AWS says.
        resource: Option<String>,
    },
    /// There is no such thing.
    NotFound,
    /// What it was to be done to is not as it was seen.
    Changed,
    /// Nobody knows who asks: no credentials, or they are not taken.
    Credentials,
    /// Nobody was reached: it was not done.
    Unreachable,
    /// Nobody answered in time, or not to the end: it may have been done.
    Unanswered,
    /// The service failed: it may have been done.
    Broken,
    /// The service said no, and why.
    Refused {
        /// The service's own name for it.
        code: String,
    },
}

impl Fault {
    /// With what was said cut to what fits.
    pub fn new(action: &'static str, kind: Kind, said: &str) -> Self {
        let said: String = said.split_whitespace().collect::<Vec<_>>().join(" ");
        let said = match said.char_indices().nth(SAID_MAX) {
            Some((end, _)) => format!("{}…", &said[..end]),
            None => said,
        };
        Self { action, kind, said, code: None, request: None }
    }

    /// This program was built without all that speaks with AWS.
    pub fn not_built_in(action: &'static str) -> Self {
        let kind = Kind::Refused { code: "not built in".to_owned() };
        Self::new(action, kind, "this rollbackd was built without the feature `aws`")
    }

    /// Whether the same may work in a moment.
    pub fn passes(&self) -> bool {
        match self.kind {
            Kind::Throttled | Kind::Unreachable | Kind::Unanswered | Kind::Broken => true,
            Kind::Denied { .. }
            | Kind::NotFound
            | Kind::Changed
            | Kind::Credentials
            | Kind::Refused { .. } => false,
        }
    }

    /// Whether whoever asks once more may be answered: what passes, and credentials, which are looked for anew each time that they are
    /// not taken.
    pub fn is_worth_another_try(&self) -> bool {
        self.passes() || self.kind == Kind::Credentials
    }

    /// Whether what was asked for may have been done all the same: then one looks before one asks again.
    pub fn may_be_done(&self) -> bool {
        matches!(self.kind, Kind::Unanswered | Kind::Broken)
    }

    /// Whether the service's own name for it has one of these in it.
    pub fn is_called(&self, names: &[&str]) -> bool {
        self.code.as_ref().is_some_and(|code| names.iter().any(|name| code.contains(name)))
    }

    /// What to do about it.
    pub fn advice(&self) -> String {
        match &self.kind {
            Kind::Throttled => "AWS answers again after a while; if it lasts, ask less often".to_owned(),
            Kind::Denied { right, resource: Some(resource) } => format!("allow {right} on {resource}"),
            Kind::Denied { right, resource: None } => format!("allow {right}"),
            Kind::NotFound => "compare the name, the account and the region".to_owned(),
            Kind::Changed => "somebody else changed it: look at it anew".to_owned(),
            Kind::Credentials => {
                "see where the credentials of [aws.NAME] come from: profile, credentials_file, role_arn (which its trust policy must permit: config/aws/trust.json), or the machine's own".to_owned()
            }
            Kind::Unreachable => "see whether the region, the endpoint and the network are right".to_owned(),
            Kind::Unanswered | Kind::Broken => "look whether it was done before it is tried again".to_owned(),
            Kind::Refused { .. } => "correct what it says".to_owned(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { action, said, .. } = self;
        match &self.kind {
            Kind::Throttled => write!(f, "{action} was throttled")?,
            Kind::Denied { right, resource } => {
                write!(f, "{action} was denied: the right {right} is missing")?;
                if let Some(resource) = resource {
                    write!(f, " on {resource}")?;
                }
                // The rest of what is said says the same.
                return self.request(f);
            }
            Kind::NotFound => write!(f, "{action} found no such thing")?,
            Kind::Changed => write!(f, "{action} met something else than was seen before")?,
            Kind::Credentials => write!(f, "{action} was not asked for by anybody whom AWS knows")?,
            Kind::Unreachable => write!(f, "{action} reached nobody")?,
            Kind::Unanswered => write!(f, "{action} got no whole answer")?,
            Kind::Broken => write!(f, "{action} failed at AWS")?,
            Kind::Refused { code } => write!(f, "{action} was refused ({code})")?,
        }
        if !said.is_empty() {
            write!(f, ": {said}")?;
        }
        self.request(f)
    }
}

impl Fault {
    fn request(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.request {
            Some(request) => write!(f, " (request {request})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Fault {}

/// What the names of AWS's errors mean, with the status they come with. Services differ in their endings.
pub fn meaning(action: &'static str, code: &str, status: u16, said: &str) -> Kind {
    const THROTTLED: [&str; 6] = [
        "SlowDown",
        "TooManyRequests",
        "RequestLimitExceeded",
        "BandwidthLimitExceeded",
        "PriorRequestNotComplete",
        "RequestThrottled",
    ];
    const DENIED: [&str; 7] = [
        "AccessDenied",
        "AuthorizationError",
        "Unauthorized",
        "NotAuthorized",
        "KMSAccessDenied",
        "AllAccessDisabled",
        "AuthorizationException",
    ];
    const CREDENTIALS: [&str; 13] = [
        "ExpiredToken",
        "TokenRefreshRequired",
        "InvalidClientTokenId",
        "UnrecognizedClient",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "InvalidSignature",
        "IncompleteSignature",
        "MissingAuthenticationToken",
        "AuthFailure",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "InvalidToken",
    ];
    let begins = |names: &[&str]| names.iter().any(|name| code.starts_with(name));
    if code.contains("Throttl") || begins(&THROTTLED) || status == 429 {
        return Kind::Throttled;
    }
    if begins(&CREDENTIALS) {
        return Kind::Credentials;
    }
    if begins(&DENIED) || (status == 403 && code.is_empty()) {
        let after =
            |word: &str| said.split_once(word).and_then(|(_, rest)| rest.split_whitespace().next());
        let clean = |word: &str| word.trim_matches(|c| ".,;\"".contains(c)).to_owned();
        let right = after("perform: ").map_or_else(|| action.to_owned(), clean);
        return Kind::Denied { right, resource: after("resource: ").map(clean) };
    }
    if code.contains("NotFound") || code.starts_with("NoSuch") || status == 404 {
        return Kind::NotFound;
    }
    if code == "PreconditionFailed" || code == "ConditionalRequestConflict" || status == 412 {
        return Kind::Changed;
    }
    if status >= 500 {
        return Kind::Broken;
    }
    Kind::Refused {
        code: if code.is_empty() { format!("status {status}") } else { code.to_owned() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: &str, status: u16) -> Kind {
        meaning("sns:Publish", code, status, "")
    }

    #[test]
    fn each_services_names_for_the_same_mean_the_same() {
        for code in [
            "Throttling",
            "ThrottlingException",
            "ThrottledException",
            "KMSThrottlingException",
            "SlowDown",
            "TooManyRequestsException",
        ] {
            assert_eq!(of(code, 400), Kind::Throttled, "{code}");
        }
        for code in ["NoSuchKey", "DBSnapshotNotFound", "ResourceNotFoundException", "NotFound"] {
            assert_eq!(of(code, 404), Kind::NotFound, "{code}");
        }
        for code in [
            "ExpiredToken",
            "ExpiredTokenException",
            "UnrecognizedClientException",
            "InvalidSignatureException",
        ] {
            assert_eq!(of(code, 403), Kind::Credentials, "{code}");
        }
        assert_eq!(of("PreconditionFailed", 412), Kind::Changed);
        assert_eq!(of("InternalFailure", 500), Kind::Broken);
        assert_eq!(of("", 400), Kind::Refused { code: "status 400".to_owned() });
        assert_eq!(
            of("InvalidParameter", 400),
            Kind::Refused { code: "InvalidParameter".to_owned() }
        );
    }

    #[test]
    fn a_right_that_is_missing_is_named_as_aws_names_it() {
        let said = "User: arn:aws:sts::123456789012:assumed-role/r/s is not authorized to perform: kms:Decrypt on resource: \
                    arn:aws:kms:eu-central-1:123456789012:key/1 because no identity-based policy allows it";
        let kind = meaning("secretsmanager:GetSecretValue", "AccessDeniedException", 400, said);
        let fault = Fault::new("secretsmanager:GetSecretValue", kind, said);
        assert_eq!(
            fault.to_string(),
            "secretsmanager:GetSecretValue was denied: the right kms:Decrypt is missing on arn:aws:kms:eu-central-1:123456789012:key/1"
        );
        assert_eq!(
            fault.advice(),
            "allow kms:Decrypt on arn:aws:kms:eu-central-1:123456789012:key/1"
        );
        let unsaid = Fault::new(
            "s3:GetObject",
            meaning("s3:GetObject", "AccessDenied", 403, "Access Denied"),
            "Access Denied",
        );
        assert_eq!(unsaid.advice(), "allow s3:GetObject");
    }

    #[test]
    fn what_may_have_been_done_is_told_from_what_was_not() {
        let fault = |kind| Fault::new("sns:Publish", kind, "");
        for kind in [Kind::Unanswered, Kind::Broken] {
            assert!(fault(kind.clone()).may_be_done() && fault(kind).passes());
        }
        for kind in [Kind::Throttled, Kind::Unreachable] {
            assert!(!fault(kind.clone()).may_be_done() && fault(kind).passes());
        }
        for kind in [Kind::NotFound, Kind::Changed, Kind::Credentials] {
            assert!(!fault(kind.clone()).may_be_done() && !fault(kind).passes());
        }
    }

    #[test]
    fn long_words_are_cut() {
        let fault = Fault::new("sns:Publish", Kind::Broken, &"word\n ".repeat(1000));
        assert!(fault.to_string().len() < 500 && !fault.to_string().contains('\n'));
    }
}
