//! Deployments of a Kubernetes cluster: which version is set, which serves, how well, and what happened to them.
//!
//! What is known is folded by [`Cluster`] from what the API server says, and judged by [`Cluster::see`]: both are pure.
//! [`watch`] lists and watches, and decides nothing. Nothing here changes anything.

mod annotated;
mod asked;
mod cluster;
mod configured;
mod deployment;
mod held;
mod kept;
mod link;
mod objects;
mod opened;
mod pull_secrets;
#[cfg(test)]
mod tests;
mod watched;
mod watching;
mod who;

pub use self::{
    annotated::annotated,
    asked::{About, Answer, Asking, Lines, Logs, NoEvents, Of, Question, Resource, Usage},
    cluster::{Cluster, Said},
    deployment::{Seen, Standing},
    link::NOT_LISTED_YET,
    objects::{Deployment, Held, Key, Kind, Pod, ReplicaSet},
    pull_secrets::pull_secrets,
    watched::{Wanted, Watched},
    watching::watch,
};
