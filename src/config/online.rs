//! Asks each Prometheus whether it understands what will be asked of it.

use super::{Config, Problem, Read};
use crate::{
    sources::prometheus::{Prometheus, QueryError},
    units::UnixMs,
};

/// Runs each query once; a problem for each that Prometheus rejects, in its own words.
pub async fn check_online(config: &Config) -> Vec<Problem> {
    let now = UnixMs(jiff::Timestamp::now().as_millisecond());
    let mut problems = vec![];
    for poll in &config.polls {
        let Read::Prometheus { server, ask, .. } = &poll.read else { continue };
        let Some(options) = config.servers.get(server) else { continue };
        let name = format!("{} signal {}", poll.service, poll.signal);
        let client = match Prometheus::new(options.clone()) {
            Ok(client) => client,
            Err(fault) => {
                problems.push(Problem::of_file(&name, fault.to_string(), "mend [prometheus]"));
                continue;
            }
        };
        for (key, query) in ask.queries() {
            if let Err(fault) = client.check_online(query, now).await {
                problems.push(problem(&name, key, server, &fault));
            }
        }
    }
    problems
}

fn problem(name: &str, key: &str, server: &str, fault: &QueryError) -> Problem {
    let what = format!("`{key}` at prometheus {server}: {}", fault.fault());
    let instead = match fault {
        QueryError::Transport(_) | QueryError::NotPrometheus { .. } => {
            "check the address of the server, and whether it can be reached from here"
        }
        QueryError::Refused { .. } => "write a query that Prometheus understands",
        QueryError::Address(_)
        | QueryError::Cut
        | QueryError::Shape { .. }
        | QueryError::TooMany { .. } => "write a query that yields an instant vector",
    };
    Problem::of_file(name, what, instead)
}
