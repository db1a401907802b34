//! `/metrics`: everything counted, in the Prometheus text format.

use super::accounts::AccountFigures;
use super::by_route;
use super::families::{count, counter, family, float, gauge, level};
use super::issuers::{self, KeyFetches};
use super::process;
use super::refreshes::RefreshMetrics;
use super::requests::WorkerStats;
use super::spans::Fate;
use prometheus::proto::{Metric, MetricFamily, MetricType};
use prometheus::{Encoder, TextEncoder};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The content type of what [`render`] gives.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Every `Sidekey-Error` of the proxy, and what fails before there could be one, so
/// that each counts from 0: a first refusal would otherwise be no increase.
const REASONS: [&str; 15] = [
    "account_not_connected",
    "bad_request",
    "caller_not_allowed",
    "caller_not_authenticated",
    "method_not_allowed",
    "overloaded",
    "payload_too_large",
    "reconnect_required",
    "route_not_found",
    "tls_handshake",
    "token_unavailable",
    "upstream_timeout",
    "upstream_tls_error",
    "upstream_unreachable",
    "uri_too_long",
];

/// What a scrape shows besides the refresh wing's own counters.
#[derive(Default)]
pub struct Snapshot {
    pub workers: WorkerStats,
    pub accounts: AccountFigures,
    pub access_log_dropped: u64,
    pub log_dropped: u64,
    /// Spans by their fate, where traces are configured.
    pub spans: Option<[u64; Fate::ALL.len()]>,
    /// How many readings of the configuration succeeded, and how many failed.
    pub reloads: (u64, u64),
    /// The last one failed.
    pub reload_failed: bool,
    /// How fetches of each issuer's keys have ended.
    pub issuers: Vec<KeyFetches>,
    /// How workers wait for sockets.
    pub io: &'static str,
}

/// Renders a scrape. Reads `/proc`, so call it off an event loop.
#[must_use]
pub fn render(snapshot: &Snapshot, refreshes: &RefreshMetrics) -> String {
    let mut families = by_route::families(&snapshot.workers);
    families.extend(worker_families(&snapshot.workers));
    families.extend(snapshot.workers.tunnels.families());
    families.extend(snapshot.accounts.families());
    families.extend(refreshes.collect());
    families.extend(own_families(snapshot));
    families.extend(issuers::families(&snapshot.issuers));
    families.extend(process::collect());
    // The encoder takes a family without series for a mistake.
    families.retain(|family| !family.get_metric().is_empty());
    let mut text = Vec::new();
    let encoded = TextEncoder::new().encode(&families, &mut text);
    debug_assert!(encoded.is_ok(), "families have names and series");
    String::from_utf8(text).unwrap_or_default()
}

fn worker_families(workers: &WorkerStats) -> Vec<MetricFamily> {
    let mut refused: BTreeMap<&str, u64> = REASONS.map(|reason| (reason, 0)).into();
    refused.extend(&workers.refused);
    let refused = refused
        .into_iter()
        .map(|(reason, n)| count(&[("reason", reason)], float(n)));
    vec![
        family(
            "sidekey_refused_total",
            "Answers that sidekey made itself, by their Sidekey-Error code; and failed handshakes.",
            MetricType::COUNTER,
            refused.collect(),
        ),
        family(
            "sidekey_upstream_healthy",
            "1 of an address of an upstream with several; 0 while requests go past it.",
            MetricType::GAUGE,
            workers.upstreams.iter().map(healthy).collect(),
        ),
        gauge(
            "sidekey_connections",
            "Open connections of callers.",
            float(workers.connections),
        ),
        gauge(
            "sidekey_replay_buffer_bytes",
            "Bytes of request bodies held for a replay.",
            float(workers.replay_buffer_bytes),
        ),
    ]
}

fn healthy(((route, address), is_well): (&(Arc<str>, Arc<str>), &bool)) -> Metric {
    let labels = [("route", &**route), ("address", &**address)];
    level(&labels, float(u64::from(*is_well)))
}

fn own_families(snapshot: &Snapshot) -> Vec<MetricFamily> {
    let build = [("version", env!("CARGO_PKG_VERSION")), ("io", snapshot.io)];
    vec![
        family(
            "sidekey_build_info",
            "Always 1; what is running.",
            MetricType::GAUGE,
            vec![level(&build, 1.0)],
        ),
        gauge(
            "sidekey_config_last_reload_successful",
            "1 when the configuration was last read without a mistake.",
            float(u64::from(!snapshot.reload_failed)),
        ),
        family(
            "sidekey_config_reloads_total",
            "Times that the configuration was read again while running, by how that ended.",
            MetricType::COUNTER,
            vec![
                count(&[("result", "success")], float(snapshot.reloads.0)),
                count(&[("result", "failure")], float(snapshot.reloads.1)),
            ],
        ),
        counter(
            "sidekey_access_log_dropped_total",
            "Lines of the access log lost because its reader was too slow.",
            float(snapshot.access_log_dropped),
        ),
        counter(
            "sidekey_log_dropped_total",
            "Lines of the log lost because its reader was too slow.",
            float(snapshot.log_dropped),
        ),
        family(
            "sidekey_spans_total",
            "Spans of recorded traces, by what became of them.",
            MetricType::COUNTER,
            spans(snapshot),
        ),
    ]
}

fn spans(snapshot: &Snapshot) -> Vec<Metric> {
    let counts = snapshot.spans.iter().flatten();
    Fate::ALL
        .iter()
        .zip(counts)
        .map(|(fate, n)| count(&[("outcome", fate.as_str())], float(*n)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::accounts::AccountSample;
    use super::super::refreshes::{NamedAccounts, Outcome, RefreshMetrics, Trigger};
    use super::super::requests::{ReplayOutcome, RouteStats, WorkerStats};
    use super::super::tunnels::TunnelEnd;
    use super::{AccountFigures, KeyFetches, Snapshot, render};
    use std::io::Write;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    fn sample(key: &str, connected: bool, expires_at: Option<f64>) -> AccountSample<'_> {
        let state = if connected { "connected" } else { "waiting" };
        AccountSample {
            key,
            state,
            connected,
            reconnect_at_expiry: false,
            expires_at,
        }
    }

    fn scrape() -> String {
        let mut route = RouteStats::default();
        route.answered(200);
        route.answered(200);
        route.answered(404);
        route.replay(ReplayOutcome::Cured);
        route.came_before(&[103]);
        route.duration.observe(Duration::from_micros(60));
        route.duration.observe(Duration::from_secs(60));
        let mut workers = WorkerStats::default();
        workers.routes.insert("c\"rm\\\n".into(), route);
        workers.refused.insert("route_not_found", 3);
        workers.tunnels.ended(TunnelEnd::Idle);
        workers.tunnels.carried((1, 2));
        let mut unrouted = RouteStats::default();
        unrouted.answered(404);
        unrouted.duration.observe(Duration::from_micros(60));
        workers.routes.insert("_none".into(), unrouted);
        let refreshes = RefreshMetrics::new(NamedAccounts::first(1, ["a", "b", "c"]));
        refreshes.ended("b", Trigger::Scheduled, Outcome::Success);
        let mut accounts = AccountFigures::new(["connected", "waiting", "misconfigured"]);
        for (key, connected, expires_at) in [
            ("a", true, Some(100.0)),
            ("b", true, Some(300.0)),
            ("c", false, Some(200.0)),
        ] {
            accounts.add(&refreshes.named(), &sample(key, connected, expires_at));
        }
        let snapshot = Snapshot {
            workers,
            accounts,
            access_log_dropped: 4,
            io: "epoll",
            reloads: (2, 1),
            reload_failed: true,
            log_dropped: 0,
            spans: Some([5, 0, 1]),
            issuers: vec![KeyFetches {
                issuer: "https://a.example".into(),
                succeeded: 3,
                failed: 1,
                keys: 2,
            }],
        };
        render(&snapshot, &refreshes)
    }

    #[test]
    fn every_family_shows_what_was_counted() {
        let text = scrape();
        let route = r#"route="c\"rm\\\n""#;
        for line in [
            format!("sidekey_requests_total{{{route},code=\"200\"}} 2"),
            format!("sidekey_requests_total{{{route},code=\"404\"}} 1"),
            format!("sidekey_informational_answers_total{{{route},code=\"103\"}} 1"),
            format!("sidekey_replays_total{{{route},outcome=\"cured\"}} 1"),
            format!("sidekey_replays_total{{{route},outcome=\"budget\"}} 0"),
            format!("sidekey_request_duration_seconds_bucket{{{route},le=\"0.00005\"}} 0"),
            format!("sidekey_request_duration_seconds_bucket{{{route},le=\"0.0001\"}} 1"),
            format!("sidekey_request_duration_seconds_bucket{{{route},le=\"30\"}} 1"),
            format!("sidekey_request_duration_seconds_bucket{{{route},le=\"+Inf\"}} 2"),
            format!("sidekey_request_duration_seconds_sum{{{route}}} 60.00006"),
            "sidekey_refused_total{reason=\"route_not_found\"} 3".into(),
            "sidekey_refused_total{reason=\"overloaded\"} 0".into(),
            "sidekey_account_connected{account=\"_other\"} 1".into(),
            "sidekey_account_connected{account=\"a\"} 1".into(),
            "sidekey_token_expiration_timestamp_seconds{account=\"_other\"} 200".into(),
            "sidekey_accounts{state=\"misconfigured\"} 0".into(),
            "sidekey_accounts{state=\"connected\"} 2".into(),
            "sidekey_token_refreshes_total{account=\"_other\",outcome=\"success\",\
             trigger=\"scheduled\"} 1"
                .into(),
            "sidekey_tunnels_total{outcome=\"idle\"} 1".into(),
            "sidekey_tunnel_bytes_total{direction=\"to_caller\"} 2".into(),
            "sidekey_tunnels_open 0".into(),
            "sidekey_store_write_failures_total 0".into(),
            "sidekey_issuer_key_fetches_total{issuer=\"https://a.example\",outcome=\"failure\"} 1"
                .into(),
            "sidekey_issuer_keys{issuer=\"https://a.example\"} 2".into(),
            "sidekey_access_log_dropped_total 4".into(),
            "sidekey_spans_total{outcome=\"exported\"} 5".into(),
            "sidekey_spans_total{outcome=\"failed\"} 1".into(),
            "sidekey_config_reloads_total{result=\"success\"} 2".into(),
            "sidekey_config_reloads_total{result=\"failure\"} 1".into(),
            "sidekey_config_last_reload_successful 0".into(),
            format!(
                "sidekey_build_info{{version=\"{}\",io=\"epoll\"}} 1",
                env!("CARGO_PKG_VERSION")
            ),
        ] {
            assert!(
                text.lines().any(|l| l == line),
                "{line} is missing in:\n{text}"
            );
        }
    }

    #[test]
    fn requests_without_a_route_are_counted_and_nothing_else() {
        let text = scrape();
        let lines: Vec<_> = text.lines().filter(|l| l.contains("_none")).collect();
        assert_eq!(
            lines,
            [r#"sidekey_requests_total{route="_none",code="404"} 1"#]
        );
    }

    #[test]
    fn nothing_counted_yet_is_a_valid_scrape_too() {
        let none = RefreshMetrics::new(NamedAccounts::default());
        assert!(render(&Snapshot::default(), &none).contains("sidekey_build_info"));
    }

    #[test]
    fn promtool_finds_no_fault() {
        let Ok(mut promtool) = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
        else {
            eprintln!("promtool is not installed: skipped");
            return;
        };
        promtool
            .stdin
            .take()
            .unwrap()
            .write_all(scrape().as_bytes())
            .unwrap();
        let output = promtool.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.is_empty(), "{said}");
    }
}
