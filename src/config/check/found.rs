//! What was found so far, and the questions that every check asks.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::Range,
};

use reqwest::Url;
use toml::Spanned;

use crate::{
    config::{
        document::{Shape, StandIn, names_any},
        problem::{Level, Problem},
        raw::{Placed, SecretRef},
    },
    domain::service::ServiceId,
    sources::http,
    units::{Secret, Span},
};

/// The problems found so far.
#[derive(Debug)]
pub(super) struct Found<'t> {
    file: &'t str,
    text: &'t str,
    shape: Shape,
    /// The services, by their keys, that are looked at.
    about: Vec<String>,
    /// Certificates that a client was built with: a fleet's are all the same, and that takes long.
    usable: BTreeSet<Vec<u8>>,
    /// What was said of files that cannot be used.
    of_files: BTreeSet<String>,
}

impl<'t> Found<'t> {
    pub(super) fn new(file: &'t str, text: &'t str, shape: Shape) -> Self {
        Self {
            file,
            text,
            shape,
            about: vec![],
            usable: BTreeSet::new(),
            of_files: BTreeSet::new(),
        }
    }

    /// Which `[discover.NAME]` a service stands for that nobody wrote or found.
    pub(super) fn stands_for(&self, id: &ServiceId) -> Option<&str> {
        let key = (id.name().to_owned(), id.environment().to_owned());
        self.shape.stand_ins.get(&key).map(|stand_in| stand_in.of.as_str())
    }

    /// All of them, in the order of the file, and the services that are at fault.
    pub(super) fn all(self) -> (Vec<Problem>, BTreeMap<String, String>) {
        let mut problems = self.shape.problems;
        problems.sort_by_key(|problem| problem.span.start);
        (together(problems, &self.of_files), self.shape.at_fault)
    }

    /// What is found from now on is the fault of these services; of none, of the file's.
    pub(super) fn about(&mut self, services: &[&str]) {
        self.about = services.iter().map(|key| (*key).to_owned()).collect();
    }

    /// Something with which the daemon does not start.
    pub(super) fn error(
        &mut self,
        at: Range<usize>,
        what: impl Into<String>,
        instead: impl Into<String>,
    ) {
        self.add(Problem::error(self.file, self.text, at, what, instead));
    }

    /// The same where what stands there may be secret.
    pub(super) fn error_without_the_line(
        &mut self,
        at: Range<usize>,
        what: impl Into<String>,
        instead: impl Into<String>,
    ) {
        self.add(Problem::error(self.file, self.text, at, what, instead).masked());
    }

    /// Something that is probably not meant.
    pub(super) fn warn(
        &mut self,
        at: Range<usize>,
        what: impl Into<String>,
        instead: impl Into<String>,
    ) {
        self.add(Problem::error(self.file, self.text, at, what, instead).but_only_a_warning());
    }

    /// What comes from a table for all is met once for each service.
    fn add(&mut self, mut problem: Problem) {
        self.say_plainly(&mut problem.what);
        self.say_plainly(&mut problem.instead);
        if problem.level == Level::Error {
            for key in &self.about {
                let first = self.shape.at_fault.entry(key.clone());
                first.or_insert_with(|| problem.what.clone());
            }
        }
        if !self.shape.problems.contains(&problem) {
            self.shape.problems.push(problem);
        }
    }

    /// Nobody wrote the name that stands for any: what is wrong is the template's, for each service that follows it.
    fn say_plainly(&self, text: &mut String) {
        // The longest first: one name may begin with another.
        for ((name, environment), StandIn { of, template }) in self.shape.stand_ins.iter().rev() {
            if !text.contains(name.as_str()) {
                continue;
            }
            let each = format!("each service found by discover.{of}");
            *text = text
                .replace(&format!("service.{name}."), &format!("template.{template}."))
                .replace(&format!("{name}/{environment}"), &each)
                .replace(&format!("`{name}`"), &each)
                .replace(name, &each);
        }
    }

    /// Whether something at, above or below this path was cut out: then nobody is told that it is missing.
    pub(super) fn was_cut(&self, path: &[&str]) -> bool {
        self.shape.cut.iter().any(|cut| cut.iter().zip(path).all(|(cut, asked)| cut == asked))
    }

    /// The place of a part of a text in quotes, or of the whole where escapes hide the part.
    pub(super) fn within(&self, whole: &Spanned<String>, part: Range<usize>) -> Range<usize> {
        let span = whole.span();
        let written = self.text.get(span.clone()).unwrap_or("");
        match (whole.get_ref().get(part), written) {
            (Some(part), written) if written.matches(part).count() == 1 => {
                let start = span.start + written.find(part).unwrap_or(0);
                start..start + part.len()
            }
            _ => span,
        }
    }

    /// A span of time that must be longer than none.
    pub(super) fn positive(&mut self, span: &Placed<Span>, default: Span) -> Span {
        let Some(span) = span else { return default };
        if *span.get_ref() > Span::ZERO {
            return *span.get_ref();
        }
        self.error(
            span.span(),
            "this takes no time at all",
            format!("write it like \"{default}\""),
        );
        default
    }

    /// How often something is looked at while it is watched: not more seldom than usual.
    pub(super) fn no_slower(&mut self, span: &Placed<Span>, default: Span, every: Span) -> Span {
        let watched = self.positive(span, default.min(every));
        if let Some(at) = span.as_ref().filter(|_| watched > every) {
            let what = format!("slower while it matters: otherwise it is looked at every {every}");
            self.error(at.span(), what, format!("write \"{every}\" or less"));
        }
        watched
    }

    /// A number that must not be zero.
    pub(super) fn at_least_one<N: Copy + PartialEq + From<bool> + std::fmt::Display>(
        &mut self,
        number: &Placed<N>,
        default: N,
    ) -> N {
        let Some(number) = number else { return default };
        if *number.get_ref() != N::from(false) {
            return *number.get_ref();
        }
        self.error(
            number.span(),
            "0 lets nothing through",
            format!("write {default}, or leave it out"),
        );
        default
    }

    /// An address that can be asked over HTTP.
    pub(super) fn url(&mut self, text: &Spanned<String>) -> Option<Url> {
        let instead = "write it like \"http://127.0.0.1:9090/path\"";
        match Url::parse(text.get_ref()) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => {
                if url.username().is_empty() && url.password().is_none() {
                    return Some(url);
                }
                let what = "a credential must not stand in an address";
                let problem = Problem::error(
                    self.file,
                    self.text,
                    text.span(),
                    what,
                    "write basic = { user = \"...\", password = { file = \"...\" } }, or bearer = { file = \"...\" }",
                );
                self.add(problem.masked());
            }
            Ok(_) => self.error(text.span(), "this is not an address for HTTP", instead),
            Err(fault) => {
                self.error(text.span(), format!("this is not an address: {fault}"), instead);
            }
        }
        None
    }

    /// Certificates to trust, in PEM, that a client can be built with.
    pub(super) fn certificates(&mut self, path: &Spanned<String>) -> Option<Vec<u8>> {
        let pem = self.bytes(path)?;
        if self.usable.contains(&pem) {
            return Some(pem);
        }
        let options = http::Options { ca_pem: Some(pem.clone()), ..http::Options::default() };
        if let Err(fault) = http::Client::new(options) {
            let instead = "name a file with certificates in PEM";
            let what = format!("`{}`: {fault}", path.get_ref());
            self.of_files.insert(what.clone());
            self.error(path.span(), what, instead);
        } else {
            self.usable.insert(pem.clone());
        }
        Some(pem)
    }

    /// What a file holds.
    pub(super) fn bytes(&mut self, path: &Spanned<String>) -> Option<Vec<u8>> {
        let fault = match read(path)? {
            Ok(bytes) => return Some(bytes),
            Err(fault) => fault,
        };
        self.of_files.insert(fault.clone());
        self.error(path.span(), fault, "name a file that the daemon may read");
        None
    }

    /// The same of one without which the daemon starts: of what it is for there is none.
    pub(super) fn bytes_if_there(&mut self, path: &Spanned<String>, none: &str) -> Option<Vec<u8>> {
        let fault = match read(path)? {
            Ok(bytes) => return Some(bytes),
            Err(fault) => fault,
        };
        let what = format!("{fault}: {none}");
        self.warn(path.span(), what, "name a file that the daemon may read, and reload");
        None
    }

    /// A secret, read from where it is.
    pub(super) fn secret(&mut self, from: &Spanned<SecretRef>) -> Option<Secret> {
        let (text, source) = match from.get_ref() {
            SecretRef::File(path) => {
                let bytes = self.bytes(&Spanned::new(from.span(), path.clone()))?;
                (String::from_utf8(bytes).ok(), format!("the file `{path}`"))
            }
            SecretRef::Env(name) if names_any(name) => return None,
            SecretRef::Env(name) => (std::env::var(name).ok(), format!("the variable `{name}`")),
        };
        let secret = text.map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
        match secret {
            Some(secret) if secret.contains(['\r', '\n']) => {
                let what = format!("{source} has more than one line");
                self.error(from.span(), what, "put the secret there alone, on one line");
                None
            }
            Some(secret) if !secret.is_empty() => Some(Secret::new(secret)),
            Some(_) => {
                self.error(from.span(), format!("{source} is empty"), "put the secret there");
                None
            }
            None => {
                let what = format!("{source} is not there, or is no text");
                self.error(from.span(), what, "put the secret there");
                None
            }
        }
    }
}

/// A file that cannot be used is one mistake, however often it is named.
fn together(problems: Vec<Problem>, of_files: &BTreeSet<String>) -> Vec<Problem> {
    let mut all: Vec<(Problem, Vec<String>)> = vec![];
    for problem in problems {
        let same = all.iter_mut().find(|(it, _)| {
            it.what == problem.what && it.level == problem.level && of_files.contains(&it.what)
        });
        match same {
            Some((first, lines)) if first.line != problem.line => {
                lines.push(problem.line.to_string());
            }
            Some(_) => {}
            None => all.push((problem, vec![])),
        }
    }
    let told = |(mut problem, lines): (Problem, Vec<String>)| {
        if !lines.is_empty() {
            let plural = if lines.len() == 1 { "line" } else { "lines" };
            problem
                .what
                .push_str(&format!("; it is named in {plural} {} as well", lines.join(", ")));
        }
        problem
    };
    all.into_iter().map(told).collect()
}

/// What a file holds. A file of its own for each service is there when the service is.
fn read(path: &Spanned<String>) -> Option<Result<Vec<u8>, String>> {
    let unread = |fault| format!("`{}` cannot be read: {fault}", path.get_ref());
    let is_one = !names_any(path.get_ref());
    is_one.then(|| fs::read(path.get_ref()).map_err(unread))
}
