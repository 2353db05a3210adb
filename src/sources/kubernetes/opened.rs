//! A client that tells when it has opened a watch.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use hyper::{Request, Response};
use kube::{
    Client,
    client::{Body, ClientBuilder},
};
use tokio::sync::watch;
use tower::{Layer, Service};

use crate::kubernetes::access::{self, Options};

/// A client, and how often it has opened a watch so far.
pub(super) async fn client(options: &Options) -> Result<(Client, watch::Receiver<u64>), String> {
    // A watch may be silent for as long as it is open.
    let silent_for = (options.reopen_every + options.stale_after).duration();
    let (count, opened) = watch::channel(0);
    let build =
        |config| Ok(ClientBuilder::try_from(config)?.with_layer(&CountsWatches { count }).build());
    Ok((access::client(options, silent_for, build).await?, opened))
}

/// kube's watcher says what comes over a watch, but not that one was opened again after a failure: with nothing new in
/// the cluster nobody would know that it is heard again.
#[derive(Clone, Debug)]
struct CountsWatches {
    count: watch::Sender<u64>,
}

impl<S> Layer<S> for CountsWatches {
    type Service = Counting<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Counting { inner, count: self.count.clone() }
    }
}

#[derive(Clone, Debug)]
struct Counting<S> {
    inner: S,
    count: watch::Sender<u64>,
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
        let (count, answer) = (self.count.clone(), self.inner.call(request));
        Box::pin(async move {
            let answer = answer.await?;
            if is_watch && answer.status().is_success() {
                count.send_modify(|count| *count = count.wrapping_add(1));
            }
            Ok(answer)
        })
    }
}
