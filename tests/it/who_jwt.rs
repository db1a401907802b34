//! Callers that prove who they are by a JWT of an issuer whose keys sidekey fetches.

use crate::support::authority::{Authority, TlsFront};
use crate::support::client::Conn;
use crate::support::conf::CLIENT_ID;
use crate::support::feature::shown;
use crate::support::issuer::{Issuer, Key, b64, now, unsigned};
use crate::support::real::Oidc;
use crate::support::sidekey::Launch;
use crate::support::tls::curl;
use crate::support::{
    Answer, AuthServer, Conf, Response, Server, Sidekey, call, eventually, eventually_some,
};
use serde_json::{Value, json};

const REFUSED: (u16, &str) = (401, "caller_not_authenticated");

struct Stage {
    auth: AuthServer,
    issuer: Issuer,
    upstream: Server,
    sidekey: Sidekey,
    key: Key,
}

/// `jwt` is more of the entry's `jwt`, and `entry` of the entry.
fn stage(jwt: &str, entry: &str) -> Stage {
    stage_with(|issuer| {
        format!("callers: [{{jwt: {{issuer: \"{issuer}\", audience: sidekey{jwt}}}{entry}}}]")
    })
}

fn stage_with(callers: impl FnOnce(&str) -> String) -> Stage {
    let auth = AuthServer::start();
    let upstream = Server::start(|_| Answer::ok("content"));
    let key = Key::new("1");
    let issuer = Issuer::start(&[&key]);
    let conf = Conf::new(&auth, &upstream).route(&callers(&issuer.name()));
    let sidekey = Sidekey::run(&conf);
    has_keys(&sidekey);
    Stage {
        auth,
        issuer,
        upstream,
        sidekey,
        key,
    }
}

/// It is ready before it has the issuer's keys where that takes long.
fn has_keys(sidekey: &Sidekey) {
    eventually("the issuer's keys", || {
        sidekey.metric("sidekey_issuer_keys", &[]) > 0.0
    });
}

impl Stage {
    fn with(&self, token: &str) -> Response {
        self.at("/api/x", token)
    }

    fn at(&self, target: &str, token: &str) -> Response {
        let bearer = format!("Bearer {token}");
        let fields = [("Authorization", bearer.as_str())];
        call(self.sidekey.proxy, "GET", target, &fields, b"")
    }

    fn token(&self, more: &Value) -> String {
        self.issuer.token(&self.key, more)
    }
}

#[track_caller]
fn is_refused(answer: &Response, words: &str) {
    assert_eq!((answer.status, answer.problem()), REFUSED, "{words}");
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    let text = answer.text();
    assert!(text.contains(words), "{words}: {text}");
}

#[track_caller]
fn is_forbidden(answer: &Response) {
    let code = answer.problem();
    assert_eq!((answer.status, code), (403, "caller_not_allowed"));
}

#[test]
fn a_good_token_lets_in_and_goes_no_further() {
    let stage = stage("", "");
    let token = stage.token(&json!({}));
    for _ in 0..3 {
        assert_eq!(stage.at("/api/once", &token).status, 200);
    }
    for seen in stage.upstream.requests() {
        assert_eq!(seen.bearer(), Some(stage.auth.token().as_str()));
        assert_eq!(seen.all("authorization").len(), 1);
    }
    let line = eventually_some("its line", || {
        let logs = stage.sidekey.logs();
        let mut lines = logs.lines().filter(|line| line.contains("/api/once"));
        lines.next().map(str::to_owned)
    });
    assert!(line.contains("caller=ann"), "{line}");
    let said = format!("{}{}", stage.sidekey.logs(), stage.sidekey.metrics());
    let signature = token.rsplit_once('.').unwrap().1;
    assert!(!said.contains(signature));
    assert_eq!(stage.issuer.asked(), 1, "no request fetches keys");
}

#[test]
fn what_proves_nothing_is_refused_in_words() {
    let stage = stage(", claims: {team: [blue, green]}", "");
    let good = json!({"team": "blue"});
    assert_eq!(stage.with(&stage.token(&good)).status, 200);
    assert_eq!(
        stage
            .with(&stage.token(&json!({"team": ["x", "green"]})))
            .status,
        200
    );

    is_forbidden(&stage.with(&stage.token(&json!({}))));
    is_forbidden(&stage.with(&stage.token(&json!({"team": "red"}))));
    is_forbidden(&stage.with(&stage.token(&json!({"team": "blue", "aud": "other"}))));
    is_forbidden(&stage.with(&stage.token(&json!({"team": "blue", "aud": null}))));
    is_forbidden(&stage.with(&stage.token(&json!({"team": "blue", "sub": null}))));

    let with = |more: Value| {
        let mut claims = good.clone();
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        stage.with(&stage.token(&claims))
    };
    is_refused(
        &with(json!({"iss": "https://other.example"})),
        "another issuer",
    );
    is_refused(&with(json!({"exp": now() - 61})), "expired");
    is_refused(&with(json!({"exp": null})), "until when");
    is_refused(&with(json!({"nbf": now() + 600})), "not hold yet");
    assert_eq!(
        with(json!({"exp": now() - 5, "nbf": now() + 5})).status,
        200
    );
    is_refused(&stage.sidekey.get("/api/x"), "Authorization: Bearer TOKEN");
    is_refused(&stage.with("abc"), "no signed JWT");
    is_refused(&stage.with(&"a".repeat(8 * 1024 + 1)), "longer than 8 KiB");
    let twice = [("Authorization", "Bearer a"), ("Authorization", "Bearer b")];
    is_forbidden(&call(stage.sidekey.proxy, "GET", "/api/x", &twice, b""));
    assert_eq!(stage.upstream.count(), 3);
    let counted = [("reason", "caller_not_authenticated")];
    eventually("the count of them", || {
        stage.sidekey.metric("sidekey_refused_total", &counted) == 7.0
    });
}

#[test]
fn nothing_but_a_signature_by_a_published_key_counts() {
    let stage = stage("", "");
    let claims = json!({
        "iss": stage.issuer.name(), "aud": "sidekey", "sub": "ann", "exp": now() + 600,
    });
    let good = stage
        .key
        .sign(&json!({"alg": "ES256", "kid": "1"}), &claims);
    assert_eq!(stage.with(&good).status, 200);
    for none in ["none", "NONE"] {
        let token = format!("{}.", unsigned(&json!({"alg": none, "kid": "1"}), &claims));
        is_refused(&stage.with(&token), "algorithm");
    }
    // The public key as if it were a shared secret.
    let jwk = stage.key.jwk().to_string();
    for secret in [stage.key.point(), jwk.as_bytes()] {
        let signed = unsigned(&json!({"alg": "HS256", "kid": "1"}), &claims);
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
        let tag = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
        let token = format!("{signed}.{}", b64(tag.as_ref()));
        is_refused(&stage.with(&token), "algorithm");
    }
    for other in ["RS256", "ES384", "EdDSA", "PS256", "ES512"] {
        let token = stage.key.sign(&json!({"alg": other, "kid": "1"}), &claims);
        is_refused(&stage.with(&token), "algorithm");
    }
    let strangers = Key::new("1");
    let token = strangers.sign(&json!({"alg": "ES256", "kid": "1"}), &claims);
    is_refused(&stage.with(&token), "signature is not valid");
    // One that brings its own key along.
    let head = json!({"alg": "ES256", "jwk": strangers.jwk(), "jku": "http://127.0.0.1:1/"});
    is_refused(
        &stage.with(&strangers.sign(&head, &claims)),
        "signature is not valid",
    );
    let (signed, _) = good.rsplit_once('.').unwrap();
    is_refused(
        &stage.with(&format!("{signed}.{}", b64(&[0; 64]))),
        "signature is not valid",
    );
    assert_eq!(stage.upstream.count(), 1);
}

/// Nobody waits for keys, and nobody can make sidekey fetch them without end.
#[test]
fn keys_are_rotated_without_a_gap() {
    let stage = stage("", "");
    let old = stage.token(&json!({}));
    assert_eq!(stage.with(&old).status, 200);
    let next = Key::new("2");
    let new = stage.issuer.token(&next, &json!({}));
    stage.issuer.publish(&[&stage.key, &next]);
    is_refused(&stage.with(&new), "not published");
    eventually("the new key", || stage.with(&new).status == 200);
    assert_eq!(stage.with(&old).status, 200);
    assert_eq!(stage.issuer.asked(), 2);
    // Another one so soon is not worth another fetch.
    let unknown = stage.issuer.token(&Key::new("3"), &json!({}));
    for _ in 0..3 {
        is_refused(&stage.with(&unknown), "not published");
    }
    assert_eq!(stage.issuer.asked(), 2);
    let labels = [("outcome", "success")];
    let fetches = "sidekey_issuer_key_fetches_total";
    eventually("the count of fetches", || {
        let keys = stage.sidekey.metric("sidekey_issuer_keys", &[]);
        (stage.sidekey.metric(fetches, &labels), keys) == (2.0, 2.0)
    });
}

#[test]
fn keys_stay_while_their_issuer_is_down() {
    let stage = stage("", "");
    let token = stage.token(&json!({}));
    assert_eq!(stage.with(&token).status, 200);
    stage.issuer.fail();
    let unknown = stage.issuer.token(&Key::new("2"), &json!({}));
    is_refused(&stage.with(&unknown), "not published");
    let failed = || {
        let labels = [("outcome", "failure")];
        stage
            .sidekey
            .metric("sidekey_issuer_key_fetches_total", &labels)
    };
    eventually("a failed fetch", || failed() >= 1.0);
    eventually("words about it", || {
        let logs = stage.sidekey.logs();
        logs.contains("those of before stay in use") && logs.contains("answered with 500")
    });
    let another = stage.token(&json!({"sub": "bob"}));
    assert_eq!(stage.with(&another).status, 200);
    assert_eq!(stage.with(&token).status, 200);
}

#[test]
fn an_issuer_that_is_down_at_the_start_is_asked_again() {
    let auth = AuthServer::start();
    let upstream = Server::start(|_| Answer::ok("content"));
    let key = Key::new("1");
    let issuer = Issuer::start(&[&key]);
    issuer.fail();
    let callers = format!(
        "callers: [{{jwt: {{issuer: \"{}\", audience: sidekey}}}}]",
        issuer.name()
    );
    let sidekey = Sidekey::run(&Conf::new(&auth, &upstream).route(&callers));
    let bearer = format!("Bearer {}", issuer.token(&key, &json!({})));
    let ask = || {
        call(
            sidekey.proxy,
            "GET",
            "/api/",
            &[("Authorization", &bearer)],
            b"",
        )
    };
    is_refused(&ask(), "could not be fetched yet");
    issuer.publish(&[&key]);
    eventually("its keys", || ask().status == 200);
}

#[test]
fn a_field_of_its_own_and_a_file_of_keys() {
    let auth = AuthServer::start();
    let upstream = Server::start(|_| Answer::ok("content"));
    let (key, next) = (Key::new("1"), Key::new("2"));
    let issuer = Issuer::start(&[]);
    let set = |key: &Key| json!({"keys": [key.jwk()]}).to_string();
    let conf = Conf::new(&auth, &upstream).integration("token: {in: query, name: key}");
    let conf = conf.route(&format!(
        "callers: [{{name: build, jwt: {{issuer: \"{}\", audience: sidekey, jwks_file: keys.json, \
         header: Sidekey-Caller-Token}}}}]",
        issuer.name()
    ));
    let mut sidekey = Sidekey::launch(&Launch {
        yaml: conf.yaml(),
        files: vec![("keys.json".into(), set(&key))],
        ..Launch::default()
    });
    sidekey.wait_for("/readyz");
    has_keys(&sidekey);
    let with = |token: &str| {
        let own = ("Authorization", "Basic YTpi");
        let fields = [("Sidekey-Caller-Token", token), own];
        call(sidekey.proxy, "GET", "/api/", &fields, b"")
    };
    assert_eq!(with(&issuer.token(&key, &json!({}))).status, 200);
    let seen = upstream.only();
    assert!(seen.all("sidekey-caller-token").is_empty());
    assert_eq!(seen.header("authorization"), Some("Basic YTpi"));
    let new = issuer.token(&next, &json!({}));
    is_refused(&with(&new), "not published");
    sidekey.put("keys.json", &set(&next));
    eventually("the new file", || with(&new).status == 200);
    is_refused(&with(&issuer.token(&key, &json!({}))), "not published");
    assert_eq!(issuer.server.count(), 0);
}

/// In the place where the token of the account is none.
#[test]
fn the_callers_token_never_reaches_the_upstream() {
    let auth = AuthServer::start();
    let upstream = Server::start(|_| Answer::ok("content"));
    let key = Key::new("1");
    let issuer = Issuer::start(&[&key]);
    let conf = Conf::new(&auth, &upstream).integration("token: {in: query, name: key}");
    let callers = format!(
        "[{{jwt: {{issuer: \"{}\", audience: sidekey}}}}]",
        issuer.name()
    );
    // At the listener only: the route lets in whoever has come so far.
    let yaml = conf.yaml().replace(
        "listen: 127.0.0.1:@PROXY@",
        &format!("listen:\n  - {{address: \"127.0.0.1:@PROXY@\", callers: {callers}}}"),
    );
    let sidekey = Sidekey::run_yaml(&yaml);
    has_keys(&sidekey);
    let bearer = format!("bearer {}", issuer.token(&key, &json!({})));
    let fields = [("Authorization", bearer.as_str())];
    assert_eq!(
        call(sidekey.proxy, "GET", "/api/", &fields, b"").status,
        200
    );
    assert!(upstream.only().all("authorization").is_empty());
    is_refused(&sidekey.get("/nowhere"), "this listener");
}

/// Nor on a route that asks for none, nor as a trailer.
#[test]
fn a_callers_token_ends_here_on_every_route() {
    let auth = AuthServer::start();
    let upstream = Server::start(|_| Answer::ok("content"));
    let key = Key::new("1");
    let issuer = Issuer::start(&[&key]);
    let conf = Conf::new(&auth, &upstream).route(&format!(
        "callers: [{{jwt: {{issuer: \"{}\", audience: sidekey, header: X-Who}}}}]",
        issuer.name()
    ));
    let open = format!(
        "\x20 - {{path: /open/, upstream: \"{}/\", account: one}}\n",
        upstream.url()
    );
    let sidekey = Sidekey::run_yaml(&(conf.yaml() + &open));
    has_keys(&sidekey);
    let token = issuer.token(&key, &json!({}));
    for (path, announced) in [("/api/x", "x-sum"), ("/open/x", "x-who, x-sum")] {
        let mut conn = Conn::to(sidekey.proxy);
        conn.send(format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nX-Who: {token}\r\nSidekey-Caller-Token: {token}\r\n\
             Transfer-Encoding: chunked\r\nTrailer: X-Who, Sidekey-Caller-Token, X-Sum\r\n\r\n\
             1\r\na\r\n0\r\n\r\n",
            sidekey.proxy
        ));
        assert_eq!(conn.response().status, 200, "{path}");
        let requests = upstream.requests();
        let seen = requests.last().unwrap();
        assert_eq!(seen.all("trailer").join(", "), announced, "{path}");
        for field in ["x-who", "sidekey-caller-token"] {
            assert!(seen.all(field).is_empty(), "{path} {field}");
        }
    }
}

/// As of two Kubernetes clusters that both call themselves by the usual name.
#[test]
fn issuers_of_one_name_have_each_their_own_keys() {
    let auth = AuthServer::start();
    let upstream = Server::start(|_| Answer::ok("content"));
    let (key, others, shared) = (Key::new("1"), Key::new("2"), Key::new("3"));
    let (one, two) = (
        Issuer::start(&[&key, &shared]),
        Issuer::start(&[&others, &shared]),
    );
    let entry = |name: &str, of: &Issuer, audience: &str| {
        format!(
            "{{name: {name}, jwt: {{issuer: \"{}\", audience: {audience}, jwks_uri: \"{}/jwks\"}}}}",
            one.name(),
            of.name()
        )
    };
    let both = [entry("one", &one, "sidekey"), entry("two", &two, "other")];
    let of = |entries: &[String]| {
        Conf::new(&auth, &upstream).route(&format!("callers: [{}]", entries.join(", ")))
    };
    let sidekey = Sidekey::run(&of(&both));
    let with = |key: &Key, audience: &str| {
        let bearer = format!("Bearer {}", one.token(key, &json!({"aud": audience})));
        let fields = [("Authorization", bearer.as_str())];
        call(sidekey.proxy, "GET", "/api/", &fields, b"").status
    };
    eventually("the keys of both", || {
        (with(&key, "sidekey"), with(&others, "other")) == (200, 200)
    });
    for _ in 0..3 {
        // The keys of both fit, and the second lets it in.
        assert_eq!(with(&shared, "other"), 200);
        assert_eq!(with(&shared, "sidekey"), 200);
        assert_eq!(with(&key, "other"), 403);
        assert_eq!(with(&others, "sidekey"), 403);
    }
    // A third, whose keys nobody has yet, has none of theirs.
    let third = Issuer::start(&[]);
    third.fail();
    let all = [&both[..], &[entry("three", &third, "third")]].concat();
    sidekey.configure(&of(&all).yaml());
    eventually("its first fetch", || third.asked() > 0);
    for key in [&key, &others, &shared] {
        assert_eq!(with(key, "third"), 403);
    }
    third.publish(&[&shared]);
    eventually("its keys", || with(&shared, "third") == 200);
    assert_eq!(with(&key, "third"), 403);
}

#[test]
fn a_reload_changes_who_is_let_in() {
    let stage = stage("", "");
    let token = stage.token(&json!({}));
    assert_eq!(stage.with(&token).status, 200);
    let other = Issuer::start(&[&stage.key]);
    let yaml = Conf::new(&stage.auth, &stage.upstream).route(&format!(
        "callers: [{{jwt: {{issuer: \"{}\", audience: sidekey}}}}]",
        other.name()
    ));
    stage.sidekey.configure(&yaml.yaml());
    // One worker may go by the new ones before another.
    let others = other.token(&stage.key, &json!({}));
    eventually("the change", || {
        (0..8).all(|_| (stage.with(&token).status, stage.with(&others).status) == (401, 200))
    });
}

/// Without `ca` the server with the keys is not believed.
#[test]
fn keys_of_a_server_that_nobody_vouches_for_are_none() {
    let auth = AuthServer::start();
    let upstream = Server::start(|_| Answer::ok("content"));
    let key = Key::new("1");
    let issuer = Issuer::start(&[&key]);
    let authority = Authority::new("nobody");
    let front = TlsFront::start(
        &authority.issue(&["127.0.0.1"]),
        None,
        issuer.server.address,
    );
    let conf = Conf::new(&auth, &upstream).route(&format!(
        "callers: [{{jwt: {{issuer: \"{}\", audience: sidekey, header: Proxy-Authorization, \
         jwks_uri: \"https://{}/jwks\"}}}}]",
        issuer.name(),
        front.address
    ));
    let sidekey = Sidekey::run(&conf);
    let bearer = format!("Bearer {}", issuer.token(&key, &json!({})));
    let with = || {
        let fields = [("Proxy-Authorization", bearer.as_str())];
        call(sidekey.proxy, "GET", "/api/", &fields, b"")
    };
    is_refused(&with(), "could not be fetched yet");
    eventually("words about it", || sidekey.logs().contains("certificate"));
    assert_eq!(issuer.asked(), 0);
    let believed = conf.yaml().replace("/jwks\"", "/jwks\", ca: ca.crt");
    sidekey.put("ca.crt", &authority.pem);
    sidekey.configure(&believed);
    eventually("its keys", || with().status == 200);
    assert!(upstream.only().all("proxy-authorization").is_empty());
}

/// A token that the issuer of keys asks for itself, as Kubernetes' does.
#[test]
fn keys_are_fetched_with_a_token_where_that_is_asked() {
    let auth = AuthServer::start();
    let upstream = Server::start(|_| Answer::ok("content"));
    let key = Key::new("1");
    let jwks = json!({"keys": [key.jwk()]}).to_string();
    let keys = Server::start(move |request| match request.header("authorization") {
        Some("Bearer pod-token") => Answer::json(200, &jwks),
        _ => Answer::new(403),
    });
    let authority = Authority::new("the cluster");
    let front = TlsFront::start(&authority.issue(&["127.0.0.1"]), None, keys.address);
    let conf = Conf::new(&auth, &upstream).route(&format!(
        "callers: [{{jwt: {{issuer: \"https://kubernetes.default.svc\", audience: sidekey, \
         claims: {{/kubernetes.io/namespace: prod, sub: \"system:serviceaccount:prod:app\"}}, \
         jwks_uri: \"https://{}/openid/v1/jwks\", ca: ca.crt, token_file: token}}}}]",
        front.address
    ));
    let mut sidekey = Sidekey::launch(&Launch {
        yaml: conf.yaml(),
        files: vec![
            ("token".into(), "pod-token\n".into()),
            ("ca.crt".into(), authority.pem.clone()),
        ],
        ..Launch::default()
    });
    sidekey.wait_for("/readyz");
    has_keys(&sidekey);
    let of = |namespace: &str| {
        let claims = json!({
            "iss": "https://kubernetes.default.svc", "aud": ["sidekey"], "exp": now() + 600,
            "sub": "system:serviceaccount:prod:app", "kubernetes.io": {"namespace": namespace},
        });
        let token = key.sign(&json!({"alg": "ES256", "kid": "1"}), &claims);
        let bearer = format!("Bearer {token}");
        call(
            sidekey.proxy,
            "GET",
            "/api/",
            &[("Authorization", &bearer)],
            b"",
        )
    };
    assert_eq!(of("prod").status, 200);
    is_forbidden(&of("dev"));
    let line = eventually_some("its line", || {
        let logs = sidekey.logs();
        let mut lines = logs.lines().filter(|line| line.contains("caller="));
        lines.next().map(str::to_owned)
    });
    assert!(
        line.contains("caller=system:serviceaccount:prod:app"),
        "{line}"
    );
}

/// Two callers, and an account for each: of their names beside the claims, and of
/// what their tokens say.
#[test]
fn each_caller_is_served_by_an_account_of_its_own() {
    let oidc = Oidc::start();
    let upstream = Server::start(|request| Answer::ok(request.target.clone()));
    let issuer = format!("http://{}", oidc.address);
    let jwt =
        |more: &str| format!("{{jwt: {{issuer: \"{issuer}\", audience: \"urn:sidekey\"{more}}}");
    let given = format!(
        "[{}, name: one}}, {}, name: two}}]",
        jwt(", claims: {client_id: basic}"),
        jwt(", claims: {client_id: post}")
    );
    let told = format!("[{}}}]", jwt(", name_claim: client_id"));
    let conf = Conf::at(&oidc.token_endpoint(), "unused").integration("parameters: [at]");
    let conf = conf.oauth2("token_parameters: {at: \"{at}\"}");
    let yaml = conf.yaml();
    let (before, _) = yaml.split_once("accounts:").unwrap();
    let secret = format!("client_secret: \"{}\"", Oidc::secret("basic"));
    let before = before.replace("client_secret: {env: TEST_CLIENT_SECRET}", &secret);
    let before = before.replace(CLIENT_ID, "basic");
    let accounts = ["one", "two", "basic", "post"].map(|key| {
        format!("  - {{key: {key}, integration: test, parameters: {{at: at-{key}}}}}\n")
    });
    let route = |name: &str, callers: &str| {
        format!(
            "  - name: {name}\n    path: /{name}/\n    upstream: {}/{{at}}/\n    integration: test\n\
             \x20   account: \"{{caller.name}}\"\n    callers: {callers}\n",
            upstream.url()
        )
    };
    let sidekey = Sidekey::run_yaml(&format!(
        "{before}accounts:\n{}routes:\n{}{}",
        accounts.concat(),
        route("given", &given),
        route("told", &told)
    ));
    has_keys(&sidekey);
    for (client, given) in [("basic", "one"), ("post", "two")] {
        let bearer = format!("Authorization: Bearer {}", oidc.jwt(client, "urn:sidekey"));
        for (route, account) in [("given", given), ("told", client)] {
            let url = format!("http://{}/{route}/x", sidekey.proxy);
            let output = curl(&["--fail-with-body", "-H", &bearer, &url]);
            let text = String::from_utf8(output.stdout).unwrap();
            assert_eq!(text, format!("/at-{account}/x"), "{client} at {route}");
        }
        let wrong = format!("Authorization: Bearer {}", oidc.jwt(client, "urn:other"));
        let url = format!("http://{}/told/x", sidekey.proxy);
        let output = curl(&["-o", "/dev/null", "-w", "%{http_code}", "-H", &wrong, &url]);
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "403");
    }
    shown(
        "HTTP/1.1",
        "a caller is known by its JWT",
        "curl",
        "oidc-provider",
    );
}
