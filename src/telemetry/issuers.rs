//! How fetching the keys of issuers goes, for `/metrics`.

use super::families::{count, family, float, level};
use prometheus::proto::{MetricFamily, MetricType};

/// Of one issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFetches {
    pub issuer: String,
    pub succeeded: u64,
    pub failed: u64,
    /// Keys in use.
    pub keys: u64,
}

pub(super) fn families(all: &[KeyFetches]) -> Vec<MetricFamily> {
    let ended = all.iter().flat_map(|of| {
        let series = |outcome, n| {
            let labels = [("issuer", of.issuer.as_str()), ("outcome", outcome)];
            count(&labels, float(n))
        };
        [
            series("success", of.succeeded),
            series("failure", of.failed),
        ]
    });
    let keys = all
        .iter()
        .map(|of| level(&[("issuer", &of.issuer)], float(of.keys)));
    vec![
        family(
            "sidekey_issuer_key_fetches_total",
            "Fetches of the keys by which callers' JWTs are verified, by how they ended.",
            MetricType::COUNTER,
            ended.collect(),
        ),
        family(
            "sidekey_issuer_keys",
            "Keys of an issuer that are in use; 0 before any could be fetched.",
            MetricType::GAUGE,
            keys.collect(),
        ),
    ]
}
