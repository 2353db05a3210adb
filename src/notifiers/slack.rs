//! Slack by incoming webhook: one message in Block Kit, within limits beyond which Slack drops the whole of it.
//!
//! Choices are shown as commands to type: buttons would need a Slack app that calls back into the daemon.

use reqwest::Client;
use serde_json::{Value, json};

use super::{
    DeliveryError, http,
    text::{cut, cut_mapped, lines, one_line, units},
};
use crate::{
    domain::notice::{Kind, Notice, Urgency},
    units::{Secret, Span},
};

/// How to reach one Slack channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The incoming webhook; whoever has it can write to the channel.
    pub url: Secret,
    /// Whom a page mentions, so that their phones ring; nobody by default.
    pub mention: Option<Mention>,
}

/// Whom a page calls by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mention {
    /// Everyone in the channel who is active.
    Here,
    /// Everyone in the channel.
    Channel,
    /// A user group by its id, `S0123ABCD`.
    Group(String),
    /// A user by their id, `U0123ABCD`.
    User(String),
}

// Slack refuses the whole message when any of these is exceeded.
const HEADER_MAX: usize = 150;
const SECTION_MAX: usize = 3000;
const FIELDS_MAX: usize = 10;
const FIELD_MAX: usize = 2000;
// Slack also limits the sum over all blocks, somewhere below 12,000 and undocumented, so each part has its share.
const FIELD_SECTIONS_MAX: usize = 2;
const ALL_FIELDS_MAX: usize = 3000;
const LINES_MAX: usize = 2500;
const CHOICES_MAX: usize = 2000;
const CONTEXT_MAX: usize = 500;
const _: () = assert!(LINES_MAX <= SECTION_MAX && CHOICES_MAX <= SECTION_MAX);

impl Options {
    /// A channel reached by this webhook, mentioning nobody.
    pub const fn new(url: Secret) -> Self {
        Self { url, mention: None }
    }

    /// Everything that would make each delivery fail.
    pub fn problems(&self) -> Vec<String> {
        let id = match &self.mention {
            Some(Mention::Group(id) | Mention::User(id)) => Some(id),
            Some(Mention::Here | Mention::Channel) | None => None,
        };
        let misnamed = id
            .filter(|id| id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()))
            .map(|id| format!("`{id}` is not a Slack id; write it like U0123ABCD or S0123ABCD"));
        http::url(&self.url).err().into_iter().chain(misnamed).collect()
    }
}

/// The whole message; `mention` is used by pages only.
///
/// `text` is what notifications and old clients show instead of the blocks.
pub fn payload(notice: &Notice, mention: Option<&Mention>) -> Value {
    let subject = visible(one_line(&notice.subject));
    let title = match mark(notice) {
        Some(mark) => format!("{mark} {subject}"),
        None => subject,
    };
    let mut blocks = vec![json!({
        "type": "header",
        "text": { "type": "plain_text", "text": cut(&title, HEADER_MAX), "emoji": false },
    })];
    blocks.extend(fields(notice));
    let lines = visible(lines(&notice.lines.join("\n")));
    if !notice.lines.is_empty() {
        blocks.push(section(&mrkdwn(&lines, LINES_MAX)));
    }
    if !notice.choices.is_empty() {
        blocks.push(section(&choices(notice)));
    }
    blocks.push(json!({ "type": "context", "elements": [text(&context(notice, mention))] }));
    json!({
        "text": mrkdwn(&format!("{title}\n{}", super::text::lines(&body(notice))), SECTION_MAX),
        "blocks": blocks,
        "unfurl_links": false,
        "unfurl_media": false,
    })
}

/// Sends the message once. Only the body `ok` says that Slack took it.
pub(super) async fn send(
    client: &Client,
    options: &Options,
    deadline: Span,
    notice: &Notice,
) -> Result<(), DeliveryError> {
    let url = http::url(&options.url).map_err(DeliveryError::refused)?;
    let request = client.post(url).json(&payload(notice, options.mention.as_ref()));
    let answer = http::ask(request, deadline).await?;
    let (status, headers) = (answer.status, answer.headers.clone());
    if status.is_success() {
        return match answer.text().await?.trim() {
            "ok" => Ok(()),
            other => Err(DeliveryError::refused(format!("it answered {status}{}", code(other)))),
        };
    }
    // The status is verdict enough when the body cannot be read.
    let detail = answer.text().await.map(|body| code(body.trim())).unwrap_or_default();
    Err(http::Answer::failure(status, &headers, &detail))
}

/// Slack's word for what is wrong (`invalid_payload`, `no_service`); anything else is not repeated.
fn code(body: &str) -> String {
    let is_code = (1..=64).contains(&body.len())
        && body.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if is_code { format!(" `{body}`") } else { " and a body that is not Slack's".to_owned() }
}

/// Two columns of named facts, each with an equal share, so that a long first one does not cost the last.
fn fields(notice: &Notice) -> Vec<Value> {
    let shown = notice.fields.len().min(FIELDS_MAX * FIELD_SECTIONS_MAX);
    let share = (ALL_FIELDS_MAX / shown.max(1)).min(FIELD_MAX);
    let texts: Vec<Value> = notice.fields[..shown]
        .iter()
        .map(|(name, value)| {
            let name = mrkdwn(&visible(one_line(name)), share / 3);
            let value = mrkdwn(&visible(lines(value)), share - units(&name) - 3);
            text(&format!("*{name}*\n{value}"))
        })
        .collect();
    let mut blocks: Vec<Value> = texts
        .chunks(FIELDS_MAX)
        .map(|fields| json!({ "type": "section", "fields": fields }))
        .collect();
    if shown < notice.fields.len() {
        blocks.push(section(&format!("… and {} more facts", notice.fields.len() - shown)));
    }
    blocks
}

/// One line for each choice. A command is shown whole or not at all: half of one must not be typed.
fn choices(notice: &Notice) -> String {
    const ROOM: usize = CHOICES_MAX - 50;
    let mut out = String::new();
    let mut left_out = 0;
    for choice in &notice.choices {
        let label = mrkdwn(&visible(one_line(&choice.label)), 80);
        // A backtick would end the code.
        let command = visible(one_line(&choice.command)).replace('`', "\u{2cb}");
        let line = format!("*{label}*  `{}`\n", mrkdwn(&command, usize::MAX));
        if units(&out) + units(&line) > ROOM {
            left_out += 1;
        } else {
            out.push_str(&line);
        }
    }
    if left_out > 0 {
        out.push_str(&format!("… and {left_out} more, too long for Slack"));
    }
    out.trim_end().to_owned()
}

fn context(notice: &Notice, mention: Option<&Mention>) -> String {
    let mut parts = vec![];
    if notice.urgency == Urgency::Page {
        parts.push("*page*".to_owned());
        parts.extend(mention.map(|mention| match mention {
            Mention::Here => "<!here>".to_owned(),
            Mention::Channel => "<!channel>".to_owned(),
            Mention::Group(id) => format!("<!subteam^{}>", mrkdwn(id, 40)),
            Mention::User(id) => format!("<@{}>", mrkdwn(id, 40)),
        }));
    }
    let facts = [
        notice.service.as_ref().map(ToString::to_string),
        notice.incident.as_ref().map(|incident| format!("incident {incident}")),
        Some(notice.at.to_string()),
    ];
    let room = CONTEXT_MAX / 4;
    parts.extend(facts.into_iter().flatten().map(|fact| mrkdwn(&one_line(&fact), room)));
    parts.join(" · ")
}

/// Pages stand out before a word of them is read; so does good news.
fn mark(notice: &Notice) -> Option<char> {
    match (notice.urgency, notice.kind) {
        (Urgency::Page, _) => Some('🚨'),
        (Urgency::Info, Kind::RollbackComplete | Kind::Closed) => Some('✅'),
        (
            Urgency::Info,
            Kind::Incident
            | Kind::RollbackInProgress
            | Kind::Ask
            | Kind::Refused
            | Kind::Trouble
            | Kind::Reminder
            | Kind::Health
            | Kind::Followup,
        ) => None,
    }
}

/// The plain rendering below its subject.
fn body(notice: &Notice) -> String {
    notice.plain().get(notice.subject.len()..).unwrap_or_default().trim_start().to_owned()
}

fn section(mrkdwn: &str) -> Value {
    json!({ "type": "section", "text": text(mrkdwn) })
}

/// `verbatim` keeps Slack from making mentions and links out of what is only text.
fn text(mrkdwn: &str) -> Value {
    json!({ "type": "mrkdwn", "text": mrkdwn, "verbatim": true })
}

/// Escaped as Slack asks: a `<` would begin a mention or a link.
fn mrkdwn(text: &str, limit: usize) -> String {
    cut_mapped(text, limit, |c| match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        _ => None,
    })
}

/// Slack refuses empty texts.
fn visible(text: String) -> String {
    if text.trim().is_empty() { "–".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::notifiers::tests as samples;

    fn pretty(notice: &Notice) -> String {
        serde_json::to_string_pretty(&payload(notice, Some(&Mention::Here))).expect("JSON")
    }

    #[test]
    fn the_rollback_in_progress_notice_for_those_on_call() {
        insta::assert_snapshot!(pretty(&samples::in_progress()), @r#"
        {
          "blocks": [
            {
              "text": {
                "emoji": false,
                "text": "🚨 URGENT - Rollback in Progress - production",
                "type": "plain_text"
              },
              "type": "header"
            },
            {
              "fields": [
                {
                  "text": "*Issue*\ncritical-errors: 12.4% of 1,204 requests failed for 5m, limit &gt; 5%",
                  "type": "mrkdwn",
                  "verbatim": true
                },
                {
                  "text": "*Impact*\n1 in 8 requests to checkout fails",
                  "type": "mrkdwn",
                  "verbatim": true
                },
                {
                  "text": "*Action*\nRolling back to version v1",
                  "type": "mrkdwn",
                  "verbatim": true
                },
                {
                  "text": "*ETA*\n7 to 15 min",
                  "type": "mrkdwn",
                  "verbatim": true
                }
              ],
              "type": "section"
            },
            {
              "text": {
                "text": "P0: 12.4% &gt; 5% &amp; rising since v2 went out at 21:34:02\nAll 14 guards passed",
                "type": "mrkdwn",
                "verbatim": true
              },
              "type": "section"
            },
            {
              "text": {
                "text": "*acknowledge*  `rollbackd ack inc-7`\n*hold*  `rollbackd hold checkout/production`",
                "type": "mrkdwn",
                "verbatim": true
              },
              "type": "section"
            },
            {
              "elements": [
                {
                  "text": "*page* · <!here> · checkout/production · incident inc-7 · 2026-11-22T21:40:52.123Z",
                  "type": "mrkdwn",
                  "verbatim": true
                }
              ],
              "type": "context"
            }
          ],
          "text": "🚨 URGENT - Rollback in Progress - production\n- Issue: critical-errors: 12.4% of 1,204 requests failed for 5m, limit &gt; 5%\n- Impact: 1 in 8 requests to checkout fails\n- Action: Rolling back to version v1\n- ETA: 7 to 15 min\nP0: 12.4% &gt; 5% &amp; rising since v2 went out at 21:34:02\nAll 14 guards passed\nacknowledge: rollbackd ack inc-7\nhold: rollbackd hold checkout/production",
          "unfurl_links": false,
          "unfurl_media": false
        }
        "#);
    }

    #[test]
    fn the_rollback_complete_notice_for_stakeholders() {
        insta::assert_snapshot!(pretty(&samples::complete()), @r#"
        {
          "blocks": [
            {
              "text": {
                "emoji": false,
                "text": "✅ Rollback Complete - production",
                "type": "plain_text"
              },
              "type": "header"
            },
            {
              "fields": [
                {
                  "text": "*Rollback status*\nSuccess",
                  "type": "mrkdwn",
                  "verbatim": true
                },
                {
                  "text": "*Current version*\nv1",
                  "type": "mrkdwn",
                  "verbatim": true
                },
                {
                  "text": "*System status*\nOperational",
                  "type": "mrkdwn",
                  "verbatim": true
                },
                {
                  "text": "*Root cause analysis*\nIn progress",
                  "type": "mrkdwn",
                  "verbatim": true
                }
              ],
              "type": "section"
            },
            {
              "elements": [
                {
                  "text": "checkout/production · incident inc-7 · 2026-11-22T21:50:52.000Z",
                  "type": "mrkdwn",
                  "verbatim": true
                }
              ],
              "type": "context"
            }
          ],
          "text": "✅ Rollback Complete - production\n- Rollback status: Success\n- Current version: v1\n- System status: Operational\n- Root cause analysis: In progress",
          "unfurl_links": false,
          "unfurl_media": false
        }
        "#);
    }

    #[test]
    fn text_from_outside_mentions_nobody() {
        let mut notice = samples::complete();
        notice.lines = vec!["<!channel> & <@U1> <https://evil.example|click>".to_owned()];
        let payload = payload(&notice, Some(&Mention::Channel));
        assert_eq!(
            payload["blocks"][2]["text"]["text"],
            "&lt;!channel&gt; &amp; &lt;@U1&gt; &lt;https://evil.example|click&gt;"
        );
        assert!(!payload.to_string().contains('<'), "an info mentions nobody either");
    }

    #[test]
    fn half_a_command_is_never_shown() {
        let mut notice = samples::in_progress();
        notice.choices[0].command = "rollbackd ack inc-7 ".repeat(100);
        assert_eq!(
            choices(&notice),
            "*hold*  `rollbackd hold checkout/production`\n… and 1 more, too long for Slack"
        );
    }

    #[test]
    fn only_slacks_own_words_are_repeated() {
        assert_eq!(code("invalid_payload"), " `invalid_payload`");
        for body in ["", "The URL /services/T0/B0/hunter2 was not found", "<html>", &"a".repeat(65)]
        {
            assert_eq!(code(body), " and a body that is not Slack's");
        }
    }

    #[test]
    fn a_mention_that_is_no_id_is_a_problem() {
        let mut options = Options::new(Secret::new("https://hooks.example/x"));
        options.mention = Some(Mention::User("@ada".to_owned()));
        assert_eq!(
            options.problems(),
            ["`@ada` is not a Slack id; write it like U0123ABCD or S0123ABCD"]
        );
    }

    /// What Slack would refuse about the payload.
    fn excess(payload: &Value) -> Vec<String> {
        let mut faults = vec![];
        let mut total = 0;
        let mut within = |what: &str, text: &Value, max: usize| {
            let text = text.as_str().unwrap_or_default();
            let units = text.encode_utf16().count();
            total += units;
            if units == 0 || units > max || text.trim().is_empty() {
                faults.push(format!("{what}: {units} of {max}"));
            }
            let entities = ["&amp;", "&lt;", "&gt;"].map(|it| text.matches(it).count());
            if what != "header" && text.matches('&').count() != entities.iter().sum::<usize>() {
                faults.push(format!("{what}: a broken entity in {text}"));
            }
        };
        let blocks = payload["blocks"].as_array().expect("blocks");
        for block in blocks {
            match block["type"].as_str().expect("a type") {
                "header" => within("header", &block["text"]["text"], 150),
                "section" if block["fields"].is_array() => {
                    let fields = block["fields"].as_array().expect("fields");
                    assert!((1..=10).contains(&fields.len()));
                    fields.iter().for_each(|field| within("field", &field["text"], 2000));
                }
                "section" => within("section", &block["text"]["text"], 3000),
                "context" => within("context", &block["elements"][0]["text"], 2000),
                other => panic!("a block of type {other}"),
            }
        }
        let in_blocks = total;
        if payload["text"].as_str().unwrap_or_default().encode_utf16().count() > 3000 {
            faults.push("the fallback is too long".to_owned());
        }
        if blocks.len() > 50 || in_blocks > 10_000 {
            faults.push(format!("{} blocks of {in_blocks} in all", blocks.len()));
        }
        faults
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
        #[test]
        fn any_notice_stays_within_slacks_limits(notice in samples::any_notice()) {
            let faults = excess(&payload(&notice, Some(&Mention::Group("S1".to_owned()))));
            prop_assert!(faults.is_empty(), "{faults:?}");
        }
    }
}
