//! What whoever looks at a Kubernetes cluster and whoever changes it share: how it is reached, which version a pod
//! template is, which of them the daemon keeps, and what keeps pods from serving.

pub mod access;
pub mod shelf;
pub mod status;
pub mod template;
pub mod trouble;
