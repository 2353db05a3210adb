//! What whoever looks at a Kubernetes cluster and whoever changes it share.
//!
//! How it is reached, which version a pod template is and what it pulls, which of them the daemon keeps, to whom a Deployment
//! belongs, and what keeps pods from serving.

pub mod access;
pub mod content;
pub mod maps;
pub mod owners;
pub mod previous;
pub mod pulls;
pub mod quantity;
pub mod seal;
pub mod shelf;
pub mod status;
pub mod stopped;
pub mod template;
pub mod trouble;
