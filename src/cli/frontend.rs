//! `rollbackd frontend record`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{check::listed, client::Fault, out::Out};
use crate::{
    config::{self, Config, FrontendPlatform, Platform},
    domain::service::ServiceId,
    executors,
};

/// What deployments of a site do for the day on which it is to go back.
#[derive(Debug, Args)]
pub(crate) struct Frontend {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Write down the version that is live: every object of it, beside the versions that are kept.
    ///
    /// The last step of a deployment. It asks no daemon: it needs the [aws.NAME] and the service's
    /// rollback.application.frontend of a configuration, and the rights to read the site and to write its manifests.
    Record(Record),
}

/// What is recorded.
#[derive(Debug, Args)]
struct Record {
    /// The configuration.
    file: PathBuf,
    /// Which service: site, or site/production. Needless where one alone is a site.
    #[arg(long)]
    service: Option<String>,
    /// What its marker must say.
    #[arg(long, value_name = "VERSION")]
    version: String,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

impl Frontend {
    pub(super) async fn run(self, out: &Out) -> Result<(), Fault> {
        match self.what {
            What::Record(what) => what.run(out).await,
        }
    }
}

impl Record {
    async fn run(self, out: &Out) -> Result<(), Fault> {
        let (config, _) =
            config::load(&self.file).map_err(|problems| Fault::Usage(listed(&problems)))?;
        let (service, platform) = self.meant(&config)?;
        crate::tls::install();
        let recorded = Box::pin(executors::frontend::record(&platform.site, &self.version)).await;
        let said =
            recorded.map_err(|why| Fault::Other(format!("{service} was not recorded: {why}")))?;
        if self.json {
            return out
                .json(&json!({ "service": service, "version": self.version, "recorded": said }));
        }
        out.text(&format!("{service}: {said}"))
    }

    fn meant<'c>(
        &self,
        config: &'c Config,
    ) -> Result<(&'c ServiceId, &'c FrontendPlatform), Fault> {
        let sites = config.platforms.iter().filter_map(|(id, platform)| match platform {
            Platform::Frontend(platform) => Some((id, &**platform)),
            Platform::Release(_) | Platform::Kubernetes(_) => None,
        });
        let is_meant = |id: &ServiceId| {
            self.service.as_ref().is_none_or(|said| *said == id.to_string() || said == id.name())
        };
        let meant: Vec<_> = sites.filter(|(id, _)| is_meant(id)).collect();
        let file = self.file.display();
        match (meant.as_slice(), &self.service) {
            ([one], _) => Ok(*one),
            ([], Some(said)) => Err(Fault::Usage(format!(
                "{said} is no service of {file} with [service.NAME.rollback.application.frontend]"
            ))),
            ([], None) => Err(Fault::Usage(format!("no service of {file} is a site"))),
            (several, _) => {
                let names: Vec<String> = several.iter().map(|(id, _)| id.to_string()).collect();
                Err(Fault::Usage(format!("say which with --service: {}", names.join(", "))))
            }
        }
    }
}
