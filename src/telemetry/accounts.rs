//! What a scrape shows of the connected accounts, added up one account after the
//! other: there may be very many, and few have series of their own.

use super::families::{family, float, level};
use super::refreshes::{NamedAccounts, OTHER};
use prometheus::proto::{Metric, MetricFamily, MetricType};
use std::collections::BTreeMap;

/// One account in a scrape.
pub struct AccountSample<'a> {
    pub key: &'a str,
    pub state: &'static str,
    /// True when it has a token that may be sent.
    pub connected: bool,
    /// Its grant has no refresh token.
    pub reconnect_at_expiry: bool,
    /// In seconds since 1970.
    pub expires_at: Option<f64>,
}

/// All accounts in a scrape.
#[derive(Default)]
pub struct AccountFigures {
    states: BTreeMap<&'static str, u64>,
    by_label: BTreeMap<String, Figures>,
}

/// Those that share a label.
#[derive(Default)]
struct Figures {
    connected: u64,
    reconnect_at_expiry: u64,
    /// The earliest.
    expires_at: Option<f64>,
}

impl AccountFigures {
    /// No accounts; each of these states counts from 0.
    #[must_use]
    pub fn new(states: impl IntoIterator<Item = &'static str>) -> Self {
        Self {
            states: states.into_iter().map(|state| (state, 0)).collect(),
            by_label: BTreeMap::new(),
        }
    }

    /// Adds an account.
    pub fn add(&mut self, named: &NamedAccounts, account: &AccountSample<'_>) {
        *self.states.entry(account.state).or_default() += 1;
        let label = named.label(account.key);
        if let Some(figures) = self.by_label.get_mut(label) {
            return figures.add(account);
        }
        let figures = self.by_label.entry(label.to_owned()).or_default();
        figures.add(account);
    }

    pub(super) fn families(&self) -> Vec<MetricFamily> {
        let states = self.states.iter();
        let states = states.map(|(state, n)| level(&[("state", state)], float(*n)));
        let connected =
            format!("1 when the account has a token that may be sent ({OTHER}: how many have).");
        let ending = format!(
            "1 when the account has no refresh token: a person has to connect it again when its \
             token expires ({OTHER}: how many)."
        );
        let expires = format!("When the account's token expires ({OTHER}: the earliest).");
        let of = |name, help: &str, series| family(name, help, MetricType::GAUGE, series);
        vec![
            of(
                "sidekey_account_connected",
                &connected,
                self.series(|figures| Some(float(figures.connected))),
            ),
            of(
                "sidekey_account_reconnect_at_expiry",
                &ending,
                self.series(|figures| Some(float(figures.reconnect_at_expiry))),
            ),
            of(
                "sidekey_token_expiration_timestamp_seconds",
                &expires,
                self.series(|figures| figures.expires_at),
            ),
            of(
                "sidekey_accounts",
                "Connected accounts, by state.",
                states.collect(),
            ),
        ]
    }

    fn series(&self, value: impl Fn(&Figures) -> Option<f64>) -> Vec<Metric> {
        let labels = self.by_label.iter();
        labels
            .filter_map(|(label, figures)| Some(level(&[("account", label)], value(figures)?)))
            .collect()
    }
}

impl Figures {
    fn add(&mut self, account: &AccountSample<'_>) {
        self.connected += u64::from(account.connected);
        self.reconnect_at_expiry += u64::from(account.reconnect_at_expiry);
        let earliest = [self.expires_at, account.expires_at].into_iter().flatten();
        self.expires_at = earliest.reduce(f64::min);
    }
}
