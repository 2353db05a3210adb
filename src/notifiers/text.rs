//! Cutting text to what a channel takes. Lengths are UTF-16 units: no receiver counts more than that.

/// The text in at most `limit` units, ending in an ellipsis where something was cut.
pub(super) fn cut(text: &str, limit: usize) -> String {
    cut_mapped(text, limit, |_| None)
}

/// Like [`cut`], with some characters written as something longer, which is never cut in two.
pub(super) fn cut_mapped(
    text: &str,
    limit: usize,
    map: impl Fn(char) -> Option<&'static str>,
) -> String {
    let mut out = String::new();
    let mut used = 0;
    // The longest prefix so far that leaves room for the ellipsis.
    let mut safe = 0;
    for c in text.chars() {
        let mut buffer = [0; 4];
        let piece: &str = map(c).unwrap_or_else(|| c.encode_utf8(&mut buffer));
        used += units(piece);
        if used > limit {
            out.truncate(safe);
            if limit > 0 {
                out.push('…');
            }
            return out;
        }
        out.push_str(piece);
        if used < limit {
            safe = out.len();
        }
    }
    out
}

/// The length as the receivers may count it.
pub(super) fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// One line: control characters and line breaks become spaces, so that no reader is fooled by them.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if unprintable(c) || c == '\n' { ' ' } else { c }).collect()
}

/// Several lines, without any other control character.
pub(super) fn lines(text: &str) -> String {
    text.chars().map(|c| if unprintable(c) { ' ' } else { c }).collect()
}

fn unprintable(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_characters_and_says_so() {
        assert_eq!(cut("rollback", 8), "rollback");
        assert_eq!(cut("rollback", 7), "rollba…");
        assert_eq!(cut("🚨🚨🚨", 6), "🚨🚨🚨");
        assert_eq!(cut("🚨🚨🚨", 5), "🚨🚨…");
        assert_eq!(cut("🚨🚨🚨", 4), "🚨…");
        assert_eq!(cut("ab", 1), "…");
        assert_eq!(cut("ab", 0), "");
    }

    #[test]
    fn a_mapped_character_is_never_cut_in_two() {
        let amp = |c| (c == '&').then_some("&amp;");
        assert_eq!(cut_mapped("a&b", 7, amp), "a&amp;b");
        assert_eq!(cut_mapped("a&bc", 7, amp), "a&amp;…");
        assert_eq!(cut_mapped("a&b", 6, amp), "a…");
    }

    #[test]
    fn control_characters_do_not_reach_people() {
        assert_eq!(one_line("a\r\nb\u{1b}[31m\u{202e}c"), "a  b [31m c");
        assert_eq!(lines("a\nb\0c"), "a\nb c");
    }
}
