"""What the programs of a run are told: the daemon's configuration, Prometheus's, and the same triggers as rules."""

import os

from exporter import name

TICK_S = 15


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    return path


def prometheus(path, exporter_port, targets, rules):
    lines = [
        f"global: {{ scrape_interval: {TICK_S}s, scrape_timeout: 10s, evaluation_interval: {TICK_S}s }}",
        f"rule_files: [{rules}]" if rules else "rule_files: []",
        "alerting:",
        "  alertmanagers:",
        f'    - static_configs: [{{ targets: ["127.0.0.1:{exporter_port}"] }}]',
        "scrape_configs:",
    ]
    for target in range(targets):
        lines += [
            f"  - job_name: fleet-{target}",
            f"    metrics_path: /metrics/{target}",
            f'    static_configs: [{{ targets: ["127.0.0.1:{exporter_port}"] }}]',
        ]
    return write(path, "\n".join(lines) + "\n")


# One query for all services and one for each kind of counter; each row's `service` says whose it is. A minute of base
# line is learned from instead of an hour, so that within a short run the triggers that need one judge too.
DAEMON = """\
mode = "observe"
state_dir = "{state}"
reports_dir = "{state}/reports"

[baseline]
slot = "15s"
begins = "10m"
ends = "15s"
samples = 4

[http]
listen = "127.0.0.1:{port}"
open_metrics = true

[prometheus.main]
url = "{prometheus}"
rows = {rows}
body_max_bytes = {body_max_bytes}

[template.fleet]
watch_only = true
[template.fleet.signal.error_rate.prometheus]
from = "main"
bad = 'sum by (service) (http_requests_total{{code=~"5.."}})'
total = 'sum by (service) (http_requests_total)'
label = "service"
[template.fleet.signal.latency.prometheus]
from = "main"
histogram = 'sum by (service, le) (http_request_duration_seconds_bucket)'
label = "service"
[template.fleet.signal.cpu.prometheus]
from = "main"
value = 'max by (service) (process_cpu_share)'
label = "service"

[notify.log]
audiences = ["on_call", "stakeholders"]

"""


def daemon(path, services, state, port, prometheus_url):
    head = DAEMON.format(
        state=state,
        port=port,
        prometheus=prometheus_url,
        rows=max(50_000, services * 10),
        body_max_bytes=max(16 << 20, services * 10 * 200),
    )
    each = "".join(f'[service.{name(n)}]\ntemplate = "fleet"\n' for n in range(services))
    return write(path, head + each)


RECORDED = [
    ("service:requests:rate1m", "sum by (service) (rate(http_requests_total[1m]))"),
    (
        "service:errors:ratio1m",
        'sum by (service) (rate(http_requests_total{code=~"5.."}[1m])) / service:requests:rate1m',
    ),
    (
        "service:slow:ratio1m",
        '1 - sum by (service) (rate(http_request_duration_seconds_bucket{le="0.5"}[1m]))'
        ' / sum by (service) (rate(http_request_duration_seconds_bucket{le="+Inf"}[1m]))',
    ),
    (
        "service:latency_seconds:p95_1m",
        "histogram_quantile(0.95, sum by (service, le) (rate(http_request_duration_seconds_bucket[1m])))",
    ),
]

ENOUGH = "service:requests:rate1m * 60 >= 20"
NORMAL = "avg_over_time(service:latency_seconds:p95_1m[1h:1m] offset 2m)"
USUAL = "avg_over_time(service:requests:rate1m[1h:1m] offset 2m)"

ALERTS = [
    ("CriticalErrors", f"service:errors:ratio1m > 0.05 and {ENOUGH}", "5m", "critical"),
    ("CriticalErrorsWorse", f"service:errors:ratio1m > 0.5 and {ENOUGH}", "2m", "critical"),
    ("ElevatedErrors", f"service:errors:ratio1m > 0.01 and {ENOUGH}", "5m", "warning"),
    ("Minor", f"service:errors:ratio1m > 0.005 and {ENOUGH}", "5m", "info"),
    ("PerformanceDegradation", f"service:slow:ratio1m > 0.05 and {ENOUGH}", "10m", "critical"),
    ("SlowResponses", f"service:latency_seconds:p95_1m > 2 and {ENOUGH}", "10m", "warning"),
    ("SlowerThanUsual", f"service:latency_seconds:p95_1m > 1.5 * {NORMAL}", "10m", "warning"),
    ("MinorSlowness", f"service:latency_seconds:p95_1m > 1.2 * {NORMAL}", "10m", "info"),
    ("TrafficCollapse", f"service:requests:rate1m < 0.1 * {USUAL}", "5m", "critical"),
]


def rules(path):
    lines = ["groups:", "  - name: fleet", f"    interval: {TICK_S}s", "    rules:"]
    for record, expression in RECORDED:
        lines += [f"      - record: {record}", f"        expr: '{quoted(expression)}'"]
    for alert, expression, holds, severity in ALERTS:
        lines += [
            f"      - alert: {alert}",
            f"        expr: '{quoted(expression)}'",
            f"        for: {holds}",
            f"        labels: {{ severity: {severity} }}",
        ]
    return write(path, "\n".join(lines) + "\n")


def quoted(text):
    return text.replace("'", "''")
