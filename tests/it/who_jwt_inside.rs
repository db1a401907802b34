//! Callers with a JWT where their connection is one of TLS: at a listener, and
//! inside of a connection that sidekey intercepts. curl, by both versions.

use crate::support::authority::{Authority, for_callers};
use crate::support::issuer::{Issuer, Key, now};
use crate::support::sidekey::Launch;
use crate::support::tls::curled;
use crate::support::{Answer, AuthServer, Conf, Server, Sidekey, eventually, free_port};
use serde_json::json;

struct Stage {
    auth: AuthServer,
    upstream: Server,
    issuer: Issuer,
    key: Key,
    sidekey: Sidekey,
    /// Of the listener with TLS; the other takes CONNECT.
    tls: u16,
}

/// `rule` is more of both listeners; `@JWT@` stands for the rule about tokens.
fn stage(rule: &str, routes: &str) -> Stage {
    let auth = AuthServer::start();
    let upstream = Server::start(|_| Answer::ok("content"));
    let key = Key::new("1");
    let issuer = Issuer::start(&[&key]);
    let own = Authority::new("Works CA");
    let pair = own.issue(&["127.0.0.1"]);
    let (certificate, private) = for_callers(&["api.example.com"]);
    let tls = free_port();
    let listen = format!(
        "listen:\n\
         \x20 - {{address: \"127.0.0.1:@PROXY@\", connect: {{intercept: [api.example.com], \
         authority: {{certificate: ca.pem, key: ca-key.pem}}}}{rule}}}\n\
         \x20 - {{address: \"127.0.0.1:{tls}\", tls: {{certificate: own.pem, key: own-key.pem}}{rule}}}\n"
    );
    let yaml = Conf::new(&auth, &upstream).yaml();
    let (before, _) = yaml.split_once("routes:").unwrap();
    let before = before.replace("listen: 127.0.0.1:@PROXY@\n", &listen);
    let jwt = format!("jwt: {{issuer: \"{}\", audience: sidekey", issuer.name());
    let yaml = format!("{before}routes:\n{routes}")
        .replace("@JWT@", &jwt)
        .replace("@UP@", &upstream.url());
    let files = [
        ("own.pem", pair.certificate),
        ("own-key.pem", pair.key),
        ("works.pem", own.pem),
        ("ca.pem", certificate),
        ("ca-key.pem", private),
    ];
    let mut sidekey = Sidekey::launch(&Launch {
        yaml,
        files: files.map(|(name, text)| (name.to_owned(), text)).into(),
        ..Launch::default()
    });
    sidekey.wait_for("/readyz");
    eventually("the issuer's keys", || {
        sidekey.metric("sidekey_issuer_keys", &[]) > 0.0
    });
    Stage {
        auth,
        upstream,
        issuer,
        key,
        sidekey,
        tls,
    }
}

const VERSIONS: [&str; 2] = ["--http1.1", "--http2"];
const CODE: [&str; 4] = ["-o", "/dev/null", "-w", "%{http_code}"];

impl Stage {
    fn bearer(&self, field: &str, more: &serde_json::Value) -> String {
        format!("{field}: Bearer {}", self.issuer.token(&self.key, more))
    }

    /// The status of curl's answer at the listener with TLS.
    fn secure(&self, arguments: &[&str], path: &str) -> String {
        let authority = self.file("works.pem");
        let url = format!("https://127.0.0.1:{}{path}", self.tls);
        curled(&[&CODE[..], &["--cacert", &authority, &url], arguments].concat())
    }

    /// Inside of CONNECT: the status of CONNECT's answer, and of the last.
    fn inside(&self, arguments: &[&str], path: &str) -> String {
        let authority = self.file("ca.pem");
        let proxy = format!("http://{}", self.sidekey.proxy);
        let url = format!("https://api.example.com{path}");
        let way = ["--cacert", &authority, "-x", &proxy, "--noproxy", "", &url];
        curled(&[&CODE[..], &way, arguments].concat())
    }

    fn file(&self, name: &str) -> String {
        let path = self.sidekey.folder().join(name);
        path.to_str().unwrap().to_owned()
    }

    /// The access log names `ann` for each of these.
    fn logged(&self, path: &str, count: usize) {
        let known =
            |line: &&str| line.contains(&format!(" {path} 200 ")) && line.contains(" caller=ann");
        eventually("the access log", || {
            self.sidekey.logs().lines().filter(known).count() == count
        });
    }

    /// What came has the account's token, and nothing of the caller's.
    fn check_what_came(&self, count: usize) {
        let requests = self.upstream.requests();
        assert_eq!(requests.len(), count);
        for request in requests {
            assert_eq!(request.bearer(), Some(self.auth.token().as_str()));
            assert_eq!(request.all("authorization").len(), 1);
            assert!(request.all("proxy-authorization").is_empty());
        }
    }
}

const ROUTES: &str = "\
\x20 - {path: /api/, upstream: \"@UP@/\", account: one, callers: [{@JWT@}}]}
\x20 - {match: {host: api.example.com}, upstream: \"@UP@/\", account: one, callers: [{@JWT@}}]}
";

#[test]
fn a_token_counts_at_a_listener_with_tls_and_inside_of_connect() {
    let stage = stage("", ROUTES);
    let good = stage.bearer("Authorization", &json!({}));
    let expired = stage.bearer("Authorization", &json!({"exp": now() - 600}));
    let others = stage.bearer("Authorization", &json!({"aud": "other"}));
    for version in VERSIONS {
        let at = |field: &str, path: &str| {
            let arguments: &[&str] = match field {
                "" => &[version],
                field => &[version, "-H", field],
            };
            let secure = stage.secure(arguments, &format!("/api{path}"));
            (secure, stage.inside(arguments, path))
        };
        let both = |status: &str| (status.to_owned(), status.to_owned());
        assert_eq!(at(&good, "/x"), both("200"), "{version}");
        assert_eq!(at("", "/none"), both("401"), "{version}");
        assert_eq!(at(&expired, "/expired"), both("401"), "{version}");
        assert_eq!(at(&others, "/others"), both("403"), "{version}");
    }
    stage.logged("/api/x", 2);
    stage.logged("/x", 2);
    stage.check_what_came(4);
}

/// The token that opens the connection is not the connection's: each request has its own.
#[test]
fn a_listeners_rule_about_tokens_holds_for_connect_and_for_each_request_inside() {
    let routes = ROUTES.replace(", callers: [{@JWT@}}]", "");
    let rule = ", callers: [{@JWT@, header: Proxy-Authorization}}]";
    let stage = stage(rule, &routes);
    let good = stage.bearer("Proxy-Authorization", &json!({}));
    let url = "https://api.example.com/x";
    let authority = stage.file("ca.pem");
    let proxy = format!("http://{}", stage.sidekey.proxy);
    let refused = crate::support::tls::curl(&[
        "--cacert",
        &authority,
        "-x",
        &proxy,
        "--noproxy",
        "",
        "-H",
        &good,
        url,
    ]);
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && errors.contains("401"),
        "{errors}"
    );
    for version in VERSIONS {
        let opened = [version, "--proxy-header", &good];
        assert_eq!(stage.inside(&opened, "/without"), "401");
        assert_eq!(
            stage.inside(&[&opened[..], &["-H", &good]].concat(), "/x"),
            "200"
        );
        assert_eq!(stage.secure(&[version], "/api/without"), "401");
        assert_eq!(stage.secure(&[version, "-H", &good], "/api/x"), "200");
    }
    stage.logged("/x", 2);
    stage.logged("/api/x", 2);
    stage.check_what_came(4);
}
