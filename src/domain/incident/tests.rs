//! Of what an incident keeps and until when.

use super::*;
use crate::domain::{examples, service::Mode};

#[test]
fn a_timeline_that_is_full_keeps_its_beginning_and_its_end() {
    let now = Now { wall: UnixMs(0), steady: UnixMs(0) };
    let mut incident = Incident::new("i".into(), "errors", Severity::P1, UnixMs(0), None, now);
    (0..TIMELINE_MAX + 7).for_each(|line| incident.note(UnixMs(0), line.to_string()));
    let (first, last) = (&incident.timeline[0].1, &incident.timeline[TIMELINE_MAX - 1].1);
    assert_eq!((incident.timeline.len(), first.as_str()), (TIMELINE_MAX, "0"));
    assert_eq!(*last, (TIMELINE_MAX + 6).to_string());
}

/// Its own verification may be late, or not help, as well.
#[test]
fn another_rollback_has_clocks_of_its_own() {
    let now = Now { wall: UnixMs(0), steady: UnixMs(0) };
    let mut incident = Incident::new("i".into(), "errors", Severity::P1, UnixMs(0), None, now);
    incident.late = vec![Clock::Acted, Clock::Helped, Clock::Verified];
    let plan = Arc::new(Plan {
        service: examples::id("shop/production"),
        targets: vec![],
        steps: vec![],
        resources: Default::default(),
        estimate: Span::ZERO,
        scope: String::new(),
        lost: String::new(),
        made_at: UnixMs(0),
    });
    incident.evolve(&Fact::Planned { run: "r2".into(), plan, by: None }, now);
    assert_eq!(incident.late, [Clock::Acted]);
}

/// Once it was told that it is late, nothing is due for that: the daemon would be woken for ever.
#[test]
fn a_deadline_that_was_told_is_due_no_more() {
    let policy = examples::service("shop/production", Mode::Auto);
    let now = Now { wall: UnixMs(0), steady: UnixMs(0) };
    let mut incident = Incident::new("i".into(), "errors", Severity::P1, UnixMs(0), None, now);
    let count = |incident: &Incident| incident.deadlines(&policy).len();
    for phase in [Phase::RollingBack, Phase::Verifying { since: UnixMs(0), since_wall: UnixMs(0) }]
    {
        (incident.phase, incident.late) = (phase, vec![]);
        let before = count(&incident);
        incident.late = vec![Clock::Verified];
        assert_eq!(count(&incident) + 1, before, "{:?}", incident.phase);
    }
}
