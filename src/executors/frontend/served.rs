//! What people are served: the marker and the pages, where they open the site, with and without what an edge has kept.

use std::{fmt, time::Duration};

use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};

use super::{
    bucket::{Bucket, encoded},
    manifests,
    perform::{Verify, site, trouble},
};
use crate::{
    domain::{
        frontend::{Manifest, Object},
        plan::hex,
        run::Outcome,
    },
    executors::{Attempt, Trouble, failed, running},
};

/// For one answer, whole.
pub(super) const ANSWER: Duration = Duration::from_secs(15);
/// A marker is not larger than this.
pub(super) const MARKER_MAX: u64 = 64 * 1024;
/// Between two looks.
const PAUSE: Duration = Duration::from_secs(2);

/// How something is asked for.
#[derive(Clone, Copy, Debug)]
enum Asked<'a> {
    /// As people do.
    Plainly,
    /// With a query that no edge has seen.
    Anew(&'a str),
}

impl fmt::Display for Asked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plainly => "as people ask for it",
            Self::Anew(_) => "past what an edge has kept",
        })
    }
}

/// Carries one out.
pub(super) async fn verify(attempt: &mut Attempt<'_>, it: Verify<'_>) -> Result<Outcome, Trouble> {
    let site = site(attempt, it.at)?;
    let until = attempt.until;
    let bucket =
        Bucket::of(&site).await.map_err(|fault| trouble(&fault, "nothing was looked at"))?;
    let manifest = manifests::exactly(&bucket, &site, it.to, until).await?;
    let mut looks = 0_u32;
    loop {
        looks += 1;
        let anew = format!("rollbackd={}.{}.{looks}", attempt.order.run, attempt.order.attempt);
        let seen = served(&attempt.options.public, &it, &manifest, &anew).await;
        match seen {
            Ok(pages) => {
                let marker = &it.marker.name;
                attempt.after = format!(
                    "{} serves {}: {marker} and {}, byte for byte",
                    it.url,
                    it.to,
                    in_words(pages)
                );
                return Ok(Outcome::Done);
            }
            Err(why) => {
                if looks == 1 {
                    attempt.before.clone_from(&why);
                }
                attempt.after.clone_from(&why);
                if Instant::now() + PAUSE >= until {
                    return failed(why, true);
                }
            }
        }
        sleep(PAUSE).await;
    }
}

/// How many pages are as they were recorded; or the first thing that is not.
pub(super) async fn served(
    http: &reqwest::Client,
    it: &Verify<'_>,
    manifest: &Manifest,
    anew: &str,
) -> Result<usize, String> {
    let pages: Vec<_> = manifest.pages().into_iter().take(it.pages_max).collect();
    for asked in [Asked::Anew(anew), Asked::Plainly] {
        let marker = manifest.objects.get(&it.marker.name);
        let url = address(it.url, &it.marker.name, asked);
        let body = body(http, &url, MARKER_MAX)
            .await
            .map_err(|why| format!("{}: {why}", said(&url, asked)))?;
        let says = running::version_in(&body, it.marker.pointer.as_deref())
            .map_err(|why| format!("{} {why}", said(&url, asked)))?;
        if !says.is(&it.to.version) {
            return Err(format!("{}: {says}, and not {}", said(&url, asked), it.to));
        }
        let others = pages.iter().map(|(name, object)| (*name, *object));
        for (name, object) in
            marker.map(|it| (manifest.marker.as_str(), it)).into_iter().chain(others)
        {
            is_served(http, it.url, (name, object), asked).await?;
        }
    }
    Ok(pages.len())
}

/// Whether exactly these bytes are served.
async fn is_served(
    http: &reqwest::Client,
    url: &str,
    (name, object): (&str, &Object),
    asked: Asked<'_>,
) -> Result<(), String> {
    let Some(wanted) = &object.sha256 else { return Ok(()) };
    // A site is opened by its address, and not by the name of its first page.
    let path = if name == "index.html" { "" } else { name };
    let url = address(url, path, asked);
    let body = body(http, &url, object.size).await.map_err(|why| {
        format!("{}: {why}, and not {name} as it was recorded", said(&url, asked))
    })?;
    let found = format!("sha256:{}", hex(&Sha256::digest(&body)));
    match found == *wanted {
        true => Ok(()),
        false => Err(format!("{} is another {name} than was recorded", said(&url, asked))),
    }
}

pub(super) fn in_words(pages: usize) -> String {
    if pages == 1 { "1 page".to_owned() } else { format!("{pages} pages") }
}

fn said(url: &str, asked: Asked<'_>) -> String {
    let shown = url.split('?').next().unwrap_or(url);
    format!("{shown} ({asked})")
}

fn address(url: &str, name: &str, asked: Asked<'_>) -> String {
    let mut address = url.to_owned() + &encoded(name);
    if let Asked::Anew(query) = asked {
        address.push('?');
        address.push_str(query);
    }
    address
}

/// An answer that is whole and of status 200: nothing is followed, nothing is unpacked.
async fn body(http: &reqwest::Client, url: &str, bytes_max: u64) -> Result<Vec<u8>, String> {
    let asked = http.get(url).header("accept-encoding", "identity").timeout(ANSWER);
    let mut response = asked.send().await.map_err(|error| match error.is_timeout() {
        true => format!("it did not answer within {} s", ANSWER.as_secs()),
        false => format!("it cannot be asked: {}", running::innermost(&error)),
    })?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(format!("it answered with status {}", response.status()));
    }
    let mut body = vec![];
    while let Some(chunk) = response.chunk().await.map_err(|_| "it broke off".to_owned())? {
        body.extend_from_slice(&chunk);
        if u64::try_from(body.len()).is_ok_and(|many| many > bytes_max) {
            return Err(format!("it answered with more than {bytes_max} bytes"));
        }
    }
    Ok(body)
}
