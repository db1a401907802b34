//! Proxies of sidekey's own requests that are sidekey itself, and those that change.

use super::outgoing_proxy::{elsewhere, run};
use crate::support::{
    Answer, AuthServer, Conf, Server, eventually, eventually_some, free_port, get, local,
};
use std::net::SocketAddr;

const IGNORED: &str = "is sidekey's own listener";
const READ_AGAIN: &str = "the configuration was read again";

#[test]
fn a_proxy_that_is_sidekey_itself_is_ignored() {
    let auth = AuthServer::start();
    let upstream = Server::start(|_| Answer::ok("direct"));
    let port = free_port();
    let conf = Conf::at(&auth.endpoint(), &elsewhere(&upstream)).route("allow_plaintext: true");
    let yaml = conf.yaml().replace("@PROXY@", &port.to_string());
    let own = format!("http://u:hunter2@localhost:{port}");
    let environment = [("http_proxy", own.as_str()), ("HTTPS_PROXY", &own)];
    let sidekey = run(yaml.clone(), &environment, &[]);
    assert_eq!(get(local(port), "/api/").text(), "direct");
    let named = format!("the proxy http://localhost:{port} (of http_proxy) {IGNORED}");
    let warnings = || sidekey.logs().matches(IGNORED).count();
    eventually("the warning", || sidekey.logs().contains(&named));
    assert_eq!(warnings(), 1);
    sidekey.configure(&format!("{yaml}# another\n"));
    eventually("the reload", || sidekey.logs().contains(READ_AGAIN));
    assert!(warnings() >= 2);
    assert_eq!(get(local(port), "/api/").text(), "direct");
    assert!(!sidekey.logs().contains("hunter2"));
}

#[test]
fn so_it_is_with_a_port_of_the_systems_choice() {
    let auth = AuthServer::start();
    let upstream = Server::start(|_| Answer::ok("ok"));
    let conf = || Conf::new(&auth, &upstream);
    let yaml = conf().yaml().replace("127.0.0.1:@PROXY@", "127.0.0.1:0");
    let sidekey = run(yaml, &[], &[]);
    let address: SocketAddr = eventually_some("its address", || {
        let said = sidekey.logs();
        let (before, _) = said.split_once(" for applications")?;
        before.rsplit_once("http://")?.1.parse().ok()
    });
    let url = format!("http://localhost:{}", address.port());
    let top = format!("proxy: {{upstreams: \"{url}\", token_requests: \"{url}\"}}");
    let yaml = conf()
        .top(&top)
        .yaml()
        .replace("127.0.0.1:@PROXY@", "127.0.0.1:0");
    sidekey.configure(&yaml);
    eventually("the warning", || sidekey.logs().contains(IGNORED));
    eventually("the reload", || sidekey.logs().contains(READ_AGAIN));
    assert_eq!(get(address, "/api/").status, 200);
    assert_eq!(upstream.count(), 1);
}

#[test]
fn a_reload_brings_another_proxy_or_none() {
    let auth = AuthServer::start();
    let upstream = Server::start(|_| Answer::ok("direct"));
    let [one, two] = ["one", "two"].map(|name| Server::start(move |_| Answer::ok(name)));
    let by = |way: &str| {
        let conf = Conf::new(&auth, &upstream).top("workers: {count: 1}");
        conf.top(&format!("proxy: {{upstreams: {way}}}")).yaml()
    };
    let url = |server: &Server| format!("\"http://{}\"", server.address);
    let sidekey = run(by(&url(&one)), &[], &[]);
    assert_eq!(sidekey.get("/api/").text(), "one");
    sidekey.configure(&by(&url(&two)));
    eventually("the other", || sidekey.get("/api/").text() == "two");
    let said = format!("the proxy http://{} for", two.address);
    eventually("what it says", || sidekey.logs().contains(&said));
    sidekey.configure(&by("none"));
    eventually("none", || sidekey.get("/api/").text() == "direct");
    eventually("that", || {
        sidekey.logs().contains("nothing goes through a proxy")
    });
}

/// The account's next token comes the new way.
#[test]
fn a_reload_changes_the_way_of_token_requests() {
    let (auth, token_proxy) = (AuthServer::start(), AuthServer::start());
    let upstream = Server::start(|_| Answer::ok("ok"));
    let conf = |way: &str| {
        let conf = Conf::new(&auth, &upstream);
        conf.top(&format!("proxy: {{token_requests: {way}}}"))
            .yaml()
    };
    let sidekey = run(conf("none"), &[], &[]);
    assert_eq!((auth.count(), token_proxy.count()), (1, 0));
    sidekey.configure(&conf(&format!("\"http://{}\"", token_proxy.server.address)));
    eventually("the reload", || sidekey.logs().contains(READ_AGAIN));
    assert_eq!(
        sidekey.api("POST", "/api/accounts/one/refresh", "").status,
        200
    );
    assert!(token_proxy.count() >= 1);
    assert_eq!(auth.count(), 1);
    let said = format!("the proxy http://{} for", token_proxy.server.address);
    assert!(sidekey.logs().contains(&said), "{}", sidekey.logs());
}
