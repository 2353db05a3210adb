//! Notices as the domain makes them, for the renderers' tests, and what they look like as plain text.

use proptest::prelude::*;

use crate::{
    domain::{
        notice::{Audience, Choice, Kind, Notice, Urgency},
        severity::Severity,
    },
    units::UnixMs,
};

fn pairs(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The runbook's first notice (step 2), as those on call get it.
pub(super) fn in_progress() -> Notice {
    Notice {
        id: "checkout/production#41".to_owned(),
        service: Some("checkout/production".parse().expect("a service")),
        incident: Some("inc-7".to_owned()),
        severity: Some(Severity::P0),
        audience: Audience::OnCall,
        urgency: Urgency::Page,
        kind: Kind::RollbackInProgress,
        subject: "URGENT - Rollback in Progress - production".to_owned(),
        fields: pairs(&[
            ("Issue", "critical-errors: 12.4% of 1,204 requests failed for 5m, limit > 5%"),
            ("Impact", "1 in 8 requests to checkout fails"),
            ("Action", "Rolling back to version v1"),
            ("ETA", "7 to 15 min"),
        ]),
        lines: vec![
            "P0: 12.4% > 5% & rising since v2 went out at 21:34:02".to_owned(),
            "All 14 guards passed".to_owned(),
        ],
        choices: vec![
            Choice { label: "acknowledge".to_owned(), command: "rollbackd ack inc-7".to_owned() },
            Choice {
                label: "hold".to_owned(),
                command: "rollbackd hold checkout/production".to_owned(),
            },
        ],
        at: UnixMs(1_795_383_652_123),
    }
}

/// The runbook's second notice (step 9), as stakeholders get it.
pub(super) fn complete() -> Notice {
    Notice {
        id: "checkout/production#58".to_owned(),
        audience: Audience::Stakeholders,
        urgency: Urgency::Info,
        kind: Kind::RollbackComplete,
        subject: "Rollback Complete - production".to_owned(),
        fields: pairs(&[
            ("Rollback status", "Success"),
            ("Current version", "v1"),
            ("System status", "Operational"),
            ("Root cause analysis", "In progress"),
        ]),
        lines: vec![],
        choices: vec![],
        at: UnixMs(1_795_384_252_000),
        ..in_progress()
    }
}

/// Text of every script, and what renderers stumble over, often far too long.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => any::<String>(),
        1 => Just(String::new()),
        1 => "[ \\t\\n]{0,3}",
        2 => ("[&<>`*🚨é\\PC]{1,9}", 1usize..1500).prop_map(|(text, times)| text.repeat(times)),
    ]
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Incident), Just(Kind::Ask), Just(Kind::Closed), Just(Kind::Health)]
}

/// A notice with anything in it.
pub(super) fn any_notice() -> impl Strategy<Value = Notice> {
    let fields = prop::collection::vec((any_text(), any_text()), 0..30);
    let lines = prop::collection::vec(any_text(), 0..8);
    let choices = prop::collection::vec((any_text(), any_text()), 0..8);
    let page = any::<bool>();
    let texts = (any_text(), any_text(), any::<i64>());
    (texts, fields, lines, choices, page, any_kind()).prop_map(
        |((subject, incident, at), fields, lines, choices, page, kind)| Notice {
            incident: Some(incident),
            urgency: if page { Urgency::Page } else { Urgency::Info },
            kind,
            subject,
            fields,
            lines,
            choices: choices
                .into_iter()
                .map(|(label, command)| Choice { label, command })
                .collect(),
            at: UnixMs(at),
            ..in_progress()
        },
    )
}

#[test]
fn the_runbooks_first_notice_as_plain_text() {
    insta::assert_snapshot!(in_progress().plain(), @r"
    URGENT - Rollback in Progress - production
    - Issue: critical-errors: 12.4% of 1,204 requests failed for 5m, limit > 5%
    - Impact: 1 in 8 requests to checkout fails
    - Action: Rolling back to version v1
    - ETA: 7 to 15 min
    P0: 12.4% > 5% & rising since v2 went out at 21:34:02
    All 14 guards passed
    acknowledge: rollbackd ack inc-7
    hold: rollbackd hold checkout/production
    ");
}

#[test]
fn the_runbooks_second_notice_as_plain_text() {
    insta::assert_snapshot!(complete().plain(), @r"
    Rollback Complete - production
    - Rollback status: Success
    - Current version: v1
    - System status: Operational
    - Root cause analysis: In progress
    ");
}
