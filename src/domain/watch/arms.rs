//! What one poll told, handed to the triggers: all of it together to most, by revision to those that compare.

use super::{
    Instance,
    instances::Instances,
    reading::{Channel, Taken},
};
use crate::{
    domain::{
        change::{Component, Revision},
        evalue,
        firing::Basis,
        gate::OldRevision,
        state::ServiceState,
        watch::ServiceWatch,
    },
    units::{Span, UnixMs},
};

/// How long a process stays young for the triggers that compare what a signal counts.
pub(super) fn young(triggers: &Instances, signal: u16) -> Span {
    let over = triggers.values().filter(|i| i.over == signal);
    let ignored = over.filter_map(|i| i.trigger.rule().ignores_first());
    ignored.max().unwrap_or(Span::ZERO)
}

/// Lets every trigger over the signal of this number see what was taken of it.
pub(super) fn show(triggers: &mut Instances, signal: u16, taken: &Taken, state: &ServiceState) {
    triggers.over(signal, |key, instance| {
        if instance.channel == Some(Channel::Arms) {
            stand_by(key, instance, state);
        }
        for (channel, sample) in taken.samples.iter() {
            match instance.channel {
                Some(Channel::Arms) if *channel == Channel::Errors => {
                    let new = newest(state).map(|to| to.version.as_str());
                    instance.follow(sample.at, |trigger| trigger.compare(sample, new, &taken.arms));
                }
                own if own == Some(*channel) => instance.observe(sample),
                Some(_) | None => {}
            }
        }
    });
}

/// What the newest change of the code brought: another one of its configuration leaves its revisions as they are.
fn newest(state: &ServiceState) -> Option<&Revision> {
    let of_code =
        |change: &&crate::domain::change::Change| change.component == Component::Application;
    state.changes.iter().rev().find(of_code).map(|change| &change.to)
}

/// A window that was lost, or written down before, does not know what it fired on; the journal does.
fn stand_by(key: &str, instance: &mut Instance, state: &ServiceState) {
    let known = state.firing.get(key).filter(|f| f.basis == Basis::Window);
    let compared = known.and_then(|f| Some((f, f.evidence.as_ref()?.compared.as_ref()?)));
    if let Some((firing, compared)) = compared {
        instance.trigger.stand_by(compared, firing.onset, firing.fired_at);
    }
}

impl ServiceWatch {
    /// How the old revision does while what `change` brought and it both answer, where a trigger compares them.
    pub fn old_revision(&self, change: &Revision, now: UnixMs) -> Option<(OldRevision, String)> {
        let told = |instance: &Instance| {
            let newest = instance.trigger.evidence().newest?;
            let (compared, bound) = instance.trigger.beside()?;
            // What is not asked any more compares nothing.
            let now = compared.both && now.since(newest) < self.patience;
            (now && compared.new == change.version).then_some((compared, bound))
        };
        let (compared, bound) = self.triggers.values().find_map(told)?;
        // The gate knows one chance of a false alarm; this trigger may have another.
        let ln_e = compared.ln_e + evalue::DECIDES - compared.needed;
        let old = OldRevision { bound, ln_e: Some(ln_e) };
        Some((old, super::says::compared(&compared)))
    }
}
