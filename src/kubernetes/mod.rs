//! What whoever looks at a Kubernetes cluster and whoever changes it share: how it is reached, which version a pod
//! template is, and which of them the daemon keeps.

pub mod access;
pub mod shelf;
pub mod template;
