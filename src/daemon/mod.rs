//! The shell: wires everything, gathers, writes down, carries out. It decides nothing.

mod backfill;
mod checks;
pub mod clock;
mod delivery;
mod discovery;
mod event_loop;
mod followers;
mod giving_up;
mod hold;
pub mod journaling;
mod keeping;
mod listening;
mod migrations;
mod opening;
mod pace;
pub(crate) mod past;
mod platforms;
mod poller;
mod pulling;
mod query;
mod rds;
mod reading;
pub mod recovery;
mod reload;
mod rounds;
mod run;
mod scraping;
mod scripts;
mod secrets;
mod serving;
mod snapshots;
mod standstill;
mod supervise;
mod tasks;
mod wiring;

pub use run::run;
