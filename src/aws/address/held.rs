//! The JSON that a secret holds. Its errors never say what stands there.

use serde_json::{Map, Value};

use super::{Change, Keys};
use crate::domain::rds::Endpoint;

/// Keys under which tools of AWS keep the identifier of what the address is of.
const NAMED: [&str; 2] = ["dbInstanceIdentifier", "dbClusterIdentifier"];

fn parsed(text: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(all)) => Ok(all),
        Ok(_) | Err(_) => Err("it is no JSON object".to_owned()),
    }
}

/// Which address stands there.
pub(super) fn endpoint(text: &str, (keys, port): (&Keys, u16)) -> Result<Endpoint, String> {
    let all = parsed(text)?;
    let host = all.get(&keys.host).and_then(Value::as_str).filter(|host| !host.is_empty());
    let host = host.ok_or_else(|| format!("it has no text under the key `{}`", keys.host))?;
    let said = match all.get(&keys.port) {
        None => Some(port),
        Some(Value::String(text)) => text.parse().ok(),
        Some(number) => number.as_u64().and_then(|it| u16::try_from(it).ok()),
    };
    let port = said.ok_or_else(|| format!("what is under the key `{}` is no port", keys.port))?;
    if let Some(key) = elsewhere(&all, keys, host) {
        return Err(format!(
            "the address stands under the key `{key}` as well, which would go on leading to the old one"
        ));
    }
    Ok(Endpoint { host: host.to_owned(), port })
}

/// Where else it stands.
fn elsewhere<'a>(all: &'a Map<String, Value>, keys: &Keys, host: &str) -> Option<&'a str> {
    let others = all.iter().filter(|(key, _)| **key != keys.host);
    let mut there = others.filter(|(_, value)| value.to_string().contains(host));
    there.next().map(|(key, _)| key.as_str())
}

/// The same with another address; everything else as it is.
pub(super) fn changed(text: &str, keys: &Keys, change: Change<'_>) -> Result<String, String> {
    let found = endpoint(text, (keys, change.old.port))?;
    if found != *change.old {
        return Err("another address stands there than the plan was made for".to_owned());
    }
    let mut all = parsed(text)?;
    let Change { new, names: (old_name, new_name), .. } = change;
    all.insert(keys.host.clone(), Value::String(new.host.clone()));
    if let Some(port) = all.get_mut(&keys.port) {
        let is_text = port.is_string();
        *port = if is_text { new.port.to_string().into() } else { new.port.into() };
    } else if new.port != change.old.port {
        return Err(format!("it has no key `{}`, and the port is another one", keys.port));
    }
    for key in NAMED {
        if let Some(name) = all.get_mut(key).filter(|it| it.as_str() == Some(old_name)) {
            *name = Value::String(new_name.to_owned());
        }
    }
    Ok(Value::Object(all).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys { host: "host".into(), port: "port".into() }
    }

    fn at(host: &str, port: u16) -> Endpoint {
        Endpoint { host: host.into(), port }
    }

    fn change<'c>(old: &'c Endpoint, new: &'c Endpoint) -> Change<'c> {
        Change { of: "v1", old, new, names: ("shop", "shop-restored-1"), version: "v2" }
    }

    #[test]
    fn only_the_address_becomes_another_and_each_value_stays_of_its_kind() {
        let (old, new) = (at("old.rds", 5432), at("new.rds", 5433));
        let text = r#"{"username":"app","password":"hunter2","host":"old.rds","port":5432,"dbInstanceIdentifier":"shop","dbname":"shop"}"#;
        let made = changed(text, &keys(), change(&old, &new)).unwrap();
        let made: Value = serde_json::from_str(&made).unwrap();
        let wanted = serde_json::json!({ "username": "app", "password": "hunter2", "host": "new.rds", "port": 5433,
            "dbInstanceIdentifier": "shop-restored-1", "dbname": "shop" });
        assert_eq!(made, wanted);
        let made =
            changed(r#"{"host":"old.rds","port":"5432"}"#, &keys(), change(&old, &new)).unwrap();
        assert!(made.contains("\"5433\""), "{made}");
        let same = at("new.rds", 5432);
        let made = changed(r#"{"host":"old.rds"}"#, &keys(), change(&old, &same)).unwrap();
        assert_eq!(made, r#"{"host":"new.rds"}"#);
    }

    #[test]
    fn what_is_no_such_secret_says_so_and_nothing_of_what_it_holds() {
        let (old, new) = (at("old.rds", 5432), at("new.rds", 5433));
        for (text, why) in [
            ("hunter2", "no JSON object"),
            ("[\"hunter2\"]", "no JSON object"),
            (r#"{"pw":"hunter2"}"#, "no text under the key `host`"),
            (r#"{"host":"old.rds","port":"hunter2"}"#, "is no port"),
            (r#"{"host":"old.rds","port":70000,"pw":"hunter2"}"#, "is no port"),
            (r#"{"host":"other.rds","port":5432,"pw":"hunter2"}"#, "another address"),
            (r#"{"host":"old.rds","pw":"hunter2"}"#, "the port is another one"),
            (
                r#"{"host":"old.rds","port":5432,"url":"postgres://app:hunter2@old.rds/shop"}"#,
                "key `url`",
            ),
        ] {
            let said = changed(text, &keys(), change(&old, &new)).unwrap_err();
            assert!(said.contains(why) && !said.contains("hunter2"), "{said}");
        }
    }
}
