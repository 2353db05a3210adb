//! `check --online` against AWS: as whom we are known, and what is configured there. And the rights that all of it takes.

use std::{collections::BTreeSet, fs, path::Path};

use rollbackd::config::{Level, Online, check_online, load_text};

use super::{
    proxy::{Proxy, Twist},
    server::{Server, credentials, unique},
};

struct Looked {
    proxy: Proxy,
    text: String,
    _home: tempfile::TempDir,
}

impl Looked {
    async fn at(topic_arn: &str) -> Self {
        let proxy = Proxy::before(&Server::shared().await.url()).await;
        let home = tempfile::tempdir().unwrap();
        let keys = credentials(home.path(), "looked", "test");
        let text = format!(
            "[aws.main]\nregion = 'eu-central-1'\nendpoint = '{}'\ncredentials_file = '{}'\nattempts = 1\n\
             [notify.ops.sns]\ntopic_arn = '{topic_arn}'\n[service.shop]\nwatch_only = true\n\
             [service.shop.signal.error_rate.cloudwatch]\nbad = {{ namespace = 'Looked', metric = 'errors' }}\n\
             total = {{ namespace = 'Looked', metric = 'requests' }}\n",
            proxy.url(),
            keys.display()
        );
        Self { proxy, text, _home: home }
    }

    async fn online(&self) -> Online {
        let (config, problems) = load_text("rollbackd.toml", &self.text).unwrap();
        assert_eq!(problems, []);
        check_online(&config, "rollbackd.toml", &self.text).await
    }

    /// What is wrong, each with its level and its line.
    async fn told(&self) -> Vec<(Level, usize, String)> {
        let problems = self.online().await.problems.into_iter();
        problems.map(|it| (it.level, it.line, format!("{}; {}", it.what, it.instead))).collect()
    }
}

#[tokio::test]
async fn who_we_are_is_told_and_a_metric_without_data_is_warned_of() {
    let clients = Server::shared().await.clients().await;
    let topic = clients.sns().create_topic().name(unique("looked")).send().await.unwrap();
    let looked = Looked::at(topic.topic_arn().unwrap()).await;
    let online = looked.online().await;
    assert_eq!(online.accounts.len(), 1);
    assert!(
        online.accounts[0].starts_with("aws main (eu-central-1): asked as arn:aws:"),
        "{online:?}"
    );
    // Nothing has been counted, so that there is nothing to compare the first period with.
    assert!(online.problems.iter().all(|it| it.level == Level::Warning), "{online:?}");
    assert!(looked.proxy.asked("Publish").is_empty(), "nobody is told anything");
}

/// A misspelt metric of errors was "no errors" for ever, and earned what runs the name of a good version.
#[tokio::test]
async fn errors_that_nobody_ever_counted_are_warned_of_and_metrics_that_are_there_are_not() {
    let clients = Server::shared().await.clients().await;
    let topic = clients.sns().create_topic().name(unique("looked")).send().await.unwrap();
    let mut looked = Looked::at(topic.topic_arn().unwrap()).await;
    let namespace = unique("Seen");
    looked.text = looked.text.replace("'Looked'", &format!("'{namespace}'"));
    let seen = |name: &'static str| {
        let at = jiff::Timestamp::now().as_millisecond() - 5 * 3_600_000;
        let at = aws_smithy_types::DateTime::from_millis(at);
        let datum = aws_sdk_cloudwatch::types::MetricDatum::builder();
        let datum = datum.metric_name(name).timestamp(at).value(1.0).build();
        let put = clients.cloudwatch().put_metric_data().namespace(&namespace);
        async move { put.metric_data(datum).send().await.expect("it takes data") }
    };
    let unseen = async || {
        let told = looked.told().await.into_iter();
        told.filter(|(.., what)| what.contains("nothing was seen of")).collect::<Vec<_>>()
    };
    seen("requests").await;
    let told = unseen().await;
    let [(level, _, what)] = &told[..] else { panic!("{told:?}") };
    let begins =
        "error_rate of shop/production: in 24h nothing was seen of `bad` (Sum of errors in ";
    assert!(what.starts_with(begins) && what.contains("reads as no errors"), "{what}");
    assert_eq!(*level, Level::Warning);
    seen("errors").await;
    assert_eq!(unseen().await, []);
}

#[tokio::test]
async fn a_question_that_is_refused_is_told_with_its_signal_and_no_other() {
    let clients = Server::shared().await.clients().await;
    let topic = clients.sns().create_topic().name(unique("looked")).send().await.unwrap();
    let mut looked = Looked::at(topic.topic_arn().unwrap()).await;
    looked.text.push_str(
        "[service.cart]\nwatch_only = true\n[service.cart.signal.error_rate.cloudwatch]\n\
         bad = { namespace = 'Looked', metric = 'misspelt' }\ntotal = { namespace = 'Looked', metric = 'carts' }\n",
    );
    let said = "Error in expression 'q0'";
    let twist = Twist::RefuseOf { having: "misspelt", code: "ValidationError", said };
    looked.proxy.twist("GetMetricData", usize::MAX, twist);
    let told = looked.told().await;
    let errors: Vec<&String> =
        told.iter().filter(|(level, ..)| *level == Level::Error).map(|(.., what)| what).collect();
    let [only] = errors[..] else { panic!("{told:?}") };
    assert!(only.starts_with("error_rate of cart") && only.contains("'bad'"), "{only}");
    assert!(!only.contains("q0"), "{only}");
}

#[tokio::test]
async fn rights_that_are_missing_are_named() {
    let looked = Looked::at("arn:aws:sns:eu-central-1:000000000000:looked-nowhere").await;
    let told = looked.told().await;
    let gone = told.iter().find(|(_, _, what)| what.contains("notify.ops")).expect("it is told");
    assert!(gone.0 == Level::Error && gone.2.contains("no such thing"), "{told:?}");
    let said = "User: arn:aws:iam::1:user/x is not authorized to perform: cloudwatch:GetMetricData because no policy allows it";
    for (action, code, expected) in [
        ("GetMetricData", "AccessDenied", "allow cloudwatch:GetMetricData"),
        ("GetTopicAttributes", "AuthorizationError", "sns:Publish is what a notice needs"),
        ("GetCallerIdentity", "ExpiredToken", "credentials"),
    ] {
        let twist = Twist::Refuse {
            status: 403,
            code,
            said: if action == "GetMetricData" { said } else { "" },
        };
        looked.proxy.straighten();
        looked.proxy.twist(action, 1, twist);
        let told = looked.told().await;
        let (level, line, _) = told
            .iter()
            .find(|(_, _, what)| what.contains(expected))
            .unwrap_or_else(|| panic!("{action}: {told:?}"));
        let wanted = if action == "GetTopicAttributes" { Level::Warning } else { Level::Error };
        assert_eq!((*level, *line), (wanted, 2), "{action}: {told:?}");
    }
}

fn policy(name: &str) -> serde_json::Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/aws").join(name);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn actions(policy: &serde_json::Value) -> BTreeSet<String> {
    let each = policy["Statement"].as_array().unwrap().iter().flat_map(|statement| {
        let action = &statement["Action"];
        action.as_array().cloned().unwrap_or_else(|| vec![action.clone()])
    });
    each.map(|action| action.as_str().unwrap().to_owned()).collect()
}

/// Whatever the daemon asks of AWS is called by the right that it takes.
#[test]
fn the_policies_allow_what_the_daemon_asks_for_and_nothing_by_a_star() {
    let (reads, acts) = (policy("read-only.json"), policy("act.json"));
    let allowed: BTreeSet<String> = actions(&reads).union(&actions(&acts)).cloned().collect();
    assert!(!allowed.iter().any(|action| action.contains('*')), "{allowed:?}");
    for policy in [&reads, &acts] {
        let length = policy.to_string().len();
        assert!(length < 6144, "a managed policy has at most 6144 characters, this has {length}");
    }
    let mut asked = BTreeSet::new();
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap_or_default();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            asked.extend(code.split('"').filter(|text| is_right(text)).map(str::to_owned));
        }
    }
    assert!(
        asked.contains("cloudwatch:GetMetricData") && asked.contains("sns:Publish"),
        "{asked:?}"
    );
    // Whoever has credentials may ask who that is.
    asked.remove("sts:GetCallerIdentity");
    let missing: Vec<&String> = asked.difference(&allowed).collect();
    assert!(missing.is_empty(), "in no policy of config/aws: {missing:?}");
}

fn is_right(text: &str) -> bool {
    const SERVICES: [&str; 7] =
        ["cloudwatch", "sns", "sts", "secretsmanager", "rds", "s3", "cloudfront"];
    text.split_once(':').is_some_and(|(service, action)| {
        SERVICES.contains(&service)
            && action.starts_with(|c: char| c.is_ascii_uppercase())
            && action.bytes().all(|b| b.is_ascii_alphanumeric())
    })
}
