//! A client that tells when it has opened a watch.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hyper::{Request, Response, header::RETRY_AFTER};
use kube::{
    Client,
    client::{Body, ClientBuilder},
};
use tokio::sync::watch;
use tower::{Layer, Service};

use crate::kubernetes::access::{self, Options};

/// How often a client has opened a watch so far.
pub(super) type Opened = watch::Receiver<u64>;
/// For how long the API server asked to be left alone when it last had too much to do.
pub(super) type Asked = watch::Receiver<Duration>;

/// A client, and what is seen of its answers.
pub(super) async fn client(options: &Options) -> Result<(Client, Opened, Asked), String> {
    // A watch may be silent for as long as it is open.
    let silent_for = (options.reopen_every + options.stale_after).duration();
    let (count, opened) = watch::channel(0);
    let (pause, asked) = watch::channel(Duration::ZERO);
    let layer = CountsWatches { count, pause };
    let build = move |config| Ok(ClientBuilder::try_from(config)?.with_layer(&layer).build());
    Ok((access::client(options, silent_for, build).await?, opened, asked))
}

/// kube's watcher says what comes over a watch, but not that one was opened again after a failure: with nothing new in
/// the cluster nobody would know that it is heard again.
#[derive(Clone, Debug)]
struct CountsWatches {
    count: watch::Sender<u64>,
    pause: watch::Sender<Duration>,
}

impl<S> Layer<S> for CountsWatches {
    type Service = Counting<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Counting { inner, count: self.count.clone(), pause: self.pause.clone() }
    }
}

#[derive(Clone, Debug)]
struct Counting<S> {
    inner: S,
    count: watch::Sender<u64>,
    pause: watch::Sender<Duration>,
}

impl<S, B> Service<Request<Body>> for Counting<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let query = request.uri().query().unwrap_or_default();
        let is_watch = query.split('&').any(|pair| pair == "watch=true");
        let (count, pause) = (self.count.clone(), self.pause.clone());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            pause.send_replace(asked_pause(&answer));
            if is_watch && answer.status().is_success() {
                count.send_modify(|count| *count = count.wrapping_add(1));
            }
            Ok(answer)
        })
    }
}

/// Only the header says it: kube hands over the body.
fn asked_pause<B>(answer: &Response<B>) -> Duration {
    let said = answer.headers().get(RETRY_AFTER).and_then(|said| said.to_str().ok()?.parse().ok());
    said.filter(|_| !answer.status().is_success()).map_or(Duration::ZERO, Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_too_much_to_do_says_for_how_long_in_a_header() {
        let pause = |status: u16, said: &str| {
            let answer = Response::builder().status(status).header(RETRY_AFTER, said).body(());
            asked_pause(&answer.unwrap())
        };
        assert_eq!(pause(429, "7"), Duration::from_secs(7));
        assert_eq!(pause(503, "1"), Duration::from_secs(1));
        assert_eq!((pause(200, "7"), pause(429, "soon")), (Duration::ZERO, Duration::ZERO));
    }
}
