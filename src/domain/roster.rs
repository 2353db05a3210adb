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
                "{left_out} services are not watched: services_max is {most}; raise it, or narrow the query"
            ),
            Self::Silent { since, why } => {
                format!("no answer since {} UTC, nobody new is watched: {why}", since.clock())
            }
            Self::Unusable { count, first } => format!(
                "{count} names cannot be a service's, first {first}: letters, digits and . _ - can"
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

impl Taken {
    /// Who came and who went, in sentences that stay short however many they are.
    pub fn changes(&self) -> Vec<String> {
        let said = |names: &[String], what: &str| {
            (!names.is_empty()).then(|| format!("{} {what}: {}", names.len(), listed(names)))
        };
        let came = said(&self.came, "services are watched from now on");
        let went = said(&self.went, "services are not watched any more");
        came.into_iter().chain(went).collect()
    }
}

fn listed(names: &[String]) -> String {
    const NAMED: usize = 10;
    let first = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
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

    /// What is odd about the newest answer.
    pub fn odd(&self) -> &[Odd] {
        &self.odd
    }

    /// There was no answer. What is odd about that, where people are to be told.
    pub fn failed(&mut self, why: &str, now: UnixMs, options: &Options) -> Option<Vec<Odd>> {
        let since = *self.failing_since.get_or_insert(now);
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
        if self.question != question {
            taken.went = self.begin_anew(question, named, busy);
        }
        let mut odd = vec![];
        let usable = usable(named, &mut odd);
        let known = self.members.len();
        let since_last = self.asked_at.map_or(Span::ZERO, |at| now.since(at).max(Span::ZERO));
        let since_last = since_last.min(options.every * 2);
        (self.asked_at, self.failing_since) = (Some(now), None);
        let far_fewer = self.are_far_fewer(usable.len(), now, options);
        if usable.is_empty() && known > 0 {
            odd.push(Odd::Empty { kept: known });
        } else if far_fewer {
            odd.push(Odd::Shrunk { named: usable.len(), kept: known });
        } else {
            taken.went.extend(self.let_go(&usable, busy, since_last, options));
        }
        for name in &usable {
            if let Some(missing) = self.members.get_mut(*name) {
                *missing = Span::ZERO;
            }
        }
        if self.is_believed(usable.len(), known, now, options, &mut odd) {
            taken.came = self.let_in(&usable, options, &mut odd);
        }
        odd.sort();
        if odd != self.odd {
            self.odd.clone_from(&odd);
            taken.odd = Some(odd);
        }
        taken
    }

    /// Another question was asked: what it does not name was never meant. Who came, from the first answer on, has
    /// nothing to be compared with.
    fn begin_anew(
        &mut self,
        question: &str,
        named: &[String],
        busy: &BTreeSet<String>,
    ) -> Vec<String> {
        let stays = |name: &String| busy.contains(name) || named.contains(name);
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
        let since = *self.fewer_since.get_or_insert(now);
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
        let far_more =
            known > 0 && named > FEW && named > known.saturating_mul(options.doubt_factor);
        if !far_more {
            self.doubted_since = None;
            return true;
        }
        let since = *self.doubted_since.get_or_insert(now);
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
        options: &Options,
        odd: &mut Vec<Odd>,
    ) -> Vec<String> {
        let room = options.services_max.saturating_sub(self.members.len());
        let new: Vec<&str> =
            usable.iter().copied().filter(|name| !self.members.contains_key(*name)).collect();
        if new.len() > room {
            odd.push(Odd::TooMany { left_out: new.len() - room, most: options.services_max });
        }
        let came: Vec<String> = new.into_iter().take(room).map(str::to_owned).collect();
        self.members.extend(came.iter().map(|name| (name.clone(), Span::ZERO)));
        came
    }
}

/// A name goes into addresses, queries and commands that people type: what could mean something else there is none.
fn is_usable(name: &str) -> bool {
    const BYTES_MAX: usize = 100;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    name.len() <= BYTES_MAX
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(plain)
}

fn usable<'n>(named: &'n [String], odd: &mut Vec<Odd>) -> BTreeSet<&'n str> {
    let (good, bad): (Vec<&String>, Vec<&String>) = named.iter().partition(|name| is_usable(name));
    if let Some(first) = bad.first() {
        let first: String = first.chars().take(60).collect();
        odd.push(Odd::Unusable { count: bad.len(), first: format!("{first:?}") });
    }
    good.into_iter().map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    fn names(range: std::ops::Range<usize>) -> Vec<String> {
        range.map(|k| format!("svc-{k:05}")).collect()
    }

    fn nobody() -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn told(taken: &Taken) -> Vec<String> {
        taken.odd.iter().flatten().map(Odd::says).collect()
    }

    fn at(minute: i64) -> UnixMs {
        UnixMs(minute * MINUTE)
    }

    #[test]
    fn the_first_answer_is_taken_and_the_next_adds_what_is_new() {
        let (mut roster, options) = (Roster::default(), Options::default());
        let taken = roster.take("q", &names(0..200), &nobody(), at(0), &options);
        assert_eq!(taken.came.len(), 200);
        assert!(taken.changes()[0].ends_with("svc-00008, svc-00009 and 190 more"));
        let taken = roster.take("q", &names(0..202), &nobody(), at(1), &options);
        assert_eq!((taken.came, taken.went.len()), (names(200..202), 0));
        assert_eq!(taken.odd, None);
    }

    #[test]
    fn an_answer_that_names_nobody_lets_nobody_go_however_long_it_lasts() {
        let (mut roster, options) = (Roster::default(), Options::default());
        roster.take("q", &names(0..40), &nobody(), at(0), &options);
        let taken = roster.take("q", &[], &nobody(), at(1), &options);
        assert_eq!(told(&taken), ["the query finds no service; 40 stay watched"]);
        for minute in 2..3_000 {
            let taken = roster.take("q", &[], &nobody(), at(minute), &options);
            assert_eq!(taken, Taken::default(), "said once");
        }
        assert_eq!(roster.names().len(), 40);
        let taken = roster.take("q", &names(0..40), &nobody(), at(3_000), &options);
        assert_eq!(taken.odd, Some(vec![]), "nothing is odd any more");
        assert_eq!(roster.names().len(), 40);
    }

    #[test]
    fn one_that_is_missing_from_believable_answers_goes_after_a_day() {
        let (mut roster, options) = (Roster::default(), Options::default());
        roster.take("q", &names(0..20), &nobody(), at(0), &options);
        // While nobody could be asked no time passes.
        assert!(roster.failed("down", at(1), &options).is_none());
        for minute in 1..1_440 {
            assert!(
                roster.take("q", &names(0..19), &nobody(), at(minute), &options).went.is_empty()
            );
        }
        let busy = names(19..20).into_iter().collect();
        assert!(roster.take("q", &names(0..19), &busy, at(1_440), &options).went.is_empty());
        let taken = roster.take("q", &names(0..19), &nobody(), at(1_441), &options);
        assert_eq!(taken.changes(), ["1 services are not watched any more: svc-00019"]);
    }

    #[test]
    fn far_fewer_than_are_known_go_only_while_the_answers_are_believable() {
        let (mut roster, options) = (Roster::default(), Options::default());
        roster.take("q", &names(0..100), &nobody(), at(0), &options);
        let taken = roster.take("q", &names(0..3), &nobody(), at(1), &options);
        assert_eq!(told(&taken), ["the query finds only 3 services; 100 stay watched"]);
        assert!(roster.take("q", &names(0..3), &nobody(), at(1_440), &options).went.is_empty());
        // It stays so: from a day on it is believed, and what it does not name is missing from then.
        for minute in 1_441..2_880 {
            assert!(
                roster.take("q", &names(0..3), &nobody(), at(minute), &options).went.is_empty()
            );
        }
        assert_eq!(roster.take("q", &names(0..3), &nobody(), at(2_881), &options).went.len(), 97);
    }

    #[test]
    fn time_in_which_nobody_was_asked_is_nobodys_absence() {
        let (mut roster, options) = (Roster::default(), Options::default());
        roster.take("q", &names(0..20), &nobody(), at(0), &options);
        let taken = roster.take("q", &names(0..19), &nobody(), at(5_000), &options);
        assert!(taken.went.is_empty(), "{taken:?}");
    }

    #[test]
    fn another_question_begins_anew_and_keeps_who_has_an_incident() {
        let (mut roster, options) = (Roster::default(), Options::default());
        roster.take("by instance", &names(0..60), &nobody(), at(0), &options);
        let busy = names(7..8).into_iter().collect();
        let taken = roster.take("by service", &names(100..105), &busy, at(1), &options);
        assert_eq!((taken.came.len(), taken.went.len(), taken.odd), (5, 59, None));
        assert_eq!(roster.names().len(), 6);
    }

    #[test]
    fn a_query_that_is_not_answered_for_long_is_told_once() {
        let (mut roster, options) = (Roster::default(), Options::default());
        assert!(roster.failed("bad_data: parse error", at(0), &options).is_none());
        assert!(roster.failed("bad_data: parse error", at(29), &options).is_none());
        let odd = roster.failed("bad_data: parse error", at(30), &options).unwrap();
        assert!(odd[0].says().ends_with("nobody new is watched: bad_data: parse error"), "{odd:?}");
        assert!(roster.failed("bad_data: parse error", at(31), &options).is_none());
        let taken = roster.take("q", &names(0..3), &nobody(), at(32), &options);
        assert_eq!(taken.odd, Some(vec![]), "nothing is odd any more");
    }

    #[test]
    fn ten_times_as_many_wait_until_it_has_stayed_so() {
        let (mut roster, options) = (Roster::default(), Options::default());
        roster.take("q", &names(0..100), &nobody(), at(0), &options);
        let taken = roster.take("q", &names(0..1_000), &nobody(), at(1), &options);
        assert!(taken.came.is_empty());
        assert!(told(&taken)[0].starts_with("the query finds 1000 services where 100 are watched"));
        roster.take("q", &names(0..100), &nobody(), at(5), &options);
        roster.take("q", &names(0..1_000), &nobody(), at(6), &options);
        assert!(
            roster.take("q", &names(0..1_000), &nobody(), at(15), &options).came.is_empty(),
            "it began anew"
        );
        assert_eq!(roster.take("q", &names(0..1_000), &nobody(), at(16), &options).came.len(), 900);
    }

    #[test]
    fn there_is_room_for_so_many_and_the_rest_is_told() {
        let options = Options { services_max: 50, ..Options::default() };
        let mut roster = Roster::default();
        let taken = roster.take("q", &names(0..60), &nobody(), at(0), &options);
        assert_eq!(taken.came, names(0..50));
        assert_eq!(
            told(&taken),
            ["10 services are not watched: services_max is 50; raise it, or narrow the query"]
        );
        assert!(roster.take("q", &names(0..60), &nobody(), at(1), &options).odd.is_none());
    }

    #[test]
    fn a_name_that_cannot_be_a_services_is_told_and_the_others_are_taken() {
        let mut roster = Roster::default();
        let mut named = names(0..2);
        named.extend(["a\nb".to_owned(), "c/d".to_owned(), String::new(), "say \"hi\"".to_owned()]);
        let taken = roster.take("q", &named, &nobody(), at(0), &Options::default());
        assert_eq!(taken.came, names(0..2));
        assert_eq!(
            told(&taken),
            ["4 names cannot be a service's, first \"a\\nb\": letters, digits and . _ - can"]
        );
    }

    #[test]
    fn what_is_known_survives_being_written_down() {
        let mut roster = Roster::default();
        roster.take("q", &names(0..3), &nobody(), at(0), &Options::default());
        let text = serde_json::to_string(&roster).unwrap();
        assert_eq!(serde_json::from_str::<Roster>(&text).unwrap(), roster);
    }
}
