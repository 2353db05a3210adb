//! What people might say, drawn by the simulated world and by the town of the stories, which stands without the rest of it.

use rollbackd::domain::{event::Said, incident::Incident};

/// One of everything that a person might say, whether or not it makes sense of this incident now.
pub(crate) fn might_say(which: u64, incident: Option<&Incident>) -> Said {
    let reason = String::from("a reason");
    let offered = incident.and_then(|incident| incident.offered.as_ref());
    match which {
        0 => Said::Acknowledge,
        1 => Said::Approve { plan: offered.map(|plan| plan.hash()).unwrap_or_default() },
        2 => Said::Reject { reason },
        3 => Said::Dismiss { reason },
        4 => Said::Hold { reason },
        5 => Said::Unhold,
        6 => Said::RollBack { to: None, to_previous: false, plan: None, reason },
        _ => Said::Lift { version: "v2".into() },
    }
}
