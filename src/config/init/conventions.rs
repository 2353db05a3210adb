//! How programs of each common kind name their request counters and histograms. Data only: what follows from it is in
//! [`super::propose()`].

use crate::sources::reading::TimeUnit;

/// One way of naming metrics.
#[derive(Debug)]
pub(super) struct Convention {
    /// Who names them so.
    pub(super) name: &'static str,
    /// The same as a word: what a template is called.
    pub(super) key: &'static str,
    /// The counter of all requests.
    pub(super) requests: &'static str,
    /// What every selector needs beside, so that nothing is counted twice or that is no request of a user.
    pub(super) only: &'static [&'static str],
    /// Labels that can tell a failure, each with what it then is; the first one that is there counts.
    pub(super) failed: &'static [(&'static str, &'static str)],
    /// The histogram of response times, and its unit.
    pub(super) histogram: Option<(&'static str, TimeUnit)>,
    /// How to have one, where it is not there by itself.
    pub(super) no_histogram: &'static str,
    /// Labels that can tell the service; the first one that is there counts.
    pub(super) service: &'static [&'static str],
    /// Values of that label that are no service.
    pub(super) not_services: &'static [&'static str],
    /// Why it is no ground to judge a service by, where it is none.
    pub(super) unusable: Option<&'static str>,
}

/// What programs that instrument themselves are told apart by.
const SELF: &[&str] =
    &["application", "service", "service_name", "app", "app_kubernetes_io_name", "job"];

const FAILED: &str = "=~\"5..\"";

const BARE: Convention = Convention {
    name: "",
    key: "",
    requests: "",
    only: &[],
    failed: &[],
    histogram: None,
    no_histogram: "measure response times with a histogram",
    service: SELF,
    not_services: &[],
    unusable: None,
};

/// All of them; of several that know a service the first is taken: a service's own word before a proxy's.
pub(super) const CONVENTIONS: &[Convention] = &[
    Convention {
        name: "Spring Boot (Micrometer)",
        key: "spring-boot",
        requests: "http_server_requests_seconds_count",
        // Probes and scrapes are no users; where they are most of the traffic they hide the errors.
        only: &["uri!~\"/actuator.*\""],
        failed: &[("status", FAILED), ("outcome", "=\"SERVER_ERROR\"")],
        histogram: Some(("http_server_requests_seconds_bucket", TimeUnit::Seconds)),
        no_histogram: "set management.metrics.distribution.percentiles-histogram.http.server.requests=true",
        ..BARE
    },
    Convention {
        name: "OpenTelemetry",
        key: "opentelemetry",
        requests: "http_server_request_duration_seconds_count",
        failed: &[("http_response_status_code", FAILED), ("http_status_code", FAILED)],
        histogram: Some(("http_server_request_duration_seconds_bucket", TimeUnit::Seconds)),
        ..BARE
    },
    Convention {
        name: "OpenTelemetry before 1.23",
        key: "opentelemetry-ms",
        requests: "http_server_duration_milliseconds_count",
        failed: &[("http_status_code", FAILED), ("http_response_status_code", FAILED)],
        histogram: Some(("http_server_duration_milliseconds_bucket", TimeUnit::Milliseconds)),
        ..BARE
    },
    Convention {
        name: "http_requests_total (Go, Node, Python)",
        key: "http",
        requests: "http_requests_total",
        failed: &[
            ("code", FAILED),
            ("status", FAILED),
            ("status_code", FAILED),
            ("http_status", FAILED),
            ("response_code", FAILED),
        ],
        histogram: Some(("http_request_duration_seconds_bucket", TimeUnit::Seconds)),
        ..BARE
    },
    Convention {
        name: "http_request_duration_seconds (Node prom-client, Go)",
        key: "http-duration",
        requests: "http_request_duration_seconds_count",
        failed: &[("status_code", FAILED), ("code", FAILED), ("status", FAILED)],
        histogram: Some(("http_request_duration_seconds_bucket", TimeUnit::Seconds)),
        ..BARE
    },
    Convention {
        name: "gRPC",
        key: "grpc",
        requests: "grpc_server_handled_total",
        failed: &[(
            "grpc_code",
            "=~\"Unknown|DeadlineExceeded|Unimplemented|Internal|Unavailable|DataLoss\"",
        )],
        histogram: Some(("grpc_server_handling_seconds_bucket", TimeUnit::Seconds)),
        no_histogram: "turn the server interceptor's handling time histogram on",
        ..BARE
    },
    Convention {
        name: "Ingress NGINX",
        key: "ingress-nginx",
        requests: "nginx_ingress_controller_requests",
        failed: &[("status", FAILED)],
        histogram: Some((
            "nginx_ingress_controller_request_duration_seconds_bucket",
            TimeUnit::Seconds,
        )),
        service: &["ingress"],
        ..BARE
    },
    Convention {
        name: "NGINX (vts module)",
        key: "nginx-vts",
        requests: "nginx_vts_server_requests_total",
        // The module also tells sums over all codes and all hosts.
        only: &["code=~\"[1-5]xx\"", "host!=\"*\""],
        failed: &[("code", "=\"5xx\"")],
        no_histogram: "set vhost_traffic_status_histogram_buckets, and ask for nginx_vts_server_request_duration_seconds_bucket",
        service: &["host"],
        not_services: &["_"],
        ..BARE
    },
    Convention {
        name: "Istio",
        key: "istio",
        requests: "istio_requests_total",
        // Both ends of a call count it.
        only: &["reporter!=\"source\""],
        failed: &[("response_code", FAILED)],
        histogram: Some(("istio_request_duration_milliseconds_bucket", TimeUnit::Milliseconds)),
        service: &["destination_service_name", "destination_workload"],
        not_services: &[
            "unknown",
            "PassthroughCluster",
            "BlackHoleCluster",
            "InboundPassthroughCluster",
        ],
        ..BARE
    },
    Convention {
        name: "Envoy",
        key: "envoy",
        requests: "envoy_cluster_upstream_rq_xx",
        failed: &[("envoy_response_code_class", "=\"5\"")],
        histogram: Some(("envoy_cluster_upstream_rq_time_bucket", TimeUnit::Milliseconds)),
        service: &["envoy_cluster_name", "cluster_name"],
        not_services: &[
            "agent",
            "prometheus_stats",
            "sds-grpc",
            "xds-grpc",
            "xds_cluster",
            "zipkin",
            "PassthroughCluster",
            "BlackHoleCluster",
            "InboundPassthroughCluster",
            "InboundPassthroughClusterIpv4",
        ],
        ..BARE
    },
    Convention {
        name: "Go (promhttp)",
        key: "promhttp",
        requests: "promhttp_metric_handler_requests_total",
        failed: &[("code", FAILED)],
        unusable: Some("it counts scrapes of /metrics, and no request of a user"),
        ..BARE
    },
];

impl Convention {
    /// The names of its metrics.
    pub(super) fn metrics(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.requests).chain(self.histogram.map(|(name, _)| name))
    }

    /// Whether a metric of this name is one of its own.
    pub(super) fn names(&self, metric: &str) -> bool {
        self.metrics().any(|name| name == metric)
    }

    /// Every label whose values are needed to propose anything.
    pub(super) fn labels(&self) -> Vec<&'static str> {
        let failed = self.failed.iter().map(|(label, _)| *label);
        let mut labels: Vec<&str> = self.service.iter().copied().chain(failed).collect();
        labels.sort_unstable();
        labels.dedup();
        labels
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_convention_can_be_told_and_used() {
        let keys: BTreeSet<&str> = CONVENTIONS.iter().map(|c| c.key).collect();
        assert_eq!(keys.len(), CONVENTIONS.len(), "two templates would have one name");
        for it in CONVENTIONS {
            let told = [it.name, it.key, it.requests, it.no_histogram];
            assert!(told.iter().all(|text| !text.is_empty()), "{it:?}");
            assert!(!it.failed.is_empty() && !it.service.is_empty(), "{it:?}");
            let bucket = it.histogram.is_none_or(|(name, _)| name.ends_with("_bucket"));
            assert!(bucket, "{it:?}");
            let in_ms = it.histogram.is_some_and(|(name, unit)| {
                name.contains("milliseconds") && unit == TimeUnit::Seconds
            });
            assert!(!in_ms, "{it:?}");
        }
    }
}
