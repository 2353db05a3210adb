use std::collections::BTreeSet;

use super::{
    conventions::{CONVENTIONS, Convention},
    draft::{Draft, Named},
    propose::{Proposals, Seen, Survey, propose},
    *,
};
use crate::config::{Ask, Config, Read, schema::tests::wrong, tests::told};

fn seen(metric: &str, labels: &[(&str, &str)]) -> Seen {
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Seen { metric: metric.to_owned(), labels: labels.collect() }
}

/// Series of these services, as this convention names them.
fn series(of: &Convention, failed: &str, services: &[&str], histogram: bool) -> Vec<Seen> {
    let label = of.service[0];
    let mut all = vec![];
    for service in services {
        all.push(seen(of.requests, &[(label, service), (failed, "200"), ("job", "x")]));
        if let Some((name, _)) = of.histogram.filter(|_| histogram) {
            all.push(seen(name, &[(label, service), ("job", "x")]));
        }
    }
    all
}

fn proposed(seen: Vec<Seen>) -> Proposals {
    propose(&Survey { seen, ..Survey::default() })
}

fn draft(proposals: Proposals) -> Draft {
    let mut draft = Draft { prometheus: Some("http://127.0.0.1:9090".into()), ..Draft::default() };
    for proposal in proposals.services {
        draft.add(Named::of(&proposal.service, Some(proposal.by), false));
    }
    draft
}

/// What is written, read again: nothing in it may be wrong or odd.
fn read(text: &str) -> Config {
    assert_eq!(wrong(text), [] as [String; 0]);
    match load_text("rollbackd.toml", text) {
        Ok((config, odd)) if odd.is_empty() => config,
        Ok((_, problems)) | Err(problems) => panic!("{}\n\n{text}", told(&problems)),
    }
}

fn usable() -> impl Iterator<Item = &'static Convention> {
    CONVENTIONS.iter().filter(|it| it.unusable.is_none())
}

#[test]
fn what_is_written_for_any_convention_passes_the_check() {
    for it in usable() {
        for (failed, means) in it.failed {
            for services in [&["checkout"][..], &["cart", "checkout", "pay/ments"]] {
                for histogram in [false, true] {
                    let draft = draft(proposed(series(it, failed, services, histogram)));
                    let config = read(&draft.text());
                    assert_eq!(config.policy.services.len(), services.len(), "{}", it.name);
                    let latency = usize::from(histogram && it.histogram.is_some());
                    assert_eq!(config.polls.len(), services.len() * (1 + latency), "{}", it.name);
                    for poll in &config.polls {
                        let Read::Prometheus { ask, .. } = &poll.read else { panic!("{poll:?}") };
                        match ask {
                            Ask::Ratio { bad, total, .. } => {
                                assert!(bad.contains(&format!("{failed}{means}")), "{bad}");
                                assert!(total.contains(it.requests), "{total}");
                            }
                            Ask::Histogram { buckets } => {
                                assert!(buckets.contains("le)"), "{buckets}");
                                assert_eq!(poll.unit, it.histogram.unwrap().1);
                            }
                            Ask::Gauge { .. } => panic!("{ask:?}"),
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn services_that_a_label_tells_apart_share_one_query() {
    let spring = &CONVENTIONS[0];
    let mut all = series(spring, "status", &["checkout", "cart"], true);
    all.extend(series(spring, "status", &["legacy app"], false));
    let istio = CONVENTIONS.iter().find(|c| c.key == "istio").unwrap();
    all.extend(series(istio, "response_code", &["checkout", "reviews", "unknown"], true));
    let proposals = proposed(all);
    insta::assert_snapshot!(proposals.notes.join("\n"));
    let text = draft(proposals).text();
    insta::assert_snapshot!(text);
    let config = read(&text);
    let asked: BTreeSet<&str> = config
        .polls
        .iter()
        .filter_map(|poll| match &poll.read {
            Read::Prometheus { ask: Ask::Ratio { total, .. }, .. } => Some(total.as_str()),
            Read::Prometheus { .. }
            | Read::Scrape { .. }
            | Read::Health(_)
            | Read::Kubernetes(_)
            | Read::Asked(..)
            | Read::CloudWatch(..) => None,
        })
        .collect();
    assert_eq!(asked.len(), 3, "one for both of Spring, and two that are alone: {asked:?}");
}

#[test]
fn names_from_outside_cannot_break_the_file() {
    let evil = [
        "a\"b",
        "two\nlines = true\n[http]\nlisten = \"0.0.0.0:1\"",
        "it's",
        "ö",
        "pay/ments",
        "pay-ments",
        "\u{7}",
        "\\",
        "{service}",
    ];
    for it in usable() {
        let config = read(&draft(proposed(series(it, it.failed[0].0, &evil, true))).text());
        let rows = config.polls.iter().filter_map(|poll| match &poll.read {
            Read::Prometheus { rows, .. } => Some(rows.as_ref().unwrap().value.as_str()),
            Read::Scrape { .. }
            | Read::Health(_)
            | Read::Kubernetes(_)
            | Read::Asked(..)
            | Read::CloudWatch(..) => None,
        });
        assert_eq!(rows.collect::<BTreeSet<_>>(), BTreeSet::from(evil), "{}", it.name);
        for name in evil {
            let config = read(&draft(proposed(series(it, it.failed[0].0, &[name], true))).text());
            assert_eq!(config.policy.services.len(), 1);
            assert!(config.http.unwrap().listen.ip().is_loopback());
        }
    }
}

#[test]
fn what_cannot_be_used_is_said() {
    let survey = Survey {
        seen: vec![
            seen("promhttp_metric_handler_requests_total", &[("job", "node"), ("code", "200")]),
            seen("http_requests_total", &[("job", "api"), ("method", "get")]),
            seen("grpc_server_handled_total", &[("grpc_code", "OK")]),
        ],
        jobs: ["node", "api", "backup"].map(str::to_owned).into(),
        known_jobs: ["node", "api"].map(str::to_owned).into(),
        ..Survey::default()
    };
    let proposals = propose(&survey);
    assert!(proposals.services.is_empty(), "{proposals:?}");
    insta::assert_snapshot!(proposals.notes.join("\n"));
}

#[test]
fn a_metric_without_instance_is_told_apart_by_pod() {
    let it = usable().next().unwrap();
    let mut survey = Survey { seen: series(it, it.failed[0].0, &["a"], true), ..Survey::default() };
    assert!(draft(propose(&survey)).text().contains("sum by (instance)"));
    survey.without_instance.insert(it.requests.to_owned());
    assert!(draft(propose(&survey)).text().contains("sum by (pod)"));
}

fn wish(services: &[&str]) -> Wish {
    Wish { services: services.iter().map(|name| (*name).to_owned()).collect(), ..Wish::default() }
}

#[tokio::test]
async fn flags_alone_make_a_service() {
    let all = Wish {
        scrape: Some("http://127.0.0.1:1/metrics".into()),
        health: Some("http://127.0.0.1:1/healthz".into()),
        release_root: Some("/srv/shop".into()),
        version_url: Some("http://127.0.0.1:1/version".into()),
        ..wish(&["shop"])
    };
    let written = first(&all).await.unwrap();
    insta::assert_snapshot!(written.text);
    assert!(written.found.is_empty() && written.notes[0].contains("was not looked at"));
    let config = read(&written.text);
    assert_eq!((config.polls.len(), config.platforms.len()), (3, 1));

    let both = Wish { prometheus: Some("http://127.0.0.1:1".into()), ..wish(&["shop", "cart"]) };
    let written = first(&both).await.unwrap();
    assert_eq!(read(&written.text).polls.len(), 4);
    assert!(written.notes.iter().any(|note| note.contains("guesses")), "{written:?}");
}

#[tokio::test]
async fn what_does_not_go_together_is_refused() {
    let url = || Some("http://127.0.0.1:1".to_owned());
    for (wish, says) in [
        (Wish::default(), "--prometheus URL"),
        (wish(&["shop"]), "say where it is read"),
        (wish(&["shop", "cart"]), "--prometheus URL"),
        (Wish { health: url(), ..Wish::default() }, "--service NAME"),
        (Wish { health: url(), ..wish(&["shop", "cart"]) }, "of one service"),
        (Wish { prometheus: url(), ..Wish::default() }, "refused"),
        (Wish { health: Some("shop:80/x".into()), ..wish(&["shop"]) }, "cannot be used"),
        (
            Wish { health: url(), release_root: Some("srv".into()), ..wish(&["shop"]) },
            "cannot be used",
        ),
    ] {
        let refused = first(&wish).await.expect_err("it was refused").to_string();
        assert!(refused.contains(says), "{wish:?}: {refused}");
    }
}

#[tokio::test]
async fn no_credential_is_shown() {
    for services in [&["shop"][..], &[]] {
        let prometheus = Some("http://me:hunter2@127.0.0.1:1".to_owned());
        let refused = first(&Wish { prometheus, ..wish(services) }).await.expect_err("refused");
        assert!(!format!("{refused} {refused:?}").contains("hunter2"), "{refused:?}");
    }
}
