//! Whole numbers as short text, for what is written down again and again: a number near zero takes one character.
//!
//! Each character holds five bits and whether more follow; a negative number is folded among the positive ones. Ten
//! thousand services are written down in megabytes this way, and not in hundreds of them.

/// Characters that JSON leaves as they are.
const ALPHABET: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";
const BITS: u32 = 5;
const MORE: u8 = 1 << BITS;
/// Five bits each: more characters are no 64-bit number.
const LONGEST: u32 = 13;

/// Writes numbers one after the other.
#[derive(Debug, Default)]
pub struct Pen(String);

impl Pen {
    /// Writes one.
    pub fn put(&mut self, number: i64) {
        let mut rest = (number << 1 ^ number >> 63) as u64;
        loop {
            let low = (rest & u64::from(MORE - 1)) as u8;
            rest >>= BITS;
            let more = if rest == 0 { 0 } else { MORE };
            self.0.push(char::from(ALPHABET[usize::from(low | more)]));
            if rest == 0 {
                break;
            }
        }
    }

    /// What was written.
    pub fn text(self) -> String {
        self.0
    }
}

/// Reads numbers in the order in which they were written; ends at the first that is damaged.
#[derive(Clone, Debug)]
pub struct Packed<'a>(std::slice::Iter<'a, u8>);

impl<'a> Packed<'a> {
    /// The numbers in a text.
    pub fn new(text: &'a str) -> Self {
        Self(text.as_bytes().iter())
    }
}

impl Iterator for Packed<'_> {
    type Item = i64;

    fn next(&mut self) -> Option<i64> {
        let mut folded = 0_u64;
        for place in 0..LONGEST {
            let digit = digit(*self.0.next()?)?;
            folded |= u64::from(digit & (MORE - 1)).checked_shl(place * BITS)?;
            if digit & MORE == 0 {
                return Some((folded >> 1) as i64 ^ -((folded & 1) as i64));
            }
        }
        None
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'Z' => Some(byte - b'A' + 10),
        b'a'..=b'z' => Some(byte - b'a' + 36),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn near_zero_is_short_and_damage_is_an_end() {
        let mut pen = Pen::default();
        [0, -1, 15, -16].into_iter().for_each(|number| pen.put(number));
        assert_eq!(pen.0.len(), 4);
        assert_eq!(Packed::new("0?0").collect::<Vec<_>>(), [0]);
        assert_eq!(Packed::new("____________________").next(), None);
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(numbers: Vec<i64>) {
            let mut pen = Pen::default();
            numbers.iter().for_each(|number| pen.put(*number));
            let text = pen.text();
            prop_assert_eq!(Packed::new(&text).collect::<Vec<_>>(), numbers);
        }
    }
}
