//! What a file that is right becomes.

use super::{loaded, refused, told};
use crate::{
    config::{Ask, Config, Finding, Platform, Read, load_text_with},
    domain::{
        plan::{Restart, Running},
        policy::{LooksAt, Matrix, Response},
        runbook::ApplicationRunbook,
        service::Mode,
        severity::Severity,
        trigger::{Comparison, Kind, Limit, Rule},
    },
    sources::{reading::TimeUnit, scrape},
    units::{Multiple, Percent, Span},
};

const FLEET: &str = r#"
    mode = "observe"
    [prometheus.main]
    url = "http://127.0.0.1:9090"
    [trigger.critical-errors]
    above = "4%"
    [template.web]
    watch_only = true
    [template.web.signal.error_rate.prometheus]
    bad = 'sum by (service, pod) (errors)'
    total = 'sum by (service, pod) (requests)'
    label = "service"
    [template.web.signal.health.http]
    url = "https://{service}.{environment}.internal/health"
    [service.cart]
    template = "web"
    [service.checkout]
    template = "web"
    environment = "staging"
    [service.checkout.trigger.critical-errors]
    holds_for = "10s"
    [service.checkout.signal.error_rate]
    every = "1s"
"#;

#[test]
fn a_template_serves_a_fleet() {
    let (config, warnings) = loaded(FLEET);
    assert!(warnings.is_empty(), "{warnings:?}");
    let ids: Vec<String> = config.policy.services.keys().map(ToString::to_string).collect();
    assert_eq!(ids, ["cart/production", "checkout/staging"]);
    let probes: Vec<String> = config
        .polls
        .iter()
        .filter_map(|poll| match &poll.read {
            Read::Health(probe) => Some(probe.url.to_string()),
            Read::Prometheus { rows, ask: Ask::Ratio { .. }, .. } => {
                Some(rows.as_ref().unwrap().value.clone())
            }
            Read::Prometheus { .. }
            | Read::Scrape { .. }
            | Read::Kubernetes(_)
            | Read::Asked(..)
            | Read::CloudWatch(..) => None,
        })
        .collect();
    assert_eq!(
        probes,
        [
            "cart",
            "https://cart.production.internal/health",
            "checkout",
            "https://checkout.staging.internal/health"
        ]
    );
}

#[test]
fn what_a_query_found_follows_its_template() {
    let text = format!(
        "{FLEET}\n[discover.web]\ntemplate = \"web\"\nquery = 'count by (service) (requests)'\nlabel = \"service\""
    );
    let with = |found: &[&str]| {
        let found = found.iter().map(|name| (*name).to_owned()).collect();
        let found = [("web".to_owned(), found)].into();
        let (config, problems) = load_text_with("rollbackd.toml", &text, &found).unwrap();
        assert!(problems.is_empty(), "{problems:?}");
        config
    };
    let ids = |config: &Config| {
        config.policy.services.keys().map(ToString::to_string).collect::<Vec<_>>()
    };
    let before = with(&[]);
    assert_eq!(ids(&before), ["cart/production", "checkout/staging"]);
    assert_eq!(before.polls.len(), 4, "the one that stands for any is not read");
    let discovery = &before.discoveries[0];
    assert!(matches!(&discovery.finding, Finding::Query { server, .. } if server == "main"));
    assert_eq!(discovery.every, Span::minutes(1));
    // One that is written in the file stays as it is written; one of its name elsewhere is another service.
    let after = with(&["cart", "checkout", "mail"]);
    let found = ["cart/production", "checkout/production", "checkout/staging", "mail/production"];
    assert_eq!(ids(&after), found);
    let rows = after.polls.iter().filter_map(|poll| match &poll.read {
        Read::Prometheus { rows, .. } => rows.as_ref().map(|rows| rows.value.as_str()),
        Read::Scrape { .. }
        | Read::Health(_)
        | Read::Kubernetes(_)
        | Read::Asked(..)
        | Read::CloudWatch(..) => None,
    });
    assert_eq!(rows.collect::<Vec<_>>(), ["cart", "checkout", "checkout", "mail"]);
}

/// They were dropped by their names, in silence.
#[test]
fn a_service_may_be_called_as_one_that_stands_for_any() {
    let text = format!(
        "{FLEET}\n[service.any-service-of-web]\nwatch_only = true\n[discover.web]\ntemplate = \"web\"\n\
         query = 'requests'\nlabel = \"service\"\n[template.own]\nwatch_onli = true\n\
         [discover.web-2]\ntemplate = \"own\"\nquery = 'requests'\nlabel = \"service\""
    );
    assert_eq!(refused(&text).matches("did you mean").count(), 1);
    let (config, _) = loaded(&text.replace("onli", "only"));
    let ids: Vec<String> = config.policy.services.keys().map(ToString::to_string).collect();
    assert_eq!(ids, ["any-service-of-web/production", "cart/production", "checkout/staging"]);
    assert_eq!(config.each_found["web"].policy.id.name(), "any-other-service-of-web");
    assert_eq!(config.each_found["web-2"].policy.id.name(), "any-other-service-of-web-2");
}

#[test]
fn a_shorter_hold_shortens_what_hangs_on_it() {
    let (config, _) = loaded(FLEET);
    let service = &config.policy.services[&"checkout/staging".parse().unwrap()];
    let rule = &service.triggers["critical-errors"].rule;
    let ten = Span::seconds(10);
    assert_eq!((rule.hold.lasts, rule.hold.recovery), (ten, ten));
    assert_eq!(rule.hold.grace, Span::seconds(2));
    let Kind::Ratio(ratio) = &rule.kind else { panic!("{rule:?}") };
    assert_eq!(ratio.above, Percent(0.04), "said for all");
    assert_eq!(ratio.buckets, [2, 4, 6, 8, 10].map(Span::seconds));
    assert_eq!(ratio.escalation.unwrap().lasts, Span::seconds(4));
    assert_eq!(ratio.recurrent.unwrap().horizon, Span::minutes(1));
    let poll = config.polls.iter().find(|poll| poll.every == Span::seconds(1)).unwrap();
    assert_eq!(poll.every_watched, Span::seconds(1));
}

#[test]
fn latency_is_judged_by_what_its_source_can_tell() {
    let service = |signal: &str| {
        let text = format!(
            "[service.shop]\nwatch_only = true\n[service.shop.scrape]\nurl = \"http://127.0.0.1:1/m\"\n\
             [service.shop.signal.latency.scrape]\n{signal}\n[trigger.performance-degradation]\n\
             slower_than = \"4x\"\nabove = \"6%\""
        );
        let (config, _) = loaded(&text);
        config.policy.services.into_values().next().unwrap().triggers.clone()
    };
    let unit = |unit: &str| {
        let text = format!(
            "[prometheus.main]\nurl = \"http://127.0.0.1:1\"\n[service.shop]\nwatch_only = true\n\
             [service.shop.signal.latency]\n{unit}prometheus.value = 'p95'"
        );
        loaded(&text).0.polls.remove(0).unit
    };
    assert_eq!(unit("unit = \"ms\"\n"), TimeUnit::Milliseconds);
    assert_eq!(unit(""), TimeUnit::Seconds);
    let slow = &service("histogram = 'seconds'")["performance-degradation"];
    assert_eq!(slow.looks_at, LooksAt::SlowShare(Multiple(4.0)));
    assert!(matches!(&slow.rule.kind, Kind::Ratio(ratio) if ratio.above == Percent(0.06)));
    let slow = &service("value = 'p95'")["performance-degradation"];
    assert_eq!(slow.looks_at, LooksAt::LatencyP95);
    let Kind::Gauge(gauge) = &slow.rule.kind else { panic!("{slow:?}") };
    assert_eq!(gauge.above, Limit::Baseline(Multiple(4.0)));
}

#[test]
fn revisions_are_compared_only_where_that_is_asked_for() {
    let service = |more: &str| {
        let text = format!(
            "[service.shop]\nwatch_only = true\n[service.shop.scrape]\nurl = \"http://127.0.0.1:1/m\"\n\
             version = \"build_info\"\n[service.shop.signal.error_rate.scrape]\nbad = 'bad'\ntotal = 'total'\n{more}"
        );
        let (config, problems) = loaded(&text);
        assert!(!told(&problems).contains("worse-than-old"), "{}", told(&problems));
        config.policy.services.into_values().next().unwrap().triggers.get("worse-than-old").cloned()
    };
    assert_eq!(service(""), None);
    assert_eq!(service("[trigger.worse-than-old]\nmargin = \"3x\""), None);
    let text = "[trigger.worse-than-old]\nenabled = true\nmargin = \"3x\"\nabove = \"1%\"\nalpha = 0.01\nignore_first = \"30s\"";
    let asked = service(text).unwrap();
    let ignore_first = Span::seconds(30);
    let expected =
        Comparison { margin: Multiple(3.0), above: Percent(0.01), alpha: 0.01, ignore_first };
    assert_eq!(*asked.rule, Rule::comparison(Severity::P1, expected));
    assert!(asked.may_act && asked.looks_at == LooksAt::NewAgainstOld);
}

/// Two processes behind one port shared a name, and each was the other's reset.
#[test]
fn targets_behind_one_port_are_series_of_their_own() {
    let names = |urls: &str| {
        let text = format!(
            "[service.shop]\nwatch_only = true\n[service.shop.scrape]\nurl = {urls}\n\
             [service.shop.signal.error_rate.scrape]\nbad = 'e'\ntotal = 'r'"
        );
        let (config, _) = loaded(&text);
        let place = |place| match place {
            scrape::Place::At(options) => options.series,
            scrape::Place::Listed(_) => panic!("{place:?}"),
        };
        config.targets.into_values().map(place).collect::<Vec<_>>()
    };
    assert_eq!(names(r#"["http://a:1/m", "http://b:1/m"]"#), ["a:1", "b:1"]);
    let shared = names(r#"["http://a:1/m", "http://a:1/n", "https://a:1/m", "http://b/m"]"#);
    assert_eq!(shared, ["b:80", "http://a:1/m", "http://a:1/n", "https://a:1/m"]);
}

#[test]
fn a_release_is_rolled_back_as_written() {
    let text = r#"
        [verification]
        hold = "3s"
        [service.shop]
        mode = "auto"
        [service.shop.signal.health.http]
        url = "http://127.0.0.1:1/"
        [service.shop.rollback.application.release]
        root = "/srv/shop/"
        restart = { command = { argv = ["/bin/true", "it"], env = { KEY = { env = "KEY" }, A = "b" } } }
        running = { http = { url = "http://127.0.0.1:1/version", pointer = "/v" } }
        [service.shop.rollback.check.z-first]
        argv = ["/bin/sh"]
        [service.shop.rollback.check.a-second]
        argv = ["/bin/true"]
    "#;
    let (config, warnings) = loaded(text);
    assert!(warnings.is_empty(), "{warnings:?}");
    let (id, Platform::Release(platform)) = config.platforms.iter().next().unwrap() else {
        panic!("{:?}", config.platforms)
    };
    let service = &config.policy.services[id];
    assert_eq!(service.mode, Mode::Auto);
    let runbook = service.runbook.as_ref().unwrap();
    assert_eq!(runbook.application, ApplicationRunbook::Release(platform.runbook.clone()));
    assert_eq!(platform.runbook.root, "/srv/shop");
    assert!(matches!(&platform.runbook.restart, Restart::Command(line) if line.env.len() == 2));
    assert!(matches!(&platform.runbook.running, Running::Http { pointer: Some(_), .. }));
    let checks: Vec<&str> = runbook.checks.iter().map(|check| check.title.as_str()).collect();
    assert_eq!(checks, ["z-first", "a-second"], "in the order of the file");
    // A shorter verification is expected sooner.
    let p1 = service.matrix.row(Severity::P1);
    assert_eq!(p1.verify_within, Span::minutes(20) + Span::seconds(3));
}

#[test]
fn the_defaults_are_the_domains() {
    let (config, _) = loaded("[service.shop]\nwatch_only = true");
    let service = config.policy.services.values().next().unwrap();
    assert_eq!(service.matrix, Matrix::default());
    assert_eq!(service.matrix.p1.response, Response::MonitorThenRollBack);
    assert_eq!(service.guards, crate::domain::policy::GuardPolicy::default());
    assert_eq!(service.verification, crate::domain::policy::VerificationPolicy::default());
    assert_eq!(config.policy.config_hash.len(), 64);
}

#[test]
fn a_running_daemon_follows_all_but_what_it_has_opened() {
    let before = "[http]\nlisten = \"127.0.0.1:7676\"\n[service.shop]\nwatch_only = true\n";
    let (old, _) = loaded(before);
    let (next, nothing) = old.followed_by(loaded(before).0);
    assert_eq!(nothing.taken, ["nothing that is followed differs"]);
    assert!(nothing.needs_restart.is_empty() && next.http == old.http);

    let (new, _) = loaded(
        "state_dir = \"/srv/other\"\n[http]\nlisten = \"127.0.0.1:7677\"\n[severity.P1]\nmonitor_for = \"5m\"\n\
         [service.shop]\nwatch_only = true\n[service.cart]\nwatch_only = true\n",
    );
    let (next, difference) = old.followed_by(new);
    assert_eq!(
        difference.taken,
        ["cart/production is watched, mode observe", "shop/production: its policy"]
    );
    assert_eq!(
        difference.needs_restart,
        [
            "`state_dir` changes only with a restart",
            "`reports_dir` changes only with a restart",
            "[store] changes only with a restart",
            "where [http] listens changes only with a restart"
        ]
    );
    assert_eq!((&next.http, &next.state_dir), (&old.http, &old.state_dir));
}
