//! What others say of alerts and alarms, and when. Of CloudWatch those that ended: a topic keeps no order, so that an end may come before its beginning.

use std::collections::BTreeSet;

use super::ServiceWatch;
use crate::{
    domain::event::{Alert, Now},
    units::Span,
};

/// So long it is remembered that an alarm ended: SNS tries no longer to deliver what came before that.
const REMEMBERED: Span = Span::hours(1);
/// Alarms of one service whose end is remembered; of more the oldest is forgotten.
const ALARMS_MAX: usize = 64;

impl ServiceWatch {
    /// Those that Alertmanager, asked, has.
    pub(super) fn alerts_active(&mut self, fingerprints: &BTreeSet<String>, now: Now) {
        for fingerprint in fingerprints {
            self.alerts_seen.insert(fingerprint.clone(), now.wall);
        }
        self.alerts_seen.retain(|_, at| now.wall.since(*at) < REMEMBERED);
    }

    /// What ended is remembered for a while.
    pub(super) fn alarm_ended(&mut self, alert: &Alert, now: Now) {
        if alert.firing || !Alert::is_of_cloudwatch(&alert.fingerprint) {
            return;
        }
        self.alarms_ended.retain(|_, at| now.wall.since(*at) < REMEMBERED);
        if self.alarms_ended.len() >= ALARMS_MAX {
            let oldest = self.alarms_ended.iter().min_by_key(|(_, at)| **at);
            if let Some(oldest) = oldest.map(|(fingerprint, _)| fingerprint.clone()) {
                self.alarms_ended.remove(&oldest);
            }
        }
        let at = self.alarms_ended.entry(alert.fingerprint.clone()).or_insert(alert.starts_at);
        *at = alert.starts_at.max(*at);
    }
}
