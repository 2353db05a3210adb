//! Versions of migrations, compared as Flyway does: number by number, whatever separates them.

use std::cmp::Ordering;

/// Which comes first: `2` before `10`, `1.0` is `1`.
pub fn compare(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (parts(one), parts(other));
    loop {
        let (left, right) = (one.next(), other.next());
        if left.is_none() && right.is_none() {
            return Ordering::Equal;
        }
        let by_number = number(left.unwrap_or("0"), right.unwrap_or("0"));
        if by_number != Ordering::Equal {
            return by_number;
        }
    }
}

fn parts(version: &str) -> impl Iterator<Item = &str> {
    version.split(['.', '_'])
}

/// Of any length: a date with a time is a usual version.
fn number(left: &str, right: &str) -> Ordering {
    let [left, right] = [left, right].map(|it| it.trim_start_matches('0'));
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers_of_any_length_and_not_texts() {
        for (less, more) in [
            ("2", "10"),
            ("1.9", "1.10"),
            ("1_2", "1.3"),
            ("1", "1.0.1"),
            ("20260101120000", "20260101120001"),
            ("99999999999999999999", "100000000000000000000"),
        ] {
            assert_eq!(compare(less, more), Ordering::Less, "{less} {more}");
            assert_eq!(compare(more, less), Ordering::Greater, "{less} {more}");
        }
        assert_eq!(compare("1.0", "1"), Ordering::Equal);
        assert_eq!(compare("007", "7"), Ordering::Equal);
    }
}
