//! Databases, against the real PostgreSQL and MariaDB, migrated by the real Flyway.

mod checks;
mod connections;
pub(crate) mod flyway;
pub(crate) mod histories;
mod locks;
mod pooled;
mod replicas;
pub(crate) mod restored;
mod reversed;
pub(crate) mod server;
mod sqlx;
mod starts;
mod undone;
