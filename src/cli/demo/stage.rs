//! What the story has to work with: callers, servers that count, a screen.

use super::super::connection::{Connection, Reply};
use super::ledger::Ledger;
use super::screen::Screen;
use bytes::Bytes;
use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// For one request of the demonstration.
const ANSWER: Duration = Duration::from_secs(8);

pub struct Stage {
    proxy: String,
    admin: String,
    admin_token: String,
    api: String,
    next: Cell<u64>,
    pub ledger: Arc<Ledger>,
    pub screen: Screen,
}

impl Stage {
    pub fn new(
        proxy: SocketAddr,
        admin: SocketAddr,
        admin_token: String,
        api: SocketAddr,
        ledger: Arc<Ledger>,
        screen: Screen,
    ) -> Self {
        Self {
            proxy: proxy.to_string(),
            admin: admin.to_string(),
            admin_token,
            api: api.to_string(),
            next: Cell::new(1),
            ledger,
            screen,
        }
    }

    /// Where an application would call.
    pub fn proxy_url(&self) -> String {
        format!("http://{}/api/orders", self.proxy)
    }

    /// Where a person's account is used.
    pub fn person_url(&self) -> String {
        format!("http://{}/me/", self.proxy)
    }

    /// A one-time link to sidekey's page.
    pub async fn link(&self) -> Option<String> {
        let mut connection = Connection::open(&self.admin).await.ok()?;
        let bearer = format!("Bearer {}", self.admin_token);
        let fields = [("authorization", bearer.as_str())];
        let reply = connection
            .send("POST", "/api/links", &fields, Bytes::new(), ANSWER)
            .await
            .ok()?;
        let link: serde_json::Value = serde_json::from_slice(&reply.body).ok()?;
        Some(link.get("url")?.as_str()?.to_owned())
    }

    /// A path that no request had before.
    pub fn next_order(&self) -> String {
        let number = self.next.get();
        self.next.set(number + 1);
        format!("/orders/{number}")
    }

    /// Sends a request through sidekey, without any credential.
    pub async fn call(&self, order: &str) -> io::Result<Reply> {
        let mut connection = self.to_proxy().await?;
        self.call_on(&mut connection, order).await
    }

    /// The same on an open connection.
    pub async fn call_on(&self, connection: &mut Connection, order: &str) -> io::Result<Reply> {
        connection
            .send("GET", &format!("/api{order}"), &[], Bytes::new(), ANSWER)
            .await
    }

    pub async fn to_proxy(&self) -> io::Result<Connection> {
        Connection::open(&self.proxy).await
    }

    pub async fn to_api(&self) -> io::Result<Connection> {
        Connection::open(&self.api).await
    }

    /// Sends a request straight to the API, with the newest token or none.
    pub async fn call_directly(
        &self,
        connection: &mut Connection,
        order: &str,
        with_token: bool,
    ) -> io::Result<Reply> {
        let token = self.ledger.newest().filter(|_| with_token);
        let bearer = token.map(|token| format!("Bearer {token}"));
        let fields: Vec<_> = bearer
            .iter()
            .map(|value| ("authorization", value.as_str()))
            .collect();
        connection
            .send("GET", order, &fields, Bytes::new(), ANSWER)
            .await
    }

    /// Asks a path of the admin listener that needs no token.
    pub async fn ask(&self, path: &str) -> io::Result<Reply> {
        let mut connection = Connection::open(&self.admin).await?;
        connection
            .send("GET", path, &[], Bytes::new(), ANSWER)
            .await
    }

    /// Sums up; the exit code says whether all was seen.
    pub fn conclude(&self, missing: &[&str]) -> ExitCode {
        let counts = self.ledger.counts();
        self.screen
            .title("Counted at the authorization server and the API");
        self.screen.line(&format!(
            "{} tokens given, {} of them ahead of expiry; {} requests accepted, {} turned away, \
             {} of those cured by a replay",
            counts.issued, counts.ahead, counts.accepted, counts.rejected, counts.cured
        ));
        for what in missing {
            self.screen.bad(&format!("missing: {what}"));
        }
        if missing.is_empty() {
            self.screen.good("everything was seen");
            return ExitCode::SUCCESS;
        }
        super::super::terminal::fail(format_args!("missing: {}", missing.join("; ")))
    }
}
