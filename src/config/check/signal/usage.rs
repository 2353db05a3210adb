//! What a Deployment's pods use.

use crate::{
    config::{check::found::Found, raw},
    domain::policy::SignalKind,
    sources::kubernetes::{Resource, Usage},
};

/// What is measured, against what.
pub(super) fn usage(found: &mut Found<'_>, raw: &raw::Pods, kind: SignalKind) -> Usage {
    let resource = if kind == SignalKind::Cpu { Resource::Cpu } else { Resource::Memory };
    Usage {
        resource,
        of: raw.of.as_ref().map(|of| *of.get_ref()).unwrap_or_default(),
        pods_max: usize::try_from(found.at_least_one(&raw.pods_max, 20)).unwrap_or(usize::MAX),
    }
}

/// What means nothing to another kind of signal.
pub(super) fn none_of_it(found: &mut Found<'_>, raw: &raw::Pods) {
    if let Some(of) = &raw.of {
        let what = "`of` says what the use of CPU or memory is compared with";
        found.error(of.span(), what, "leave it out, or call the signal `cpu` or `memory`");
    }
}
