//! Stories: the whole domain, pure, told as the timeline that people read. No runtime, no clock, no disk.
//!
//! A story is a policy, what happens, and what the daemon made of it. After every turn the [`town`] checks what must
//! always hold, so that each story is also a test of the invariants.

mod place;
mod policy;
mod town;

mod resolved;

use town::Town;

/// Lets `happens` happen to a town that was healthy for over an hour, and tells what came of it.
fn story(policy: rollbackd::domain::policy::Policy, happens: impl FnOnce(&mut Town)) -> String {
    let mut town = Town::healthy(policy);
    happens(&mut town);
    town.check_everything();
    town.transcript()
}
