//! The script, as it comes true.

use std::{collections::BTreeMap, sync::Arc};

use rollbackd::domain::{
    change::{Change, Component, Migrations, Origin, Revision},
    event::{Alert, Said, What},
    policy::Policy,
    service::Mode,
    severity::Severity,
};

use super::{
    World,
    act::{Act, Active},
    database::Database,
    operator,
    readings::Ailment,
    sayings,
    script::{Boundary, Happening},
    site::{Actor, Behaviour, WELL},
};

impl World {
    pub(super) fn happens(&mut self, index: usize) {
        let what = self.script.happenings[index].1.clone();
        self.tell(|| format!("** {what:?}"));
        self.tally.happened(&what);
        let at = self.at;
        match what {
            Happening::Deploy { site, version, behaviour, restart_after, posts } => {
                self.deploy(site, &version, behaviour, restart_after, &posts);
            }
            Happening::Dependency { service, errors, lasts } => {
                self.sources[service].dependency = (errors, at + lasts);
            }
            Happening::Sources { service, ailment, lasts } => {
                let sources = &mut self.sources[service];
                (sources.ailment, sources.until) = (ailment, at + lasts);
                if ailment == Ailment::Silent {
                    // A source that tells nothing at all is noticed by its poller, at the latest after a while.
                    sources.until = at + lasts.min(60_000);
                }
            }
            Happening::Unreachable { service, lasts } => {
                self.sources[service].unreachable_until = at + lasts;
            }
            Happening::Alert { service, trigger, copies, resolved_after } => {
                self.alert(service, trigger, copies, resolved_after);
            }
            Happening::Evidence { service } => {
                let what = What::EvidencePosted {
                    service: operator::id(service),
                    trigger: "data-corruption".into(),
                    by: "check".into(),
                    note: "rows are missing".into(),
                    partial: false,
                };
                self.told(500, what);
            }
            Happening::Channel { which, answer, lasts } => {
                let channel = &mut self.channels[which];
                (channel.answer, channel.until) = (answer, at + lasts);
            }
            Happening::DiskFull { lasts } => self.journal.full_until = at + lasts,
            Happening::Crash { at: boundary, skip, down } => self.arm(boundary, skip, down),
            Happening::Restart { down } => self.restart(down),
            Happening::Takeover => self.takeover(),
            Happening::ClockStep { by } => {
                self.off += by;
                self.model.clock_stepped(at, by);
            }
            Happening::Reload { which } => self.reload(which),
            Happening::KillSwitch { lasts } => {
                self.hold_until = at + lasts;
                self.later(at + 700, Act::LookForHold);
                self.later(at + lasts + 700, Act::LookForHold);
            }
            Happening::Unreadable { site, lasts } => self.sites[site].unreadable_until = at + lasts,
            Happening::ByHand { site, version } => {
                let wall = self.wall();
                self.sites[site].switch(&version, Actor::Person, at, wall);
                self.sites[site].restart(Actor::Person, at, wall);
            }
            Happening::Rewritten { site } => {
                self.sites[site].database.iter_mut().for_each(Database::rewrite);
            }
            Happening::Migrated { site } => self.migrates_by_hand(site),
            Happening::Rotated { site } => self.rotates(site),
            Happening::Speaks { service, which } => {
                let said = self.words(service, which);
                self.says(service, said);
            }
            Happening::Mishaps { percent, lasts } => self.mishaps = (percent, at + lasts),
        }
    }

    fn migrates_by_hand(&mut self, site: usize) {
        let wall = self.wall();
        self.sites[site].database.iter_mut().for_each(|it| it.migrate(wall));
        self.sites[site].migrated(Actor::Person, self.at);
    }

    /// A person makes a newer version of a secret, with which all is well; what runs is not told.
    fn rotates(&mut self, site: usize) {
        self.renews(site, &format!("by-hand-{}", self.at), WELL, Actor::Person);
    }

    fn renews(&mut self, site: usize, version: &str, behaviour: Behaviour, by: Actor) {
        let (at, wall) = (self.at, self.wall());
        let Some(secret) = &mut self.sites[site].secret else { return };
        secret.versions.insert(version.to_owned(), behaviour);
        self.sites[site].move_secret(version, by, at, wall);
    }

    fn told(&mut self, after: i64, what: What) {
        self.later(self.at + after, Act::Told { what: Box::new(what), tries: 2 });
    }

    fn deploy(
        &mut self,
        site: usize,
        version: &str,
        behaviour: Behaviour,
        restart_after: i64,
        posts: &[i64],
    ) {
        let (at, wall) = (self.at, self.wall());
        let from = self.sites[site].linked.clone();
        if from == version {
            return;
        }
        let mut behaviour = behaviour;
        // Of no dice, as below: the release hurts, or comes with a secret that does, or the secret alone is another.
        if self.sites[site].secret.is_some() && (at / 1_000) % 3 != 0 {
            let bad = std::mem::replace(&mut behaviour, WELL);
            self.renews(site, &format!("with-{version}-{at}"), bad, Actor::Pipeline);
            if (at / 1_000) % 3 == 2 {
                return self.later(at + restart_after, Act::PipelineRestarts { site });
            }
        }
        self.sites[site].releases.insert(version.to_owned(), behaviour);
        if let Some(database) = &mut self.sites[site].database {
            // Of no dice: a script that is cut short is the same world.
            let migrates = match (at / 1_000) % 3 {
                0 => None,
                1 => Some(false),
                _ => Some(true),
            };
            database.released(version, migrates, wall);
            self.sites[site].migrated(Actor::Pipeline, at);
        }
        self.sites[site].switch(version, Actor::Pipeline, at, wall);
        self.later(at + restart_after, Act::PipelineRestarts { site });
        let change = Change {
            id: format!("build-{version}-{at}"),
            component: Component::Application,
            from: Some(Revision::named(&from)),
            to: Revision::named(version),
            started_at: wall,
            ended_at: Some(wall),
            origin: Origin::Posted { by: "pipeline".into() },
            migrations: Migrations::Unknown,
            checks_passed: Some(true),
            is_rollback: false,
            told: None,
        };
        let services = (0..self.sources.len()).filter(|service| self.site_of(*service) == site);
        for service in services.collect::<Vec<_>>() {
            for after in posts {
                let (service, change) = (operator::id(service), change.clone());
                self.told(*after, What::ChangePosted { service, change });
            }
        }
    }

    /// An alert fires if something really hurts; one without a trigger also if nothing does.
    fn alert(
        &mut self,
        service: usize,
        trigger: Option<&str>,
        copies: u64,
        resolved_after: Option<i64>,
    ) {
        let site = self.site_of(service);
        let hurts = self.sources[service].truth(&self.sites[site], self.at).hurts();
        let alert = Alert {
            fingerprint: format!("{service}-{}", self.at),
            starts_at: self.wall(),
            firing: true,
            name: "Errors".into(),
            trigger: trigger.filter(|_| hurts).map(str::to_owned),
            severity: Severity::P2,
            summary: "errors".into(),
            labels: BTreeMap::new(),
        };
        self.alerts.push(Active { service, alert: alert.clone() });
        let id = operator::id(service);
        for copy in 0..copies {
            let alert = alert.clone();
            let after = 200 + i64::try_from(copy).unwrap_or(0) * 9_000;
            self.told(after, What::Alerted { service: id.clone(), alert });
        }
        let (over, fingerprint) = (resolved_after.unwrap_or(240_000), alert.fingerprint.clone());
        self.later(self.at + over, Act::AlertOver { fingerprint });
        // Otherwise the resolve is lost on its way.
        if resolved_after.is_some() {
            let alert = Alert { firing: false, ..alert };
            self.told(over, What::Alerted { service: id, alert });
        }
    }

    fn arm(&mut self, boundary: Boundary, skip: u64, down: i64) {
        self.stale = self.windows();
        self.armed = Some((boundary, skip, down));
        match boundary {
            Boundary::DuringFold => {
                if self.daemon.is_some() {
                    let armed = self.armed;
                    self.die(down, true);
                    self.armed = armed;
                }
            }
            Boundary::DuringShutdown => {
                if let Some(daemon) = &mut self.daemon {
                    daemon.controller.stop();
                    daemon.down = Some(down);
                    self.later(self.at + 300, Act::ShutdownCrash);
                }
                self.armed = None;
            }
            Boundary::BeforeAppend
            | Boundary::AfterAppend
            | Boundary::BeforeEffect
            | Boundary::AfterEffect
            | Boundary::AfterDelivery => {}
        }
    }

    fn restart(&mut self, down: i64) {
        self.stale = self.windows();
        if let Some(daemon) = &mut self.daemon {
            daemon.controller.stop();
            daemon.down = Some(down);
        }
    }

    /// Another daemon opens the state directory; the one before notices at its next write, or at its next step.
    fn takeover(&mut self) {
        if self.daemon.is_none() {
            return;
        }
        self.stale = self.windows();
        self.journal.epoch += 1;
        // The second one dies at once, and the first is not to act all the same.
        self.tell(|| "another daemon has taken the lease".into());
    }

    fn reload(&mut self, which: u64) {
        let mut policy = self.policy.clone();
        change(&mut policy, which);
        self.policy = policy.clone();
        self.model.adopted(&policy, self.at);
        if let Some(daemon) = &mut self.daemon {
            daemon.controller.fleet.adopt(policy);
            self.turn(What::Configured { changes: vec!["something".into()] });
        }
    }

    /// What a person might say, whether or not it makes sense now.
    fn words(&self, service: usize, which: u64) -> Said {
        let id = operator::id(service);
        let incident = self
            .daemon
            .as_ref()
            .and_then(|d| d.controller.fleet.states.get(&id)?.incident.as_ref());
        sayings::might_say(which, incident)
    }

    /// Everything works again, and stays so.
    pub(super) fn calm(&mut self) {
        self.tell(|| "everything works again; people look after what is open".into());
        self.sources.iter_mut().for_each(super::Sources::heal);
        self.channels.iter_mut().for_each(super::Channel::heal);
        self.journal.full_until = i64::MIN;
        self.hold_until = self.hold_until.min(self.at);
        self.armed = None;
        self.alerts.clear();
        self.mishaps = (0, i64::MAX);
        for site in &mut self.sites {
            site.unreadable_until = i64::MIN;
        }
        self.later(self.at, Act::LookForHold);
        self.later(self.at + 10_000, Act::Round);
    }
}

/// A reload in the middle of whatever goes on.
fn change(policy: &mut Policy, which: u64) {
    for service in policy.services.values_mut().map(Arc::make_mut) {
        match which {
            0 => service.mode = Mode::Observe,
            1 => service.mode = Mode::Auto,
            2 => service.guards.cooldown = service.guards.cooldown * 2,
            3 => drop(Arc::make_mut(&mut service.signals).remove("health")),
            // Once: whoever waits for longer each time is not asked in time, as decided.
            _ => service.matrix.p1.monitor = operator::LONGER_MONITOR,
        }
    }
    policy.config_hash.push('+');
}
