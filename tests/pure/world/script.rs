//! What happens in a world, and when: thrown before it begins, so that a shorter script is the same world cut short.

use super::{
    channels::Answer,
    executor::Mishap,
    operator::Layout,
    readings::Ailment,
    rng::Dice,
    site::{Behaviour, DOWN, WELL},
};

/// Where a crash comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Boundary {
    BeforeAppend,
    AfterAppend,
    /// The effect has begun, or is about to.
    BeforeEffect,
    AfterEffect,
    /// While it starts again.
    DuringFold,
    /// It was told to stop.
    DuringShutdown,
    /// A channel has taken a notice, and nobody wrote that down.
    AfterDelivery,
}

impl Boundary {
    pub(crate) const ALL: [Self; 7] = [
        Self::BeforeAppend,
        Self::AfterAppend,
        Self::BeforeEffect,
        Self::AfterEffect,
        Self::DuringFold,
        Self::DuringShutdown,
        Self::AfterDelivery,
    ];
}

/// What happens.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Happening {
    /// A pipeline switches and, so much later, restarts; it may tell, twice, or late.
    Deploy {
        site: usize,
        version: String,
        behaviour: Behaviour,
        restart_after: i64,
        posts: Vec<i64>,
    },
    /// What a service needs fails with a share of requests.
    Dependency {
        service: usize,
        errors: f64,
        lasts: i64,
    },
    Sources {
        service: usize,
        ailment: Ailment,
        lasts: i64,
    },
    /// No probe gets through, and the service is well.
    Unreachable {
        service: usize,
        lasts: i64,
    },
    /// Alertmanager tells, so many times, so far apart; and may tell of the end.
    Alert {
        service: usize,
        trigger: Option<&'static str>,
        copies: u64,
        resolved_after: Option<i64>,
    },
    Evidence {
        service: usize,
    },
    Channel {
        which: usize,
        answer: Answer,
        lasts: i64,
    },
    DiskFull {
        lasts: i64,
    },
    Crash {
        at: Boundary,
        skip: u64,
        down: i64,
    },
    /// An orderly stop and start.
    Restart {
        down: i64,
    },
    /// Another daemon takes the lease while this one still runs.
    Takeover,
    ClockStep {
        by: i64,
    },
    Reload {
        which: u64,
    },
    KillSwitch {
        lasts: i64,
    },
    Unreadable {
        site: usize,
        lasts: i64,
    },
    /// A person restores an earlier release without asking the daemon.
    ByHand {
        site: usize,
        version: String,
    },
    /// Somebody writes other scripts in the place of those that take a schema back.
    Rewritten {
        site: usize,
    },
    /// Somebody migrates a database without a release.
    Migrated {
        site: usize,
    },
    /// Somebody makes a newer version of a secret.
    Rotated {
        site: usize,
    },
    /// A person speaks without having been asked.
    Speaks {
        service: usize,
        which: u64,
    },
    /// So many of the next attempts go wrong.
    Mishaps {
        percent: u64,
        lasts: i64,
    },
}

/// What happens to one step of a plan, whatever else goes well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Its first attempt goes wrong.
    Once(Mishap),
    /// Every attempt does.
    Always(Mishap),
    /// It is carried out a second time before anybody hears of the first.
    Twice,
    /// The daemon dies after its intent is written, and before anything is touched.
    CrashBefore,
    /// The daemon dies after its effect, and before its outcome is written.
    CrashAfter,
}

/// Everything that happens in one world.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) layout: Layout,
    /// The fate of one step; then nothing else goes wrong, and nobody speaks unasked.
    pub(crate) fate: Option<(usize, Fate)>,
    pub(crate) happenings: Vec<(i64, Happening)>,
    /// By then everything that was to happen has, and everything works again.
    pub(crate) calm_at: i64,
}

const MINUTE: i64 = 60_000;

impl Script {
    pub(crate) fn thrown(seed: u64) -> Self {
        let mut dice = Dice::of(seed, "script");
        let weights = [
            (Layout::Alone, 35),
            (Layout::Pair, 25),
            (Layout::Modes, 20),
            (Layout::Twins, 12),
            (Layout::Street, 8),
        ];
        let mut roll = dice.below(100);
        let mut layout = Layout::Alone;
        for (which, weight) in weights {
            if roll < weight {
                layout = which;
                break;
            }
            roll -= weight;
        }
        // Thrown apart: the worlds of other layouts stay what they were.
        if layout == Layout::Pair && Dice::of(seed, "maintenance").percent(50) {
            layout = Layout::Maintained;
        }
        if layout == Layout::Pair && Dice::of(seed, "sites").percent(30) {
            layout = Layout::Sites;
        }
        if layout == Layout::Pair && Dice::of(seed, "versions").percent(40) {
            layout = Layout::Secrets;
        }
        if layout == Layout::Modes && Dice::of(seed, "databases").percent(50) {
            layout = Dice::of(seed, "which").pick(&[Layout::Migrated, Layout::Restored]);
        }
        if layout == Layout::Restored && Dice::of(seed, "rds").percent(40) {
            layout = Layout::InRds;
        }
        if layout == Layout::Migrated && Dice::of(seed, "approved").percent(40) {
            layout = Layout::Reversed;
        }
        let mut script = Self { layout, fate: None, happenings: vec![], calm_at: 0 };
        script.troubles(&mut dice);
        if matches!(layout, Layout::Reversed | Layout::Secrets) {
            script.meddling(&mut Dice::of(seed, "meddling"));
        }
        let faults = dice.below(7);
        for _ in 0..faults {
            let at = dice.between(0, 12 * MINUTE);
            let what = fault(&mut dice, layout);
            script.happenings.push((at, what));
        }
        script.happenings.sort_by_key(|(at, _)| *at);
        let last = script.happenings.last().map_or(0, |(at, _)| *at);
        script.calm_at = (last + 3 * MINUTE).max(7 * MINUTE);
        script
    }

    /// Nobody can count on it that nobody else comes near a script, its schema, or a secret.
    fn meddling(&mut self, dice: &mut Dice) {
        for site in 0..self.layout.services() {
            let at = dice.between(0, 12 * MINUTE);
            match dice.below(6) {
                0 | 1 if self.layout == Layout::Secrets => {
                    self.happenings.push((at, Happening::Rotated { site }));
                }
                0 => self.happenings.push((at, Happening::Rewritten { site })),
                1 => self.happenings.push((at, Happening::Migrated { site })),
                _ => {}
            }
        }
    }

    /// A bad release, and what becomes of one step of its rollback.
    pub(crate) fn of_one_step(layout: Layout, step: usize, fate: Fate) -> Self {
        let behaviour = Behaviour { errors: 1.0, ..WELL };
        let deploy = Happening::Deploy {
            site: 0,
            version: "v2".into(),
            behaviour,
            restart_after: 1_000,
            posts: vec![],
        };
        let happenings = vec![(1_000, deploy)];
        Self { layout, fate: Some((step, fate)), happenings, calm_at: 10 * MINUTE }
    }

    /// What hurts people: mostly a bad release, for each service that is to have an incident.
    fn troubles(&mut self, dice: &mut Dice) {
        let services = self.layout.services();
        let together = dice.percent(30);
        let mut all_at = dice.between(0, MINUTE);
        for service in 0..services {
            if self.layout == Layout::Street && !together && dice.percent(50) {
                continue;
            }
            if !together {
                all_at = dice.between(0, 4 * MINUTE);
            }
            let at = all_at + dice.between(0, 5_000);
            let site = if self.layout == Layout::Twins { 0 } else { service };
            let what = match dice.below(10) {
                0..=6 => {
                    let behaviour = bad(dice);
                    deploy(dice, site, "v2", behaviour)
                }
                7 => Happening::Dependency {
                    service,
                    errors: bad(dice).errors,
                    lasts: dice.between(3, 9) * MINUTE,
                },
                8 => Happening::Evidence { service },
                _ => alert(dice, service),
            };
            self.happenings.push((at, what));
            if dice.percent(15) {
                // The fix, or what was thought to be one.
                let behaviour = if dice.percent(60) { WELL } else { bad(dice) };
                let at = at + dice.between(2, 9) * MINUTE;
                self.happenings.push((at, deploy(dice, site, "v3", behaviour)));
            }
        }
    }
}

fn bad(dice: &mut Dice) -> Behaviour {
    let errors = dice.pick(&[0.03, 0.12, 0.4, 0.4, 1.0]);
    match dice.below(6) {
        0 => DOWN,
        1 => Behaviour { up: false, errors, ..WELL },
        _ => Behaviour { errors, ..WELL },
    }
}

fn deploy(dice: &mut Dice, site: usize, version: &str, behaviour: Behaviour) -> Happening {
    let posts = match dice.below(4) {
        0 => vec![],
        1 => vec![dice.between(0, 4 * MINUTE)],
        2 => vec![500, 900],
        _ => vec![500],
    };
    let restart_after = if dice.percent(80) { 1_000 } else { dice.between(1_000, 40_000) };
    Happening::Deploy { site, version: version.into(), behaviour, restart_after, posts }
}

fn alert(dice: &mut Dice, service: usize) -> Happening {
    Happening::Alert {
        service,
        trigger: dice.pick(&[Some("critical-errors"), Some("service-outage"), None]),
        copies: dice.pick(&[1, 2, 4]),
        resolved_after: dice.percent(60).then(|| dice.between(1, 6) * MINUTE),
    }
}

fn fault(dice: &mut Dice, layout: Layout) -> Happening {
    let service = usize::try_from(dice.below(layout.services() as u64)).unwrap_or(0);
    let site = if layout == Layout::Twins { 0 } else { service };
    let lasts = dice.between(20_000, 5 * MINUTE);
    match dice.below(24) {
        0..=4 => Happening::Crash {
            at: dice.pick(&Boundary::ALL),
            skip: dice.below(6),
            down: dice.between(1_000, 2 * MINUTE),
        },
        5 | 6 => {
            let skew = dice.pick(&[-600_000, -90_000, 30_000, 400_000]);
            let ailments = [
                Ailment::Failing,
                Ailment::Absent,
                Ailment::Nan,
                Ailment::Torn,
                Ailment::Silent,
                Ailment::WrongClock(skew),
                Ailment::Disorderly,
                Ailment::Disorderly,
            ];
            Happening::Sources { service, ailment: dice.pick(&ailments), lasts }
        }
        7 => Happening::Unreachable { service, lasts },
        8 | 9 => {
            let answers =
                [Answer::TooMany(30), Answer::Fails, Answer::SaysNo, Answer::TakesInSilence];
            // The second channel never refuses for good: then there would be nobody left to tell.
            let which = usize::from(dice.percent(50));
            let answer = if which == 0 { dice.pick(&answers) } else { dice.pick(&answers[..2]) };
            Happening::Channel { which, answer, lasts: lasts * 2 }
        }
        10 => Happening::DiskFull { lasts: dice.between(2_000, 2 * MINUTE) },
        11 => Happening::Restart { down: dice.between(500, MINUTE) },
        12 => Happening::Takeover,
        13 | 14 => {
            let by = dice.pick(&[-3_600_000, -120_000, -5_000, 5_000, 90_000, 3_600_000]);
            Happening::ClockStep { by }
        }
        15 => Happening::Reload { which: dice.below(5) },
        16 => Happening::KillSwitch { lasts },
        17 => Happening::Unreadable { site, lasts },
        18 => Happening::ByHand { site, version: "v1".into() },
        19 => deploy(dice, site, "v4", WELL),
        20 | 21 => Happening::Speaks { service, which: dice.below(8) },
        _ => Happening::Mishaps { percent: dice.pick(&[20, 50, 100]), lasts },
    }
}
