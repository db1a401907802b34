//! An upstream that takes no connections, and then does.

use crate::support::{AuthServer, Conf, Sidekey, eventually, local};
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// A listener whose queue is full, and the connections in it.
pub fn full() -> (TcpListener, Vec<TcpStream>) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&local(0).into()).unwrap();
    socket.listen(0).unwrap();
    let listener: TcpListener = socket.into();
    let address = listener.local_addr().unwrap();
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(300));
    let queued = std::iter::from_fn(|| connect().ok()).collect();
    (listener, queued)
}

/// Takes every connection, and answers one request on each.
fn answer_all(listener: TcpListener) {
    let answer = |mut stream: TcpStream| {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read(&mut byte).unwrap_or(0) == 0 {
                return;
            }
            head.push(byte[0]);
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nback");
    };
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
}

#[test]
fn others_are_spared_the_wait_until_it_is_back() {
    let auth = AuthServer::start();
    let (listener, queued) = full();
    let upstream = format!("http://{}/", listener.local_addr().unwrap());
    let conf = Conf::at(&auth.endpoint(), &upstream);
    let conf = conf.route("connect_timeout: 300ms");
    let sidekey = Sidekey::run(&conf.top("workers: {count: 1}"));
    for _ in 0..3 {
        let waited = sidekey.get("/api/");
        assert_eq!(waited.header("Sidekey-Error"), Some("upstream_timeout"));
    }
    eventually("an answer without a wait", || {
        let spared = sidekey.get("/api/");
        spared.status == 502 && spared.text().contains("3 times in a row")
    });
    eventually("the log", || {
        sidekey.logs().contains("takes no connections")
    });
    drop(queued);
    answer_all(listener);
    eventually("it is back", || sidekey.get("/api/").text() == "back");
    eventually("the log", || {
        sidekey.logs().contains("takes connections again")
    });
}
