//! `rollbackd explain SERVICE`

use clap::Args;

use super::{
    Client, Fault, Out, Reach,
    paint::{Paint, columns},
    plan,
};
use crate::{
    domain::{guard::Says, incident::judge::Ground, shown},
    http::views::{
        CheckView, ConfigurationView, DatabaseView, Explain as View, ServiceView, TriggerView,
    },
};

/// Why a service is where it is.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// Which service: checkout, or checkout/production.
    service: String,
    #[command(flatten)]
    reach: Reach,
}

impl Explain {
    pub(super) async fn run(self, out: &Out) -> Result<(), Fault> {
        let client = Client::new(&self.reach)?;
        let path = client.service(&self.service).await?;
        let view: View = client.get(&format!("{path}/explain")).await?;
        if self.reach.json { out.json(&view) } else { out.text(&text(&view, out.paint)) }
    }
}

/// What its pods, or its process, read beside the version that serves.
fn read(configuration: &ConfigurationView, paint: Paint) -> String {
    let ConfigurationView { serving, is_known_good, items, unknown } = configuration;
    if let Some(why) = unknown {
        return format!("{} what it reads is unknown: {why}\n", paint.warn("configuration"));
    }
    let serving = serving.as_deref().unwrap_or("not known yet");
    let good = if *is_known_good { ", known good" } else { "" };
    format!("it reads {serving}{good}: {}\n", items.join(", "))
}

/// What its data must be, and is.
fn checked(check: &CheckView, paint: Paint) -> String {
    let CheckView { name, place, says, .. } = check;
    let took = check.took.map_or_else(String::new, |it| format!(" (took {it})"));
    let what = if check.is_violated { paint.bad("check") } else { "check".to_owned() };
    format!("{what} {name} of {place}: {says}{took}\n")
}

/// How far its database is migrated.
fn migrated(database: &DatabaseView, paint: Paint) -> String {
    let place = &database.place;
    let checks: String = database.checks.iter().map(|it| checked(it, paint)).collect();
    if let Some(why) = &database.unknown {
        return format!(
            "{} how far {place} is migrated is unknown: {why}\n{checks}",
            paint.warn("database")
        );
    }
    let version = database.version.as_deref().unwrap_or("no version yet");
    let good = if database.is_known_good { ", known good" } else { "" };
    let newest = database.newest.first().map_or_else(String::new, |it| format!("; newest: {it}"));
    let mut text = format!("its database {place} has {version}{good}{newest}\n");
    if let Some(run) = &database.runs {
        text.push_str(&format!("  {run}\n"));
    }
    if let Some(trouble) = &database.trouble {
        text.push_str(&format!("{} {trouble}\n", paint.bad("database")));
    }
    text.push_str(&checks);
    text
}

/// What is not as it should be around the service, or stands in the way.
fn amiss(service: &ServiceView, paint: Paint) -> String {
    let mut text = String::new();
    if let Some(why) = &service.unwritable {
        let stop = paint.bad("nothing is decided or done, for nothing can be written down");
        text.push_str(&format!("{stop}: {why}\n"));
    }
    for fault in &service.platform_faults {
        text.push_str(&format!("{} {fault}\n", paint.warn("platform")));
    }
    for warning in &service.warnings {
        text.push_str(&format!("{} {warning}\n", paint.warn("cluster")));
    }
    if let Some(again) = &service.set_again {
        text.push_str(&format!("{} {again}\n", paint.bad("again")));
    }
    for line in &service.maintenance {
        text.push_str(&format!("{} {line}\n", paint.bad("maintenance")));
    }
    for owner in &service.owners {
        text.push_str(&format!("{} {owner}\n", paint.warn("owner")));
    }
    text
}

/// Everything, from what is seen to what would be done.
pub(super) fn text(view: &View, paint: Paint) -> String {
    let service = &view.service;
    let serving = service.serves();
    let good = if service.serving_is_known_good { ", known good" } else { "" };
    let mut text = format!(
        "{}  mode {}  serves {serving}{good}  at {}\n",
        paint.bold(&service.id.to_string()),
        service.mode,
        view.now.clock()
    );
    if let Some(configuration) = &service.configuration {
        text.push_str(&read(configuration, paint));
    }
    if let Some(database) = &service.database {
        text.push_str(&migrated(database, paint));
    }
    for image in &service.images {
        text.push_str(&format!("when it was known good {image}\n"));
    }
    if let Some(change) = &service.last_change {
        let from = change.from.as_ref().map_or_else(|| "?".to_owned(), ToString::to_string);
        let (component, to, at) = (change.component, &change.to, change.started_at);
        text.push_str(&format!("last change: {component} {from} -> {to} at {at}\n"));
    }
    text.push_str(&amiss(service, paint));
    text.push_str(&format!("\n{}\n", paint.bold("Triggers")));
    if view.triggers.is_empty() {
        text.push_str("  none looks at a signal of this service\n");
    }
    for trigger in &view.triggers {
        text.push_str(&one_trigger(trigger, paint));
    }
    for told in &service.told {
        text.push_str(&format!("  {} {told}\n", paint.bad("told")));
    }
    for blind in &service.blind {
        let (signal, why) = (&blind.signal, &blind.why);
        text.push_str(&format!("  {} {signal} ({}): {why}\n", paint.warn("blind"), blind.source));
    }
    for (signal, note) in &view.notes {
        // One that is blind says so above.
        if service.blind.iter().all(|blind| blind.signal != *signal) {
            text.push_str(&format!("  {} {signal}: {note}\n", paint.warn("note")));
        }
    }
    if let Some(runs) = &view.runs {
        text.push_str(&format!("\n{}\n  {runs}\n", paint.bold("What runs now")));
    }
    if !view.verification.is_empty() {
        text.push_str(&format!("\n{}\n", paint.bold("What the verification waits for")));
    }
    for wait in &view.verification {
        text.push_str(&format!("  {wait}\n"));
    }
    text.push_str(&format!("\n{}\n", paint.bold(&asked(view))));
    if !view.response.is_empty() {
        text.push_str(&format!("  {}\n", view.response));
    }
    text.push_str(&guards(view, paint));
    text.push_str(&format!("\n{}\n", paint.bold("What would run")));
    match (&view.plan, &view.no_plan) {
        (Some(plan), _) => text.push_str(&plan::steps(plan, paint)),
        (None, Some(why)) => text.push_str(&format!("  nothing: {why}\n")),
        (None, None) => text.push_str("  nothing\n"),
    }
    if let Some((at, why)) = &view.next {
        text.push_str(&format!("\nlooked at again by {}: {why}\n", at.clock()));
    }
    text
}

fn one_trigger(trigger: &TriggerView, paint: Paint) -> String {
    let (name, severity) = (&trigger.name, paint.severity(trigger.severity));
    let state = paint.state(trigger.state);
    let mut text = format!("  {} {severity} {state}: {}\n", paint.bold(name), trigger.sees);
    if trigger.drawn.iter().any(Option::is_some) {
        let line = shown::sparkline(&trigger.drawn, trigger.evidence.threshold);
        text.push_str(&format!("    {line} {}\n", paint.dim(&trigger.looks_at)));
    }
    if let Some(normal) = &trigger.normal {
        text.push_str(&format!("    {normal}\n"));
    }
    for wait in &trigger.waits_for {
        text.push_str(&format!("    waits for {wait}\n"));
    }
    text
}

fn asked(view: &View) -> String {
    match &view.ground {
        Ground::Incident { id } => format!("What every guard says about {id}"),
        Ground::Fires { trigger } => format!("What every guard says, for {trigger} fires"),
        Ground::IfFired { trigger } => format!("What every guard would say if {trigger} fired now"),
        Ground::NoTrigger => "What every guard says; no trigger could fire".to_owned(),
    }
}

fn guards(view: &View, paint: Paint) -> String {
    let row = |verdict: &crate::domain::guard::Verdict| {
        let (says, why) = match &verdict.says {
            Says::Pass { note } => (paint.good("passes"), note.clone()),
            Says::Refuse { reason, .. } => (paint.bad("refuses"), reason.clone()),
            Says::NotApplicable { why } => (paint.dim("-"), paint.dim(why)),
        };
        vec![format!("  {}", verdict.guard), says, why]
    };
    columns(&view.guards.iter().map(row).collect::<Vec<_>>())
}
