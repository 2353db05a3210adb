//! One service of each mode, as the tests beside the modules need them.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    change::{Component, Revision},
    frontend::{Marker, SiteAt},
    inventory::{Available, Inventory, Serving},
    plan::{Restart, Running},
    planning::Runbook,
    policy::{
        FleetPolicy, GuardPolicy, LooksAt, Matrix, PeoplePolicy, Policy, ServicePolicy, SignalKind,
        SignalPolicy, TriggerPolicy, VerificationPolicy,
    },
    runbook::{ApplicationRunbook, FrontendRunbook, ReleaseRunbook},
    schema::{Migration, MigrationState, Schema},
    service::{Mode, ServiceId},
    severity::Severity,
    trigger::Rule,
};
use crate::units::{Percent, Span, UnixMs};

/// A service with an error rate, evidence of corruption, and a release to roll back.
pub(crate) fn service(id: &str, mode: Mode) -> ServicePolicy {
    let signal = SignalPolicy {
        kind: SignalKind::ErrorRate,
        source: "scrape http://127.0.0.1:9000/metrics".into(),
        poll_every: Span::seconds(15),
        lag: Span::ZERO,
        quantile_window: Span::minutes(1),
    };
    let errors = Rule::ratio(Severity::P1, Percent(0.05), Span::minutes(5));
    let trigger =
        |looks_at, rule| TriggerPolicy { looks_at, rule: std::sync::Arc::new(rule), may_act: true };
    ServicePolicy {
        id: id.parse().unwrap(),
        mode,
        matrix: Matrix::default(),
        signals: BTreeMap::from([("error_rate".into(), signal)]).into(),
        triggers: BTreeMap::from([
            ("critical-errors".into(), trigger(LooksAt::ErrorRate, errors)),
            ("data-corruption".into(), trigger(LooksAt::Event, Rule::event(Severity::P0, true))),
        ])
        .into(),
        guards: GuardPolicy::default(),
        runbook: Some(runbook()),
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
        baseline: super::baseline::Options::default(),
    }
}

fn runbook() -> Runbook {
    Runbook {
        application: ApplicationRunbook::Release(ReleaseRunbook {
            root: "/srv/shop".into(),
            restart: Restart::Unit("shop.service".into()),
            running: Running::Unit("shop.service".into()),
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

/// A site in a bucket, behind a distribution.
pub(crate) fn site() -> FrontendRunbook {
    FrontendRunbook {
        at: SiteAt {
            account: "main".into(),
            bucket: "shop-frontend".into(),
            prefix: String::new(),
        },
        url: "https://shop.example/".into(),
        marker: Marker { name: "version.json".into(), pointer: Some("/version".into()) },
        distribution: Some("E2EXAMPLE".into()),
        also_invalidate: vec![],
        paths_max: 3_000,
        at_once: 16,
        pages_max: 10,
        copy_timeout: Span::minutes(15),
        invalidate_timeout: Span::minutes(15),
        verify_timeout: Span::minutes(5),
        attempts: 2,
    }
}

/// A policy over these services.
pub(crate) fn policy(services: impl IntoIterator<Item = ServicePolicy>) -> Policy {
    Policy {
        services: services.into_iter().map(|s| (s.id.clone(), s.into())).collect(),
        fleet: FleetPolicy::default(),
        config_hash: "test".into(),
        freezes: vec![],
    }
}

/// A platform on which `serving` serves and `others` lie ready.
pub(crate) fn inventory(serving: &str, others: &[&str], switched_at: UnixMs) -> Inventory {
    let available = |version: &&str| Available::named(version, None);
    Inventory {
        component: Component::Application,
        linked: Some(Revision::named(serving)),
        running: Serving::Version(serving.into()),
        switched_at: Some(switched_at),
        available: [serving].iter().chain(others).map(available).collect(),
        faults: vec![],
        told: None,
        deployed: None,
        read: None,
    }
}

/// A service's identity.
pub(crate) fn id(text: &str) -> ServiceId {
    text.parse().unwrap()
}

/// A migration that was applied as `rank`.
pub(crate) fn migration(rank: i64, version: Option<&str>) -> Migration {
    Migration {
        rank,
        version: version.map(str::to_owned),
        description: "x".into(),
        kind: "SQL".into(),
        script: version.map_or("R__view.sql".into(), |it| format!("V{it}__x.sql")),
        checksum: Some(7),
        installed_by: "shop".into(),
        installed_on: "2026-03-02 12:00:00".into(),
        installed_at: None,
        execution_ms: 12,
        state: MigrationState::Success,
    }
}

/// A history of one migration, with which nothing is wrong.
pub(crate) fn schema(version: &str) -> Schema {
    Schema {
        table: "public.flyway_schema_history".into(),
        current: Some(version.into()),
        digest: format!("sha256:{version}"),
        rows: 1,
        newest: vec![migration(1, Some(version))],
        waiting: vec![],
        run: None,
        transactional: true,
    }
}
