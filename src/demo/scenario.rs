//! What the demo can show: which release goes wrong how, and how it must end.

use std::fmt;

use super::shop::Behaviour;

/// One story of the demo.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// v2 fails a quarter of the requests: P1, monitored, rolled back.
    #[default]
    Errors,
    /// v2 is slow: P1 against what was normal before, rolled back.
    Latency,
    /// v2 crashes at its start: P0, rolled back at once.
    Outage,
    /// v2 fails for a second now and then: never long enough, not rolled back.
    Blips,
    /// v2 fails, and then nobody can see it any more: not rolled back.
    MonitoringDown,
    /// v1 failed already before v2 came: not rolled back.
    BadBeforeDeploy,
}

/// How a story must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// v1 serves again, verified.
    RolledBack,
    /// v2 still serves, and the daemon says why.
    LeftAlone,
}

impl Scenario {
    /// Every story.
    pub const ALL: [Self; 6] = [
        Self::Errors,
        Self::Latency,
        Self::Outage,
        Self::Blips,
        Self::MonitoringDown,
        Self::BadBeforeDeploy,
    ];

    /// How it must end.
    pub fn ending(self) -> Ending {
        match self {
            Self::Errors | Self::Latency | Self::Outage => Ending::RolledBack,
            Self::Blips | Self::MonitoringDown | Self::BadBeforeDeploy => Ending::LeftAlone,
        }
    }

    /// How v1 behaves.
    pub fn first(self) -> Behaviour {
        match self {
            Self::BadBeforeDeploy => Behaviour::Errors,
            Self::Errors | Self::Latency | Self::Outage | Self::Blips | Self::MonitoringDown => {
                Behaviour::Healthy
            }
        }
    }

    /// How v2 behaves.
    pub fn second(self) -> Behaviour {
        match self {
            Self::Errors | Self::MonitoringDown | Self::BadBeforeDeploy => Behaviour::Errors,
            Self::Latency => Behaviour::Slow,
            Self::Outage => Behaviour::Crash,
            Self::Blips => Behaviour::Blips,
        }
    }

    /// What a person should expect, in a sentence.
    pub fn promise(self) -> &'static str {
        match self {
            Self::Errors => {
                "v2 will fail a quarter of its requests. Expect P1, a monitoring period, a rollback."
            }
            Self::Latency => "v2 will be slow. Expect P1 against v1's own latency, and a rollback.",
            Self::Outage => "v2 will crash at its start. Expect P0 and a rollback at once.",
            Self::Blips => {
                "v2 will fail for a second now and then. Expect no rollback: it never holds."
            }
            Self::MonitoringDown => {
                "v2 will fail, then our own monitoring goes down. Expect no rollback on missing data."
            }
            Self::BadBeforeDeploy => {
                "v1 fails already before v2 comes. Expect no rollback: v2 is not the cause."
            }
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Errors => "errors",
            Self::Latency => "latency",
            Self::Outage => "outage",
            Self::Blips => "blips",
            Self::MonitoringDown => "monitoring-down",
            Self::BadBeforeDeploy => "bad-before-deploy",
        })
    }
}
