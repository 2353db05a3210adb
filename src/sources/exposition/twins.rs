//! Whether a series was already there, exactly: a hash finds the earlier line, and that line is read again.

use std::{
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState},
};

use super::{Format, Label, Text, grammar};

const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// The lines of the series seen so far.
pub(super) struct Twins<'body> {
    seen: HashMap<u64, &'body [u8], BuildHasherDefault<Hashed>>,
    seed: u64,
}

impl<'body> Twins<'body> {
    /// Sized for a small body; a large one makes it grow a few times.
    pub(super) fn new(body: &[u8]) -> Self {
        let guess = (body.len() / 128).min(16_384);
        Self {
            seen: HashMap::with_capacity_and_hasher(guess, BuildHasherDefault::default()),
            seed: RandomState::new().hash_one(0_u8),
        }
    }

    /// Notes the series, and says whether the same name with the same labels, in any order, was noted before.
    pub(super) fn of(
        &mut self,
        line: &'body [u8],
        name: Text<'_>,
        labels: &[Label<'_>],
        value: f64,
    ) -> Twin {
        // Adding the labels' hashes makes their order not matter.
        let hash = labels.iter().fold(text(self.seed, name.raw), |sum, label| {
            sum.wrapping_add(text(text(self.seed, label.name.raw), label.value.raw))
        });
        match self.seen.entry(hash) {
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(line);
                Twin::None
            }
            std::collections::hash_map::Entry::Occupied(first) => {
                twin(first.get(), name, labels, value)
            }
        }
    }
}

/// Whether a series was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Twin {
    None,
    /// With the same value.
    Same,
    /// With another value: which of both is true nobody knows.
    Conflicting,
}

#[cold]
fn twin(line: &[u8], name: Text<'_>, labels: &[Label<'_>], value: f64) -> Twin {
    let mut theirs = Vec::with_capacity(labels.len());
    // The timestamps' format is of no matter: only the name and the labels are compared.
    let bare = grammar::bare_name(line, b"").0.len();
    let read = grammar::series(line, bare, Format::OpenMetrics, labels.len(), &mut theirs);
    let Ok((first, theirs_value, _)) = read else { return Twin::None };
    let same = first == name
        && theirs.len() == labels.len()
        && labels.iter().all(|label| theirs.contains(label));
    match same {
        false => Twin::None,
        true if theirs_value.to_bits() == value.to_bits() => Twin::Same,
        true => Twin::Conflicting,
    }
}

/// Eight bytes at a time, the last ones perhaps twice.
fn text(seed: u64, text: &str) -> u64 {
    let bytes = text.as_bytes();
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(SPREAD);
    for word in bytes.as_chunks::<8>().0 {
        hash = mixed(hash ^ u64::from_le_bytes(*word));
    }
    let last = match (bytes.last_chunk::<8>(), bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(last), ..) => u64::from_le_bytes(*last),
        (None, Some(first), Some(last)) => {
            u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last))
        }
        (None, ..) => bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    };
    mixed(hash ^ last)
}

fn mixed(word: u64) -> u64 {
    let product = u128::from(word ^ SPREAD) * 0xD6E8_FEB8_6659_FD93_u128;
    (product as u64) ^ ((product >> 64) as u64)
}

/// The key is a hash already.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {}
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
