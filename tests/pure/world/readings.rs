//! What sources say of a service, and everything that is wrong with it.

use std::collections::VecDeque;

use rollbackd::{
    domain::{signal::Unknown, watch::Raw},
    units::UnixMs,
};

use super::{
    rng::Dice,
    site::{Behaviour, Site},
};

/// What ails the sources of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ailment {
    Fine,
    /// Every read fails.
    Failing,
    /// An answer without the series.
    Absent,
    /// NaN where numbers were.
    Nan,
    /// The total without the errors, or the other way round.
    Torn,
    /// Nobody is asked at all.
    Silent,
    /// The source's clock is off by so much.
    WrongClock(i64),
    /// Now and then a reading twice, late behind a newer one, or a counter that begins anew.
    Disorderly,
}

/// One service as its sources see it.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    pub(crate) ailment: Ailment,
    pub(crate) until: i64,
    /// Until then no probe gets through, whatever the service does.
    pub(crate) unreachable_until: i64,
    /// A dependency that fails with a share of requests, until then.
    pub(crate) dependency: (f64, i64),
    bad: f64,
    total: f64,
    starts: u64,
    started: UnixMs,
    /// Readings that come late.
    held: VecDeque<Raw>,
    before: Option<Raw>,
    /// When something true was last told.
    pub(crate) told_at: i64,
    dice: Dice,
}

/// A poll as the event loop hears of it.
pub(crate) type Poll = (&'static str, Vec<Raw>, Option<String>);

impl Sources {
    pub(crate) fn new(dice: Dice, at: i64, wall: UnixMs) -> Self {
        Self {
            ailment: Ailment::Fine,
            until: i64::MIN,
            unreachable_until: i64::MIN,
            dependency: (0.0, i64::MIN),
            bad: 0.0,
            total: 0.0,
            starts: 0,
            started: wall,
            held: VecDeque::new(),
            before: None,
            told_at: at,
            dice,
        }
    }

    /// The dice of this very world, over what the sources saw before it.
    pub(crate) fn reseed(&mut self, dice: Dice) {
        self.dice = dice;
    }

    /// How the service really is.
    pub(crate) fn truth(&self, site: &Site, at: i64) -> Behaviour {
        let mut truth = site.behaviour();
        if at < self.dependency.1 {
            truth.errors = truth.errors.max(self.dependency.0);
        }
        truth
    }

    pub(crate) fn is_ailing(&self, at: i64) -> bool {
        at < self.until && self.ailment != Ailment::Fine
    }

    /// Requests since the poll before, and what is read of them. `wall` is the machine's clock.
    pub(crate) fn poll(&mut self, site: &Site, at: i64, wall: UnixMs) -> Vec<Poll> {
        let truth = self.truth(site, at);
        if self.starts != site.starts {
            (self.bad, self.total, self.starts, self.started) = (0.0, 0.0, site.starts, wall);
        }
        self.total += truth.requests;
        self.bad += truth.requests * truth.errors;
        let ailment = if at < self.until { self.ailment } else { Ailment::Fine };
        if ailment == Ailment::Silent {
            return vec![];
        }
        let unknown = |why, fault: &str| {
            vec![
                ("errors", vec![Raw::Unknown { at: wall, why }], Some(fault.to_owned())),
                ("health", vec![Raw::Unknown { at: wall, why }], Some(fault.to_owned())),
            ]
        };
        if ailment == Ailment::Failing {
            return unknown(Unknown::Failed, "connection refused");
        }
        let errors = self.errors(ailment, truth, wall);
        // Where the errors cannot be used the probe still tells.
        if !matches!(ailment, Ailment::Absent | Ailment::Nan) {
            // What a clock that is ahead tells is believed to be newer than it is.
            let ahead = if let Ailment::WrongClock(by) = ailment { by.max(0) } else { 0 };
            self.told_at = self.told_at.max(at + ahead);
        }
        let answered = at >= self.unreachable_until;
        let probe = match (answered, site.running.is_some(), truth.up) {
            (true, _, true) => Raw::Up { at: wall },
            (true, running, false) => {
                Raw::Down { at: wall, answered: running && truth.errors < 1.0 }
            }
            (false, ..) => Raw::Down { at: wall, answered: false },
        };
        let probe = match ailment {
            Ailment::Absent | Ailment::Nan => Raw::Unknown { at: wall, why: Unknown::ClientError },
            _ => probe,
        };
        vec![("errors", errors, None), ("health", vec![probe], None)]
    }

    fn errors(&mut self, ailment: Ailment, truth: Behaviour, wall: UnixMs) -> Vec<Raw> {
        let (mut bad, mut total) = (Some(self.bad.floor()), Some(self.total.floor()));
        let mut at = wall;
        match ailment {
            Ailment::Absent => return vec![],
            Ailment::Nan => (bad, total) = (Some(f64::NAN), Some(f64::NAN)),
            Ailment::Torn if self.dice.percent(50) => total = None,
            Ailment::Torn => (bad, total) = (Some(f64::INFINITY), total),
            Ailment::WrongClock(by) => at = wall.set_by(by),
            Ailment::Fine | Ailment::Failing | Ailment::Silent | Ailment::Disorderly => {}
        }
        let started = Some(self.started);
        let (series, revision) = ("pod".to_owned(), String::new());
        let reading = Raw::Counter { series, revision, at, bad, total, started };
        if ailment != Ailment::Disorderly {
            return vec![reading];
        }
        let now = match self.dice.below(6) {
            // Said again as it was; the new one is lost.
            0 => self.before.clone().into_iter().collect(),
            // Held back, to come behind newer ones.
            1 => {
                self.held.push_back(reading.clone());
                vec![]
            }
            // What was held back comes now, alone: the past after the present.
            2 => self.held.pop_front().into_iter().collect(),
            // Both in one answer, the newer one first.
            3 => std::iter::once(reading.clone()).chain(self.held.pop_front()).collect(),
            // The exporter forgot what it counted before, and does not say so.
            4 => {
                (self.bad, self.total) = (truth.requests * truth.errors, truth.requests);
                vec![Raw::Counter {
                    series: "pod".into(),
                    revision: String::new(),
                    at: wall,
                    bad: Some(self.bad.floor()),
                    total: Some(self.total.floor()),
                    started,
                }]
            }
            _ => vec![reading.clone()],
        };
        self.before = Some(reading);
        now
    }

    /// Everything tells the truth again.
    pub(crate) fn heal(&mut self) {
        self.until = i64::MIN;
        self.unreachable_until = i64::MIN;
        self.dependency = (0.0, i64::MIN);
        self.held.clear();
    }
}
