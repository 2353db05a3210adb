//! What whoever looks at a Kubernetes cluster and whoever changes it share: how it is reached, and which version a pod
//! template is.

pub mod access;
pub mod template;
