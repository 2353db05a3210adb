//! What is said where this program was built without AWS: a configuration that needs it is refused, so nobody comes here.

use super::Site;
use crate::{
    domain::{
        change::Component,
        inventory::{Check, Inventory, Serving},
        plan::Action,
        run::Outcome,
    },
    executors::{Attempt, Options, Trouble, failed},
};

const WHY: &str = "this rollbackd was built without AWS";

/// What is remembered from look to look.
#[derive(Debug, Default)]
pub struct Known(());

/// Nothing is known.
pub async fn frontend_inventory(_: &Site, _: &Options, _: &mut Known) -> Inventory {
    Inventory {
        component: Component::Application,
        linked: None,
        running: Serving::Unknown(WHY.to_owned()),
        switched_at: None,
        available: vec![],
        faults: vec![WHY.to_owned()],
        told: None,
        deployed: None,
        read: None,
    }
}

/// Nothing is there.
pub async fn frontend_preflight(_: &Site, _: &Options) -> Vec<Check> {
    vec![Check { what: "it can be looked at".to_owned(), ok: false, why: WHY.to_owned() }]
}

/// Nothing is recorded.
pub async fn record(_: &Site, _: &str) -> Result<String, String> {
    Err(WHY.to_owned())
}

/// Nothing is done.
pub(in crate::executors) async fn perform(
    _: &mut Attempt<'_>,
    _: &Action,
) -> Result<Outcome, Trouble> {
    failed(WHY.to_owned(), false)
}
