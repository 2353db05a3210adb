//! What Secrets Manager says of a secret's versions, and the one thing that is changed of them: their labels. What a version
//! holds is never asked for.

use super::{Access, Fault};
use crate::domain::secret::Secret;

/// What is asked, by the rights that it takes.
pub const LOOK: [&str; 2] =
    ["secretsmanager:DescribeSecret", "secretsmanager:ListSecretVersionIds"];
/// What changes a label.
pub const CHANGE: &str = "secretsmanager:UpdateSecretVersionStage";

/// A label that is moved, put on, or taken off.
#[derive(Clone, Copy, Debug)]
pub struct Move<'m> {
    /// The label.
    pub label: &'m str,
    /// The id of the version that must have it; without this AWS moves no label that some version has.
    pub from: Option<&'m str>,
    /// The id of the version that gets it.
    pub to: Option<&'m str>,
}

#[cfg(feature = "aws")]
mod asked {
    use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
    use aws_smithy_types::DateTime;

    use super::{CHANGE, LOOK, Move};
    use crate::{
        aws::{Access, Account, Clients, Fault, Kind},
        domain::secret::{Secret, Version},
        units::UnixMs,
    };

    /// AWS keeps about a hundred versions; more pages than these are not read.
    const PAGES_MAX: usize = 10;
    /// A version that there is not.
    const NOBODY: &str = "00000000-0000-0000-0000-000000000000";
    /// A label that nobody has.
    const NOTHING: &str = "rollbackd-preflight";

    pub(super) async fn look(access: &Access, id: &str) -> Result<Secret, Fault> {
        let clients = Account::of(access)?.to_look().await;
        let described = clients.secrets().describe_secret().secret_id(id).send().await;
        let described = described.map_err(|fault| clients.fault(LOOK[0], fault))?;
        Ok(Secret {
            arn: described.arn().unwrap_or(id).to_owned(),
            changed_at: described.last_changed_date().and_then(at),
            rotates: described.rotation_enabled() == Some(true),
            bars: bars(access, &described),
            versions: versions(&clients, id).await?,
        })
    }

    async fn versions(clients: &Clients, id: &str) -> Result<Vec<Version>, Fault> {
        let (mut all, mut next) = (vec![], None);
        for _ in 0..PAGES_MAX {
            let asked = clients.secrets().list_secret_version_ids().secret_id(id);
            let asked = asked.include_deprecated(true).max_results(100).set_next_token(next);
            let page = asked.send().await.map_err(|fault| clients.fault(LOOK[1], fault))?;
            all.extend(page.versions().iter().filter_map(|version| {
                let labels = version.version_stages().to_vec();
                Some(Version { id: version.version_id()?.to_owned(), labels })
            }));
            next = page.next_token().map(str::to_owned);
            if next.is_none() {
                return Ok(all);
            }
        }
        let said = format!("it has more than {PAGES_MAX} pages of versions");
        Err(Fault::new(LOOK[1], Kind::Broken, &said))
    }

    fn at(date: &DateTime) -> Option<UnixMs> {
        date.to_millis().ok().map(UnixMs)
    }

    /// Whose label is moved all the same is moved by somebody who knows what that does.
    fn bars(access: &Access, described: &DescribeSecretOutput) -> Option<String> {
        if described.deleted_date().is_some() {
            return Some(
                "it is marked for deletion: `aws secretsmanager restore-secret`".to_owned(),
            );
        }
        let primary = described.primary_region().filter(|region| *region != access.region)?;
        Some(format!("it is a replica of the one in {primary}: name an account in that region"))
    }

    pub(super) async fn change(access: &Access, id: &str, what: Move<'_>) -> Result<(), Fault> {
        let clients = Account::of(access)?.to_act().await;
        let Move { label, from, to } = what;
        let own = |version: Option<&str>| version.map(str::to_owned);
        let asked = clients.secrets().update_secret_version_stage().secret_id(id);
        let asked = asked.version_stage(label).set_remove_from_version_id(own(from));
        let answer = asked.set_move_to_version_id(own(to)).send().await;
        answer.map(|_| ()).map_err(|fault| clients.fault(CHANGE, fault))
    }

    pub(super) async fn may_change(access: &Access, id: &str) -> Result<(), Fault> {
        let what = Move { label: NOTHING, from: Some(NOBODY), to: None };
        match change(access, id, what).await {
            Err(Fault { kind: Kind::NotFound | Kind::Refused { .. } | Kind::Changed, .. }) => {
                Ok(())
            }
            other => other,
        }
    }
}

/// What there is of a secret, by its name or ARN.
#[cfg(feature = "aws")]
pub async fn look(access: &Access, id: &str) -> Result<Secret, Fault> {
    // The SDK's futures are large, and are held by whoever carries out anything.
    Box::pin(asked::look(access, id)).await
}

/// Moves a label; sent once. AWS refuses where `from` has it no more.
#[cfg(feature = "aws")]
pub async fn change(access: &Access, id: &str, what: Move<'_>) -> Result<(), Fault> {
    Box::pin(asked::change(access, id, what)).await
}

/// Whether labels may be changed: a label that nobody has is taken off a version that there is not. Who may not is told so
/// first.
#[cfg(feature = "aws")]
pub async fn may_change(access: &Access, id: &str) -> Result<(), Fault> {
    Box::pin(asked::may_change(access, id)).await
}

/// What there is of a secret, by its name or ARN.
#[cfg(not(feature = "aws"))]
pub async fn look(_: &Access, _: &str) -> Result<Secret, Fault> {
    Err(Fault::not_built_in(LOOK[0]))
}

/// Moves a label.
#[cfg(not(feature = "aws"))]
pub async fn change(_: &Access, _: &str, _: Move<'_>) -> Result<(), Fault> {
    Err(Fault::not_built_in(CHANGE))
}

/// Whether labels may be changed.
#[cfg(not(feature = "aws"))]
pub async fn may_change(_: &Access, _: &str) -> Result<(), Fault> {
    Err(Fault::not_built_in(CHANGE))
}
