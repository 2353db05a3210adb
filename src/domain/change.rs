//! What happened to a service, and which revision it left serving.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::gate;
use crate::units::{Span, UnixMs};

/// A part of a service that has revisions of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Component {
    /// The code that serves.
    Application,
    /// The schema and its migrations.
    Database,
    /// Settings and secrets.
    Configuration,
    /// What browsers load.
    Frontend,
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Application => "application",
            Self::Database => "database",
            Self::Configuration => "configuration",
            Self::Frontend => "frontend",
        })
    }
}

/// An identifiable version of a component. Two revisions are the same only when version *and* digest agree.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Revision {
    /// What people call it.
    pub version: String,
    /// A content hash, `sha256:…`, where the platform can tell one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

impl Revision {
    /// A revision known by its name alone.
    pub fn named(version: &str) -> Self {
        Self { version: version.to_owned(), digest: None }
    }

    /// Whether both may be the same thing: equal versions, and digests that do not contradict each other.
    pub fn agrees_with(&self, other: &Self) -> bool {
        let digests_agree = match (&self.digest, &other.digest) {
            (Some(a), Some(b)) => a == b,
            (None, _) | (_, None) => true,
        };
        self.version == other.version && digests_agree
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.version)
    }
}

/// Whether the earlier application can run on the schema that a change left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Migrations {
    /// Nobody said, and no database is watched.
    #[default]
    Unknown,
    /// The change carried none.
    None,
    /// It carried some, and the earlier application runs on the result.
    Compatible,
    /// It carried some that the earlier application cannot run on, or nobody said that it can.
    Incompatible,
}

/// Who told us of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The platform was seen to serve something else.
    Observed,
    /// A pipeline or a person posted it.
    Posted {
        /// The sender's name, from its token.
        by: String,
    },
}

/// What is known of a change beside what it changed: for people, nothing is decided by it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The person or program that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why, in the words of whoever made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What the platform calls the revision, where that is another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called: Option<String>,
    /// What runs: images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<String>,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = self.runs.join(", ");
        let parts = [
            (!runs.is_empty()).then_some(runs),
            self.called.as_ref().map(|called| format!("as {called}")),
            self.by.as_ref().map(|by| format!("by {by}")),
            self.cause.as_ref().map(|cause| format!("\"{cause}\"")),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(" "))
    }
}

/// A deployment, configuration change, migration or frontend release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Unique within the service; the poster's key, or derived from what was observed.
    pub id: String,
    /// Which part changed.
    pub component: Component,
    /// What served before, where known.
    pub from: Option<Revision>,
    /// What serves since.
    pub to: Revision,
    /// When the change began.
    pub started_at: UnixMs,
    /// When it was complete; `None` while it is under way.
    pub ended_at: Option<UnixMs>,
    /// Who told us.
    pub origin: Origin,
    /// Whether it moved the schema.
    #[serde(default)]
    pub migrations: Migrations,
    /// Whether the pipeline's own checks passed, where it said.
    #[serde(default)]
    pub checks_passed: Option<bool>,
    /// Whether this change is itself a rollback: such a change is never undone by the daemon.
    #[serde(default)]
    pub is_rollback: bool,
    /// What else the platform knew of it, when it was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Box<Told>>,
}

impl Change {
    /// The end of the change, or its start while it is under way.
    pub fn settled_at(&self) -> UnixMs {
        self.ended_at.unwrap_or(self.started_at)
    }

    /// Whether a breach that began at `onset` can be this change's doing: not before it (60 s for the clocks'
    /// difference and the first bucket), and not later than `max_age` after it ended. `None` is the runbook's letter.
    pub fn explains(&self, onset: UnixMs, max_age: Option<Span>) -> bool {
        let limits = gate::Limits { max_change_age: max_age, ..gate::Limits::default() };
        gate::explains(self.started_at, self.ended_at, onset, &limits)
    }

    /// Whether it moved the schema, as far as somebody said.
    pub fn carried_migration(&self) -> bool {
        let said = matches!(self.migrations, Migrations::Compatible | Migrations::Incompatible);
        said || self.component == Component::Database
    }

    /// Whether this and `other` are one happening, seen twice: same component and target, close in time.
    pub fn is_same_as(&self, other: &Self) -> bool {
        let near = (self.started_at.0 - other.started_at.0).abs() <= Span::minutes(30).ms()
            || (self.started_at >= other.started_at - Span::minutes(1)
                && self.started_at <= other.settled_at() + Span::minutes(30));
        self.id == other.id
            || (self.component == other.component && self.is_to_the_same(other) && near)
    }

    /// Whether both left one revision serving. A poster knows a version by its name, and a platform may know which build of
    /// it: `1.4.2` and `1.4.2+3fa94c01`, as semantic versioning writes it.
    fn is_to_the_same(&self, other: &Self) -> bool {
        let is_build = |posted: &Self, seen: &Self| {
            let name = seen.to.version.split_once('+').map(|(name, _)| name);
            posted.origin != Origin::Observed
                && seen.origin == Origin::Observed
                && posted.to.digest.is_none()
                && name == Some(posted.to.version.as_str())
        };
        self.to.agrees_with(&other.to) || is_build(self, other) || is_build(other, self)
    }

    /// This change with everything that `other`, the same happening, knows besides.
    ///
    /// The observer knows the platform's own times and digests, the poster knows intent: the earlier start wins,
    /// and so does whatever was said over what was not.
    pub fn merged_with(&self, other: &Self) -> Self {
        let posted = [self, other].into_iter().find(|c| c.origin != Origin::Observed);
        let digest = self.to.digest.clone().or_else(|| other.to.digest.clone());
        // Where one knows the build, it knows more.
        let named = [self, other].into_iter().find(|c| c.to.version.contains('+')).unwrap_or(self);
        Self {
            id: posted.unwrap_or(self).id.clone(),
            component: self.component,
            from: self.from.clone().or_else(|| other.from.clone()),
            to: Revision { version: named.to.version.clone(), digest },
            started_at: self.started_at.min(other.started_at),
            ended_at: self.ended_at.max(other.ended_at),
            origin: posted.unwrap_or(self).origin.clone(),
            migrations: if other.migrations == Migrations::Unknown {
                self.migrations
            } else {
                other.migrations
            },
            checks_passed: other.checks_passed.or(self.checks_passed),
            is_rollback: self.is_rollback || other.is_rollback,
            told: self.told.clone().or_else(|| other.told.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(started: i64, ended: Option<i64>) -> Change {
        Change {
            id: format!("c{started}"),
            component: Component::Application,
            from: None,
            to: Revision::named("v2"),
            started_at: UnixMs(started * 1000),
            ended_at: ended.map(|s| UnixMs(s * 1000)),
            origin: Origin::Observed,
            migrations: Migrations::Unknown,
            checks_passed: None,
            is_rollback: false,
            told: None,
        }
    }

    #[test]
    fn one_happening_is_seen_within_half_an_hour_and_a_rollback_is_one_whoever_says_so() {
        let one = change(100_000, None);
        let same = |started| one.is_same_as(&change(started, Some(started)));
        assert!(same(100_000 + 1_800) && same(100_000 - 1_800));
        let long = change(100_000, Some(110_000));
        let after_long = |seconds| change(seconds, Some(seconds)).is_same_as(&long);
        assert!(
            after_long(110_000 + 1_800) && !after_long(110_000 + 1_801),
            "half an hour from its end"
        );
        assert!(!same(100_000 + 1_801) && !same(100_000 - 1_801));
        let rolled = Change { is_rollback: true, ..one.clone() };
        assert!(one.merged_with(&rolled).is_rollback && rolled.merged_with(&one).is_rollback);
        assert!(!one.merged_with(&one).is_rollback);
    }

    #[test]
    fn a_breach_is_a_changes_doing_only_inside_its_time() {
        let at = |s: i64| UnixMs(s * 1000);
        let rollout = change(1000, Some(1180));
        let hour = Some(Span::hours(1));
        assert!(rollout.explains(at(1300), hour));
        assert!(rollout.explains(at(950), hour), "60 s early is clock difference");
        assert!(!rollout.explains(at(500), hour));
        assert!(!rollout.explains(at(5000), hour));
        assert!(rollout.explains(at(5000), None), "the runbook's letter knows no age");
    }

    #[test]
    fn a_post_and_an_observation_of_one_deployment_merge() {
        let observed = change(1010, Some(1010));
        let mut posted = change(1000, None);
        posted.origin = Origin::Posted { by: "ci".into() };
        posted.id = "build-7".into();
        posted.migrations = Migrations::Compatible;
        assert!(observed.is_same_as(&posted));
        let merged = observed.merged_with(&posted);
        assert_eq!(merged.id, "build-7");
        assert_eq!(merged.started_at, UnixMs(1_000_000));
        assert_eq!(merged.ended_at, Some(UnixMs(1_010_000)));
        assert_eq!(merged.migrations, Migrations::Compatible);
        assert_eq!(posted.merged_with(&observed).migrations, Migrations::Compatible);
        let mut elsewhere = change(1010, Some(1010));
        elsewhere.to = Revision::named("v3");
        assert!(!elsewhere.is_same_as(&posted));
    }

    #[test]
    fn a_post_that_names_a_version_is_about_the_build_of_it_that_is_seen() {
        let digest = |hex: &str| Some(format!("sha256:{hex}"));
        let mut observed = change(1010, Some(1010));
        observed.to = Revision { version: "1.4.2+3fa94c01".into(), digest: digest("3fa94c01") };
        let mut posted = change(1000, None);
        posted.origin = Origin::Posted { by: "ci".into() };
        posted.to = Revision::named("1.4.2");
        for merged in [observed.merged_with(&posted), posted.merged_with(&observed)] {
            assert!(observed.is_same_as(&posted) && posted.is_same_as(&observed));
            assert_eq!(merged.to, observed.to);
        }
        let mut other_build = observed.clone();
        other_build.id = "another".into();
        other_build.to = Revision { version: "1.4.2+77aa0b12".into(), digest: digest("77aa0b12") };
        assert!(!other_build.is_same_as(&observed), "two builds that were seen are two changes");
        posted.to = Revision::named("1.4");
        assert!(!observed.is_same_as(&posted));
    }
}
