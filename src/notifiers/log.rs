//! The daemon's own log as a channel: it cannot fail, so there is always one record of what was told.

use tracing::{Level, error, info, warn};

use super::text::one_line;
use crate::domain::notice::{Kind, Notice, Urgency};

/// Writes the notice as one event: its subject as the message, the rest as fields to search by.
pub fn write(channel: &str, notice: &Notice) {
    let subject = one_line(&notice.subject);
    let service = notice.service.as_ref().map(ToString::to_string).unwrap_or_default();
    let incident = notice.incident.as_deref().unwrap_or_default();
    let detail = detail(notice);
    // The level is part of a call site, so each level is a call of its own.
    macro_rules! event {
        ($event:ident) => {
            $event!(
                channel,
                notice.id = %one_line(&notice.id),
                notice.kind = ?notice.kind,
                notice.audience = ?notice.audience,
                notice.urgency = ?notice.urgency,
                notice.at = %notice.at,
                service,
                incident = %one_line(incident),
                detail,
                "{subject}"
            )
        };
    }
    match level(notice) {
        Level::ERROR => event!(error),
        Level::WARN => event!(warn),
        _ => event!(info),
    }
}

/// A page is an error, for someone must look; trouble that needs nobody yet is a warning.
fn level(notice: &Notice) -> Level {
    match (notice.urgency, notice.kind) {
        (Urgency::Page, _) => Level::ERROR,
        (Urgency::Info, Kind::Refused | Kind::Trouble | Kind::Health) => Level::WARN,
        (
            Urgency::Info,
            Kind::Incident
            | Kind::RollbackInProgress
            | Kind::RollbackComplete
            | Kind::Ask
            | Kind::Reminder
            | Kind::Closed
            | Kind::Followup,
        ) => Level::INFO,
    }
}

fn detail(notice: &Notice) -> String {
    let fields = notice.fields.iter().map(|(name, value)| format!("{name}: {value}"));
    let choices =
        notice.choices.iter().map(|choice| format!("{}: {}", choice.label, choice.command));
    let all: Vec<String> = fields.chain(notice.lines.iter().cloned()).chain(choices).collect();
    one_line(&all.join("; "))
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use super::*;
    use crate::notifiers::tests as samples;

    #[test]
    fn a_notice_is_one_event_with_its_fields() {
        insta::assert_snapshot!(logged(&samples::in_progress()), @r#"ERROR URGENT - Rollback in Progress - production channel="log" notice.id=checkout/production#41 notice.kind=RollbackInProgress notice.audience=OnCall notice.urgency=Page notice.at=2026-11-22T21:40:52.123Z service="checkout/production" incident=inc-7 detail="Issue: critical-errors: 12.4% of 1,204 requests failed for 5m, limit > 5%; Impact: 1 in 8 requests to checkout fails; Action: Rolling back to version v1; ETA: 7 to 15 min; P0: 12.4% > 5% & rising since v2 went out at 21:34:02; All 14 guards passed; acknowledge: rollbackd ack inc-7; hold: rollbackd hold checkout/production""#);
    }

    #[test]
    fn a_page_is_an_error_and_trouble_a_warning() {
        let mut notice = samples::complete();
        assert_eq!(level(&notice), Level::INFO);
        notice.kind = Kind::Trouble;
        assert_eq!(level(&notice), Level::WARN);
        notice.urgency = Urgency::Page;
        assert_eq!(level(&notice), Level::ERROR);
    }

    #[test]
    fn nobody_can_forge_a_second_line() {
        let mut notice = samples::in_progress();
        notice.subject = "a\n2026-11-22 ERROR b".to_owned();
        notice.lines.push("c\r\nd\u{1b}[2J".to_owned());
        notice.incident = Some("e\nf".to_owned());
        assert_eq!(logged(&notice).trim_end().lines().count(), 1);
    }

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("unpoisoned").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(notice: &Notice) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || write("log", notice));
        let bytes = sink.0.lock().expect("unpoisoned").clone();
        String::from_utf8(bytes).expect("text")
    }
}
