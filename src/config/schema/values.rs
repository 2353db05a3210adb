//! What may stand for a value: words with a unit, choices, lists, references to secrets.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, de::IntoDeserializer};
use serde_json::{Value, json};
use toml::Spanned;

use super::{Shaped, Tables};
use crate::{
    config::{
        Scope,
        raw::{
            Above, Application, Audience, BodyIs, Command, Deployment, EnvValue, Fold, Frontend,
            Kinds, LookAtSecrets, Looks, Maintenance, Manifest, Mention, One, OrOff, Release,
            Restart, Running, SecretRef, Service, Stop, Switch, Word,
        },
    },
    databases::Tls as DatabaseTls,
    domain::{
        owner::OwnerRule,
        policy::{Response, SignalKind},
        service::Mode,
        severity::Severity,
    },
    sources::{health::Statuses, kubernetes::Of, reading::TimeUnit, selector::Selector},
    units::{Multiple, Percent, Span, UnixMs},
};

/// As [`Span`] is parsed.
const SPAN: &str = r"^\s*(0|([0-9]+(ms|s|m|h|d)\s*)+)\s*$";
/// As [`Percent`] is parsed.
const PERCENT: &str = r"^\s*(100(\.0*)?|[0-9]?[0-9](\.[0-9]*)?|\.[0-9]+)\s*%\s*$";
/// As [`Multiple`] is parsed.
const MULTIPLE: &str = r"^\s*([0-9]+(\.[0-9]*)?|\.[0-9]+)\s*x\s*$";

impl<T: Shaped> Shaped for Option<T> {
    const REQUIRED: bool = false;
    fn shape(tables: &mut Tables) -> Value {
        T::shape(tables)
    }
}

impl<T: Shaped> Shaped for Spanned<T> {
    const REQUIRED: bool = true;
    fn shape(tables: &mut Tables) -> Value {
        T::shape(tables)
    }
}

impl<K, T: Shaped> Shaped for BTreeMap<K, T> {
    const REQUIRED: bool = false;
    fn shape(tables: &mut Tables) -> Value {
        json!({ "type": "object", "additionalProperties": T::shape(tables) })
    }
}

impl<T: Shaped> Shaped for Vec<T> {
    const REQUIRED: bool = false;
    fn shape(tables: &mut Tables) -> Value {
        json!({ "type": "array", "items": T::shape(tables) })
    }
}

impl<T: Shaped> Shaped for BTreeSet<T> {
    const REQUIRED: bool = false;
    fn shape(tables: &mut Tables) -> Value {
        Vec::<T>::shape(tables)
    }
}

impl<T: Shaped> Shaped for One<T> {
    const REQUIRED: bool = true;
    fn shape(tables: &mut Tables) -> Value {
        let one = T::shape(tables);
        json!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

impl<T: Shaped> Shaped for OrOff<T> {
    const REQUIRED: bool = true;
    fn shape(tables: &mut Tables) -> Value {
        json!({ "anyOf": [T::shape(tables), { "const": "off" }] })
    }
}

impl<T: Shaped> Shaped for Word<T> {
    const REQUIRED: bool = true;
    fn shape(tables: &mut Tables) -> Value {
        T::shape(tables)
    }
}

/// A template holds what a service may hold.
impl Shaped for toml::Table {
    const REQUIRED: bool = false;
    fn shape(tables: &mut Tables) -> Value {
        Service::shape(tables)
    }
}

/// Values that are the same everywhere.
macro_rules! plain {
    ($($kind:ty: $required:literal, $shape:tt;)+) => {$(
        impl Shaped for $kind {
            const REQUIRED: bool = $required;
            fn shape(_: &mut Tables) -> Value {
                json!($shape)
            }
        }
    )+};
}

plain! {
    LookAtSecrets: true, {
        "anyOf": [{ "type": "string", "enum": ["off", "hash", "encrypted"] }, { "type": "boolean" }]
    };
    bool: false, { "type": "boolean" };
    u32: true, { "type": "integer", "minimum": 0 };
    u64: true, { "type": "integer", "minimum": 0 };
    usize: true, { "type": "integer", "minimum": 0 };
    f64: true, { "type": "number" };
    String: true, { "type": "string" };
    Value: true, {};
    Span: true, { "type": "string", "pattern": SPAN, "examples": ["30s", "5m", "1h 30m"] };
    Percent: true, { "type": "string", "pattern": PERCENT, "examples": ["5%"] };
    Multiple: true, { "type": "string", "pattern": MULTIPLE, "examples": ["3x"] };
    UnixMs: true, { "type": "string", "format": "date-time", "examples": ["2026-11-22T21:40:00Z"] };
    Severity: true, { "type": "string", "enum": ["P0", "P1", "P2", "P3"] };
    Selector: true, { "type": "string", "examples": ["http_requests_total{code=~\"5..\"}"] };
    Statuses: true, { "type": "string", "examples": ["200-299"] };
    Above: true, {
        "type": "string",
        "anyOf": [{ "pattern": PERCENT }, { "pattern": MULTIPLE }, { "pattern": SPAN }],
        "examples": ["5%", "3x", "2s"]
    };
    SecretRef: true, {
        "type": "object",
        "properties": {
            "file": { "type": "string", "description": "The content of this file, on one line." },
            "env": { "type": "string", "description": "This variable of the daemon's own environment." }
        },
        "additionalProperties": false,
        "minProperties": 1,
        "maxProperties": 1
    };
}

impl Shaped for EnvValue {
    const REQUIRED: bool = true;
    fn shape(tables: &mut Tables) -> Value {
        json!({ "anyOf": [{ "type": "string" }, SecretRef::shape(tables)] })
    }
}

/// The words that a reader knows, from its own mouth: it lists them when it is given another.
fn words<'de, T: Deserialize<'de>>() -> Vec<String> {
    let other: serde::de::value::StrDeserializer<'de, serde::de::value::Error> =
        "\u{0}".into_deserializer();
    let said = T::deserialize(other).err().map(|fault| fault.to_string()).unwrap_or_default();
    let expected = said.split_once(", expected ").map_or("", |(_, expected)| expected);
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

macro_rules! words {
    ($($kind:ty),+) => {$(
        impl Shaped for $kind {
            const REQUIRED: bool = true;
            fn shape(_: &mut Tables) -> Value {
                json!({ "type": "string", "enum": words::<$kind>() })
            }
        }
    )+};
}

words!(
    DatabaseTls,
    Kinds,
    Stop,
    Mode,
    OwnerRule,
    Response,
    SignalKind,
    TimeUnit,
    Looks,
    Fold,
    Of,
    Audience,
    Scope
);

/// Exactly one of several keys. A new one does not compile until it stands here.
macro_rules! choices {
    ($($kind:ident { $($variant:ident $word:literal: $of:ty,)+ })+) => {$(
        impl Shaped for $kind {
            const REQUIRED: bool = true;
            fn shape(tables: &mut Tables) -> Value {
                let _all = |it: &Self| match it { $($kind::$variant { .. } => {})+ };
                let mut properties = serde_json::Map::new();
                $(properties.insert($word.to_owned(), <$of>::shape(tables));)+
                json!({
                    "type": "object",
                    "properties": properties,
                    "additionalProperties": false,
                    "minProperties": 1,
                    "maxProperties": 1
                })
            }
        }
    )+};
}

choices! {
    Application { Release "release": Release, Kubernetes "kubernetes": Deployment, Frontend "frontend": Frontend, }
    Maintenance { Kubernetes "kubernetes": Manifest, Command "command": Switch, }
    Restart { Unit "unit": String, Command "command": Command, }
    Running { Http "http": Told, Command "command": Command, Unit "unit": String, }
    BodyIs { Contains "contains": String, Json "json": Equals, }
}

/// `running.http`.
struct Told;
/// `body.json`.
struct Equals;

plain! {
    Told: true, {
        "type": "object",
        "properties": {
            "url": { "type": "string" },
            "pointer": { "type": "string", "pattern": "^/", "description": "A JSON pointer to the version." }
        },
        "required": ["url"],
        "additionalProperties": false
    };
    Equals: true, {
        "type": "object",
        "properties": { "pointer": { "type": "string" }, "equals": {} },
        "required": ["pointer", "equals"],
        "additionalProperties": false
    };
}

impl Shaped for Mention {
    const REQUIRED: bool = true;
    fn shape(_: &mut Tables) -> Value {
        let _all = |it: &Self| match it {
            Self::Here | Self::Channel | Self::Group(_) | Self::User(_) => {}
        };
        let one = |key: &str| {
            json!({
                "type": "object",
                "properties": { key: { "type": "string" } },
                "required": [key],
                "additionalProperties": false
            })
        };
        json!({ "anyOf": [{ "enum": ["here", "channel"] }, one("group"), one("user")] })
    }
}
