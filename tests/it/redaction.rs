//! No secret shows anywhere: log at trace, metrics, problem bodies, the admin
//! API, searched for every 12-character piece of every spelling.

use crate::support::conf::{CLIENT_ID, CLIENT_SECRET};
use crate::support::sidekey::Launch;
use crate::support::{
    Answer, AuthServer, Conf, Response, Server, Sidekey, call, eventually, free_port, get,
};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
use std::collections::HashSet;

const WINDOW: usize = 12;
const ADMIN_TOKEN: &str = "admin-Token/+=~aZ09bY18";

/// Everything that must not be seen, in pieces.
struct Search(HashSet<Vec<u8>>);

impl Search {
    fn new(secrets: &[String]) -> Self {
        let spellings = secrets.iter().flat_map(|s| spellings(s));
        let pieces = spellings.flat_map(|s| windows(s.as_bytes()));
        Self(pieces.collect())
    }

    /// The first piece that is seen, with what stands around it.
    fn find(&self, text: &str) -> Option<String> {
        let bytes = text.as_bytes();
        let at = bytes.windows(WINDOW).position(|w| self.0.contains(w))?;
        let (from, to) = (at.saturating_sub(200), (at + 200).min(bytes.len()));
        Some(String::from_utf8_lossy(&bytes[from..to]).into_owned())
    }
}

fn windows(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.windows(WINDOW).map(<[u8]>::to_vec).collect()
}

fn spellings(secret: &str) -> Vec<String> {
    let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let all = percent_encoding::NON_ALPHANUMERIC;
    let percent = percent_encoding::utf8_percent_encode(secret, all).to_string();
    let json = serde_json::to_string(secret).unwrap();
    let debug = format!("{secret:?}");
    let lower = percent.to_ascii_lowercase();
    let mut found = vec![secret.to_owned(), form, percent, lower];
    for quoted in [json, debug] {
        found.push(quoted.trim_matches('"').to_owned());
    }
    found.push(secret.replace('/', "\\/"));
    found
}

/// What HTTP Basic sends: base64 of `id:secret`, plain or form-encoded first.
fn basic(id: &str, secret: &str) -> Vec<String> {
    let form = |s: &str| -> String { url::form_urlencoded::byte_serialize(s.as_bytes()).collect() };
    let pairs = [
        format!("{id}:{secret}"),
        format!("{}:{}", form(id), form(secret)),
    ];
    let encode = |pair: &String| [BASE64_STANDARD.encode(pair), BASE64_URL_SAFE.encode(pair)];
    pairs.iter().flat_map(encode).collect()
}

/// How an account is set up, and how everything that can fail then fails.
struct Variant {
    verb: &'static str,
    authentication: &'static str,
    place: &'static str,
    format: &'static str,
}

struct Run {
    auth: AuthServer,
    sidekey: Sidekey,
    seen: String,
}

impl Run {
    fn start(variant: &Variant, upstream: &str) -> Self {
        let auth = AuthServer::start();
        let conf = Conf::at(&auth.endpoint(), upstream)
            .oauth2(&format!("token_endpoint_method: {}", variant.verb))
            .oauth2(&format!(
                "token_endpoint_auth_method: {}",
                variant.authentication
            ))
            .integration(&format!("token: {}", variant.place))
            .top("refresh: {token_wait: 200ms}")
            .log(&format!("{{level: trace, format: {}}}", variant.format));
        let admin = "admin: {token: {env: TEST_ADMIN_TOKEN}, ";
        let mut sidekey = Sidekey::launch(&Launch {
            yaml: conf.yaml().replace("admin: {", admin),
            environment: vec![("TEST_ADMIN_TOKEN".into(), ADMIN_TOKEN.into())],
            ..Launch::default()
        });
        sidekey.wait_for("/readyz");
        let seen = String::new();
        Self {
            auth,
            sidekey,
            seen,
        }
    }

    /// Adds an answer that sidekey made.
    fn see(&mut self, answer: &Response) {
        self.seen
            .push_str(&format!("{:?}\n{}\n", answer.headers, answer.text()));
    }

    fn see_the_admin_listener(&mut self) {
        let admin = self.sidekey.admin;
        for path in ["/metrics", "/readyz", "/livez", "/api/accounts"] {
            self.see(&get(admin, path));
        }
        let bearer = format!("Bearer {ADMIN_TOKEN}");
        for (method, path) in [
            ("GET", "/api/accounts"),
            ("GET", "/api/accounts/one"),
            ("POST", "/api/accounts/one/refresh"),
        ] {
            let headers = [("Authorization", bearer.as_str())];
            self.see(&call(admin, method, path, &headers, b""));
        }
        self.see_the_page();
    }

    /// The page, as somebody with a session sees it.
    fn see_the_page(&mut self) {
        let admin = self.sidekey.admin;
        let form: String = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("token", ADMIN_TOKEN)
            .finish();
        let opened = call(admin, "POST", "/session", &[], form.as_bytes());
        let cookie = opened.header("set-cookie").expect("a session").to_owned();
        let cookie = cookie.split(';').next().unwrap_or_default();
        for path in ["/", "/accounts/one", "/new/test", "/try", "/connect/one"] {
            let page = call(admin, "GET", path, &[("Cookie", cookie)], b"");
            self.see(&page);
        }
    }

    /// The authorization server says the worst: it gives back what it got.
    fn a_server_that_echoes(&mut self) {
        let request = self.auth.requests().pop().expect("a token request");
        let got = request.headers.iter().map(|(_, v)| v.as_str());
        let got: Vec<String> = got.map(str::to_owned).collect();
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let echo = format!(
            "{CLIENT_SECRET} {body} {} {}",
            got.join(" "),
            request.target
        );
        let json = serde_json::json!({"error": "invalid_request", "error_description": echo});
        for answer in [
            Answer::json(400, &json.to_string()),
            Answer::json(500, &json.to_string()),
            Answer::ok(echo.clone()).header("Content-Type", "text/html"),
            Answer::new(302).header(
                "Location",
                &format!(
                    "http://x.invalid/{}",
                    request.target.trim_start_matches('/')
                ),
            ),
            Answer::raw(format!(
                "HTTP/1.1 {}\r\n\r\n",
                echo.replace(['\r', '\n'], " ")
            )),
        ] {
            self.auth.fail(answer);
            let before = self.auth.count();
            self.see_the_admin_listener();
            eventually("another attempt", || self.auth.count() > before);
        }
    }

    /// What must not be seen, in anything that has been.
    fn search(mut self) {
        let mut secrets = self.auth.tokens();
        secrets.extend([CLIENT_SECRET.to_owned(), ADMIN_TOKEN.to_owned()]);
        secrets.extend(basic(CLIENT_ID, CLIENT_SECRET));
        self.sidekey.signal("TERM");
        self.sidekey.ended();
        let logs = self.sidekey.logs();
        assert!(logs.contains("TRACE"), "the log is at trace");
        self.seen.push_str(&logs);
        let found = Search::new(&secrets).find(&self.seen);
        assert!(found.is_none(), "a secret shows: …{}…", found.unwrap());
    }
}

const HEADER: &str = "{in: header, name: Authorization, value: \"Bearer {token}\"}";
const QUERY: &str = "{in: query, name: access_token, value: \"{token}\"}";

fn variants() -> impl Iterator<Item = Variant> {
    let authentications = ["client_secret_basic", "client_secret_post"];
    ["POST", "GET"].into_iter().flat_map(move |verb| {
        authentications
            .into_iter()
            .map(move |authentication| Variant {
                verb,
                authentication,
                place: if verb == "GET" { QUERY } else { HEADER },
                format: if authentication.ends_with("basic") {
                    "text"
                } else {
                    "json"
                },
            })
    })
}

#[test]
fn no_secret_shows_while_all_goes_well() {
    for variant in variants() {
        let upstream = Server::start(|request| match request.path() {
            "/rejected" => Answer::rejected(),
            _ => Answer::ok("content"),
        });
        let mut run = Run::start(&variant, &format!("{}/", upstream.url()));
        for path in [
            "/api/",
            "/api/a?b=c",
            "/api/rejected",
            "/elsewhere",
            "/api/../x",
        ] {
            let answer = run.sidekey.get(path);
            run.see(&answer);
        }
        run.see_the_admin_listener();
        run.search();
    }
}

#[test]
fn no_secret_shows_when_the_authorization_server_misbehaves() {
    for variant in variants() {
        let upstream = Server::start(|_| Answer::ok("content"));
        let mut run = Run::start(&variant, &format!("{}/", upstream.url()));
        run.a_server_that_echoes();
        run.search();
    }
}

#[test]
fn no_secret_shows_when_the_upstream_fails() {
    for variant in variants() {
        for raw in ["", "nonsense\r\n\r\n", "HTTP/1.1 101 x\r\n\r\n"] {
            let upstream = Server::start(move |_| Answer::raw(raw));
            let mut run = Run::start(&variant, &format!("{}/", upstream.url()));
            let answer = run.sidekey.get("/api/a?b=c");
            assert_eq!(answer.status, 502);
            run.see(&answer);
            run.search();
        }
        let nobody = format!("http://127.0.0.1:{}/", free_port());
        let mut run = Run::start(&variant, &nobody);
        let answer = run.sidekey.get("/api/a?b=c");
        run.see(&answer);
        run.search();
    }
}

/// The search itself is worth something: it finds each spelling of a planted
/// secret, also cut short at both ends.
#[test]
fn the_search_finds_a_planted_secret() {
    let secrets = [
        vec![
            "tk1-._~+/0123456789abcdef==".to_owned(),
            CLIENT_SECRET.to_owned(),
        ],
        basic(CLIENT_ID, CLIENT_SECRET),
    ]
    .concat();
    let search = Search::new(&secrets);
    for secret in &secrets {
        for spelling in spellings(secret) {
            for piece in windows(spelling.as_bytes()) {
                let piece = String::from_utf8_lossy(&piece).into_owned();
                // A window may cut a character in two; such a piece can't be in a text.
                if piece.contains('\u{fffd}') {
                    continue;
                }
                let text = format!("DEBUG a harmless line {piece} goes on");
                assert!(search.find(&text).is_some(), "{piece}");
            }
        }
    }
    assert!(
        search
            .find("DEBUG a harmless line goes on and on")
            .is_none()
    );
}
