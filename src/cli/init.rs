//! `rollbackd init`: a first configuration.

use std::{fs, io::Write, path::PathBuf};

use clap::Args;

use super::{check::listed, client::Fault, out::Out};
use crate::config::{First, Refused, Wish, first};

/// Writes a first configuration, from flags or by looking at a Prometheus.
#[derive(Debug, Args)]
pub(super) struct Init {
    /// A service to watch; with --prometheus alone every one that is found.
    #[arg(long = "service", value_name = "NAME")]
    services: Vec<String>,
    /// A Prometheus to look at, and to read from.
    #[arg(long, value_name = "URL")]
    prometheus: Option<String>,
    /// The service's own metrics.
    #[arg(long, value_name = "URL")]
    scrape: Option<String>,
    /// Where the service says whether it is well.
    #[arg(long, value_name = "URL")]
    health: Option<String>,
    /// The directory with releases/ and current.
    #[arg(long, value_name = "DIR")]
    release_root: Option<String>,
    /// The unit to restart; NAME.service by default.
    #[arg(long, value_name = "UNIT", requires = "release_root")]
    unit: Option<String>,
    /// Where the running version is told; by default the unit's main process tells it.
    #[arg(long, value_name = "URL", requires = "release_root")]
    version_url: Option<String>,
    /// Write to a file instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write over a file that is there.
    #[arg(long, requires = "output")]
    force: bool,
}

impl Init {
    pub(super) async fn run(self, out: &Out) -> Result<(), Fault> {
        crate::tls::install();
        let (output, force) = (self.output, self.force);
        let wish = Wish {
            services: self.services,
            prometheus: self.prometheus,
            scrape: self.scrape,
            health: self.health,
            release_root: self.release_root,
            unit: self.unit,
            version_url: self.version_url,
        };
        // Nobody should wait for an answer that cannot be kept.
        if let Some(file) = output.as_ref().filter(|file| !force && file.exists()) {
            return Err(is_there(file));
        }
        let first = first(&wish).await.map_err(|refused| match refused {
            Refused::Usage(_) => Fault::Usage(refused.to_string()),
            Refused::Problems(ref problems) => {
                Fault::Usage(format!("{refused}\n{}", listed(problems)))
            }
            Refused::Nothing(_) => Fault::Other(refused.to_string()),
        })?;
        match &output {
            Some(file) => write(file, &first.text, force)?,
            None => out.text(&first.text)?,
        }
        out.aside(&told(&first, output.as_deref().map(|file| file.display().to_string())));
        Ok(())
    }
}

/// What was found and what was not, and what to do next.
pub(super) fn told(first: &First, file: Option<String>) -> String {
    let found = first.found.iter().map(|found| format!("found      {found}\n"));
    let notes = first.notes.iter().map(|note| format!("note       {note}\n"));
    let file = file.unwrap_or_else(|| "FILE".to_owned());
    let next = format!(
        "next       rollbackd check {file} --online, rollbackd check {file} --explain, rollbackd run --config {file}"
    );
    found.chain(notes).chain([next]).collect()
}

fn write(file: &std::path::Path, text: &str, force: bool) -> Result<(), Fault> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(!force).create(true).truncate(force);
    let written = options.open(file).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|why| {
        if why.kind() == std::io::ErrorKind::AlreadyExists {
            return is_there(file);
        }
        Fault::Other(format!("{} cannot be written: {why}", file.display()))
    })
}

fn is_there(file: &std::path::Path) -> Fault {
    Fault::Usage(format!("{} is there already: name another, or say --force", file.display()))
}
