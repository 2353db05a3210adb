//! A shop's site: its bucket, its distribution, its deployments, and the steps that take it back.

use std::collections::BTreeMap;

use aws_sdk_cloudfront::types::{
    CustomOriginConfig, DefaultCacheBehavior, DistributionConfig, Origin, OriginProtocolPolicy,
    Origins, ViewerProtocolPolicy,
};
use aws_sdk_s3::{
    primitives::ByteStream,
    types::{
        BucketLocationConstraint, BucketVersioningStatus, CompletedMultipartUpload, CompletedPart,
        CreateBucketConfiguration, VersioningConfiguration,
    },
};
use rollbackd::{
    aws::{Account, Clients},
    domain::{
        change::Revision,
        frontend::{Marker, SiteAt},
        inventory::Inventory,
        plan::{Action, Step},
        run::{Order, Outcome, Report},
        runbook::FrontendRunbook,
    },
    executors::{
        self,
        frontend::{Archived, Known, Site, frontend_inventory, record},
    },
    store::{self, Store},
    units::Span,
};
use tempfile::TempDir;

use super::edge::Edge;
use crate::aws::{
    proxy::Proxy,
    server::{Server, unique},
};

/// The objects of a version, by name, each with what it holds.
pub(crate) type Objects<'a> = &'a [(&'a str, &'a str)];

/// The page of 1.5.0 is as long as that of 1.4.0: names with hashes are of one length.
pub(crate) const OLD: Objects<'static> = &[
    ("index.html", "<script src=app.1111.js></script>"),
    ("app.1111.js", "old()"),
    ("logo.svg", "<svg>old</svg>"),
    ("same.css", "body{}"),
];
pub(crate) const NEW: Objects<'static> = &[
    ("index.html", "<script src=app.2222.js></script>"),
    ("app.2222.js", "new()"),
    ("logo.svg", "<svg>new</svg>"),
    ("same.css", "body{}"),
];

pub(crate) struct Shop {
    pub(crate) site: Site,
    pub(crate) proxy: Proxy,
    pub(crate) edge: Edge,
    pub(crate) options: executors::Options,
    pub(crate) store: Store,
    /// Past the proxy.
    direct: Clients,
    pub(crate) dir: TempDir,
}

impl Shop {
    pub(crate) async fn open(name: &str, archive: Archived) -> Self {
        let server = Server::shared().await;
        let name = unique(name);
        let direct =
            Account::of(&server.access(&format!("{name}-direct"))).unwrap().to_look().await;
        let here = CreateBucketConfiguration::builder()
            .location_constraint(BucketLocationConstraint::EuCentral1)
            .build();
        let made = direct.s3().create_bucket().bucket(&name).create_bucket_configuration(here);
        made.send().await.unwrap();
        if archive == Archived::BucketVersions {
            let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled);
            let asked = direct.s3().put_bucket_versioning().bucket(&name);
            asked.versioning_configuration(on.build()).send().await.unwrap();
        }
        let distribution = Box::pin(distribution(&direct, &name)).await;
        let proxy = Proxy::before(&server.url()).await;
        let edge = Edge::before(format!("{}/{name}/", server.url())).await;
        let site = Site {
            access: server.access_through(&name, &proxy.url()),
            runbook: FrontendRunbook {
                at: SiteAt { account: "main".into(), bucket: name, prefix: String::new() },
                url: edge.url(),
                marker: Marker { name: "version.json".into(), pointer: Some("/version".into()) },
                distribution: Some(distribution),
                also_invalidate: vec![],
                paths_max: 3_000,
                at_once: 8,
                pages_max: 10,
                copy_timeout: Span::minutes(2),
                invalidate_timeout: Span::minutes(1),
                verify_timeout: Span::seconds(30),
                attempts: 2,
            },
            manifests: "manifests/".into(),
            archive,
            pages: vec!["*.html".into()],
            left_out: vec![],
            objects_max: 20_000,
            versions_max: 20,
        };
        let dir = TempDir::new().unwrap();
        let store = Store::open(store::Options::new(dir.path())).unwrap();
        let options = executors::Options::new(dir.path().to_owned()).unwrap();
        options.sites.adopt([(site.runbook.at.clone(), site.clone())].into());
        Self { site, proxy, edge, options, store, direct, dir }
    }

    /// With 1.4.0 and 1.5.0 deployed one after the other, and recorded.
    pub(crate) async fn with_both(name: &str) -> Self {
        let shop = Box::pin(Self::open(name, Archived::Below("versions/{version}/".into()))).await;
        Box::pin(shop.deploy_and_record("1.4.0", OLD)).await;
        Box::pin(shop.deploy_and_record("1.5.0", NEW)).await;
        shop
    }

    pub(crate) fn bucket(&self) -> &str {
        &self.site.runbook.at.bucket
    }

    pub(crate) async fn put(&self, key: &str, holds: &str) {
        let page = if key.ends_with(".html") || key.ends_with(".json") {
            "no-cache"
        } else {
            "public, max-age=31536000"
        };
        let kind = if key.ends_with(".html") { "text/html" } else { "application/octet-stream" };
        let asked = self
            .direct
            .s3()
            .put_object()
            .bucket(self.bucket())
            .key(key)
            .cache_control(page)
            .content_type(kind);
        asked.body(ByteStream::from(holds.as_bytes().to_vec())).send().await.unwrap();
    }

    /// Many at once.
    pub(crate) async fn put_all(&self, objects: &[(String, String)]) {
        for some in objects.chunks(64) {
            let mut under_way = tokio::task::JoinSet::new();
            for (key, holds) in some {
                let asked = self.direct.s3().put_object().bucket(self.bucket()).key(key);
                under_way.spawn(asked.body(ByteStream::from(holds.as_bytes().to_vec())).send());
            }
            for put in under_way.join_all().await {
                put.unwrap();
            }
        }
    }

    /// As large files are uploaded, and those of some tools always: its ETag is not that of its bytes.
    pub(crate) async fn put_in_parts(&self, key: &str, holds: &str) {
        let (s3, bucket) = (self.direct.s3(), self.bucket());
        let begun = s3.create_multipart_upload().bucket(bucket).key(key).content_type("text/html");
        let begun = begun.send().await.unwrap();
        let id = begun.upload_id().unwrap();
        let part = s3.upload_part().bucket(bucket).key(key).upload_id(id).part_number(1);
        let part = part.body(ByteStream::from(holds.as_bytes().to_vec())).send().await.unwrap();
        let part = CompletedPart::builder().part_number(1).set_e_tag(part.e_tag).build();
        let all = CompletedMultipartUpload::builder().parts(part).build();
        let ended = s3.complete_multipart_upload().bucket(bucket).key(key).upload_id(id);
        ended.multipart_upload(all).send().await.unwrap();
    }

    pub(crate) async fn etag(&self, key: &str) -> String {
        let asked = self.direct.s3().head_object().bucket(self.bucket()).key(key);
        asked.send().await.unwrap().e_tag().unwrap().trim_matches('"').to_owned()
    }

    pub(crate) async fn remove(&self, key: &str) {
        self.direct.s3().delete_object().bucket(self.bucket()).key(key).send().await.unwrap();
    }

    pub(crate) async fn suspend_versions(&self) {
        let off = VersioningConfiguration::builder().status(BucketVersioningStatus::Suspended);
        let asked = self.direct.s3().put_bucket_versioning().bucket(self.bucket());
        asked.versioning_configuration(off.build()).send().await.unwrap();
    }

    /// As a pipeline does: it keeps what it deploys, then puts it where it is served from, pages last.
    pub(crate) async fn deploy(&self, version: &str, objects: Objects<'_>) {
        let marker = format!("{{\"version\":\"{version}\"}}");
        let mut all: Vec<(&str, &str)> = objects.to_vec();
        all.sort_by_key(|(name, _)| name.ends_with(".html"));
        all.push(("version.json", &marker));
        for (name, holds) in all {
            if let Archived::Below(below) = &self.site.archive {
                self.put(&format!("{}{name}", below.replace("{version}", version)), holds).await;
            }
            self.put(name, holds).await;
        }
    }

    pub(crate) async fn record(&self, version: &str) -> Result<String, String> {
        Box::pin(record(&self.site, version)).await
    }

    pub(crate) async fn deploy_and_record(&self, version: &str, objects: Objects<'_>) {
        self.deploy(version, objects).await;
        self.record(version).await.unwrap();
    }

    /// What the bucket holds, archive and all.
    pub(crate) async fn holds(&self) -> BTreeMap<String, String> {
        let s3 = self.direct.s3();
        let mut keys = vec![];
        let mut pages = s3.list_objects_v2().bucket(self.bucket()).into_paginator().send();
        while let Some(page) = pages.next().await {
            keys.extend(
                page.unwrap().contents().iter().filter_map(|it| it.key().map(str::to_owned)),
            );
        }
        let mut all = BTreeMap::new();
        for key in keys {
            let read = s3.get_object().bucket(self.bucket()).key(&key).send().await.unwrap();
            let bytes = read.body.collect().await.unwrap().into_bytes();
            all.insert(key, String::from_utf8(bytes.to_vec()).unwrap());
        }
        all
    }

    /// What an object is served with.
    pub(crate) async fn cache_control(&self, key: &str) -> Option<String> {
        let head =
            self.direct.s3().head_object().bucket(self.bucket()).key(key).send().await.unwrap();
        head.cache_control().map(str::to_owned)
    }

    pub(crate) async fn inventory(&self) -> Inventory {
        frontend_inventory(&self.site, &self.options, &mut Known::default()).await
    }

    /// The steps from what is live to a version, as a plan has them.
    pub(crate) async fn steps(&self, to: &str) -> Vec<Step> {
        let seen = self.inventory().await;
        let from = seen.linked.clone().unwrap_or_else(|| panic!("{:?}", seen.faults));
        let to = seen.find(to).unwrap_or_else(|| panic!("{seen:?}"));
        self.site.runbook.steps(&from, &to.revision, to.differs.as_ref())
    }

    pub(crate) fn order(step: usize, what: &Step) -> Order {
        let what = what.clone();
        Order {
            run: "site-20260101000000".into(),
            step,
            attempt: 1,
            fallback: false,
            resumed: false,
            what,
        }
    }

    pub(crate) async fn carry_out(&self, order: &Order) -> Report {
        executors::carry_out(order, &self.options, self.store.lease()).await
    }

    /// All steps, one after the other, each of which must end well.
    pub(crate) async fn go_back(&self, to: &str) -> Vec<Report> {
        let mut reports = vec![];
        for (step, what) in self.steps(to).await.iter().enumerate() {
            let report = self.carry_out(&Self::order(step, what)).await;
            assert!(matches!(report.outcome, Outcome::Done | Outcome::AlreadyDone), "{report:?}");
            reports.push(report);
        }
        reports
    }

    /// How many invalidations there are, and the paths of the newest.
    pub(crate) async fn invalidated(&self) -> (usize, Vec<String>) {
        let distribution = self.site.runbook.distribution.clone().unwrap();
        let edge = self.direct.cloudfront();
        let all = edge.list_invalidations().distribution_id(&distribution).send().await.unwrap();
        let all = all.invalidation_list().unwrap().items().to_vec();
        let Some(first) = all.first() else { return (0, vec![]) };
        let one = edge
            .get_invalidation()
            .distribution_id(&distribution)
            .id(first.id())
            .send()
            .await
            .unwrap();
        let batch = one.invalidation().unwrap().invalidation_batch().unwrap();
        (all.len(), batch.paths().unwrap().items().to_vec())
    }

    /// How often an object was copied to, that is there under this key.
    pub(crate) fn copies_of(&self, key: &str) -> usize {
        let asked = self.proxy.asked(&format!("PUT /{}/{key}", self.bucket()));
        asked.iter().filter(|it| it.headers.contains_key("x-amz-copy-source")).count()
    }
}

pub(crate) fn failure(report: &Report) -> (&str, bool) {
    let Outcome::Failed { why, retry } = &report.outcome else { panic!("{report:?}") };
    (why, *retry)
}

pub(crate) fn copy_of(steps: &[Step]) -> (&Revision, &Revision) {
    let Action::FrontendCopy { from, to, .. } = &steps[0].action else { panic!("{steps:?}") };
    (from, to)
}

async fn distribution(clients: &Clients, name: &str) -> String {
    let custom = CustomOriginConfig::builder()
        .http_port(80)
        .https_port(443)
        .origin_protocol_policy(OriginProtocolPolicy::HttpOnly)
        .build();
    let origin = Origin::builder().id("site").domain_name(format!("{name}.s3.amazonaws.com"));
    let origin = origin.custom_origin_config(custom.unwrap()).build().unwrap();
    let behavior = DefaultCacheBehavior::builder()
        .target_origin_id("site")
        .viewer_protocol_policy(ViewerProtocolPolicy::AllowAll)
        .build();
    let config = DistributionConfig::builder()
        .caller_reference(name)
        .comment("a test")
        .enabled(true)
        .origins(Origins::builder().quantity(1).items(origin).build().unwrap())
        .default_cache_behavior(behavior.unwrap())
        .build();
    let made = clients.cloudfront().create_distribution().distribution_config(config.unwrap());
    made.send().await.unwrap().distribution().unwrap().id().to_owned()
}
