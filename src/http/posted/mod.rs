//! What others post, read: bytes in, the domain's words out.
//!
//! Pure: what a body says depends on the body, the mapping and the limits alone. Whatever the bytes are, the answer is
//! what they say or a [`Problem`](super::problem::Problem) that tells what to send instead.

mod alarm;
mod change;
mod evidence;
mod webhook;

pub use self::{
    alarm::alarm,
    change::{PostedChange, change},
    evidence::{Evidence, evidence},
    webhook::{Loss, Webhook, webhook},
};
pub(super) use self::{change::name, webhook::TRIGGER_LABEL};
