//! The decision matrix, the guards, what verifies: for all services or for one.

use serde::Deserialize;

use crate::{
    config::raw::{OrOff, Placed, keys},
    domain::policy::Response,
    units::{Percent, Span},
};

keys! {
    /// `[severity]`: the decision matrix, a row for each.
    Severities {
        #[serde(rename = "P0")]
        p0: Row,
        #[serde(rename = "P1")]
        p1: Row,
        #[serde(rename = "P2")]
        p2: Row,
        #[serde(rename = "P3")]
        p3: Row,
    }
}

keys! {
    /// One row of the decision matrix.
    Row {
        response: Option<Response>,
        monitor_for: Placed<Span>,
        act_within: Placed<OrOff<Span>>,
        verify_within: Placed<Span>,
    }
}

keys! {
    /// `[guard]`: when the daemon must not act by itself.
    Guard {
        max_change_age: Option<OrOff<Span>>,
        burning_window: Placed<Span>,
        noisy_window: Option<Span>,
        thin_requests: Option<u64>,
        thin_lower_bound: Option<Percent>,
        cooldown: Option<Span>,
        rollbacks_per_hour: Placed<u32>,
        freshness_polls: Placed<u32>,
        freshness_at_least: Option<Span>,
        company_wait: Placed<Span>,
    }
}

/// `[fleet]`: guards over all services together.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Fleet {
    pub(in crate::config) storm_services: Option<u32>,
    pub(in crate::config) storm_share: Option<Percent>,
    pub(in crate::config) storm_window: Option<Span>,
    pub(in crate::config) rollbacks_per_hour: Option<u32>,
}

keys! {
    /// `[verification]`: when a rollback has worked.
    Verification {
        hold: Placed<Span>,
        max_error_rate: Option<Percent>,
        max_p95: Option<Span>,
        max_cpu: Option<Percent>,
        max_memory: Option<Percent>,
        min_requests: Option<u64>,
        min_ready: Option<Percent>,
        ready_for: Placed<Span>,
    }
}

keys! {
    /// `[people]`: how they are reminded.
    People {
        repeat_page_every: Placed<Span>,
        root_cause_within: Option<Span>,
        progress_every: Placed<Span>,
        blind_watched: Option<Span>,
        blind_idle: Option<Span>,
    }
}

keys! {
    /// `[baseline]`: how what is normal is learned.
    Baseline {
        begins: Placed<Span>,
        ends: Option<Span>,
        samples: Option<usize>,
        floor: Option<Span>,
        slot: Placed<Span>,
        quantile_window: Placed<Span>,
    }
}
