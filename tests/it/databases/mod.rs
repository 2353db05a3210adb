//! Databases, against the real PostgreSQL and MariaDB, migrated by the real Flyway.

mod checks;
mod connections;
pub(crate) mod flyway;
mod histories;
mod locks;
mod replicas;
pub(crate) mod server;
mod starts;
mod undone;
