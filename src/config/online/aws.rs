//! Whether each account of AWS lets us in, and shows us what is configured. Nothing is changed, and nobody is told anything.

use toml::de::DeTable;

use crate::{
    aws::{self, Access, Kind},
    config::{Config, Poll, Problem, Read},
    notifiers::{Notifier, sns},
    sources::{
        cloudwatch::{self, Metric, Options, Spec},
        reading::{Class, Fault},
    },
    units::UnixMs,
};

/// As whom we are known, for people, and what is wrong.
pub(super) async fn looked(config: &Config, name: &str, text: &str) -> (Vec<String>, Vec<Problem>) {
    let (mut says, mut problems) = (vec![], vec![]);
    for access in config.accounts.values() {
        match aws::identity(access).await {
            Ok(who) => says.push(format!(
                "{}: asked as {} of account {}",
                access.place(),
                who.arn,
                who.account
            )),
            Err(fault) => {
                let what = format!("{} cannot be asked: {fault}", access.place());
                problems.push(problem((name, text), access, &fault, what));
            }
        }
    }
    problems.extend(signals(config, name, text).await);
    for channel in &config.channels {
        let Notifier::Sns(options) = &channel.notifier else { continue };
        let topic = &options.topic_arn;
        let fault = match sns::look(options).await {
            Ok(None) => continue,
            Ok(Some(key)) => {
                problems.push(encrypted((name, text), &options.access, (topic, &key)));
                continue;
            }
            Err(fault) => fault,
        };
        let what = format!("the topic of notify.{} was not seen: {fault}", channel.name);
        let unseen = matches!(fault.kind, Kind::Denied { .. });
        let mut found = problem((name, text), &options.access, &fault, what);
        // Who may publish need not be allowed to look.
        if unseen {
            found.instead = format!(
                "allow sns:GetTopicAttributes on {topic} to have it looked at; sns:Publish is what a notice needs"
            );
            found = found.but_only_a_warning();
        }
        problems.push(found);
    }
    (says, problems)
}

/// What CloudWatch says of each signal, and of each metric that one stands on.
async fn signals(config: &Config, name: &str, text: &str) -> Vec<Problem> {
    let mut problems = vec![];
    for (options, polls) in measured(config) {
        let specs: Vec<Spec> = polls.iter().map(|(_, spec)| (*spec).clone()).collect();
        let now = UnixMs(jiff::Timestamp::now().as_millisecond());
        let of_account = |fault: &aws::Fault| {
            let what = format!("CloudWatch of {} cannot be read: {fault}", options.access.place());
            problem((name, text), &options.access, fault, what)
        };
        let answers = match cloudwatch::asked_once(options, &specs, now).await {
            Ok(answers) => answers,
            Err(fault) => {
                problems.push(of_account(&fault));
                continue;
            }
        };
        for ((poll, _), answer) in polls.iter().zip(&answers) {
            match answer {
                Ok(answer) => {
                    let faults = answer.faults.iter();
                    problems.extend(faults.map(|fault| of_signal(name, poll, fault)));
                }
                Err(fault) => {
                    let what = format!("{} of {}: {fault}", poll.signal, poll.service);
                    problems.push(Problem::of_file(name, what, fault.advice()));
                }
            }
        }
        match cloudwatch::unseen(options, &specs, now).await {
            Ok(unseen) => {
                let each = polls.iter().zip(unseen);
                problems.extend(each.flat_map(|((poll, spec), metrics)| {
                    metrics.into_iter().map(|metric| never_seen(name, poll, spec, metric))
                }));
            }
            Err(fault) => problems.push(of_account(&fault)),
        }
    }
    problems
}

/// A healthy service may have no errors for a day, and one that nobody uses no requests.
fn never_seen(name: &str, poll: &Poll, spec: &Spec, (key, metric): (&str, &Metric)) -> Problem {
    let Metric { namespace, name: called, stat, .. } = metric;
    let reads = match key {
        "bad" => "it reads as no errors, and the service as healthy",
        _ if spec.named.contains_key(key) => "where an expression fills it, it reads as none",
        _ => "the signal is unknown",
    };
    let what = format!(
        "{} of {}: in 24h nothing was seen of `{key}` ({stat} of {called} in {namespace}): {reads}",
        poll.signal, poll.service
    );
    let instead = "compare namespace, metric and all dimensions with what CloudWatch shows; leave it where there was nothing to count";
    Problem::of_file(name, what, instead).but_only_a_warning()
}

fn measured(config: &Config) -> Vec<(&Options, Vec<(&Poll, &Spec)>)> {
    let mut all: Vec<(&Options, Vec<(&Poll, &Spec)>)> = vec![];
    for poll in &config.polls {
        let Read::CloudWatch(options, spec) = &poll.read else { continue };
        match all.iter_mut().find(|(alike, _)| *alike == &**options) {
            Some((_, polls)) => polls.push((poll, spec)),
            None => all.push((options, vec![(poll, spec)])),
        }
    }
    all
}

fn of_signal(name: &str, poll: &Poll, fault: &Fault) -> Problem {
    let what = format!("{} of {}: {fault}", poll.signal, poll.service);
    if let Fault::Failed { class: Class::Unknown, .. } = fault {
        return Problem::of_file(name, what, "allow cloudwatch:GetMetricData to who asks");
    }
    let instead = if let Fault::Absent { .. } = fault {
        "compare namespace, metric and all dimensions with what CloudWatch shows; without traffic there is nothing to see"
    } else {
        "try it in CloudWatch's own page, and write what works there"
    };
    Problem::of_file(name, what, instead).but_only_a_warning()
}

/// Whether it may be used nobody can ask without telling somebody something.
fn encrypted((name, text): (&str, &str), access: &Access, (topic, key): (&str, &str)) -> Problem {
    let at = place(text, &access.name).unwrap_or(0..0);
    let what =
        format!("{topic} is under the KMS key {key}: without rights on that nothing is published");
    let instead = "see that kms:GenerateDataKey and kms:Decrypt are allowed on it (`TOPIC-KEY` in config/aws/read-only.json)";
    Problem::error(name, text, at, what, instead).but_only_a_warning()
}

/// What may be over in a moment is a warning.
fn problem(
    (name, text): (&str, &str),
    access: &Access,
    fault: &aws::Fault,
    what: String,
) -> Problem {
    let at = place(text, &access.name).unwrap_or(0..0);
    let problem = Problem::error(name, text, at, what, fault.advice());
    if fault.passes() { problem.but_only_a_warning() } else { problem }
}

/// Where the account's region stands.
fn place(text: &str, name: &str) -> Option<std::ops::Range<usize>> {
    let document = DeTable::parse(text).ok()?;
    let account = document.get_ref().get("aws")?.get_ref().get(name)?;
    Some(account.get_ref().get("region")?.span())
}
