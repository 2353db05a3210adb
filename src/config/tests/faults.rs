//! What people are told about a file that is wrong.

use proptest::prelude::*;

use super::refused;
use crate::config::{Level, load, load_text};

#[test]
fn many_faults_are_told_at_once() {
    let text = r#"
mode = "auto"

[prometheus.main]
url = "prometheus:9090"

[trigger.critical-errors]
above = "0.05"
holdsfor = "5m"

[trigger.critical-erors]
above = "5%"

[trigger.service-outage]
holds_for = "20s"

[severity.P1]
monitor_for = "20m"

[service.checkout]
sgnal = 5

[service.checkout.signal.error_rate.prometheus]
from = "mian"
bad = 'sum by (pod) (rate(http_requests_total{code=~"5.."}[5m]))'
total = 'sum by (pod) (http_requests_total)'

[service.checkout.signal.health.http]
url = "http://127.0.0.1:8080/healthz"

[notify.ops.slack]
url = "https://hooks.slack.example/T000/B000/SECRET"

[http]
listen = "0.0.0.0:7676"

[token.pipeline]
scopes = []
file = "/nowhere/token"
"#;
    insta::assert_snapshot!(refused(text), @"");
}
