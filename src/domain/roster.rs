//! Which services a query found, and which of its answers to doubt.
//!
//! A service that an answer does not name is missing, and missing is not gone: it is let go only after it was missing
//! from believable answers for long. An answer that names nobody, far fewer or far more than the last is told, and
//! taken for true only once it has stayed so: a broken scrape empties a fleet, and a wrong label multiplies it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::units::{Span, UnixMs};

/// What one query may find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The most services that are watched because of it.
    pub services_max: usize,
    /// How long a service must have been missing before it is not watched any more.
    pub forget_after: Span,
    /// More than so many times as many as are known, or less than one in so many, is doubted.
    pub doubt_factor: usize,
    /// How long a doubted answer must stay so before it is believed.
    pub doubt_for: Span,
    /// How often it is asked: time in which nobody asked counts for no service.
    pub every: Span,
    /// How long a query may fail before people are told.
    pub silent_for: Span,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            services_max: 10_000,
            forget_after: Span::hours(24),
            doubt_factor: 3,
            doubt_for: Span::minutes(10),
            every: Span::minutes(1),
            silent_for: Span::minutes(30),
        }
    }
}

/// Few services may come and go as they like: ten new ones beside three are no wrong label.
const FEW: usize = 10;
/// What a template could not take may be mended beside it: a secret that was not there yet. To try costs a reading of
/// the whole file.
const TRIED_AGAIN_AFTER: Span = Span::minutes(10);
/// Of how long somebody has been missing no more than this is forgotten by a crash.
const WRITTEN_WHILE_MISSING: Span = Span::minutes(10);

/// The services that are watched because a query named them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Roster {
    /// What was asked. Another question begins anew: what a wrong one found is nobody's.
    question: String,
    /// Each name, with how long it has been missing from believable answers.
    members: BTreeMap<String, Span>,
    /// When the newest answer came.
    asked_at: Option<UnixMs>,
    /// Since when the answers have been far more than what is known.
    doubted_since: Option<UnixMs>,
    /// Since when the answers have been far fewer.
    fewer_since: Option<UnixMs>,
    /// Since when there has been no answer.
    failing_since: Option<UnixMs>,
    /// What is odd about the newest answer: told when it changes.
    odd: Vec<Odd>,
    /// Names that their template cannot take, with when each was tried; with nothing, to be tried at once.
    broken: BTreeMap<String, Option<UnixMs>>,
    /// The first of them, and what is wrong with it.
    broken_why: Option<(String, String)>,
}

/// What is odd about an answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "odd")]
pub enum Odd {
    /// It names nobody.
    Empty {
        /// How many stay watched.
        kept: usize,
    },
    /// It names far fewer than are known.
    Shrunk {
        /// How many it names.
        named: usize,
        /// How many stay watched.
        kept: usize,
    },
    /// It names far more than are known; the new ones wait.
    Grown {
        /// How many it names.
        named: usize,
        /// How many are watched.
        kept: usize,
        /// How long it must stay so.
        for_: Span,
    },
    /// There is no room for all that it names.
    TooMany {
        /// How many are left out.
        left_out: usize,
        /// The limit.
        most: usize,
    },
    /// There has been no answer for long.
    Silent {
        /// Since when.
        since: UnixMs,
        /// Why.
        why: String,
    },
    /// Names that no service can have.
    Unusable {
        /// How many.
        count: usize,
        /// The first of them, safe to print.
        first: String,
    },
    /// Names that their template cannot take.
    Broken {
        /// How many.
        count: usize,
        /// One of them.
        first: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Odd {
    /// What people are told, and what to do.
    pub fn says(&self) -> String {
        match self {
            Self::Empty { kept } => {
                format!("the query finds no service; {kept} stay watched")
            }
            Self::Shrunk { named, kept } => {
                format!("the query finds only {named} services; {kept} stay watched")
            }
            Self::Grown { named, kept, for_ } => format!(
                "the query finds {named} services where {kept} are watched: the new ones are taken if it stays so \
                 for {for_}; is its label the service's name?"
            ),
            Self::TooMany { left_out, most } => format!(
                "{left_out} of those it names are not watched: services_max is {most}; raise it, or narrow the query"
            ),
            Self::Silent { since, why } => {
                format!("no answer since {} UTC, nobody new is watched: {why}", since.clock())
            }
            Self::Unusable { count: 1, first } => {
                format!("{first} cannot be a service's name: letters, digits and . _ - can")
            }
            Self::Unusable { count, first } => format!(
                "{count} names cannot be a service's, first {first}: letters, digits and . _ - can"
            ),
            Self::Broken { count: 1, first, why } => {
                format!("{first} is not watched, its template cannot take it: {why}")
            }
            Self::Broken { count, first, why } => format!(
                "{count} services are not watched, their template cannot take them, one is {first}: {why}"
            ),
        }
    }
}

/// What an answer led to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Watched from now on.
    pub came: Vec<String>,
    /// Not watched any more.
    pub went: Vec<String>,
    /// What is odd, where that differs from the answer before; empty when nothing is odd any more.
    pub odd: Option<Vec<Odd>>,
}

/// Who came and who went, in sentences that stay short however many they are.
pub fn changes(came: &[String], went: &[String]) -> Vec<String> {
    let said = |names: &[String], what: &str| {
        let are = match names.len() {
            0 => return None,
            1 => "1 service is".to_owned(),
            many => format!("{many} services are"),
        };
        Some(format!("{are} {what}: {}", listed(names)))
    };
    let came = said(came, "watched from now on");
    let went = said(went, "not watched any more");
    came.into_iter().chain(went).collect()
}

/// The first of them, and how many more there are.
pub(super) fn listed(names: &[impl ToString]) -> String {
    const NAMED: usize = 10;
    let first = names.iter().take(NAMED).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(NAMED) {
        Some(more @ 1..) => format!("{first} and {more} more"),
        Some(0) | None => first,
    }
}

impl Roster {
    /// The services that are watched.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }

    /// Whether it says more than what was `written`. When it was asked last is written with something else: time in
    /// which nobody asked counts for nobody, and two intervals of it at most for anybody.
    pub fn is_news_after(&self, written: &Self) -> bool {
        let since = self.asked_at.zip(written.asked_at).map(|(now, then)| now.since(then));
        let is_late = since.is_none_or(|age| !(Span::ZERO..WRITTEN_WHILE_MISSING).contains(&age));
        let Self {
            question,
            members,
            asked_at: _,
            doubted_since,
            fewer_since,
            failing_since,
            odd,
            broken,
            broken_why,
        } = self;
        let differs = |(name, missing): (&String, &Span)| match written.members.get(name) {
            None => true,
            Some(before) if (*before == Span::ZERO) != (*missing == Span::ZERO) => true,
            Some(before) => is_late && before != missing,
        };
        *question != written.question
            || members.len() != written.members.len()
            || members.iter().any(differs)
            || *doubted_since != written.doubted_since
            || *fewer_since != written.fewer_since
            || *failing_since != written.failing_since
            || *odd != written.odd
            || *broken != written.broken
            || *broken_why != written.broken_why
    }

    /// What is odd about the newest answer.
    pub fn odd(&self) -> &[Odd] {
        &self.odd
    }

    /// There was no answer. What is odd about that, where people are to be told.
    pub fn failed(&mut self, why: &str, now: UnixMs, options: &Options) -> Option<Vec<Odd>> {
        let since = earliest(&mut self.failing_since, now);
        let told = self.odd.iter().any(|odd| matches!(odd, Odd::Silent { .. }));
        if told || now.since(since) < options.silent_for {
            return None;
        }
        self.odd = vec![Odd::Silent { since, why: why.to_owned() }];
        Some(self.odd.clone())
    }

    /// Takes a whole answer to a question; of a query that failed nothing is taken.
    /// Those that are `busy` with an incident are not let go: nobody would go on with it.
    pub fn take(
        &mut self,
        question: &str,
        named: &[String],
        busy: &BTreeSet<String>,
        now: UnixMs,
        options: &Options,
    ) -> Taken {
        let mut taken = Taken::default();
        let mut odd = vec![];
        let usable = usable(named, &mut odd);
        // Whom a new question is about is known only once its answer names somebody.
        if self.question != question && (!usable.is_empty() || self.members.is_empty()) {
            taken.went = self.begin_anew(question, &usable, busy);
        }
        let known = self.members.len();
        let since_last = self.asked_at.map_or(Span::ZERO, |at| now.since(at).max(Span::ZERO));
        let since_last = since_last.min(options.every * 2);
        (self.asked_at, self.failing_since) = (Some(now), None);
        self.forget_mended(&usable, &mut odd);
        let far_fewer = self.are_far_fewer(usable.len(), now, options);
        let believed = self.is_believed(usable.len(), known, now, options, &mut odd);
        if usable.is_empty() && known > 0 {
            odd.push(Odd::Empty { kept: known });
        } else if far_fewer {
            odd.push(Odd::Shrunk { named: usable.len(), kept: known });
        } else if believed {
            taken.went.extend(self.let_go(&usable, busy, since_last, options));
        }
        for name in &usable {
            if let Some(missing) = self.members.get_mut(*name) {
                *missing = Span::ZERO;
            }
        }
        if believed {
            taken.came = self.let_in(&usable, now, options, &mut odd);
        }
        odd.sort();
        if odd != self.odd {
            self.odd.clone_from(&odd);
            taken.odd = Some(odd);
        }
        taken
    }

    /// Names that cannot be watched, with what is wrong with each. They are told with the next answer, and tried again
    /// later.
    pub fn leave_out(&mut self, broken: &BTreeMap<String, String>, now: UnixMs) {
        for (name, why) in broken {
            if self.members.remove(name).is_some() {
                self.broken.insert(name.clone(), Some(now));
                self.broken_why.get_or_insert_with(|| (name.clone(), why.clone()));
            }
        }
    }

    /// Another configuration may take what the one before could not.
    pub fn try_again(&mut self) {
        self.broken.values_mut().for_each(|tried| *tried = None);
    }

    /// Those that are watched by now, or named no more, are not broken.
    fn forget_mended(&mut self, usable: &BTreeSet<&str>, odd: &mut Vec<Odd>) {
        let members = &self.members;
        self.broken.retain(|name, _| usable.contains(name.as_str()) && !members.contains_key(name));
        if self.broken.is_empty() {
            self.broken_why = None;
        }
        if let Some((first, why)) = self.broken_why.clone() {
            odd.push(Odd::Broken { count: self.broken.len(), first, why });
        }
    }

    /// Another question was asked: what it does not name was never meant. Who came, from the first answer on, has
    /// nothing to be compared with.
    fn begin_anew(
        &mut self,
        question: &str,
        named: &BTreeSet<&str>,
        busy: &BTreeSet<String>,
    ) -> Vec<String> {
        let stays = |name: &String| busy.contains(name) || named.contains(name.as_str());
        let went: Vec<String> = self.members.keys().filter(|name| !stays(name)).cloned().collect();
        let members = self.members.keys().filter(|name| stays(name));
        let members = members.map(|name| (name.clone(), Span::ZERO)).collect();
        let odd = std::mem::take(&mut self.odd);
        *self = Self { question: question.to_owned(), members, odd, ..Self::default() };
        went
    }

    /// Whether an answer names so few that nobody is let go because of it. What has stayed so for as long as a service
    /// may be missing is true.
    fn are_far_fewer(&mut self, named: usize, now: UnixMs, options: &Options) -> bool {
        let known = self.members.len();
        if known <= FEW || named * options.doubt_factor >= known {
            self.fewer_since = None;
            return false;
        }
        let since = earliest(&mut self.fewer_since, now);
        now.since(since) < options.forget_after
    }

    fn let_go(
        &mut self,
        usable: &BTreeSet<&str>,
        busy: &BTreeSet<String>,
        since_last: Span,
        options: &Options,
    ) -> Vec<String> {
        let mut went = vec![];
        self.members.retain(|name, missing| {
            if !usable.contains(name.as_str()) {
                *missing = *missing + since_last;
            }
            let stays = *missing < options.forget_after || busy.contains(name);
            if !stays {
                went.push(name.clone());
            }
            stays
        });
        went
    }

    /// Whether those that are new may come. The first answer ever has nothing to be compared with.
    fn is_believed(
        &mut self,
        named: usize,
        known: usize,
        now: UnixMs,
        options: &Options,
        odd: &mut Vec<Odd>,
    ) -> bool {
        // No more than there is room for could ever come: where that is not far more, there is nothing to wait for.
        let could_be = named.min(options.services_max.max(known));
        let far_more =
            known > 0 && named > FEW && could_be > known.saturating_mul(options.doubt_factor);
        if !far_more {
            self.doubted_since = None;
            return true;
        }
        let since = earliest(&mut self.doubted_since, now);
        if now.since(since) >= options.doubt_for {
            self.doubted_since = None;
            return true;
        }
        odd.push(Odd::Grown { named, kept: known, for_: options.doubt_for });
        false
    }

    fn let_in(
        &mut self,
        usable: &BTreeSet<&str>,
        now: UnixMs,
        options: &Options,
        odd: &mut Vec<Odd>,
    ) -> Vec<String> {
        let waits = |name: &str| {
            let tried = self.broken.get(name).copied().flatten();
            tried.is_some_and(|at| (Span::ZERO..TRIED_AGAIN_AFTER).contains(&now.since(at)))
        };
        let room = options.services_max.saturating_sub(self.members.len());
        let new: Vec<&str> = usable
            .iter()
            .copied()
            .filter(|name| !self.members.contains_key(*name) && !waits(name))
            .collect();
        if new.len() > room {
            odd.push(Odd::TooMany { left_out: new.len() - room, most: options.services_max });
        }
        let came: Vec<String> = new.into_iter().take(room).map(str::to_owned).collect();
        self.members.extend(came.iter().map(|name| (name.clone(), Span::ZERO)));
        came
    }
}

/// Whether a service can be called so. A name goes into addresses, queries and commands that people type: what could
/// mean something else there is none.
pub fn is_usable(name: &str) -> bool {
    const BYTES_MAX: usize = 100;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    name.len() <= BYTES_MAX
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(plain)
}

/// Since when it has been so. A clock that was set back must not make it wait for the time that was taken away.
fn earliest(since: &mut Option<UnixMs>, now: UnixMs) -> UnixMs {
    let earliest = since.map_or(now, |since| since.min(now));
    *since = Some(earliest);
    earliest
}

/// Many rows may name one service.
fn usable<'n>(named: &'n [String], odd: &mut Vec<Odd>) -> BTreeSet<&'n str> {
    let named: BTreeSet<&str> = named.iter().map(String::as_str).collect();
    let (good, bad): (BTreeSet<&str>, BTreeSet<&str>) =
        named.into_iter().partition(|name| is_usable(name));
    if let Some(first) = bad.first() {
        let first: String = first.chars().take(60).collect();
        odd.push(Odd::Unusable { count: bad.len(), first: format!("{first:?}") });
    }
    good
}

#[cfg(test)]
mod tests;
