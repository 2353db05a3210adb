//! What the operator of the town decided: the runbook's defaults, and what a story changes of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rollbackd::{
    domain::{
        baseline,
        plan::{Restart, Running},
        planning::Runbook,
        policy::{
            FleetPolicy, GuardPolicy, LooksAt, Matrix, PeoplePolicy, Policy, ServicePolicy,
            SignalKind, SignalPolicy, TriggerPolicy, VerificationPolicy,
        },
        runbook::{ApplicationRunbook, ReleaseRunbook},
        service::{Mode, ServiceId},
        trigger::{
            Kind, Limit,
            defaults::{self, Leads},
        },
    },
    units::{Multiple, Span},
};

pub(super) const POLL: Span = Span::seconds(15);

/// One service, `shop`, on which the daemon may act by itself.
pub(super) fn shop() -> Policy {
    fleet(&["shop"])
}

/// The same with something decided otherwise.
pub(super) fn shop_with(change: impl FnOnce(&mut ServicePolicy)) -> Policy {
    let mut policy = shop();
    if let Some(service) = services_mut(&mut policy).next() {
        change(service);
    }
    policy
}

/// What was decided for each service, to decide otherwise.
pub(super) fn services_mut(policy: &mut Policy) -> impl Iterator<Item = &mut ServicePolicy> {
    policy.services.values_mut().map(Arc::make_mut)
}

/// Several services.
pub(super) fn fleet(names: &[&str]) -> Policy {
    let services = names.iter().map(|name| {
        let id = id(name);
        (id.clone(), service(id).into())
    });
    Policy {
        services: services.collect(),
        fleet: FleetPolicy::default(),
        config_hash: "town".into(),
        freezes: vec![],
    }
}

pub(super) fn id(name: &str) -> ServiceId {
    ServiceId::new(name, "production").unwrap()
}

fn service(id: ServiceId) -> ServicePolicy {
    let name = id.name().to_owned();
    ServicePolicy {
        mode: Mode::Auto,
        matrix: Matrix::default(),
        signals: BTreeMap::from(["errors", "health", "latency"].map(|s| (s.to_owned(), signal(s))))
            .into(),
        triggers: triggers().into(),
        guards: GuardPolicy::default(),
        runbook: Some(runbook(&name)),
        database: None,
        checks: BTreeMap::new(),
        verification: VerificationPolicy::default(),
        people: PeoplePolicy::default(),
        bake: Span::minutes(30),
        watch_after: Span::hours(1),
        acts_on_evidence: BTreeSet::new(),
        blind_watched: Span::minutes(5),
        blind_idle: Span::minutes(30),
        history_slot: Span::minutes(1),
        baseline: baseline::Options::default(),
        id,
    }
}

fn signal(name: &str) -> SignalPolicy {
    let (kind, source) = match name {
        "errors" => (SignalKind::ErrorRate, "scrape"),
        "health" => (SignalKind::Health, "probe"),
        _ => (SignalKind::Latency, "scrape"),
    };
    SignalPolicy {
        kind,
        source: source.into(),
        poll_every: POLL,
        lag: Span::ZERO,
        quantile_window: Span::minutes(1),
    }
}

/// The runbook's table. Its alternatives for one name get a name each.
fn triggers() -> BTreeMap<String, TriggerPolicy> {
    let mut triggers = BTreeMap::new();
    for row in defaults::all() {
        let looks_at = match (row.signal, &row.rule.kind) {
            (defaults::SignalKind::Errors, Kind::Traffic(_)) => LooksAt::Traffic,
            (defaults::SignalKind::Errors, _) => LooksAt::ErrorRate,
            (defaults::SignalKind::SlowShare, _) => LooksAt::SlowShare(Multiple(3.0)),
            (defaults::SignalKind::Latency, _) if row.unless.is_some() => continue,
            (defaults::SignalKind::Latency, _) => LooksAt::LatencyP95,
            (defaults::SignalKind::Availability, _) => LooksAt::Availability,
            (defaults::SignalKind::Health, _) => LooksAt::Health,
            (
                defaults::SignalKind::Migration
                | defaults::SignalKind::Integrity
                | defaults::SignalKind::Security,
                _,
            ) => LooksAt::Event,
        };
        let relative =
            matches!(&row.rule.kind, Kind::Gauge(g) if matches!(g.above, Limit::Baseline(_)));
        let name = if relative { format!("{}-than-before", row.name) } else { row.name.to_owned() };
        let may_act = row.leads != Leads::People;
        let policy = TriggerPolicy { looks_at, rule: Arc::clone(&row.rule), may_act };
        triggers.insert(name, policy);
    }
    triggers
}

pub(crate) fn runbook(name: &str) -> Runbook {
    Runbook {
        application: ApplicationRunbook::Release(ReleaseRunbook {
            root: format!("/srv/{name}"),
            restart: Restart::Unit(format!("{name}.service")),
            running: Running::Unit(format!("{name}.service")),
            switch_timeout: Span::seconds(30),
            restart_timeout: Span::minutes(2),
            attempts: 2,
        }),
        maintenance: None,
        database: None,
        restore: None,
        rds: None,
        secrets: vec![],
        before: vec![],
        after: vec![],
        checks: vec![],
        jobs: vec![],
        verify_hold: Span::minutes(15),
    }
}
