//! `rollbackd status`

use clap::Args;

use super::{
    Client, Fault, Out, Reach,
    paint::{Paint, columns},
};
use crate::{
    domain::{shown, trigger::State, verification::Standing},
    http::views::{ServiceView, Strays},
};

/// How every service stands.
#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    reach: Reach,
}

impl Status {
    pub(super) async fn run(self, out: &Out) -> Result<(), Fault> {
        let client = Client::new(&self.reach)?;
        let services: Vec<ServiceView> = client.get("/v1/services").await?;
        if self.reach.json {
            return out.json(&services);
        }
        let strays: Strays = client.get("/v1/unmatched").await?;
        out.text(&text(&services, &strays, out.paint))
    }
}

/// The table, and below it what needs a person's eye.
pub(super) fn text(services: &[ServiceView], strays: &Strays, paint: Paint) -> String {
    if services.is_empty() {
        return "no service is configured\n".to_owned();
    }
    let head = ["SERVICE", "MODE", "SERVES", "BACK TO", "TRIGGERS", "INCIDENT"];
    let mut rows = vec![head.map(|name| paint.dim(name)).to_vec()];
    rows.extend(services.iter().map(|service| row(service, paint)));
    let mut text = String::new();
    // Before everything else: what stands below is what was true when it stopped.
    if let Some(why) = services.iter().find_map(|s| s.unwritable.as_ref()) {
        let stop = paint.bad("NOTHING IS DECIDED OR DONE, for nothing can be written down");
        text.push_str(&format!("{stop}: {why}\n\n"));
    }
    text.push_str(&columns(&rows));
    for service in services {
        for note in notes(service) {
            text.push_str(&format!("\n{}: {note}", paint.bold(&service.id.to_string())));
        }
    }
    if let Some(reason) = services.iter().find_map(|s| s.kill_switch.as_ref()) {
        let stop = paint.bad("the HOLD file stops everything");
        text.push_str(&format!("\n{stop}: {reason}"));
    }
    if !strays.alerts.is_empty() {
        let newest = &strays.alerts[0];
        let count = match strays.alerts.len() {
            1 => "1 alert".to_owned(),
            several => format!("{several} alerts"),
        };
        let (name, why) = (&newest.alert, &newest.why);
        text.push_str(&format!("\n{count} found no service; the newest is {name} ({why})"));
    }
    text
}

fn row(service: &ServiceView, paint: Paint) -> Vec<String> {
    let serves = service.serves();
    let good = if service.serving_is_known_good { " (known good)" } else { "" };
    let incident = match &service.incident {
        Some(line) => format!("{} {} ({})", paint.severity(line.severity), line.phase, line.id),
        None => paint.dim("-"),
    };
    vec![
        paint.bold(&service.id.to_string()),
        service.mode.to_string(),
        format!("{serves}{}", paint.dim(good)),
        service.known_good.clone().unwrap_or_else(|| "-".to_owned()),
        triggers(service, paint),
        incident,
    ]
}

/// The worst states first, and the ok ones only counted.
fn triggers(service: &ServiceView, paint: Paint) -> String {
    let mut parts = vec![];
    for state in [State::Firing, State::Pending, State::Recovering, State::NoData] {
        // What was told, or seen of the database, fires as well, and is in no window.
        let told = if state == State::Firing { service.told.len() } else { 0 };
        let count = told + service.triggers.iter().filter(|t| t.state == state).count();
        if count > 0 {
            parts.push(
                paint
                    .state(state)
                    .replace(shown::state(state), &format!("{count} {}", shown::state(state))),
            );
        }
    }
    let fine = service.triggers.iter().filter(|t| t.state == State::Ok).count();
    if fine > 0 || parts.is_empty() {
        parts.push(paint.good(&format!("{fine} ok")));
    }
    parts.extend(checks(service, paint));
    parts.join(", ")
}

/// How the checks of its data stand, the worst first.
fn checks(service: &ServiceView, paint: Paint) -> Vec<String> {
    let all = service.database.iter().flat_map(|it| &it.checks);
    let count = |wanted: Standing| all.clone().filter(|it| it.standing == wanted).count();
    let checks = |count: usize| if count == 1 { "check" } else { "checks" };
    let said = |standing, how: &str| {
        let count = count(standing);
        (count > 0).then(|| format!("{count} {} {how}", checks(count)))
    };
    let pass = if count(Standing::Passed) == 1 { "passes" } else { "pass" };
    [
        said(Standing::Failed, "violated").map(|it| paint.bad(&it)),
        said(Standing::Unknown, "unknown").map(|it| paint.warn(&it)),
        said(Standing::Passed, pass).map(|it| paint.good(&it)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn notes(service: &ServiceView) -> Vec<String> {
    let mut notes = service.told.clone();
    notes.extend(service.platform_faults.iter().map(|fault| format!("platform: {fault}")));
    let unknown = service.configuration.as_ref().and_then(|it| it.unknown.as_ref());
    notes.extend(unknown.map(|why| format!("what it reads is unknown: {why}")));
    let database = service.database.as_ref();
    notes.extend(database.and_then(|it| it.runs.clone()));
    // One that is violated is told as what it fires.
    let unknown = database.into_iter().flat_map(|it| &it.checks);
    let unknown = unknown.filter(|it| it.standing == Standing::Unknown);
    notes.extend(unknown.map(|it| format!("check {} of {}: {}", it.name, it.place, it.says)));
    notes.extend(service.maintenance.first().cloned());
    notes.extend(service.set_again.clone());
    notes.extend(service.blind.iter().map(|blind| {
        let (signal, since, why) = (&blind.signal, blind.since.clock(), &blind.why);
        format!("{signal} tells nothing since {since} ({}): {why}", blind.source)
    }));
    notes.extend(service.hold.iter().map(|hold| format!("held by {}: {}", hold.by, hold.reason)));
    if let Some(incident) = &service.incident {
        if incident.unacknowledged {
            notes.push(format!("nobody has acknowledged: `rollbackd ack {}`", service.id));
        }
        notes.extend(incident.because.iter().map(|why| format!("{}: {why}", incident.phase)));
    }
    notes
}
