//! Against a real API server with the real controllers: what is seen of a Deployment, and what is said when nothing is.

mod between;
pub(crate) mod cluster;
mod configured;
pub(crate) mod events;
mod faults;
pub(crate) mod jobs;
mod kept;
pub(crate) mod kubelet;
pub(crate) mod kustomization;
pub(crate) mod logs;
mod maintenance;
mod manifests;
mod migrated;
mod misread;
pub(crate) mod node;
mod owners;
pub(crate) mod place;
mod preflight;
mod previous;
pub(crate) mod reading;
mod registries;
pub(crate) mod rights;
mod secrets;
mod seen;
mod stopped;
mod undo;
mod usage;
