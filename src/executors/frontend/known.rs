//! Whether what would be replaced was ever of a version: a bucket that keeps no versions has but one copy of what somebody else put there.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::{
    Site,
    bucket::{Bucket, patiently},
    manifests,
    perform::trouble,
};
use crate::{
    domain::frontend::Live,
    executors::{Trouble, failed},
};

/// Sees that each of these is live as some recorded version has it. The version that is left does not name them.
pub(super) async fn known(
    (bucket, site): (&Bucket, &Site),
    unnamed: &[&str],
    live: &BTreeMap<String, Live>,
    until: Instant,
) -> Result<(), Trouble> {
    let mut unnamed = unnamed.to_vec();
    if unnamed.is_empty() {
        return Ok(());
    }
    let doing = "nothing was begun";
    let recorded = patiently(until, || manifests::listed(bucket, site)).await;
    for listed in recorded.map_err(|fault| trouble(&fault, doing))? {
        let Some(version) = manifests::version_in(site, &listed.key) else { continue };
        let read = patiently(until, || manifests::read(bucket, site, version)).await;
        // One that cannot be read accounts for nothing.
        let Ok((manifest, _)) = read.map_err(|fault| trouble(&fault, doing))? else { continue };
        unnamed.retain(|name| {
            let recorded = manifest.objects.get(*name).zip(live.get(*name));
            !recorded.is_some_and(|(object, now)| object.is_held_by(now))
        });
        if unnamed.is_empty() {
            return Ok(());
        }
    }
    failed(
        format!(
            "nothing was begun: {} is live as no recorded version has it, and would be replaced: whoever put it there may have no other copy; keep one and delete it there, or write it into `left_out` where it is none of the site's",
            unnamed.join(", ")
        ),
        false,
    )
}
