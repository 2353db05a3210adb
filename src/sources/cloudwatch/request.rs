//! From signals to requests: each metric once, names that do not meet, at most so many queries at a time.

use std::collections::{BTreeMap, BTreeSet};

use super::{Metric, QUERIES_MAX, Spec, Term};

/// One of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    /// No other of the same request has it.
    pub(super) id: String,
    pub(super) term: Term,
    /// Whether its values are wanted, and not only what is made of them.
    pub(super) returned: bool,
}

/// One request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) queries: Vec<Query>,
    /// The number of a signal, and the ids of its terms.
    pub(super) signals: Vec<(usize, Vec<String>)>,
    /// Of an id whose it is, each with the name that it has in the configuration.
    owners: BTreeMap<String, BTreeMap<usize, String>>,
}

impl Batch {
    /// The one signal that this speaks of by an id of this request, where there is one.
    pub(super) fn spoken_of(&self, said: &str) -> Option<usize> {
        let owners = every_word(said).into_iter().filter_map(|(_, word)| self.owners.get(word));
        let spoken_of: BTreeSet<usize> = owners.flat_map(|of| of.keys().copied()).collect();
        if spoken_of.len() == 1 { spoken_of.first().copied() } else { None }
    }

    /// The same with the names of the configuration in place of the ids: for a request of one signal.
    pub(super) fn in_words(&self, said: &str) -> String {
        let mut told = String::new();
        let mut from = 0;
        for (at, word) in every_word(said) {
            if let Some(name) = self.owners.get(word).and_then(|of| of.values().next()) {
                told.push_str(&said[from..at]);
                told.push_str(name);
                from = at + word.len();
            }
        }
        told + &said[from..]
    }
}

/// For these signals. Those whose terms belong together stay together.
pub(super) fn batches(specs: &[Spec], of: impl IntoIterator<Item = usize>) -> Vec<Batch> {
    let mut all = vec![];
    let mut building = Building::default();
    for number in of {
        let spec = &specs[number];
        if building.batch.queries.len() + building.more(spec) > QUERIES_MAX {
            all.push(std::mem::take(&mut building).batch);
        }
        building.add(number, spec);
    }
    all.push(building.batch);
    all.retain(|batch| !batch.signals.is_empty());
    all
}

#[derive(Default)]
struct Building {
    batch: Batch,
    known: BTreeMap<Metric, usize>,
}

impl Building {
    /// How many queries it would be longer.
    fn more(&self, spec: &Spec) -> usize {
        let metrics = spec.metrics();
        let expressions = spec.wants.terms().len();
        metrics.iter().filter(|metric| !self.known.contains_key(**metric)).count() + expressions
    }

    fn add(&mut self, number: usize, spec: &Spec) {
        let named: BTreeMap<&str, String> = spec
            .named
            .iter()
            .map(|(name, metric)| (name.as_str(), self.metric(metric, false)))
            .collect();
        for (name, id) in &named {
            self.owned(id, number, name);
        }
        let ids = spec.wants.terms().into_iter().map(|(key, term)| {
            let id = match term {
                Term::Metric(metric) => self.metric(metric, true),
                Term::Expression(text) => {
                    let term = Term::Expression(renamed(text, &named));
                    self.query(term, true)
                }
            };
            self.owned(&id, number, key);
            id
        });
        let ids = ids.collect();
        self.batch.signals.push((number, ids));
    }

    fn owned(&mut self, id: &str, by: usize, name: &str) {
        let owners = self.batch.owners.entry(id.to_owned()).or_default();
        owners.entry(by).or_insert_with(|| name.to_owned());
    }

    fn metric(&mut self, metric: &Metric, returned: bool) -> String {
        if let Some(known) = self.known.get(metric) {
            let query = &mut self.batch.queries[*known];
            query.returned |= returned;
            return query.id.clone();
        }
        self.known.insert(metric.clone(), self.batch.queries.len());
        self.query(Term::Metric(metric.clone()), returned)
    }

    fn query(&mut self, term: Term, returned: bool) -> String {
        let id = format!("q{}", self.batch.queries.len());
        self.batch.queries.push(Query { id: id.clone(), term, returned });
        id
    }
}

/// An expression with the names that its metrics have in this request.
fn renamed(expression: &str, named: &BTreeMap<&str, String>) -> String {
    let mut said = String::new();
    let mut from = 0;
    for (at, name) in names(expression) {
        if let Some(id) = named.get(name) {
            said.push_str(&expression[from..at]);
            said.push_str(id);
            from = at + name.len();
        }
    }
    said + &expression[from..]
}

/// The names that an expression uses: not those of functions or constants, nor what is in quotes.
pub(super) fn names(expression: &str) -> Vec<(usize, &str)> {
    // CloudWatch's functions and constants begin with a capital letter, and ids never do.
    let is_name = |(at, word): &(usize, &str)| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && !expression[at + word.len()..].trim_start().starts_with('(')
    };
    words(expression).into_iter().filter(is_name).collect()
}

/// All words of an expression, but for what is in quotes.
pub(super) fn words(expression: &str) -> Vec<(usize, &str)> {
    let mut found = vec![];
    let mut at = 0;
    while let Some(first) = expression[at..].chars().next() {
        if matches!(first, '\'' | '"') {
            let inside = at + first.len_utf8();
            let end = expression[inside..].find(first);
            at = end.map_or(expression.len(), |end| inside + end + first.len_utf8());
            continue;
        }
        let rest = &expression[at..];
        let end = rest.find(|c| !is_of_a_word(c)).unwrap_or(rest.len());
        if end > 0 {
            found.push((at, &rest[..end]));
        }
        at += if end == 0 { first.len_utf8() } else { end };
    }
    found
}

/// All words of what AWS says, which has the ids in quotes.
fn every_word(said: &str) -> Vec<(usize, &str)> {
    let mut found = vec![];
    let mut at = 0;
    for part in said.split_inclusive(|c| !is_of_a_word(c)) {
        let word = part.trim_end_matches(|c| !is_of_a_word(c));
        if !word.is_empty() {
            found.push((at, word));
        }
        at += part.len();
    }
    found
}

fn is_of_a_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::cloudwatch::Wants;

    fn metric(name: &str) -> Metric {
        Metric {
            namespace: "Shop".into(),
            name: name.into(),
            dimensions: [("Service".to_owned(), "checkout".to_owned())].into(),
            stat: "Sum".into(),
        }
    }

    fn ratio(bad: Term, total: &str) -> Spec {
        let wants = Wants::Ratio { bad, total: Term::Metric(metric(total)) };
        Spec { named: BTreeMap::new(), wants }
    }

    #[test]
    fn a_metric_that_several_signals_need_is_asked_for_once() {
        let specs = [
            ratio(Term::Metric(metric("errors")), "requests"),
            ratio(Term::Metric(metric("timeouts")), "requests"),
        ];
        let all = batches(&specs, 0..specs.len());
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].queries.len(), 3);
        let ids = |at: usize| all[0].signals[at].1.join(" ");
        assert_eq!((ids(0).as_str(), ids(1).as_str()), ("q0 q1", "q2 q1"));
        assert!(all[0].queries.iter().all(|query| query.returned));
    }

    #[test]
    fn what_expressions_stand_on_is_not_returned_and_has_no_name_twice() {
        let mut one = ratio(Term::Expression("FILL(a,0) + b".into()), "requests");
        one.named = [("a".to_owned(), metric("5xx")), ("b".to_owned(), metric("requests"))].into();
        let mut other = ratio(Term::Expression("a*2".into()), "requests");
        other.named = [("a".to_owned(), metric("timeouts"))].into();
        let all = batches(&[one, other], [0, 1]);
        let said: Vec<(&str, bool)> = all[0]
            .queries
            .iter()
            .map(|query| match &query.term {
                Term::Metric(metric) => (metric.name.as_str(), query.returned),
                Term::Expression(text) => (text.as_str(), query.returned),
            })
            .collect();
        let (math, other) = ("FILL(q0,0) + q1", "q3*2");
        assert_eq!(
            said,
            [("5xx", false), ("requests", true), (math, true), ("timeouts", false), (other, true)]
        );
    }

    #[test]
    fn more_than_fit_into_a_request_are_asked_for_in_several_and_signals_stay_whole() {
        let specs: Vec<Spec> = (0..400)
            .map(|n| ratio(Term::Metric(metric(&format!("e{n}"))), &format!("r{n}")))
            .collect();
        let all = batches(&specs, 0..specs.len());
        assert_eq!(all.len(), 2);
        assert!(all.iter().all(|batch| batch.queries.len() <= QUERIES_MAX));
        let signals: usize = all.iter().map(|batch| batch.signals.len()).sum();
        assert_eq!(signals, 400);
        for batch in &all {
            for id in batch.signals.iter().flat_map(|(_, ids)| ids) {
                assert!(batch.queries.iter().any(|query| query.id == *id), "{id}");
            }
        }
        assert_eq!(batches(&[], []), []);
    }

    #[test]
    fn names_in_an_expression_are_told_from_functions_numbers_and_quotes() {
        let of = |text| names(text).into_iter().map(|(_, name)| name).collect::<Vec<_>>();
        assert_eq!(of("100 * errors / FILL(requests, 0)"), ["errors", "requests"]);
        assert_eq!(of("SUM([a, b2_x])"), ["a", "b2_x"]);
        assert_eq!(of("IF(a > 1e3, a, REPEAT)"), ["a", "a"]);
        assert_eq!(of("SEARCH('{AWS/EC2,a} b=\"x\"', 'Sum', 60)"), [] as [&str; 0]);
        assert_eq!(of("'never ended a"), [] as [&str; 0]);
        assert_eq!(of("ä + a"), ["a"]);
    }

    /// Nowhere in a file is there a `q137`.
    #[test]
    fn what_cloudwatch_says_of_an_id_is_said_of_the_name_in_the_file() {
        let mut math = ratio(Term::Expression("FIL(behind, 0) * 2".into()), "requests");
        math.named = [("behind".to_owned(), metric("5xx"))].into();
        let specs = [ratio(Term::Metric(metric("errors")), "requests"), math];
        let both = batches(&specs, [0, 1]).remove(0);
        assert_eq!(both.queries[3].id, "q3", "{both:?}");
        let said = "Error in expression 'q3': no function FIL in FIL(q2, 0) * 2";
        assert_eq!(both.spoken_of(said), Some(1));
        assert_eq!(both.spoken_of("Error in expression 'q1'"), None, "both have it");
        assert_eq!(both.spoken_of("Something is wrong"), None);
        let alone = batches(&specs, [1]).remove(0);
        let said = "Error in expression 'q1': no function FIL in FIL(q0, 0) * 2 – q17";
        let told = "Error in expression 'bad': no function FIL in FIL(behind, 0) * 2 – q17";
        assert_eq!(alone.in_words(said), told);
    }
}
