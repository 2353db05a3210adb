//! An instance or a cluster made of a snapshot, and waited for; where that fails, of the next one.
//!
//! It can take longer than a daemon lives. What is there is looked at before anything is asked for, so that neither an answer that got
//! lost nor a daemon that was ended makes a second one: a name is taken once, and what this run made says so.

use tokio::time::{Instant, sleep};
use tracing::info;

use super::{access, is_ours};
use crate::{
    aws::{
        Access, Fault, Kind,
        rds::{self, There},
    },
    domain::{
        rds::{AVAILABLE, Candidate, Case, Endpoint, Form, RdsAt, RdsRestore, Snapshot, is_failed},
        run::Outcome,
    },
    executors::{Attempt, Trouble, failed},
    units::Span,
};

/// What is under way is said again after so long.
const TOLD_EVERY: Span = Span::minutes(5);
/// So many looks at what was there and is not seen any more, before it is believed to be gone.
const GONE_AFTER: u32 = 3;
/// So many lines of what was seen are kept.
const SAID_MAX: usize = 40;

/// How one of them came out.
enum End {
    /// It can be used.
    Usable(Endpoint),
    /// It cannot, and why; it is what `left` says, where anything is.
    Unusable(String),
}

/// One attempt at it.
struct Making<'m, 'a> {
    attempt: &'m mut Attempt<'a>,
    access: Access,
    what: &'m RdsRestore,
    /// By these AWS finds what was asked for.
    requests: Vec<String>,
    said: usize,
}

/// Carries one out.
pub(super) async fn restore(
    attempt: &mut Attempt<'_>,
    what: &RdsRestore,
) -> Result<Outcome, Trouble> {
    let access = access(attempt, &what.at.account)?;
    let mut making = Making { attempt, access, what, requests: vec![], said: 0 };
    let begun = making.begun().await?;
    let (mut ends, mut left) = (vec![], vec![]);
    for candidate in &what.candidates[begun..] {
        let Candidate { snapshot, restored, taken_at } = candidate;
        match making.made(candidate).await? {
            End::Usable(endpoint) => {
                if !what.beside.is_empty() {
                    making.say(format!(
                        "left to do by hand for {restored}: {}",
                        what.beside.join("; ")
                    ));
                }
                let attempt = making.attempt;
                attempt.after = format!(
                    "{restored} is available at {endpoint}, from {snapshot} of {taken_at}; {} is as it was",
                    what.at.name
                );
                attempt.left = left.join("; ");
                return Ok(if attempt.touched { Outcome::Done } else { Outcome::AlreadyDone });
            }
            End::Unusable(why) => {
                let end = format!("{snapshot} of {taken_at} as {restored}: {why}");
                making.say(end.clone());
                left.extend(making.is_there(restored).await.then(|| {
                    format!("the {} {restored}, which cannot be used: delete it", what.at.form)
                }));
                ends.push(end);
            }
        }
    }
    let why = format!("none of {} could be restored", what.candidates.len());
    let text = Case::of_restore(what, &ends, &making.requests).text(&why);
    making.attempt.left = left.join("; ");
    failed(
        format!(
            "{why}: {}. {} is as it was; what was stopped for it is still stopped. {text}",
            ends.join("; "),
            what.at.name
        ),
        false,
    )
}

impl Making<'_, '_> {
    fn at(&self, name: &str) -> RdsAt {
        RdsAt { name: name.to_owned(), ..self.what.at.clone() }
    }

    fn say(&mut self, text: String) {
        info!(step = self.attempt.order.step, "{text}");
        self.said += 1;
        if self.said <= SAID_MAX {
            self.attempt.say(&text);
        }
    }

    fn note(&mut self, fault: &Fault) {
        self.requests.extend(fault.request.clone());
    }

    /// At which candidate an earlier attempt was: whatever came before that had failed, also where people have deleted it since.
    async fn begun(&mut self) -> Result<usize, Trouble> {
        for (nth, candidate) in self.what.candidates.iter().enumerate().rev() {
            let at = self.at(&candidate.restored);
            let found = loop {
                match rds::there(&self.access, &at).await {
                    Ok(found) => break found,
                    Err(fault) => self.pause_after(&fault, "nothing was begun").await?,
                }
            };
            if found.is_some_and(|there| is_ours(&there, &self.attempt.order.run)) {
                self.attempt.before = format!("{} was there, made by this run", candidate.restored);
                return Ok(nth);
            }
        }
        Ok(0)
    }

    /// Only what may be over in a moment is waited for.
    async fn pause_after(&mut self, fault: &Fault, doing: &str) -> Result<(), Trouble> {
        self.note(fault);
        let touched = self.attempt.touched;
        // Credentials run out in the hours that this takes, and are looked for anew by whoever asks next.
        let passes = fault.passes() || (touched && fault.kind == Kind::Credentials);
        if !passes || !self.pause().await {
            let why = format!("{doing}: {fault}; {}", fault.advice());
            return Err(match touched && fault.passes() {
                true => Trouble::Unknown(why),
                false => Trouble::Failed { why, retry: fault.passes() },
            });
        }
        Ok(())
    }

    /// Until the next look; false where there is no time for one.
    async fn pause(&self) -> bool {
        let pause = self.what.look_every.duration();
        if Instant::now() + pause >= self.attempt.until {
            return false;
        }
        sleep(pause).await;
        true
    }

    async fn is_there(&self, name: &str) -> bool {
        matches!(rds::there(&self.access, &self.at(name)).await, Ok(Some(_)))
    }

    /// All of one candidate: of a cluster its instances, too.
    async fn made(&mut self, candidate: &Candidate) -> Result<End, Trouble> {
        let form = self.what.at.form;
        let endpoint = match self.waited((form, &candidate.restored), (candidate, None)).await? {
            End::Usable(endpoint) => endpoint,
            unusable @ End::Unusable(_) => return Ok(unusable),
        };
        for nth in 0..self.what.members.len() {
            let name = candidate.member(nth);
            let member = self.waited((Form::Instance, &name), (candidate, Some(nth))).await?;
            if let End::Unusable(why) = member {
                return Ok(End::Unusable(format!("its instance {name}: {why}")));
            }
        }
        Ok(End::Usable(endpoint))
    }

    /// One of them, asked for where it is not there, until it can be used or cannot.
    async fn waited(
        &mut self,
        (form, name): (Form, &str),
        what: (&Candidate, Option<usize>),
    ) -> Result<End, Trouble> {
        let at = RdsAt { form, ..self.at(name) };
        let (mut was_seen, mut gone) = (false, 0);
        let mut told = (String::new(), Instant::now());
        loop {
            let there = match rds::there(&self.access, &at).await {
                Ok(there) => there,
                Err(fault) => {
                    self.pause_after(&fault, &format!("{name} cannot be looked at")).await?;
                    continue;
                }
            };
            match there {
                Some(there) if !is_ours(&there, &self.attempt.order.run) => {
                    let why = format!(
                        "there is {} {name} that this rollback did not make ({}): rename it, or delete it",
                        if form == Form::Instance { "an instance" } else { "a cluster" },
                        there.arn
                    );
                    return failed(why, false);
                }
                Some(There { status, endpoint: Some(endpoint), .. }) if status == AVAILABLE => {
                    return Ok(End::Usable(endpoint));
                }
                Some(There { status, .. }) if is_failed(&status) => {
                    return Ok(End::Unusable(format!("it is `{status}`")));
                }
                Some(There { status, percent, .. }) => {
                    (was_seen, gone) = (true, 0);
                    let percent = percent.map(|it| format!(" ({it} %)")).unwrap_or_default();
                    let is_due = told.1.elapsed() >= TOLD_EVERY.duration();
                    if told.0 != status || is_due {
                        self.say(format!("{name} is `{status}`{percent}"));
                        told = (status, Instant::now());
                    }
                }
                None if was_seen => {
                    gone += 1;
                    if gone >= GONE_AFTER {
                        return Ok(End::Unusable("it was deleted meanwhile".to_owned()));
                    }
                }
                None => {
                    if let Some(why) = self.asked(what).await? {
                        return Ok(End::Unusable(why));
                    }
                }
            }
            if !self.pause().await {
                let state = if told.0.is_empty() { "not to be seen" } else { &told.0 };
                let why = format!(
                    "{name} is still `{state}` and goes on by itself; what was stopped for it is still stopped. A rollback that begins then finds it by another name: switch to it by hand, or delete it"
                );
                self.attempt.left = format!("the {form} {name}, which is being made");
                return failed(why, false);
            }
        }
    }

    /// Asks for it once; why it cannot be made, where that was said. What may have been done shows at the next look.
    async fn asked(
        &mut self,
        (candidate, member): (&Candidate, Option<usize>),
    ) -> Result<Option<String>, Trouble> {
        if member.is_none() {
            match rds::snapshot(&self.access, self.what.at.form, &candidate.snapshot).await {
                Ok(found) => {
                    if let Some(why) = why_not(found.as_ref(), candidate) {
                        return Ok(Some(why));
                    }
                }
                Err(fault) => {
                    self.pause_after(&fault, "its snapshot cannot be looked at").await?;
                    return Ok(None);
                }
            }
        }
        self.attempt.permits()?;
        self.attempt.touched = true;
        let run = self.attempt.order.run.clone();
        let asked = match member {
            None => rds::restore(&self.access, self.what, candidate, &run).await,
            Some(nth) => rds::add_member(&self.access, self.what, (candidate, nth), &run).await,
        };
        let Err(fault) = asked else { return Ok(None) };
        self.note(&fault);
        match &fault.kind {
            Kind::Throttled | Kind::Unreachable | Kind::Unanswered | Kind::Broken => Ok(None),
            Kind::Refused { code } if code.contains("AlreadyExists") => Ok(None),
            Kind::Denied { .. } | Kind::Credentials => {
                let why = format!("it was not made: {fault}; {}", fault.advice());
                failed(why, false)
            }
            Kind::NotFound | Kind::Changed | Kind::Refused { .. } => Ok(Some(fault.to_string())),
        }
    }
}

/// A name is given again to another one.
fn why_not(found: Option<&Snapshot>, candidate: &Candidate) -> Option<String> {
    match found {
        None => Some("the snapshot is not there any more".to_owned()),
        Some(it) if it.taken_at != Some(candidate.taken_at) => {
            Some("another snapshot has that name now".to_owned())
        }
        Some(it) if it.status != AVAILABLE => Some(format!("the snapshot is `{}`", it.status)),
        Some(_) => None,
    }
}
