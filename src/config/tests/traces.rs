//! `traces`: what it comes to, and its mistakes.

use super::places::errors;
use super::{GOOD, load};
use crate::config::traces::Traces;

fn with(traces: &str) -> String {
    format!("{GOOD}traces: {{{traces}}}\n")
}

fn read(traces: &str) -> Traces {
    let config = load(&with(traces)).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    config.traces.unwrap()
}

#[test]
fn there_are_none_unless_they_are_written() {
    assert_eq!(load(GOOD).unwrap().traces, None);
    let traces = read("endpoint: http://127.0.0.1:4318");
    assert_eq!(traces.endpoint, "http://127.0.0.1:4318/v1/traces");
    assert!((traces.ratio - 0.1).abs() < f64::EPSILON);
    let service = ("service.name".to_owned(), "sidekey".to_owned());
    assert_eq!(traces.resource[0], service);
    assert_eq!(traces.resource[1].0, "service.version");
}

#[test]
fn a_path_of_the_endpoint_stays_and_a_resource_has_the_last_word() {
    let traces = read(
        "endpoint: \"https://a.example.com/otlp/\", ratio: 1, \
         resource: {service.version: x, service.name: y, team: z}",
    );
    assert_eq!(traces.endpoint, "https://a.example.com/otlp/v1/traces");
    let resource: Vec<_> = traces.resource.iter().map(|(n, v)| (&**n, &**v)).collect();
    let wanted = [
        ("service.version", "x"),
        ("service.name", "y"),
        ("team", "z"),
    ];
    assert_eq!(resource, wanted);
}

#[test]
fn mistakes_have_their_places() {
    for (traces, wanted) in [
        ("ratio: 1", "15:1 the block of traces lacks `endpoint`"),
        (
            "endpoint: localhost:4318",
            "15:20 `endpoint` can't be `localhost:4318`",
        ),
        (
            "endpoint: http://a/, ratio: 1.5",
            "15:38 `ratio` can't be `1.5`",
        ),
        (
            "endpoint: http://a/, ratio: 1e-1",
            "15:38 `ratio` can't be `1e-1`",
        ),
        (
            "endpoint: http://a/, headers: {a b: x}",
            "15:41 not a valid header name",
        ),
        (
            "endpoint: http://a/, ratios: 1",
            "15:31 the block of traces has no key `ratios`",
        ),
    ] {
        assert_eq!(errors(&with(traces)), [wanted], "{traces}");
    }
}

#[test]
fn a_header_for_the_collector_is_a_secret() {
    let good = with("endpoint: http://collector.example.com/, headers: {x-api-key: hunter2}");
    let config = load(&good).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    assert!(config.warnings.iter().any(|w| w.contains("plain HTTP")));
    let bad = with("endpoint: http://a/, ratio: 2, headers: {x-api-key: \"hunter2\\n\"}");
    let mistakes = load(&bad).unwrap_err();
    assert_eq!(mistakes.errors(), 2);
    assert!(!mistakes.render(false).contains("hunter2"));
}
