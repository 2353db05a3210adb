//! Recorded history in, what would have happened out: the very domain that decides live, driven by a virtual clock.
//!
//! Nothing here is carried out. Each service is replayed in `observe`, for in the recorded history nobody rolled back: what
//! comes after a decision is what came, and every decision is made as if none had been acted upon before.
//!
//! `tape` is what was recorded, whatever it was read from (`labelled`, `inputs`); `drive` plays one tape; `story` is what follows
//! from its facts; `score` compares stories with labels, `compare` two policies' stories; `revisions` says what could not be compared; `table` and `html` say it to people, with `line`.

mod compare;
mod drive;
mod html;
pub mod inputs;
mod labelled;
mod line;
mod revisions;
mod score;
mod story;
mod table;
mod tape;

pub use self::{
    compare::{Difference, compare},
    drive::{Replayed, play, play_all},
    html::page,
    labelled::{Label, Labelled, read as read_labelled},
    revisions::uncompared,
    score::{Score, Scored, score},
    story::{Decided, Fired, Incident, Story},
    table::{differences_table, score_table, stories_table, totals},
    tape::{Counts, Deployment, Tape, Track, read_as},
};
