//! The configuration that most tests run on, and what they change in it.

use super::{AuthServer, Server};

/// One integration, one account, one route; each field is more lines of YAML.
pub struct Conf {
    token_endpoint: String,
    upstream: String,
    /// Lines of `oauth2`.
    pub oauth2: Vec<String>,
    /// Lines of the integration.
    pub integration: Vec<String>,
    /// Lines of the route.
    pub route: Vec<String>,
    /// Lines at the top.
    pub top: Vec<String>,
    pub log: String,
    pub store: String,
}

pub const CLIENT_ID: &str = "the client";
pub const CLIENT_SECRET: &str = "s3cr3t:/ +%&=Wörter-0123456789";

impl Conf {
    pub fn new(auth: &AuthServer, upstream: &Server) -> Self {
        Self::at(&auth.endpoint(), &format!("{}/", upstream.url()))
    }

    pub fn at(token_endpoint: &str, upstream: &str) -> Self {
        Self {
            token_endpoint: token_endpoint.into(),
            upstream: upstream.into(),
            oauth2: Vec::new(),
            integration: Vec::new(),
            route: Vec::new(),
            top: Vec::new(),
            log: "{level: info}".into(),
            store: "{memory: true}".into(),
        }
    }

    pub fn oauth2(mut self, line: &str) -> Self {
        self.oauth2.push(line.into());
        self
    }

    pub fn integration(mut self, line: &str) -> Self {
        self.integration.push(line.into());
        self
    }

    pub fn route(mut self, line: &str) -> Self {
        self.route.push(line.into());
        self
    }

    pub fn top(mut self, line: &str) -> Self {
        self.top.push(line.into());
        self
    }

    pub fn log(mut self, log: &str) -> Self {
        self.log = log.into();
        self
    }

    pub fn store(mut self, store: &str) -> Self {
        self.store = store.into();
        self
    }

    /// The file; `Sidekey` puts its ports where `@PROXY@` and `@ADMIN@` stand.
    pub fn yaml(&self) -> String {
        let lines = |lines: &[String], indent: usize| -> String {
            let pad = " ".repeat(indent);
            lines.iter().map(|l| format!("{pad}{l}\n")).collect()
        };
        format!(
            "listen: 127.0.0.1:@PROXY@\n\
             admin: {{listen: 127.0.0.1:@ADMIN@, public_url: \"http://127.0.0.1:@ADMIN@\"}}\n\
             store: {store}\n\
             log: {log}\n\
             {top}\
             integrations:\n\
             \x20 - key: test\n\
             \x20   name: Test\n\
             {integration}\
             \x20   oauth2:\n\
             \x20     grant_type: client_credentials\n\
             \x20     token_endpoint: {token_endpoint}\n\
             \x20     scope: api\n\
             \x20     client_id: \"{CLIENT_ID}\"\n\
             \x20     client_secret: {{env: TEST_CLIENT_SECRET}}\n\
             {oauth2}\
             accounts:\n\
             \x20 - {{key: one, integration: test}}\n\
             routes:\n\
             \x20 - name: main\n\
             \x20   path: /api/\n\
             \x20   upstream: {upstream}\n\
             \x20   account: one\n\
             {route}",
            store = self.store,
            log = self.log,
            top = lines(&self.top, 0),
            integration = lines(&self.integration, 4),
            oauth2 = lines(&self.oauth2, 6),
            route = lines(&self.route, 4),
            token_endpoint = self.token_endpoint,
            upstream = self.upstream,
        )
    }
}
