//! What the journal must look like after every story: whole, and nothing planned that was not decided.

use std::path::Path;

use rollbackd::{
    domain::{
        fact::Fact,
        incident::{self, Choice, Decision},
        run::{self, Outcome},
    },
    store::{Chain, Reader, Record, StoreError},
};

/// All of it, with what each record says.
pub(super) fn read(state_dir: &Path) -> Vec<(Record, Fact)> {
    let reader = Reader::open(state_dir).expect("the journal can be opened");
    let mut all = vec![];
    let kept = reader.view().replay(0, |record: Record| {
        let fact = serde_json::from_str(&record.fact.body).expect("a record is a fact");
        all.push((record, fact));
        Ok::<(), StoreError>(())
    });
    kept.expect("the journal can be read");
    all
}

/// Checks what holds for every journal, whatever happened, and returns it.
pub(super) fn checked(state_dir: &Path) -> Vec<(Record, Fact)> {
    let reader = Reader::open(state_dir).expect("the journal can be opened");
    let chain = reader.view().verify_chain().expect("the chain can be read");
    assert!(matches!(chain, Chain::Whole { records: 1.., .. }), "{chain:?}");
    let all = read(state_dir);
    for (at, (record, fact)) in all.iter().enumerate() {
        let Fact::Incident(incident::Fact::Planned { by: None, plan, .. }) = fact else { continue };
        let before = all[..at].iter().rev().filter(|(r, _)| r.fact.stream == record.fact.stream);
        let decided = before.map(|(_, fact)| fact).find_map(decision);
        let decided = decided.expect("a plan follows from a decision");
        assert_eq!(decided.verdict, Choice::RollBackNow, "record {}", record.seq);
        assert_eq!(decided.plan.as_ref(), Some(plan), "record {}", record.seq);
        let refused: Vec<_> = decided.guards.iter().filter(|v| v.refusal().is_some()).collect();
        assert!(refused.is_empty(), "acted although {refused:?}");
    }
    all
}

/// The decision that this fact is.
pub(super) fn decision(fact: &Fact) -> Option<&Decision> {
    let Fact::Incident(incident::Fact::Decided(decision)) = fact else { return None };
    Some(decision)
}

/// The rollbacks that were begun.
pub(super) fn planned(all: &[(Record, Fact)]) -> usize {
    let planned = |fact: &Fact| matches!(fact, Fact::Incident(incident::Fact::Planned { .. }));
    all.iter().filter(|(_, fact)| planned(fact)).count()
}

/// How each attempt at a step ended, in order.
pub(super) fn outcomes(all: &[(Record, Fact)], wanted: usize) -> Vec<Outcome> {
    let ended = all.iter().filter_map(|(_, fact)| {
        let Fact::Run(run::Fact::Ended { step, report, .. }) = fact else { return None };
        (*step == wanted).then(|| report.outcome.clone())
    });
    ended.collect()
}

/// The ids of everything that was to be told.
pub(super) fn notices(all: &[(Record, Fact)]) -> Vec<String> {
    let told = all.iter().filter_map(|(_, fact)| {
        let Fact::Told(notice) = fact else { return None };
        Some(notice.id.clone())
    });
    told.collect()
}
