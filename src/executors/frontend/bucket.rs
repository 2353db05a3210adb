//! A bucket: what is in it, and copies within it. Nothing is ever deleted.

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_s3::{
    operation::head_object::HeadObjectOutput,
    primitives::ByteStream,
    types::{MetadataDirective, StorageClass, TaggingDirective},
};
use tokio::time::{Instant, sleep, timeout_at};

use super::Site;
use crate::{
    aws::{Account, Clients, Fault, Kind},
    domain::frontend::{Headers, Live, MARK},
    units::UnixMs,
};

/// So S3 says that there is no such bucket.
const NO_BUCKET: &str = "NoSuchBucket";
/// S3 hands over so many names at once.
const PAGE: i32 = 1_000;
/// The first pause after a request that failed in passing, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// One bucket, to look into and to change.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    name: String,
    look: aws_sdk_s3::Client,
    act: aws_sdk_s3::Client,
    clients: Clients,
}

/// An object as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) key: String,
    pub(super) etag: String,
    pub(super) size: u64,
    pub(super) modified_at: Option<UnixMs>,
}

/// An object as it shows itself.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) live: Live,
    pub(super) version_id: Option<String>,
    /// Only whoever has it restored first can read or copy it, which takes hours.
    pub(super) is_archived: bool,
}

impl Head {
    /// Whether this can be copied.
    pub(super) fn is_kept(&self, etag: &str) -> bool {
        self.live.etag == etag && !self.is_archived
    }
}

/// What an object holds.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    pub(super) etag: String,
    pub(super) modified_at: Option<UnixMs>,
}

/// What is copied: exactly this, or nothing.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) key: String,
    pub(super) version_id: Option<String>,
    pub(super) etag: String,
}

impl Bucket {
    pub(super) async fn of(site: &Site) -> Result<Self, Fault> {
        let account = Account::of(&site.access)?;
        let clients = account.to_look().await;
        let act = account.to_act().await.s3();
        Ok(Self { name: site.runbook.at.bucket.clone(), look: clients.s3(), act, clients })
    }

    /// An object without its bytes; none where there is none.
    pub(super) async fn head(
        &self,
        key: &str,
        version_id: Option<&str>,
    ) -> Result<Option<Head>, Fault> {
        let asked = self.look.head_object().bucket(&self.name).key(key);
        let asked = asked.set_version_id(version_id.map(str::to_owned));
        match Box::pin(asked.send()).await {
            Ok(answer) => Ok(Some(head_of(&answer))),
            Err(error) => {
                // An answer without a body names no right.
                let right =
                    if version_id.is_some() { "s3:GetObjectVersion" } else { "s3:GetObject" };
                match self.clients.fault(right, error) {
                    fault if fault.kind == Kind::NotFound => Ok(None),
                    fault => Err(fault),
                }
            }
        }
    }

    /// What an object holds, unless that is more than `bytes_max`.
    pub(super) async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Held>, Fault> {
        let action = "s3:GetObject";
        let answer = match Box::pin(self.look.get_object().bucket(&self.name).key(key).send()).await
        {
            Ok(answer) => answer,
            Err(error) => {
                return match self.clients.fault(action, error) {
                    // Of an object alone: without its bucket nobody knows anything.
                    fault if fault.kind == Kind::NotFound && !fault.is_called(&[NO_BUCKET]) => {
                        Ok(None)
                    }
                    fault => Err(fault),
                };
            }
        };
        let too_large = || {
            let kind = Kind::Refused { code: "too large".to_owned() };
            Fault::new(action, kind, &format!("{key} has more than {bytes_max} bytes"))
        };
        let etag = etag(answer.e_tag());
        let modified_at = answer.last_modified().and_then(|at| at.to_millis().ok()).map(UnixMs);
        let (mut body, mut bytes) = (answer.body, vec![]);
        while let Some(chunk) = body.next().await {
            let chunk =
                chunk.map_err(|cut| Fault::new(action, Kind::Unanswered, &cut.to_string()))?;
            bytes.extend_from_slice(&chunk);
            if u64::try_from(bytes.len()).is_ok_and(|many| many > bytes_max) {
                return Err(too_large());
            }
        }
        Ok(Some(Held { bytes, etag, modified_at }))
    }

    /// Everything whose key begins so and with none of `without`; or that it is more than `objects_max`.
    pub(super) async fn list(
        &self,
        prefix: &str,
        without: &[String],
        objects_max: usize,
    ) -> Result<Vec<Listed>, Fault> {
        let action = "s3:ListBucket";
        let (mut all, mut after): (Vec<Listed>, Option<String>) = (vec![], None);
        loop {
            let asked =
                self.look.list_objects_v2().bucket(&self.name).prefix(prefix).max_keys(PAGE);
            let answer = Box::pin(asked.set_start_after(after.clone()).send()).await;
            let answer = answer.map_err(|error| self.clients.fault(action, error))?;
            let mut last = None;
            for object in answer.contents() {
                let Some(key) = object.key() else { continue };
                last = Some(key.to_owned());
                if without.iter().any(|left_out| key.starts_with(left_out.as_str())) {
                    continue;
                }
                all.push(Listed {
                    key: key.to_owned(),
                    etag: etag(object.e_tag()),
                    size: object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
                    modified_at: object
                        .last_modified()
                        .and_then(|at| at.to_millis().ok())
                        .map(UnixMs),
                });
            }
            if all.len() > objects_max {
                let kind = Kind::Refused { code: "too many".to_owned() };
                let said = format!("there are more than {objects_max} objects below {prefix}");
                return Err(Fault::new(action, kind, &said));
            }
            let Some(last) = last.filter(|_| answer.is_truncated() == Some(true)) else {
                return Ok(all);
            };
            // Archives hold many times what a site does: they are stepped over, and not read through.
            let beyond = without.iter().find(|left_out| last.starts_with(left_out.as_str()));
            after = Some(beyond.map_or(last, |left_out| format!("{left_out}{}", char::MAX)));
        }
    }

    /// Copies what is kept to where it is served from, with these headers. Whoever asks looks afterwards.
    pub(super) async fn copy(
        &self,
        kept: &Kept,
        to: &str,
        headers: &Headers,
        mark: &str,
    ) -> Result<(), Fault> {
        let mut source = format!("{}/{}", self.name, encoded(&kept.key));
        if let Some(version) = &kept.version_id {
            source.push_str(&format!("?versionId={version}"));
        }
        let Headers { content_type, cache_control, content_encoding, .. } = headers.clone();
        let Headers { content_disposition, content_language, redirect, metadata, .. } =
            headers.clone();
        let mut asked = self
            .act
            .copy_object()
            .bucket(&self.name)
            .key(to)
            .copy_source(source)
            .copy_source_if_match(format!("\"{}\"", kept.etag))
            .metadata_directive(MetadataDirective::Replace)
            // What the archive is tagged with, as for a rule that deletes it one day, is not for what is served.
            .tagging_directive(TaggingDirective::Replace)
            .set_content_type(content_type)
            .set_cache_control(cache_control)
            .set_content_encoding(content_encoding)
            .set_content_disposition(content_disposition)
            .set_content_language(content_language)
            .set_website_redirect_location(redirect)
            .metadata(MARK, mark);
        for (name, value) in metadata {
            asked = asked.metadata(name, value);
        }
        let answer = Box::pin(asked.send())
            .await
            .map_err(|error| self.clients.fault("s3:PutObject", error))?;
        // A copy can fail after its status was sent.
        match answer.copy_object_result().and_then(|it| it.e_tag()) {
            Some(_) => Ok(()),
            None => Err(Fault::new(
                "s3:PutObject",
                Kind::Unanswered,
                "the answer does not say what was copied",
            )),
        }
    }

    /// Writes an object where there is none. `false` where there is one.
    pub(super) async fn write_new(&self, key: &str, bytes: Vec<u8>) -> Result<bool, Fault> {
        let asked = self.act.put_object().bucket(&self.name).key(key).if_none_match("*");
        let asked = asked.content_type("application/json").body(ByteStream::from(bytes));
        match Box::pin(asked.send()).await {
            Ok(_) => Ok(true),
            Err(error) => match self.clients.fault("s3:PutObject", error) {
                fault if fault.kind == Kind::Changed => Ok(false),
                fault => Err(fault),
            },
        }
    }
}

/// Asks again, after longer and longer pauses, what fails in passing; as long as there is time.
pub(super) async fn patiently<T, F>(until: Instant, ask: impl Fn() -> F) -> Result<T, Fault>
where
    F: Future<Output = Result<T, Fault>>,
{
    let (mut pause, longest) = PAUSES;
    loop {
        match ask().await {
            Err(fault) if fault.passes() && Instant::now() + pause < until => sleep(pause).await,
            ended => return ended,
        }
        pause = (pause * 2).min(longest);
    }
}

/// What is looked at together is of no use when the time of its step is over.
pub(super) async fn in_time<T>(
    until: Instant,
    asked: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let late = || Fault::new("s3:GetObject", Kind::Unanswered, "the time of the step is over");
    timeout_at(until, asked).await.unwrap_or_else(|_| Err(late()))
}

fn head_of(answer: &HeadObjectOutput) -> Head {
    let text = |said: Option<&str>| said.map(str::to_owned);
    let mut metadata: BTreeMap<String, String> = BTreeMap::new();
    if let Some(said) = answer.metadata() {
        metadata.extend(said.iter().map(|(name, value)| (name.to_lowercase(), value.clone())));
    }
    let mark = metadata.remove(MARK);
    let headers = Headers {
        content_type: text(answer.content_type()),
        cache_control: text(answer.cache_control()),
        content_encoding: text(answer.content_encoding()),
        content_disposition: text(answer.content_disposition()),
        content_language: text(answer.content_language()),
        redirect: text(answer.website_redirect_location()),
        metadata,
    };
    let size = answer.content_length().and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
    // Of a bucket that does not keep versions, or did not when this was written.
    let version_id = text(answer.version_id()).filter(|id| id != "null");
    let live = Live { etag: etag(answer.e_tag()), size, headers, mark };
    Head { live, version_id, is_archived: is_archived(answer) }
}

/// Glacier's classes, and what Intelligent-Tiering has put away, unless it was restored for a while.
fn is_archived(answer: &HeadObjectOutput) -> bool {
    let class = answer.storage_class();
    let is_away = matches!(class, Some(StorageClass::Glacier | StorageClass::DeepArchive))
        || answer.archive_status().is_some();
    is_away && !answer.restore().is_some_and(|said| said.contains("ongoing-request=\"false\""))
}

fn etag(said: Option<&str>) -> String {
    said.unwrap_or_default().trim_matches('"').to_owned()
}

/// As a header or an address takes a key: percent-encoded, but for what separates its parts.
pub(super) fn encoded(key: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
    key.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
