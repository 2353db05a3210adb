//! What whoever looks at AWS and whoever changes something there share.
//!
//! How an account is reached ([`Access`]), one that is opened once for everybody who reaches it so ([`Account`]), and what an
//! answer that is none means ([`Fault`]). All of the SDK is behind the feature `aws`: without it an account cannot be opened,
//! and a configuration that names one is refused before anybody tries; whoever tries all the same is answered [`Fault::not_built_in`].

pub mod access;
#[cfg(feature = "aws")]
mod account;
pub mod address;
#[cfg(feature = "aws")]
mod answer;
pub mod fault;
pub mod notification;
pub mod rds;
pub mod secrets;

#[cfg(feature = "aws")]
pub use self::account::{Account, Clients};
pub use self::{
    access::{Access, Identity, Role},
    fault::{Fault, Kind},
};

/// Whether this program can speak with AWS at all.
pub const IS_BUILT_IN: bool = cfg!(feature = "aws");

/// Whom AWS takes us for there.
#[cfg(feature = "aws")]
pub async fn identity(access: &Access) -> Result<Identity, Fault> {
    Account::of(access)?.to_look().await.identity().await
}

/// Whom AWS takes us for there.
#[cfg(not(feature = "aws"))]
pub async fn identity(_: &Access) -> Result<Identity, Fault> {
    Err(Fault::not_built_in("sts:GetCallerIdentity"))
}
