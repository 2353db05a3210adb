//! The rules: each reads one file and says what is wrong with it. Every one has a test that shows it fail.

use crate::source::{Source, before_tests, below, words};

/// A rule, as `every_rule_holds_everywhere` runs it over the whole tree.
pub(crate) type Rule = fn(&Source) -> Vec<String>;

/// Who may import whom, by first module below the crate's root. A module's own children are always allowed.
const IMPORTS: &[(&str, &[&str])] = &[
    ("units", &[]),
    ("tls", &[]),
    ("causes", &[]),
    ("domain", &["units"]),
    ("kubernetes", &["domain", "units", "tls", "causes"]),
    ("databases", &["domain", "units", "tls", "aws"]),
    ("aws", &["domain", "units", "tls", "causes"]),
    ("sources", &["domain", "units", "tls", "causes", "kubernetes", "databases", "aws"]),
    ("notifiers", &["domain", "units", "tls", "aws"]),
    ("store", &["domain", "units"]),
    // And store::Lease, which whoever changes the world must hold: see `only_the_lease`.
    ("executors", &["domain", "units", "tls", "causes", "kubernetes", "databases", "aws", "store"]),
    // The event loop from outside: who tells it something needs no more of the daemon.
    ("handle", &["domain", "units", "store"]),
    // What is counted of everything inside; only the daemon and the command line count.
    ("telemetry", &["domain", "units", "notifiers", "store"]),
    ("http", &["domain", "units", "tls", "aws", "sources", "store", "config", "handle"]),
    (
        "config",
        &[
            "domain",
            "units",
            "kubernetes",
            "databases",
            "aws",
            "sources",
            "notifiers",
            "store",
            "executors",
        ],
    ),
    (
        "daemon",
        &[
            "domain",
            "units",
            "tls",
            "kubernetes",
            "databases",
            "aws",
            "telemetry",
            "sources",
            "notifiers",
            "store",
            "executors",
            "handle",
            "http",
            "config",
        ],
    ),
    ("replay", &["domain", "units", "telemetry", "sources", "store", "config", "daemon"]),
    (
        "demo",
        &[
            "domain",
            "units",
            "tls",
            "kubernetes",
            "databases",
            "aws",
            "telemetry",
            "sources",
            "notifiers",
            "store",
            "executors",
            "handle",
            "http",
            "config",
            "daemon",
        ],
    ),
];

/// The outermost ring: these may import everything.
const OUTERMOST: &[&str] = &["cli", "main", "lib"];

/// Imports point inwards: `units <- domain <- adapters <- http, config <- daemon <- cli, main`.
pub(crate) fn imports_point_inwards(file: &Source) -> Vec<String> {
    let Some(own) = file.top_module() else { return vec![] };
    if OUTERMOST.contains(&own) {
        return vec![];
    }
    let Some((_, allowed)) = IMPORTS.iter().find(|(module, _)| *module == own) else {
        return vec![format!(
            "{}: the module `{own}` is not in the table of imports (tests/tidy/rules.rs); say what it may import",
            file.path
        )];
    };
    let code = file.code();
    let outwards = below(&code, "crate")
        .into_iter()
        .filter(|(_, to)| *to != own && !allowed.contains(to))
        .map(|(at, to)| file.at(at, &format!("`{own}` must not import `{to}`")));
    // A test has to open a store to have a lease at all.
    let takes_leases = own == "executors" && !file.path.starts_with("src/executors/tests/");
    let more_than_the_lease = below(&code, "crate")
        .into_iter()
        .filter(|(at, to)| takes_leases && *to == "store" && !only_the_lease(&code[*at..]))
        .map(|(at, _)| file.at(at, "`executors` may import `store::Lease` and no more of `store`"));
    outwards.chain(more_than_the_lease).chain(roundabout(file, &code)).collect()
}

fn only_the_lease(from_store: &str) -> bool {
    let path: String =
        from_store.chars().take_while(|c| c.is_alphanumeric() || ":_{}".contains(*c)).collect();
    matches!(
        path.as_str(),
        "store::Lease" | "store::lease::Lease" | "store::{Lease}" | "store::lease::{Lease}"
    )
}

/// `super::super` could reach anything, and `super` from a first-level module is the crate's root.
fn roundabout(file: &Source, code: &str) -> Vec<String> {
    let first_level =
        file.path.matches('/').count() == 1 || file.path.ends_with("/mod.rs") && is_shallow(file);
    below(code, "super")
        .into_iter()
        .filter(|(at, to)| *to == "super" || first_level && *at < before_tests(code).len())
        .map(|(at, _)| file.at(at, "say `crate::...`, so that the import can be checked"))
        .collect()
}

fn is_shallow(file: &Source) -> bool {
    file.path.matches('/').count() == 2
}

/// What would let the domain read a clock, wait, talk, draw lots or depend on the order of a hash.
const NOT_IN_DOMAIN: &[&str] = &[
    "Instant",
    "SystemTime",
    "Zoned",
    "HashMap",
    "HashSet",
    "RandomState",
    "async",
    "await",
    "thread_local",
    "OnceLock",
    "LazyLock",
    "Mutex",
    "RwLock",
];

/// The same for crates, modules and macros, whose names are also ordinary words: as `name::` or `name!`.
const NOT_USED_IN_DOMAIN: &[&str] = &[
    "tokio", "reqwest", "rusqlite", "axum", "metrics", "tracing", "rand", "thread", "print",
    "println", "eprint", "eprintln", "dbg",
];

/// The parts of `std` that are the outside world.
const STD_NOT_IN_DOMAIN: &[&str] = &["fs", "net", "env", "process", "io", "thread", "os"];

/// The domain is pure: no clock, no I/O, no randomness, no async. (Its tests may read vectors.)
pub(crate) fn the_domain_is_pure(file: &Source) -> Vec<String> {
    if file.top_module() != Some("domain") || file.is_test() {
        return vec![];
    }
    let code = file.code();
    let code = before_tests(&code);
    let named = words(code).filter(|(at, word)| {
        let after = code[at + word.len()..].trim_start();
        let used = after.starts_with("::") || after.starts_with('!') && !after.starts_with("!=");
        NOT_IN_DOMAIN.contains(word) || NOT_USED_IN_DOMAIN.contains(word) && used
    });
    let reached =
        below(code, "std").into_iter().filter(|(_, word)| STD_NOT_IN_DOMAIN.contains(word));
    let now = code.match_indices("::now").map(|(at, _)| (at, "now"));
    named
        .chain(reached)
        .chain(now)
        .map(|(at, word)| file.at(at, &format!("the domain is pure and must not know `{word}`")))
        .collect()
}

/// Production code is the same whether it is tested or not.
pub(crate) fn production_code_has_no_test_hooks(file: &Source) -> Vec<String> {
    if !file.path.starts_with("src/") || file.is_test() {
        return vec![];
    }
    let code = file.code();
    let hooks = conditions(&code)
        .filter(|(_, condition)| words(condition).any(|(_, word)| word == "test"))
        .filter(|(at, _)| !is_only_on_mod_tests(&code[*at..]))
        .map(|(at, _)| file.at(at, "`cfg(test)` belongs on a module of tests alone"));
    let text = file.code_and_strings();
    let production = before_tests(&text);
    let switches = production
        .split('"')
        .zip(std::iter::once(0).chain(production.match_indices('"').map(|(at, _)| at)))
        .skip(1)
        .filter(|(text, _)| is_test_switch(text))
        .map(|(text, at)| file.at(at, &format!("`{text}` switches production code for tests")));
    hooks.chain(switches).collect()
}

/// Every `cfg(...)`, `cfg!(...)` and `cfg_attr(...)`: where it starts, and what is between its parentheses.
fn conditions(code: &str) -> impl Iterator<Item = (usize, &str)> {
    words(code).filter(|(_, word)| matches!(*word, "cfg" | "cfg_attr")).map(|(at, word)| {
        let inside = code[at + word.len()..].trim_start_matches(['!', ' ', '(']);
        let mut open = 1;
        let end = inside.find(|c| {
            open += i32::from(c == '(') - i32::from(c == ')');
            open == 0
        });
        (at, &inside[..end.unwrap_or(inside.len())])
    })
}

fn is_only_on_mod_tests(from_condition: &str) -> bool {
    let Some(item) = from_condition.strip_prefix("cfg(test)]") else { return false };
    let mut words =
        words(item).map(|(_, word)| word).skip_while(|w| matches!(*w, "pub" | "crate" | "super"));
    // A module of its own file: tests, the stories they tell, the world they need.
    words.next() == Some("mod") && words.next().is_some_and(|name| TEST_MODULES.contains(&name))
}

/// Modules that exist for tests alone.
const TEST_MODULES: &[&str] = &["tests", "stories", "examples", "fake"];

fn is_test_switch(literal: &str) -> bool {
    !literal.is_empty()
        && literal.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
        && ["TEST", "MOCK", "FAKE"].iter().any(|word| literal.contains(word))
}

/// Nothing is longer than this, tests included.
const LINES: usize = 500;

/// Files that may be longer, and why.
const LONGER: &[(&str, &str)] = &[];

/// A file that does not fit one's head is two files.
pub(crate) fn files_stay_small(file: &Source) -> Vec<String> {
    let lines = file.text.lines().count();
    if lines <= LINES || LONGER.iter().any(|(path, _)| *path == file.path) {
        return vec![];
    }
    vec![format!("{}: {lines} lines; at most {LINES}: what are its two subjects?", file.path)]
}

/// Names that say nothing, and grow.
pub(crate) fn names_say_something(file: &Source) -> Vec<String> {
    const ATTICS: &[&str] = &["core", "engine", "manager", "util", "utils", "helpers", "misc"];
    let stem = file.path.trim_end_matches(".rs");
    stem.split('/')
        .filter(|part| ATTICS.contains(part))
        .map(|part| format!("{}: `{part}` is no name; say what it is", file.path))
        .collect()
}

/// What is here works and is run: nothing put off, nothing switched off.
pub(crate) fn nothing_is_put_off(file: &Source) -> Vec<String> {
    let code = file.code();
    words(&code)
        .filter(|(at, word)| match *word {
            // A process that another test starts is no test put off.
            "ignore" => {
                code[..*at].trim_end().ends_with('[')
                    && !file.code_and_strings().contains("ignore = \"the process that")
            }
            "todo" | "unimplemented" => code[at + word.len()..].starts_with('!'),
            _ => false,
        })
        .map(|(at, word)| file.at(at, &format!("`{word}` puts work off; do it or leave it out")))
        .collect()
}

/// Test files in which something may sleep, and why.
const MAY_SLEEP: &[(&str, &str)] = &[
    (
        "tests/it/rig.rs",
        "`eventually` polls other processes, which have no other way to tell; it is bounded",
    ),
    ("src/sources/http/tests.rs", "a server that says nothing for a while is what is tested"),
];

/// A test that sleeps is slow when it passes and wrong when the machine is busy: wait for something.
pub(crate) fn tests_do_not_sleep(file: &Source) -> Vec<String> {
    if MAY_SLEEP.iter().any(|(path, _)| *path == file.path) {
        return vec![];
    }
    let code = file.code();
    let tests = if file.is_test() { 0 } else { before_tests(&code).len() };
    words(&code)
        .filter(|(at, word)| *at >= tests && matches!(*word, "sleep" | "sleep_until" | "sleep_ms"))
        .map(|(at, _)| {
            file.at(at, "a test waits for something (rig::eventually), it does not sleep")
        })
        .collect()
}

/// Where the project was written is nobody's business: no path of a developer's own machine.
pub(crate) fn no_paths_of_a_developers_machine(file: &Source) -> Vec<String> {
    // In pieces, so that this file passes.
    let foreign = [
        ["/wo", "rk/"],
        ["../sha", "red"],
        ["sha", "red/design"],
        ["/tmp/", "wt"],
        ["/ro", "ot/"],
        ["/ho", "me/"],
    ]
    .map(|pieces| pieces.concat());
    foreign
        .iter()
        .flat_map(|path| file.text.match_indices(path.as_str()))
        .filter(|(at, _)| !file.text[..*at].ends_with(|c: char| c.is_alphanumeric()))
        .map(|(at, path)| file.at(at, &format!("`{path}` is a path of somebody's machine")))
        .collect()
}
