//! The services of one fleet: each is played alone, and those who suffered at once together, for then the storm guard speaks.

use std::collections::BTreeSet;

use super::{cores::each_tape, drive::play_together, picture::Picture, story::Story, tape::Tape};
use crate::{
    domain::policy::{FleetPolicy, ServicePolicy},
    units::UnixMs,
};

/// What would have happened, service by service.
#[derive(Clone, Debug, Default)]
pub struct Replayed {
    /// To each service.
    pub stories: Vec<Story>,
    /// What is drawn of the incidents of each.
    pub pictures: Vec<Vec<Picture>>,
}

impl Extend<(Story, Vec<Picture>)> for Replayed {
    fn extend<T: IntoIterator<Item = (Story, Vec<Picture>)>>(&mut self, more: T) {
        for (story, pictures) in more {
            self.stories.push(story);
            self.pictures.push(pictures);
        }
    }
}

/// What would have happened to each service of a fleet of so many, in the tapes' order. `None` where nothing was recorded of one, or
/// nobody would have watched it.
///
pub fn play_all(
    tapes: &[Tape],
    judged_by: impl Fn(&Tape) -> Option<ServicePolicy> + Sync,
    fleet: FleetPolicy,
    services: usize,
) -> Vec<Option<Story>> {
    let among = few_like(services, fleet);
    let mut stories = each_tape(tapes, |_, tape| {
        play_together(vec![(tape, judged_by(tape)?)], fleet, among).pop()
    });
    let stormy: Vec<usize> = in_storms(&stories, fleet, services).into_iter().collect();
    let seats = stormy.iter().filter_map(|place| {
        let tape = &tapes[*place];
        Some((tape, judged_by(tape)?))
    });
    let together = play_together(seats.collect(), fleet, services);
    for (place, story) in stormy.into_iter().zip(together) {
        stories[place] = Some(story);
    }
    stories
}

/// The fewest services among whom it is for one of them as among all: a P0 waits for company wherever there can be any, and
/// whoever suffers alone is no storm.
fn few_like(services: usize, fleet: FleetPolicy) -> usize {
    let alone = |services: usize| fleet.is_storm(1, count(services));
    let is_like = |few: &usize| alone(*few) == alone(services);
    (services.min(2)..services).find(is_like).unwrap_or(services)
}

fn count(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}

/// The places of those who suffered while so many did that it was a storm.
fn in_storms(stories: &[Option<Story>], fleet: FleetPolicy, services: usize) -> BTreeSet<usize> {
    let known =
        stories.iter().enumerate().filter_map(|(place, story)| Some((place, story.as_ref()?)));
    // At the same moment whoever begins comes before whoever ends.
    let mut turns: Vec<(UnixMs, bool, usize)> = known
        .flat_map(|(place, story)| {
            let ends = move |(from, until): &(UnixMs, UnixMs)| {
                [(*from, false, place), (*until, true, place)]
            };
            story.alarms.iter().flat_map(ends)
        })
        .collect();
    turns.sort_unstable();
    let (mut suffer, mut stormy) = (BTreeSet::new(), BTreeSet::new());
    for (_, ends, place) in turns {
        if ends {
            suffer.remove(&place);
            continue;
        }
        suffer.insert(place);
        if fleet.is_storm(count(suffer.len()), count(services)) {
            stormy.extend(&suffer);
        }
    }
    stormy
}
