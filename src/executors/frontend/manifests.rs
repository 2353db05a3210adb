//! What was recorded of versions, in the bucket itself.

use tokio::time::Instant;

use super::{
    Site,
    bucket::{Bucket, Listed, patiently},
    perform::trouble,
};
use crate::{
    aws::Fault,
    domain::{
        change::Revision,
        frontend::{Manifest, digest_of},
    },
    executors::{Trouble, failed},
};

/// A manifest is not larger than this.
pub(super) const BYTES_MAX: u64 = 64 << 20;

/// The key of a version's manifest.
pub(super) fn key(site: &Site, version: &str) -> String {
    format!("{}{version}.json", site.manifests)
}

/// The version whose manifest has this key.
pub(super) fn version_in<'k>(site: &Site, key: &'k str) -> Option<&'k str> {
    let name = key.strip_prefix(site.manifests.as_str())?.strip_suffix(".json")?;
    (!name.contains('/')).then_some(name)
}

/// The newest of those that there are, newest first.
pub(super) async fn listed(bucket: &Bucket, site: &Site) -> Result<Vec<Listed>, Fault> {
    let mut all = bucket.list(&site.manifests, &[], site.objects_max).await?;
    all.retain(|it| version_in(site, &it.key).is_some());
    all.sort_by(|a, b| (b.modified_at, &b.key).cmp(&(a.modified_at, &a.key)));
    all.truncate(site.versions_max);
    Ok(all)
}

/// Reads one, and sees that it is of this site; or says why it is not.
pub(super) async fn read(
    bucket: &Bucket,
    site: &Site,
    version: &str,
) -> Result<Result<(Manifest, Revision), String>, Fault> {
    let key = key(site, version);
    let Some(held) = bucket.get(&key, BYTES_MAX).await? else {
        return Ok(Err(format!("{key} is not there: {version} was not recorded")));
    };
    let read = Manifest::parse(&held.bytes).and_then(|manifest| {
        if manifest.version != version {
            return Err(format!("it is of {}", manifest.version));
        }
        if let Some(name) = manifest.objects.keys().find(|name| site.is_reserved(name)) {
            return Err(format!("{name} is no object of the site, but of its archive"));
        }
        Ok(manifest)
    });
    let digest = Some(digest_of(&held.bytes));
    let revision = Revision { version: version.to_owned(), digest };
    Ok(read.map(|manifest| (manifest, revision)).map_err(|why| {
        format!(
            "{key}: {why}: delete it, and `rollbackd frontend record` {version} once it is live"
        )
    }))
}

/// The one that a plan means, and no other.
pub(super) async fn exactly(
    bucket: &Bucket,
    site: &Site,
    meant: &Revision,
    until: Instant,
) -> Result<Manifest, Trouble> {
    let read = patiently(until, || read(bucket, site, &meant.version)).await;
    match read.map_err(|fault| trouble(&fault, "nothing was begun"))? {
        Ok((manifest, found)) if meant.agrees_with(&found) => Ok(manifest),
        Ok(_) => {
            let version = &meant.version;
            failed(
                format!(
                    "nothing was begun: the manifest of {version} is another than the plan was made for"
                ),
                false,
            )
        }
        Err(why) => failed(format!("nothing was begun: {why}"), false),
    }
}

/// The one of what is left; none where that was not recorded.
pub(super) async fn left(
    bucket: &Bucket,
    site: &Site,
    from: &Revision,
    until: Instant,
) -> Result<Option<Manifest>, Trouble> {
    match from.digest {
        Some(_) => exactly(bucket, site, from, until).await.map(Some),
        None => Ok(None),
    }
}
