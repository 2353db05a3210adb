//! Answers about the past, kept as files: a run that was broken off goes on where it was, and a second one asks for nothing twice.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::units::{Span, UnixMs};

/// What one answer is to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    /// The server's address.
    pub server: &'a str,
    /// What was asked.
    pub query: &'a str,
    /// The first time.
    pub from: UnixMs,
    /// The last.
    pub to: UnixMs,
    /// From one to the next.
    pub step: Span,
}

impl Piece<'_> {
    /// How many times it is of.
    pub(super) fn points(&self) -> i64 {
        self.to.since(self.from).ms() / self.step.ms().max(1) + 1
    }

    /// The same in two.
    pub(super) fn halves(self) -> [Self; 2] {
        let first = self.from + self.step * (self.points() / 2 - 1);
        [Self { to: first, ..self }, Self { from: first + self.step, ..self }]
    }
}

/// A directory of answers.
#[derive(Clone, Debug)]
pub struct Kept {
    dir: PathBuf,
}

impl Kept {
    /// Opens it, or makes it: readable by nobody else.
    pub fn open(dir: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn get(&self, piece: &Piece<'_>) -> Option<Vec<u8>> {
        fs::read(self.path(piece)).ok()
    }

    /// Keeps an answer, whole or not at all.
    pub(super) fn put(&self, piece: &Piece<'_>, body: &[u8]) -> io::Result<()> {
        let path = self.path(piece);
        let begun = path.with_extension(format!("{}.begun", std::process::id()));
        let mut file =
            OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&begun)?;
        file.write_all(body)?;
        fs::rename(begun, path)
    }

    fn path(&self, piece: &Piece<'_>) -> PathBuf {
        let Piece { server, query, from, to, step } = piece;
        let key = format!("{server}\n{query}\n{}\n{}\n{}", from.0, to.0, step.0);
        let name: String =
            Sha256::digest(key).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        self.dir.join(format!("{name}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(from: i64, to: i64) -> Piece<'static> {
        let (server, query, step) = ("http://a/", "up", Span(15));
        Piece { server, query, from: UnixMs(from), to: UnixMs(to), step }
    }

    #[test]
    fn what_was_kept_is_found_for_the_same_question_only() {
        let home = tempfile::tempdir().unwrap();
        let kept = Kept::open(&home.path().join("a/b")).unwrap();
        kept.put(&piece(0, 150), b"answer").unwrap();
        assert_eq!(kept.get(&piece(0, 150)).as_deref(), Some(&b"answer"[..]));
        assert_eq!(kept.get(&piece(0, 165)), None);
        assert_eq!(kept.get(&Piece { query: "down", ..piece(0, 150) }), None);
        assert_eq!(kept.get(&Piece { server: "http://b/", ..piece(0, 150) }), None);
        assert_eq!(fs::read_dir(kept.dir()).unwrap().count(), 1, "nothing half done is left");
    }

    #[test]
    fn two_halves_are_the_whole() {
        for last in [15, 30, 150, 165] {
            let [one, other] = piece(0, last).halves();
            assert_eq!((one.from, other.to), (UnixMs(0), UnixMs(last)));
            assert_eq!(one.to + Span(15), other.from);
            assert_eq!(one.points() + other.points(), piece(0, last).points());
        }
    }
}
