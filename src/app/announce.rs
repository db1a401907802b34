//! What `run` says at its start, in three parts: where it listens, which
//! routes lead where by which account, what each account's state is. As plain
//! text on standard error, or as events where the log is JSON.

use super::listeners::Bound;
use super::place::Place;
use super::words;
use crate::base::clock::SystemClock;
use crate::base::secret::Secret;
use crate::config::checked::Config;
use crate::config::checked::listening::Listener;
use crate::refresh::{AccountState, AccountStatus, Handle};
use crate::telemetry::Format;
use std::io::{self, IsTerminal, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long the first attempts are waited for before states are told.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(20);
/// Longer lists are cut: the start of a large configuration stays readable.
const SHOWN: usize = 20;

/// Where the process can be reached.
pub struct Addresses {
    pub proxy: Vec<Place>,
    pub admin: SocketAddr,
    pub probes: Option<SocketAddr>,
}

impl Addresses {
    /// The addresses that were bound, also where the configuration says port 0.
    pub fn of(bound: &Bound, listeners: &[Listener]) -> io::Result<Self> {
        let proxy = bound.proxy.iter().zip(listeners).map(|(opened, listener)| {
            let local = opened.socket.local()?;
            Ok(Place::new(local, listener, opened.inherited.is_some()))
        });
        let probes = bound.probes.as_ref().map(TcpListener::local_addr);
        Ok(Self {
            proxy: proxy.collect::<io::Result<_>>()?,
            admin: bound.admin.local_addr()?,
            probes: probes.transpose()?,
        })
    }

    /// All of them that have an address.
    pub fn iter(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        let proxy = self.proxy.iter().filter_map(Place::tcp);
        proxy.chain([self.admin]).chain(self.probes)
    }
}

/// Tells the first two parts, and what goes through proxies, if anything does.
pub fn start(format: Format, addresses: &Addresses, config: &Config) {
    let mut listening: Vec<_> = addresses
        .proxy
        .iter()
        .map(|place| match place.routes() {
            None => format!("{place} for applications"),
            Some(some) => format!("{place} for applications (routes: {some})"),
        })
        .collect();
    listening.push(format!("http://{} for administration", addresses.admin));
    listening.extend(addresses.probes.map(|a| format!("http://{a} for probes")));
    part(format, "Listening", &listening);
    let routes: Vec<_> = config.routes.iter().map(words::route).collect();
    part(format, "Routes", &routes);
    let proxies = config.proxies_in_words();
    if !proxies.is_empty() {
        part(format, "Proxies", &proxies);
    }
}

/// Tells what a reload has made of them.
pub fn proxies_changed(proxies: &[String]) {
    for proxy in proxies {
        tracing::info!(target: "sidekey", "the proxy {proxy}");
    }
    if proxies.is_empty() {
        tracing::info!(target: "sidekey", "nothing goes through a proxy any more");
    }
}

/// Gives the person at the terminal a way to the page; in nobody else's hands
/// it would be a key, so never into a log.
pub fn page(format: Format, link: Option<(Secret, Duration)>) {
    let is_terminal = io::stderr().is_terminal();
    if let (Format::Text, true, Some((link, life))) = (format, is_terminal, link) {
        let line = format!(
            "{} (opens once, within {} min)",
            link.expose(),
            life.as_secs() / 60
        );
        part(format, "Page", &[line]);
    }
}

/// Tells the third part, once every first attempt has ended or 2 s passed.
pub async fn accounts(format: Format, handle: Handle) {
    let deadline = Instant::now() + PATIENCE;
    while !handle.first_attempts_ended() && Instant::now() < deadline {
        sleep(LOOK).await;
    }
    part(format, "Accounts", &states(&handle.accounts()));
}

fn states(accounts: &[AccountStatus]) -> Vec<String> {
    let now = SystemClock::wall();
    // Those that need attention first, so that no long list hides them.
    let (well, unwell): (Vec<_>, Vec<_>) = accounts
        .iter()
        .partition(|account| account.state == AccountState::Connected);
    unwell
        .into_iter()
        .chain(well)
        .map(|account| words::account(account, now))
        .collect()
}

fn part(format: Format, title: &'static str, lines: &[String]) {
    match format {
        Format::Json => {
            for line in lines {
                tracing::info!(target: "sidekey", part = title, "{line}");
            }
        }
        Format::Text => {
            let bold = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            // A closed standard error is no reason to end.
            let _ = io::stderr().write_all(paragraph(title, lines, bold).as_bytes());
        }
    }
}

fn paragraph(title: &str, lines: &[String], bold: bool) -> String {
    let (on, off) = if bold {
        ("\u{1b}[1m", "\u{1b}[0m")
    } else {
        ("", "")
    };
    let mut text = format!("{on}{title:<10}{off}");
    let more = lines.len().saturating_sub(SHOWN);
    let rest = (more > 0).then(|| format!("… and {more} more"));
    let none = lines.is_empty().then(|| "none".to_owned());
    for (i, line) in lines
        .iter()
        .take(SHOWN)
        .chain(&rest)
        .chain(&none)
        .enumerate()
    {
        if i > 0 {
            text.push_str(&" ".repeat(10));
        }
        text.push_str(line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{SHOWN, paragraph};

    #[test]
    fn a_part_is_one_short_paragraph() {
        let lines = ["a".to_owned(), "b".to_owned()];
        assert_eq!(
            paragraph("Routes", &lines, false),
            "Routes    a\n          b\n"
        );
        assert_eq!(paragraph("Routes", &[], false), "Routes    none\n");
        let many = vec!["x".to_owned(); SHOWN + 5];
        let text = paragraph("Routes", &many, false);
        assert!(text.ends_with("… and 5 more\n"));
        assert_eq!(text.lines().count(), SHOWN + 1);
    }
}
