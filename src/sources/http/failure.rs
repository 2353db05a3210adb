//! Why there is no answer, and whose fault that is.

use std::{error::Error, io};

use super::Options;
use crate::{sources::reading::Class, units::Span};

/// What was being waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// A connection.
    Connect,
    /// The head of the answer.
    Head,
    /// The body.
    Body,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The name has no address, or the resolver does not answer.
    #[error("the host's name cannot be resolved")]
    Name(#[source] io::Error),
    /// Certificates, versions, or plain HTTP where TLS was expected.
    #[error("the TLS handshake failed")]
    Tls(#[source] rustls::Error),
    /// We have no network, no free port or no free file descriptor.
    #[error("this host cannot open a connection")]
    Ours(#[source] io::Error),
    /// Nothing listens there.
    #[error("the connection was refused")]
    Refused(#[source] reqwest::Error),
    /// Reset or closed before the answer was whole.
    #[error("the connection broke off")]
    Broken(#[source] reqwest::Error),
    /// No connection in time.
    #[error("no connection within {after}")]
    SlowConnect {
        /// The deadline.
        after: Span,
    },
    /// Connected, and no answer in time.
    #[error("no answer within {after}")]
    SlowHead {
        /// The deadline.
        after: Span,
    },
    /// The answer did not end in time.
    #[error("the answer was not whole within {after}")]
    SlowBody {
        /// The deadline.
        after: Span,
    },
    /// The body is larger than allowed.
    #[error("the answer is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The answer is not HTTP, or its body is not what its head says.
    #[error("the answer is not valid HTTP")]
    Garbled(#[source] reqwest::Error),
    /// The request could not be made at all.
    #[error("the request cannot be made")]
    Request(#[source] reqwest::Error),
}

impl Failure {
    /// Whose fault it looks like.
    pub fn class(&self) -> Class {
        match self {
            Self::Name(_) | Self::Tls(_) | Self::Ours(_) => Class::Unknown,
            Self::TooLarge { .. } | Self::Request(_) => Class::Unknown,
            Self::Refused(_) | Self::Broken(_) | Self::Garbled(_) => Class::Down,
            Self::SlowConnect { .. } | Self::SlowHead { .. } | Self::SlowBody { .. } => Class::Down,
        }
    }

    /// Everything that is known, on one line.
    pub fn story(&self) -> String {
        let mut story = self.to_string();
        let mut source = self.source();
        while let Some(error) = source {
            let text = error.to_string();
            if !story.ends_with(&text) {
                story = format!("{story}: {text}");
            }
            source = error.source();
        }
        story
    }

    pub(super) fn late(phase: Phase, options: &Options) -> Self {
        match phase {
            Phase::Connect => Self::SlowConnect { after: options.connect },
            Phase::Head => Self::SlowHead { after: options.attempt.min(options.total) },
            Phase::Body => Self::SlowBody { after: options.total },
        }
    }

    pub(super) fn of(error: reqwest::Error, phase: Phase, options: &Options) -> Self {
        let error = error.without_url();
        match Cause::of(&error) {
            Cause::Name(cause) => return Self::Name(cause),
            Cause::Tls(cause) => return Self::Tls(cause),
            Cause::Ours(cause) => return Self::Ours(cause),
            Cause::Refused => return Self::Refused(error),
            Cause::Broken => return Self::Broken(error),
            Cause::Other => {}
        }
        if error.is_timeout() {
            let phase = if error.is_connect() { Phase::Connect } else { phase };
            Self::late(phase, options)
        } else if error.is_builder() {
            Self::Request(error)
        } else if error.is_connect() {
            Self::Broken(error)
        } else {
            Self::Garbled(error)
        }
    }
}

/// What an HTTP status says when it is not the one that was asked for.
pub(crate) fn class_of(status: u16) -> Class {
    match status {
        // Our credential, our proxy, our rate, or a page we were sent to: nothing about the service's health.
        300..=399 | 401 | 403 | 407 | 429 => Class::Unknown,
        _ => Class::Down,
    }
}

/// Our resolver's error, to be found again under reqwest's.
#[derive(Debug, thiserror::Error)]
#[error("name not found")]
pub(super) struct NameNotFound(#[source] pub(super) io::Error);

enum Cause {
    Name(io::Error),
    Tls(rustls::Error),
    Ours(io::Error),
    Refused,
    Broken,
    Other,
}

impl Cause {
    fn of(error: &reqwest::Error) -> Self {
        let mut found = Self::Other;
        let mut next: Option<&(dyn Error + 'static)> = error.source();
        while let Some(error) = next {
            if let Some(NameNotFound(cause)) = error.downcast_ref() {
                return Self::Name(copy(cause));
            }
            if let Some(cause) = error.downcast_ref::<rustls::Error>() {
                return Self::Tls(cause.clone());
            }
            if let Some(cause) = error.downcast_ref::<io::Error>() {
                found = Self::of_io(cause);
                if matches!(found, Self::Tls(_)) {
                    return found;
                }
            }
            next = error.source();
        }
        found
    }

    fn of_io(error: &io::Error) -> Self {
        // `source` of an io::Error skips what it wraps.
        if let Some(inner) = error.get_ref() {
            if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
                return Self::Tls(tls.clone());
            }
            if let Some(inner) = inner.downcast_ref::<io::Error>() {
                return Self::of_io(inner);
            }
        }
        use io::ErrorKind as Kind;
        const OURS: [Kind; 3] =
            [Kind::NetworkUnreachable, Kind::NetworkDown, Kind::AddrNotAvailable];
        const BROKEN: [Kind; 5] = [
            Kind::ConnectionReset,
            Kind::ConnectionAborted,
            Kind::BrokenPipe,
            Kind::HostUnreachable,
            Kind::UnexpectedEof,
        ];
        // ENFILE and EMFILE, out of file descriptors, have no kind of their own.
        let out_of_files = matches!(error.raw_os_error(), Some(23 | 24));
        let kind = error.kind();
        if kind == Kind::ConnectionRefused {
            Self::Refused
        } else if out_of_files || OURS.contains(&kind) {
            Self::Ours(copy(error))
        } else if BROKEN.contains(&kind) {
            Self::Broken
        } else {
            Self::Other
        }
    }
}

fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}
