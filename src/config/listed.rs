//! Looks whether lists of targets say anything yet: `check`. Nobody is kept from starting by one that does not, for
//! whatever writes it may begin later.

use std::path::Path;

use super::{Config, Level, Problem, online::place};
use crate::sources::scrape::Place;

const BEGIN: &str = "let what knows the targets write it, so that the daemon may read it: until then nothing is known";

/// A warning for each file that lists no targets now. `name` and `text` are what the configuration was loaded from.
pub fn check_lists(config: &Config, name: &str, text: &str) -> Vec<Problem> {
    let mut problems: Vec<Problem> = vec![];
    for target in config.targets.values() {
        let Place::Listed(list) = target else { continue };
        let Some((path, looked)) = list.look_now() else { continue };
        let Some((what, instead)) = verdict(path, looked, list.targets_max) else { continue };
        let path = path.to_string_lossy();
        let mut problem = match place(text, &path) {
            Some(at) => Problem::error(name, text, at, what, instead),
            // A template filled it in.
            None => Problem::of_file(name, format!("`file`: {what}"), instead),
        };
        problem.level = Level::Warning;
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
    problems
}

fn verdict(
    path: &Path,
    looked: Result<usize, String>,
    most: usize,
) -> Option<(String, &'static str)> {
    match looked {
        Ok(0) => Some((format!("no targets are listed in {}", path.display()), BEGIN)),
        Ok(count) if count > most => {
            let what =
                format!("{count} targets are listed in {}, and {most} are allowed", path.display());
            Some((what, "raise targets_max: until then nothing is known"))
        }
        Ok(_) => None,
        Err(what) if !path.exists() => Some((what, BEGIN)),
        Err(what) => Some((what, "correct it: until then nothing is known")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::load_text;

    #[test]
    fn a_list_that_says_nothing_yet_is_a_warning_where_it_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name).display().to_string();
        let scrape = |file: &str, more: &str| {
            format!(
                "scrape.file = \"{file}\"\n{more}\nsignal.e.scrape = {{ bad = 'b', total = 't' }}\n\
                 signal.e.kind = \"error_rate\"\nwatch_only = true\n"
            )
        };
        let text = format!(
            "[service.a]\n{}[service.b]\n{}[service.c]\n{}[service.d]\n{}[template.all]\n{}[service.e]\ntemplate = \"all\"\n",
            scrape(&file("gone.json"), ""),
            scrape(&file("empty.json"), ""),
            scrape(&file("full.json"), ""),
            scrape(&file("broken.yml"), "scrape.targets_max = 1"),
            scrape(&file("{service}.json"), ""),
        );
        fs::write(file("empty.json"), r#"[{"targets": []}]"#).unwrap();
        fs::write(file("full.json"), r#"[{"targets": ["a:1"]}]"#).unwrap();
        fs::write(file("broken.yml"), "- targets:\n  - a:1\n bad\n").unwrap();
        let (config, warnings) =
            load_text("rollbackd.toml", &text).unwrap_or_else(|p| panic!("{p:?}"));
        assert_eq!(warnings, [], "a daemon does not look");
        let check = || check_lists(&config, "rollbackd.toml", &text);
        let problems = check();
        assert!(problems.iter().all(|problem| problem.level == Level::Warning), "{problems:?}");
        let told: Vec<(usize, &str)> =
            problems.iter().map(|problem| (problem.line, problem.what.as_str())).collect();
        assert_eq!(told.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 8, 20, 0]);
        for (says, at) in [
            ("gone.json cannot be read: No such file", 0),
            ("no targets are listed in", 1),
            ("line 3", 2),
            ("`file`: the targets in", 3),
        ] {
            assert!(told[at].1.contains(says), "{told:?}");
        }
        assert!(problems[0].instead.contains("let what knows the targets write it"));
        fs::write(file("broken.yml"), "- targets: [a:1, b:1]\n").unwrap();
        assert!(check()[2].instead.contains("targets_max"), "{:?}", check()[2]);
    }
}
