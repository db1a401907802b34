//! Sends finished spans to the collector: OTLP over HTTP, from the cold
//! runtime. Whatever happens there costs spans and nothing else.

use crate::base::backoff::Backoff;
use crate::config::traces::Traces;
use crate::telemetry::context::Ratio;
use crate::telemetry::otlp::{Resource, rejected};
use crate::telemetry::spans::{Batch, Fate, Spans, Tracing, Waiting, channel};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use std::error::Error;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, sleep_until, timeout};

/// How long spans are gathered before they are sent.
const GATHER_TIME: Duration = Duration::from_secs(1);
/// Bytes of spans that are sent at once, give or take one batch.
const GATHER_BYTES: usize = 512 * 1024;
/// For one request to the collector, until its answer is read.
const POST_TIME: Duration = Duration::from_secs(10);
/// How often the same spans are sent; later ones wait meanwhile.
const TRIES: u32 = 4;
/// The longest pause between two tries, whatever the collector asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Bytes of the collector's answer that are read.
const LONGEST_ANSWER: usize = 64 * 1024;
/// What the last spans may take at the end, however much of the drain is left.
const LAST_SPANS: Duration = Duration::from_secs(5);

/// The running sender.
pub struct Collector {
    pub tracing: Tracing,
    ending: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Starts sending, on the calling (cold) runtime.
///
/// # Errors
/// In words, when TLS can't be set up.
pub fn start(traces: &Traces) -> Result<Collector, String> {
    let (spans, waiting) = channel();
    let (ending, ends) = watch::channel(false);
    let sender = Sender {
        http: client(traces)?,
        endpoint: traces.endpoint.clone(),
        resource: Resource::new(&traces.resource),
        waiting,
        ending: ends,
        in_trouble: false,
    };
    Ok(Collector {
        tracing: Tracing {
            spans,
            ratio: Ratio::new(traces.ratio),
        },
        ending,
        task: tokio::spawn(sender.run()),
    })
}

impl Collector {
    /// How many spans became what.
    #[must_use]
    pub fn spans(&self) -> Spans {
        self.tracing.spans.clone()
    }

    /// Sends what is left, for at most `limit`.
    pub async fn finish(mut self, limit: Duration) {
        let _ = self.ending.send(true);
        if timeout(limit.min(LAST_SPANS), &mut self.task)
            .await
            .is_err()
        {
            self.task.abort();
            tracing::warn!(target: "sidekey", "the last spans could not be sent in time");
        }
    }
}

fn client(traces: &Traces) -> Result<Client, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in &traces.headers {
        // The configuration has made sure of these.
        if let Ok(mut value) = HeaderValue::from_str(value.expose()) {
            value.set_sensitive(true);
            headers.append(name, value);
        }
    }
    let protobuf = HeaderValue::from_static("application/x-protobuf");
    headers.insert(CONTENT_TYPE, protobuf);
    Client::builder()
        .default_headers(headers)
        .timeout(POST_TIME)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .user_agent(concat!("sidekey/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(in_words)
}

struct Sender {
    http: Client,
    endpoint: String,
    resource: Resource,
    waiting: Waiting,
    ending: watch::Receiver<bool>,
    /// The last request failed, which has been said.
    in_trouble: bool,
}

/// Why a request failed.
struct Trouble {
    why: String,
    /// It may go better with the next one; then after this pause at the least.
    passing: Option<Duration>,
}

impl Sender {
    async fn run(mut self) {
        while let Some(first) = self.next().await {
            let Batch { bytes, count } = self.gathered(first).await;
            let request = Bytes::from(self.resource.request(&bytes));
            drop(bytes);
            let failed = self.deliver(request).await.unwrap_or(count).min(count);
            self.waiting.count(Fate::Exported, count - failed);
            self.waiting.count(Fate::Failed, failed);
        }
    }

    /// The next batch; at the end only those that are there.
    async fn next(&mut self) -> Option<Batch> {
        tokio::select! {
            biased;
            batch = self.waiting.next() => batch,
            () = ended(&mut self.ending) => self.waiting.next_now(),
        }
    }

    /// What comes soon after the first goes with it.
    async fn gathered(&mut self, mut all: Batch) -> Batch {
        let until = tokio::time::Instant::now() + GATHER_TIME;
        while all.bytes.len() < GATHER_BYTES {
            let next = tokio::select! {
                next = self.next() => next,
                () = sleep_until(until) => None,
            };
            let Some(Batch { bytes, count }) = next else {
                break;
            };
            all.bytes.extend_from_slice(&bytes);
            all.count += count;
        }
        all
    }

    /// Sends spans, more than once if need be; gives how many of them the
    /// collector has refused, or `None` for all.
    async fn deliver(&mut self, request: Bytes) -> Option<u64> {
        let mut backoff = Backoff::new(Duration::from_secs(1), LONGEST_PAUSE);
        for left in (0..TRIES).rev() {
            let trouble = match self.post(request.clone()).await {
                Ok(rejected) => {
                    self.say_recovered();
                    return Some(rejected);
                }
                Err(trouble) => trouble,
            };
            self.say_trouble(&trouble.why);
            let asked = trouble.passing?;
            if left == 0 || *self.ending.borrow() {
                break;
            }
            let pause = backoff.next(fastrand::f64()).max(asked.min(LONGEST_PAUSE));
            tokio::select! {
                () = sleep(pause) => {}
                () = ended(&mut self.ending) => {}
            }
        }
        None
    }

    async fn post(&self, request: Bytes) -> Result<u64, Trouble> {
        let passing = |error| Trouble {
            why: in_words(error),
            passing: Some(Duration::ZERO),
        };
        let sent = self.http.post(&self.endpoint).body(request).send();
        let mut response = sent.await.map_err(passing)?;
        if !response.status().is_success() {
            return Err(refused(&response));
        }
        let mut answer = Vec::new();
        // What can't be read of it says nothing; the spans have arrived.
        while let Ok(Some(chunk)) = response.chunk().await
            && answer.len() + chunk.len() <= LONGEST_ANSWER
        {
            answer.extend_from_slice(&chunk);
        }
        Ok(rejected(&answer))
    }

    /// Once for all that fails in a row.
    fn say_trouble(&mut self, why: &str) {
        if !std::mem::replace(&mut self.in_trouble, true) {
            tracing::warn!(
                target: "sidekey",
                "spans can't be sent to {}: {why}; sidekey_spans_total counts those that are lost",
                self.endpoint
            );
        }
    }

    fn say_recovered(&mut self) {
        if std::mem::take(&mut self.in_trouble) {
            tracing::info!(target: "sidekey", "spans reach {} again", self.endpoint);
        }
    }
}

/// Waits until the process is about to end.
async fn ended(ending: &mut watch::Receiver<bool>) {
    let _ = ending.wait_for(|ending| *ending).await;
}

/// Which refusals pass is the protocol's to say (OTLP 1.5, "Failures").
fn refused(response: &Response) -> Trouble {
    let status = response.status();
    let passes = matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    );
    let asked = response.headers().get(RETRY_AFTER);
    let asked = asked.and_then(|value| retry_after(value.to_str().ok()?, SystemTime::now()));
    Trouble {
        why: format!("it answers {}", status.as_u16()),
        passing: passes.then_some(asked.unwrap_or_default()),
    }
}

/// Seconds, or a date (RFC 9110, 10.2.3).
fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// The innermost cause, which names no URL.
fn in_words(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut innermost: &dyn Error = &error;
    while let Some(inner) = innermost.source() {
        innermost = inner;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::retry_after;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn a_pause_is_asked_for_in_seconds_or_by_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_770);
        let in_seconds = |text| retry_after(text, now).map(|pause| pause.as_secs());
        assert_eq!(in_seconds("7"), Some(7));
        assert_eq!(in_seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(7));
        assert_eq!(in_seconds("Sun, 06 Nov 1994 08:49:00 GMT"), Some(0));
        assert_eq!(in_seconds("soon"), None);
    }
}
