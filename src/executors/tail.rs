//! The end of what a program printed, in bounded memory and without its secrets.

/// How much of each stream is kept for people.
pub(super) const SHOWN: usize = 4 * 1024;

/// The last bytes of a stream.
#[derive(Debug)]
pub(super) struct Tail {
    kept: Vec<u8>,
    shown: usize,
    room: usize,
    seen: u64,
}

impl Tail {
    /// Shows so many bytes, and keeps enough that a secret cut by the bound can still be recognised.
    pub(super) fn new(shown: usize, secrets: &[String]) -> Self {
        let longest = secrets.iter().map(String::len).max().unwrap_or(0);
        Self { kept: vec![], shown, room: shown + longest, seen: 0 }
    }

    /// Takes more, forgets the oldest.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.seen += bytes.len() as u64;
        self.kept.extend_from_slice(bytes);
        if self.kept.len() > self.room * 2 {
            self.kept.drain(..self.kept.len() - self.room);
        }
    }

    /// What is left, for people: secrets struck, then cut to the bound.
    pub(super) fn text(&self, secrets: &[String]) -> String {
        let recent = &self.kept[self.kept.len().saturating_sub(self.room)..];
        let hidden = struck(recent, secrets);
        let from = recent.len().saturating_sub(self.shown);
        let cut = self.seen - (recent.len() - from) as u64;
        let mut text = match cut {
            0 => String::new(),
            cut => format!("[{cut} bytes before this]\n"),
        };
        let mut at = from;
        while at < recent.len() {
            let end = (at..recent.len()).find(|&i| hidden[i] != hidden[at]).unwrap_or(recent.len());
            match hidden[at] {
                true => text.push_str("[hidden]"),
                false => text.push_str(&String::from_utf8_lossy(&recent[at..end])),
            }
            at = end;
        }
        text.trim_end().to_owned()
    }
}

/// Which bytes belong to a secret, or to one whole line of a secret of several.
fn struck(bytes: &[u8], secrets: &[String]) -> Vec<bool> {
    let mut hidden = vec![false; bytes.len()];
    let lines = secrets.iter().flat_map(|secret| secret.lines()).filter(|line| line.len() >= 8);
    for secret in secrets.iter().map(String::as_str).chain(lines).filter(|text| !text.is_empty()) {
        for at in memchr::memmem::find_iter(bytes, secret) {
            hidden[at..at + secret.len()].fill(true);
        }
    }
    hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(pieces: &[&[u8]], secrets: &[&str]) -> String {
        let secrets: Vec<String> = secrets.iter().map(|&s| s.to_owned()).collect();
        let mut tail = Tail::new(SHOWN, &secrets);
        pieces.iter().for_each(|piece| tail.push(piece));
        tail.text(&secrets)
    }

    #[test]
    fn secrets_are_struck_whole_even_where_the_bound_cuts_them() {
        assert_eq!(text(&[b"pass ", b"hun", b"ter2 ok\n"], &["hunter2"]), "pass [hidden] ok");
        assert_eq!(text(&[b"none"], &[""]), "none");
        let rest = "x".repeat(SHOWN - 3);
        let shown = text(&[b"....hunter2", rest.as_bytes()], &["hunter2"]);
        assert_eq!(shown, format!("[8 bytes before this]\n[hidden]{rest}"));
        let key = "-----BEGIN KEY-----\nc2VjcmV0IQ==\n-----END KEY-----";
        assert_eq!(text(&[b"got c2VjcmV0IQ== there"], &[key]), "got [hidden] there");
    }

    #[test]
    fn a_chatty_stream_stays_bounded() {
        let mut tail = Tail::new(SHOWN, &[]);
        for _ in 0..1000 {
            tail.push(&[b'y'; 1024]);
            assert!(tail.kept.capacity() <= 4 * SHOWN, "{}", tail.kept.capacity());
        }
        let shown = tail.text(&[]);
        assert!(shown.starts_with("[1019904 bytes before this]\nyyy"));
        assert_eq!(shown.len(), "[1019904 bytes before this]\n".len() + SHOWN);
    }
}
