//! The command line: one file for each thing that can be asked for. Only here, and in `main`, is anything printed.

mod check;
mod client;
mod demo;
mod dry_run;
mod explain;
mod frontend;
mod incidents;
mod init;
mod journal;
mod logging;
mod out;
mod outlook;
mod paint;
mod plan;
mod replay;
mod report;
mod run;
mod say;
mod schema;
mod show;
mod status;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use self::{
    client::{Client, Fault},
    out::Out,
};

/// Configuration or usage.
pub const EXIT_USAGE: u8 = 64;
/// The journal is damaged.
pub const EXIT_DAMAGED: u8 = 65;
/// There is no journal.
pub const EXIT_NO_JOURNAL: u8 = 66;
/// The journal is a newer program's.
pub const EXIT_NEWER: u8 = 69;
/// The lease was not had in time.
pub const EXIT_LEASE: u8 = 75;

/// Watches services after they change and undoes the change when it hurts.
#[derive(Debug, Parser)]
#[command(name = "rollbackd", version, about, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// How the daemon is reached, and how it is answered.
#[derive(Debug, Args)]
pub(crate) struct Reach {
    /// Where the daemon listens.
    #[arg(long, env = "ROLLBACKD_URL", default_value = "http://127.0.0.1:7676")]
    url: String,
    /// A file with the token; otherwise the variable ROLLBACKD_TOKEN, or this machine's own token.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Where the daemon keeps its state, and this machine's token.
    #[arg(
        long,
        value_name = "DIR",
        env = "ROLLBACKD_STATE_DIR",
        default_value = "/var/lib/rollbackd"
    )]
    state_dir: PathBuf,
    /// A certificate to trust, in PEM, for a daemon that made its own.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch, decide, roll back: the daemon.
    Run(run::Run),
    /// Write a first configuration, from flags or by looking at a Prometheus.
    Init(init::Init),
    /// Check a configuration; every problem at once.
    Check(check::Check),
    /// Print the JSON Schema of the configuration, for editors.
    Schema(schema::Schema),
    /// The whole story with real processes: a bad release, and what is made of it.
    Demo(demo::Demo),
    /// The demo's shop.
    #[command(hide = true)]
    DemoShop(demo::Shop),
    /// How every service stands.
    Status(status::Status),
    /// Why a service is where it is: what its triggers see and wait for, which guard would refuse, what would run.
    Explain(explain::Explain),
    /// What a rollback of a service would do, step by step.
    Plan(plan::Plan),
    /// Try the script that takes a service's schema back, and take all of it back.
    DryRun(dry_run::DryRun),
    /// Record the version of a site that is live, at the end of its deployment.
    Frontend(frontend::Frontend),
    /// The open incidents, and the recent ones.
    Incidents(incidents::Incidents),
    /// One incident.
    Show(show::Show),
    /// The report of an incident, in Markdown.
    Report(report::Report),
    /// What would have been done, from recorded history.
    Replay(Box<replay::Replay>),
    /// The journal of facts: check it, export it, make a new one of what can be read.
    Journal(journal::Journal),
    #[command(flatten)]
    Say(say::Say),
}

/// Reads the arguments, does what they ask for, and says how it went.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(fault) => {
            // Help and version are no faults, and go to the other stream.
            let _ = fault.print();
            return ExitCode::from(if fault.use_stderr() { EXIT_USAGE } else { 0 });
        }
    };
    let out = Out::of_this_process();
    match ask(cli.command, &out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            out.fault(&fault.to_string());
            ExitCode::from(fault.exit_code())
        }
    }
}

fn ask(command: Command, out: &Out) -> Result<(), Fault> {
    if let Command::Run(what) = command {
        return what.run(out);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|why| Fault::Other(format!("no runtime could be started: {why}")))?;
    runtime.block_on(async {
        match command {
            Command::Run(_) => Ok(()),
            Command::Init(what) => what.run(out).await,
            Command::Check(what) => what.run(out).await,
            Command::Schema(what) => what.run(out),
            Command::Demo(what) => what.run(out).await,
            Command::DemoShop(what) => what.run().await,
            Command::Status(what) => what.run(out).await,
            Command::Explain(what) => what.run(out).await,
            Command::Plan(what) => what.run(out).await,
            Command::DryRun(what) => what.run(out).await,
            Command::Frontend(what) => what.run(out).await,
            Command::Incidents(what) => what.run(out).await,
            Command::Show(what) => what.run(out).await,
            Command::Report(what) => what.run(out).await,
            Command::Replay(what) => what.run(out).await,
            Command::Journal(what) => what.run(out),
            Command::Say(what) => what.run(out).await,
        }
    })
}
