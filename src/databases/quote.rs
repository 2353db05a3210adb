//! Names and texts as parts of a statement. What is asked has no other parts that come from outside.

use super::Kind;

/// A name of a table or a schema.
pub fn identifier(kind: Kind, name: &str) -> String {
    let mark = match kind {
        Kind::Postgresql => '"',
        Kind::Mysql => '`',
    };
    enclosed(name, mark)
}

/// A text. PostgreSQL reads backslashes as they are (`standard_conforming_strings`), MariaDB and MySQL do not.
pub fn literal(kind: Kind, text: &str) -> String {
    let text = match kind {
        Kind::Postgresql => text.to_owned(),
        Kind::Mysql => text.replace('\\', "\\\\"),
    };
    enclosed(&text, '\'')
}

fn enclosed(text: &str, mark: char) -> String {
    let mut all = String::from(mark);
    // No statement can hold it, and it would end the text for some.
    for c in text.chars().filter(|c| *c != '\0') {
        if c == mark {
            all.push(mark);
        }
        all.push(c);
    }
    all.push(mark);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_and_no_text_ends_before_its_end() {
        assert_eq!(identifier(Kind::Postgresql, "a\"; DROP"), "\"a\"\"; DROP\"");
        assert_eq!(identifier(Kind::Mysql, "a`b"), "`a``b`");
        assert_eq!(literal(Kind::Postgresql, "it's\\"), "'it''s\\'");
        assert_eq!(literal(Kind::Mysql, "it's\\\0"), "'it''s\\\\'");
    }
}
