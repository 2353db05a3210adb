//! How a migration stands, in Flyway's own eighteen words.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

macro_rules! states {
    ($($(#[$doc:meta])* $state:ident $shown:literal $named:literal,)+) => {
        /// How a migration stands.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum MigrationState { $($(#[$doc])* $state,)+ }

        impl MigrationState {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$state,)+];

            /// As `flyway info` shows it.
            pub fn shown(self) -> &'static str {
                match self { $(Self::$state => $shown,)+ }
            }

            /// As Flyway's Java and Spring Boot's actuator name it.
            pub fn named(self) -> &'static str {
                match self { $(Self::$state => $named,)+ }
            }
        }
    };
}

states! {
    /// Not applied yet.
    Pending "Pending" "PENDING",
    /// Not applied, for the target is below it.
    AboveTarget "Above Target" "ABOVE_TARGET",
    /// Not applied, for the baseline is above it.
    BelowBaseline "Below Baseline" "BELOW_BASELINE",
    /// A baseline that another one made needless.
    BaselineIgnored "Ignored (Baseline)" "BASELINE_IGNORED",
    /// Where the history begins.
    Baseline "Baseline" "BASELINE",
    /// Not applied, for a later one was, and the order counts.
    Ignored "Ignored" "IGNORED",
    /// Applied, and its script is gone.
    MissingSuccess "Missing" "MISSING_SUCCESS",
    /// Failed, and its script is gone.
    MissingFailed "Failed (Missing)" "MISSING_FAILED",
    /// Applied.
    Success "Success" "SUCCESS",
    /// Applied, and undone later.
    Undone "Undone" "UNDONE",
    /// An undo script that could be run.
    Available "Available" "AVAILABLE",
    /// It failed.
    Failed "Failed" "FAILED",
    /// Applied after a later version.
    OutOfOrder "Out of Order" "OUT_OF_ORDER",
    /// Applied by somebody who knows later scripts.
    FutureSuccess "Future" "FUTURE_SUCCESS",
    /// The same, and it failed.
    FutureFailed "Failed (Future)" "FUTURE_FAILED",
    /// A repeatable one that changed since and will be applied again.
    Outdated "Outdated" "OUTDATED",
    /// A repeatable one that was applied again later.
    Superseded "Superseded" "SUPERSEDED",
    /// Applied, and marked as deleted by `flyway repair`.
    Deleted "Deleted" "DELETED",
}

impl MigrationState {
    /// Whether it failed, and is not mended.
    pub fn is_failed(self) -> bool {
        matches!(self, Self::Failed | Self::MissingFailed | Self::FutureFailed)
    }

    /// Whether the database has what it does, whole.
    pub fn is_applied(self) -> bool {
        matches!(
            self,
            Self::Baseline
                | Self::MissingSuccess
                | Self::Success
                | Self::OutOfOrder
                | Self::FutureSuccess
                | Self::Outdated
        )
    }

    /// As the database itself has it, whichever scripts whoever tells of it knows.
    pub fn to_the_database(self) -> Self {
        match () {
            () if self.is_failed() => Self::Failed,
            () if matches!(self, Self::MissingSuccess | Self::FutureSuccess | Self::Outdated) => {
                Self::Success
            }
            () => self,
        }
    }

    /// Whether it is to be applied, and was not yet.
    pub fn is_waiting(self) -> bool {
        matches!(self, Self::Pending | Self::AboveTarget | Self::Ignored)
    }
}

impl fmt::Display for MigrationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shown())
    }
}

impl FromStr for MigrationState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let of = |state: &&Self| state.shown() == text || state.named() == text;
        let found = Self::ALL.iter().find(of).copied();
        found.ok_or_else(|| format!("`{text}` is no state of a migration that Flyway has"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_flyways_states_is_read_by_both_of_its_names_and_none_is_lost() {
        assert_eq!(MigrationState::ALL.len(), 18);
        for state in MigrationState::ALL {
            assert_eq!(state.shown().parse(), Ok(*state));
            assert_eq!(state.named().parse(), Ok(*state));
        }
        assert!("Nearly".parse::<MigrationState>().unwrap_err().contains("`Nearly`"));
    }
}
