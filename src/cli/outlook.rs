//! What a configuration means, in words: what is read, what happens when, what could never happen as it stands.
//!
//! Pure: it looks at the configuration and at the time, and at no daemon. What a running daemon sees is told by
//! [`super::explain`].

mod beside;
pub(super) mod costs;
mod found;
mod schema;
mod when;
mod with;

use serde::Serialize;

use super::paint::Paint;
use crate::{
    config::{Config, Discovery, Each, Migrated, Platform, Poll, Read},
    domain::{
        guard::Guard,
        notice::Audience,
        policy::{LooksAt, ServicePolicy, SignalKind, TriggerPolicy},
        service::Mode,
        severity::Severity,
    },
    notifiers::Notifier,
    sources::kubernetes::Question,
    units::UnixMs,
};

/// Everything, in sentences.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Outlook {
    services: Vec<Service>,
    /// Who is told what, on which channel.
    told: Vec<String>,
    /// What counts over all services together.
    together: Vec<String>,
}

/// One service.
#[derive(Clone, Debug, Serialize)]
struct Service {
    /// Which; in words where it is any that a query finds.
    service: String,
    /// How it is found that it is there; empty where it is written down.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    found: Vec<String>,
    mode: Mode,
    /// What the mode means.
    acts: String,
    reads: Vec<String>,
    triggers: Vec<Trigger>,
    /// How people are reminded.
    reminders: Vec<String>,
    rolls_back: Vec<String>,
    /// What of its database is looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    database: Vec<String>,
    /// How its schema goes back with its code.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    schema_back: Vec<String>,
    /// What is not done to its database.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    schema_never: Vec<String>,
    verified: Vec<String>,
    /// Guards that would object to every rollback, as the file stands.
    always_refuses: Vec<Refusal>,
}

/// One trigger.
#[derive(Clone, Debug, Serialize)]
struct Trigger {
    name: String,
    severity: Severity,
    /// Whether it can be a reason to act by itself.
    may_act: bool,
    /// Any of these fires it.
    fires_if: Vec<String>,
    /// What is done then, for each severity that it can have.
    then: Vec<String>,
}

/// A guard that would always object, and why.
#[derive(Clone, Debug, Serialize)]
struct Refusal {
    guard: Guard,
    why: String,
}

impl Outlook {
    /// What this configuration means now.
    pub(super) fn of(config: &Config, now: UnixMs) -> Self {
        let written = config.policy.services.values().map(|policy| {
            let of_it = |poll: &&Poll| poll.service == policy.id;
            let polls = config.polls.iter().filter(of_it);
            let platform = config.platforms.get(&policy.id);
            let database = config.databases.get(&policy.id);
            Service::of(config, policy, (polls, platform, database), now)
        });
        let found = config.discoveries.iter().filter_map(|discovery| {
            let each = config.each_found.get(&discovery.name)?;
            Some(Service::found_by(config, discovery, each, now))
        });
        Self {
            services: written.chain(found).collect(),
            told: told(config),
            together: together(config),
        }
    }

    /// The same for a terminal.
    pub(super) fn text(&self, paint: Paint) -> String {
        let mut text = String::new();
        for service in &self.services {
            text += &service.text(paint);
        }
        text += &part("Who is told", &self.told, paint);
        text + &part("All services together", &self.together, paint)
    }
}

impl Service {
    /// Any that a query finds, by no name of its own.
    fn found_by(config: &Config, discovery: &Discovery, each: &Each, now: UnixMs) -> Self {
        let reads = (each.polls.iter(), each.platform.as_ref(), None);
        let mut service = Self::of(config, &each.policy, reads, now);
        let environment = each.policy.id.environment();
        service.service = format!(
            "each service {}/{environment} found by discover.{}",
            found::NAME,
            discovery.name
        );
        service.found = found::found(discovery);
        for refusal in &mut service.always_refuses {
            let template = format!("[template.{}.", discovery.template);
            refusal.why = refusal.why.replace("[service.NAME.", &template);
        }
        found::plainly(each, &mut service.reads);
        found::plainly(each, &mut service.rolls_back);
        found::plainly(each, &mut service.database);
        found::plainly(each, &mut service.schema_back);
        for trigger in &mut service.triggers {
            found::plainly(each, &mut trigger.fires_if);
            found::plainly(each, &mut trigger.then);
        }
        service
    }

    fn of<'c>(
        config: &Config,
        policy: &ServicePolicy,
        (polls, platform, database): (
            impl Iterator<Item = &'c Poll>,
            Option<&Platform>,
            Option<&Migrated>,
        ),
        now: UnixMs,
    ) -> Self {
        let triggers = policy.triggers.iter();
        let mut triggers: Vec<Trigger> =
            triggers.map(|(name, trigger)| Trigger::of(policy, name, trigger)).collect();
        triggers.sort_by_key(|trigger| (trigger.severity, !trigger.may_act));
        let mut reads = reads(polls, platform);
        reads.extend(beside::reads(config, &policy.id));
        Self {
            service: policy.id.to_string(),
            found: vec![],
            mode: policy.mode,
            acts: acts(policy),
            reads,
            triggers,
            reminders: reminders(policy),
            rolls_back: with::rolls_back(policy),
            database: schema::watched(policy, database),
            schema_back: schema::goes_back(policy),
            schema_never: schema::never(policy),
            verified: with::verified(policy),
            always_refuses: refusals(config, policy, now),
        }
    }

    fn text(&self, paint: Paint) -> String {
        let mut text =
            format!("{}  mode {}: {}\n", paint.bold(&self.service), self.mode, self.acts);
        text += &part("How it is found", &self.found, paint);
        text += &part("What is read", &self.reads, paint);
        text += &format!("\n{}\n", paint.bold("What happens when"));
        for trigger in &self.triggers {
            let severity = paint.severity(trigger.severity);
            text += &format!("  {} {severity}\n", paint.bold(&trigger.name));
            for (at, fires_if) in trigger.fires_if.iter().enumerate() {
                let word = if at == 0 { "if" } else { "or if" };
                text += &format!("    {word} {fires_if}\n");
            }
            for then in &trigger.then {
                text += &format!("    -> {then}\n");
            }
        }
        text += &part("How people are reminded", &self.reminders, paint);
        text += &part("What of its database is watched", &self.database, paint);
        text += &part("How it is rolled back", &self.rolls_back, paint);
        text += &part("How its schema goes back with it", &self.schema_back, paint);
        text += &part("What is not done to its database", &self.schema_never, paint);
        text += &part("When a rollback has worked", &self.verified, paint);
        let refusals = self.always_refuses.iter();
        let refusals: Vec<String> = refusals.map(|r| format!("{}: {}", r.guard, r.why)).collect();
        let title = "What would refuse every rollback by the daemon itself, as it stands";
        text += &part(title, &refusals, paint);
        text.push('\n');
        text
    }
}

impl Trigger {
    fn of(policy: &ServicePolicy, name: &str, trigger: &TriggerPolicy) -> Self {
        Self {
            name: name.to_owned(),
            severity: trigger.rule.severity,
            may_act: trigger.may_act,
            fires_if: when::fires_if(policy, name, trigger),
            then: when::then(policy, name, trigger),
        }
    }
}

fn part(title: &str, lines: &[String], paint: Paint) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let lines: String = lines.iter().map(|line| format!("  {line}\n")).collect();
    format!("\n{}\n{lines}", paint.bold(title))
}

fn acts(policy: &ServicePolicy) -> String {
    match policy.mode {
        Mode::Observe => "it decides and tells, and touches nothing",
        Mode::Approve => "it asks, and rolls back what a person approved",
        Mode::Auto => "it rolls back by itself where no guard refuses, and asks otherwise",
    }
    .to_owned()
}

fn reads<'c>(polls: impl Iterator<Item = &'c Poll>, platform: Option<&Platform>) -> Vec<String> {
    let mut reads: Vec<String> = polls.map(signal).collect();
    if reads.is_empty() {
        reads.push("nothing: only alerts, posts and people can tell of it".to_owned());
    }
    reads.push(match platform {
        Some(Platform::Release(platform)) => format!(
            "changes: {}/current, every {}, and every {} while it is watched; pipelines may post them too",
            platform.runbook.root, platform.look_every, platform.look_every_watched
        ),
        Some(Platform::Kubernetes(platform)) => format!(
            "changes: the Deployment {} of kubernetes {}, as they happen; pipelines may post them too",
            platform.at.key, platform.at.cluster
        ),
        Some(Platform::Frontend(platform)) => format!(
            "changes: {} of {} and what {} serves, every {}, and every {} while it is watched; pipelines may post them too",
            platform.site.runbook.marker.name,
            platform.site.runbook.at,
            platform.site.runbook.url,
            platform.look_every,
            platform.look_every_watched
        ),
        None => "changes: only those that are posted to /v1/changes".to_owned(),
    });
    reads
}

fn signal(poll: &Poll) -> String {
    let (signal, every, watched) = (&poll.signal, poll.every, poll.every_watched);
    let source = match &poll.read {
        Read::Scrape { targets, .. } => {
            let named =
                |name: &String| name.split_once(' ').map_or(name.clone(), |(_, at)| at.into());
            let targets: Vec<String> = targets.iter().map(named).collect();
            format!("scraped from {}", targets.join(", "))
        }
        Read::Prometheus { server, rows, .. } => {
            let rows = rows.as_ref().map_or_else(String::new, |rows| {
                format!(", the rows with {}={:?}", rows.label, rows.value)
            });
            format!("asked of prometheus {server}{rows}")
        }
        Read::Health(probe) => format!("probed at {}", crate::sources::http::shown(&probe.url)),
        Read::Kubernetes(at) => format!("the Deployment {} of kubernetes {}", at.key, at.cluster),
        Read::CloudWatch(options, spec) => {
            let (place, lag) = (options.access.place(), options.lag);
            format!("CloudWatch of {place} ({}), {lag} after each period", spec.shown())
        }
        Read::Asked(at, Question::Usage(usage)) => format!(
            "the metrics API of kubernetes {}, for at most {} pods of {}",
            at.cluster, usage.pods_max, at.key
        ),
        Read::Asked(at, Question::Lines(lines)) => format!(
            "the last {} lines of the logs of at most {} pods of {} of kubernetes {}",
            lines.lines, lines.pods_max, at.key, at.cluster
        ),
    };
    let faster = if watched < every {
        format!(", and every {watched} while a change or an incident is watched")
    } else {
        String::new()
    };
    format!("{signal}: {source}, every {every}{faster}")
}

fn reminders(policy: &ServicePolicy) -> Vec<String> {
    let people = &policy.people;
    vec![
        format!(
            "a page is repeated every {} until somebody acknowledges",
            people.repeat_page_every
        ),
        format!(
            "a signal that tells nothing pages after {} while a change or an incident is watched, after {} otherwise",
            policy.blind_watched, policy.blind_idle
        ),
        format!(
            "the root cause analysis is due {} after a rollback's incident closed",
            people.root_cause_within
        ),
    ]
}

/// What would object to whatever the daemon wanted to do by itself. What depends on what happens is not here.
fn refusals(config: &Config, policy: &ServicePolicy, now: UnixMs) -> Vec<Refusal> {
    let mut all = vec![];
    let mut refuse = |guard, why: String| all.push(Refusal { guard, why });
    match policy.mode {
        Mode::Observe => refuse(Guard::Mode, "observe: decide and tell, never touch".to_owned()),
        Mode::Approve => refuse(Guard::Mode, "approve: a person says yes".to_owned()),
        Mode::Auto => {}
    }
    if policy.runbook.is_none() {
        let why = "nothing can be rolled back: there is no [service.NAME.rollback.application]";
        refuse(Guard::NowhereSafe, why.to_owned());
    }
    let probes_alone = policy.signals.values().all(|s| s.kind == SignalKind::Health);
    let probed = |t: &TriggerPolicy| matches!(t.looks_at, LooksAt::Health | LooksAt::Availability);
    if !policy.signals.is_empty() && probes_alone && policy.triggers.values().any(probed) {
        let why = "only probes are read: what they alone see could be our own network";
        refuse(Guard::OneWitness, why.to_owned());
    }
    let (service, fleet) =
        (policy.guards.service_budget_per_hour, config.policy.fleet.budget_per_hour);
    for (budget, whose) in [(service, "the service's"), (fleet, "the fleet's")] {
        if budget == 0 {
            refuse(Guard::Loop, format!("{whose} budget is 0 rollbacks an hour"));
        }
    }
    for freeze in config.policy.freezes.iter().filter(|f| f.from <= now && now < f.until) {
        refuse(Guard::Hold, format!("a freeze until {}: {}", freeze.until, freeze.reason));
    }
    all
}

fn told(config: &Config) -> Vec<String> {
    let channels = config.channels.iter().map(|channel| {
        let how = match channel.notifier {
            Notifier::Log => "the daemon's log",
            Notifier::Slack(_) => "Slack",
            Notifier::Webhook(_) => "a webhook",
            Notifier::Sns(_) => "a topic of SNS",
        };
        let audiences = channel.audiences.iter().map(|audience| match audience {
            Audience::OnCall => "the people on call",
            Audience::Stakeholders => "stakeholders",
        });
        let audiences: Vec<&str> = audiences.collect();
        format!("{} ({how}): {}", channel.name, audiences.join(" and "))
    });
    let mut told: Vec<String> = channels.collect();
    told.push(match &config.heartbeat {
        Some(heartbeat) => {
            format!("an outside monitor, every {}, that the daemon lives", heartbeat.every)
        }
        None => "nobody, if the daemon itself falls silent: there is no [heartbeat]".to_owned(),
    });
    told
}

fn together(config: &Config) -> Vec<String> {
    let fleet = &config.policy.fleet;
    let services = config.policy.services.len();
    let mut together = vec![];
    let found = !config.discoveries.is_empty();
    if services > 1 || found {
        let storm = if !found && services <= fleet.storm_services as usize {
            "all of them".to_owned()
        } else {
            let share = crate::units::Percent(fleet.storm_share);
            format!("more than {} of them and more than {share}", fleet.storm_services)
        };
        let window = fleet.storm_window;
        together.push(format!(
            "where {storm} suffer within {window}, people are asked: a shared cause"
        ));
    }
    let budget = fleet.budget_per_hour;
    together.push(format!("the daemon begins at most {budget} rollbacks an hour by itself"));
    together.extend(costs::costs(config));
    for freeze in &config.policy.freezes {
        let (from, until, reason) = (freeze.from, freeze.until, &freeze.reason);
        together.push(format!("from {from} until {until} it only asks: {reason}"));
    }
    together
}

#[cfg(test)]
mod tests;
