//! The daemon's own HTTP interface: what others tell it, what people look at and say.
//!
//! It decides nothing: everything goes through [`Handle`], and an answer is given once what followed is durable.

mod alertmanager;
mod answers;
pub mod auth;
mod body;
mod changes;
mod evidence;
mod incidents;
mod metrics;
pub mod posted;
pub mod problem;
mod serve;
mod services;
mod sns;
#[cfg(test)]
mod tests;
mod trial;
mod unmatched;
pub mod views;

use std::sync::{
    Arc, Mutex, OnceLock, PoisonError, RwLock,
    atomic::{AtomicU64, Ordering},
};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use metrics_exporter_prometheus::PrometheusHandle;

pub use self::serve::{BindError, Server};
use self::{auth::Tokens, problem::Problem, unmatched::Unmatched};
use crate::{
    config::{Http, HttpLimits, Mapping, Scope, SnsTopics},
    domain::{
        event::{Event, What},
        incident::speak::Reply,
        plan::hex,
    },
    handle::{Handle, trials::Trials},
};

/// What a reload may change.
#[derive(Debug)]
struct Settings {
    tokens: Tokens,
    mapping: Mapping,
    limits: HttpLimits,
    topics: SnsTopics,
    open_metrics: bool,
}

/// What all requests share.
#[derive(Debug)]
pub struct Interface {
    handle: Handle,
    metrics: PrometheusHandle,
    settings: RwLock<Arc<Settings>>,
    unmatched: Mutex<Unmatched>,
    certificates: sns::Certificates,
    boot: String,
    events: AtomicU64,
    /// Who tries a script, once there is a daemon behind it that can.
    trials: OnceLock<Trials>,
    /// Why the daemon could not start, if it could not: then this is all that is answered.
    cannot_start: Option<String>,
}

type Shared = Arc<Interface>;

impl Interface {
    /// An interface to the event loop behind `handle`.
    pub fn new(
        handle: Handle,
        metrics: PrometheusHandle,
        tokens: Tokens,
        options: &Http,
    ) -> std::io::Result<Arc<Self>> {
        Self::build(handle, metrics, tokens, options, None)
    }

    /// The interface of a daemon that could not start: whoever asks is told why, and only its metrics are shown.
    pub fn that_cannot_start(
        why: String,
        metrics: PrometheusHandle,
        tokens: Tokens,
        options: &Http,
    ) -> std::io::Result<Arc<Self>> {
        let (nobody, _) = Handle::channel(1);
        Self::build(nobody, metrics, tokens, options, Some(why))
    }

    fn build(
        handle: Handle,
        metrics: PrometheusHandle,
        tokens: Tokens,
        options: &Http,
        cannot_start: Option<String>,
    ) -> std::io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            handle,
            metrics,
            settings: RwLock::new(Arc::new(Settings::of(tokens, options))),
            unmatched: Mutex::new(Unmatched::default()),
            certificates: sns::Certificates::default(),
            boot: hex(&auth::random::<4>()?),
            events: AtomicU64::new(1),
            trials: OnceLock::new(),
            cannot_start,
        }))
    }

    /// Follows another configuration from now on; where it listens stays.
    pub fn adopt(&self, tokens: Tokens, options: &Http) {
        let settings = Arc::new(Settings::of(tokens, options));
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
    }

    /// Lets people have scripts tried, by whoever is at the other end.
    pub fn try_with(&self, trials: Trials) {
        // It is the same for as long as the daemon lives.
        let _ = self.trials.set(trials);
    }

    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells the event loop; `Ok` means that what followed is durable.
    async fn tell(&self, what: What) -> Result<Option<Reply>, Problem> {
        let number = self.events.fetch_add(1, Ordering::Relaxed);
        let event = Event { id: format!("http-{}-{number}", self.boot), what };
        let within = self.settings().limits.answer_timeout.duration();
        match tokio::time::timeout(within, self.handle.tell(event)).await {
            Ok(answered) => Ok(answered?),
            // What is queued stays queued: its turn may come after nobody waits for the answer.
            Err(_) => Err(Problem::in_doubt("the event loop did not answer in time")),
        }
    }
}

impl Settings {
    fn of(tokens: Tokens, options: &Http) -> Self {
        Self {
            tokens,
            mapping: options.mapping.clone(),
            limits: options.limits,
            topics: options.topics.clone(),
            open_metrics: options.open_metrics,
        }
    }
}

/// Every address, each behind the scope that it needs.
fn router(shared: &Shared) -> Router {
    let behind = |scope: Scope, routes: Router<Shared>| {
        let state = (Arc::clone(shared), scope);
        routes.route_layer(middleware::from_fn_with_state(state, auth::require))
    };
    let view = Router::new()
        .route("/metrics", get(metrics::metrics))
        .route("/v1/services", get(services::list))
        .route("/v1/services/{name}", get(services::one_of_that_name))
        .route("/v1/services/{name}/{environment}", get(services::one))
        .route("/v1/services/{name}/{environment}/explain", get(services::explain))
        .route("/v1/services/{name}/{environment}/plan", get(services::plan))
        .route("/v1/incidents", get(incidents::list))
        .route("/v1/incidents/{id}", get(incidents::one))
        .route("/v1/incidents/{id}/report", get(incidents::report))
        .route("/v1/unmatched", get(unmatched::list));
    let operate = Router::new()
        .route("/v1/services/{name}/{environment}/dry-run", post(trial::dry_run))
        .route("/v1/services/{name}/{environment}/{verb}", post(services::speak));
    Router::new()
        .merge(behind(Scope::View, view))
        .merge(behind(Scope::Operate, operate))
        .merge(behind(
            Scope::Alerts,
            Router::new()
                .route("/v1/alertmanager", post(alertmanager::receive))
                .route("/v1/sns", post(sns::receive)),
        ))
        .merge(behind(Scope::Changes, Router::new().route("/v1/changes", post(changes::receive))))
        .merge(behind(
            Scope::Evidence,
            Router::new().route("/v1/evidence", post(evidence::receive)),
        ))
        .route("/healthz", get(metrics::alive))
        .route("/readyz", get(metrics::ready))
        .fallback(nowhere)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(Arc::clone(shared), started))
        .layer(middleware::from_fn(account))
        .with_state(Arc::clone(shared))
}

/// Of a daemon that could not start nobody wants anything but the reason; a sender sends again.
async fn started(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let answered = matches!(request.uri().path(), "/healthz" | "/metrics");
    match &shared.cannot_start {
        Some(why) if !answered => {
            Problem::unavailable(format!("the daemon cannot start: {why}")).into_response()
        }
        Some(_) | None => next.run(request).await,
    }
}

async fn nowhere() -> Problem {
    Problem::not_found("there is nothing at this address; the interface begins at /v1/")
}

async fn wrong_method(request: Request) -> Problem {
    Problem::wrong_method(format!("{} is not taken here", request.method()))
}

/// Counts every request, completes a problem with its path, and logs it once.
async fn account(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    let status = response.status();
    let route = route.unwrap_or_else(|| "other".to_owned());
    ::metrics::counter!(
        "rollbackd_http_requests_total",
        "route" => route, "status" => status.as_str().to_owned()
    )
    .increment(1);
    let Some(mut problem) = response.extensions().get::<Problem>().cloned() else {
        return response;
    };
    if status.is_server_error() {
        tracing::error!(http.path = %path, http.status = status.as_u16(), "a request to {path} could not be served: {}", problem.detail);
    } else {
        tracing::info!(http.path = %path, http.status = status.as_u16(), "a request to {path} was refused: {}", problem.detail);
    }
    problem.instance = Some(path);
    problem.into_response()
}
