//! Which version of a site is live, and to which it could go back. Looks only; changes nothing.

use std::collections::BTreeMap;

use super::{
    Site,
    bucket::{Bucket, Listed},
    manifests,
    perform::each,
    served::{ANSWER, MARKER_MAX},
};
use crate::{
    aws::Fault,
    domain::{
        change::{Component, Revision},
        frontend::{Difference, Live, Manifest, Recorded, Standing, invalidated, standing},
        inventory::{Available, Inventory, Serving},
    },
    executors::{Options, running},
    units::UnixMs,
};

/// So many requests of one look are under way together.
const AT_ONCE: usize = 8;

/// What is remembered from look to look: manifests are read once, for they never change.
#[derive(Debug, Default)]
pub struct Known {
    manifests: BTreeMap<String, (String, Result<Recorded, String>)>,
    /// By how much each differs from what was set.
    differs: BTreeMap<String, Difference>,
    of: Option<Revision>,
}

/// Looks at the marker, the pages and the manifests, and at what is served. Faults are part of the answer, not errors.
pub async fn frontend_inventory(site: &Site, options: &Options, known: &mut Known) -> Inventory {
    let url = format!("{}{}", site.runbook.url, site.runbook.marker.name);
    let pointer = site.runbook.marker.pointer.as_deref();
    let (seen, running) = tokio::join!(
        Box::pin(look(site, known)),
        running::ask(&options.public, &url, pointer, ANSWER),
    );
    let mut faults = vec![];
    let Seen { linked, switched_at, available, fault, is_whole } = seen.unwrap_or_else(|fault| {
        let fault = Some(format!("{}: {fault}; {}", site.runbook.at, fault.advice()));
        Seen { linked: None, switched_at: None, available: vec![], fault, is_whole: true }
    });
    // Half of a version earns nothing, whatever its marker says.
    let half = fault.clone().filter(|_| !is_whole);
    faults.extend(fault);
    let broken = known.manifests.values().filter_map(|(_, read)| read.as_ref().err());
    faults.extend(broken.cloned());
    Inventory {
        component: Component::Application,
        linked,
        running: match half.map_or(running, Serving::Unknown) {
            // Our own way to it may be what is broken.
            Serving::NotRunning(why) => Serving::Unknown(why),
            known @ (Serving::Version(_) | Serving::Unknown(_)) => known,
        },
        switched_at,
        available,
        faults,
        told: None,
        deployed: None,
        read: None,
    }
}

struct Seen {
    linked: Option<Revision>,
    switched_at: Option<UnixMs>,
    available: Vec<Available>,
    fault: Option<String>,
    /// Whether all of it is of one version, as far as one can tell.
    is_whole: bool,
}

async fn look(site: &Site, known: &mut Known) -> Result<Seen, Fault> {
    let bucket = Bucket::of(site).await?;
    let listed = manifests::listed(&bucket, site).await?;
    read_new(&bucket, site, &listed, known).await?;
    let recorded: BTreeMap<String, Recorded> = known
        .manifests
        .values()
        .filter_map(|(_, read)| read.as_ref().ok())
        .map(|it| (it.revision.version.clone(), it.clone()))
        .collect();
    let (stands, switched_at) = match marked(&bucket, site).await? {
        Ok((version, at)) => {
            let pages = pages(&bucket, site, recorded.get(&version)).await?;
            (standing(&version, &recorded, &pages), at)
        }
        Err(why) => (Standing::Unknown(why), None),
    };
    let is_whole = !matches!(stands, Standing::Between(..));
    let (linked, fault) = match stands {
        Standing::At(revision) => (Some(revision), None),
        Standing::Unrecorded(revision) => {
            // Where what was recorded cannot be read, that is said by itself.
            let key = manifests::key(site, &revision.version);
            let fault = (!known.manifests.contains_key(&key)).then(|| format!(
                "{revision} was not recorded, and cannot be gone back to: `rollbackd frontend record` it when it is deployed"
            ));
            (Some(revision), fault)
        }
        Standing::Between(revision, why) => (Some(revision), Some(why)),
        Standing::Unknown(why) => (None, Some(why)),
    };
    if let Some(linked) = &linked {
        compare(&bucket, site, linked, known).await?;
    }
    let available = listed.iter().filter_map(|it| {
        let (_, read) = known.manifests.get(&it.key)?;
        let revision = read.as_ref().ok()?.revision.clone();
        let differs = known.differs.get(&revision.version).copied();
        Some(Available { differs, revision, ..Available::named("", it.modified_at) })
    });
    let available = available.collect();
    let switched_at = switched_at.filter(|_| linked.is_some());
    Ok(Seen { linked, switched_at, available, fault, is_whole })
}

/// Reads what was not read yet, and forgets what is not there any more.
async fn read_new(
    bucket: &Bucket,
    site: &Site,
    listed: &[Listed],
    known: &mut Known,
) -> Result<(), Fault> {
    known
        .manifests
        .retain(|key, (etag, _)| listed.iter().any(|it| it.key == *key && it.etag == *etag));
    for it in listed {
        let Some(version) = manifests::version_in(site, &it.key) else { continue };
        if known.manifests.contains_key(&it.key) {
            continue;
        }
        let read = manifests::read(bucket, site, version).await?;
        let pages_max = site.runbook.pages_max;
        let short =
            read.map(|(manifest, revision)| Recorded { revision, ..manifest.in_short(pages_max) });
        known.manifests.insert(it.key.clone(), (it.etag.clone(), short));
        known.of = None;
    }
    Ok(())
}

/// What the marker says, and since when; or why it says nothing.
pub(super) async fn marked(
    bucket: &Bucket,
    site: &Site,
) -> Result<Result<(String, Option<UnixMs>), String>, Fault> {
    let marker = &site.runbook.marker;
    let key = site.runbook.at.key(&marker.name);
    let Some(held) = bucket.get(&key, MARKER_MAX).await? else {
        return Ok(Err(format!("{key}, which says which version is live, is not there")));
    };
    Ok(match running::version_in(&held.bytes, marker.pointer.as_deref()) {
        Ok(Serving::Version(version)) => Ok((version, held.modified_at)),
        Ok(other) => Err(format!("{key}: {other}")),
        Err(why) => Err(format!("{key} {why}")),
    })
}

/// The pages of a version as they are now.
async fn pages(
    bucket: &Bucket,
    site: &Site,
    recorded: Option<&Recorded>,
) -> Result<BTreeMap<String, Option<Live>>, Fault> {
    let names: Vec<String> =
        recorded.map(|it| it.pages.keys().cloned().collect()).unwrap_or_default();
    let looked = each(names, AT_ONCE, |name| {
        let (bucket, key) = (bucket.clone(), site.runbook.at.key(&name));
        async move { Ok::<_, Fault>((name, bucket.head(&key, None).await?.map(|head| head.live))) }
    });
    Ok(looked.await?.into_iter().collect())
}

/// By how much each version differs from the one that is set: counted when one of them changes, for manifests are large.
async fn compare(
    bucket: &Bucket,
    site: &Site,
    linked: &Revision,
    known: &mut Known,
) -> Result<(), Fault> {
    if known.of.as_ref() == Some(linked) {
        return Ok(());
    }
    let of = async |version: &str| -> Result<Option<Manifest>, Fault> {
        Ok(manifests::read(bucket, site, version).await?.ok().map(|(manifest, _)| manifest))
    };
    let from = match linked.digest {
        Some(_) => of(&linked.version).await?,
        None => None,
    };
    let runbook = &site.runbook;
    let others: Vec<String> = known
        .manifests
        .values()
        .filter_map(|(_, read)| Some(read.as_ref().ok()?.revision.version.clone()))
        .filter(|version| *version != linked.version)
        .collect();
    known.differs.clear();
    for version in others {
        let Some(to) = of(&version).await? else { continue };
        let way = (runbook.base(), runbook.also_invalidate.as_slice());
        let paths = match runbook.distribution {
            Some(_) => invalidated(from.as_ref(), &to, way, runbook.paths_max).len(),
            None => 0,
        };
        known.differs.insert(version, Difference::between(from.as_ref(), &to, paths));
    }
    known.of = Some(linked.clone());
    Ok(())
}
