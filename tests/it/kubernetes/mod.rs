//! Against a real API server with the real controllers: what is seen of a Deployment, and what is said when nothing is.

pub(crate) mod cluster;
pub(crate) mod configured;
mod kept;
pub(crate) mod kubelet;
mod kustomization;
mod manifests;
mod owners;
pub(crate) mod place;
mod preflight;
pub(crate) mod rights;
mod seen;
mod undo;
