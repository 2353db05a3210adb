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
    assert!(changes(&taken.came, &taken.went)[0].ends_with("svc-00008, svc-00009 and 190 more"));
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
    assert_eq!(Some(roster.odd()), taken.odd.as_deref(), "whoever asks later is told the same");
    for minute in 2..3_000 {
        let taken = roster.take("q", &[], &nobody(), at(minute), &options);
        assert_eq!(taken, Taken::default(), "said once");
    }
    assert_eq!(roster.names().len(), 40);
    let taken = roster.take("q", &names(0..40), &nobody(), at(3_000), &options);
    assert_eq!(taken.odd, Some(vec![]), "nothing is odd any more");
    assert_eq!(roster.names().len(), 40);
}

/// A fleet that is set up after the daemon is not odd.
#[test]
fn an_answer_that_names_nobody_where_nobody_is_known_is_not_told() {
    let (mut roster, options) = (Roster::default(), Options::default());
    assert_eq!(roster.take("q", &[], &nobody(), at(0), &options), Taken::default());
    assert_eq!(roster.take("q", &names(0..9), &nobody(), at(1), &options).came.len(), 9);
}

#[test]
fn one_that_is_missing_from_believable_answers_goes_after_a_day() {
    let (mut roster, options) = (Roster::default(), Options::default());
    roster.take("q", &names(0..20), &nobody(), at(0), &options);
    // While nobody could be asked no time passes.
    assert!(roster.failed("down", at(1), &options).is_none());
    for minute in 1..1_440 {
        assert!(roster.take("q", &names(0..19), &nobody(), at(minute), &options).went.is_empty());
    }
    let busy = names(19..20).into_iter().collect();
    assert!(roster.take("q", &names(0..19), &busy, at(1_440), &options).went.is_empty());
    let taken = roster.take("q", &names(0..19), &nobody(), at(1_440), &options);
    assert_eq!(changes(&taken.came, &taken.went), ["1 service is not watched any more: svc-00019"]);
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
        assert!(roster.take("q", &names(0..3), &nobody(), at(minute), &options).went.is_empty());
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
        ["10 of those it names are not watched: services_max is 50; raise it, or narrow the query"]
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
        ["4 names cannot be a service's, first \"\": letters, digits and . _ - can"]
    );
}

#[test]
fn what_is_known_survives_being_written_down() {
    let mut roster = Roster::default();
    roster.take("q", &names(0..3), &nobody(), at(0), &Options::default());
    let text = serde_json::to_string(&roster).unwrap();
    assert_eq!(serde_json::from_str::<Roster>(&text).unwrap(), roster);
}

/// It was told as grown, then as too many, then as grown again, a page each time.
#[test]
fn where_there_is_no_room_for_more_nothing_is_waited_for() {
    let options = Options { services_max: 50, ..Options::default() };
    let mut roster = Roster::default();
    assert_eq!(
        told(&roster.take("q", &names(0..600), &nobody(), at(0), &options)),
        [
            "550 of those it names are not watched: services_max is 50; raise it, or narrow the query"
        ]
    );
    for minute in 1..100 {
        let taken = roster.take("q", &names(0..600), &nobody(), at(minute), &options);
        assert_eq!(taken, Taken::default(), "said once");
    }
}

/// A typing error in the next query, or a server that has just begun, let the whole fleet go at once.
#[test]
fn another_question_that_finds_nobody_lets_nobody_go() {
    let (mut roster, options) = (Roster::default(), Options::default());
    roster.take("q", &names(0..40), &nobody(), at(0), &options);
    let taken = roster.take("another", &[], &nobody(), at(1), &options);
    assert_eq!(taken.went, [] as [&str; 0]);
    assert_eq!(told(&taken), ["the query finds no service; 40 stay watched"]);
    let taken = roster.take("another", &names(100..105), &nobody(), at(2), &options);
    assert_eq!((taken.came.len(), taken.went.len(), taken.odd), (5, 40, Some(vec![])));
}

#[test]
fn nobody_is_missing_from_an_answer_that_is_doubted() {
    let options = Options { doubt_for: Span::hours(48), ..Options::default() };
    let mut roster = Roster::default();
    roster.take("q", &names(0..20), &nobody(), at(0), &options);
    for minute in 1..2_000 {
        let taken = roster.take("q", &names(100..200), &nobody(), at(minute), &options);
        assert_eq!((taken.came.len(), taken.went.len()), (0, 0), "minute {minute}");
    }
}

#[test]
fn a_clock_that_is_set_back_makes_nobody_wait_for_it() {
    let (mut roster, options) = (Roster::default(), Options::default());
    roster.take("q", &names(0..20), &nobody(), at(100_000), &options);
    roster.take("q", &names(0..200), &nobody(), at(100_001), &options);
    roster.take("q", &names(0..200), &nobody(), at(50), &options);
    assert_eq!(roster.take("q", &names(0..200), &nobody(), at(60), &options).came.len(), 180);
}

#[test]
fn a_name_of_many_rows_is_one_name() {
    let mut roster = Roster::default();
    let named = ["a b", "a b", "x", "x"].map(str::to_owned);
    let taken = roster.take("q", &named, &nobody(), at(0), &Options::default());
    assert_eq!(told(&taken), ["\"a b\" cannot be a service's name: letters, digits and . _ - can"]);
}

#[test]
fn a_name_that_its_template_cannot_take_is_told_once_and_tried_again_later() {
    let (mut roster, options) = (Roster::default(), Options::default());
    assert_eq!(roster.take("q", &names(0..3), &nobody(), at(0), &options).came.len(), 3);
    let why = "the file `/etc/svc-00001` cannot be read".to_owned();
    roster.leave_out(&[("svc-00001".to_owned(), why)].into(), at(0));
    assert_eq!(roster.names().collect::<Vec<_>>(), ["svc-00000", "svc-00002"]);
    let taken = roster.take("q", &names(0..4), &nobody(), at(1), &options);
    assert_eq!(taken.came, names(3..4), "the others go on coming");
    assert_eq!(
        told(&taken),
        [
            "svc-00001 is not watched, its template cannot take it: the file `/etc/svc-00001` cannot be read"
        ]
    );
    for minute in 2..10 {
        let taken = roster.take("q", &names(0..4), &nobody(), at(minute), &options);
        assert_eq!(taken, Taken::default(), "said once");
    }
    let taken = roster.take("q", &names(0..4), &nobody(), at(10), &options);
    assert_eq!((taken.came, taken.odd), (names(1..2), None));
    let taken = roster.take("q", &names(0..4), &nobody(), at(11), &options);
    assert_eq!((taken.came.len(), taken.odd), (0, Some(vec![])), "it is watched by now");
}

#[test]
fn another_configuration_and_another_answer_begin_anew_with_what_is_broken() {
    let (mut roster, options) = (Roster::default(), Options::default());
    roster.take("q", &names(0..2), &nobody(), at(0), &options);
    let broken = [("svc-00001".to_owned(), "no".to_owned())].into();
    roster.leave_out(&broken, at(0));
    roster.try_again();
    assert_eq!(roster.take("q", &names(0..2), &nobody(), at(1), &options).came, names(1..2));
    roster.leave_out(&broken, at(1));
    let taken = roster.take("q", &names(0..1), &nobody(), at(2), &options);
    assert_eq!(taken.odd, Some(vec![]), "nobody names it any more");
}

/// Ten thousand names were written down once a minute, the same each time.
#[test]
fn only_what_differs_is_worth_writing_down() {
    let (mut roster, options) = (Roster::default(), Options::default());
    let empty = roster.clone();
    roster.take("q", &names(0..20), &nobody(), at(0), &options);
    assert!(roster.is_news_after(&empty));
    let written = roster.clone();
    for minute in 1..100 {
        roster.take("q", &names(0..20), &nobody(), at(minute), &options);
        assert!(!roster.is_news_after(&written), "the same names in minute {minute}");
    }
    roster.take("q", &names(0..19), &nobody(), at(100), &options);
    assert!(roster.is_news_after(&written), "one is missing");
    let written = roster.clone();
    let worth = |minute: &i64| {
        roster.take("q", &names(0..19), &nobody(), at(*minute), &options);
        roster.is_news_after(&written)
    };
    assert_eq!((101..120).find(worth), Some(110), "how long it is missing is written in rounds");
    let written = roster.clone();
    roster.take("q", &names(0..20), &nobody(), at(111), &options);
    assert!(roster.is_news_after(&written), "it is back");
    let written = roster.clone();
    assert!(roster.failed("down", at(112), &options).is_none());
    assert!(roster.is_news_after(&written), "since when it fails");
    let written = roster.clone();
    roster.failed("down", at(113), &options);
    assert!(!roster.is_news_after(&written));
}

/// What was written down and is so no more would be believed after a restart.
#[test]
fn whatever_is_otherwise_than_it_was_written_is_news() {
    let mut written = Roster::default();
    written.take("q", &names(0..20), &nobody(), at(0), &Options::default());
    assert!(!written.clone().is_news_after(&written));
    type Change = fn(&mut Roster);
    let changes: [Change; 6] = [
        |roster| roster.question = "another".to_owned(),
        |roster| drop(roster.members.pop_first()),
        |roster| roster.doubted_since = Some(at(1)),
        |roster| roster.fewer_since = Some(at(1)),
        |roster| roster.failing_since = Some(at(1)),
        |roster| roster.odd = vec![Odd::TooMany { left_out: 1, most: 2 }],
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut roster = written.clone();
        change(&mut roster);
        assert!(roster.is_news_after(&written), "{index}");
    }
}
