//! A first configuration: from what a person says, and from what a Prometheus or a service's own metrics show.
//!
//! It only proposes. What it writes observes and touches nothing, and is read by the same check as any other file
//! before it leaves here.

mod conventions;
mod draft;
pub(in crate::config) mod propose;
mod survey;
#[cfg(test)]
mod tests;

use reqwest::Url;

use self::{
    draft::{Draft, Named, Own, Scraped},
    propose::{By, Proposals, listed, propose},
};
use crate::{
    config::{Level, Problem, load_text},
    sources::http,
};

/// Services that are written; more than this are a fleet, which is better told by a template of its own.
const SERVICES_MAX: usize = 1_000;

/// What a person says.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// The services, by name; every one that is found where there is none.
    pub services: Vec<String>,
    /// A Prometheus to look at, and to read from.
    pub prometheus: Option<String>,
    /// Where the service's own metrics are.
    pub scrape: Option<String>,
    /// Where it says whether it is well.
    pub health: Option<String>,
    /// The directory with `releases/` and `current`.
    pub release_root: Option<String>,
    /// The unit that is restarted; the service's name with `.service` otherwise.
    pub unit: Option<String>,
    /// Where the version that runs is told; the unit's main process tells it otherwise.
    pub version_url: Option<String>,
}

/// What was written, and what people should know about it.
#[derive(Clone, Debug)]
pub struct First {
    /// The file.
    pub text: String,
    /// What was found, a sentence each.
    pub found: Vec<String>,
    /// What was not, or was left out, a sentence each.
    pub notes: Vec<String>,
}

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// What was said does not go together.
    #[error("{0}")]
    Usage(String),
    /// What was said cannot be a configuration.
    #[error("what was asked for cannot be used")]
    Problems(Vec<Problem>),
    /// There was nothing to look at.
    #[error("{0}")]
    Nothing(String),
}

/// Looks at what there is, and writes a file that passes the check.
pub async fn first(wish: &Wish) -> Result<First, Refused> {
    sensible(wish)?;
    let mut notes = vec![];
    let mut draft = Draft { prometheus: wish.prometheus.clone(), ..Draft::default() };
    if let Some(url) = &wish.prometheus {
        let looked = match address(url) {
            Ok(url) => survey::of_prometheus(url).await,
            Err(why) => Err(why),
        };
        match looked {
            Ok(survey) => {
                let mut proposals = propose(&survey);
                // Of whom was not asked for nothing is told.
                let asked = |note: &String| {
                    wish.services.is_empty()
                        || wish.services.iter().any(|name| note.contains(name.as_str()))
                };
                notes.extend(std::mem::take(&mut proposals.notes).into_iter().filter(asked));
                choose(wish, proposals, &mut draft, &mut notes);
            }
            Err(why) if wish.services.is_empty() => {
                return Err(Refused::Nothing(format!("{}: {why}", shown(url))));
            }
            Err(why) => {
                notes.push(format!(
                    "{} was not looked at, its queries are guesses: {why}",
                    shown(url)
                ));
            }
        }
        if wish.services.is_empty() && draft.named.is_empty() {
            let known = conventions::CONVENTIONS.iter().map(|c| c.requests);
            let known = known.collect::<Vec<_>>().join(", ");
            let why = format!("{} has no request counter with a known name: {known}", shown(url));
            let why = std::iter::once(why).chain(notes).collect::<Vec<_>>().join("\n");
            return Err(Refused::Nothing(format!(
                "{why}\nsay --service NAME, and correct what is written"
            )));
        }
    }
    let missing: Vec<String> =
        wish.services.iter().filter(|name| !draft.names(name)).cloned().collect();
    for name in missing {
        let scraped = scraped(wish, &name, &mut notes).await;
        // Where there is something better than a guess, nothing is guessed.
        let guess = wish.prometheus.is_some() && scraped.is_none();
        if guess {
            notes.push(format!("no metrics of {name} were found: its queries are guesses"));
        }
        draft.named.push(Named::of(&name, guess.then(By::guess), guess));
        draft.own.scraped = scraped;
    }
    draft.own = Own {
        health: wish.health.clone(),
        release_root: wish.release_root.clone(),
        unit: wish.unit.clone(),
        version_url: wish.version_url.clone(),
        ..std::mem::take(&mut draft.own)
    };
    checked(&draft, notes)
}

fn sensible(wish: &Wish) -> Result<(), Refused> {
    let own = [&wish.scrape, &wish.health, &wish.release_root, &wish.unit, &wish.version_url];
    let own = own.into_iter().any(Option::is_some);
    let says = |what: &str| Err(Refused::Usage(what.to_owned()));
    match wish.services.as_slice() {
        [] if own => says("say which service this is: --service NAME"),
        [] if wish.prometheus.is_none() => says(
            "say --prometheus URL to look at one, or --service NAME with --scrape URL or --health URL",
        ),
        [_] if !own && wish.prometheus.is_none() => {
            says("say where it is read: --prometheus URL, --scrape URL or --health URL")
        }
        [_, _, ..] if own => {
            says("--scrape, --health and --release-root are of one service: say one --service")
        }
        [_, _, ..] if wish.prometheus.is_none() => {
            says("say where they are read: --prometheus URL")
        }
        _ => Ok(()),
    }
}

fn address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|fault| format!("this is not an address: {fault}"))?;
    let usable = matches!(url.scheme(), "http" | "https") && url.host().is_some();
    if !url.username().is_empty() || url.password().is_some() {
        // The check of what is written says what to write instead.
        return Err("a credential must not stand in an address".to_owned());
    }
    usable.then_some(url).ok_or_else(|| "this is not an address for HTTP".to_owned())
}

/// Without what may be a credential.
fn shown(url: &str) -> String {
    Url::parse(url).map_or_else(|_| "the address".to_owned(), |url| http::shown(&url))
}

/// Of what is proposed, that which was asked for.
fn choose(wish: &Wish, proposals: Proposals, draft: &mut Draft, notes: &mut Vec<String>) {
    let all = proposals.services.len();
    for proposal in proposals.services {
        let named = Named::of(&proposal.service, Some(proposal.by), false);
        let wanted = |name: &String| *name == named.key || *name == named.value;
        if draft.named.len() < SERVICES_MAX
            && (wish.services.is_empty() || wish.services.iter().any(wanted))
        {
            draft.add(named);
        }
    }
    if wish.services.is_empty() && all > SERVICES_MAX {
        notes.push(format!("{all} services are there; the first {SERVICES_MAX} are written"));
    }
}

/// What its own metrics show of a service, or a guess.
async fn scraped(wish: &Wish, name: &str, notes: &mut Vec<String>) -> Option<Scraped> {
    let url = wish.scrape.clone()?;
    let looked = match address(&url) {
        Ok(address) => survey::of_metrics(address, name).await,
        Err(why) => Err(why),
    };
    let by = match looked {
        Ok(survey) => {
            let mut proposals = propose(&survey);
            notes.append(&mut proposals.notes);
            proposals.services.pop().map(|proposal| proposal.by)
        }
        Err(why) => {
            notes.push(format!("{} was not looked at: {why}", shown(&url)));
            None
        }
    };
    if by.is_none() {
        notes.push(format!("no metrics of {name} were found: its selectors are guesses"));
    }
    Some(Scraped { guessed: by.is_none(), by: by.unwrap_or_else(By::guess), url })
}

fn checked(draft: &Draft, mut notes: Vec<String>) -> Result<First, Refused> {
    let text = draft.text();
    match load_text("rollbackd.toml", &text) {
        Ok((_, odd)) => notes.extend(odd.into_iter().map(|problem| problem.what)),
        Err(problems) => {
            let errors = problems.into_iter().filter(|problem| problem.level == Level::Error);
            return Err(Refused::Problems(errors.collect()));
        }
    }
    Ok(First { found: draft.found(), notes, text })
}
