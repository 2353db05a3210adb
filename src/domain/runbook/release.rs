//! A machine with `releases/<version>/` and a `current` symlink.

use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        change::Revision,
        plan::{Action, Restart, Running, Step},
    },
    units::Span,
};

/// Rolling back on a machine with `releases/<version>/` and a `current` symlink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseRunbook {
    /// The directory that holds `releases/` and `current`; an absolute path.
    pub root: String,
    /// How a switched release is made to serve.
    pub restart: Restart,
    /// How the version that serves is seen.
    pub running: Running,
    /// How long the switch may take, the content hash of the target included.
    pub switch_timeout: Span,
    /// How long it may take until the wanted version serves.
    pub restart_timeout: Span,
    /// How often each step may be tried; at least 1.
    pub attempts: u32,
}

impl ReleaseRunbook {
    /// What a plan locks.
    pub fn resource(&self) -> String {
        format!("release:{}", self.root)
    }

    /// The one step where no other version will serve: it reads anew what it reads when it starts.
    pub fn anew(&self, version: &Revision) -> Step {
        let title = format!(
            "{} although {version} serves, so that it reads what it is given now, and wait until it serves again",
            self.restart_in_words()
        );
        self.restart(title, version, true)
    }

    /// The two steps from one exact revision to another: switch, then restart until it serves. Where what it reads goes back as well it is
    /// restarted in any case: somebody may have gone back by hand before that, and what serves then was given what hurts.
    pub fn steps(&self, from: &Revision, to: &Revision, reads_another: bool) -> Vec<Step> {
        let (root, attempts) = (&self.root, self.attempts.max(1));
        let switch = Step {
            title: format!("switch current of {root} from {from} to {to}"),
            action: Action::ReleaseSwitch {
                root: root.clone(),
                from: from.version.clone(),
                to: to.version.clone(),
                digest: to.digest.clone(),
            },
            needs: vec![
                format!("{root}/releases/{to}, unchanged since it served"),
                format!("{root}/current, a symlink to releases/{from}"),
                format!("permission to create and rename in {root}"),
            ],
            timeout: self.switch_timeout,
            attempts,
            fallback: None,
        };
        let why = if reads_another { ", so that it reads what it is given now," } else { "" };
        let title = format!("{}{why} and wait until {to} serves", self.restart_in_words());
        vec![switch, self.restart(title, to, reads_another)]
    }

    fn restart(&self, title: String, to: &Revision, anew: bool) -> Step {
        Step {
            title,
            action: Action::ReleaseRestart {
                root: self.root.clone(),
                to: to.version.clone(),
                restart: self.restart.clone(),
                running: self.running.clone(),
                anew,
            },
            needs: vec![
                match &self.restart {
                    Restart::Unit(unit) => format!("permission to restart the unit {unit}"),
                    Restart::Command(line) => format!("the program {}", program(&line.argv)),
                },
                match &self.running {
                    Running::Http { url, .. } => format!("{url}, answering with the version"),
                    Running::Command(line) => {
                        format!("{}, printing the version", program(&line.argv))
                    }
                    Running::Unit(unit) => {
                        format!("permission to see the main process of the unit {unit}")
                    }
                },
            ],
            timeout: self.restart_timeout,
            attempts: self.attempts.max(1),
            fallback: None,
        }
    }

    fn restart_in_words(&self) -> String {
        match &self.restart {
            Restart::Unit(unit) => format!("restart the unit {unit}"),
            Restart::Command(line) => format!("restart with `{}`", line.argv.join(" ")),
        }
    }
}

fn program(argv: &[String]) -> &str {
    argv.first().map_or("(none)", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_rolls_back_in_two_exact_steps() {
        let runbook = ReleaseRunbook {
            root: "/srv/shop".into(),
            restart: Restart::Unit("shop.service".into()),
            running: Running::Unit("shop.service".into()),
            switch_timeout: Span::seconds(30),
            restart_timeout: Span::minutes(2),
            attempts: 2,
        };
        let to = Revision { version: "v1".into(), digest: Some("sha256:ab".into()) };
        let with = runbook.steps(&Revision::named("v2"), &to, true).pop().unwrap();
        let again = "restart the unit shop.service, so that it reads what it is given now, and wait until v1 serves";
        assert_eq!(with.title, again);
        assert!(matches!(with.action, Action::ReleaseRestart { anew: true, .. }));
        let steps = runbook.steps(&Revision::named("v2"), &to, false);
        let titles: Vec<&str> = steps.iter().map(|step| step.title.as_str()).collect();
        assert_eq!(
            titles,
            [
                "switch current of /srv/shop from v2 to v1",
                "restart the unit shop.service and wait until v1 serves"
            ]
        );
        assert_eq!(
            steps[0].action,
            Action::ReleaseSwitch {
                root: "/srv/shop".into(),
                from: "v2".into(),
                to: "v1".into(),
                digest: Some("sha256:ab".into()),
            }
        );
        assert_eq!(runbook.resource(), "release:/srv/shop");
        let text = serde_json::to_string(&runbook).unwrap();
        assert_eq!(serde_json::from_str::<ReleaseRunbook>(&text).unwrap(), runbook);
    }
}
