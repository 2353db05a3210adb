//! Whether a site could go back, before there is need.

use super::{
    Known, Site,
    bucket::Bucket,
    frontend_inventory,
    invalidate::{Edge, INVALIDATE},
    manifests,
    perform::{Verify, each},
    served::{MARKER_MAX, in_words, served},
};
use crate::{
    aws::{Account, Fault, Kind},
    domain::{
        change::Revision,
        frontend::Manifest,
        inventory::{Available, Check, Inventory, Serving},
    },
    executors::Options,
};

/// A path has no spaces. Taken as one it would be of nothing, and once: the reference is always the same.
const NO_PATH: &str = "/ rollbackd check";
/// The reference of what is never begun.
const NOTHING: &str = "rollbackd-check";

/// Everything that a rollback of a site needs, each with what was seen. Nothing is written.
pub async fn frontend_preflight(site: &Site, options: &Options) -> Vec<Check> {
    let inventory = frontend_inventory(site, options, &mut Known::default()).await;
    let mut checks = vec![
        Check::of("the version that is live is recorded", recorded(&inventory)),
        Check::of("what people are served is seen", is_served(&inventory)),
    ];
    if let Some(linked) = inventory.linked.as_ref().filter(|_| inventory.is_settled()) {
        let seen = as_a_rollback_would(site, options, linked).await;
        checks.push(Check::of("what is served can be compared with what was recorded", seen));
    }
    checks.push(match earlier(&inventory) {
        Some(other) => Check::of(
            &format!("all of {} is kept", other.revision),
            is_kept(site, &other.revision.version).await.unwrap_or_else(|fault| Err(said(&fault))),
        ),
        None => Check::of("an earlier version is recorded", Err(none_earlier(site).await)),
    });
    if let Some(distribution) = &site.runbook.distribution {
        let seen = is_there(site, distribution).await.map_err(|fault| said(&fault));
        checks.push(Check::of("its distribution is there", seen));
        let may = may_invalidate(site, distribution).await.map_err(|fault| said(&fault));
        checks.push(Check::of("the edges may be told to forget", may));
    }
    let may = may_write(site).await.unwrap_or_else(|fault| Err(said(&fault)));
    checks.push(Check::of("objects may be written", may));
    checks
}

fn said(fault: &Fault) -> String {
    format!("{fault}: {}", fault.advice())
}

fn recorded(inventory: &Inventory) -> Result<String, String> {
    match (&inventory.linked, inventory.faults.as_slice()) {
        (Some(linked), []) => Ok(format!("{linked} is live")),
        (None, []) => Err("nobody can tell which version is live".to_owned()),
        (_, faults) => Err(faults.join("; ")),
    }
}

fn is_served(inventory: &Inventory) -> Result<String, String> {
    match &inventory.running {
        Serving::Version(_) if inventory.is_settled() => Ok(inventory.running.to_string()),
        Serving::Version(_) => Err(match &inventory.linked {
            Some(linked) => format!("{}, and {linked} is in the bucket", inventory.running),
            None => format!("{}, and which is in the bucket nobody can tell", inventory.running),
        }),
        Serving::NotRunning(_) | Serving::Unknown(_) => Err(inventory.running.to_string()),
    }
}

/// What a rollback looks at when it has copied, looked at of what is live: a page that is redirected, or rewritten on its way, would make a
/// good one fail.
async fn as_a_rollback_would(
    site: &Site,
    options: &Options,
    linked: &Revision,
) -> Result<String, String> {
    let bucket = Bucket::of(site).await.map_err(|fault| said(&fault))?;
    let read =
        manifests::read(&bucket, site, &linked.version).await.map_err(|fault| said(&fault))?;
    let (manifest, _): (Manifest, _) = read?;
    let runbook = &site.runbook;
    let it = Verify {
        at: &runbook.at,
        to: linked,
        url: &runbook.url,
        marker: &runbook.marker,
        pages_max: runbook.pages_max,
    };
    let pages = served(&options.public, &it, &manifest, "rollbackd=check").await?;
    Ok(format!("the marker and {} are served byte for byte", in_words(pages)))
}

/// The newest one that is not live.
fn earlier(inventory: &Inventory) -> Option<&Available> {
    let live = inventory.linked.as_ref().map(|linked| linked.version.as_str());
    inventory.available.iter().find(|it| Some(it.revision.version.as_str()) != live)
}

/// Why none is seen: there is none, or nobody can tell.
async fn none_earlier(site: &Site) -> String {
    let listed = async { manifests::listed(&Bucket::of(site).await?, site).await };
    match listed.await {
        Ok(_) => {
            "no other version is: run `rollbackd frontend record` at the end of each deployment"
                .to_owned()
        }
        Err(fault) => format!("nobody can tell: {}", said(&fault)),
    }
}

async fn is_kept(site: &Site, version: &str) -> Result<Result<String, String>, Fault> {
    let bucket = Bucket::of(site).await?;
    let (manifest, _): (Manifest, _) = match manifests::read(&bucket, site, version).await? {
        Ok(read) => read,
        Err(why) => return Ok(Err(why)),
    };
    let all: Vec<_> = manifest
        .objects
        .iter()
        .map(|(name, object)| {
            let key = manifest.kept_at(&site.runbook.at.prefix, name);
            (key, object.version_id.clone(), object.kept_etag().to_owned())
        })
        .collect();
    let many = all.len();
    let seen = each(all, site.runbook.at_once, |(key, version_id, etag)| {
        let bucket = bucket.clone();
        async move {
            let head = bucket.head(&key, version_id.as_deref()).await?;
            Ok::<_, Fault>((!head.is_some_and(|head| head.is_kept(&etag))).then_some(key))
        }
    });
    let gone: Vec<String> = seen.await?.into_iter().flatten().collect();
    Ok(match gone.iter().min() {
        None => Ok(format!("{many} objects are as they were recorded")),
        Some(first) => Err(format!(
            "{} of {many} objects are gone, archived (Glacier), or others than were recorded: {first} for example",
            gone.len()
        )),
    })
}

/// S3 is asked to write the marker where there is none: there is one, and who may not write is told so first.
async fn may_write(site: &Site) -> Result<Result<String, String>, Fault> {
    let bucket = Bucket::of(site).await?;
    let key = site.runbook.at.key(&site.runbook.marker.name);
    // As it is: were it deleted in between, this would put it back.
    let Some(marker) = bucket.get(&key, MARKER_MAX).await? else {
        return Ok(Err(format!("{key} is not there")));
    };
    bucket.write_new(&key, marker.bytes).await?;
    Ok(Ok("s3:PutObject is allowed".to_owned()))
}

/// CloudFront is asked to forget what is no path: it says so to whoever may ask.
async fn may_invalidate(site: &Site, distribution: &str) -> Result<String, Fault> {
    let clients = Account::of(&site.access)?.to_act().await;
    let edge = Edge::new((clients.clone(), clients), distribution);
    match edge.create(NOTHING, &[NO_PATH.to_owned()]).await {
        Ok(_) | Err(Fault { kind: Kind::Refused { .. }, .. }) => {
            Ok(format!("{INVALIDATE} is allowed"))
        }
        Err(fault) => Err(fault),
    }
}

async fn is_there(site: &Site, distribution: &str) -> Result<String, Fault> {
    let clients = Account::of(&site.access)?.to_look().await;
    let client = clients.cloudfront();
    let answer = Box::pin(client.get_distribution().id(distribution).send()).await;
    let answer = answer.map_err(|error| clients.fault("cloudfront:GetDistribution", error))?;
    let status = answer.distribution().map_or("unknown", |it| it.status());
    Ok(match status {
        "Deployed" => format!("{distribution} is deployed"),
        other => format!("{distribution} is there ({other}): what it is told now takes longer"),
    })
}
