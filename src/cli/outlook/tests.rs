use super::*;
use crate::config::load_text;

const RELEASE_SCRAPE: &str = include_str!("../../../config/examples/release-scrape.toml");
const MINIMAL: &str = include_str!("../../../config/examples/minimal.toml");

/// In a freeze of every test here.
const NOW: UnixMs = UnixMs(1_795_383_652_000);

fn outlook(text: &str) -> Outlook {
    let (config, _) = load_text("rollbackd.toml", text).expect("a configuration");
    Outlook::of(&config, NOW)
}

fn text(config: &str) -> String {
    outlook(config).text(Paint::new(false))
}

#[test]
fn a_service_that_can_be_rolled_back_is_explained_to_its_end() {
    insta::assert_snapshot!(text(RELEASE_SCRAPE));
}

#[test]
fn a_service_that_is_only_watched_is_explained() {
    insta::assert_snapshot!(text(MINIMAL));
}

#[test]
fn a_service_that_a_query_will_find_is_explained() {
    let fleet = r#"
[prometheus.main]
url = "http://127.0.0.1:9090"
[discover.web]
template = "web"
query = '''
count by (service) (
  http_requests_total{env="prod"}
)'''
label = "service"
services_max = 500
[template.web]
environment = "prod"
mode = "auto"
[template.web.signal.error_rate.prometheus]
label = "service"
bad = 'sum by (service, pod) (http_requests_total{code=~"5.."})'
total = 'sum by (service, pod) (http_requests_total)'
[template.web.signal.health.http]
url = "https://{service}.internal/healthz"
[template.web.rollback.application.release]
root = "/srv/{service}"
restart = { unit = "{service}.service" }
running = { unit = "{service}.service" }
"#;
    let text = text(fleet);
    assert!(!text.contains("any-"), "{text}");
    insta::assert_snapshot!(text);
}

const MIGRATED: &str = r#"
mode = "MODE"
[database.shop]
url = "postgres://rollbackd@db/shop"
[database.admin]
url = "postgres://admin@db/postgres"
[service.shop]
signal.health.http.url = "http://shop/health"
[service.shop.rollback.application.release]
root = "/srv/shop"
restart = { unit = "shop.service" }
running = { unit = "shop.service" }
[service.shop.database]
from = "shop"
check.orphans = { query = "SELECT 1 WHERE false", no_row = true, every = "10m" }
"#;
const WAYS: &str = r#"
[service.shop.rollback.database]
undo = ["/opt/flyway", "undo", "-target={last}"]
script = "/srv/shop/{release}/reverse.sql"
stop = ["/bin/stop", "shop"]
automatic = true
[service.shop.rollback.snapshot]
files = "/tmp/*.dump"
through = "admin"
stop_writes = "no"
"#;

#[test]
fn what_becomes_of_a_database_is_explained_and_what_does_not() {
    let of = |mode: &str, ways: &str| {
        let text = text(&format!("{}{ways}", MIGRATED.replace("MODE", mode)));
        let begin = text.find("What of its database is watched").expect("it is watched");
        text[begin..text.find("When a rollback has worked").expect("a rollback")].to_owned()
    };
    let auto = of("auto", WAYS);
    for line in [
        "how far shop at db:5432 is migrated, as its table flyway_schema_history says, every 30s, and every 5s while",
        "check orphans of shop at db:5432: it must return no row, every 10m",
        "all of them take at most 5% of the time",
        "runs for longer than 30m, fires migration-failure",
        "which snapshots there are of it: /tmp/*.dump, every 30m, and every 2m while",
        "its migrations are taken back by `/opt/flyway undo -target={last}`, once, within 10m, down to the very version: by itself (`automatic`)",
        "took nothing back: the script /srv/shop/{release}/reverse.sql is run in one transaction",
        "only where `rollbackd dry-run shop/production` showed what it changes, and a person approves that very script",
        "before that `/bin/stop shop` keeps it from writing",
        "where that is no way: the whole of shop is put back from the newest snapshot",
        "told before: where a person approves the plan; `automatic` is not said",
        "there is no repair, and no migration is run forward",
    ] {
        assert!(auto.contains(line), "{line}: {auto}");
    }
    assert!(!auto.contains("takes no schema back by itself"), "{auto}");
    let approved = of("approve", WAYS);
    assert!(approved.contains("down to the very version: where a person approves the plan"));
    assert!(approved.contains("the daemon takes no schema back by itself"), "{approved}");
    let none = of("auto", "");
    assert!(none.contains("it does not: where nobody says"), "{none}");
    assert!(!text(RELEASE_SCRAPE).contains("database"), "there is none");
}

/// Which guards would refuse, in this configuration.
fn refuse(config: &str) -> Vec<&'static str> {
    let service = outlook(config).services.remove(0);
    service.always_refuses.iter().map(|refusal| refusal.guard.name()).collect()
}

#[test]
fn what_would_always_refuse_is_told() {
    let auto = RELEASE_SCRAPE.replace("\"approve\"", "\"auto\"");
    assert_eq!(refuse(&auto), [] as [&str; 0]);
    assert_eq!(refuse(RELEASE_SCRAPE), ["mode"]);
    assert_eq!(refuse(MINIMAL), ["mode", "nowhere-safe"]);
    let freeze = |from: &str, until: &str| {
        format!("{auto}\n[freeze.x]\nfrom = \"{from}T00:00:00Z\"\nuntil = \"{until}T00:00:00Z\"\n")
    };
    assert_eq!(refuse(&freeze("2026-11-22", "2026-11-23")), ["hold"]);
    assert_eq!(refuse(&freeze("2026-11-23", "2026-11-24")), [] as [&str; 0]);
    assert_eq!(refuse(&format!("{auto}\n[fleet]\nrollbacks_per_hour = 0\n")), ["loop"]);
    let probes =
        "[service.x]\nwatch_only = true\n[service.x.signal.health.http]\nurl = \"http://x\"";
    assert_eq!(refuse(probes), ["mode", "nowhere-safe", "one-witness"]);
}

#[test]
fn what_is_configured_is_what_is_said() {
    let changed = format!(
        "{RELEASE_SCRAPE}\n[severity.P1]\nresponse = \"ask\"\nact_within = \"7m\"\n\
         [trigger.critical-errors]\nabove = \"2%\"\nholds_for = \"4m\"\n\
         [trigger.data-corruption]\nmay_act = false\n\
         [trigger.far-too-slow]\nlooks_at = \"latency\"\nabove = \"2s 500ms\"\nseverity = \"P3\"\n"
    );
    let changed = text(&changed);
    for says in [
        "more than 2% of the requests fail for 4m",
        "P1: people are paged and asked within 7m, with the evidence and the plan",
        "P0: people are paged; it is never a reason to roll back",
        "response time is above 2s 500ms for 10m",
        "P3: people are told",
        "people are asked to approve a rollback within 5m, verified within 25m",
    ] {
        assert!(changed.contains(says), "no `{says}` in:\n{changed}");
    }
}

#[test]
fn what_goes_back_beside_the_application_is_said() {
    let keys = |form: &str| {
        format!(
            "{RELEASE_SCRAPE}\n[aws.main]\nregion = \"eu-central-1\"\n\
             [database.shop]\nurl = \"postgres://x@db.internal/shop\"\npassword = {{ env = \"HOME\" }}\n\
             [database.shop.address]\nsecret = \"shop/db\"\n\
             [service.shop.database]\nfrom = \"shop\"\n\
             [service.shop.rollback.rds]\n{form}\nstop_writes = \"no\"\n\
             [service.shop.secret.key]\nsecret = \"shop/key\"\n"
        )
    };
    let said = text(&keys("instance = \"shop-production\""));
    for says in [
        "as its table flyway_schema_history says, every ",
        "which snapshots there are of the RDS instance shop-production of aws main, every 30m, and every 2m while",
        "what it is given: which version of the secret shop/key of aws main is current, every 30s, and every 5s while",
        "another instance is made of a snapshot of the RDS instance shop-production of aws main, within 2h, and the secret shop/db of aws main leads there",
        "what was written since is lost, and told before: where a person approves the plan",
        "where the secret shop/key of aws main is what changed, its version of before is made current",
    ] {
        assert!(said.contains(says), "no `{says}` in:\n{said}");
    }
    let said = text(&keys("cluster = \"shop\"\nautomatic = true"));
    assert!(
        said.contains("another cluster is made")
            && said.contains("where a person approves the plan"),
        "{said}"
    );
}

#[test]
fn what_is_done_is_what_the_mode_allows() {
    let of = |mode: &str| text(&RELEASE_SCRAPE.replace("\"approve\"", mode));
    assert!(of("\"observe\"").contains("it would be rolled back, and people are told so"));
    assert!(of("\"auto\"").contains("if it still holds, it is rolled back within 15m"));
    let nothing = text(MINIMAL);
    assert!(nothing.contains("nothing that could be rolled back"), "{nothing}");
    assert!(!nothing.contains("is rolled back within"), "{nothing}");
}

#[test]
fn the_outlook_is_the_same_in_json() {
    let json = serde_json::to_value(outlook(MINIMAL)).unwrap();
    let service = &json["services"][0];
    assert_eq!(service["service"], "checkout/production");
    assert_eq!(service["always_refuses"][0]["guard"], "mode");
    assert!(service["triggers"][0]["fires_if"][0].is_string(), "{json}");
}
