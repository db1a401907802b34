//! Long answers, which the kernel moves from one connection to the other by itself.

use crate::support::{AuthServer, Conf, Conn, Scripted, Sidekey, eventually};
use socket2::SockRef;
use std::io::{Read, Write};
use std::thread;

const LENGTH: usize = 3 * 1024 * 1024 + 7;

fn started(change: impl FnOnce(Conf) -> Conf) -> (AuthServer, Scripted, Sidekey) {
    let auth = AuthServer::start();
    let upstream = Scripted::start();
    let conf = Conf::at(&auth.endpoint(), &upstream.url());
    (auth, upstream, Sidekey::run(&change(conf)))
}

/// Bytes of which none can be lost or swapped unseen.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 7 + i / 251) as u8).collect()
}

fn head() -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n")
}

/// A request, and the upstream's end of its connection.
fn asked(sidekey: &Sidekey, upstream: &Scripted) -> (Conn, Conn) {
    let mut caller = Conn::to(sidekey.proxy);
    caller.ask("/api/");
    let (server, _) = upstream.request();
    (caller, server)
}

fn pipes(sidekey: &Sidekey) -> usize {
    let folder = format!("/proc/{}/fd", sidekey.process());
    let links = std::fs::read_dir(folder).unwrap().flatten();
    let links = links.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    links
        .filter(|link| link.to_string_lossy().starts_with("pipe:"))
        .count()
}

#[test]
fn all_of_it_comes_and_both_connections_go_on() {
    let (_auth, upstream, sidekey) = started(|conf| conf);
    let content = pattern(LENGTH);
    let (mut caller, mut server) = asked(&sidekey, &upstream);
    // The content comes with its head, behind it, and in pieces.
    for pieces in [
        vec![[head().as_bytes(), &content].concat()],
        vec![head().into_bytes(), content.clone()],
        [head().as_bytes(), &content]
            .concat()
            .chunks(300_001)
            .map(<[u8]>::to_vec)
            .collect(),
    ] {
        let sender = thread::spawn(move || {
            pieces.iter().for_each(|piece| server.send(piece));
            server
        });
        caller.skip_head();
        assert!(caller.exactly(LENGTH) == content);
        server = sender.join().unwrap();
        caller.ask("/api/");
        server.head();
    }
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(caller.response().text(), "ok");
}

#[test]
fn it_goes_through_a_pipe_that_nobody_else_gets_before_it_is_empty() {
    let (_auth, upstream, sidekey) = started(|conf| conf.top("workers: {count: 1}"));
    let before = pipes(&sidekey);
    let (mut caller, mut server) = asked(&sidekey, &upstream);
    // More than all buffers between them have room for.
    let length = 256 * 1024 * 1024;
    server.send(format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
    ));
    let mut stream = server.stream.try_clone().unwrap();
    let sender = thread::spawn(move || {
        let piece = vec![b'x'; 1024 * 1024];
        while stream.write_all(&piece).is_ok() {}
    });
    caller.skip_head();
    eventually("there is a pipe", || pipes(&sidekey) > before);
    // The caller goes, with content on its way.
    drop(caller);
    sender.join().unwrap();
    let content = pattern(LENGTH);
    let (mut caller, mut server) = asked(&sidekey, &upstream);
    let sender = thread::spawn(move || server.send([head().as_bytes(), &pattern(LENGTH)].concat()));
    caller.skip_head();
    assert!(caller.exactly(LENGTH) == content);
    sender.join().unwrap();
}

#[test]
fn one_that_breaks_off_is_seen_to() {
    let (_auth, upstream, sidekey) = started(|conf| conf);
    let (mut caller, mut server) = asked(&sidekey, &upstream);
    let half = pattern(LENGTH / 2);
    let sender = {
        let half = half.clone();
        thread::spawn(move || server.send([head().as_bytes(), &half].concat()))
    };
    caller.skip_head();
    assert!(caller.rest() == half, "and then the connection ends");
    sender.join().unwrap();
}

/// Some are moved by the kernel, for the others there is no pipe.
#[test]
fn many_at_once_all_come() {
    const MANY: usize = 40;
    let (_auth, upstream, sidekey) = started(|conf| conf.top("workers: {count: 1}"));
    let content = pattern(LENGTH);
    let asked: Vec<_> = (0..MANY).map(|_| asked(&sidekey, &upstream)).collect();
    let (mut callers, servers): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
    let senders: Vec<_> = servers
        .into_iter()
        .map(|mut server| {
            let answer = [head().as_bytes(), &content].concat();
            thread::spawn(move || server.send(answer))
        })
        .collect();
    for caller in &mut callers {
        caller.skip_head();
        assert!(
            caller.exactly(1_000) == content[..1_000],
            "a slow beginning"
        );
    }
    for caller in &mut callers {
        let mut rest = caller.take_buffered();
        let more = rest.len();
        rest.resize(LENGTH - 1_000, 0);
        caller.stream.read_exact(&mut rest[more..]).unwrap();
        assert!(rest == content[1_000..]);
    }
    senders
        .into_iter()
        .for_each(|sender| sender.join().unwrap());
}

/// The kernel does not move what lies behind urgent data, which is no content.
#[test]
fn urgent_data_within_it_stops_nothing() {
    let (_auth, upstream, sidekey) = started(|conf| conf);
    let (mut caller, mut server) = asked(&sidekey, &upstream);
    let content = pattern(LENGTH);
    let sender = {
        let content = content.clone();
        thread::spawn(move || {
            let (first, second) = content.split_at(LENGTH / 3);
            server.send([head().as_bytes(), first].concat());
            SockRef::from(&server.stream)
                .send_out_of_band(b"!")
                .unwrap();
            server.send(second);
        })
    };
    caller.skip_head();
    assert!(caller.exactly(LENGTH) == content);
    sender.join().unwrap();
}
