//! What an API server's refusal, or its silence, means for an attempt.

use std::time::Duration;

use kube::core::Status;

use crate::executors::Trouble;

/// So much of what the API server wrote is told.
const TEXT_MAX: usize = 400;
/// What the API server says of a JSON patch whose tests fail; of an object that would be invalid it says what is.
const NOT_APPLICABLE: &str = "rejected our request due to an error in our request";
/// For so long an API server is left alone that asks for it without saying how long.
const PAUSE: Duration = Duration::from_secs(1);

/// What is to be done about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// What was seen is not so any more: look again, then decide anew.
    Moved(String),
    /// It asks for a pause.
    Busy { why: String, pause: Duration },
    /// It was refused, and asking again can or cannot help.
    Refused { why: String, retry: bool },
    /// The object, or its namespace, is not there.
    Gone(String),
    /// No answer came, or none that says whether it was done.
    Silent(String),
}

impl Refusal {
    /// Of an answer that is none of success; `pause_s` is how long it asks to be left alone.
    pub(super) fn of(code: u16, pause_s: Option<u64>, body: &[u8]) -> Self {
        // One that sheds load says so in plain text.
        let text = || Status::failure(String::from_utf8_lossy(body).trim(), "no Status");
        let status: Status = serde_json::from_slice(body).unwrap_or_else(|_| text());
        let mut refusal = Self::of_status(&status.with_code(code));
        if let (Self::Busy { pause, .. }, Some(seconds)) = (&mut refusal, pause_s) {
            *pause = Duration::from_secs(seconds);
        }
        refusal
    }

    fn of_status(status: &Status) -> Self {
        let why = cut(&status.message);
        let is_webhook = status.message.contains("admission webhook");
        match status.code {
            401 => Self::Refused {
                why: format!(
                    "the API server does not know the daemon (is its credential expired?): {why}"
                ),
                retry: true,
            },
            403 if is_webhook => Self::Refused {
                why: format!("an admission webhook denies it: {why}"),
                retry: false,
            },
            403 => Self::Refused {
                why: format!("the daemon is not permitted to do it: {why}"),
                retry: false,
            },
            404 => Self::Gone(why),
            409 => Self::Moved(why),
            422 if why.contains(NOT_APPLICABLE) => Self::Moved(why),
            429 => Self::Busy { why, pause: pause(status) },
            code if code >= 500 => Self::Silent(format!("the API server failed ({code}): {why}")),
            code => Self::Refused {
                why: format!("the API server refuses it ({code}): {why}"),
                retry: false,
            },
        }
    }

    /// As the end of an attempt: `doing` is what was tried. Of what may have been done nobody can tell.
    pub(super) fn trouble(self, doing: &str, may_be_done: bool) -> Trouble {
        let failed =
            |why: String, retry: bool| Trouble::Failed { why: format!("{doing}: {why}"), retry };
        match self {
            Self::Silent(why) if may_be_done => {
                Trouble::Unknown(format!("{doing}: {why}; whether it was done could not be seen"))
            }
            Self::Silent(why) | Self::Moved(why) => failed(why, true),
            Self::Busy { why, .. } => {
                failed(format!("the API server has too much to do: {why}"), true)
            }
            Self::Refused { why, retry } => failed(why, retry),
            Self::Gone(why) => failed(format!("it is not there: {why}"), false),
        }
    }
}

fn pause(status: &Status) -> Duration {
    let said = status.details.as_ref().map(|details| details.retry_after_seconds);
    said.filter(|seconds| *seconds > 0)
        .map_or(PAUSE, |seconds| Duration::from_secs(u64::from(seconds)))
}

/// One line of a text, of a bounded length.
pub(super) fn cut(text: &str) -> String {
    let line = text.replace(['\n', '\r'], " ");
    let end = line.floor_char_boundary(TEXT_MAX);
    if end == line.len() { line } else { format!("{}...", &line[..end]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, message: &str) -> Refusal {
        let status = serde_json::json!({ "status": "Failure", "message": message, "reason": "", "code": code });
        Refusal::of_status(&serde_json::from_value(status).unwrap())
    }

    #[test]
    fn each_refusal_says_whether_asking_again_can_help() {
        let denied =
            "admission webhook \"policy.example.com\" denied the request: no rollbacks on Fridays";
        let forbidden = "deployments.apps \"shop\" is forbidden: User \"x\" cannot patch resource";
        let moved = "the server rejected our request due to an error in our request";
        assert!(
            matches!(status(403, denied), Refusal::Refused { retry: false, why } if why.contains("Fridays"))
        );
        assert!(
            matches!(status(403, forbidden), Refusal::Refused { retry: false, why } if why.contains("not permitted"))
        );
        assert!(matches!(status(401, "Unauthorized"), Refusal::Refused { retry: true, .. }));
        assert!(matches!(status(422, moved), Refusal::Moved(_)));
        assert!(matches!(
            status(422, "spec.template: Invalid value"),
            Refusal::Refused { retry: false, .. }
        ));
        assert!(matches!(status(404, "not found"), Refusal::Gone(_)));
        assert!(matches!(status(503, "etcd"), Refusal::Silent(_)));
        assert!(matches!(status(429, "slow down"), Refusal::Busy { pause: PAUSE, .. }));
    }

    #[test]
    fn a_pause_is_as_long_as_the_header_says_or_the_body() {
        let shed = b"Too many requests, please try again later.";
        let Refusal::Busy { why, pause } = Refusal::of(429, Some(7), shed) else { panic!() };
        assert_eq!((why.as_bytes(), pause), (&shed[..], Duration::from_secs(7)));
        let told = serde_json::json!({ "code": 429, "message": "x", "details": { "retryAfterSeconds": 3 } });
        let told = Refusal::of(429, None, told.to_string().as_bytes());
        assert!(matches!(told, Refusal::Busy { pause, .. } if pause == Duration::from_secs(3)));
        assert!(matches!(Refusal::of(429, None, shed), Refusal::Busy { pause: PAUSE, .. }));
    }

    #[test]
    fn what_may_have_been_done_is_unknown_and_nothing_else_is() {
        let silent = || Refusal::Silent("timed out".into());
        assert!(matches!(silent().trouble("setting it", true), Trouble::Unknown(_)));
        assert!(matches!(silent().trouble("looking", false), Trouble::Failed { retry: true, .. }));
        let gone = Refusal::Gone("deployments \"shop\" not found".into());
        let said = gone.trouble("looking", true).to_string();
        assert_eq!(said, "looking: it is not there: deployments \"shop\" not found");
    }
}
