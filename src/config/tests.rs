mod aws;
mod databases;
pub(super) mod documented;
mod faults;
mod frontend;
mod kubernetes;
mod meant;
mod rds;

use crate::config::{Config, Problem, load_text};

/// What people read.
pub(super) fn told(problems: &[Problem]) -> String {
    let each: Vec<String> = problems.iter().map(Problem::to_string).collect();
    each.join("\n\n")
}

fn loaded(text: &str) -> (Config, Vec<Problem>) {
    load_text("rollbackd.toml", text).unwrap_or_else(|problems| panic!("{}", told(&problems)))
}

fn refused(text: &str) -> String {
    told(&load_text("rollbackd.toml", text).expect_err("this should have been refused"))
}
