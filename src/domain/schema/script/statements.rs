//! What in a script would leave the transaction in which it is run, told by its text before anybody runs it.
//!
//! The text is read as PostgreSQL reads it: what stands in a text, a comment or a body in dollar quotes is no statement. Bodies need not be
//! read, for the server refuses what ends a transaction there while one is open around it.

/// Words with which a statement begins that begins or ends a transaction, or a part of one.
const CONTROL: [&str; 9] =
    ["ABORT", "BEGIN", "COMMIT", "END", "PREPARE", "RELEASE", "ROLLBACK", "SAVEPOINT", "START"];

/// Why a script cannot be run in one transaction of ours; with its line and what to write instead.
pub fn bars(sql: &str) -> Option<String> {
    let mut reader = Reader { rest: sql, line: 1, at_begin: true, statements: 0 };
    match reader.read() {
        Ok(()) if reader.statements == 0 => Some("there is no statement in it".to_owned()),
        Ok(()) => None,
        Err(why) => Some(format!("line {}: {why}", reader.line)),
    }
}

struct Reader<'s> {
    rest: &'s str,
    line: usize,
    /// Whether the next word begins a statement.
    at_begin: bool,
    statements: usize,
}

impl Reader<'_> {
    fn read(&mut self) -> Result<(), String> {
        while let Some(first) = self.rest.chars().next() {
            match first {
                '\0' => return Err("there is a zero byte, which no server reads".to_owned()),
                ';' => {
                    self.skip(1);
                    self.at_begin = true;
                }
                _ if first.is_ascii_whitespace() => self.skip(1),
                '-' if self.rest.starts_with("--") => {
                    let end = self.rest.find('\n').unwrap_or(self.rest.len());
                    self.skip(end);
                }
                '/' if self.rest.starts_with("/*") => self.comment()?,
                '\\' => {
                    let what = "a command with a backslash is psql's own, and not the server's";
                    return Err(format!("{what}: write out what it stands for"));
                }
                '\'' => self.quoted('\'', false)?,
                '"' => self.quoted('"', false)?,
                '$' => self.dollar()?,
                _ if is_of_a_name(first) && !first.is_ascii_digit() => self.word()?,
                _ => {
                    self.begun();
                    self.skip(first.len_utf8());
                }
            }
        }
        Ok(())
    }

    fn begun(&mut self) {
        self.statements += usize::from(self.at_begin);
        self.at_begin = false;
    }

    fn skip(&mut self, bytes: usize) {
        let (gone, rest) = self.rest.split_at(bytes);
        self.line += gone.matches('\n').count();
        self.rest = rest;
    }

    fn word(&mut self) -> Result<(), String> {
        let end = self.rest.find(|c| !is_of_a_name(c) && c != '$').unwrap_or(self.rest.len());
        let word = self.rest[..end].to_uppercase();
        if self.at_begin && CONTROL.contains(&word.as_str()) {
            let why = "would leave the one transaction in which all of it is run, or nothing";
            return Err(format!("{word} {why}: leave it out"));
        }
        if self.at_begin && word == "COPY" {
            let why = "COPY reads or writes outside of the database, where nothing is taken back";
            return Err(format!("{why}: write INSERT, or do it by hand"));
        }
        self.begun();
        self.skip(end);
        if word == "E" && self.rest.starts_with('\'') { self.quoted('\'', true) } else { Ok(()) }
    }

    /// A text or a name, in which the mark stands for itself where it is doubled.
    fn quoted(&mut self, mark: char, with_backslashes: bool) -> Result<(), String> {
        self.begun();
        let mut chars = self.rest.char_indices().skip(1).peekable();
        while let Some((at, c)) = chars.next() {
            if with_backslashes && c == '\\' {
                chars.next();
            } else if c == mark && chars.next_if(|(_, next)| *next == mark).is_none() {
                self.skip(at + c.len_utf8());
                return Ok(());
            }
        }
        Err(format!("what {mark} begins here never ends"))
    }

    /// They may stand in one another.
    fn comment(&mut self) -> Result<(), String> {
        let (mut depth, mut at) = (1_usize, 2);
        while depth > 0 {
            let rest = &self.rest[at..];
            let next = [rest.find("/*"), rest.find("*/")];
            match next {
                [Some(open), Some(close)] if open < close => {
                    (depth, at) = (depth + 1, at + open + 2)
                }
                [_, Some(close)] => (depth, at) = (depth - 1, at + close + 2),
                [_, None] => return Err("the comment that begins here never ends".to_owned()),
            }
        }
        self.skip(at);
        Ok(())
    }

    /// `$$…$$` or `$body$…$body$`; any other is a character as any.
    fn dollar(&mut self) -> Result<(), String> {
        self.begun();
        let end = self.rest[1..].find(|c| !is_of_a_name(c));
        let tag = end.and_then(|end| self.rest.get(..end + 2));
        let is_tag =
            |tag: &&str| tag.ends_with('$') && !tag[1..].starts_with(|c: char| c.is_ascii_digit());
        let Some(tag) = tag.filter(is_tag) else {
            self.skip(1);
            return Ok(());
        };
        match self.rest[tag.len()..].find(tag) {
            Some(end) => {
                self.skip(tag.len() + end + tag.len());
                Ok(())
            }
            None => Err(format!("what {tag} begins here never ends")),
        }
    }
}

/// As there: whatever is beyond ASCII is a letter.
fn is_of_a_name(c: char) -> bool {
    !c.is_ascii() || c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_or_ends_a_transaction_is_found_wherever_a_statement_begins() {
        for (sql, told) in [
            ("COMMIT", "line 1: COMMIT would leave"),
            ("SELECT 1;\n\n  commit;", "line 3: COMMIT"),
            ("SELECT 1; /* ; */ Rollback TO a", "ROLLBACK"),
            ("-- x\nbegin;", "line 2: BEGIN"),
            ("SELECT '\\'; COMMIT; --'", "COMMIT"),
            ("SELECT E'a''b'; END", "END"),
            ("SELECT $$;$$; START TRANSACTION", "START"),
            ("SELECT a$$b FROM c; COMMIT", "COMMIT"),
            ("SELECT ü'\\'; COMMIT; --'", "COMMIT"),
            ("SELECT üe'\\'; COMMIT; --'", "COMMIT"),
            ("PREPARE TRANSACTION 'x'", "PREPARE"),
            ("\\i other.sql", "psql's own"),
            ("COPY a TO '/tmp/x'", "outside of the database"),
            ("SELECT 'a", "never ends"),
            ("/* /* */ SELECT 1;", "the comment that begins here never ends"),
            (" -- nothing\n;", "no statement"),
            ("SELECT 1\0", "zero byte"),
        ] {
            let why = bars(sql).unwrap_or_else(|| panic!("{sql:?} is let through"));
            assert!(why.contains(told), "{sql:?}: {why}");
        }
    }

    #[test]
    fn what_only_looks_like_it_is_let_through() {
        for sql in [
            "DELETE FROM a WHERE b = 'COMMIT;'",
            "SELECT E'it\\'s; COMMIT;'",
            "SELECT 'it''s; COMMIT;'",
            "DO $$ BEGIN PERFORM 1; COMMIT; END $$",
            "CREATE FUNCTION f() RETURNS int AS $body$ BEGIN; $$ COMMIT; $$ END $body$ LANGUAGE plpgsql",
            "/* a /* ; COMMIT; */ b */ SELECT 1",
            "ALTER TABLE \"x; COMMIT;\" DROP COLUMN commit",
            "SELECT CASE WHEN a THEN 1 END FROM b; -- COMMIT",
            "SELECT 1 AS start; ",
            "SELECT $1$$;COMMIT;$$",
            "SELECT 'ü; COMMIT', \"ß\"",
        ] {
            assert_eq!(bars(sql), None, "{sql}");
        }
    }
}
