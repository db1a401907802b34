//! An authorization server at which everybody consents at once, and a browser
//! that keeps its cookies.

use super::client::call;
use super::http::{Request, Response};
use super::server::{Answer, Server};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use url::Url;

pub struct Consent {
    pub server: Server,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// By code: what it was asked for with.
    codes: BTreeMap<String, BTreeMap<String, String>>,
    issued: usize,
    live: HashSet<String>,
    without_refresh_token: bool,
    /// Sent back instead of a code.
    error: Option<String>,
    /// Sent back beside either (RFC 9207).
    issuer: Option<String>,
    refuses_revocation: bool,
}

impl Consent {
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        let server = Server::start(move |request| shared.lock().unwrap().answer(request));
        Self { server, state }
    }

    /// Lines of an integration's `oauth2`.
    pub fn lines(&self) -> Vec<String> {
        let url = self.server.url();
        vec![
            "grant_type: authorization_code".into(),
            format!("authorization_endpoint: {url}/authorize?tenant=t1"),
            format!("revocation_endpoint: {url}/revoke"),
        ]
    }

    pub fn without_refresh_token(&self) {
        self.state.lock().unwrap().without_refresh_token = true;
    }

    pub fn says(&self, error: &str) {
        self.state.lock().unwrap().error = Some(error.into());
    }

    pub fn names_itself(&self, issuer: &str) {
        self.state.lock().unwrap().issuer = Some(issuer.into());
    }

    pub fn refuse_revocation(&self) {
        self.state.lock().unwrap().refuses_revocation = true;
    }

    /// Tokens of both kinds that are good.
    pub fn live(&self) -> usize {
        self.state.lock().unwrap().live.len()
    }

    /// Requests of the token endpoint.
    pub fn exchanges(&self) -> Vec<Request> {
        let requests = self.server.requests().into_iter();
        requests.filter(|r| r.path() == "/token").collect()
    }

    /// 200 for a live token, 401 for any other.
    pub fn upstream(&self) -> Server {
        let state = self.state.clone();
        Server::start(move |request| {
            let live = &state.lock().unwrap().live;
            match request.bearer().is_some_and(|token| live.contains(token)) {
                true => Answer::ok("content"),
                false => Answer::rejected(),
            }
        })
    }
}

impl State {
    fn answer(&mut self, request: &Request) -> Answer {
        let form: BTreeMap<String, String> = request.form().into_iter().collect();
        match request.path() {
            "/authorize" => self.authorize(form),
            "/token" => self.token(&form),
            "/revoke" if self.refuses_revocation => {
                Answer::json(503, r#"{"error":"temporarily_unavailable"}"#)
            }
            "/revoke" => {
                self.live.remove(&form["token"]);
                Answer::new(200)
            }
            _ => Answer::new(404),
        }
    }

    fn authorize(&mut self, form: BTreeMap<String, String>) -> Answer {
        let mut back = Url::parse(&form["redirect_uri"]).unwrap();
        back.query_pairs_mut().append_pair("state", &form["state"]);
        if let Some(issuer) = &self.issuer {
            back.query_pairs_mut().append_pair("iss", issuer);
        }
        match &self.error {
            Some(error) => {
                back.query_pairs_mut().append_pair("error", error);
            }
            None => {
                let code = format!("c0de{}+/{:016x}", self.codes.len(), fastrand::u64(..));
                back.query_pairs_mut().append_pair("code", &code);
                self.codes.insert(code, form);
            }
        }
        Answer::new(302).header("Location", back.as_str())
    }

    fn token(&mut self, form: &BTreeMap<String, String>) -> Answer {
        let is_good = match form["grant_type"].as_str() {
            "authorization_code" => self.codes.remove(&form["code"]).is_some_and(|asked| {
                let challenge = asked.get("code_challenge").map(String::as_str);
                let verifier = form.get("code_verifier").map(String::as_str);
                asked["redirect_uri"] == form["redirect_uri"]
                    && challenge == verifier.map(sha256).as_deref()
            }),
            _ => {
                let old = &form["refresh_token"];
                self.live.remove(&old.replace("r3fresh", "acc3ss"));
                self.live.remove(old)
            }
        };
        if !is_good {
            return Answer::json(400, r#"{"error":"invalid_grant"}"#);
        }
        self.issued += 1;
        let random = fastrand::u64(..);
        let access = format!("acc3ss{}-{random:016x}", self.issued);
        let refresh = format!("r3fresh{}-{random:016x}", self.issued);
        self.live.insert(access.clone());
        let mut body = format!(r#"{{"access_token":"{access}","expires_in":3600"#);
        if !self.without_refresh_token {
            body.push_str(&format!(r#","refresh_token":"{refresh}""#));
            self.live.insert(refresh);
        }
        Answer::json(200, &format!("{body}}}"))
    }
}

fn sha256(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    URL_SAFE_NO_PAD.encode(digest)
}

/// Keeps one host's cookies, and follows what it is told to follow.
#[derive(Default)]
pub struct Browser {
    cookie: Option<String>,
}

impl Browser {
    pub fn get(&mut self, address: &str) -> Response {
        self.send("GET", address, "")
    }

    /// A form of our own page's.
    pub fn post(&mut self, address: &str, form: &[(&str, &str)]) -> Response {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(form);
        self.send("POST", address, &body.finish())
    }

    fn send(&mut self, method: &str, address: &str, body: &str) -> Response {
        let url = Url::parse(address).unwrap();
        let host = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        let origin = format!("http://{host}");
        let mut fields = vec![("Host", host.as_str())];
        if method == "POST" {
            fields.push(("Origin", origin.as_str()));
        }
        if let Some(cookie) = &self.cookie {
            fields.push(("Cookie", cookie.as_str()));
        }
        let to: SocketAddr = host.replace("localhost", "127.0.0.1").parse().unwrap();
        let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let response = call(to, method, target, &fields, body.as_bytes());
        if let Some(set) = response.header("set-cookie") {
            assert!(set.len() < 256, "{set}");
            self.cookie = set.split(';').next().map(str::to_owned);
        }
        response
    }
}
