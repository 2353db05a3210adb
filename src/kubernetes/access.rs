//! How a cluster is reached: by a kubeconfig, or from inside.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use kube::config::{Config, KubeConfigOptions, Kubeconfig, KubeconfigError};
use tokio::{runtime::Handle, task::spawn_blocking};

use super::{pulls, seal::Secrets};
use crate::{causes::chain, units::Span};

/// Which cluster, what of it, and how patiently.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Options {
    /// Its name in the configuration.
    pub name: String,
    /// By whose rights.
    pub access: Access,
    /// The namespace that is watched; all of them where there is none.
    pub namespace: Option<String>,
    /// Only objects with these labels are watched, as in `kubectl get -l`.
    pub labels: Option<String>,
    /// Without an answer for so long, nothing is known.
    pub stale_after: Span,
    /// A watch is opened anew this often.
    pub reopen_every: Span,
    /// How long a connection may take.
    pub connect: Span,
    /// How many objects are asked for at once.
    pub page: u32,
    /// Whether the ConfigMaps that Deployments refer to are watched.
    pub config_maps: bool,
    /// Whether the Secrets are, and what is kept of them.
    pub secrets: Secrets,
    /// Annotations of Deployments by which an image is named: where one is there its template is kept beside it.
    pub previous: BTreeSet<String>,
    /// So many of its warnings are told of a Deployment that is not well; none are asked for where that is 0.
    pub events_max: usize,
    /// How the registries of its images are asked.
    pub registries: pulls::Options,
}

impl Options {
    /// With everything as usual.
    pub fn new(name: &str, access: Access) -> Self {
        Self {
            name: name.to_owned(),
            access,
            namespace: None,
            labels: None,
            stale_after: Span::seconds(30),
            reopen_every: Span::seconds(30),
            connect: Span::seconds(5),
            page: 500,
            config_maps: true,
            secrets: Secrets::Off,
            previous: BTreeSet::new(),
            events_max: 5,
            registries: pulls::Options::default(),
        }
    }

    /// For people.
    pub fn place(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("the namespace {namespace} of kubernetes {}", self.name),
            None => format!("kubernetes {}", self.name),
        }
    }
}

/// By whose rights a cluster is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Of the pod's ServiceAccount, in whose pod the daemon runs.
    InCluster,
    /// As a kubeconfig says.
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Which of its contexts; the current one where none is said.
        context: Option<String>,
    },
}

/// Why a kubeconfig cannot be used, without what is secret in it.
pub fn check_kubeconfig(path: &Path, context: Option<&str>) -> Result<(), String> {
    let file = kubeconfig(path)?;
    let name = context.or(file.current_context.as_deref()).filter(|name| !name.is_empty());
    let names = || file.contexts.iter().map(|known| known.name.as_str());
    let known = || names().collect::<Vec<_>>().join(", ");
    match name {
        None => Err(format!("it has no current context; its contexts are {}", known())),
        Some(name) if names().any(|known| known == name) => Ok(()),
        Some(name) => Err(format!("it has no context `{name}`; its contexts are {}", known())),
    }
}

/// The parser of YAML shows the line at fault and says what stands there, which may be a token: only its place is told.
fn kubeconfig(path: &Path) -> Result<Kubeconfig, String> {
    Kubeconfig::read_from(path).map_err(|fault| {
        let KubeconfigError::Parse(fault) = &fault else { return chain(&fault) };
        let at = fault.location();
        let at = at.map(|at| format!(" (line {}, column {})", at.line(), at.column()));
        format!("it is not a kubeconfig{}", at.unwrap_or_default())
    })
}

/// Builds a client that waits so long for what is said: whatever says how the cluster is reached is read anew.
///
/// A program that a kubeconfig names for a credential runs for as long as it likes: on a thread of its own.
pub async fn client<T: Send + 'static>(
    options: &Options,
    read_timeout: Duration,
    build: impl FnOnce(Config) -> Result<T, kube::Error> + Send + 'static,
) -> Result<T, String> {
    let (handle, options) = (Handle::current(), options.clone());
    let built = spawn_blocking(move || {
        let mut config = handle.block_on(connection(&options))?;
        config.read_timeout = Some(read_timeout);
        build(config).map_err(|fault| chain(&fault))
    });
    built.await.unwrap_or_else(|fault| Err(fault.to_string()))
}

async fn connection(options: &Options) -> Result<Config, String> {
    crate::tls::install();
    let mut config = match &options.access {
        Access::InCluster => Config::incluster().map_err(|fault| chain(&fault))?,
        Access::Kubeconfig { path, context } => {
            let file = kubeconfig(path)?;
            let which = KubeConfigOptions { context: context.clone(), ..Default::default() };
            Config::from_custom_kubeconfig(file, &which).await.map_err(|fault| chain(&fault))?
        }
    };
    config.connect_timeout = Some(options.connect.duration());
    config.write_timeout = Some(options.stale_after.duration());
    // It would repeat by itself what may have been done, unseen and without asking whether it may still be done.
    config.default_retry = false;
    Ok(config)
}

/// A text as it stands in a query.
pub fn encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let each = text.bytes().map(|byte| match is_plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    each.collect()
}
