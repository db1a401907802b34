//! Trailers of real callers and of real servers, HAProxy in the middle.

use crate::support::feature::shown;
use crate::support::real::{Part, file, output, serving};
use crate::support::relay::Relay;
use crate::support::{AuthServer, Conf, Sidekey};
use std::net::SocketAddr;
use std::process::Command;

fn script(words: &[&str]) -> Command {
    let mut node = Command::new("node");
    node.arg(file("trailers.mjs")).args(words);
    node
}

fn server(version: &str) -> (SocketAddr, Part) {
    serving("trailers", |port| {
        script(&["serve", version, &port.to_string()])
    })
}

/// By both versions to this upstream.
fn called(url: &str, upstream: &str) {
    let auth = AuthServer::start();
    let sidekey = Sidekey::run(&Conf::at(&auth.endpoint(), url));
    for (version, client) in [("1.1", "Node http"), ("2", "Node http2")] {
        let url = format!("http://{}/api/x", sidekey.proxy);
        let said = output(&mut script(&["call", version, &url]));
        assert_eq!(said, "done\n", "{client} to {upstream}");
        let protocol = format!("HTTP/{version}");
        shown(&protocol, "trailers both ways", client, upstream);
    }
}

#[test]
fn trailers_to_node_and_back() {
    for (version, scheme, name) in [("1.1", "http", "Node http"), ("2", "h2c", "Node http2")] {
        let (address, _part) = server(version);
        called(&format!("{scheme}://{address}/"), name);
    }
}

#[test]
fn trailers_past_haproxy_and_back() {
    let (address, _part) = server("1.1");
    let relay = Relay::haproxy(address);
    called(&format!("http://{}/", relay.plain), "HAProxy, HTTP/1.1");
    called(&format!("h2c://{}/", relay.h2c), "HAProxy, HTTP/2");
}
