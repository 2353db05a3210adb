use clap::CommandFactory;

use super::{
    Cli, Reach,
    client::{Client, Fault, segment},
    explain, incidents,
    paint::Paint,
    plan, status,
};
use crate::{
    config::{Http, Scope, Token},
    domain::{
        change::{Change, Component, Migrations, Origin, Revision},
        event::Now,
        examples,
        fleet::Fleet,
        guard::{Guard, Verdict},
        incident::judge::Ground,
        inventory::Place,
        inventory::Serving,
        service::Mode,
        severity::Severity,
        trigger::{Evidence, State, Unit},
        verification::Standing,
    },
    handle::{Ask, Handle},
    http::{
        Interface, Server,
        auth::Tokens,
        views::{
            BlindView, CheckView, DatabaseView, Explain, IncidentLine, PlanAnswer, PlanView,
            ServiceView, Stray, Strays, TriggerState, TriggerView,
        },
    },
    units::{Percent, Secret, Span, UnixMs},
};

const NOW: UnixMs = UnixMs(1_795_383_652_000);

fn incident() -> IncidentLine {
    IncidentLine {
        id: "checkout-20261122213652".into(),
        service: examples::id("checkout/production"),
        severity: Severity::P1,
        phase: "monitoring".into(),
        because: Some("until 21:46:52".into()),
        triggers: vec!["critical-errors".into()],
        fired: NOW - Span::minutes(4),
        closed: None,
        unacknowledged: true,
    }
}

fn service(id: &str) -> ServiceView {
    ServiceView {
        id: examples::id(id),
        mode: Mode::Auto,
        serving: Some("v1".into()),
        running: Some(Serving::Version("v1".into())),
        platform_faults: vec![],
        warnings: vec![],
        owners: vec![],
        maintenance: vec![],
        set_again: None,
        serving_is_known_good: true,
        known_good: None,
        images: vec![],
        configuration: None,
        database: None,
        no_target: Some("no earlier revision has served healthily for the bake time".into()),
        last_change: None,
        triggers: ["critical-errors", "service-outage"]
            .map(|name| TriggerState {
                name: name.into(),
                state: State::Ok,
                severity: Severity::P1,
            })
            .into(),
        told: vec![],
        incident: None,
        blind: vec![],
        hold: None,
        kill_switch: None,
        unwritable: None,
    }
}

fn burning() -> ServiceView {
    let mut burning = service("checkout/production");
    burning.serving = Some("v2".into());
    burning.running = Some(Serving::Version("v2".into()));
    burning.serving_is_known_good = false;
    burning.known_good = Some("v1".into());
    burning.triggers[0].state = State::Firing;
    burning.incident = Some(incident());
    burning.blind = vec![BlindView {
        signal: "latency".into(),
        source: "prometheus main".into(),
        since: NOW - Span::minutes(6),
        why: "connection refused".into(),
    }];
    burning.last_change = Some(Change {
        id: "build-7".into(),
        component: Component::Application,
        from: Some(Revision::named("v1")),
        to: Revision::named("v2"),
        started_at: NOW - Span::minutes(12),
        ended_at: None,
        origin: Origin::Observed,
        migrations: Migrations::Unknown,
        checks_passed: None,
        is_rollback: false,
        told: None,
    });
    burning
}

fn plan_view() -> PlanView {
    let policy = examples::service("checkout/production", Mode::Auto);
    let (from, to) = (Revision::named("v2"), Revision::named("v1"));
    PlanView::of(&policy.runbook.unwrap().plan(&policy.id, (&from, &to), &Place::default(), NOW))
}

fn trigger() -> TriggerView {
    let drawn: Vec<Option<f32>> =
        (0..12).map(|n| (n != 5).then_some(if n < 6 { 0.002 } else { 0.12 })).collect();
    TriggerView {
        name: "critical-errors".into(),
        state: State::Firing,
        severity: Severity::P1,
        signal: "error_rate".into(),
        looks_at: "error rate".into(),
        sees: "149 of 1204 requests, 12.38% (surely more than 10.6%), limit 5%".into(),
        normal: None,
        waits_for: vec![],
        drawn,
        evidence: Evidence {
            state: State::Firing,
            since: NOW - Span::minutes(4),
            severity: Severity::P1,
            onset: None,
            fired_at: None,
            fired_by: None,
            newest: None,
            known: None,
            bad: 149,
            total: 1204,
            estimate: None,
            lower_bound: None,
            value: None,
            threshold: Some(0.05),
            unit: Unit::Share,
            samples: 20,
            breach_share: Percent(1.0),
            longest_clean: Span::ZERO,
            bucket: None,
            horizon: None,
            compared: None,
        },
    }
}

#[test]
fn a_status_is_a_table_and_what_needs_an_eye() {
    let strays = Strays {
        alerts: vec![Stray {
            alert: "ManyPods".into(),
            fingerprint: "f".into(),
            why: "no label `service`".into(),
            labels: [].into(),
            times: 3,
            last_seen: NOW,
        }],
        ..Strays::default()
    };
    let mut idle = service("cart/staging");
    idle.triggers[1].state = State::NoData;
    let all = [idle, burning()];
    insta::assert_snapshot!(status::text(&all, &strays, Paint::new(false)));
    insta::assert_snapshot!(incidents::text(&[incident()], Paint::new(false)));
}

/// After a restart that failed the link says one thing and the process another.
#[test]
fn what_serves_is_what_was_seen_and_never_what_is_merely_set() {
    let mut it = service("cart/staging");
    let mut with = |running| {
        it.running = running;
        it.serves()
    };
    assert_eq!(with(Some(Serving::Version("v1".into()))), "v1");
    assert_eq!(with(Some(Serving::Version("v2".into()))), "v2, set to v1");
    assert_eq!(with(Some(Serving::NotRunning("dead".into()))), "nothing, set to v1");
    assert_eq!(with(Some(Serving::Unknown("timeout".into()))), "unknown, set to v1");
    assert_eq!(with(None), "v1");
}

fn explained() -> Explain {
    let mut waiting = trigger();
    waiting.name = "service-outage".into();
    waiting.state = State::Ok;
    waiting.sees = "up".into();
    waiting.drawn = vec![];
    waiting.waits_for = vec!["a breach: it is up".into()];
    Explain {
        service: burning(),
        now: NOW,
        triggers: vec![trigger(), waiting],
        notes: [("errors".to_owned(), "2 rows have no label `service`".to_owned())].into(),
        verification: vec![],
        runs: None,
        ground: Ground::Incident { id: incident().id },
        response: "P1: monitor for 10m, then roll back if it still holds; within 15m".into(),
        guards: vec![
            Verdict::pass(Guard::Mode, "mode is auto"),
            Verdict::refuse(Guard::ThinEvidence, "3 of 20 requests since onset"),
            Verdict::not_applicable(Guard::OneWitness, "the evidence is not a probe's"),
        ],
        plan: Some(plan_view()),
        no_plan: None,
        next: Some((NOW + Span::minutes(6), "the monitoring period ends".into())),
    }
}

#[test]
fn an_explanation_goes_from_what_is_seen_to_what_would_run() {
    let view = explained();
    insta::assert_snapshot!(explain::text(&view, Paint::new(false)));
    let json = serde_json::to_string(&view).unwrap();
    assert_eq!(serde_json::from_str::<Explain>(&json).unwrap(), view);
}

/// No trigger looks at a database's data: it said "no data" while that was corrupt.
#[test]
fn a_status_shows_how_checks_of_the_data_stand() {
    let check = |says: &str, standing| CheckView {
        name: "orphans".into(),
        place: "shop at db:5432".into(),
        says: says.into(),
        is_violated: standing == Standing::Failed,
        standing,
        took: None,
    };
    let with = |check: CheckView| {
        let mut it = service("cart/staging");
        it.triggers.iter_mut().for_each(|trigger| trigger.state = State::NoData);
        it.database = Some(DatabaseView {
            place: "shop at db:5432".into(),
            table: None,
            version: None,
            is_known_good: false,
            rows: 0,
            newest: vec![],
            waiting: vec![],
            runs: None,
            trouble: None,
            unknown: None,
            checks: vec![check],
        });
        it.told = match it.database.as_ref().is_some_and(|it| it.checks[0].is_violated) {
            true => vec!["data-corruption (P0): the check orphans".into()],
            false => vec![],
        };
        status::text(&[it], &Strays::default(), Paint::new(false))
    };
    let told = with(check("3 rows returned", Standing::Failed));
    assert!(told.contains("1 firing, 2 no data, 1 check violated"), "{told}");
    let told = with(check("unknown: nobody answers there", Standing::Unknown));
    assert!(told.contains("2 no data, 1 check unknown"), "{told}");
    let line = "cart/staging: check orphans of shop at db:5432: unknown: nobody answers there";
    assert!(told.contains(line), "{told}");
    let told = with(check("passes", Standing::Passed));
    assert!(told.contains("2 no data, 1 check passes") && !told.contains("orphans"), "{told}");
}

#[test]
fn an_explanation_says_what_a_verification_waits_for() {
    let mut view = explained();
    view.verification = vec!["check orphans is unknown: it was not asked since".into()];
    let told = explain::text(&view, Paint::new(false));
    let section =
        "What the verification waits for\n  check orphans is unknown: it was not asked since\n";
    assert!(told.contains(section), "{told}");
}

#[test]
fn what_else_sets_a_service_is_shown_where_people_look() {
    let mut cart = service("cart/staging");
    cart.set_again = Some("v2 is set again".into());
    let told = status::text(&[cart], &Strays::default(), Paint::new(false));
    assert!(told.contains("cart/staging: v2 is set again"), "{told}");
    let owners = vec!["Argo CD's application web would put it back".into()];
    let answer = PlanAnswer {
        view: plan_view(),
        owners,
        images: vec![],
        no_approval: None,
        no_rollback: None,
    };
    let told = plan::text(&answer, "", Paint::new(false));
    assert!(told.contains("owner Argo CD's application web would put it back"), "{told}");
}

#[test]
fn a_plan_reads_as_steps() {
    insta::assert_snapshot!(plan::steps(&plan_view(), Paint::new(false)));
}

#[test]
fn the_arguments_do_not_contradict_each_other() {
    Cli::command().debug_assert();
}

#[test]
fn a_name_stays_one_segment_of_a_path() {
    assert_eq!(segment("v1.2.3"), "v1.2.3");
    assert_eq!(segment(".."), "%2E%2E");
    assert_eq!(segment("a/b?c=ä"), "a%2Fb%3Fc%3D%C3%A4");
}

fn reach(url: String, token: &str) -> (Reach, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, token).unwrap();
    let state_dir = dir.path().to_owned();
    (Reach { url, token_file: Some(file), state_dir, ca: None, json: false }, dir)
}

/// An interface over three services, for as long as the runtime of the test lives.
async fn serve() -> String {
    let (handle, mut asks) = Handle::channel(8);
    std::thread::spawn(move || {
        let services = ["checkout/production", "cart/production", "cart/staging"];
        let services = services.map(|id| examples::service(id, Mode::Observe));
        let fleet = Fleet::new(examples::policy(services), 1);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        while let Some(ask) = runtime.block_on(asks.recv()) {
            if let Ask::Look(look) = ask {
                look(&fleet, Now { wall: NOW, steady: NOW });
            }
        }
    });
    let options = Http { listen: ([127, 0, 0, 1], 0).into(), ..Http::default() };
    let tokens =
        Tokens::new([("view", Scope::View), ("alerts", Scope::Alerts)].map(|(name, scope)| {
            Token { name: name.into(), scopes: [scope].into(), secret: Secret::new(name) }
        }));
    let metrics = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let interface = Interface::new(handle, metrics.handle(), tokens, &options).unwrap();
    let server = Server::bind(&options, &interface).await.unwrap();
    let url = format!("http://{}", server.address());
    tokio::spawn(server.serve(std::future::pending()));
    url
}

async fn ask(url: &str, token: &str, path: &str) -> Result<String, Fault> {
    let (reach, _dir) = reach(url.to_owned(), token);
    let client = Client::new(&reach)?;
    let path = client.service(path).await?;
    client.text(&path).await
}

#[tokio::test]
async fn faults_say_what_to_do() {
    let url = serve().await;
    assert!(ask(&url, "view", "checkout").await.unwrap().contains("checkout/production"));
    assert!(ask(&url, "view", "cart/staging").await.is_ok());
    for (token, service, says) in [
        ("view", "chekcout", "did you mean checkout/production?"),
        ("view", "cart", "say which: cart/production, cart/staging"),
        ("wrong", "checkout", "does not know this token"),
        ("alerts", "checkout", "needs the scope `view`"),
        ("", "checkout", "is empty"),
    ] {
        let fault = ask(&url, token, service).await.unwrap_err();
        assert!(fault.to_string().contains(says), "{service} with {token:?}: {fault}");
        assert_eq!(fault.exit_code(), 1);
    }
}

#[tokio::test]
async fn a_daemon_that_does_not_run_is_called_so() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let (mut reach, dir) = reach(format!("http://{address}"), "x");
    let fault = Client::new(&reach).unwrap().text("/v1/services").await.unwrap_err();
    assert!(fault.to_string().contains("is it running?"), "{fault}");
    reach.token_file = Some(dir.path().join("nothing"));
    let fault = Client::new(&reach).unwrap_err();
    assert!(fault.to_string().contains("makes it at its first start"), "{fault}");
    reach.url = "localhost".into();
    let fault = Client::new(&reach).unwrap_err();
    assert_eq!(fault.exit_code(), 64, "{fault}");
}
