//! The services.

use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned;

use crate::{
    aws::Access,
    config::{
        Migrated, Platform, Poll, ReadSecret,
        check::{
            database,
            found::Found,
            kinds, migrations, platform, policy, rds, scripts, secrets,
            shared::Shared,
            signal::{self, Of, Signal},
            snapshots, trigger,
        },
        nearest::nearest,
        raw::{self, Over, Placed},
    },
    domain::{
        history::window_min,
        maintenance::MaintenanceRunbook,
        planning::Runbook,
        policy::{LooksAt, ServicePolicy, SignalKind, TriggerPolicy},
        service::{Mode, ServiceId},
    },
    sources::{exposition, scrape},
    units::Span,
};

/// What all services share.
pub(super) struct Common<'r> {
    pub(super) raw: &'r raw::Raw,
    pub(super) databases: &'r BTreeMap<String, database::Reached>,
    pub(super) accounts: &'r BTreeMap<String, Access>,
    pub(super) environment: &'r str,
    pub(super) scrape_limits: exposition::Limits,
}

/// One service, ready to use.
pub(super) struct Checked {
    pub(super) policy: ServicePolicy,
    pub(super) polls: Vec<Poll>,
    pub(super) targets: BTreeMap<String, scrape::Place>,
    pub(super) platform: Option<Platform>,
    pub(super) database: Option<Migrated>,
    pub(super) secrets: Vec<ReadSecret>,
}

/// All services.
pub(super) fn services(found: &mut Found<'_>, common: &Common<'_>) -> Vec<Checked> {
    let mut seen: BTreeMap<ServiceId, &Spanned<String>> = BTreeMap::new();
    let mut places: BTreeMap<String, (&str, ServiceId)> = BTreeMap::new();
    let mut made: BTreeMap<String, (&str, ServiceId)> = BTreeMap::new();
    let mut shared = Shared::default();
    let mut services = vec![];
    for (key, raw) in &common.raw.service {
        found.about(&[key.get_ref()]);
        let Some(id) = identity(found, common, key, raw) else { continue };
        if let Some(other) = seen.insert(id.clone(), key) {
            let what = format!("`{key}` and `{other}` are both {id}");
            let instead = "give one of them another environment, or another name";
            found.error(key.span(), what, instead);
        }
        let service = service(found, common, &mut shared, (key, raw), id.clone());
        let maintenance = service.policy.runbook.as_ref().and_then(|it| it.maintenance.as_ref());
        for what in maintenance.into_iter().flat_map(MaintenanceRunbook::resources) {
            let mine = (key.get_ref().as_str(), id.clone());
            if let Some((other_key, other)) = made.insert(what.clone(), mine) {
                found.about(&[key.get_ref(), other_key]);
                let what = format!("{other} switches the same on for its maintenance mode: {what}");
                let instead = "give each service a maintenance mode of its own, or nobody knows when it may go off";
                found.error(key.span(), what, instead);
            }
        }
        if let Some(platform) = &service.platform
            && let Some((other_key, other)) = places.insert(platform.place(), (key.get_ref(), id))
        {
            found.about(&[key.get_ref(), other_key]);
            let what = format!("{other} is rolled back in {} too", platform.place());
            found.error(key.span(), what, format!("give each service {}", platform.of_its_own()));
        }
        services.push(service);
    }
    found.about(&[]);
    if services.is_empty() && !found.was_cut(&["service"]) {
        let what = "no service is watched";
        found.warn(0..0, what, "add a table [service.NAME]");
    }
    services
}

fn identity(
    found: &mut Found<'_>,
    common: &Common<'_>,
    key: &Spanned<String>,
    raw: &raw::Service,
) -> Option<ServiceId> {
    let name = raw.name.as_ref().unwrap_or(key);
    let environment = raw.environment.as_ref().map_or(common.environment, |e| e.get_ref());
    ServiceId::new(name.get_ref(), environment)
        .map_err(|fault| {
            let at = match &raw.environment {
                Some(environment) if ServiceId::new(name.get_ref(), "x").is_ok() => {
                    environment.span()
                }
                Some(_) | None => name.span(),
            };
            let (what, instead) = fault.split_once("; ").unwrap_or((&fault, ""));
            found.error(at, what, instead);
        })
        .ok()
}

fn service(
    found: &mut Found<'_>,
    common: &Common<'_>,
    shared: &mut Shared,
    (key, raw): (&Spanned<String>, &raw::Service),
    id: ServiceId,
) -> Checked {
    let all = common.raw;
    let people = raw.people.over(&all.people);
    let baseline = raw.baseline.over(&all.baseline);
    let verification = policy::verification(found, &raw.verification.over(&all.verification));
    let severities = raw.severity.over(&all.severity);
    let matrix = policy::matrix(found, &severities, verification.hold, &key.span());
    let targets = signal::targets(found, common, &id, key, raw.scrape.as_ref());
    let quantile_window = found.positive(&baseline.quantile_window, Span::minutes(1));
    let of = Of { id: &id, key, raw, targets: &targets, quantile_window };
    let signals: Vec<Signal> = raw
        .signal
        .iter()
        .filter_map(|(name, signal)| signal::signal(found, common, &of, name, signal))
        .collect();
    let triggers = trigger::triggers(found, &all.trigger, &raw.trigger, &signals);
    check_signals(found, key, raw, &signals, &triggers);
    let mode = raw.mode.as_ref().map_or(all.mode.unwrap_or_default(), |mode| *mode.get_ref());
    let rolled_back = rollback(found, common, (key, raw, &id), mode, verification.hold);
    let (runbook, platform) = rolled_back.unzip();
    let migrated = raw.database.as_ref();
    let migrated = migrated.and_then(|said| database::migrated(found, all, common.databases, said));
    let (mut database, looked_at) = migrated.unzip();
    let checks = database.iter().flat_map(|it| &it.checks);
    let checks = checks.map(|(name, check)| (name.clone(), check.policy())).collect();
    let runbook =
        runbook.map(|runbook| with_its_database(found, common, raw, &mut database, runbook));
    let (secrets, runbook) = secrets::secrets(found, (all, common.accounts), &raw.secret, runbook);
    let guard = raw.guard.over(&all.guard);
    let guards = policy::guards(found, &guard, &matrix);
    let history_slot = found.positive(&baseline.slot, Span::minutes(1));
    let windows = (guards.burning_window, history_slot);
    check_burning(found, &guard.burning_window, windows, (&signals, &triggers));
    let policy = ServicePolicy {
        mode,
        signals: shared
            .signals(signals.iter().map(|s| (s.name.clone(), s.policy.clone())).collect()),
        guards,
        matrix,
        runbook,
        database: looked_at,
        checks,
        verification,
        people: policy::people(found, &people),
        bake: raw.bake.or(all.bake).unwrap_or(Span::minutes(30)),
        watch_after: raw.watch_after.or(all.watch_after).unwrap_or(Span::hours(1)),
        acts_on_evidence: evidence(found, raw, &triggers),
        triggers: shared.triggers(triggers),
        blind_watched: people.blind_watched.unwrap_or(Span::minutes(5)),
        blind_idle: people.blind_idle.unwrap_or(Span::minutes(30)),
        history_slot,
        baseline: policy::baseline(found, &baseline),
        id,
    };
    let polls = signals.into_iter().map(|signal| signal.poll).collect();
    Checked { policy, polls, targets, platform, database, secrets }
}

/// How its schema goes back with it, and how its whole database does.
fn with_its_database(
    found: &mut Found<'_>,
    common: &Common<'_>,
    raw: &raw::Service,
    looked_at: &mut Option<Migrated>,
    runbook: Runbook,
) -> Runbook {
    let rollback = raw.rollback.as_ref().map(Spanned::get_ref);
    let looked = (raw.database.is_some(), looked_at.as_ref());
    let undo = rollback.and_then(|it| it.database.as_ref());
    let restore = rollback.and_then(|it| it.snapshot.as_ref());
    let by_rds = rollback.and_then(|it| it.rds.as_ref());
    if let Some((_, said)) = restore.zip(by_rds) {
        let what = "its database goes back from files that pg_dump wrote already";
        let instead = "leave out [service.NAME.rollback.rds], or [service.NAME.rollback.snapshot]";
        found.error(said.span(), what, instead);
    }
    let (raw, databases) = (common.raw, common.databases);
    let among =
        snapshots::Among { raw, databases, looked_at: looked_at.as_ref(), runbook: &runbook };
    let script = undo.and_then(|said| scripts::script(found, said.get_ref(), &among));
    let (script, reversed) = script.unzip();
    let undo = undo.and_then(|said| migrations::back(found, said, looked, (script, &runbook)));
    let restore = restore.and_then(|said| snapshots::restore(found, said, &among));
    let (restore, kept) = restore.unzip();
    let by_rds = by_rds.and_then(|said| rds::restore(found, said, common.accounts, &among));
    let (by_rds, kept_by_rds) = by_rds.unzip();
    if let Some(looked_at) = looked_at {
        looked_at.snapshots = kept;
        looked_at.is_read_in(kept_by_rds.as_ref().map(|it| &it.place.history));
        looked_at.rds = kept_by_rds;
        looked_at.reversed = reversed;
    }
    Runbook { database: undo, restore, rds: by_rds, ..runbook }
}

fn rollback(
    found: &mut Found<'_>,
    common: &Common<'_>,
    (key, raw, id): (&Spanned<String>, &raw::Service, &ServiceId),
    mode: Mode,
    hold: Span,
) -> Option<(Runbook, Platform)> {
    let watch_only = raw.watch_only.as_ref().filter(|said| *said.get_ref());
    let has_target = raw.rollback.as_ref().is_some_and(|r| r.get_ref().application.is_some());
    if let Some(watch_only) = watch_only.filter(|_| has_target || mode != Mode::Observe) {
        let what = format!("`{key}` is only watched, and is to be rolled back");
        let instead = "leave out watch_only, or say mode = \"observe\" and no [rollback]";
        found.error(watch_only.span(), what, instead);
    }
    let cut = found.was_cut(&["service", key.get_ref(), "rollback"]);
    if !has_target && watch_only.is_none() && !cut {
        let at = raw.mode.as_ref().map_or_else(|| key.span(), Spanned::span);
        let what = format!("`{key}` has nothing that can be rolled back");
        let instead = format!("add [service.{key}.rollback.application.release]");
        match mode {
            Mode::Observe => {
                let instead = format!("{instead}, or watch_only = true");
                found.warn(at, format!("{what}: people will be told so"), instead);
            }
            Mode::Approve | Mode::Auto => {
                found.error(at, format!("{what}, and its mode is {mode}"), instead);
            }
        }
    }
    platform::runbook(found, common, raw.rollback.as_ref()?.get_ref(), id, hold)
}

/// Services without signals, and signals that nothing looks at.
fn check_signals(
    found: &mut Found<'_>,
    key: &Spanned<String>,
    raw: &raw::Service,
    signals: &[Signal],
    triggers: &BTreeMap<String, TriggerPolicy>,
) {
    if raw.signal.is_empty() && !found.was_cut(&["service", key.get_ref()]) {
        let what = format!(
            "nothing is read of `{key}`: only alerts and people can tell, no revision is ever known good, and no rollback verified"
        );
        found.warn(key.span(), what, format!("add [service.{key}.signal.error_rate.prometheus]"));
    }
    for signal in signals {
        let kind = signal.policy.kind;
        // The verification looks at these.
        let verifies = matches!(kind, SignalKind::Cpu | SignalKind::Memory | SignalKind::Logs);
        let looked_at = triggers.values().any(|t| kinds::signal_of(t.looks_at) == Some(kind));
        if !looked_at && !verifies && !found.was_cut(&["trigger"]) {
            let what = format!("no trigger looks at `{}`", signal.name);
            found.warn(signal.at.clone(), what, "turn one on, or leave the signal out");
        }
    }
}

/// Of the time before a change something must be known, or every rollback by itself is refused: of each signal that can be a reason.
fn check_burning(
    found: &mut Found<'_>,
    said: &Placed<Span>,
    (window, slot): (Span, Span),
    (signals, triggers): (&[Signal], &BTreeMap<String, TriggerPolicy>),
) {
    let may_act = |signal: &&Signal| {
        let kind = Some(signal.policy.kind);
        triggers.values().any(|t| t.may_act && kinds::signal_of(t.looks_at) == kind)
    };
    let slowest = signals.iter().filter(may_act).max_by_key(|signal| signal.poll.every);
    let Some(Signal { name, at, poll, .. }) = slowest else { return };
    let least = window_min(slot, poll.every);
    if window >= least {
        return;
    }
    let what = format!(
        "of the {window} before a change nothing may be known, and then no rollback happens by itself: `{name}` is read every {}, and kept in slots of {slot}",
        poll.every
    );
    match said {
        Some(said) => found.error(said.span(), what, format!("write \"{least}\" or longer")),
        None => {
            let instead =
                format!("read it more often, or write burning_window = \"{least}\" in [guard]");
            found.warn(at.clone(), what, instead);
        }
    }
}

fn evidence(
    found: &mut Found<'_>,
    raw: &raw::Service,
    triggers: &BTreeMap<String, TriggerPolicy>,
) -> BTreeSet<String> {
    let events = || {
        triggers.iter().filter(|(_, t)| t.looks_at == LooksAt::Event).map(|(name, _)| name.as_str())
    };
    for name in &raw.acts_on_evidence {
        if events().any(|event| event == name.get_ref()) {
            continue;
        }
        let what = format!("`{name}` is not a kind of evidence");
        let instead = match nearest(name.get_ref(), events()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("use one of {}", events().collect::<Vec<_>>().join(", ")),
        };
        found.error(name.span(), what, instead);
    }
    raw.acts_on_evidence.iter().map(|name| name.get_ref().clone()).collect()
}
