//! The JSON Schema of the configuration file, for editors.
//!
//! It is made from the structs that the file is read into, so it cannot know other keys than they do: a key that is
//! new does not compile until [`tables`] names it, and its type is taken from the struct. Descriptions and defaults
//! are those of `config/rollbackd.toml`, which tests hold to be true. (Derived it cannot be: nobody may implement a
//! foreign crate's trait for `toml::Spanned`, which stands around most values.)

mod described;
mod tables;
#[cfg(test)]
pub(super) mod tests;
mod values;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::config::raw::Raw;

/// The tables that were met so far, by name: each is described once.
type Tables = BTreeMap<&'static str, Value>;

/// What may stand in a place of the file.
trait Shaped {
    /// Whether a table that has such a key must say it.
    const REQUIRED: bool;

    /// What may stand there.
    fn shape(tables: &mut Tables) -> Value;
}

/// The whole schema, in draft 2020-12.
pub fn schema() -> Value {
    let mut tables = Tables::new();
    Raw::shape(&mut tables);
    let root = tables.remove("Raw").unwrap_or_default();
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "rollbackd configuration",
        "description": "Spans of time are words (\"30s\", \"1h 30m\"), shares are percentages (\"5%\"), \
                        multiples of what is normal end in x (\"3x\"). `rollbackd check FILE` says what a schema cannot.",
        "$defs": tables,
    });
    if let (Some(all), Value::Object(root)) = (schema.as_object_mut(), root) {
        all.extend(root);
    }
    described::describe(&mut schema);
    schema
}
