//! The machine with its monitoring: a real Prometheus that scrapes the shop, a real Alertmanager that its rules reach.

use std::fs;

use rollbackd::demo::shop::Behaviour;
use serde_json::{Value, json};

use super::world::{SOON, Setup, World};
use crate::rig::{Alertmanager, Prometheus, alertmanager_config, client};

const RULES: &str = r#"
groups:
  - name: shop
    interval: 1s
    rules:
      - alert: ShopFails
        expr: >-
          sum by (service) (rate(http_requests_total{code=~"5.."}[4s]))
          / sum by (service) (rate(http_requests_total[4s])) > 0.05
        for: 1s
        labels: { severity: critical, rollbackd_trigger: critical-errors }
        annotations: { summary: "{{ $value }} of the requests fail" }
      - alert: ShopDown
        expr: up{service="shop"} == 0
        for: 2s
        labels: { severity: critical, rollbackd_trigger: service-outage }
        annotations: { summary: "the shop cannot be scraped" }
"#;

const CONFIG: &str = r#"
[token.alertmanager]
scopes = ["alerts"]
file = "{dir}/alerts.token"
[alertmanager]
url = "{alertmanager}"
ask_every = "1s"
[prometheus.main]
url = "{prometheus}"
timeout = "1s"
[trigger.critical-errors]
holds_for = "4s"
grace = "2s"
silence = "4s"
buckets = ["2s", "2500ms", "3s", "3500ms", "4s"]
[service.shop.signal.error_rate]
lag = "1s"
every = "1s"
every_watched = "1s"
[service.shop.signal.error_rate.prometheus]
bad = 'sum by (service, instance) (http_requests_total{code=~"5.."})'
total = 'sum by (service, instance) (http_requests_total)'
label = "service"
"#;

const TOKEN: &str = "only-for-the-alerts-of-the-rig";

/// The machine with its monitoring.
pub(super) struct Monitored {
    pub(super) world: World,
    pub(super) prometheus: Prometheus,
    alertmanager: Alertmanager,
}

impl Monitored {
    /// v1 is known good, and Prometheus sees it.
    pub(super) async fn settled(second: Behaviour, config: &str, without: &[&'static str]) -> Self {
        let mut setup = Setup::with(second, "");
        setup.without.extend(["service.shop.scrape", "service.shop.signal.error_rate.scrape"]);
        setup.without.extend(without);
        let mut world = World::set(setup.releases).await;
        let webhook = format!("http://127.0.0.1:{}/v1/alertmanager", world.ports.http);
        let alertmanager = Alertmanager::start(&alertmanager_config(&webhook, Some(TOKEN))).await;
        let scrapes = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\n\
             rule_files: [rules.yml]\n\
             alerting: {{ alertmanagers: [ {{ static_configs: [ {{ targets: [\"{}\"] }} ] }} ] }}\n\
             scrape_configs: [ {{ job_name: shop, static_configs: [ {{ targets: [\"127.0.0.1:{}\"], \
             labels: {{ service: shop }} }} ] }} ]\n",
            alertmanager.authority(),
            world.ports.shop
        );
        let prometheus = Prometheus::start(&scrapes, &[("rules.yml", RULES)]).await;
        fs::write(world.dir().join("alerts.token"), TOKEN).expect("a file");
        setup.config = (CONFIG.to_owned() + config)
            .replace("{prometheus}", &prometheus.url())
            .replace("{alertmanager}", &alertmanager.url());
        world.configure(&setup);
        prometheus.value("http_requests_total", SOON).await;
        world.start().await;
        world.settled().await;
        Self { world, prometheus, alertmanager }
    }

    /// Sends what Alertmanager would.
    pub(super) async fn webhook(&self, alerts: Value) -> Value {
        let body = json!({"version": "4", "receiver": "webhook", "status": "firing", "alerts": alerts,
            "groupKey": "{}", "truncatedAlerts": 0});
        let url = format!("http://127.0.0.1:{}/v1/alertmanager", self.world.ports.http);
        let sent = client().post(url).bearer_auth(TOKEN).json(&body).send().await;
        let answer = sent.expect("it answers");
        assert_eq!(answer.status(), 200);
        answer.json().await.expect("a receipt")
    }

    /// What Alertmanager has active now, in the shape of its webhook.
    pub(super) async fn active(&self) -> Vec<Value> {
        let url = format!("{}/api/v2/alerts?active=true", self.alertmanager.url());
        let answer = client().get(url).send().await.expect("Alertmanager answers");
        let mut all: Vec<Value> = answer.json().await.expect("JSON");
        for alert in &mut all {
            alert["status"] = json!("firing");
        }
        all
    }
}
