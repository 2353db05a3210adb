//! The address in the JSON that a secret holds. It is changed where it stands, so that all the rest keeps its order, its digits and its
//! spaces. The errors never say what stands there.

use std::net::Ipv6Addr;

use serde_json::Value;

use super::{Change, Keys, entries::Entries};
use crate::{domain::rds::Endpoint, units::Secret};

/// Keys under which tools of AWS keep the identifier of what the address is of.
const NAMED: [&str; 2] = ["dbInstanceIdentifier", "dbClusterIdentifier"];
/// No longer name is known to DNS.
const HOST_BYTES_MAX: usize = 253;

/// Which address stands there; `port` where it has no key for one.
pub(super) fn endpoint(text: &str, (keys, port): (&Keys, u16)) -> Result<Endpoint, String> {
    of(&Entries::of(text)?, keys, port)
}

/// The same where it is to be changed: what also stood elsewhere would go on leading to the old one.
pub(super) fn alone(
    text: &str,
    (keys, port): (&Keys, u16),
    hosts: &[String],
) -> Result<Endpoint, String> {
    let all = Entries::of(text)?;
    let endpoint = of(&all, keys, port)?;
    let is_there = |value: &Value| {
        let value = value.to_string();
        hosts.iter().chain([&endpoint.host]).any(|host| value.contains(host.as_str()))
    };
    match all.beside(&keys.host).find(|it| is_there(&it.value)) {
        Some(other) => Err(format!(
            "the address, or another one that leads there, stands under the key `{}` as well, which would go on leading to the old one",
            other.key
        )),
        None => Ok(endpoint),
    }
}

fn of(all: &Entries, keys: &Keys, port: u16) -> Result<Endpoint, String> {
    let (_, host) = all.text(&keys.host)?;
    // An address is shown, and a whole URL has a password in it.
    if !is_host(host) {
        return Err(format!("what it has under the key `{}` is no host's name", keys.host));
    }
    let said = match all.entry(&keys.port)?.map(|it| &it.value) {
        None => Some(port),
        Some(Value::String(text)) => text.parse().ok(),
        Some(number) => number.as_u64().and_then(|it| u16::try_from(it).ok()),
    };
    let port = said.filter(|port| *port > 0);
    let port =
        port.ok_or_else(|| format!("what it has under the key `{}` is no port", keys.port))?;
    Ok(Endpoint { host: host.to_owned(), port })
}

fn is_host(text: &str) -> bool {
    let may_be = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let is_name = text.len() <= HOST_BYTES_MAX && text.bytes().all(may_be);
    is_name || text.parse::<Ipv6Addr>().is_ok()
}

/// The same text with another address; everything else byte for byte as it is.
pub(super) fn changed(text: &str, keys: &Keys, change: Change<'_>) -> Result<Secret, String> {
    let found = alone(text, (keys, change.old.port), change.hosts)?;
    if found != *change.old {
        return Err("another address stands there than the plan was made for".to_owned());
    }
    let all = Entries::of(text)?;
    let Change { new, names: (old_name, new_name), .. } = change;
    let mut edits = vec![(all.text(&keys.host)?.0.at.clone(), quoted(&new.host))];
    match all.entry(&keys.port)? {
        Some(port) if port.value.is_string() => {
            edits.push((port.at.clone(), quoted(&new.port.to_string())));
        }
        Some(port) => edits.push((port.at.clone(), new.port.to_string())),
        None if new.port == change.old.port => {}
        None => {
            return Err(format!("it has no key `{}`, and the port is another one", keys.port));
        }
    }
    for key in NAMED.into_iter().filter(|key| *key != keys.host && *key != keys.port) {
        if let Some(name) = all.entry(key)?.filter(|it| it.value.as_str() == Some(old_name)) {
            edits.push((name.at.clone(), quoted(new_name)));
        }
    }
    // From the end: what is before a change stays where it is.
    edits.sort_by_key(|(at, _)| at.start);
    let mut made = text.to_owned();
    for (at, instead) in edits.into_iter().rev() {
        made.replace_range(at, &instead);
    }
    Ok(Secret::new(made))
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
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
        Change { of: "v1", old, new, hosts: &[], names: ("shop", "shop-restored-1"), version: "v2" }
    }

    #[test]
    fn only_the_address_becomes_another_and_each_value_stays_of_its_kind() {
        let old = at("old.rds", 5432);
        let made = |text: &str, port: u16| {
            let made = changed(text, &keys(), change(&old, &at("new.rds", port))).unwrap();
            made.expose().to_owned()
        };
        assert_eq!(
            made(
                r#"{"username":"app","password":"hunter2","host":"old.rds","port":5432,"dbInstanceIdentifier":"shop","dbname":"shop"}"#,
                5433
            ),
            r#"{"username":"app","password":"hunter2","host":"new.rds","port":5433,"dbInstanceIdentifier":"shop-restored-1","dbname":"shop"}"#
        );
        assert_eq!(
            made(r#"{"host":"old.rds","port":"5432"}"#, 5433),
            r#"{"host":"new.rds","port":"5433"}"#
        );
        assert_eq!(made(r#"{"host":"old.rds"}"#, 5432), r#"{"host":"new.rds"}"#);
    }

    #[test]
    fn what_is_not_the_address_keeps_its_order_its_digits_its_spaces_and_its_escapes() {
        let (old, new) = (at("old.rds", 5432), at("a-longer-name.rds", 6));
        let made =
            |text: &str| changed(text, &keys(), change(&old, &new)).unwrap().expose().to_owned();
        let with = |host: &str, port: &str| {
            let text = r#"
 { "z" : 1.50, "port":PORT ,"account":12345678901234567890123, "pw":"\u0068unter2\/ü",
   "host" :  "HOST","a":{"y":1,"x":2},"a":1E5} "#;
            text.replace("HOST", host).replace("PORT", port)
        };
        assert_eq!(made(&with("old.rds", "5432")), with("a-longer-name.rds", "6"));
        let escaped = r#"{"h\u006fst":"old\u002erds","port":5432}"#;
        assert_eq!(made(escaped), r#"{"h\u006fst":"a-longer-name.rds","port":6}"#);
    }

    #[test]
    fn what_is_no_such_secret_says_so_and_nothing_of_what_it_holds() {
        let (old, new) = (at("old.rds", 5432), at("new.rds", 5433));
        for (text, why) in [
            ("hunter2", "no JSON object"),
            (r#""hunter2""#, "no JSON object"),
            (r#"["hunter2"]"#, "no JSON object"),
            (r#"{"host":"old.rds","pw":"hunter2""#, "no JSON object"),
            ("{}", "no key `host`; it has: nothing"),
            (r#"{"engine":"x","pw":"hunter2"}"#, "no key `host`; it has: engine, pw"),
            (r#"{"host":["hunter2"]}"#, "under the key `host` is a list, and no text"),
            (r#"{"host":"","pw":"hunter2"}"#, "the key `host` is empty"),
            (r#"{"host":"postgres://app:hunter2@old.rds/shop"}"#, "no host's name"),
            (r#"{"host":"old.rds","host":"hunter2"}"#, "the key `host` twice"),
            (r#"{"host":"old.rds","port":"hunter2"}"#, "is no port"),
            (r#"{"host":"old.rds","port":0,"pw":"hunter2"}"#, "is no port"),
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
        let many: Vec<String> = (0..30).map(|n| format!(r#""key-{n}":1"#)).collect();
        let said = endpoint(&format!("{{{}}}", many.join(",")), (&keys(), 1)).unwrap_err();
        assert!(said.ends_with("key-9, 20 more"), "{said}");
    }

    #[test]
    fn whoever_only_looks_does_not_mind_where_else_the_address_stands() {
        let text = r#"{"host":"old.rds","port":5432,"url":"postgres://app:hunter2@old.rds/shop"}"#;
        assert_eq!(endpoint(text, (&keys(), 1)), Ok(at("old.rds", 5432)));
        assert!(alone(text, (&keys(), 1), &[]).unwrap_err().contains("key `url`"));
        let readers = r#"{"host":"old.rds","readers":["ro.old-replica.rds"],"pw":"hunter2"}"#;
        assert!(alone(readers, (&keys(), 1), &[]).is_ok(), "it is somebody else's");
        let hosts = ["ro.old-replica.rds".to_owned()];
        let said = alone(readers, (&keys(), 1), &hosts).unwrap_err();
        assert!(said.contains("key `readers`") && !said.contains("hunter2"), "{said}");
        let found = changed(
            readers,
            &keys(),
            Change { hosts: &hosts, ..change(&at("old.rds", 1), &at("new.rds", 1)) },
        );
        assert!(found.is_err());
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_nothing_that_a_password_could_stand_in() {
        let read = |host: &str| endpoint(&format!(r#"{{"host":"{host}"}}"#), (&keys(), 5432));
        for host in ["db", "10.0.0.7", "::1", "shop.cluster-x.eu-central-1.rds.amazonaws.com"] {
            assert_eq!(read(host), Ok(at(host, 5432)));
        }
        for host in ["db:5432", "a b", "/run/postgresql", "app@db", &"x".repeat(254)] {
            assert!(read(host).is_err(), "{host}");
        }
    }
}
