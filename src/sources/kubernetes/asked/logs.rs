//! The last lines of the logs of a Deployment's pods, and how many of them say that something is wrong.

use futures_util::future::join_all;
use kube::Client;
use regex_lite::{Regex, RegexBuilder};

use super::{Answer, NoText, text};
use crate::{
    domain::struck::struck, kubernetes::access::encoded, sources::kubernetes::Key, units::Span,
};

/// So many of the lines that match are shown ...
const SHOWN: usize = 3;
/// ... and so much of each.
const LINE_MAX: usize = 200;
/// No pattern takes more memory than this, however it is written.
const PATTERN_MAX_BYTES: usize = 1 << 20;
/// What the API server says of a container that has not written anything yet.
const NOT_STARTED: &str = "is waiting to start";

/// What is read of logs, and what must not stand in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    /// A line that one of these matches says that something is wrong.
    pub patterns: Vec<String>,
    /// So many of the last lines of each pod ...
    pub lines: u32,
    /// ... that are not older than this ...
    pub within: Span,
    /// ... and at most so many bytes of them.
    pub bytes_max: u32,
    /// Of so many pods at most.
    pub pods_max: usize,
    /// Of which container; the only one where none is said.
    pub container: Option<String>,
}

/// Patterns, ready to match.
#[derive(Clone, Debug)]
pub struct Logs(Vec<Regex>);

impl Logs {
    /// Each pattern, or what is wrong with the first that is none.
    pub fn of(patterns: &[String]) -> Result<Self, String> {
        let one = |pattern: &String| {
            let mut builder = RegexBuilder::new(pattern);
            let built = builder.size_limit(PATTERN_MAX_BYTES).build();
            built.map_err(|fault| format!("`{pattern}` is no pattern: {fault}"))
        };
        patterns.iter().map(one).collect::<Result<_, _>>().map(Self)
    }

    fn matches(&self, line: &str) -> bool {
        self.0.iter().any(|pattern| pattern.is_match(line))
    }
}

/// What one pod's log says.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    /// Lines that match, with those that are shown.
    Lines(usize, Vec<String>),
    /// It has not begun to write.
    Nothing,
    /// It was not read to its end.
    Unread(String),
}

/// Reads the last lines of these pods.
pub(super) async fn look(client: &Client, key: &Key, pods: &[String], wanted: &Lines) -> Answer {
    let logs = match Logs::of(&wanted.patterns) {
        Ok(logs) => logs,
        Err(why) => return Answer::unknown(why),
    };
    let each = pods.iter().take(wanted.pods_max).map(async |pod: &String| {
        let read = text(client, &uri(key, pod, wanted), bytes_max(wanted) + 1).await;
        (pod.as_str(), said(read, &logs, wanted))
    });
    judged(join_all(each).await)
}

fn bytes_max(wanted: &Lines) -> usize {
    usize::try_from(wanted.bytes_max).unwrap_or(usize::MAX - 1)
}

fn uri(key: &Key, pod: &str, wanted: &Lines) -> String {
    let seconds = (wanted.within.ms() / 1000).max(1);
    let container = wanted.container.as_deref();
    let container =
        container.map(|name| format!("&container={}", encoded(name))).unwrap_or_default();
    format!(
        "/api/v1/namespaces/{}/pods/{pod}/log?tailLines={}&sinceSeconds={seconds}&limitBytes={}{container}",
        key.namespace, wanted.lines, wanted.bytes_max
    )
}

fn said(read: Result<Vec<u8>, NoText>, logs: &Logs, wanted: &Lines) -> Said {
    let read = match read {
        Ok(read) => read,
        // It went while it was asked for.
        Err(NoText::Refused { code: 404, .. }) => return Said::Nothing,
        Err(NoText::Refused { code: 400, why }) if why.contains(NOT_STARTED) => {
            return Said::Nothing;
        }
        Err(fault) => return Said::Unread(fault.to_string()),
    };
    let text = String::from_utf8_lossy(&read);
    let bad = || text.lines().filter(|line| logs.matches(line));
    let count = bad().count();
    let (bytes, lines) = (wanted.bytes_max, wanted.lines);
    if count == 0 && read.len() >= bytes_max(wanted) {
        return Said::Unread(format!(
            "its last lines are more than {bytes} bytes; raise bytes_max"
        ));
    }
    if count == 0 && text.lines().count() >= usize::try_from(lines).unwrap_or(usize::MAX) {
        return Said::Unread(format!("it writes {lines} lines or more in that time; raise lines"));
    }
    Said::Lines(count, bad().take(SHOWN).map(shown).collect())
}

/// Secrets are struck before it is cut: half of one is one.
fn shown(line: &str) -> String {
    let line = struck(line.trim());
    let end = line.floor_char_boundary(LINE_MAX);
    if end == line.len() { line } else { format!("{}...", &line[..end]) }
}

fn judged(each: Vec<(&str, Said)>) -> Answer {
    let (mut count, mut told, mut read, mut unread) = (0, vec![], 0, None);
    for (pod, said) in each {
        match said {
            Said::Lines(bad, lines) => {
                (count, read) = (count + bad, read + 1);
                told.extend(lines.into_iter().map(|line| format!("{pod}: `{line}`")));
            }
            Said::Nothing => {}
            Said::Unread(why) => {
                unread.get_or_insert_with(|| format!("the log of {pod} could not be read: {why}"));
            }
        }
    }
    told.truncate(SHOWN);
    match (count, unread) {
        (1.., _) => Answer { value: Some(count as f64), note: Some(told.join("; ")) },
        (0, Some(why)) => Answer::unknown(why),
        (0, None) if read == 0 => Answer::unknown("no pod of it has a log yet".to_owned()),
        (0, None) => Answer { value: Some(0.0), note: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Lines {
        let patterns = vec!["panic".to_owned(), r"^FATAL\b".to_owned()];
        let within = Span::minutes(1);
        Lines { patterns, lines: 5, within, bytes_max: 100, pods_max: 5, container: None }
    }

    fn of(text: &[u8]) -> Said {
        let logs = Logs::of(&wanted().patterns).unwrap();
        said(Ok(text.to_vec()), &logs, &wanted())
    }

    /// The lines before them nobody has read.
    #[test]
    fn as_many_lines_as_were_asked_for_are_not_all_of_them() {
        assert_eq!(of(b"1\n2\n3\n4\n"), Said::Lines(0, vec![]));
        assert!(matches!(of(b"1\n2\n3\n4\n5\n"), Said::Unread(why) if why.contains("5 lines")));
        assert!(matches!(of(b"1\n2\n3\n4\npanic\n"), Said::Lines(1, _)));
    }

    #[test]
    fn lines_that_match_are_counted_and_shown_without_their_secrets() {
        let text = b"all is well\nFATAL: no database, password=hunter2\nnot FATAL\r\npanic!\n";
        let Said::Lines(2, shown) = of(text) else { panic!("{:?}", of(text)) };
        assert_eq!(shown, ["FATAL: no database, password=[hidden]", "panic!"]);
        assert_eq!(of(b"all is well\n"), Said::Lines(0, vec![]));
        assert_eq!(of(b"\xff\xfe panic\n"), Said::Lines(1, vec!["\u{fffd}\u{fffd} panic".into()]));
    }

    #[test]
    fn what_was_not_read_to_its_end_is_not_clean_and_what_matched_is_bad_all_the_same() {
        assert!(matches!(of(&[b'x'; 100]), Said::Unread(why) if why.contains("100 bytes")));
        let cut = [&b"panic\n"[..], &[b'x'; 94]].concat();
        assert!(matches!(of(&cut), Said::Lines(1, _)));
        let unread = || Said::Unread("refused".into());
        let bad = || Said::Lines(2, vec!["panic".into()]);
        let clean = || Said::Lines(0, vec![]);
        assert_eq!(judged(vec![("a", unread()), ("b", bad())]).value, Some(2.0));
        let unknown = judged(vec![("a", clean()), ("b", unread())]);
        assert_eq!(unknown.value, None);
        assert_eq!(unknown.note.unwrap(), "the log of b could not be read: refused");
        assert_eq!(judged(vec![("a", Said::Nothing), ("b", clean())]).value, Some(0.0));
        assert_eq!(judged(vec![("a", Said::Nothing)]).value, None);
    }

    #[test]
    fn what_the_api_server_refuses_is_unknown_but_for_pods_that_come_and_go() {
        let logs = Logs::of(&[]).unwrap();
        let refused = |code, why: &str| {
            said(Err(NoText::Refused { code, why: why.into() }), &logs, &wanted())
        };
        assert_eq!(refused(404, "pods \"a\" not found"), Said::Nothing);
        assert_eq!(
            refused(400, "container \"app\" in pod \"a\" is waiting to start"),
            Said::Nothing
        );
        let two = "a container name must be specified for pod a, choose one of: [app proxy]";
        assert_eq!(refused(400, two), Said::Unread(two.into()));
        let forbidden = "pods \"a\" is forbidden";
        assert!(
            matches!(refused(403, forbidden), Said::Unread(why) if why.contains("not permitted"))
        );
    }

    #[test]
    fn a_pattern_is_refused_where_it_is_none() {
        assert!(Logs::of(&["(".to_owned()]).unwrap_err().starts_with("`(` is no pattern: "));
    }
}
