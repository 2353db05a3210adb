//! Writing down what a deployment has just put there: everything that it takes to go back to it.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::{
    Archived, Site,
    bucket::{Bucket, Head, Listed},
    look, manifests,
    perform::each,
};
use crate::{
    aws::Fault,
    domain::{
        frontend::{Archive, FORMAT, Manifest, Object, digest_of},
        plan::hex,
    },
};

/// S3 copies no more in one request.
const SIZE_MAX: u64 = 5 << 30;
/// What is read whole to compare it, or to know its hash, is not larger.
const READ_MAX: u64 = 256 << 20;

/// Records the version that is live. Says what was recorded, or why that is not possible; what was recorded before stays.
pub async fn record(site: &Site, version: &str) -> Result<String, String> {
    let said = |fault: Fault| format!("{fault}: {}", fault.advice());
    let bucket = Bucket::of(site).await.map_err(said)?;
    is_live(&bucket, site, version).await?;
    let manifest = of_what_is_live(&bucket, site, version).await?;
    manifest.is_whole()?;
    let (key, bytes) = (manifests::key(site, version), manifest.bytes());
    let digest = digest_of(&bytes);
    let objects = manifest.objects.len();
    // A deployment that began meanwhile would make of both one that never was.
    is_live(&bucket, site, version).await?;
    if bucket.write_new(&key, bytes).await.map_err(said)? {
        return Ok(format!("{version} is recorded in {key}: {objects} objects, {digest}"));
    }
    let there = bucket.get(&key, manifests::BYTES_MAX).await.map_err(said)?;
    match there {
        Some(held) if digest_of(&held.bytes) == digest => {
            Ok(format!("{version} was recorded in {key} before: {objects} objects, {digest}"))
        }
        Some(held) if Manifest::parse(&held.bytes).is_err() => Err(format!(
            "{key} is no manifest of a version, and is not overwritten: delete it, and record {version} again"
        )),
        Some(_) | None => Err(format!(
            "{key} holds another {version} than is live now, and is not overwritten: give what is live a version of its own"
        )),
    }
}

async fn is_live(bucket: &Bucket, site: &Site, version: &str) -> Result<(), String> {
    let said = |fault: Fault| format!("{}: {fault}: {}", site.runbook.at, fault.advice());
    let marked = look::marked(bucket, site).await.map_err(said)?;
    let (live, _) = marked?;
    let marker = &site.runbook.marker.name;
    if live == version {
        return Ok(());
    }
    Err(format!(
        "{marker} says that {live} is live, and not {version}: record a version when it is deployed"
    ))
}

async fn of_what_is_live(bucket: &Bucket, site: &Site, version: &str) -> Result<Manifest, String> {
    let at = &site.runbook.at;
    let (archive, kept) = match &site.archive {
        Archived::Below(below) => {
            let below = below.replace("{version}", version);
            let kept = listed(bucket, site, &below, &[]).await?;
            (Archive::Below(below), Some(kept))
        }
        Archived::BucketVersions => (Archive::BucketVersions, None),
    };
    let names: Vec<String> = match &kept {
        Some(kept) if kept.is_empty() => {
            return Err(format!(
                "nothing is kept of {version}: its deployment must upload it to where archive says"
            ));
        }
        Some(kept) => kept.keys().cloned().collect(),
        None => {
            let live = listed(bucket, site, &at.prefix, &site.reserved()).await?;
            is_ended(&live, &site.runbook.marker.name)?;
            live.into_keys().collect()
        }
    };
    let seen = each(names, site.runbook.at_once, |name| {
        let (bucket, site) = (bucket.clone(), site.clone());
        let kept = kept.as_ref().and_then(|kept| kept.get(&name).cloned());
        async move { Ok((name.clone(), object(&bucket, &site, &name, kept).await?)) }
    });
    let objects: BTreeMap<String, Object> =
        seen.await.map_err(|why: String| why)?.into_iter().collect();
    let marker = site.runbook.marker.name.clone();
    Ok(Manifest { manifest: FORMAT, version: version.to_owned(), marker, archive, objects })
}

/// A deployment uploads its marker last: what is newer is of another one, under way.
fn is_ended(live: &BTreeMap<String, Listed>, marker: &str) -> Result<(), String> {
    let Some(marked_at) = live.get(marker).and_then(|it| it.modified_at) else { return Ok(()) };
    let newer = live.iter().find(|(_, it)| it.modified_at.is_some_and(|at| at > marked_at));
    match newer {
        None => Ok(()),
        Some((name, _)) => Err(format!(
            "{name} was uploaded after {marker}, which a deployment uploads last: another one is under way, or upload {marker} once more"
        )),
    }
}

/// By their names below a key.
async fn listed(
    bucket: &Bucket,
    site: &Site,
    below: &str,
    without: &[String],
) -> Result<BTreeMap<String, Listed>, String> {
    let all =
        bucket.list(below, without, site.objects_max).await.map_err(|fault| fault.to_string())?;
    let named = |it: Listed| {
        let name = it.key.strip_prefix(below)?.to_owned();
        // What some tools write in place of a directory.
        (!name.is_empty() && !name.ends_with('/')).then_some((name, it))
    };
    Ok(all.into_iter().filter_map(named).collect())
}

/// One object as it is live; what is kept of it must be the same.
async fn object(
    bucket: &Bucket,
    site: &Site,
    name: &str,
    kept: Option<Listed>,
) -> Result<Object, String> {
    let key = site.runbook.at.key(name);
    let said = |fault: Fault| format!("{key}: {fault}");
    let head = bucket.head(&key, None).await.map_err(said)?;
    let Some(Head { live, version_id, .. }) = head else {
        return Err(format!("{key} is kept and not live: was all of it deployed?"));
    };
    if live.size > SIZE_MAX {
        return Err(format!("{key} is larger than what S3 copies in one request"));
    }
    let page = site.pages.iter().any(|pattern| matches(pattern, name));
    let is_read = page || name == site.runbook.marker.name;
    let sha256 = match is_read {
        true => Some(hash(bucket, &key, &live.etag).await?),
        false => None,
    };
    let mut object = Object {
        etag: live.etag,
        size: live.size,
        archived_etag: None,
        version_id: None,
        page,
        sha256,
        headers: live.headers,
    };
    match (&site.archive, kept) {
        (Archived::BucketVersions, _) => {
            let why = || {
                format!(
                    "the bucket keeps no versions of {key}: switch versioning on, or name an archive"
                )
            };
            object.version_id = Some(version_id.ok_or_else(why)?);
        }
        (Archived::Below(_), Some(kept))
            if kept.etag == object.etag && kept.size == object.size => {}
        (Archived::Below(_), Some(kept)) => {
            // One of both may have been uploaded in parts.
            let same = kept.size == object.size
                && hash(bucket, &kept.key, &kept.etag).await?
                    == hash(bucket, &key, &object.etag).await?;
            if !same {
                return Err(format!("{key} is not what {} holds", kept.key));
            }
            object.archived_etag = Some(kept.etag);
        }
        (Archived::Below(_), None) => return Err(format!("nothing is kept of {key}")),
    }
    Ok(object)
}

/// The hash of an object's bytes, which must still be those that were seen.
async fn hash(bucket: &Bucket, key: &str, etag: &str) -> Result<String, String> {
    let held = bucket.get(key, READ_MAX).await.map_err(|fault| fault.to_string())?;
    match held {
        Some(held) if held.etag == etag => {
            Ok(format!("sha256:{}", hex(&Sha256::digest(&held.bytes))))
        }
        Some(_) | None => Err(format!(
            "{key} changed while it was recorded: record it when all of it is deployed"
        )),
    }
}

/// `*.html` is every name that ends so; anything else is one name.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(end) => name.ends_with(end),
        None => name == pattern,
    }
}
