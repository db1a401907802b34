//! An upstream that is its own authorization server, and a client.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

const PAGE: usize = 1024;
/// Until sidekey listens and has its token.
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts the server; gives its port.
pub fn start() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("its address").port();
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            thread::spawn(move || serve(connection));
        }
    });
    port
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("its address").port()
}

fn serve(connection: TcpStream) {
    connection.set_nodelay(true).expect("a socket");
    let mut writer = connection.try_clone().expect("a socket");
    let mut reader = BufReader::new(connection);
    let page = "x".repeat(PAGE);
    let token = format!(
        r#"{{"access_token":"{}","token_type":"Bearer","expires_in":86400}}"#,
        "t".repeat(900)
    );
    while let Some(first) = message(&mut reader) {
        let body = if first.starts_with("POST /token") {
            &token
        } else {
            &page
        };
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// Reads a message whole; gives its first line, or nothing at the end.
fn message(reader: &mut impl BufRead) -> Option<String> {
    let mut first = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
        if first.is_empty() {
            first = line.to_owned();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(first)
}

/// One connection that is kept.
pub struct Client {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Client {
    /// Waits until there is somebody to connect to.
    pub fn connect(port: u16) -> Self {
        let began = Instant::now();
        let connection = loop {
            match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
                Ok(connection) => break connection,
                Err(why) => assert!(began.elapsed() < PATIENCE, "{why}"),
            }
            thread::sleep(Duration::from_millis(5));
        };
        connection.set_nodelay(true).expect("a socket");
        Self {
            writer: connection.try_clone().expect("a socket"),
            reader: BufReader::new(connection),
        }
    }

    /// So many requests, one after the other. The first ones wait for the token.
    pub fn get(&mut self, requests: u32) {
        for _ in 0..requests {
            let request = "GET /v1/reports HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: test\r\n\
                           Accept: */*\r\n\r\n";
            self.writer.write_all(request.as_bytes()).expect("sent");
            let first = message(&mut self.reader).expect("an answer");
            assert_eq!(first, "HTTP/1.1 200 OK");
        }
    }
}
