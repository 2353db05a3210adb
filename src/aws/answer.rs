//! From the SDK's errors to ours.

use std::{error::Error, io};

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::{
    dns::ResolveDnsError,
    orchestrator::HttpResponse,
    result::{ConnectorError, SdkError},
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::fault::{Fault, Kind, meaning};
use crate::causes::chain;

/// What an error of the SDK means.
pub(super) fn fault<E>(action: &'static str, error: &SdkError<E, HttpResponse>) -> Fault
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let mut fault = match error {
        SdkError::ServiceError(refused) => {
            let meta = refused.err().meta();
            let (code, said) = (meta.code().unwrap_or(""), meta.message().unwrap_or(""));
            let kind = meaning(action, code, refused.raw().status().as_u16(), said);
            // Of a signature that does not fit AWS shows what was signed, and a session's token is part of that.
            let said = if kind == Kind::Credentials { code } else { said };
            let own = Some(code.into()).filter(|_| !code.is_empty());
            Fault { code: own, ..Fault::new(action, kind, said) }
        }
        SdkError::DispatchFailure(failed) => match failed.as_connector_error() {
            Some(connector) => unsent(action, connector),
            None => Fault::new(action, Kind::Unanswered, ""),
        },
        SdkError::TimeoutError(_) => Fault::new(action, Kind::Unanswered, "it took too long"),
        SdkError::ResponseError(cut) => {
            let status = cut.raw().status().as_u16();
            let said = format!("the answer (status {status}) cannot be read: {}", chain(error));
            Fault::new(action, Kind::Unanswered, &said)
        }
        SdkError::ConstructionFailure(_) => Fault::new(
            action,
            Kind::Refused { code: "before it was sent".to_owned() },
            &chain(error),
        ),
        _ => Fault::new(action, Kind::Unanswered, &chain(error)),
    };
    fault.request = request(error).map(String::into_boxed_str);
    fault
}

/// Whether anything can have been heard of it.
fn unsent(action: &'static str, error: &ConnectorError) -> Fault {
    if let Some(credentials) = find::<CredentialsError>(error) {
        let in_time = !matches!(credentials, CredentialsError::ProviderTimedOut(_));
        let kind = if in_time { Kind::Credentials } else { Kind::Unreachable };
        return Fault::new(action, kind, &chain(credentials));
    }
    let refused = find::<io::Error>(error).is_some_and(|fault| {
        matches!(
            fault.kind(),
            io::ErrorKind::ConnectionRefused
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::AddrNotAvailable
        )
    });
    let said = chain(error);
    // Also a name that nobody resolves, as of a region that there is not.
    let connecting = ["HTTP connect", "client error (Connect)"].iter().any(|it| said.contains(it))
        || find::<rustls::Error>(error).is_some();
    let unreachable = refused || connecting || find::<ResolveDnsError>(error).is_some();
    let kind = if unreachable || error.is_user() { Kind::Unreachable } else { Kind::Unanswered };
    Fault::new(action, kind, &said)
}

fn find<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        // An I/O error's own payload is passed over by `source`.
        let payload = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = payload.map(|payload| payload as &(dyn Error + 'static)).or_else(|| error.source());
    }
    None
}

fn request<E>(error: &SdkError<E, HttpResponse>) -> Option<String> {
    let headers = error.raw_response()?.headers();
    let id = ["x-amzn-requestid", "x-amz-request-id"].iter().find_map(|name| headers.get(*name))?;
    let is_plain = id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    is_plain.then(|| id.to_owned())
}
