//! sidekey's own requests through HTTP proxies: which, and how they are asked.

use crate::support::authority::{Authority, TlsFront};
use crate::support::outgoing::Tunnels;
use crate::support::scripted::{ACCEPTED, ask};
use crate::support::sidekey::{Launch, run_to_end};
use crate::support::{Answer, AuthServer, Conf, Scripted, Server, Sidekey, call, eventually};

fn launched(yaml: String, environment: &[(&str, &str)], files: &[(&str, &str)]) -> Sidekey {
    let owned = |list: &[(&str, &str)]| -> Vec<(String, String)> {
        let list = list.iter().map(|(n, v)| ((*n).into(), (*v).into()));
        list.collect()
    };
    Sidekey::launch(&Launch {
        yaml,
        environment: owned(environment),
        files: owned(files),
        ..Launch::default()
    })
}

/// Runs it and waits until it is ready.
pub fn run(yaml: String, environment: &[(&str, &str)], files: &[(&str, &str)]) -> Sidekey {
    let mut sidekey = launched(yaml, environment, files);
    sidekey.wait_for("/readyz");
    sidekey
}

/// A proxy that gets requests whole, and answers them itself.
fn whole(auth: &AuthServer) -> Server {
    let live = auth.checker();
    Server::start(move |request| match live(request) {
        true => Answer::ok(request.body.clone()),
        false => Answer::rejected(),
    })
}

#[test]
fn tls_goes_by_a_tunnel_of_the_environments_proxy() {
    let authority = Authority::new("Works CA");
    let (auth, behind) = (AuthServer::start(), Server::start(|_| Answer::ok("ok")));
    let front = TlsFront::start(&authority.issue(&["api.test"]), None, behind.address);
    let proxy = Tunnels::to(front.address);
    let conf = Conf::at(&auth.endpoint(), "https://api.test/v1/").route("tls: {ca: ca.pem}");
    let url = format!("http://us%65r:hunter2@{}", proxy.address);
    let environment = [
        ("https_proxy", url.as_str()),
        ("http_proxy", "http://x.test:1"),
    ];
    let sidekey = run(conf.yaml(), &environment, &[("ca.pem", &authority.pem)]);
    for _ in 0..3 {
        assert_eq!(sidekey.get("/api/a").status, 200);
    }
    for asked in proxy.asked() {
        assert_eq!(
            (asked.method.as_str(), asked.target.as_str()),
            ("CONNECT", "api.test:443")
        );
        assert_eq!(asked.header("host"), Some("api.test:443"));
        let shown = asked.header("proxy-authorization");
        assert_eq!(shown, Some("Basic dXNlcjpodW50ZXIy"));
    }
    for request in behind.requests() {
        assert_eq!(request.target, "/v1/a");
        assert_eq!(request.header("host"), Some("api.test"));
        assert_eq!(request.header("proxy-authorization"), None);
        assert_eq!(request.bearer(), Some(auth.token().as_str()));
    }
    // The token endpoint is on this machine: no proxy of the environment's.
    assert_eq!(auth.count(), 1);
    let at = proxy.address;
    let through = format!("http://{at} (of https_proxy) for upstreams of the routes main");
    eventually("what it says", || sidekey.logs().contains(&through));
    let said = sidekey.logs();
    assert!(
        !said.contains("hunter2") && !said.contains("dXNlcjp"),
        "{said}"
    );
}

#[test]
fn plain_requests_are_said_to_the_proxy_whole() {
    let auth = AuthServer::start();
    let proxy = whole(&auth);
    let conf =
        Conf::at(&auth.endpoint(), "http://api.test:8080/v1/").route("allow_plaintext: true");
    let url = format!("http://u:p@{}/", proxy.address);
    let sidekey = run(
        conf.top("workers: {count: 1}").yaml(),
        &[("http_proxy", &url)],
        &[],
    );
    let own = [("Proxy-Authorization", "Basic of the caller")];
    let answer = call(sidekey.proxy, "POST", "/api/a%20b?c=d", &own, b"body");
    assert_eq!((answer.status, answer.text().as_str()), (200, "body"));
    auth.revoke();
    let answer = call(sidekey.proxy, "POST", "/api/a", &own, b"again");
    assert_eq!((answer.status, answer.text().as_str()), (200, "again"));
    let requests = proxy.requests();
    let targets: Vec<_> = requests.iter().map(|r| r.target.as_str()).collect();
    let (first, other) = (
        "http://api.test:8080/v1/a%20b?c=d",
        "http://api.test:8080/v1/a",
    );
    assert_eq!(
        targets,
        [first, other, other],
        "once, then before and after the refresh"
    );
    for request in &requests {
        assert_eq!(request.header("host"), Some("api.test:8080"));
        assert_eq!(request.header("proxy-authorization"), Some("Basic dTpw"));
    }
    assert_eq!(requests[0].connection, requests[1].connection, "kept open");
    assert_eq!(requests[2].bearer(), Some(auth.token().as_str()));
}

#[test]
fn token_requests_go_by_the_environment_too() {
    let token_proxy = AuthServer::start();
    let upstream = Server::start(|_| Answer::ok("ok"));
    let conf = Conf::at("http://as.test/token", &format!("{}/", upstream.url()));
    let url = format!("http://u:p@{}", token_proxy.server.address);
    let environment = [
        ("http_proxy", url.as_str()),
        ("https_proxy", "socks5://u:hunter2@p.test:1080"),
    ];
    let sidekey = run(conf.yaml(), &environment, &[]);
    assert_eq!(sidekey.get("/api/").status, 200);
    let asked = &token_proxy.requests()[0];
    assert_eq!(asked.target, "http://as.test/token");
    assert_eq!(asked.header("proxy-authorization"), Some("Basic dTpw"));
    assert_eq!(upstream.only().bearer(), Some(token_proxy.token().as_str()));
    eventually("the warning", || {
        let said = sidekey.logs();
        said.contains("https_proxy is ignored: SOCKS proxies are not supported")
    });
    assert!(!sidekey.logs().contains("hunter2"));
}

#[test]
fn loopback_and_unix_sockets_need_no_proxy_of_the_environment() {
    let auth = AuthServer::start();
    let upstream = Server::start(|_| Answer::ok("ok"));
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("none.sock");
    let nowhere = "http://127.0.0.1:1";
    let yaml = Conf::new(&auth, &upstream).yaml()
        + &format!(
            "  - {{path: /unix/, upstream: \"http://api.test/\", account: one, unix_socket: {}}}\n",
            socket.display()
        );
    let environment = [("http_proxy", nowhere), ("ALL_PROXY", nowhere)];
    let sidekey = run(yaml, &environment, &[]);
    assert_eq!(sidekey.get("/api/").status, 200);
    let unix = sidekey.get("/unix/");
    assert_eq!(unix.problem(), "upstream_unreachable");
    assert!(unix.text().contains("none.sock"), "{}", unix.text());
}

/// An address that is of this machine, though it does not look like that: what the
/// environment says goes for it.
pub fn elsewhere(upstream: &Server) -> String {
    format!("http://0.0.0.0:{}/", upstream.address.port())
}

#[test]
fn no_proxy_names_what_needs_none() {
    let auth = AuthServer::start();
    let proxy = whole(&auth);
    let upstream = Server::start(|_| Answer::ok("direct"));
    let url = format!("http://{}", proxy.address);
    let one = format!("x.test, 0.0.0.0:{}", upstream.address.port());
    for (list, is_direct) in [
        ("", false),
        (".test 10.0.0.0/8", false),
        ("0.0.0.0:1", false),
        ("x.test 0.0.0.0/8", true),
        (&one, true),
        ("*", true),
    ] {
        let conf = Conf::at(&auth.endpoint(), &elsewhere(&upstream));
        let conf = conf.route("allow_plaintext: true");
        let environment = [("http_proxy", url.as_str()), ("NO_PROXY", list)];
        let sidekey = run(conf.yaml(), &environment, &[]);
        let answer = sidekey.get("/api/");
        assert_eq!(answer.status, 200, "{list}");
        assert_eq!(answer.text() == "direct", is_direct, "{list}");
    }
}

/// Of several upstreams each goes its own way.
#[test]
fn one_of_two_upstreams_may_need_no_proxy() {
    let auth = AuthServer::start();
    let [near, far] = ["near", "far"].map(|name| Server::start(move |_| Answer::ok(name)));
    let proxy = Server::start(|_| Answer::ok("proxied"));
    let except = format!("0.0.0.0:{}", near.address.port());
    let both = format!("[\"{}\", \"{}\"]", elsewhere(&near), elsewhere(&far));
    let conf = Conf::at(&auth.endpoint(), &both).route("allow_plaintext: true");
    let url = format!("http://{}", proxy.address);
    let environment = [("http_proxy", url.as_str()), ("no_proxy", &except)];
    let sidekey = run(conf.yaml(), &environment, &[]);
    for _ in 0..10 {
        assert_eq!(sidekey.get("/api/").status, 200);
    }
    assert!(near.count() > 0 && proxy.count() > 0);
    assert_eq!((near.count() + proxy.count(), far.count()), (10, 0));
}

#[test]
fn what_is_excepted_in_the_file_may_be_on_this_machine() {
    let auth = AuthServer::start();
    let proxy = whole(&auth);
    let url = format!("http://{}", proxy.address);
    let upstream = Server::start(|_| Answer::ok("ok"));
    let long =
        |except: &str| format!("proxy: {{upstreams: {{url: \"{url}\", except: [{except}]}}}}");
    let through = run(Conf::new(&auth, &upstream).top(&long("")).yaml(), &[], &[]);
    assert_eq!(through.get("/api/").status, 200);
    assert_eq!((proxy.count(), upstream.count()), (1, 0));
    let port = upstream.address.port();
    let except = long(&format!("\"127.0.0.1:{port}\""));
    let past = run(Conf::new(&auth, &upstream).top(&except).yaml(), &[], &[]);
    assert_eq!(past.get("/api/").status, 200);
    assert_eq!((proxy.count(), upstream.count()), (1, 1));
}

#[test]
fn upstreams_and_token_requests_have_proxies_apart() {
    // Token requests said to it whole are answered by it.
    let (auth, token_proxy) = (AuthServer::start(), AuthServer::start());
    let upstream = Server::start(|_| Answer::ok("direct"));
    let proxy = Server::start(|_| Answer::ok("proxied"));
    let (at, tokens_at) = (proxy.address, token_proxy.server.address);
    let conf = || Conf::new(&auth, &upstream);
    let top =
        format!("proxy: {{upstreams: \"http://{at}\", token_requests: \"http://{tokens_at}\"}}");
    let both = run(conf().top(&top).yaml(), &[], &[]);
    assert_eq!(both.get("/api/").text(), "proxied");
    assert_eq!(proxy.only().bearer(), Some(token_proxy.token().as_str()));
    assert_eq!(token_proxy.requests()[0].target, auth.endpoint());
    assert_eq!((auth.count(), upstream.count()), (0, 0));
    let said = format!("http://{tokens_at} for token requests of the accounts one");
    eventually("what it says", || both.logs().contains(&said));
    // An integration has the last word.
    let own = conf().top(&top).integration("proxy: none");
    let own = run(own.yaml(), &[], &[]);
    assert_eq!(own.get("/api/").text(), "direct");
    assert_eq!((token_proxy.count(), auth.count()), (2, 0));
    let own = conf().top(&top).oauth2("proxy: none");
    let own = run(own.yaml(), &[], &[]);
    assert_eq!(own.get("/api/").text(), "proxied");
    assert_eq!((token_proxy.count(), auth.count()), (2, 1));
    let own = conf().integration(&format!("proxy: {{url: \"http://{at}\"}}"));
    assert_eq!(run(own.yaml(), &[], &[]).get("/api/").text(), "proxied");
}

/// One origin, two ways to it: none uses the other's connections.
#[test]
fn connections_of_two_proxies_are_kept_apart() {
    let auth = AuthServer::start();
    let upstream = Server::start(|_| Answer::ok("direct"));
    let [one, two] = ["one", "two"].map(|name| Server::start(move |_| Answer::ok(name)));
    let other = format!(
        "integrations:\n\x20 - key: other\n\x20   proxy: \"http://{}\"\n\x20   oauth2: {{grant_type: \
         client_credentials, token_endpoint: \"{}\", client_id: x, token_endpoint_auth_method: none}}\n",
        two.address,
        auth.endpoint()
    );
    let conf = Conf::new(&auth, &upstream).top("workers: {count: 1}");
    let yaml = conf
        .integration(&format!("proxy: \"http://{}\"", one.address))
        .yaml();
    let yaml = yaml.replace("integrations:\n", &other);
    let yaml = yaml.replace(
        "accounts:\n",
        "accounts:\n  - {key: two, integration: other}\n",
    );
    let route = format!(
        "  - {{path: /two/, upstream: \"{}/\", account: two}}\n",
        upstream.url()
    );
    let sidekey = run(yaml + &route, &[], &[]);
    for _ in 0..5 {
        assert_eq!(sidekey.get("/api/").text(), "one");
        assert_eq!(sidekey.get("/two/").text(), "two");
    }
    assert_eq!(upstream.count(), 0);
}

#[test]
fn a_companys_own_authority_is_trusted_for_what_it_intercepts() {
    let company = Authority::new("Company CA");
    let (auth, behind) = (AuthServer::start(), Server::start(|_| Answer::ok("ok")));
    let front = TlsFront::start(&company.issue(&["api.test"]), None, behind.address);
    let proxy = Tunnels::to(front.address);
    let files = [("company.pem", company.pem.as_str())];
    let with = |more: &str| {
        let top = format!("proxy: {{upstreams: {{url: \"{}\"{more}}}}}", proxy.url());
        run(
            Conf::at(&auth.endpoint(), "https://api.test/")
                .top(&top)
                .yaml(),
            &[],
            &files,
        )
    };
    let trusting = with(", ca: company.pem");
    for _ in 0..3 {
        assert_eq!(trusting.get("/api/").status, 200);
    }
    let stranger = with("").get("/api/");
    assert_eq!(
        stranger.problem(),
        "upstream_tls_error",
        "{}",
        stranger.text()
    );
    assert_eq!(behind.count(), 3);
}

#[test]
fn a_websocket_passes_by_tunnel_even_without_tls() {
    let auth = AuthServer::start();
    let upstream = Scripted::start();
    let proxy = Tunnels::to(upstream.address);
    let conf = Conf::at(&auth.endpoint(), "http://api.test/").route("allow_plaintext: true");
    let sidekey = run(conf.yaml(), &[("http_proxy", &proxy.url())], &[]);
    let mut caller = ask(sidekey.proxy, "/api/ws", "");
    let (mut there, request) = upstream.request();
    assert_eq!(request.target, "/ws");
    assert_eq!(request.header("proxy-authorization"), None);
    there.send([ACCEPTED.as_bytes(), b"\x81\x05hello"].concat());
    assert_eq!(caller.response().status, 101);
    assert_eq!(caller.exactly(7), b"\x81\x05hello");
    assert_eq!(proxy.asked()[0].target, "api.test:80");
}

fn check(yaml: &str) -> (i32, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sidekey.yaml");
    let yaml = yaml.replace("@PROXY@", "7480").replace("@ADMIN@", "7481");
    std::fs::write(&file, yaml).unwrap();
    run_to_end(&["check", "--config", file.to_str().unwrap()])
}

#[test]
fn check_says_what_goes_through_which_and_what_is_wrong() {
    let conf = || Conf::at("https://as.test/token", "https://api.test/");
    let good = "proxy: {upstreams: {url: \"http://p.test:3128\", username: u, password: hunter2}, \
                token_requests: \"http://localhost:7480\"}";
    let (code, said) = check(&conf().top(good).yaml());
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("through the proxy http://p.test:3128 for upstreams of the routes main"),
        "{said}"
    );
    assert!(
        said.contains("the proxy http://localhost:7480 is sidekey's own listener"),
        "{said}"
    );
    assert!(!said.contains("hunter2"), "{said}");
    for (bad, column, part) in [
        (
            "upstreams: socks5://p.test:1080",
            20,
            "SOCKS proxies are not supported",
        ),
        (
            "upstreams: \"http://u:hunter2@p.test\"",
            20,
            "a user and a password do not belong",
        ),
        ("upstreams: enviroment", 20, "can't be a proxy"),
        (
            "upstreams: {url: http://p.test, ca: none.pem}",
            45,
            "none.pem can't be read",
        ),
        (
            "upstreams: {url: http://p.test, password: hunter2}",
            41,
            "`password` without `username`",
        ),
        (
            "upstreams: {url: http://p.test, except: [10.*]}",
            50,
            "`except` can't hold `10.*`",
        ),
        ("upstreams: {urll: http://p.test}", 21, "did you mean `url`"),
        ("tokens: none", 9, "has no key `tokens`"),
    ] {
        let (code, said) = check(&conf().top(&format!("proxy: {{{bad}}}")).yaml());
        assert_eq!(code, 1, "{bad}: {said}");
        assert!(
            said.contains(&format!("sidekey.yaml:5:{column}")),
            "{bad}: {said}"
        );
        assert!(
            said.contains(part) && !said.contains("hunter2"),
            "{bad}: {said}"
        );
    }
}

/// What stays on this machine by itself does not, through a proxy.
#[test]
fn no_token_goes_to_a_far_proxy_in_the_clear_unasked() {
    let conf = |top: &str| Conf::at("https://as.test/token", "http://127.0.0.1:8080/").top(top);
    let far = "proxy: {upstreams: \"http://p.test:3128\"}";
    let (code, said) = check(&conf(far).yaml());
    assert_eq!(code, 1, "{said}");
    let what = "the token would travel over plain HTTP through the proxy http://p.test:3128";
    assert!(said.contains(what), "{said}");
    let except = "proxy: {upstreams: {url: \"http://p.test:3128\", except: [127.0.0.1]}}";
    for good in [
        conf(far).route("allow_plaintext: true"),
        conf(except),
        conf(far).integration("proxy: none"),
        conf(far).route("unix_socket: /run/app.sock"),
    ] {
        let (code, said) = check(&good.yaml());
        assert_eq!(code, 0, "{said}");
    }
    let endpoint = Conf::at("http://127.0.0.1/token", "https://api.test/");
    let (code, said) = check(
        &endpoint
            .top(&far.replace("upstreams", "token_requests"))
            .yaml(),
    );
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("the client secret and the token travel over plain HTTP"),
        "{said}"
    );
}
