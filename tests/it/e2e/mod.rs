//! The real binary, from the first bad request to the report, with everything around it real.
//!
//! Stories wait much and work little, so that a test tells several of them at the same time; the longest ones come
//! first in the alphabet, so that they begin first.

mod alerted;
mod canary;
mod configured;
mod demos;
mod deployments;
mod disk;
mod found;
mod journal;
mod kills;
mod maintained;
mod migrated;
mod missed;
mod monitored;
mod overload;
mod pages;
mod proven;
mod pulled;
mod rds;
mod reloads;
mod replayed;
mod reversed;
mod secrets;
mod sidecar;
mod site;
mod space;
mod stops;
mod told;
mod torture;
mod world;

use std::{future::Future, pin::Pin};

/// A story by its name.
pub(crate) type Story = (&'static str, fn() -> Pin<Box<dyn Future<Output = ()>>>);

/// Tells all stories at the same time, each on a thread and a runtime of its own.
pub(crate) fn together(stories: &[Story]) {
    let tell = |story: fn() -> Pin<Box<dyn Future<Output = ()>>>| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(story());
    };
    let threads = stories.iter().map(|&(name, story)| {
        let thread = std::thread::Builder::new().name(name.to_owned());
        (name, thread.spawn(move || tell(story)).expect("a thread"))
    });
    let threads: Vec<_> = threads.collect();
    let ended = threads.into_iter().map(|(name, thread)| (name, thread.join()));
    let failed: Vec<_> = ended.filter(|(_, end)| end.is_err()).map(|(name, _)| name).collect();
    assert!(failed.is_empty(), "these did not go as they should: {}", failed.join(", "));
}
