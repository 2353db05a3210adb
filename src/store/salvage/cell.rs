//! One row as SQLite lays it on a page: enough of the file format to read the journal without SQLite.
//!
//! Everything here may be damaged: whatever does not fit is no row, and nothing is believed for having been parsed.

use crate::{
    store::journal::{Draft, Record},
    units::UnixMs,
};

/// The first byte of a page that holds rows of a table.
const TABLE_LEAF: u8 = 0x0d;
/// Columns of the journal: a row of another table has another number of them.
const COLUMNS: usize = 17;
/// No record is nearly as long; more is a length that was damaged.
const PAYLOAD_MAX: usize = 64 << 20;

/// A row that begins on a page, and may go on on others.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cell {
    /// Its number in the table: of the journal, the record's place.
    pub(super) rowid: u64,
    /// What lies on this page.
    pub(super) here: Vec<u8>,
    /// How long the whole is.
    pub(super) length: usize,
    /// The page on which it goes on.
    pub(super) next: Option<u32>,
}

/// The rows that begin on this page; none where it is another kind of page.
pub(super) fn cells(page: &[u8]) -> Vec<Cell> {
    if page.first() != Some(&TABLE_LEAF) {
        return vec![];
    }
    let count = usize::from(short(page, 3).unwrap_or(0));
    (0..count).filter_map(|n| cell(page, usize::from(short(page, 8 + 2 * n)?))).collect()
}

fn cell(page: &[u8], at: usize) -> Option<Cell> {
    let mut rest = page.get(at..)?;
    let length = usize::try_from(varint(&mut rest)?).ok().filter(|n| *n <= PAYLOAD_MAX)?;
    let rowid = varint(&mut rest)?;
    let local = local(page.len(), length);
    let here = rest.get(..local)?.to_vec();
    let next = if local < length { Some(long(rest, local)?) } else { None };
    Some(Cell { rowid, here, length, next })
}

/// How much of a row of this length lies on its first page: SQLite's own rule.
fn local(usable: usize, length: usize) -> usize {
    let most = usable - 35;
    if length <= most {
        return length;
    }
    let least = (usable - 12) * 32 / 255 - 23;
    let fits = least + (length - least) % (usable - 4);
    if fits <= most { fits } else { least }
}

/// A column's value.
enum Value<'a> {
    Null,
    Integer(i64),
    Text(&'a [u8]),
}

/// The record that a whole row is, with its time as it was written; `None` where it cannot be one.
pub(super) fn record(seq: u64, row: &[u8]) -> Option<(Record, String)> {
    let values = values(row)?;
    let text = |n: usize| match values.get(n) {
        Some(Value::Text(bytes)) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    };
    let number = |n: usize| match values.get(n) {
        Some(Value::Integer(number)) => Some(*number),
        _ => None,
    };
    let incident = match values.get(4)? {
        Value::Null => None,
        Value::Integer(_) => return None,
        Value::Text(_) => text(4),
    };
    let fact = Draft {
        stream: text(1)?,
        incident,
        at: UnixMs(number(6)?),
        steady_ms: number(7)?,
        kind: text(8)?,
        fact_version: u32::try_from(number(9)?).ok()?,
        cause: text(10)?,
        config_hash: text(12)?,
        policy_version: text(13)?,
        body: text(14)?,
    };
    let record = Record {
        seq,
        stream_seq: number(2)?.cast_unsigned(),
        epoch: number(3)?.cast_unsigned(),
        daemon_version: text(11)?,
        fact,
        prev_hash: text(15)?,
        hash: text(16)?,
    };
    Some((record, text(5)?))
}

fn values(row: &[u8]) -> Option<Vec<Value<'_>>> {
    let mut rest = row;
    let head = usize::try_from(varint(&mut rest)?).ok()?;
    let mut kinds = row.get(row.len() - rest.len()..head)?;
    let mut body = row.get(head..)?;
    let mut values = Vec::with_capacity(COLUMNS);
    while !kinds.is_empty() {
        values.push(value(varint(&mut kinds)?, &mut body)?);
    }
    (values.len() == COLUMNS).then_some(values)
}

fn value<'a>(kind: u64, body: &mut &'a [u8]) -> Option<Value<'a>> {
    let mut take = |length: usize| {
        let (taken, rest) = body.split_at_checked(length)?;
        *body = rest;
        Some(taken)
    };
    let width = match kind {
        0 => return Some(Value::Null),
        8 => return Some(Value::Integer(0)),
        9 => return Some(Value::Integer(1)),
        1..=4 => usize::try_from(kind).ok()?,
        5 => 6,
        6 => 8,
        kind if kind >= 13 && kind % 2 == 1 => {
            return Some(Value::Text(take(usize::try_from((kind - 13) / 2).ok()?)?));
        }
        _ => return None,
    };
    let bytes = take(width)?;
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let start = if negative { -1 } else { 0 };
    Some(Value::Integer(bytes.iter().fold(start, |number, byte| number << 8 | i64::from(*byte))))
}

/// SQLite's variable-length number, most significant bits first; the ninth byte counts whole.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for n in 0..9 {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        if n == 8 {
            return Some(number << 8 | u64::from(*first));
        }
        number = number << 7 | u64::from(first & 0x7f);
        if first & 0x80 == 0 {
            break;
        }
    }
    Some(number)
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// Four bytes, most significant first, as everywhere in the format.
pub(super) fn long(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_sqlite_writes_them() {
        for (bytes, number) in
            [(&[0x7f][..], 127), (&[0x81, 0x00], 128), (&[0x82, 0x2c], 300), (&[0xff; 9], u64::MAX)]
        {
            let mut rest = bytes;
            assert_eq!(varint(&mut rest), Some(number), "{bytes:x?}");
            assert!(rest.is_empty());
        }
        assert_eq!(varint(&mut &[0x80][..]), None, "cut off");
        let negative = value(1, &mut &[0xff][..]);
        assert!(matches!(negative, Some(Value::Integer(-1))));
    }

    #[test]
    fn a_page_of_anything_is_no_row_and_no_panic() {
        for seed in 0..=255u8 {
            let mut page: Vec<u8> =
                (0..4096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8 ^ seed).collect();
            page[0] = TABLE_LEAF;
            for cell in cells(&page) {
                assert!(record(cell.rowid, &cell.here).is_none(), "{cell:?}");
            }
        }
        assert_eq!(cells(&[]), []);
        assert_eq!(cells(&[TABLE_LEAF]), []);
    }
}
