//! What the daemon's own interface is told: where to listen, whom to let in, how alerts find their service.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
};

use serde::Deserialize;

use crate::{
    domain::severity::Severity,
    units::{Secret, Span},
};

/// The daemon's own interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The certificate; plain HTTP without.
    pub tls: Option<Tls>,
    /// The operator's say-so to listen beyond loopback without TLS.
    pub allow_plain_beyond_loopback: bool,
    /// Whether `/metrics` needs no credential.
    pub open_metrics: bool,
    /// Who may do what, beside the token that the daemon makes for this machine.
    pub tokens: Vec<Token>,
    /// How alerts find their service.
    pub mapping: Mapping,
    /// What one request may cost.
    pub limits: HttpLimits,
    /// Topics of SNS whose alarms are taken.
    pub topics: SnsTopics,
}

/// Topics of SNS that may post alarms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnsTopics {
    /// Their ARNs.
    pub arns: BTreeSet<String>,
    /// Where AWS is asked in its stead, and what SNS signs is then signed by.
    pub endpoint: Option<String>,
    /// Authorities that are trusted there, in PEM.
    pub ca_pem: Option<Vec<u8>>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7676)),
            tls: None,
            allow_plain_beyond_loopback: false,
            open_metrics: false,
            tokens: vec![],
            mapping: Mapping::default(),
            limits: HttpLimits::default(),
            topics: SnsTopics::default(),
        }
    }
}

/// Files in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate, then its chain.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// A credential: who has it, and how far it reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Stands in the journal as who did it.
    pub name: String,
    /// What it may be used for.
    pub scopes: BTreeSet<Scope>,
    /// What is sent.
    pub secret: Secret,
}

/// What a credential may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Alertmanager: to send alerts.
    Alerts,
    /// A pipeline: to tell of changes.
    Changes,
    /// A checker: to tell of corrupt data, a breach, a failed migration.
    Evidence,
    /// To look at everything.
    View,
    /// To acknowledge, approve, reject, hold and roll back; and to look.
    Operate,
    /// Everything.
    Admin,
}

impl Scope {
    /// Its name in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alerts => "alerts",
            Self::Changes => "changes",
            Self::Evidence => "evidence",
            Self::View => "view",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}

/// How an alert finds its service and its severity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The label with the service's name.
    pub service_label: String,
    /// The label with the environment.
    pub environment_label: String,
    /// The environment of alerts without that label.
    pub default_environment: String,
    /// The label with the severity.
    pub severity_label: String,
    /// What its values mean.
    pub severities: BTreeMap<String, Severity>,
    /// What an alert without that label is.
    pub without_severity: Severity,
}

impl Default for Mapping {
    fn default() -> Self {
        let severities = [
            ("critical", Severity::P1),
            ("warning", Severity::P2),
            ("info", Severity::P3),
            ("none", Severity::P3),
        ];
        Self {
            service_label: "service".to_owned(),
            environment_label: "environment".to_owned(),
            default_environment: "production".to_owned(),
            severity_label: "severity".to_owned(),
            severities: severities.map(|(name, severity)| (name.to_owned(), severity)).into(),
            without_severity: Severity::P3,
        }
    }
}

/// What one request may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// Larger bodies are refused.
    pub body_max_bytes: usize,
    /// Labels of one alert.
    pub labels_max: usize,
    /// Alerts of one webhook.
    pub alerts_max: usize,
    /// Connections at once; more wait to be accepted.
    pub connections_max: usize,
    /// By then head and body have arrived, each.
    pub read_timeout: Span,
    /// By then the event loop has answered.
    pub answer_timeout: Span,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            body_max_bytes: 1 << 20,
            labels_max: 64,
            alerts_max: 1000,
            connections_max: 256,
            read_timeout: Span::seconds(10),
            answer_timeout: Span::seconds(30),
        }
    }
}
