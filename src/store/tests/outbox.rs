use super::*;
use crate::{
    domain::delivery::PAUSE_MAX,
    store::{
        OutboxRow,
        outbox::{Depth, State},
    },
};

fn tell(store: &mut Store, notices: &[OutboxDraft]) -> Vec<String> {
    let appended = store.append(&Turn { notices, ..Turn::default() }).unwrap();
    appended.overflow.into_iter().map(|o| o.notice_id).collect()
}

fn page(id: &str, incident: &str) -> OutboxDraft {
    to("slack", notice(id, incident, Urgency::Page))
}

fn info(id: &str, incident: &str) -> OutboxDraft {
    to("slack", notice(id, incident, Urgency::Info))
}

fn due(store: &Store, now: UnixMs) -> Vec<OutboxRow> {
    store.due("slack", now).unwrap().0
}

fn ids(rows: &[OutboxRow]) -> Vec<&str> {
    rows.iter().map(|row| row.notice.id.as_str()).collect()
}

#[test]
fn a_notice_waits_until_it_is_delivered_across_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let email = to("email", notice("n1", "i1", Urgency::Page));
    tell(&mut store, &[page("n1", "i1"), email]);
    drop(store);
    let mut store = open(dir.path());
    let rows = due(&store, T0);
    assert_eq!(rows[0].notice, notice("n1", "i1", Urgency::Page));
    store.delivered(&rows[0]).unwrap();
    assert_eq!(due(&store, T0), []);
    assert_eq!(store.due("email", T0).unwrap().0.len(), 1);
    tell(&mut store, &[page("n1", "i1")]);
    assert_eq!(due(&store, T0), [], "the same notice is told once");
}

/// Found by seed 1764 of the simulator: a page that had failed once was not tried again for an hour.
#[test]
fn a_clock_that_is_set_back_makes_no_page_wait_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    tell(&mut store, &[page("a1", "a"), page("b1", "b")]);
    let rows = due(&store, T0);
    store.failed(&rows[0], "503", T0 + Span::seconds(30)).unwrap();
    let back = T0 - Span::minutes(10);
    assert_eq!(due(&store, back), [], "as if both were for later");
    store.clock_set_back(Span::minutes(10)).unwrap();
    assert_eq!(ids(&due(&store, back)), ["b1"]);
    assert_eq!(ids(&due(&store, back + Span::seconds(30))), ["a1", "b1"]);
}

/// A clock that was an hour ahead for ten seconds stamped it, and nobody noticed either step.
#[test]
fn nothing_waits_for_longer_than_the_longest_pause_whatever_clock_stamped_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    tell(&mut store, &[page("a1", "a")]);
    let rows = due(&store, T0);
    let asked = T0 + PAUSE_MAX;
    store.failed(&rows[0], "429", asked).unwrap();
    assert_eq!(store.due("slack", T0).unwrap(), (vec![], Some(asked)));
    store.failed(&rows[0], "503", T0 + Span::hours(1)).unwrap();
    let (rows, next) = store.due("slack", T0).unwrap();
    assert_eq!((ids(&rows), next), (vec!["a1"], Some(T0)));
}

#[test]
fn a_failing_notice_holds_back_its_own_incident_only() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    tell(&mut store, &[page("a1", "a"), page("a2", "a"), info("b1", "b")]);
    let rows = due(&store, T0);
    assert_eq!(ids(&rows), ["a1", "b1"]);
    let retry_at = T0 + Span::seconds(4);
    store.failed(&rows[0], "503", retry_at).unwrap();
    store.delivered(&rows[1]).unwrap();
    assert_eq!(due(&store, T0 + Span::seconds(3)), []);
    assert_eq!(store.due("slack", T0).unwrap().1, Some(retry_at));
    let rows = due(&store, retry_at);
    assert_eq!((ids(&rows), rows[0].attempts), (vec!["a1"], 1));
    store.dead(&rows[0], "the channel is archived").unwrap();
    assert_eq!(ids(&due(&store, retry_at)), ["a2"]);
    let listed = store.view().outbox(10).unwrap();
    assert_eq!(listed[2].last_error.as_deref(), Some("the channel is archived"));
}

#[test]
fn infos_that_waited_are_told_as_one_and_share_its_fate() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    tell(&mut store, &[info("1", "i")]);
    let retry_at = T0 + Span::minutes(4);
    store.failed(&due(&store, T0)[0], "timeout", retry_at).unwrap();
    tell(&mut store, &[info("2", "i"), info("3", "i")]);
    assert_eq!(due(&store, T0), [], "the newest does not jump the pause");
    let rows = due(&store, retry_at);
    assert_eq!((ids(&rows), rows[0].attempts), (vec!["3"], 1));
    assert_eq!(rows[0].notice.lines, ["2 earlier notices coalesced"]);
    store.delivered(&rows[0]).unwrap();
    assert_eq!(store.due("slack", T0).unwrap().1, None);
    let into: Vec<_> =
        store.view().outbox(10).unwrap().into_iter().map(|l| l.coalesced_into).collect();
    assert_eq!(into, [None, Some(3), Some(3)]);
}

#[test]
fn a_page_ends_the_pause_of_what_it_has_to_wait_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    tell(&mut store, &[info("1", "i")]);
    store.failed(&due(&store, T0)[0], "timeout", T0 + Span::minutes(5)).unwrap();
    tell(&mut store, &[page("2", "i")]);
    assert_eq!(ids(&due(&store, T0)), ["1"]);
}

#[test]
fn a_full_queue_drops_infos_and_hands_back_pages() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    store.options.outbox_max = 3;
    let no = Vec::<String>::new();
    assert_eq!(tell(&mut store, &[page("p1", "a"), info("i1", "b"), info("i2", "c")]), no);
    assert_eq!(tell(&mut store, &[page("p2", "d")]), ["i1"]);
    assert_eq!(tell(&mut store, &[page("p3", "e")]), ["i2"]);
    assert_eq!(tell(&mut store, &[info("i3", "f")]), ["i3"]);
    let pushed = store.append(&Turn { notices: &[page("p4", "g")], ..Turn::default() }).unwrap();
    assert_eq!(pushed.overflow[0].notice_id, "p1");
    assert_eq!(pushed.overflow[0].urgency, Urgency::Page);
    let depth = |state, count| Depth { channel: "slack".into(), state, count };
    assert_eq!(store.view().depth().unwrap(), [depth(State::Dead, 4), depth(State::Queued, 3)]);
    store.options.settled_max = 1;
    store.prune(T0, 0).unwrap();
    assert_eq!(store.view().depth().unwrap(), [depth(State::Dead, 1), depth(State::Queued, 3)]);
}

#[test]
fn facts_and_their_notices_are_written_together_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    behind_its_back(dir.path())
        .execute_batch(
            "CREATE TRIGGER no_pages BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'no'); END;",
        )
        .unwrap();
    let facts = [fact("fleet", "1")];
    let turn = Turn { facts: &facts, notices: &[page("n", "i")], answers: &[] };
    assert!(store.append(&turn).is_err());
    assert_eq!(store.view().last_seq().unwrap(), 0);
    behind_its_back(dir.path()).execute_batch("DROP TRIGGER no_pages").unwrap();
    assert_eq!(store.append(&turn).unwrap().records[0].seq, 1);
    assert_eq!(ids(&due(&store, T0)), ["n"]);
}

#[test]
fn a_notice_of_another_version_is_told_as_it_stands() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    tell(&mut store, &[page("n", "i")]);
    behind_its_back(dir.path()).execute("UPDATE outbox SET body = '{\"new\":1}'", []).unwrap();
    let rows = due(&store, T0);
    assert_eq!((ids(&rows), rows[0].notice.urgency), (vec!["n"], Urgency::Page));
    assert_eq!(rows[0].notice.lines, ["{\"new\":1}"]);
}
