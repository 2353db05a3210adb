//! One account, opened once for everybody who reaches it in the same way: credentials and connections are shared.
//!
//! Nothing here waits for ever. Looking is tried again by the SDK; what changes something is sent once, for its step has
//! attempts of its own, each of which looks first.

use std::{
    error::Error,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use aws_config::{
    AppName, BehaviorVersion, Region, SdkConfig, identity::IdentityCache,
    profile::ProfileFileCredentialsProvider, provider_config::ProviderConfig, retry::RetryConfig,
    sts::AssumeRoleProvider, timeout::TimeoutConfig,
};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    http::SharedHttpClient, orchestrator::HttpResponse, result::SdkError,
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::{Access, Fault, Identity, Kind, answer};

/// What is assumed of the SDK's behaviour, whatever its version.
fn behaviour() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

/// One account, in one region.
#[derive(Clone)]
pub struct Account(Arc<Shared>);

struct Shared {
    access: Access,
    http: SharedHttpClient,
    /// Until the credentials that were found are not taken any more: then they are looked for anew.
    opened: Mutex<Option<SdkConfig>>,
}

/// Those that were asked for last: an account whose credentials are in memory does without whoever gives them for a while.
static HELD: Mutex<Vec<Account>> = Mutex::new(Vec::new());
/// The one that was opened first is let go of beyond that.
const HELD_MAX: usize = 64;

impl Account {
    /// The one that is reached so: the same for everybody.
    pub fn of(access: &Access) -> Result<Self, Fault> {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = held.iter().find(|account| account.0.access == *access) {
            return Ok(known.clone());
        }
        let (access, http) = (access.clone(), http_client(access)?);
        let account = Self(Arc::new(Shared { access, http, opened: Mutex::new(None) }));
        if held.len() >= HELD_MAX {
            held.remove(0);
        }
        held.push(account.clone());
        Ok(account)
    }

    /// How it is reached.
    pub fn access(&self) -> &Access {
        &self.0.access
    }

    /// For questions: one that fails in passing is asked again.
    pub async fn to_look(&self) -> Clients {
        Clients { config: self.opened().await, account: self.clone() }
    }

    /// For what changes something: sent once, whatever comes of it.
    pub async fn to_act(&self) -> Clients {
        let once = self.opened().await.into_builder().retry_config(RetryConfig::disabled());
        Clients { config: once.build(), account: self.clone() }
    }

    async fn opened(&self) -> SdkConfig {
        let known = self.0.opened.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known {
            return known;
        }
        let opened = open(&self.0.access, &self.0.http).await;
        let mut known = self.0.opened.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever was quicker has the credentials already.
        known.get_or_insert(opened).clone()
    }

    fn forget(&self) {
        *self.0.opened.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({})", self.0.access.place())
    }
}

/// Clients of an account's services, all with its deadlines.
#[derive(Clone, Debug)]
pub struct Clients {
    config: SdkConfig,
    account: Account,
}

impl Clients {
    /// Metrics and alarms.
    pub fn cloudwatch(&self) -> aws_sdk_cloudwatch::Client {
        aws_sdk_cloudwatch::Client::new(&self.config)
    }

    /// Topics.
    pub fn sns(&self) -> aws_sdk_sns::Client {
        aws_sdk_sns::Client::new(&self.config)
    }

    /// Secrets and their versions.
    pub fn secrets(&self) -> aws_sdk_secretsmanager::Client {
        aws_sdk_secretsmanager::Client::new(&self.config)
    }

    /// Databases and their snapshots.
    pub fn rds(&self) -> aws_sdk_rds::Client {
        aws_sdk_rds::Client::new(&self.config)
    }

    /// Buckets. An endpoint of one's own knows them by path, for it has no name for each.
    pub fn s3(&self) -> aws_sdk_s3::Client {
        let by_path = self.account.access().endpoint.is_some();
        let config = aws_sdk_s3::config::Builder::from(&self.config).force_path_style(by_path);
        aws_sdk_s3::Client::from_conf(config.build())
    }

    /// Distributions.
    pub fn cloudfront(&self) -> aws_sdk_cloudfront::Client {
        aws_sdk_cloudfront::Client::new(&self.config)
    }

    /// Who asks.
    pub fn sts(&self) -> aws_sdk_sts::Client {
        aws_sdk_sts::Client::new(&self.config)
    }

    /// Whom AWS takes us for: the account, and the name of who asks there. No right is needed for that.
    pub async fn identity(&self) -> Result<Identity, Fault> {
        let answer = self.sts().get_caller_identity().send().await;
        let answer = answer.map_err(|fault| self.fault("sts:GetCallerIdentity", fault))?;
        let said = |text: Option<&str>| text.unwrap_or("unknown").to_owned();
        Ok(Identity { account: said(answer.account()), arn: said(answer.arn()) })
    }

    /// What an error means. Credentials that are not taken are looked for anew, for whoever asks next.
    pub fn fault<E>(&self, action: &'static str, error: SdkError<E, HttpResponse>) -> Fault
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let mut fault = answer::fault(action, &error);
        if fault.kind == Kind::Credentials {
            self.account.forget();
            let from = self.account.access().credentials();
            fault.said = format!("{}; credentials: {from}", fault.said);
        }
        fault
    }
}

/// The one TLS provider of this process, and the machine's authorities.
fn http_client(access: &Access) -> Result<SharedHttpClient, Fault> {
    crate::tls::install();
    let mut trusted = TrustStore::empty().with_native_roots(true);
    if let Some(pem) = &access.ca_pem {
        trusted = trusted.with_pem_certificate(pem.as_slice());
    }
    let context = TlsContext::builder().with_trust_store(trusted).build();
    let context =
        context.map_err(|fault| Fault::new("TLS", Kind::Unreachable, &fault.to_string()))?;
    let client =
        Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(context);
    Ok(client.build_https())
}

async fn open(access: &Access, http: &SharedHttpClient) -> SdkConfig {
    let region = Region::new(access.region.clone());
    let wait = |span: crate::units::Span| span.duration();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(wait(access.connect_timeout))
        .read_timeout(wait(access.attempt_timeout))
        .operation_attempt_timeout(wait(access.attempt_timeout))
        .operation_timeout(wait(access.operation_timeout))
        .build();
    let identities = || IdentityCache::lazy().load_timeout(wait(access.operation_timeout)).build();
    let mut loader = aws_config::defaults(behaviour())
        .region(region.clone())
        .http_client(http.clone())
        .timeout_config(timeouts.clone())
        .retry_config(RetryConfig::standard().with_max_attempts(access.attempts))
        .identity_cache(identities());
    if let Ok(name) = AppName::new("rollbackd") {
        loader = loader.app_name(name);
    }
    if let Some(endpoint) = &access.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    if let Some(profile) = profile(access, http, &timeouts) {
        loader = loader.credentials_provider(profile);
    }
    let own = loader.load().await;
    let Some(role) = &access.role else { return own };
    let mut assumed = AssumeRoleProvider::builder(&role.arn)
        .session_name(&role.session_name)
        .region(region)
        .configure(&own);
    if let Some(id) = &role.external_id {
        assumed = assumed.external_id(id);
    }
    let provider = SharedCredentialsProvider::new(assumed.build().await);
    own.into_builder().credentials_provider(provider).identity_cache(identities()).build()
}

/// What is named goes before what the environment says.
fn profile(
    access: &Access,
    http: &SharedHttpClient,
    timeouts: &TimeoutConfig,
) -> Option<ProfileFileCredentialsProvider> {
    if access.profile.is_none() && access.credentials_file.is_none() {
        return None;
    }
    let reaching = ProviderConfig::empty()
        .with_region(Some(Region::new(access.region.clone())))
        .with_http_client(http.clone())
        .with_timeout_config(timeouts.clone());
    let mut provider = ProfileFileCredentialsProvider::builder().configure(&reaching);
    if let Some(name) = &access.profile {
        provider = provider.profile_name(name);
    }
    if let Some(path) = &access.credentials_file {
        let files = EnvConfigFiles::builder().with_file(EnvConfigFileKind::Credentials, path);
        provider = provider.profile_files(files.build());
    }
    Some(provider.build())
}
