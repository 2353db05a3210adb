//! The secrets that a service reads beside its code, and how they go back.

use super::schema::how_often;
use crate::{
    config::Config,
    domain::{planning::Runbook, service::ServiceId},
};

/// What is looked at.
pub(super) fn reads(config: &Config, service: &ServiceId) -> Vec<String> {
    let secrets = config.secrets.get(service).into_iter().flatten();
    let read = secrets.map(|it| {
        let how = how_often(it.every, Some(it.every_watched));
        format!("what it is given: which version of {} is current, {how}", it.at)
    });
    read.collect()
}

/// What goes back with the application, before it or instead of it.
pub(super) fn rolls_back(runbook: &Runbook) -> Vec<String> {
    let back = runbook.secrets.iter().map(|it| {
        format!(
            "where {} is what changed, its version of before is made current, and what serves is started anew",
            it.at
        )
    });
    back.collect()
}
