//! Whether a database of RDS could be restored, looked at before there is need. Looks only.

use super::{Place, seen};
use crate::{
    aws::{
        rds::{self, Quota},
        secrets,
    },
    domain::{
        inventory::Check,
        rds::{Form, RdsRestore, Seen, Snapshot, Wanted, choose},
        schema::Schema,
    },
    units::{Span, UnixMs},
};

/// What the next step up from a quota is.
const MORE: &str = "ask AWS for more (Service Quotas), or delete what nobody needs";

/// Everything that a restore needs and that can be looked at, each with what was seen.
///
/// Whether another version of the secret may be written nobody can ask
/// without writing it: that is what the policies in `config/aws` are for.
pub async fn rds_preflight(place: &Place, wanted: Wanted<'_>, now: UnixMs) -> Vec<Check> {
    let looked = seen(place).await;
    let history = place.history.read().await.map_err(|why| why.to_string());
    let quotas = rds::quotas(&place.access).await;
    let quotas = quotas.map_err(|fault| format!("{fault}; {}", fault.advice()));
    let source = looked.as_ref().map_err(Clone::clone).and_then(stands);
    let pointer = looked.as_ref().map_err(Clone::clone).and_then(|it| leads_there(it, place));
    let newest = looked.as_ref().map_err(Clone::clone).and_then(|it| {
        let schema = history.as_ref().map_err(Clone::clone)?;
        newest(it, (place, wanted), schema, now)
    });
    let room = looked
        .as_ref()
        .map_err(Clone::clone)
        .and_then(|it| room(it, place.at.form, quotas.as_ref().map_err(Clone::clone)?));
    let makes = match &looked {
        Ok(seen) => may_make(place, seen).await,
        Err(why) => Err(why.clone()),
    };
    let leads = secrets::may_change(&place.keeps, &place.secret.secret).await;
    let leads = leads.map(|()| "the label of its version may be moved".to_owned());
    let leads = leads.map_err(|fault| format!("{fault}; {}", fault.advice()));
    vec![
        Check::of(&format!("{} can be looked at", place.at), source),
        Check::of("its secret leads there", pointer),
        Check::of("its secret may lead elsewhere", leads),
        Check::of("there is a snapshot of the schema as it is", newest),
        Check::of("there is room for another one", room),
        Check::of("another one may be made of a snapshot", makes),
    ]
}

/// None is made: of no snapshot.
async fn may_make(place: &Place, seen: &Seen) -> Result<String, String> {
    let names = seen.free(&place.at.name, 1);
    let name = names.first().ok_or("there is no name for another one")?;
    let what = RdsRestore::like(&place.at, &seen.source, vec![], Span::ZERO);
    let asked = rds::may_restore(&place.access, &what, name).await;
    asked.map(|()| format!("as {name}")).map_err(|fault| format!("{fault}; {}", fault.advice()))
}

fn stands(seen: &Seen) -> Result<String, String> {
    let source = &seen.source;
    if let Some(bars) = &source.bars {
        return Err(bars.clone());
    }
    let beside = match source.beside.as_slice() {
        [] => String::new(),
        beside => format!("; no restore can be told to have {}", beside.join("; ")),
    };
    Ok(format!(
        "{} {}, `{}`: {}{beside}",
        source.engine,
        source.version,
        source.status,
        source.settings.in_words()
    ))
}

fn leads_there(seen: &Seen, place: &Place) -> Result<String, String> {
    let pointer = seen.pointer.as_ref().map_err(Clone::clone)?;
    match &seen.source.endpoint {
        Some(own) if *own != pointer.endpoint => {
            Err(format!("it says {}, and {} answers at {own}", pointer.endpoint, place.at))
        }
        Some(_) | None => Ok(format!("version {} says {}", pointer.version, pointer.endpoint)),
    }
}

/// The one that would be restored if the next migration were bad and began now.
fn newest(
    seen: &Seen,
    (place, wanted): (&Place, Wanted<'_>),
    schema: &Schema,
    now: UnixMs,
) -> Result<String, String> {
    let good = schema.revision();
    let chosen = choose(seen, Wanted { fallbacks: 0, ..wanted }, (schema, &good), now)?;
    let first = chosen.into_iter().next();
    let found = first.and_then(|it| seen.snapshots.iter().find(|one| one.arn == it.snapshot));
    let found: &Snapshot = found.ok_or_else(|| format!("there is none of {}", place.at.name))?;
    Ok(format!("{} holds {good}; {}", found.arn, found.loss(now)))
}

/// As far as quotas tell.
fn room(seen: &Seen, form: Form, quotas: &[Quota]) -> Result<String, String> {
    let instances = match form {
        Form::Instance => 1,
        Form::Cluster => seen.source.members.len(),
    };
    let gib = match form {
        Form::Instance => seen.source.settings.storage_gib.unwrap_or(0),
        Form::Cluster => 0,
    };
    let mut wanted = vec![("DBInstances", instances as i64), ("AllocatedStorage", i64::from(gib))];
    if form == Form::Cluster {
        wanted.push(("DBClusters", 1));
    }
    let mut told = vec![];
    for (name, more) in wanted {
        let Some(quota) = quotas.iter().find(|it| it.name == name) else { continue };
        let Quota { used, max, .. } = quota;
        // Storage that is unlimited is told as none.
        if *max > 0 && used + more > *max {
            return Err(format!(
                "of {name} {used} of {max} are used, and another one takes {more}: {MORE}"
            ));
        }
        told.push(format!("{name}: {used} of {max}, and {more} more"));
    }
    match told.as_slice() {
        [] => Err("AWS tells of no quota".to_owned()),
        told => Ok(told.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rds::{Endpoint, Pointer, Settings, Source};

    fn seen(storage_gib: u32) -> Seen {
        let endpoint = Endpoint { host: "shop.rds".into(), port: 5432 };
        Seen {
            region: "eu-central-1".into(),
            source: Source {
                arn: "arn:db".into(),
                resource: None,
                status: "available".into(),
                engine: "postgres".into(),
                version: "15".into(),
                endpoint: Some(endpoint.clone()),
                encrypted: false,
                settings: Settings { storage_gib: Some(storage_gib), ..Settings::default() },
                beside: vec![],
                members: vec![],
                hosts: vec![],
                bars: None,
            },
            snapshots: vec![],
            names: [].into(),
            pointer: Ok(Pointer { arn: "arn".into(), version: "v1".into(), endpoint }),
        }
    }

    fn quota(name: &str, used: i64, max: i64) -> Quota {
        Quota { name: name.into(), used, max }
    }

    #[test]
    fn a_quota_that_is_used_up_is_named_before_there_is_need() {
        let quotas =
            |storage| vec![quota("DBInstances", 39, 40), quota("AllocatedStorage", storage, 1_000)];
        assert!(room(&seen(100), Form::Instance, &quotas(900)).is_ok());
        let why = room(&seen(100), Form::Instance, &quotas(901)).unwrap_err();
        assert!(why.starts_with("of AllocatedStorage 901 of 1000 are used"), "{why}");
        let why = room(&seen(1), Form::Instance, &[quota("DBInstances", 40, 40)]).unwrap_err();
        assert!(why.starts_with("of DBInstances 40 of 40"), "{why}");
        assert!(room(&seen(1), Form::Instance, &[]).is_err());
    }
}
