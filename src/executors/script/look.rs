//! Which scripts there are. Looks only.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use crate::domain::{
    runbook::PLACES,
    schema::script::{BYTES_MAX, Script, ScriptRun, sha256},
};

/// The newest so many are read.
const FILES_MAX: usize = 50;

/// All files that a pattern can mean, whatever stands for `{release}`, `{from}` and `{to}`.
pub async fn scripts(pattern: &str) -> Result<Vec<Script>, String> {
    let pattern = pattern.to_owned();
    let found = tokio::task::spawn_blocking(move || {
        let mut paths = vec![];
        found(Path::new("/"), pattern.trim_start_matches('/'), &mut paths)?;
        paths.sort_by_key(|(_, written)| std::cmp::Reverse(*written));
        paths.truncate(FILES_MAX);
        Ok(paths.into_iter().map(|(path, _)| read(&path)).collect())
    });
    found.await.unwrap_or_else(|error| Err(error.to_string()))
}

type Found = Vec<(PathBuf, Option<std::time::SystemTime>)>;

/// Component by component: only those with a place in them are looked for.
fn found(dir: &Path, rest: &str, all: &mut Found) -> Result<(), String> {
    let (name, rest) = match rest.split_once('/') {
        Some((name, rest)) => (name, Some(rest)),
        None => (rest, None),
    };
    if !PLACES.iter().any(|place| name.contains(place)) {
        return match rest {
            Some(rest) => found(&dir.join(name), rest, all),
            None => {
                add(dir.join(name), all);
                Ok(())
            }
        };
    }
    let unreadable = |error: std::io::Error| format!("{} cannot be read: {error}", dir.display());
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unreadable(error)),
    };
    for entry in entries {
        let entry = entry.map_err(unreadable)?;
        let fits = entry.file_name().to_str().is_some_and(|it| fits(it, name));
        match rest.filter(|_| fits) {
            Some(rest) if entry.path().is_dir() => found(&entry.path(), rest, all)?,
            Some(_) => {}
            None if fits => add(entry.path(), all),
            None => {}
        }
    }
    Ok(())
}

fn add(path: PathBuf, all: &mut Found) {
    // What is not there is no script.
    if let Some(meta) = fs::metadata(&path).ok().filter(fs::Metadata::is_file) {
        all.push((path, meta.modified().ok()));
    }
}

/// Whether a name is the pattern with something in each of its places.
fn fits(name: &str, pattern: &str) -> bool {
    let parts: Vec<String> = PLACES
        .iter()
        .fold(pattern.to_owned(), |text, place| text.replace(place, "\0"))
        .split('\0')
        .map(str::to_owned)
        .collect();
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return false };
    let long_enough = name.len() >= parts.iter().map(String::len).sum::<usize>();
    let Some(mut middle) =
        name.strip_prefix(first.as_str()).and_then(|it| it.strip_suffix(last.as_str()))
    else {
        return false;
    };
    for part in parts.iter().skip(1).take(parts.len().saturating_sub(2)) {
        let Some((_, rest)) = middle.split_once(part.as_str()) else { return false };
        middle = rest;
    }
    long_enough
}

fn read(path: &Path) -> Script {
    let file = path.display().to_string();
    match content(path) {
        Ok(content) => Script::of(&file, &content),
        Err(why) => Script { barred: Some(why), ..Script::of(&file, b"") },
    }
}

fn content(path: &Path) -> Result<Vec<u8>, String> {
    let mut content = vec![];
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(BYTES_MAX + 1).read_to_end(&mut content).map_err(|error| error.to_string())?;
    match content.len() as u64 > BYTES_MAX {
        true => Err(format!("it is larger than {} KiB", BYTES_MAX >> 10)),
        false => Ok(content),
    }
}

/// What the file says, where that is what a plan was made with.
pub(super) async fn unchanged(of: &ScriptRun) -> Result<String, String> {
    let path = PathBuf::from(&of.file);
    let content = tokio::task::spawn_blocking(move || content(&path)).await;
    let content = content.unwrap_or_else(|error| Err(error.to_string()));
    let content = content.map_err(|why| format!("{} cannot be read: {why}", of.file))?;
    let is = sha256(&content);
    if is != of.sha256 {
        return Err(format!(
            "{} was changed: its sha256 is {is}, and that of what was approved is {}. Nothing was begun",
            of.file, of.sha256
        ));
    }
    let script = Script::of(&of.file, &content);
    if let Some(why) = script.barred {
        return Err(format!("{} cannot be run: {why}", of.file));
    }
    String::from_utf8(content).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fits_where_something_stands_in_each_place() {
        assert!(fits("6-to-5.sql", "{from}-to-{to}.sql"));
        assert!(
            !fits("6-to-5.sql~", "{from}-to-{to}.sql") && !fits("6to5.sql", "{from}-to-{to}.sql")
        );
        assert!(!fits("a.sq", "a.sql") && fits("r42", "r{release}") && !fits("aa", "aa{from}a"));
    }

    #[tokio::test]
    async fn scripts_are_found_below_what_is_named_by_a_release_and_a_large_one_is_barred() {
        let dir = tempfile::tempdir().unwrap();
        for release in ["41", "42"] {
            fs::create_dir_all(dir.path().join(release)).unwrap();
            fs::write(dir.path().join(release).join("reverse.sql"), "SELECT 1;").unwrap();
        }
        fs::write(dir.path().join("42/other.sql"), "x").unwrap();
        fs::write(dir.path().join("43"), "x").unwrap();
        let pattern = format!("{}/{{release}}/reverse.sql", dir.path().display());
        let mut found = scripts(&pattern).await.unwrap();
        found.sort_by(|a, b| a.file.cmp(&b.file));
        assert_eq!(found.len(), 2);
        assert!(found[1].file.ends_with("/42/reverse.sql") && found[1].barred.is_none());
        fs::write(&found[1].file, vec![b' '; (BYTES_MAX + 1) as usize]).unwrap();
        let one = scripts(&found[1].file).await.unwrap();
        assert!(one[0].barred.as_ref().unwrap().contains("larger than 1024 KiB"));
        let none = scripts(&format!("{}/no/{{from}}.sql", dir.path().display())).await;
        assert_eq!(none, Ok(vec![]));
    }
}
