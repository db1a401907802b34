//! What is counted by route, as families of `/metrics`.

use super::families::{count, family, float, labelled};
use super::requests::{BOUNDS, Histogram, RouteStats, WorkerStats};
use prometheus::proto::{Bucket, Histogram as HistogramValue, Metric, MetricFamily, MetricType};

/// Under this name the workers count requests that no route matched. They have
/// no upstream and no replay, so that all but their number would be noise.
const NO_ROUTE: &str = "_none";

/// All that is counted by route.
pub(super) fn families(workers: &WorkerStats) -> Vec<MetricFamily> {
    let routes = &workers.routes;
    let all = |of: fn(&str, &RouteStats) -> Vec<Metric>| {
        let series = routes.iter().flat_map(|(route, stats)| of(route, stats));
        series.collect::<Vec<_>>()
    };
    let series = |of: fn(&str, &RouteStats) -> Vec<Metric>| {
        let routes = routes.iter().filter(|(route, _)| &***route != NO_ROUTE);
        let series = routes.flat_map(|(route, stats)| of(route, stats));
        series.collect::<Vec<_>>()
    };
    let histograms = [
        (
            "sidekey_request_duration_seconds",
            "From a request's head to the end of its response's head.",
            series(|route, stats| durations(route, &stats.duration)),
        ),
        (
            "sidekey_upstream_duration_seconds",
            "From sending a head upstream to its response's head; a replay adds its own.",
            series(|route, stats| durations(route, &stats.upstream)),
        ),
        (
            "sidekey_overhead_seconds",
            "What sidekey itself took: the request's duration without upstream and token wait.",
            series(|route, stats| durations(route, &stats.overhead)),
        ),
        (
            "sidekey_token_wait_seconds",
            "Waiting for a token; only requests that had to wait.",
            series(|route, stats| durations(route, &stats.token_wait)),
        ),
    ];
    let mut families = vec![
        family(
            "sidekey_requests_total",
            "Requests answered, by route and status code.",
            MetricType::COUNTER,
            all(requests),
        ),
        family(
            "sidekey_replays_total",
            "Rejections by an upstream (401, 403) and what became of their replay.",
            MetricType::COUNTER,
            series(replays),
        ),
        family(
            "sidekey_oversized_heads_total",
            "Requests whose head an upstream found too large (431).",
            MetricType::COUNTER,
            series(|route, stats| vec![count(&[("route", route)], float(stats.oversized.heads))]),
        ),
        family(
            "sidekey_oversized_head_bytes_total",
            "Bytes of such heads, by what they were: cookies, the token, or the rest.",
            MetricType::COUNTER,
            series(oversized_bytes),
        ),
        family(
            "sidekey_informational_answers_total",
            "Interim answers of upstreams (1xx but 100), which end here.",
            MetricType::COUNTER,
            series(interim),
        ),
        family(
            "sidekey_streams_closed_total",
            "WebSockets and streamed answers that sidekey ended before their own end.",
            MetricType::COUNTER,
            series(streams_closed),
        ),
    ];
    families.extend(
        histograms.map(|(name, help, series)| family(name, help, MetricType::HISTOGRAM, series)),
    );
    families
}

fn requests(route: &str, stats: &RouteStats) -> Vec<Metric> {
    let mut codes: Vec<_> = stats.codes().collect();
    codes.sort_unstable();
    codes
        .into_iter()
        .map(|(code, n)| count(&[("route", route), ("code", &code.to_string())], float(n)))
        .collect()
}

fn interim(route: &str, stats: &RouteStats) -> Vec<Metric> {
    let one = |(code, n): (u16, u64)| {
        let code = code.to_string();
        count(&[("route", route), ("code", &code)], float(n))
    };
    stats.interim().map(one).collect()
}

fn replays(route: &str, stats: &RouteStats) -> Vec<Metric> {
    stats
        .replays()
        .map(|(outcome, n)| {
            let labels = [("route", route), ("outcome", outcome.as_str())];
            count(&labels, float(n))
        })
        .collect()
}

fn oversized_bytes(route: &str, stats: &RouteStats) -> Vec<Metric> {
    let bytes = stats.oversized.bytes;
    [
        ("cookies", bytes.cookies),
        ("token", bytes.token),
        ("rest", bytes.rest),
    ]
    .map(|(part, n)| count(&[("route", route), ("part", part)], float(n)))
    .to_vec()
}

fn streams_closed(route: &str, stats: &RouteStats) -> Vec<Metric> {
    stats
        .streams_closed()
        .map(|(why, n)| {
            let labels = [("route", route), ("reason", why.as_str())];
            count(&labels, float(n))
        })
        .collect()
}

fn durations(route: &str, histogram: &Histogram) -> Vec<Metric> {
    let mut so_far = 0;
    let buckets = BOUNDS.iter().zip(&histogram.buckets).map(|(bound, n)| {
        so_far += n;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(so_far);
        bucket
    });
    let mut value = HistogramValue::default();
    value.set_bucket(buckets.collect());
    value.set_sample_count(histogram.count());
    value.set_sample_sum(float(histogram.sum_nanos) / 1e9);
    let mut metric = labelled(&[("route", route)]);
    metric.set_histogram(value);
    vec![metric]
}
