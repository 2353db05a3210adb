//! `/actuator/flyway` of a Spring Boot application. It answers from what the application itself has on its class path.

use std::collections::BTreeMap;

use reqwest::{Method, Url};
use serde::Deserialize;

use super::{Said, Word, schema};
use crate::{
    domain::schema::{Schema, Seen},
    sources::http,
};

/// One application.
#[derive(Clone, Debug, PartialEq)]
pub struct Actuator {
    /// Where it answers.
    pub url: Url,
    /// How it is reached.
    pub http: http::Options,
    /// Which of its databases, by the name of its bean; the only one where none is named.
    pub bean: Option<String>,
    /// How many of the newest are kept.
    pub rows_max: usize,
}

impl Actuator {
    /// Looks once.
    pub async fn look(&self) -> Seen {
        match self.read().await {
            Ok(schema) => Seen::Known(Box::new(schema)),
            Err(why) => Seen::Unknown(why),
        }
    }

    /// The same, for whoever tries it out.
    pub async fn read(&self) -> Result<Schema, String> {
        let client = http::Client::new(self.http.clone()).map_err(|error| error.to_string())?;
        let request = client.request(Method::GET, self.url.clone());
        let answer = client.send(request).await.map_err(|failure| {
            format!(
                "{} does not answer: {}. An application that fails to migrate when it starts never does: see its log",
                http::shown(&self.url),
                failure.story()
            )
        })?;
        self.told(answer.status, &answer.body)
    }

    fn told(&self, status: u16, body: &[u8]) -> Result<Schema, String> {
        let place = http::shown(&self.url);
        let refused = |what: &str| Err(format!("{place} answers {status}: {what}"));
        match status {
            200 => {}
            401 | 403 => return refused("give it a bearer or basic that may read it"),
            404 => {
                return refused(
                    "it is exposed by management.endpoints.web.exposure.include=flyway, of an application that has Flyway",
                );
            }
            _ => return refused("that is no list of migrations"),
        }
        let Ok(all) = serde_json::from_slice::<All>(body) else {
            return Err(format!("what {place} answers is no list of migrations"));
        };
        let beans = all.contexts.into_values().flat_map(|context| context.flyway_beans);
        let mut beans: BTreeMap<String, Bean> = beans.collect();
        let name = self.bean.clone().or_else(|| beans.keys().next().cloned());
        if self.bean.is_none() && beans.len() > 1 {
            let names: Vec<&str> = beans.keys().map(String::as_str).collect();
            return Err(format!(
                "{place} tells of several databases: name one, bean = \"{}\"",
                names.join("\" or \"")
            ));
        }
        let bean = name.and_then(|name| beans.remove(&name));
        let bean = bean.ok_or_else(|| match &self.bean {
            Some(bean) => format!("{place} tells of no bean `{bean}`"),
            None => format!("{place} tells of no database"),
        })?;
        let said = bean.migrations.into_iter().map(Migration::said).collect();
        schema(place, said, self.rows_max)
    }
}

#[derive(Deserialize)]
struct All {
    contexts: BTreeMap<String, Context>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Context {
    #[serde(default)]
    flyway_beans: BTreeMap<String, Bean>,
}

#[derive(Deserialize)]
struct Bean {
    migrations: Vec<Migration>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Migration {
    #[serde(rename = "type")]
    kind: Option<String>,
    checksum: Option<i64>,
    version: Option<Word>,
    description: Option<String>,
    script: Option<String>,
    state: String,
    installed_by: Option<String>,
    installed_on: Option<String>,
    installed_rank: Option<i64>,
    execution_time: Option<i64>,
}

impl Migration {
    fn said(self) -> Said {
        Said {
            rank: self.installed_rank,
            version: self.version.and_then(Word::text),
            description: self.description,
            kind: self.kind,
            script: self.script,
            checksum: self.checksum,
            by: self.installed_by,
            on: self.installed_on,
            execution_ms: self.execution_time,
            state: self.state,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::schema::MigrationState, sources::http::fake::Fake};

    fn actuator(url: Url) -> Actuator {
        Actuator { url, http: http::Options::default(), bean: None, rows_max: 100 }
    }

    fn bean(migrations: &str) -> String {
        format!(r#"{{"flyway":{{"migrations":[{migrations}]}}}}"#)
    }

    fn answer(beans: &str) -> String {
        format!(r#"{{"contexts":{{"application":{{"flywayBeans":{beans},"parentId":null}}}}}}"#)
    }

    fn row(rank: &str, version: &str, state: &str) -> String {
        format!(
            r#"{{"type":"SQL","checksum":7,"version":{version},"description":"orders","script":"V__orders.sql","state":"{state}","installedBy":"shop","installedOn":"2026-11-28T04:00:00Z","installedRank":{rank},"executionTime":5}}"#
        )
    }

    #[tokio::test]
    async fn each_state_is_kept_and_what_waits_is_no_part_of_the_history() {
        let rows = [
            row("1", "\"1\"", "SUCCESS"),
            row("2", "\"2\"", "MISSING_SUCCESS"),
            row("3", "\"10\"", "FUTURE_SUCCESS"),
            row("4", "\"9\"", "OUT_OF_ORDER"),
            row("5", "\"11\"", "UNDONE"),
            row("6", "null", "OUTDATED"),
            row("null", "\"12\"", "PENDING"),
        ];
        let body = answer(&bean(&rows.join(",")));
        let fake = Fake::answers(200, "", &body).await;
        let schema = actuator(fake.url.clone()).read().await.unwrap();
        use MigrationState::{
            FutureSuccess, MissingSuccess, OutOfOrder, Outdated, Success, Undone,
        };
        let states: Vec<MigrationState> = schema.newest.iter().rev().map(|it| it.state).collect();
        assert_eq!(states, [Success, MissingSuccess, FutureSuccess, OutOfOrder, Undone, Outdated]);
        assert_eq!((schema.current.as_deref(), schema.rows), (Some("10"), 6));
        assert_eq!(schema.waiting.len(), 1);
        assert_eq!(schema.waiting[0].version.as_deref(), Some("12"));
        let failed = answer(&bean(&row("7", "\"12\"", "FUTURE_FAILED")));
        let schema = actuator(fake.url.clone()).told(200, failed.as_bytes()).unwrap();
        assert_eq!(schema.failed().count(), 1, "another application's failure is one");
    }

    #[tokio::test]
    async fn whoever_does_not_tell_says_why_and_what_to_do() {
        let fake = Fake::answers(404, "", "").await;
        let it = actuator(fake.url.clone());
        let why = it.read().await.unwrap_err();
        assert!(why.contains("exposure.include=flyway"), "{why}");
        let two = answer(r#"{"one":{"migrations":[]},"two":{"migrations":[]}}"#);
        let why = it.told(200, two.as_bytes()).unwrap_err();
        assert!(why.contains(r#"bean = "one" or "two""#), "{why}");
        let one = Actuator { bean: Some("two".into()), ..it.clone() };
        assert_eq!(one.told(200, two.as_bytes()).unwrap().current, None);
        let none = Actuator { bean: Some("three".into()), ..it.clone() };
        for (said, told) in [
            (none.told(200, two.as_bytes()), "no bean `three`"),
            (it.told(200, answer("{}").as_bytes()), "tells of no database"),
            (it.told(200, b"<html>"), "no list of migrations"),
            (it.told(403, b""), "bearer or basic"),
            (it.told(503, b""), "answers 503"),
            (
                it.told(200, answer(&bean(&row("1", "1", "NEARLY"))).as_bytes()),
                "no state of a migration",
            ),
        ] {
            let why = said.unwrap_err();
            assert!(why.contains(told), "{why}");
        }
        drop(fake);
        let why = it.read().await.unwrap_err();
        assert!(why.contains("see its log"), "{why}");
    }
}
