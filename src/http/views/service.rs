//! How one service stands, in one line.

use serde::{Deserialize, Serialize};

use super::{DatabaseView, IncidentLine};
use crate::{
    domain::{
        change::{Change, Component},
        configuration::Item,
        firing::Basis,
        image::Good,
        inventory::Serving,
        maintenance,
        service::{Mode, ServiceId},
        severity::Severity,
        situation::Situation,
        state::Hold,
        trigger::State,
        warning::Warning,
        wording,
    },
    units::UnixMs,
};

/// How a service stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceView {
    /// Which.
    pub id: ServiceId,
    /// How far the daemon may go.
    pub mode: Mode,
    /// The revision that the platform is set to, as the ledger knows it.
    pub serving: Option<String>,
    /// What was last seen at the running process; absent where nobody has looked yet.
    pub running: Option<Serving>,
    /// What is not as it should be where it is deployed, in words.
    pub platform_faults: Vec<String>,
    /// What its cluster warns of, newest first, while something is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What else sets what is deployed, and what that means for a rollback; a sentence each.
    #[serde(default)]
    pub owners: Vec<String>,
    /// What was rolled away from, while it is set again; a sentence.
    #[serde(default)]
    pub set_again: Option<String>,
    /// Maintenance mode that a rollback switched on, and what a person would type to switch it off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub maintenance: Vec<String>,
    /// Whether the revision that is set has served healthily for the bake time.
    pub serving_is_known_good: bool,
    /// The revision that a rollback would go back to.
    pub known_good: Option<String>,
    /// How the images of what is set were when it was known good; a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// Why there is none.
    pub no_target: Option<String>,
    /// What its pods read beside their image; absent where nobody looks at that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<ConfigurationView>,
    /// How far its database is migrated; absent where nobody looks at one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseView>,
    /// The newest change.
    pub last_change: Option<Change>,
    /// Every trigger's state.
    pub triggers: Vec<TriggerState>,
    /// What fires that is no trigger of ours: alerts, posted evidence.
    pub told: Vec<String>,
    /// The open incident.
    pub incident: Option<IncidentLine>,
    /// Signals that tell nothing.
    pub blind: Vec<BlindView>,
    /// A person's no.
    pub hold: Option<Hold>,
    /// The reason in the `HOLD` file.
    pub kill_switch: Option<String>,
    /// Why nothing can be written down, and since when: nothing is decided or done until it can.
    #[serde(default)]
    pub unwritable: Option<String>,
}

/// What pods read beside their image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigurationView {
    /// Which revision of it they are given, as the ledger knows it.
    pub serving: Option<String>,
    /// Whether that has served healthily for the bake time, read by all of them.
    pub is_known_good: bool,
    /// What it consists of, each with the beginning of its hash.
    pub items: Vec<String>,
    /// Why nobody can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

impl ConfigurationView {
    fn of(s: &Situation<'_>) -> Option<Self> {
        let inventory = s.watch.inventory.as_ref()?;
        inventory.reads()?;
        let (component, ledger) = (Component::Configuration, &s.state.ledger);
        let serving = ledger.serving(component);
        let entry = serving.and_then(|revision| ledger.entry(component, revision));
        let items = inventory.configuration().map(|found| found.items.as_slice());
        let item = |item: &Item| {
            let hash = item
                .digest
                .as_deref()
                .map_or("is not there", |hash| hash.get(..15).unwrap_or(hash));
            format!("{} {hash}", item.called())
        };
        Some(Self {
            serving: serving.map(ToString::to_string),
            is_known_good: entry
                .is_some_and(|entry| entry.known_good_at.is_some() && entry.quarantine.is_none()),
            items: items.unwrap_or_default().iter().map(item).collect(),
            unknown: inventory.configuration_unknown().map(str::to_owned),
        })
    }
}

/// A trigger's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriggerState {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub state: State,
    /// How bad it is, or would be.
    pub severity: Severity,
}

/// A signal that tells nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlindView {
    /// Which signal.
    pub signal: String,
    /// Where it should come from.
    pub source: String,
    /// Since when.
    pub since: UnixMs,
    /// What its source says.
    pub why: String,
}

impl ServiceView {
    /// What serves, for people: what was seen at the process, and what is set where that is something else.
    pub fn serves(&self) -> String {
        let set = self.serving.as_deref().unwrap_or("nothing known");
        match &self.running {
            Some(Serving::Version(version)) if version == set => version.clone(),
            Some(Serving::Version(version)) => format!("{version}, set to {set}"),
            Some(Serving::NotRunning(_)) => format!("nothing, set to {set}"),
            Some(Serving::Unknown(_)) => format!("unknown, set to {set}"),
            None => set.to_owned(),
        }
    }

    /// The view of a service.
    pub fn of(s: &Situation<'_>) -> Self {
        let component = Component::Application;
        let ledger = &s.state.ledger;
        let serving = ledger.serving(component);
        let entry = serving.and_then(|revision| ledger.entry(component, revision));
        let target = ledger.target(component);
        let triggers = s.watch.triggers().map(|(name, _, trigger)| TriggerState {
            name: name.to_owned(),
            state: trigger.state(),
            severity: trigger.severity(),
        });
        let told = s.state.firing.values().filter(|f| f.basis != Basis::Window);
        Self {
            id: s.state.id.clone(),
            mode: s.policy.mode,
            serving: serving.map(ToString::to_string),
            running: s.watch.inventory.as_ref().map(|i| i.running.clone()),
            platform_faults: s
                .watch
                .inventory
                .as_ref()
                .map_or_else(Vec::new, |inventory| inventory.faults.clone()),
            warnings: s.watch.inventory.as_ref().map_or_else(Vec::new, |inventory| {
                inventory.warnings().iter().map(Warning::in_words).collect()
            }),
            owners: wording::owners(s),
            set_again: s.state.set_again.as_ref().map(ToString::to_string),
            maintenance: maintenance::in_words(s),
            serving_is_known_good: entry
                .is_some_and(|entry| entry.known_good_at.is_some() && entry.quarantine.is_none()),
            known_good: target.as_ref().ok().map(ToString::to_string),
            images: entry.into_iter().flat_map(|it| &it.images).map(Good::in_words).collect(),
            no_target: target.err().map(|why| why.to_string()),
            configuration: ConfigurationView::of(s),
            database: DatabaseView::of(s),
            last_change: s.state.changes.last().cloned(),
            triggers: triggers.collect(),
            told: told.map(|f| format!("{} ({}): {}", f.trigger, f.severity, f.says)).collect(),
            incident: s.state.incident.as_ref().map(|i| IncidentLine::of(s, i)),
            blind: s
                .state
                .blind
                .iter()
                .map(|(signal, b)| BlindView {
                    signal: signal.clone(),
                    source: b.source.clone(),
                    since: b.since,
                    why: b.why.clone(),
                })
                .collect(),
            hold: s.state.hold.clone(),
            kill_switch: s.fleet.kill_switch.clone(),
            unwritable: s.fleet.unwritable.clone(),
        }
    }
}
