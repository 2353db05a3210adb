//! What the operator of a simulated fleet decided: the runbook's rules with shorter durations, so that an incident lives for
//! minutes and a second of computing simulates thousands.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rollbackd::{
    domain::{
        baseline,
        frontend::{Marker, SiteAt},
        maintenance::{MaintenanceMode, MaintenanceRunbook, ObjectAt},
        plan::{CommandLine, Restart, Running, SchemaAt},
        planning::{Runbook, ScriptStep, Smoke},
        policy::{
            FleetPolicy, GuardPolicy, LooksAt, Matrix, PeoplePolicy, Policy, Response, Row,
            ServicePolicy, SignalKind, SignalPolicy, TriggerPolicy, VerificationPolicy,
        },
        rds::{Form, RdsAt},
        runbook::{
            ApplicationRunbook, DatabaseRunbook, FrontendRunbook, RdsRunbook, ReleaseRunbook,
            RestoreRunbook, ScriptRunbook, SecretRunbook, StopWrites,
        },
        schema::{DatabasePolicy, undo::UndoBy},
        secret::SecretAt,
        service::{Mode, ServiceId},
        severity::Severity,
        trigger::{Escalation, Rule},
    },
    units::{Percent, Span},
};

use super::{database::MARKER, secret};

/// The program that reads a whole snapshot.
pub(crate) const READ: &str = "read";
/// For how long a P1 is monitored after a reload that says so.
pub(crate) const LONGER_MONITOR: Span = Span::minutes(4);
/// As coarse as the rules bear: each poll costs as much as any event.
pub(crate) const POLL_MS: i64 = 30_000;
pub(crate) const BAKE: Span = Span::minutes(5);
pub(crate) const COOLDOWN: Span = Span::minutes(6);
pub(crate) const MAX_CHANGE_AGE: Span = Span::minutes(20);
/// After this people are to know that maintenance mode is on.
pub(crate) const MAINTAINED_AT_MOST: Span = Span::minutes(6);

/// What a fleet looks like: how many services, which mode each has, and whether two share what they deploy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Layout {
    /// One service in `auto`, with scripts around the switch.
    Alone,
    /// Two in `auto`.
    Pair,
    /// One in `auto`, one in `approve`, one in `observe`.
    Modes,
    /// Two services on one release directory: one resource.
    Twins,
    /// Two that are put into maintenance mode: one in `auto`, one in `approve`.
    Maintained,
    /// Two whose migrations can be taken back.
    Migrated,
    /// Two whose schema only a reviewed script takes back, for a person who has it tried.
    Reversed,
    /// Two whose database can be restored.
    Restored,
    /// Two whose database RDS keeps.
    InRds,
    /// Two that read a secret of AWS.
    Secrets,
    /// Two sites behind edges that keep what they had.
    Sites,
    /// Six: enough for a storm.
    Street,
}

impl Layout {
    pub(crate) fn services(self) -> usize {
        match self {
            Self::Alone => 1,
            Self::Pair
            | Self::Twins
            | Self::Maintained
            | Self::Migrated
            | Self::Reversed
            | Self::Restored
            | Self::InRds
            | Self::Secrets
            | Self::Sites => 2,
            Self::Modes => 3,
            Self::Street => 6,
        }
    }

    fn mode(self, index: usize) -> Mode {
        match (self, index) {
            (Self::Modes | Self::Maintained | Self::Secrets | Self::Sites, 1) => Mode::Approve,
            (Self::Migrated | Self::Reversed | Self::Restored | Self::InRds, 1) => Mode::Approve,
            (Self::Modes, 2) => Mode::Observe,
            _ => Mode::Auto,
        }
    }

    /// Whether its services have a database.
    pub(crate) fn has_databases(self) -> bool {
        matches!(self, Self::Migrated | Self::Reversed | Self::Restored | Self::InRds)
    }

    /// Which release directory a service is deployed from.
    pub(crate) fn root(self, index: usize) -> String {
        match self {
            Self::Twins => "/srv/twins".into(),
            Self::Alone
            | Self::Pair
            | Self::Modes
            | Self::Maintained
            | Self::Migrated
            | Self::Reversed
            | Self::Restored
            | Self::InRds
            | Self::Secrets
            | Self::Sites
            | Self::Street => {
                format!("/srv/{}", name(index))
            }
        }
    }
}

fn name(index: usize) -> String {
    ["shop", "cart", "mail", "pay", "find", "look"][index].to_owned()
}

pub(crate) fn id(index: usize) -> ServiceId {
    ServiceId::new(&name(index), "sim").unwrap()
}

/// What is decided at first.
pub(crate) fn policy(layout: Layout) -> Policy {
    let services = (0..layout.services()).map(|index| (id(index), service(layout, index).into()));
    Policy {
        services: services.collect(),
        fleet: FleetPolicy::default(),
        config_hash: format!("{layout:?}"),
        freezes: vec![],
    }
}

fn service(layout: Layout, index: usize) -> ServicePolicy {
    let mut runbook = runbook(&layout.root(index), layout == Layout::Alone);
    if layout == Layout::Sites {
        runbook.application = ApplicationRunbook::Frontend(site(index));
    }
    if layout == Layout::Secrets {
        runbook.secrets = vec![secret(index)];
    }
    runbook.maintenance = (layout == Layout::Maintained).then(|| maintenance(index));
    let schema = SchemaAt { database: name(index), history_table: "history".into() };
    runbook.database = match layout {
        Layout::Migrated => Some(undo(schema.clone(), index)),
        Layout::Reversed => Some(reversed(schema.clone())),
        _ => None,
    };
    runbook.rds = (layout == Layout::InRds).then(|| in_rds(schema.clone(), index));
    runbook.restore = (layout == Layout::Restored).then(|| restore(schema, index));
    let signals = [("errors", SignalKind::ErrorRate), ("health", SignalKind::Health)];
    ServicePolicy {
        id: id(index),
        mode: layout.mode(index),
        matrix: matrix(),
        signals: BTreeMap::from(signals.map(|(name, kind)| (name.to_owned(), signal(kind)))).into(),
        triggers: triggers().into(),
        guards: guards(),
        runbook: Some(runbook),
        database: layout.has_databases().then(|| DatabasePolicy {
            place: format!("{} at db:5432", name(index)),
            stuck_after: Span::minutes(30),
            every: Span(POLL_MS),
            compatible_marker: Some(MARKER.into()),
        }),
        checks: BTreeMap::new(),
        verification: VerificationPolicy {
            hold: Span::minutes(2),
            ..VerificationPolicy::default()
        },
        people: PeoplePolicy {
            repeat_page_every: Span::minutes(3),
            root_cause_within: Span::hours(24),
            ..PeoplePolicy::default()
        },
        bake: BAKE,
        watch_after: Span::minutes(3),
        acts_on_evidence: BTreeSet::new(),
        blind_watched: Span::minutes(3),
        blind_idle: Span::minutes(6),
        history_slot: Span::seconds(30),
        baseline: baseline::Options::default(),
    }
}

fn undo(schema: SchemaAt, index: usize) -> DatabaseRunbook {
    DatabaseRunbook {
        schema,
        undo: Some(UndoBy::Run(line("undo"))),
        script: None,
        undo_timeout: Span::minutes(1),
        stop_writes: StopWrites::No,
        automatic: index == 0,
    }
}

fn reversed(schema: SchemaAt) -> DatabaseRunbook {
    DatabaseRunbook {
        undo: None,
        script: Some(ScriptRunbook {
            file: "/srv/{release}/{from}-to-{to}.sql".into(),
            lock_timeout: Span::seconds(2),
            verify: BTreeMap::new(),
        }),
        ..undo(schema, 1)
    }
}

fn restore(schema: SchemaAt, index: usize) -> RestoreRunbook {
    RestoreRunbook {
        database: "shop".into(),
        schema,
        restore: line("pg_restore"),
        read: line(READ),
        stop_writes: StopWrites::Command { stop: line("stop"), start: Some(line("start")) },
        automatic: index == 0,
    }
}

fn in_rds(schema: SchemaAt, index: usize) -> RdsRunbook {
    let account = "main".to_owned();
    RdsRunbook {
        schema,
        at: RdsAt { account: account.clone(), form: Form::Instance, name: "shop".into() },
        secret: SecretAt { account, secret: format!("{}/db", name(index)) },
        host_key: "host".into(),
        port_key: "port".into(),
        kind: None,
        age_max: None,
        fallbacks: 1,
        look_every: Span::seconds(30),
        restore_timeout: Span::minutes(1),
        verify: BTreeMap::new(),
        stop_writes: StopWrites::No,
        automatic: index == 0,
    }
}

fn secret(index: usize) -> SecretRunbook {
    SecretRunbook {
        name: secret::NAME.into(),
        at: SecretAt { account: "main".into(), secret: format!("{}/db", name(index)) },
        timeout: Span::seconds(30),
        attempts: 2,
    }
}

fn maintenance(index: usize) -> MaintenanceRunbook {
    let object = ObjectAt {
        api_version: "networking.k8s.io/v1".into(),
        kind: "Ingress".into(),
        plural: "ingresses".into(),
        namespace: name(index),
        name: "maintenance".into(),
    };
    MaintenanceRunbook {
        mode: MaintenanceMode {
            service: id(index),
            cluster: "main".into(),
            manifest: "sha256:0".into(),
            objects: vec![object],
            commands: None,
        },
        timeout: Span::seconds(20),
        attempts: 2,
        required: index % 2 == 1,
        page_after: MAINTAINED_AT_MOST,
    }
}

fn signal(kind: SignalKind) -> SignalPolicy {
    let source = if kind == SignalKind::Health { "probe" } else { "prometheus main" };
    SignalPolicy {
        kind,
        source: source.into(),
        poll_every: Span(POLL_MS),
        lag: Span::ZERO,
        quantile_window: Span::minutes(1),
    }
}

fn matrix() -> Matrix {
    let row = |response, monitor, act_within: Option<i64>, verify_within| Row {
        response,
        monitor: Span::minutes(monitor),
        act_within: act_within.map(Span::minutes),
        verify_within: Span::minutes(verify_within),
    };
    Matrix {
        p0: row(Response::RollBack, 0, Some(3), 9),
        p1: row(Response::MonitorThenRollBack, 2, Some(5), 11),
        p2: row(Response::Ask, 0, Some(6), 12),
        p3: row(Response::Tell, 0, None, 12),
    }
}

fn guards() -> GuardPolicy {
    GuardPolicy {
        max_change_age: Some(MAX_CHANGE_AGE),
        burning_window: Span::minutes(5),
        noisy_window: Span::minutes(40),
        cooldown: COOLDOWN,
        ..GuardPolicy::default()
    }
}

fn triggers() -> BTreeMap<String, TriggerPolicy> {
    let minutes = Span::minutes;
    let escalation = Escalation { lasts: minutes(1), ..Escalation::default() };
    let critical = Rule::ratio(Severity::P1, Percent(0.05), minutes(2)).with_escalation(escalation);
    [
        ("critical-errors", LooksAt::ErrorRate, critical, true),
        (
            "elevated-errors",
            LooksAt::ErrorRate,
            Rule::ratio(Severity::P2, Percent(0.01), minutes(2)),
            true,
        ),
        (
            "service-outage",
            LooksAt::Availability,
            Rule::boolean(Severity::P0, minutes(1), Span::seconds(15)),
            true,
        ),
        (
            "failed-health-checks",
            LooksAt::Health,
            Rule::boolean(Severity::P1, Span::seconds(90), Span::seconds(30)),
            true,
        ),
        (
            "traffic-collapse",
            LooksAt::Traffic,
            Rule::traffic(Severity::P1, Percent(0.1), minutes(2)),
            false,
        ),
        ("data-corruption", LooksAt::Event, Rule::event(Severity::P0, true), true),
        ("migration-failure", LooksAt::Event, Rule::event(Severity::P1, false), true),
    ]
    .map(|(name, looks_at, rule, may_act)| {
        (name.to_owned(), TriggerPolicy { looks_at, rule: Arc::new(rule), may_act })
    })
    .into()
}

/// A program with its arguments.
pub(crate) fn line(program: &str) -> CommandLine {
    CommandLine {
        argv: vec![program.to_owned()],
        env: BTreeMap::new(),
        dir: None,
        timeout: Span::seconds(30),
    }
}

fn site(index: usize) -> FrontendRunbook {
    FrontendRunbook {
        at: SiteAt { account: "main".into(), bucket: name(index), prefix: String::new() },
        url: format!("https://{}.example/", name(index)),
        marker: Marker { name: "version.json".into(), pointer: None },
        distribution: Some("E2".into()),
        also_invalidate: vec![],
        paths_max: 3_000,
        at_once: 16,
        pages_max: 10,
        copy_timeout: Span::seconds(30),
        invalidate_timeout: Span::minutes(1),
        verify_timeout: Span::seconds(30),
        attempts: 2,
    }
}

/// A release directory; with a script of each kind around its switch, and a smoke test.
pub(crate) fn runbook(root: &str, scripts: bool) -> Runbook {
    let script = |name: &str, observed: bool, idempotent: bool| ScriptStep {
        title: name.to_owned(),
        run: line(name),
        observe: observed.then(|| line(&format!("{name}?"))),
        idempotent,
        attempts: 2,
    };
    let mut runbook = Runbook {
        application: ApplicationRunbook::Release(ReleaseRunbook {
            root: root.to_owned(),
            restart: Restart::Unit("unit".into()),
            running: Running::Unit("unit".into()),
            switch_timeout: Span::seconds(30),
            restart_timeout: Span::minutes(1),
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
        verify_hold: Span::minutes(2),
    };
    if scripts {
        runbook.before = vec![script("drain", true, false), script("announce", false, false)];
        runbook.after = vec![script("undrain", true, false), script("purge", false, true)];
        let smoke = Smoke { title: "smoke".into(), run: line("smoke"), attempts: 2 };
        runbook.checks = vec![smoke];
    }
    runbook
}
