//! Many tapes on all cores: whichever core is free takes the next.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use super::tape::Tape;

/// Does something with each, on all cores; the results are in the order of what `next` gives.
pub(super) fn on_all_cores<I, T: Send>(
    next: impl Fn() -> Option<(usize, I)> + Sync,
    each: impl Fn(I) -> T + Sync,
) -> Vec<T> {
    let done = Mutex::new(vec![]);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some((index, one)) = next() {
                    let result = each(one);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Does something with each tape and its place among them, on all cores.
pub fn each_tape<T: Send>(tapes: &[Tape], each: impl Fn(usize, &Tape) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let next = || {
        let index = next.fetch_add(1, Ordering::Relaxed);
        tapes.get(index).map(|tape| (index, (index, tape)))
    };
    on_all_cores(next, |(index, tape)| each(index, tape))
}
