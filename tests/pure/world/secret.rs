//! A secret of AWS that a site reads when it starts: its versions, which of them is given to whoever asks, and who was given which.

use std::collections::BTreeMap;

use rollbackd::{
    domain::{
        configuration::{Configuration, Item, Kept, Seen},
        secret::{self, CURRENT, Known, Look, Version},
    },
    units::{Span, UnixMs},
};

use super::site::{Behaviour, WELL};

/// Its name in the service's configuration.
pub(crate) const NAME: &str = "db";

#[derive(Clone, Debug)]
pub(crate) struct Secret {
    /// What a service does that reads it, by the ids of its versions.
    pub(crate) versions: BTreeMap<String, Behaviour>,
    pub(crate) current: String,
    changed_at: UnixMs,
    /// What was given to what runs, and when that started.
    pub(crate) read: String,
    started: UnixMs,
    /// What the daemon that runs has seen of it.
    known: Option<Known>,
    /// What was written down beside the journal.
    kept: Vec<Kept>,
}

impl Secret {
    pub(crate) fn new(wall: UnixMs) -> Self {
        Self {
            versions: [("first".to_owned(), WELL)].into(),
            current: "first".into(),
            changed_at: wall - Span::hours(1),
            read: "first".into(),
            started: wall,
            known: None,
            kept: vec![],
        }
    }

    pub(crate) fn moved(&mut self, to: &str, wall: UnixMs) {
        (self.current, self.changed_at) = (to.to_owned(), wall);
    }

    /// Whoever starts is given the current version.
    pub(crate) fn starts(&mut self, wall: UnixMs) {
        (self.read, self.started) = (self.current.clone(), wall);
    }

    pub(crate) fn behaviour(&self) -> Behaviour {
        self.versions.get(&self.read).copied().unwrap_or(WELL)
    }

    /// The daemon is gone, with what it remembered of it.
    pub(crate) fn forgotten(&mut self) {
        self.known = None;
    }

    fn told(&self) -> secret::Secret {
        let version = |id: &String| Version {
            id: id.clone(),
            labels: if *id == self.current { vec![CURRENT.to_owned()] } else { vec![] },
        };
        secret::Secret {
            arn: "arn:aws:secretsmanager:eu-central-1:123456789012:secret:db-a1b2c3".into(),
            changed_at: Some(self.changed_at),
            rotates: false,
            bars: None,
            versions: self.versions.keys().map(version).collect(),
        }
    }

    /// What a look at the site says that it reads, in the order of `src/daemon/secrets.rs`.
    pub(crate) fn seen(&mut self, is_readable: bool, wall: UnixMs) -> Option<Seen> {
        let known = match is_readable {
            true => Ok(Known::after(self.known.as_ref(), self.told(), wall)),
            false => Err("secretsmanager:DescribeSecret reached nobody".to_owned()),
        };
        if let Ok(known) = &known {
            self.known = Some(known.clone());
        }
        let looks = [Look { name: NAME.into(), known }];
        let mut seen = secret::with(None, &looks, Some(self.started));
        if let Some(Seen::Known(all)) = &mut seen {
            self.keep(all);
            all.kept.clone_from(&self.kept);
            secret::tell_gone(all, &looks);
        }
        seen
    }

    /// More than the daemon would keep, which writes down what was known good.
    fn keep(&mut self, seen: &Configuration) {
        if !self.kept.iter().any(|kept| kept.revision.agrees_with(&seen.revision)) {
            let items = seen.items.iter().map(Item::kept).collect();
            self.kept.insert(0, Kept { revision: seen.revision.clone(), items });
        }
    }
}
