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
/// So RDS calls what is wrong with a snapshot, for which another one may serve.
const OF_THE_SNAPSHOT: [&str; 3] =
    ["SnapshotNotFound", "InvalidDBSnapshotState", "InvalidDBClusterSnapshotState"];
/// So RDS calls what is over after a while, and would be no better with another snapshot.
const GOES_BY: [&str; 5] = [
    "Capacity",
    "InvalidDBClusterState",
    "InvalidDBInstanceState",
    "InvalidSubnet",
    "InvalidVPCNetworkState",
];

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
    /// Why the newest could not be begun yet.
    held_up: Option<String>,
    /// What became of those that cannot be used.
    ends: Vec<String>,
}

/// Carries one out.
pub(super) async fn restore(
    attempt: &mut Attempt<'_>,
    what: &RdsRestore,
) -> Result<Outcome, Trouble> {
    let access = access(attempt, &what.at.account)?;
    let mut making =
        Making { attempt, access, what, requests: vec![], said: 0, held_up: None, ends: vec![] };
    let begun = making.begun().await?;
    let mut left = vec![];
    for candidate in &what.candidates[begun..] {
        let Candidate { snapshot, restored, taken_at } = candidate;
        match making.made(candidate).await? {
            End::Usable(endpoint) => {
                if !what.beside.is_empty() {
                    let by_hand = what.beside.join("; ");
                    left.push(format!("to be done by hand for {restored}: {by_hand}"));
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
                making.attempt.left = left.join("; ");
                making.ends.push(end);
            }
        }
    }
    let why = format!("none of {} could be restored", what.candidates.len());
    let ends = making.ends.join("; ");
    failed(format!("{why}: {ends}. {} is as it was. {}", what.at.name, making.case(&why)), false)
}

impl Making<'_, '_> {
    fn at(&self, name: &str) -> RdsAt {
        RdsAt { name: name.to_owned(), ..self.what.at.clone() }
    }

    fn say(&mut self, text: String) {
        info!(step = self.attempt.order.step, "{text}");
        self.attempt.progress(&text);
        self.said += 1;
        if self.said <= SAID_MAX {
            self.attempt.say(&text);
        }
    }

    fn note(&mut self, fault: &Fault) {
        self.requests.extend(fault.request.as_deref().map(str::to_owned));
    }

    fn case(&self, why: &str) -> String {
        Case::of_restore(self.what, &self.ends, &self.requests).text(why)
    }

    /// What is left of the newest, beside what is left of those before it.
    fn leave(&mut self, what: String) {
        let before = std::mem::take(&mut self.attempt.left);
        self.attempt.left = if before.is_empty() { what } else { format!("{before}; {what}") };
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
            if touched {
                self.leave("what was asked for last, which may be being made".to_owned());
            }
            return Err(Trouble::Failed { why, retry: passes });
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
                return self.late((form, name), &told.0);
            }
        }
    }

    /// There is no time left for it.
    fn late(&mut self, (form, name): (Form, &str), state: &str) -> Result<End, Trouble> {
        if let Some(why) = self.held_up.take().filter(|_| state.is_empty()) {
            return failed(format!("{name} was not made: {why}. {}", self.case(&why)), false);
        }
        let state = if state.is_empty() { "not to be seen" } else { state };
        let why = format!(
            "{name} is still `{state}` and goes on by itself. A rollback that begins then makes another one: switch to it by hand, or delete it"
        );
        self.leave(format!("the {form} {name}, which is being made"));
        failed(why, false)
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
        let Err(fault) = asked else {
            self.held_up = None;
            return Ok(None);
        };
        self.note(&fault);
        if fault.is_called(&OF_THE_SNAPSHOT) {
            return Ok(Some(fault.to_string()));
        }
        if fault.is_called(&GOES_BY) {
            let why = fault.to_string();
            if self.held_up.is_none() {
                self.say(format!("it is asked for again until it is made: {why}"));
            }
            self.held_up = Some(why);
            return Ok(None);
        }
        match &fault.kind {
            Kind::Throttled | Kind::Unreachable | Kind::Unanswered | Kind::Broken => Ok(None),
            Kind::Refused { code } if code.contains("AlreadyExists") => Ok(None),
            // An older snapshot would meet the same, and lose more.
            Kind::Denied { .. }
            | Kind::Credentials
            | Kind::NotFound
            | Kind::Changed
            | Kind::Refused { .. } => {
                let why = format!("it was not made: {fault}; {}", fault.advice());
                failed(format!("{why}. {}", self.case(&why)), false)
            }
        }
    }
}

/// A name is given again to another one.
pub(super) fn why_not(found: Option<&Snapshot>, candidate: &Candidate) -> Option<String> {
    match found {
        None => Some("the snapshot is not there any more".to_owned()),
        Some(it) if it.taken_at != Some(candidate.taken_at) => {
            Some("another snapshot has that name now".to_owned())
        }
        Some(it) if it.status != AVAILABLE => Some(format!("the snapshot is `{}`", it.status)),
        Some(_) => None,
    }
}
