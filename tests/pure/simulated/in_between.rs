//! What a world once showed, by its shortest script, where no seed is kept that lives through it.

use crate::world::{
    Bases, Script,
    executor::Mishap,
    live,
    operator::Layout,
    script::{Fate, Happening},
};

/// Somebody went back by hand between the last look and the rollback: the release serves, and was given the secret that hurts.
#[test]
fn a_release_that_somebody_went_back_to_is_started_anew_to_read_its_secret() {
    let mut script = Script::of_one_step(Layout::Secrets, 0, Fate::Once(Mishap::Nothing));
    let by_hand = Happening::ByHand { site: 0, version: "v1".into() };
    script.happenings.push((100_000, by_hand));
    let life = live(&mut Bases::default(), 1, script, true);
    let story = life.story.join("\n");
    assert_eq!(life.violation, None, "{story}");
    assert_eq!(life.secrets[0], Some(("first".into(), "first".into())), "{story}");
    assert!(story.contains("closed: rolled back and verified"), "{story}");
}
