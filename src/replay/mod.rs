//! Recorded history in, what would have happened out: the very domain that decides live, driven by a virtual clock.
//!
//! Nothing here is carried out. Each service is replayed in `observe`, for in the recorded history nobody rolled back: what
//! comes after a decision is what came, and every decision is made as if none had been acted upon before.
//!
//! `tape` is what was recorded, whatever it was read from (`labelled`, `inputs`); `drive` plays tapes, `fleet` all of a configuration,
//! on all `cores`; `story` is what follows from the facts of one, `picture` what is drawn of them, with `line`; `score` compares stories with labels, `compare` two policies' stories; `revisions`
//! says what could not be compared; `table` and `html` say it to people.

mod compare;
mod cores;
mod drive;
mod fleet;
mod html;
pub mod inputs;
mod labelled;
mod line;
mod picture;
mod revisions;
mod score;
mod story;
mod table;
mod tape;

pub use self::{
    compare::{Difference, compare},
    cores::each_tape,
    drive::play,
    fleet::{Replayed, play_all},
    html::page,
    labelled::{Label, Labelled, each as each_labelled},
    picture::{Drawing, Picture, draw},
    revisions::Uncompared,
    score::{Judged, Score, Scored, judge, score},
    story::{Decided, Fired, Incident, Story},
    table::{differences_table, score_table, stories_table, totals},
    tape::{Counts, Deployment, Steps, Tape, Track, read_as},
};
