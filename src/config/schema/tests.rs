use std::collections::BTreeSet;

use regex_lite::Regex;
use serde_json::{Map, Value};

use super::*;
use crate::{
    config::{
        document,
        raw::Above,
        tests::documented::{DOCUMENTED, EXAMPLES, parts, uncommented},
    },
    units::{Multiple, Percent, Span},
};

const COMMITTED: &str = include_str!("../../../config/rollbackd.schema.json");

/// What is wrong with a value, as far as this schema says things: enough of JSON Schema for it.
fn faults(schema: &Value, at: &Value, value: &Value, path: &str, wrong: &mut Vec<String>) {
    let Value::Object(says) = at else { panic!("no schema at {path}: {at}") };
    for (word, says) in says {
        let holds = match word.as_str() {
            "$ref" => {
                let other = schema.pointer(&says.as_str().unwrap()[1..]).unwrap();
                faults(schema, other, value, path, wrong);
                true
            }
            "type" => is_a(value, says.as_str().unwrap()),
            "enum" => says.as_array().unwrap().contains(value),
            "const" => says == value,
            "pattern" => {
                let pattern = Regex::new(says.as_str().unwrap()).unwrap();
                value.as_str().is_none_or(|text| pattern.is_match(text))
            }
            "minimum" => value.as_f64().is_none_or(|n| n >= says.as_f64().unwrap()),
            "minProperties" => count(value) >= says.as_u64().unwrap(),
            "maxProperties" => count(value) <= says.as_u64().unwrap(),
            "required" => {
                let missing = |key: &Value| value.get(key.as_str().unwrap()).is_none();
                !says.as_array().unwrap().iter().any(missing)
            }
            "items" => {
                for (index, value) in value.as_array().into_iter().flatten().enumerate() {
                    faults(schema, says, value, &format!("{path}[{index}]"), wrong);
                }
                true
            }
            "anyOf" => says.as_array().unwrap().iter().any(|one| {
                let mut wrong = vec![];
                faults(schema, one, value, path, &mut wrong);
                wrong.is_empty()
            }),
            "properties" => {
                for (key, value) in value.as_object().into_iter().flatten() {
                    if let Some(known) = says.get(key) {
                        faults(schema, known, value, &format!("{path}.{key}"), wrong);
                    }
                }
                true
            }
            "additionalProperties" => {
                let known =
                    |key: &String| at.pointer("/properties").is_some_and(|p| p.get(key).is_some());
                for (key, value) in
                    value.as_object().into_iter().flatten().filter(|(key, _)| !known(key))
                {
                    if *says == Value::Bool(false) {
                        wrong.push(format!("{path}.{key}: unknown"));
                    } else {
                        faults(schema, says, value, &format!("{path}.{key}"), wrong);
                    }
                }
                true
            }
            "$schema" | "$defs" | "title" | "description" | "default" | "examples" | "format" => {
                true
            }
            other => panic!("`{other}` is not understood here"),
        };
        if !holds {
            wrong.push(format!("{path}: {word} {says}"));
        }
    }
}

fn is_a(value: &Value, kind: &str) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("{other}"),
    }
}

fn count(value: &Value) -> u64 {
    value.as_object().map_or(1, Map::len) as u64
}

pub(in crate::config) fn wrong(text: &str) -> Vec<String> {
    let schema = schema();
    let file: toml::Table = text.parse().unwrap();
    let mut wrong = vec![];
    faults(&schema, &schema, &serde_json::to_value(file).unwrap(), "", &mut wrong);
    wrong
}

#[test]
fn the_committed_schema_is_the_built_one() {
    let built = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    let how = "it is stale: cargo run -- schema > config/rollbackd.schema.json";
    assert!(COMMITTED == built, "{how}");
}

#[test]
fn every_documented_key_and_every_example_fits() {
    let (defaults, others) = parts();
    for text in
        [DOCUMENTED, &uncommented(defaults), &uncommented(others)].into_iter().chain(EXAMPLES)
    {
        assert_eq!(wrong(text), [] as [String; 0]);
    }
}

#[test]
fn what_does_not_fit_is_refused_by_the_reader_too() {
    for text in [
        "zzz = 1",
        "mode = \"obsrve\"",
        "bake = 30",
        "bake = \"30 minutes\"",
        "[guard]\nzzz = 1",
        "[guard]\ncooldown = \"of\"",
        "[guard]\nmax_change_age = \"of\"",
        "[guard]\nrollbacks_per_hour = -1",
        "[severity.P1]\nact_within = \"1\"",
        "[severity.P4]\nact_within = \"1m\"",
        "[severity.P1]\nresponse = \"rollback\"",
        "[trigger.minor]\nabove = \"0.05\"",
        "[trigger.minor]\nbelow = \"3x\"",
        "[trigger.minor]\nseverity = \"P5\"",
        "[trigger.x]\nlooks_at = \"cpu\"",
        "[prometheus.main]\ntimeout = \"1s\"",
        "[prometheus.main]\nurl = 5",
        "[prometheus.main]\nurl = \"http://x\"\nbearer = \"hunter2\"",
        "[prometheus.main]\nurl = \"http://x\"\nbearer = { file = \"/a\", env = \"B\" }",
        "[prometheus.main]\nurl = \"http://x\"\nbasic = { user = \"a\" }",
        "[service.a.signal.x]\nunit = \"us\"",
        "[service.a.signal.x]\nkind = \"traffic\"",
        "[service.a.signal.x.scrape]\nfold = \"avg\"",
        "[service.a.signal.health.http]\nurl = \"http://x\"\nbody = { is = \"ok\" }",
        "[service.a.rollback.application.helm]\nroot = \"/srv\"",
        "[service.a.rollback.application.release]\nroot = \"/s\"\nrunning = { unit = \"a\" }\nrestart = { units = \"a\" }",
        "[service.a.rollback.check.b]\nargv = \"curl\"",
        "[token.x]\nfile = \"/x\"",
        "[token.x]\nscopes = [\"all\"]\nfile = \"/x\"",
        "[notify.x]\naudiences = [\"me\"]",
        "[notify.x.slack]\nurl = \"https://hooks.slack.com/x\"",
        "[notify.x.slack]\nurl.env = \"X\"\nmention = \"everybody\"",
        "[notify.x.log]\nlevel = \"info\"",
        "[heartbeat]\nevery = \"1m\"",
    ] {
        assert!(!wrong(text).is_empty(), "it fits: {text}");
        let (_, shape) = document::read("x", text, &Default::default());
        assert!(!shape.problems.is_empty(), "the reader takes it: {text}");
    }
}

/// What a template says need not be said again.
#[test]
fn a_service_that_leaves_the_rest_to_its_template_fits() {
    let text = "[template.web.signal.health.http]\nurl = \"http://{service}/\"\n[service.a]\ntemplate = \"web\"\n\
                signal.health.http.timeout = \"1s\"\n";
    assert_eq!(wrong(text), [] as [String; 0]);
    assert!(document::read("x", text, &Default::default()).1.problems.is_empty());
}

#[test]
fn a_pattern_takes_what_its_parser_takes() {
    let texts = [
        "0", "0s", "5m", "1h30m", "1h 30m", " 5m ", "7d", "250ms", "5", "", "5 m", "-5m", "5M",
        "m", "5m x", "1h, 5m", "5%", "0.5 %", "100%", "100.0%", "101%", "99.9%", "0%", ".5%", "%",
        "-1%", "5 %", "3x", "1.5x", "x", "3 x", "-3x", "3X", "2s", "off",
    ];
    let schema = schema();
    let takes = |shape: &Value, text: &str| {
        let mut wrong = vec![];
        faults(&schema, shape, &Value::from(text), "", &mut wrong);
        wrong.is_empty()
    };
    let none = &mut Tables::new();
    for text in texts {
        assert_eq!(takes(&Span::shape(none), text), text.parse::<Span>().is_ok(), "span {text:?}");
        assert_eq!(takes(&Percent::shape(none), text), text.parse::<Percent>().is_ok(), "{text:?}");
        assert_eq!(
            takes(&Multiple::shape(none), text),
            text.parse::<Multiple>().is_ok(),
            "{text:?}"
        );
        assert_eq!(
            takes(&Above::shape(none), text),
            text.parse::<Above>().is_ok(),
            "above {text:?}"
        );
    }
}

#[test]
fn what_is_required_is_what_the_reader_misses() {
    let schema = schema();
    let tables = [
        ("Server", "prometheus.x"),
        ("Token", "token.x"),
        ("Freeze", "freeze.x"),
        ("Heartbeat", "heartbeat"),
        ("Tls", "http.tls"),
        ("Slack", "notify.x.slack"),
        ("Webhook", "notify.x.webhook"),
        ("Basic", "alertmanager.basic"),
        ("Command", "service.x.rollback.application.release.restart.command"),
    ];
    for (name, path) in tables {
        let required = schema["$defs"][name]["required"].as_array().unwrap();
        let (_, shape) = document::read("x", &format!("[{path}]\n"), &Default::default());
        let first = required.iter().any(|key| {
            let missing = format!("`{}` is missing here", key.as_str().unwrap());
            shape.problems.iter().any(|problem| problem.what == missing)
        });
        assert!(first, "{name} requires {required:?}: {:?}", shape.problems);
    }
}

#[test]
fn keys_are_described_and_have_their_defaults() {
    let schema = schema();
    let says = |place: &str| schema.pointer(place).unwrap_or_else(|| panic!("no {place}")).clone();
    assert_eq!(says("/properties/mode/default"), "observe");
    assert_eq!(says("/properties/mode/enum"), serde_json::json!(["observe", "approve", "auto"]));
    assert!(
        says("/properties/mode/description").as_str().unwrap().starts_with("How far the daemon")
    );
    assert_eq!(says("/$defs/Guard/properties/cooldown/default"), "30m");
    assert!(schema.pointer("/$defs/Row/properties/act_within/default").is_none());
    let tables = schema["$defs"].as_object().unwrap();
    let keys = tables.values().chain([&schema]).filter_map(|t| t["properties"].as_object());
    let bare = keys.flatten().filter(|(_, key)| key.get("description").is_none());
    let bare = bare.filter(|(_, key)| key.get("$ref").is_none() && key["type"] != "object");
    let bare: BTreeSet<&str> = bare.map(|(name, _)| name.as_str()).collect();
    let inline =
        ["argv", "dir", "expression", "metric", "namespace", "stat", "timeout", "user"].into();
    assert_eq!(
        bare, inline,
        "keys without a word in config/rollbackd.toml, beside those of inline tables"
    );
}
