//! The few loops that a scan spends its time in.

use super::{Label, Text, Why};

/// Where the first `"` or `\` is. Values are short: looking at eight bytes at once beats a call into vector code.
#[inline]
pub(super) fn quote_or_escape(text: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let (words, rest) = text.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // A byte that is zero after the `^` borrows from its highest bit; what is before the first one is exact.
        let quote = word ^ (ONES * b'"' as u64);
        let escape = word ^ (ONES * b'\\' as u64);
        let zeros = (quote.wrapping_sub(ONES) & !quote) | (escape.wrapping_sub(ONES) & !escape);
        let found = zeros & (ONES << 7);
        if found != 0 {
            return Some(at * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let at = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    Some(words.len() * 8 + at)
}

/// How long the name is that a text begins with; a metric's may hold `:`, a label's may not.
pub(super) fn name_length(text: &[u8], metric: bool) -> usize {
    if text.first().is_some_and(u8::is_ascii_digit) {
        return 0;
    }
    let table = if metric { &IN_METRIC } else { &IN_NAME };
    text.iter().position(|byte| !table[usize::from(*byte)]).unwrap_or(text.len())
}

/// The label names of a series so far, roughly: most names need no closer look.
#[derive(Default)]
pub(super) struct Known(u64);

impl Known {
    pub(super) fn add<'body>(
        &mut self,
        label: Label<'body>,
        most: usize,
        labels: &mut Vec<Label<'body>>,
    ) -> Result<(), Why> {
        if labels.len() >= most {
            return Err(Why::Labels);
        }
        if self.perhaps(label.name) && labels.iter().any(|other| other.name == label.name) {
            return Err(Why::LabelTwice);
        }
        labels.push(label);
        Ok(())
    }

    fn perhaps(&mut self, name: Text<'_>) -> bool {
        let bytes = name.raw().as_bytes();
        let first = bytes.first().copied().unwrap_or(0);
        let last = bytes.last().copied().unwrap_or(0);
        let spot = usize::from(first) * 7 + usize::from(last) * 3 + bytes.len();
        let bit = 1 << (spot % 64);
        let there = self.0 & bit != 0;
        self.0 |= bit;
        // One name can be escaped in several ways.
        there || name.escaped
    }
}

static IN_NAME: [bool; 256] = legal(false);
static IN_METRIC: [bool; 256] = legal(true);

const fn legal(colon: bool) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] =
            byte.is_ascii_alphanumeric() || byte == b'_' || (colon && byte == b':');
        byte += 1;
    }
    table
}
