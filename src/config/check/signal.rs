//! What is read of a service.

mod asked;
mod logged;
mod measured;
mod probed;
mod scraped;
mod targets;
mod usage;
mod wanted;

use std::{collections::BTreeMap, ops::Range};

use toml::Spanned;

use self::{asked::asked, measured::measured, probed::probed, scraped::scraped};
pub(super) use self::{asked::server, targets::targets};
use crate::{
    config::{
        Ask, Poll, Read,
        check::{found::Found, kubernetes, service::Common},
        nearest::nearest,
        raw,
    },
    domain::{
        policy::{SignalKind, SignalPolicy},
        service::ServiceId,
    },
    sources::{
        http,
        kubernetes::Question,
        reading::TimeUnit,
        scrape::{self, Spec},
    },
    units::Span,
};

/// A signal, and where to complain about it.
pub(super) struct Signal {
    pub(super) name: String,
    pub(super) at: Range<usize>,
    pub(super) policy: SignalPolicy,
    pub(super) poll: Poll,
    /// Whether it tells how long each request took, not only a percentile.
    pub(super) histogram: bool,
    /// Whether its requests are told apart by revision.
    pub(super) revisions: bool,
}

/// The service that a signal belongs to.
pub(super) struct Of<'r> {
    pub(super) id: &'r ServiceId,
    pub(super) key: &'r Spanned<String>,
    pub(super) raw: &'r raw::Service,
    pub(super) targets: &'r BTreeMap<String, scrape::Place>,
    pub(super) quantile_window: Span,
}

const KINDS: [(&str, SignalKind); 6] = [
    ("error_rate", SignalKind::ErrorRate),
    ("latency", SignalKind::Latency),
    ("health", SignalKind::Health),
    ("cpu", SignalKind::Cpu),
    ("memory", SignalKind::Memory),
    ("logs", SignalKind::Logs),
];

/// A signal, unless it is beyond use.
pub(super) fn signal(
    found: &mut Found<'_>,
    common: &Common<'_>,
    of: &Of<'_>,
    name: &Spanned<String>,
    raw: &raw::Signal,
) -> Option<Signal> {
    let kind = kind(found, name, raw)?;
    let path = ["service", of.key.get_ref(), "signal", name.get_ref()];
    let places = (&raw.prometheus, &raw.scrape, &raw.http, &raw.kubernetes, &raw.cloudwatch);
    let read = match places {
        (Some(ask), None, None, None, None) => asked(found, common, of, kind, ask),
        (None, Some(scrape), None, None, None) => scraped(found, of, kind, scrape),
        (None, None, Some(http), None, None) => probed(found, kind, http),
        (None, None, None, Some(pods), None) => stands(found, common, of, kind, pods),
        (None, None, None, None, Some(metrics)) => measured(found, common, kind, raw, metrics),
        (None, None, None, None, None) if found.was_cut(&path) => None,
        (None, None, None, None, None) => {
            nowhere(found, of, name);
            None
        }
        _ => {
            let what = format!("`{name}` is read from more than one place");
            found.error(name.span(), what, "give each a name of its own, like `health_inside`");
            None
        }
    }?;
    // Each poll is a request for each pod.
    let usual = match &read {
        Read::Asked(..) => Span::seconds(30),
        Read::CloudWatch(options, _) => options.period,
        Read::Scrape { .. } | Read::Prometheus { .. } | Read::Health(_) | Read::Kubernetes(_) => {
            Span::seconds(15)
        }
    };
    let every = found.positive(&raw.every, usual);
    let (source, lag, watched) = usual_pace(&read);
    if let Read::Asked(_, Question::Lines(lines)) = &read {
        logged::reaches(found, raw, lines, every);
    }
    let every_watched = found.positive(&raw.every_watched, watched.min(every));
    if let Some(watched) = &raw.every_watched
        && every_watched > every
    {
        let what = format!("slower while it matters: otherwise it is read every {every}");
        found.error(watched.span(), what, format!("write \"{every}\" or less"));
    }
    let revisions = tells_revisions(&read, of);
    let histogram = kind == SignalKind::Latency && tells_all(&read);
    let policy = SignalPolicy {
        kind,
        source,
        poll_every: every,
        lag: raw.lag.filter(|_| !matches!(read, Read::CloudWatch(..))).unwrap_or(lag),
        quantile_window: of.quantile_window,
    };
    if let (Some(unit), true) = (&raw.unit, kind != SignalKind::Latency) {
        let what = format!("`{name}` does not measure time");
        found.error(unit.span(), what, "leave the unit out: only latency has one");
    }
    let poll = Poll {
        service: of.id.clone(),
        signal: name.get_ref().clone(),
        every,
        every_watched,
        unit: raw.unit.as_ref().map_or_else(TimeUnit::default, |unit| *unit.get_ref()),
        read,
    };
    let at = raw.every.as_ref().map_or_else(|| name.span(), Spanned::span);
    Some(Signal { name: name.get_ref().clone(), at, policy, poll, histogram, revisions })
}

fn nowhere(found: &mut Found<'_>, of: &Of<'_>, name: &Spanned<String>) {
    let what = format!("nobody knows where `{name}` is read");
    let table = |kind: &str| format!("[service.{}.signal.{name}.{kind}]", of.key.get_ref());
    let [prometheus, scrape, http, kubernetes, cloudwatch] =
        ["prometheus", "scrape", "http", "kubernetes", "cloudwatch"].map(table);
    let instead = format!("add {prometheus}, {scrape}, {http}, {kubernetes} or {cloudwatch}");
    found.error(name.span(), what, instead);
}

/// What it is called for people, how far behind it may be, and how often it is read while its service is watched.
fn usual_pace(read: &Read) -> (String, Span, Span) {
    match read {
        Read::Prometheus { server, .. } => {
            (format!("prometheus {server}"), Span::seconds(30), Span::seconds(15))
        }
        Read::Scrape { targets, .. } => {
            (format!("scrape of {}", targets.join(", ")), Span::ZERO, Span::seconds(5))
        }
        Read::Health(probe) => {
            (format!("probe {}", http::shown(&probe.url)), Span::ZERO, Span::seconds(5))
        }
        // It costs the API server nothing: it was told already.
        Read::Kubernetes(at) => {
            (format!("kubernetes {}, {}", at.cluster, at.key), Span::ZERO, Span::seconds(2))
        }
        Read::Asked(at, question) => {
            let what = match question {
                Question::Lines(_) => "logs",
                Question::Usage(_) => "usage",
            };
            let source = format!("{what} of kubernetes {}, {}", at.cluster, at.key);
            (source, Span::ZERO, Span::seconds(15))
        }
        Read::CloudWatch(options, _) => {
            let behind = options.lag + options.period;
            (format!("cloudwatch {}", options.access.name), behind, options.period)
        }
    }
}

/// A cluster tells whether a Deployment is well.
fn stands(
    found: &mut Found<'_>,
    common: &Common<'_>,
    of: &Of<'_>,
    kind: SignalKind,
    pods: &Spanned<raw::Pods>,
) -> Option<Read> {
    let application = of.raw.rollback.as_ref().and_then(|it| it.get_ref().application.as_ref());
    let rolled_back = application.and_then(|application| match application.get_ref() {
        raw::Application::Kubernetes(deployment) => Some(deployment),
        raw::Application::Release(_) | raw::Application::Frontend(_) => None,
    });
    let container = rolled_back.and_then(|deployment| deployment.container.as_ref());
    match kind {
        SignalKind::Health => {
            logged::none_of_it(found, pods.get_ref(), kind);
            usage::none_of_it(found, pods.get_ref());
            kubernetes::pods(found, common.raw, rolled_back, pods).map(Read::Kubernetes)
        }
        SignalKind::Logs => {
            usage::none_of_it(found, pods.get_ref());
            let lines = logged::lines(found, pods, container)?;
            let at = kubernetes::pods(found, common.raw, rolled_back, pods)?;
            Some(Read::Asked(at, Question::Lines(lines)))
        }
        SignalKind::Cpu | SignalKind::Memory => {
            logged::none_of_it(found, pods.get_ref(), kind);
            let usage = usage::usage(found, pods.get_ref(), kind);
            let at = kubernetes::pods(found, common.raw, rolled_back, pods)?;
            Some(Read::Asked(at, Question::Usage(usage)))
        }
        SignalKind::ErrorRate | SignalKind::Latency => {
            let what = "a cluster only tells whether the pods are well, what they use, and what their logs say";
            found.error(
                pods.span(),
                what,
                "call the signal `health_pods`, `cpu`, `memory` or `logs`",
            );
            None
        }
    }
}

fn tells_revisions(read: &Read, of: &Of<'_>) -> bool {
    match read {
        Read::Prometheus { ask: Ask::Ratio { version_label, .. }, .. } => version_label.is_some(),
        Read::Scrape { spec: Spec::Ratio(_), .. } => {
            of.raw.scrape.as_ref().is_some_and(|scrape| scrape.get_ref().version.is_some())
        }
        Read::Prometheus { .. }
        | Read::Scrape { .. }
        | Read::Health(_)
        | Read::Kubernetes(_)
        | Read::Asked(..)
        | Read::CloudWatch(..) => false,
    }
}

fn tells_all(read: &Read) -> bool {
    match read {
        Read::Scrape { spec: Spec::Histogram(_), .. }
        | Read::Prometheus { ask: Ask::Histogram { .. }, .. } => true,
        Read::Scrape { .. }
        | Read::Prometheus { .. }
        | Read::Health(_)
        | Read::Kubernetes(_)
        | Read::Asked(..)
        | Read::CloudWatch(..) => false,
    }
}

fn kind(found: &mut Found<'_>, name: &Spanned<String>, raw: &raw::Signal) -> Option<SignalKind> {
    if let Some(kind) = &raw.kind {
        return Some(*kind.get_ref());
    }
    let named = |word: &str| {
        name.get_ref()
            .strip_prefix(word)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    };
    if let Some((_, kind)) = KINDS.iter().find(|(word, _)| named(word)) {
        return Some(*kind);
    }
    let words = KINDS.map(|(word, _)| word);
    let instead = match nearest(name.get_ref(), words) {
        Some(near) => format!("did you mean `{near}`? Otherwise add kind = \"{near}\""),
        None => format!("add a line kind = \"...\": one of {}", words.join(", ")),
    };
    found.error(name.span(), format!("nobody knows what `{name}` measures"), instead);
    None
}
