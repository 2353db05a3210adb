//! The address of a database in a secret: read from its current version, and written into a new one. Nothing else of what it holds is
//! told to anybody.

#[cfg(feature = "aws")]
mod entries;
#[cfg(feature = "aws")]
mod held;

use super::{Access, Fault};
use crate::domain::rds::{Endpoint, Pointer};

/// The right that reading takes.
pub const READ: &str = "secretsmanager:GetSecretValue";
/// The right that writing takes.
pub const WRITE: &str = "secretsmanager:PutSecretValue";
/// The label of a version that is written and not current yet. It moves from each to the next, so that a secret has one.
#[cfg(feature = "aws")]
const WRITTEN: &str = "rollbackd-restored";

/// Where in a secret the address is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Of the host.
    pub host: String,
    /// Of the port; where there is none, the port stays as it is.
    pub port: String,
}

/// What is written.
#[derive(Clone, Copy, Debug)]
pub struct Change<'c> {
    /// The version that it is made of, which must be the current one.
    pub of: &'c str,
    /// From this address.
    pub old: &'c Endpoint,
    /// To this one.
    pub new: &'c Endpoint,
    /// What may not stand beside it, for it would go on leading to the old one.
    pub hosts: &'c [String],
    /// The identifiers of both, which may stand there as well.
    pub names: (&'c str, &'c str),
    /// The id of the new version: whoever asks twice makes one.
    pub version: &'c str,
}

#[cfg(feature = "aws")]
mod asked {
    use super::{Change, Keys, READ, WRITE, WRITTEN, held};
    use crate::{
        aws::{
            Access, Account, Clients, Fault, Kind,
            secrets::{self, Move},
        },
        domain::{
            rds::{Endpoint, Pointer},
            secret::CURRENT,
        },
    };

    fn odd(action: &'static str, said: &str) -> Fault {
        Fault::new(action, Kind::Refused { code: "what it holds".to_owned() }, said)
    }

    /// How an address is found in what a secret holds.
    type Found = fn(&str, (&Keys, u16), &[String]) -> Result<Endpoint, String>;

    pub(super) const LOOK: Found = |text, keys, _| held::endpoint(text, keys);
    pub(super) const CHANGE: Found = held::alone;

    pub(super) async fn read(
        access: &Access,
        secret: &str,
        (keys, port): (&Keys, u16),
        (found, hosts): (Found, &[String]),
    ) -> Result<Pointer, Fault> {
        let clients = Account::of(access)?.to_look().await;
        let answer = clients.secrets().get_secret_value().secret_id(secret).send().await;
        let answer = answer.map_err(|fault| clients.fault(READ, fault))?;
        let text =
            answer.secret_string().ok_or_else(|| odd(READ, "it holds bytes, and no JSON"))?;
        let endpoint = found(text, (keys, port), hosts).map_err(|why| odd(READ, &why))?;
        let own = |text: Option<&str>| text.unwrap_or_default().to_owned();
        Ok(Pointer { arn: own(answer.arn()), version: own(answer.version_id()), endpoint })
    }

    pub(super) async fn write(
        access: &Access,
        secret: &str,
        (keys, change): (&Keys, Change<'_>),
    ) -> Result<(), Fault> {
        let clients = Account::of(access)?.to_act().await;
        let answer = clients.secrets().get_secret_value().secret_id(secret);
        let answer = answer.version_id(change.of).send().await;
        let answer = answer.map_err(|fault| not_done(clients.fault(READ, fault)))?;
        let text =
            answer.secret_string().ok_or_else(|| odd(READ, "it holds bytes, and no JSON"))?;
        let new = held::changed(text, keys, change).map_err(|why| odd(WRITE, &why))?;
        put(&clients, secret, (new.expose(), change.version)).await?;
        // AWS itself refuses it where somebody was quicker.
        let (from, to) = (Some(change.of), Some(change.version));
        secrets::change(access, secret, Move { label: CURRENT, from, to }).await
    }

    /// Nobody is given that version: whoever writes it as well, or again, does nothing to anybody.
    async fn put(
        clients: &Clients,
        secret: &str,
        (text, version): (&str, &str),
    ) -> Result<(), Fault> {
        let put = clients.secrets().put_secret_value().secret_id(secret).version_stages(WRITTEN);
        let answer = put.secret_string(text).client_request_token(version).send().await;
        answer.map(|_| ()).map_err(|fault| not_done(clients.fault(WRITE, fault)))
    }

    /// The service is led nowhere else yet, whatever became of this.
    fn not_done(fault: Fault) -> Fault {
        if fault.may_be_done() { Fault { kind: Kind::Unreachable, ..fault } } else { fault }
    }
}

/// Which address its current version holds; `port` where it has no key for one.
#[cfg(feature = "aws")]
pub async fn read(
    access: &Access,
    secret: &str,
    (keys, port): (&Keys, u16),
) -> Result<Pointer, Fault> {
    Box::pin(asked::read(access, secret, (keys, port), (asked::LOOK, &[]))).await
}

/// The same for whoever is to change it: neither the address nor one of these hosts may stand anywhere else in it.
#[cfg(feature = "aws")]
pub async fn read_to_change(
    access: &Access,
    secret: &str,
    (keys, port): (&Keys, u16),
    hosts: &[String],
) -> Result<Pointer, Fault> {
    Box::pin(asked::read(access, secret, (keys, port), (asked::CHANGE, hosts))).await
}

/// Makes a version with another address, and that the current one where `of` still is; asked once.
#[cfg(feature = "aws")]
pub async fn write(access: &Access, secret: &str, what: (&Keys, Change<'_>)) -> Result<(), Fault> {
    Box::pin(asked::write(access, secret, what)).await
}

/// Which address its current version holds.
#[cfg(not(feature = "aws"))]
pub async fn read(_: &Access, _: &str, _: (&Keys, u16)) -> Result<Pointer, Fault> {
    Err(Fault::not_built_in(READ))
}

/// The same for whoever is to change it.
#[cfg(not(feature = "aws"))]
pub async fn read_to_change(
    _: &Access,
    _: &str,
    _: (&Keys, u16),
    _: &[String],
) -> Result<Pointer, Fault> {
    Err(Fault::not_built_in(READ))
}

/// Makes a version with another address.
#[cfg(not(feature = "aws"))]
pub async fn write(_: &Access, _: &str, _: (&Keys, Change<'_>)) -> Result<(), Fault> {
    Err(Fault::not_built_in(WRITE))
}
