//! The keys of every table. Their types are those of the structs, which are taken apart here with nothing left over.

use serde_json::{Map, Value, json};

use super::{Shaped, Tables};
use crate::config::raw::{
    Actuator, Address, Alertmanager, Annotated, Ask, Aws, Baseline, Basic, Check, CloudWatch,
    Command, Database, Deployment, Discover, Escalation, Fleet, Freeze, Frontend, Guard, Heartbeat,
    Http, Job, Kubernetes, Limits, Log, Manifest, Measured, Metric, Migrated, Notify, People, Pods,
    Probe, Raw, Rds, Recurrent, Registries, Release, Restored, Rollback, Row, Scrape, Script,
    Secret, Server, Service, Severities, Signal, Slack, Sns, Store, Switch, Target, Tls, Token,
    Topics, Trigger, Undo, Verification, Webhook,
};

/// A key that is missing here does not compile, nor does one too many. `partial`: a template may say the rest, so that
/// nothing is required.
macro_rules! tables {
    ($($($partial:ident)? [$name:ident] $($key:ident $(= $word:literal)?)*;)+) => {$(
        impl Shaped for $name {
            const REQUIRED: bool = false;
            fn shape(tables: &mut Tables) -> Value {
                let _all = |it: &Self| {
                    let $name { $($key: _,)* } = it;
                };
                let place = stringify!($name);
                if !tables.contains_key(place) {
                    // A table that holds itself would be met again while it is described.
                    tables.insert(place, Value::Null);
                    let keys = Keys { is_partial: said([$(stringify!($partial))?]), ..Keys::default() };
                    $(let keys = keys.add(first([$($word,)? stringify!($key)]), |it: &Self| &it.$key, tables);)*
                    tables.insert(place, keys.shape());
                }
                json!({ "$ref": format!("#/$defs/{place}") })
            }
        }
    )+};
}

fn said<const N: usize>(_: [&str; N]) -> bool {
    N > 0
}

fn first<const N: usize>(words: [&'static str; N]) -> &'static str {
    words[0]
}

#[derive(Default)]
struct Keys {
    is_partial: bool,
    properties: Map<String, Value>,
    required: Vec<&'static str>,
}

impl Keys {
    /// The key's type is the one of the field that is pointed at.
    fn add<S, T: Shaped>(
        mut self,
        key: &'static str,
        _: fn(&S) -> &T,
        tables: &mut Tables,
    ) -> Self {
        self.properties.insert(key.to_owned(), T::shape(tables));
        if T::REQUIRED && !self.is_partial {
            self.required.push(key);
        }
        self
    }

    fn shape(self) -> Value {
        let mut shape = json!({ "type": "object", "properties": self.properties, "additionalProperties": false });
        if !self.required.is_empty() {
            shape["required"] = json!(self.required);
        }
        shape
    }
}

tables! {
    [Raw] mode environment state_dir reports_dir bake watch_after severity guard fleet verification people baseline
        trigger service template discover prometheus kubernetes database aws notify heartbeat http alertmanager token freeze store limits;
    [Address] from secret host_key port_key refresh;
    [Database] url address password tls ca_file connect_timeout statement_timeout replica_url replica_lag_max checks_share;
    [Aws] region profile credentials_file role_arn external_id session_name endpoint ca_file connect_timeout
        attempt_timeout operation_timeout attempts;
    partial [Secret] from secret look_every look_every_watched timeout attempts label even_if_rotated;
    [Check] query no_row within drops_at_most foreign_keys foreign_keys_max every every_watched confirm_after statement_timeout;
    [Migrated] from history_table every every_watched stuck_after compatible_marker history_max check actuator info;
    partial [Actuator] url bean timeout bearer basic ca_file insecure;
    [Discover] template from query label kubernetes every services_max forget_after doubt_factor doubt_for;
    [Annotated] from namespace annotation;
    [Severities] p0 = "P0" p1 = "P1" p2 = "P2" p3 = "P3";
    [Row] response monitor_for act_within verify_within;
    [Guard] max_change_age burning_window noisy_window thin_requests thin_lower_bound cooldown rollbacks_per_hour
        freshness_polls freshness_at_least company_wait;
    [Fleet] storm_services storm_share storm_window rollbacks_per_hour;
    [Verification] hold max_error_rate max_p95 max_cpu max_memory min_requests min_ready ready_for;
    [People] repeat_page_every root_cause_within progress_every blind_watched blind_idle;
    [Baseline] begins ends samples floor slot quantile_window;
    [Trigger] enabled looks_at severity may_act above below slower_than holds_for recovers_after grace share samples
        silence confidence errors span_share buckets requests least_per_minute latched margin alpha
        ignore_first recurrent escalation;
    [Recurrent] enabled horizon breached episodes within;
    [Escalation] enabled above holds_for severity;
    [Service] name environment template mode watch_only bake watch_after acts_on_evidence severity guard verification
        people baseline trigger scrape signal database secret rollback;
    partial [Target] url file dns scheme path targets_max timeout bearer basic ca_file insecure version version_label lag ahead;
    [Signal] kind every every_watched lag unit prometheus scrape http kubernetes cloudwatch;
    [CloudWatch] from period bad total value requests metric;
    [Measured] expression namespace metric dimensions stat;
    partial [Metric] namespace metric dimensions stat;
    [Ask] from bad total histogram value requests label label_value version_label fold;
    [Scrape] bad total histogram value requests fold by;
    partial [Probe] url method status proxy_status body timeout bearer basic ca_file insecure;
    [Rollback] application maintenance database snapshot rds before after check job;
    partial [Release] root restart running switch_timeout restart_timeout attempts look_every look_every_watched;
    partial [Deployment] from namespace deployment container look_every undo_timeout rollout_timeout stuck_after attempts
        owner not_configuration previous_version_annotation image_prefix;
    partial [Frontend] from bucket prefix url distribution marker pointer archive manifests pages left_out also_invalidate
        paths_max at_once pages_max versions_max objects_max copy_timeout invalidate_timeout verify_timeout attempts look_every
        look_every_watched;
    partial [Manifest] manifest timeout attempts required page_after;
    partial [Restored] files time_zone through pg_restore options lost every every_watched files_max timeout stop_writes stop start env dir automatic;
    [Rds] from instance cluster snapshots snapshots_max max_age fallbacks time_zone every every_watched wait_every
        timeout verify lost stop_writes stop start env dir automatic;
    [Undo] undo cron_job keep script through lock_timeout verify env dir timeout stop_writes stop start automatic;
    partial [Switch] on off observe env dir timeout attempts required page_after;
    [Pods] from namespace deployment patterns lines within bytes_max pods_max of container;
    [Kubernetes] kubeconfig context in_cluster all_namespaces labels stale_after reopen_every connect_timeout page
        argocd_namespace config_maps secrets secrets_key events_max registries;
    [Registries] ask timeout keep images_max at_once pull_secrets plain_http ca_file;
    [Command] argv env dir timeout;
    partial [Script] title argv env dir timeout observe idempotent attempts;
    partial [Job] title cron_job timeout keep attempts;
    [Server] url timeout bearer basic ca_file insecure lag ahead rows body_max_bytes backfill;
    [Notify] audiences deadline log slack webhook sns;
    [Log];
    [Slack] url mention;
    [Sns] from topic_arn;
    [Webhook] url bearer basic headers signing_key;
    [Basic] user password;
    [Heartbeat] url every;
    [Http] enabled listen tls allow_plain_beyond_loopback open_metrics sns;
    [Topics] from topics;
    [Tls] cert_file key_file;
    [Token] scopes file env;
    [Freeze] from until reason;
    [Store] journal_keep lease_wait busy_wait outbox_max settled_max answer_keep answers_max snapshot_every
        snapshot_keep;
    [Limits] polls_at_once deliveries_at_once body_max_bytes labels_max alerts_max connections_max read_timeout
        answer_timeout scrape_body_max_bytes scrape_series_max;
    [Alertmanager] url ask_every timeout bearer basic ca_file insecure service_label environment_label severity_label
        severity without_severity;
}
