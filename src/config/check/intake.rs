//! The daemon's own interface, who may use it, and when nothing is done by itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
};

use toml::Spanned;

use crate::{
    aws::Access,
    config::{
        Http, HttpLimits, Mapping, SnsTopics, Tls, Token,
        check::{aws, found::Found},
        raw::{self, SecretRef},
    },
    domain::policy::Freeze,
};

/// The interface, unless it was turned off.
pub(super) fn http(
    found: &mut Found<'_>,
    raw: &raw::Raw,
    environment: &str,
    accounts: &BTreeMap<String, Access>,
) -> Option<Http> {
    let usual = Http::default();
    let listen = listen(found, &raw.http).unwrap_or(usual.listen);
    let tls = raw.http.tls.as_ref().map(|tls| {
        let paths = [&tls.cert_file, &tls.key_file];
        let [cert, key] = paths.map(|path| {
            found.bytes(path);
            PathBuf::from(path.get_ref())
        });
        Tls { cert, key }
    });
    let http = Http {
        listen,
        tls,
        allow_plain_beyond_loopback: raw.http.allow_plain_beyond_loopback,
        open_metrics: raw.http.open_metrics,
        tokens: tokens(found, &raw.token),
        mapping: mapping(&raw.alertmanager, environment),
        limits: limits(found, &raw.limits),
        topics: topics(found, raw, accounts),
    };
    raw.http.enabled.unwrap_or(true).then_some(http)
}

fn listen(found: &mut Found<'_>, raw: &raw::Http) -> Option<SocketAddr> {
    let text = raw.listen.as_ref()?;
    let Ok(listen) = text.get_ref().parse::<SocketAddr>() else {
        let what = format!("`{}` is not an address to listen on", text.get_ref());
        let instead = "write it like \"127.0.0.1:7676\" or \"[::1]:7676\"";
        found.error(text.span(), what, instead);
        return None;
    };
    let guarded = raw.tls.is_some() || raw.allow_plain_beyond_loopback;
    if !listen.ip().is_loopback() && !guarded && !found.was_cut(&["http"]) {
        let what = "credentials would cross the network in the clear";
        let instead = "add [http.tls] cert_file and key_file, listen on 127.0.0.1, \
                       or say allow_plain_beyond_loopback = true";
        found.error(text.span(), what, instead);
    }
    Some(listen)
}

/// Topics whose alarms are taken.
fn topics(found: &mut Found<'_>, raw: &raw::Raw, accounts: &BTreeMap<String, Access>) -> SnsTopics {
    let Some(said) = &raw.http.sns else { return SnsTopics::default() };
    let (at, said) = (said.span(), said.get_ref());
    if said.topics.get_ref().is_empty() {
        let instead = "write some like \"arn:aws:sns:eu-central-1:123456789012:alarms\"";
        found.error(said.topics.span(), "no topic is named, so that none is taken", instead);
    }
    let mut arns = BTreeSet::new();
    for topic in said.topics.get_ref() {
        let parts: Vec<&str> = topic.get_ref().split(':').collect();
        let is_topic = matches!(parts[..], ["arn", _, "sns", region, account, name] if !region.is_empty() && account.len() == 12 && !name.is_empty());
        if !is_topic {
            let what = format!("`{}` is not the ARN of a topic", topic.get_ref());
            let instead = "write it like \"arn:aws:sns:eu-central-1:123456789012:alarms\"";
            found.error(topic.span(), what, instead);
        }
        arns.insert(topic.get_ref().clone());
    }
    // What SNS signs anybody can check: an account is needed only where it is asked elsewhere than at AWS.
    let from = said.from.as_ref();
    let access = from.and_then(|_| aws::named(found, raw, accounts, from, at));
    let (endpoint, ca_pem) = access.map(|it| (it.endpoint, it.ca_pem)).unwrap_or_default();
    SnsTopics { arns, endpoint, ca_pem }
}

/// Shorter secrets are guessed.
const TOKEN_MIN: usize = 16;

fn tokens(found: &mut Found<'_>, raw: &raw::Table<raw::Token>) -> Vec<Token> {
    let mut tokens: Vec<Token> = vec![];
    for (name, token) in raw {
        let scopes: BTreeSet<_> = token.scopes.get_ref().clone();
        if scopes.is_empty() {
            let instead = "write some of alerts, changes, evidence, view, operate, admin";
            found.error(token.scopes.span(), "this token may do nothing", instead);
        }
        let from = match (&token.file, &token.env) {
            (Some(file), None) => {
                Spanned::new(file.span(), SecretRef::File(file.get_ref().clone()))
            }
            (None, Some(env)) => Spanned::new(env.span(), SecretRef::Env(env.get_ref().clone())),
            _ => {
                let what = format!("the secret of `{name}` must come from one place");
                found.error(name.span(), what, "add file = \"/path/to/it\" or env = \"NAME\"");
                continue;
            }
        };
        let Some(secret) = found.secret(&from) else { continue };
        let length = secret.expose().chars().count();
        if length < TOKEN_MIN {
            let what = format!(
                "the secret of `{name}` has {length} characters; it can be guessed",
                name = name.get_ref()
            );
            let instead = format!("make one of {TOKEN_MIN} or more: openssl rand -hex 32");
            found.error(from.span(), what, instead);
        }
        if let Some(twin) = tokens.iter().find(|other| other.secret == secret) {
            let what = format!("`{name}` has the same secret as `{}`", twin.name);
            found.error(from.span(), what, "give each sender a secret of its own");
        }
        tokens.push(Token { name: name.get_ref().clone(), scopes, secret });
    }
    tokens
}

fn mapping(raw: &raw::Alertmanager, environment: &str) -> Mapping {
    let usual = Mapping::default();
    let label = |label: &Option<String>, usual: String| label.clone().unwrap_or(usual);
    let mut severities = usual.severities;
    severities.extend(raw.severity.iter().map(|(name, severity)| (name.clone(), severity.0)));
    Mapping {
        service_label: label(&raw.service_label, usual.service_label),
        environment_label: label(&raw.environment_label, usual.environment_label),
        default_environment: environment.to_owned(),
        severity_label: label(&raw.severity_label, usual.severity_label),
        severities,
        without_severity: raw.without_severity.as_ref().map_or(usual.without_severity, |s| s.0),
    }
}

fn limits(found: &mut Found<'_>, raw: &raw::Limits) -> HttpLimits {
    let usual = HttpLimits::default();
    HttpLimits {
        body_max_bytes: found.at_least_one(&raw.body_max_bytes, usual.body_max_bytes),
        labels_max: found.at_least_one(&raw.labels_max, usual.labels_max),
        alerts_max: found.at_least_one(&raw.alerts_max, usual.alerts_max),
        connections_max: found.at_least_one(&raw.connections_max, usual.connections_max),
        read_timeout: found.positive(&raw.read_timeout, usual.read_timeout),
        answer_timeout: found.positive(&raw.answer_timeout, usual.answer_timeout),
    }
}

/// The periods in which nothing is done by itself.
pub(super) fn freezes(found: &mut Found<'_>, raw: &raw::Table<raw::Freeze>) -> Vec<Freeze> {
    let mut freezes = vec![];
    for (name, freeze) in raw {
        let (from, until) = (*freeze.from.get_ref(), *freeze.until.get_ref());
        if until <= from {
            let what = format!("`{name}` ends before it begins");
            found.error(freeze.until.span(), what, format!("write a time after {from}"));
        }
        let reason = freeze.reason.clone().unwrap_or_else(|| name.get_ref().clone());
        freezes.push(Freeze { from, until, reason });
    }
    freezes.sort_by_key(|freeze| freeze.from);
    freezes
}
