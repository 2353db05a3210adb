//! What sources and executors share of a database: how it is reached, and what it means when it is not.
//!
//! One interface over PostgreSQL and MariaDB or MySQL. A session is opened for one look and closed after it; what it reads is
//! bounded in time, rows and bytes. Nothing here ever prints a password, not even inside the words of a server.

mod access;
pub mod catalogue;
pub mod checks;
mod classify;
mod fault;
mod follows;
mod foreign_keys;
pub mod grants;
pub mod history;
mod lag;
mod quote;
mod session;
pub mod writable;

pub use self::{
    access::{Database, Kind, Options, Tls},
    fault::{Fault, Problem},
    follows::Follows,
    quote::{identifier, literal},
    session::{Row, Session},
};
