//! How far a running attempt is, in its own words: the newest of each, in memory while it runs. It decides nothing.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Characters that are kept of what one says.
const TEXT_MAX: usize = 300;

/// What all attempts that run said last, by their run: a run has one at a time.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<BTreeMap<String, String>>>);

impl Board {
    /// What the attempt of a run that is under way said last; empty where it says nothing of it.
    pub fn of(&self, run: &str) -> String {
        let said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.get(run).cloned().unwrap_or_default()
    }

    /// An attempt says how far it is.
    pub(super) fn told(&self, run: &str, text: &str) {
        let text = text.chars().take(TEXT_MAX).collect();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(run.to_owned(), text);
    }

    /// Until what it returns is dropped, the attempt runs; also where that is by a panic.
    pub(super) fn running<'a>(&'a self, run: &'a str) -> Running<'a> {
        Running { board: self, run }
    }
}

/// An attempt under way.
#[must_use = "it runs until this is dropped"]
pub(super) struct Running<'a> {
    board: &'a Board,
    run: &'a str,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.board.0.lock().unwrap_or_else(PoisonError::into_inner).remove(self.run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_word_is_kept_cut_and_goes_with_its_attempt() {
        let board = Board::default();
        {
            let _running = board.running("INC-1/1");
            board.told("INC-1/1", "100 of 18000 objects copied");
            board.told("INC-1/1", &"ö".repeat(TEXT_MAX + 1));
            board.told("INC-2/1", "another");
            assert_eq!(board.of("INC-1/1"), "ö".repeat(TEXT_MAX));
        }
        assert_eq!((board.of("INC-1/1"), board.of("INC-2/1")), (String::new(), "another".into()));
    }
}
