//! How people are reached, and the sign of life.

use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned;

use crate::{
    aws::Access,
    config::{
        check::{aws, found::Found},
        raw,
    },
    domain::notice::Audience,
    notifiers::{Channel, Notifier, heartbeat::Heartbeat, http, slack, sns, webhook},
    units::Span,
};

/// The channels; the log alone where none is configured.
pub(super) fn channels(
    found: &mut Found<'_>,
    file: &raw::Raw,
    accounts: &BTreeMap<String, Access>,
) -> Vec<Channel> {
    let raw = &file.notify;
    let both = BTreeSet::from([Audience::OnCall, Audience::Stakeholders]);
    let mut channels = vec![];
    for (name, notify) in raw {
        let Some(notifier) = notifier(found, name, notify, (file, accounts)) else { continue };
        let audiences = match &notify.audiences {
            Some(audiences) if audiences.get_ref().is_empty() => {
                let instead = "write [\"on_call\", \"stakeholders\"], or one of them";
                found.error(audiences.span(), "this channel reaches nobody", instead);
                continue;
            }
            Some(audiences) => audiences.get_ref().iter().copied().map(Audience::from).collect(),
            None => both.clone(),
        };
        let deadline = found.positive(&notify.deadline, http::TOTAL);
        channels.push(Channel { name: name.get_ref().clone(), notifier, audiences, deadline });
    }
    let reaches_on_call = channels.iter().any(|c| c.audiences.contains(&Audience::OnCall));
    if let Some((name, _)) = raw.iter().next()
        && !reaches_on_call
        && !found.was_cut(&["notify"])
    {
        let what = "no channel reaches the people on call: pages would get lost";
        found.error(name.span(), what, "add audiences = [\"on_call\"] to one of [notify.*]");
    }
    if channels.is_empty() {
        let (name, deadline) = ("log".to_owned(), http::TOTAL);
        channels.push(Channel { name, notifier: Notifier::Log, audiences: both, deadline });
    }
    channels
}

fn notifier(
    found: &mut Found<'_>,
    name: &Spanned<String>,
    raw: &raw::Notify,
    (file, accounts): (&raw::Raw, &BTreeMap<String, Access>),
) -> Option<Notifier> {
    let (notifier, at) = match (&raw.log, &raw.slack, &raw.webhook, &raw.sns) {
        (Some(_), None, None, None) => (Notifier::Log, name.span()),
        (None, None, None, None) if name.get_ref() == "log" => (Notifier::Log, name.span()),
        (None, None, None, Some(sns)) => {
            let (place, said) = (sns.span(), sns.get_ref());
            let access = aws::named(found, file, accounts, said.from.as_ref(), place)?;
            let topic_arn = said.topic_arn.get_ref().clone();
            (Notifier::Sns(sns::Options { access, topic_arn }), said.topic_arn.span())
        }
        (None, Some(slack), None, None) => {
            (Notifier::Slack(slack_options(found, slack.get_ref())?), slack.get_ref().url.span())
        }
        (None, None, Some(webhook), None) => {
            let options = webhook_options(found, webhook.get_ref())?;
            (Notifier::Webhook(options), webhook.get_ref().url.span())
        }
        (None, None, None, None) if found.was_cut(&["notify", name.get_ref()]) => return None,
        (None, None, None, None) => {
            let what = format!("nobody knows how `{name}` is reached");
            let instead = format!(
                "add [notify.{name}.slack], [notify.{name}.webhook], [notify.{name}.sns] or [notify.{name}.log]"
            );
            found.error(name.span(), what, instead);
            return None;
        }
        _ => {
            let what = format!("`{name}` is reached in more than one way");
            found.error(name.span(), what, "give each way a name of its own");
            return None;
        }
    };
    for problem in notifier.problems() {
        found.error(at.clone(), problem, "correct what the reference leads to");
    }
    Some(notifier)
}

fn slack_options(found: &mut Found<'_>, raw: &raw::Slack) -> Option<slack::Options> {
    let mention = raw.mention.as_ref().map(|mention| match mention.get_ref() {
        raw::Mention::Here => slack::Mention::Here,
        raw::Mention::Channel => slack::Mention::Channel,
        raw::Mention::Group(id) => slack::Mention::Group(id.clone()),
        raw::Mention::User(id) => slack::Mention::User(id.clone()),
    });
    Some(slack::Options { url: found.secret(&raw.url)?, mention })
}

fn webhook_options(found: &mut Found<'_>, raw: &raw::Webhook) -> Option<webhook::Options> {
    let auth = match (&raw.bearer, &raw.basic) {
        (Some(bearer), None) => found.secret(bearer).map(webhook::Auth::Bearer),
        (None, Some(basic)) => {
            let user = basic.get_ref().user.clone();
            let password = found.secret(&basic.get_ref().password);
            password.map(|password| webhook::Auth::Basic { user, password })
        }
        (Some(_), Some(basic)) => {
            found.error(basic.span(), "only one of `bearer` and `basic` can be sent", "keep one");
            None
        }
        (None, None) => None,
    };
    let headers = raw
        .headers
        .iter()
        .filter_map(|(name, from)| Some((name.get_ref().clone(), found.secret(from)?)));
    let headers = headers.collect();
    let signing_key = raw.signing_key.as_ref().and_then(|from| found.secret(from));
    Some(webhook::Options { url: found.secret(&raw.url)?, auth, headers, signing_key })
}

/// The sign of life.
pub(super) fn heartbeat(found: &mut Found<'_>, raw: Option<&raw::Heartbeat>) -> Option<Heartbeat> {
    let raw = raw?;
    let every = found.positive(&raw.every, Span::minutes(1));
    let heartbeat = Heartbeat { url: found.secret(&raw.url)?, every };
    for problem in heartbeat.problems() {
        found.error(raw.url.span(), problem, "correct what the reference leads to");
    }
    Some(heartbeat)
}
