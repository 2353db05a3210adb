//! How a service is rolled back.

use toml::Spanned;

use crate::{
    config::{
        Platform, ReleasePlatform,
        check::{found::Found, frontend, jobs, kubernetes, maintenance, service::Common},
        raw,
    },
    domain::{
        plan::{CommandLine, EnvValue, Restart, Running},
        planning::{Runbook, ScriptStep, Smoke},
        runbook::{ApplicationRunbook, ReleaseRunbook},
        service::ServiceId,
    },
    units::Span,
};

const COMMAND: Span = Span::minutes(1);

/// How a service is rolled back, and where that can be seen. `hold` is how long its verification takes.
pub(super) fn runbook(
    found: &mut Found<'_>,
    common: &Common<'_>,
    raw: &raw::Rollback,
    id: &ServiceId,
    hold: Span,
) -> Option<(Runbook, Platform)> {
    let before = scripts(found, &raw.before);
    let after = scripts(found, &raw.after);
    let checks = checks(found, &raw.check);
    let (application, mut platform) = match raw.application.as_ref()?.get_ref() {
        raw::Application::Release(release) => {
            let platform = platform(found, release)?;
            (ApplicationRunbook::Release(platform.runbook.clone()), Platform::Release(platform))
        }
        raw::Application::Kubernetes(deployment) => {
            let platform = kubernetes::platform(found, common.raw, deployment)?;
            let application = ApplicationRunbook::Deployment(platform.runbook.clone());
            (application, Platform::Kubernetes(platform))
        }
        raw::Application::Frontend(site) => {
            let platform = frontend::platform(found, common.raw, common.accounts, site)?;
            let application = ApplicationRunbook::Frontend(platform.site.runbook.clone());
            (application, Platform::Frontend(Box::new(platform)))
        }
    };
    let jobs = jobs::jobs(found, &raw.job, &application);
    let maintenance = raw.maintenance.as_ref();
    let maintenance = maintenance.and_then(|raw| maintenance::mode(found, raw, id, &mut platform));
    let runbook = Runbook {
        application,
        maintenance,
        database: None,
        restore: None,
        rds: None,
        secrets: vec![],
        before,
        after,
        checks,
        jobs,
        verify_hold: hold,
    };
    Some((runbook, platform))
}

fn platform(found: &mut Found<'_>, raw: &raw::Release) -> Option<ReleasePlatform> {
    let root = absolute(found, &raw.root);
    let restart = match &raw.restart {
        raw::Restart::Unit(unit) => unit_name(found, unit).map(Restart::Unit),
        raw::Restart::Command(command) => of_command(found, command).map(Restart::Command),
    };
    let running = match &raw.running {
        raw::Running::Http { url, pointer } => http(found, url, pointer.as_ref()),
        raw::Running::Command(command) => of_command(found, command).map(Running::Command),
        raw::Running::Unit(unit) => unit_name(found, unit).map(Running::Unit),
    };
    let look_every = found.positive(&raw.look_every, Span::seconds(15));
    let watched = found.no_slower(&raw.look_every_watched, Span::seconds(2), look_every);
    let runbook = ReleaseRunbook {
        switch_timeout: found.positive(&raw.switch_timeout, Span::seconds(30)),
        restart_timeout: found.positive(&raw.restart_timeout, Span::minutes(2)),
        attempts: found.at_least_one(&raw.attempts, 2),
        root: root?,
        restart: restart?,
        running: running?,
    };
    Some(ReleasePlatform { runbook, look_every, look_every_watched: watched })
}

fn absolute(found: &mut Found<'_>, path: &Spanned<String>) -> Option<String> {
    let text = path.get_ref();
    let plain = text.split('/').all(|part| part != "..");
    if text.starts_with('/') && text.len() > 1 && plain {
        return Some(text.trim_end_matches('/').to_owned());
    }
    let what = format!("`{text}` is not an absolute path to a directory of releases");
    found.error(
        path.span(),
        what,
        "write the directory that holds `releases/` and `current`: \"/srv/shop\"",
    );
    None
}

fn unit_name(found: &mut Found<'_>, unit: &Spanned<String>) -> Option<String> {
    let text = unit.get_ref();
    let legal = |c: char| c.is_ascii_alphanumeric() || ":-_.@\\".contains(c);
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(legal) {
        return Some(text.clone());
    }
    let what = format!("`{text}` is not the name of a systemd unit");
    found.error(unit.span(), what, "write it like \"shop.service\"");
    None
}

fn http(
    found: &mut Found<'_>,
    url: &Spanned<String>,
    pointer: Option<&Spanned<String>>,
) -> Option<Running> {
    if let Some(pointer) = pointer.filter(|pointer| !pointer.get_ref().starts_with('/')) {
        let what = format!("`{}` is not a JSON pointer", pointer.get_ref());
        found.error(pointer.span(), what, "write it like \"/build/version\"");
    }
    found.url(url)?;
    let pointer = pointer.map(|pointer| pointer.get_ref().clone());
    Some(Running::Http { url: url.get_ref().clone(), pointer })
}

fn of_command(found: &mut Found<'_>, raw: &raw::Command) -> Option<CommandLine> {
    line(found, &raw.argv, &raw.env, &raw.dir, &raw.timeout)
}

pub(super) fn line(
    found: &mut Found<'_>,
    argv: &Spanned<Vec<String>>,
    env: &std::collections::BTreeMap<String, raw::EnvValue>,
    dir: &raw::Placed<String>,
    timeout: &raw::Placed<Span>,
) -> Option<CommandLine> {
    if argv.get_ref().first().is_none_or(|program| program.trim().is_empty()) {
        let instead =
            "write the program, then its arguments: [\"/usr/local/bin/smoke\", \"--quick\"]";
        found.error(argv.span(), "there is no program to run", instead);
        return None;
    }
    missing(found, argv);
    if let Some(dir) = dir.as_ref().filter(|dir| !dir.get_ref().starts_with('/')) {
        let what = format!("`{}` is not an absolute path", dir.get_ref());
        found.error(dir.span(), what, "write it from the root, or leave it out");
    }
    let env = env.iter().map(|(name, value)| {
        let value = match value {
            raw::EnvValue::Text(text) => EnvValue::Text(text.clone()),
            raw::EnvValue::Secret(from) => reference(from),
        };
        (name.clone(), value)
    });
    Some(CommandLine {
        argv: argv.get_ref().clone(),
        env: env.collect(),
        dir: dir.as_ref().map(|dir| dir.get_ref().clone()),
        timeout: found.positive(timeout, COMMAND),
    })
}

/// What it holds is read where it is needed, and nowhere before.
pub(super) fn reference(from: &raw::SecretRef) -> EnvValue {
    match from {
        raw::SecretRef::File(path) => EnvValue::File(path.clone()),
        raw::SecretRef::Env(name) => EnvValue::Env(name.clone()),
    }
}

/// Only warned of: what checks a configuration need not be the machine that it is for.
fn missing(found: &mut Found<'_>, argv: &Spanned<Vec<String>>) {
    let Some(program) = argv.get_ref().first().filter(|program| program.starts_with('/')) else {
        return;
    };
    let executable = |meta: std::fs::Metadata| {
        meta.is_file() && std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o111 != 0
    };
    let what = match std::fs::metadata(program).map(executable) {
        Ok(true) => return,
        Ok(false) => format!("`{program}` cannot be executed"),
        Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => {
            format!("`{program}` is not there")
        }
        Err(_) => return,
    };
    found.warn(argv.span(), what, "see that it is there, and executable, where the daemon runs");
}

/// In the order in which they stand in the file, which is the order in which they run.
fn in_order(raw: &raw::Table<raw::Script>) -> Vec<(&Spanned<String>, &raw::Script)> {
    let mut scripts: Vec<_> = raw.iter().collect();
    scripts.sort_by_key(|(name, _)| name.span().start);
    scripts
}

fn scripts(found: &mut Found<'_>, raw: &raw::Table<raw::Script>) -> Vec<ScriptStep> {
    let mut steps = vec![];
    for (name, script) in in_order(raw) {
        let run = line(found, &script.argv, &script.env, &script.dir, &script.timeout);
        let observe = script
            .observe
            .as_ref()
            .and_then(|argv| line(found, argv, &script.env, &script.dir, &script.timeout));
        let idempotent = script.idempotent.as_ref().is_some_and(|said| *said.get_ref());
        if observe.is_none() && !idempotent && script.observe.is_none() {
            let what = format!("after a crash nobody could tell whether `{name}` has run");
            let instead = "add observe = [...], which exits 0 when it has, or idempotent = true";
            found.warn(name.span(), what, instead);
        }
        let Some(run) = run else { continue };
        let title = script.title.clone().unwrap_or_else(|| name.get_ref().clone());
        let attempts = found.at_least_one(&script.attempts, 1);
        steps.push(ScriptStep { title, run, observe, idempotent, attempts });
    }
    steps
}

fn checks(found: &mut Found<'_>, raw: &raw::Table<raw::Script>) -> Vec<Smoke> {
    let mut checks = vec![];
    for (name, script) in in_order(raw) {
        let said = [
            script.observe.as_ref().map(|said| ("observe", said.span())),
            script.idempotent.as_ref().map(|said| ("idempotent", said.span())),
        ];
        for (key, at) in said.into_iter().flatten() {
            let what = format!("`{key}` means nothing to a check, which changes nothing");
            found.error(at, what, "leave it out, or move the script to `before` or `after`");
        }
        let run = line(found, &script.argv, &script.env, &script.dir, &script.timeout);
        let Some(run) = run else { continue };
        let title = script.title.clone().unwrap_or_else(|| name.get_ref().clone());
        checks.push(Smoke { title, run, attempts: found.at_least_one(&script.attempts, 3) });
    }
    checks
}
