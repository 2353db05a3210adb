//! Whether pods of what a plan goes to could start, by what registries say of its images.

use crate::domain::{
    change::{Component, Revision},
    image::{self, Good, Image},
    inventory::Inventory,
    plan::Plan,
    situation::Situation,
};

/// The version whose pods a plan starts, with what is known of its images.
fn started<'s>(s: &Situation<'s>, plan: &'s Plan) -> Option<(&'s Revision, &'s [Image])> {
    let inventory: &Inventory = s.watch.inventory.as_ref()?;
    let moved = plan.targets.iter().find(|target| target.component == Component::Application);
    // Where the application stays its pods are started anew, and pulled anew where a node has nothing.
    let version = moved.map(|target| &target.to).or(inventory.linked.as_ref())?;
    Some((version, &inventory.find(&version.version)?.images))
}

/// How the images of a version were when it was known good.
fn then<'s>(s: &Situation<'s>, version: &Revision) -> &'s [Good] {
    let entry = s.state.ledger.entry(Component::Application, version);
    entry.map(|entry| entry.images.as_slice()).unwrap_or_default()
}

/// Whether what is set now uses it, too: then a rollback does not change it, and going nowhere makes it no better.
fn is_used_now(s: &Situation<'_>, image: &Image) -> bool {
    let inventory = s.watch.inventory.as_ref();
    let set = inventory.and_then(|it| it.find(&it.linked.as_ref()?.version));
    set.is_some_and(|set| set.images.iter().any(|used| used.name == image.name))
}

/// Why it is not gone to unless a person says so.
pub(super) fn bars(s: &Situation<'_>, plan: &Plan) -> Option<String> {
    let (version, images) = started(s, plan)?;
    let own: Vec<&Image> = images.iter().filter(|image| !is_used_now(s, image)).collect();
    image::missing(version, &own).or_else(|| image::moved(version, &own, then(s, version)))
}

/// What else is known of them.
pub(super) fn outlook(s: &Situation<'_>, plan: &Plan) -> Option<String> {
    image::outlook(started(s, plan)?.1)
}

/// Each image of what a plan goes to, as it stands.
pub fn in_words(s: &Situation<'_>, plan: &Plan) -> Vec<String> {
    let Some((version, images)) = started(s, plan) else { return vec![] };
    images.iter().map(|image| image.beside(then(s, version))).collect()
}
