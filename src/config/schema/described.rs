//! Takes what `config/rollbackd.toml` says of each key into the schema: its comment, and its default.

use serde_json::{Value, json};

/// Every key with its comment. Tests hold that nothing in it is false and nothing is missing.
const DOCUMENTED: &str = include_str!("../../../config/rollbackd.toml");

/// Tables of which each instance has defaults of its own.
const OWN_DEFAULTS: [&str; 2] = ["severity", "trigger"];

/// Adds descriptions and defaults. Where several tables are alike, the first that says something is taken.
pub(super) fn describe(schema: &mut Value) {
    let mut table: Vec<String> = vec![];
    let mut comment = Comment::default();
    let mut has_defaults = true;
    for line in DOCUMENTED.lines() {
        if let Some(text) = line.strip_prefix("# ") {
            has_defaults &= !text.starts_with("====");
            comment.add(text);
            continue;
        }
        let line = line.strip_prefix('#').unwrap_or(line);
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            table = header.split('.').map(str::to_owned).collect();
            say(schema, &table, "description", json!(comment.text));
            comment = Comment::default();
        } else if let Some((key, rest)) = line.split_once(" = ") {
            let path: Vec<String> = table.iter().cloned().chain([key.to_owned()]).collect();
            let (value, beside) = rest.split_once("  #").unwrap_or((rest, ""));
            // What else could stand there the schema says by itself.
            let beside = beside.trim();
            let beside = if beside.starts_with("or ") { "" } else { beside };
            let said = format!("{} {beside}", comment.text).trim().to_owned();
            say(schema, &path, "description", json!(said));
            let own = table.first().is_some_and(|first| OWN_DEFAULTS.contains(&first.as_str()));
            if let Some(value) = default(value).filter(|_| has_defaults && !own) {
                say(schema, &path, "default", value);
            }
            comment.is_used = true;
        } else {
            comment = Comment::default();
        }
    }
}

/// What stands above a key: for it, and for those below it that have no comment of their own.
#[derive(Default)]
struct Comment {
    text: String,
    is_used: bool,
}

impl Comment {
    fn add(&mut self, line: &str) {
        // A line of dashes begins a part; what follows them is about its first table.
        let line = line.trim_start_matches("---- ").trim();
        let before = if self.is_used { "" } else { self.text.as_str() };
        *self = Self { text: format!("{before} {line}").trim().to_owned(), is_used: false };
    }
}

fn default(text: &str) -> Option<Value> {
    let table: toml::Table = format!("it = {text}").parse().ok()?;
    serde_json::to_value(table.get("it")?).ok()
}

fn say(schema: &mut Value, path: &[String], what: &str, text: Value) {
    if text == json!("") {
        return;
    }
    let Some(place) = place(schema, String::new(), path) else { return };
    if let Some(Value::Object(there)) = schema.pointer_mut(&place) {
        there.entry(what).or_insert(text);
    }
}

/// Where in the schema a path of the file is described, as a JSON pointer.
fn place(schema: &Value, at: String, path: &[String]) -> Option<String> {
    let Some((key, rest)) = path.split_first() else { return Some(at) };
    let here = schema.pointer(&at)?;
    let table = match here.get("$ref").and_then(Value::as_str) {
        Some(other) => other.trim_start_matches('#').to_owned(),
        None => at,
    };
    let named = format!("{table}/properties/{key}");
    let any = format!("{table}/additionalProperties");
    let next =
        [named, any].into_iter().find(|next| schema.pointer(next).is_some_and(Value::is_object));
    place(schema, next?, rest)
}
