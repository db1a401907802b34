//! A server that keeps every byte it gets, and answers each plain request with
//! its method and target.

use super::strict::{self, Message};
use crate::support::{RUNTIME, local};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The bytes of each connection.
type Log = Arc<Mutex<Vec<Vec<u8>>>>;

pub struct Recorder {
    pub address: SocketAddr,
    log: Log,
}

/// How many bytes each connection had brought at some moment.
#[derive(Default)]
pub struct Mark(Vec<usize>);

impl Recorder {
    pub fn start() -> Self {
        let listener = RUNTIME.block_on(TcpListener::bind(local(0))).unwrap();
        let address = listener.local_addr().unwrap();
        let log = Log::default();
        let shared = log.clone();
        RUNTIME.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = {
                    let mut log = shared.lock().unwrap();
                    log.push(Vec::new());
                    log.len() - 1
                };
                // A peer that goes away is no concern of the server's.
                let log = shared.clone();
                RUNTIME.spawn(async move { drop(serve(stream, number, &log).await) });
            }
        });
        Self { address, log }
    }

    pub fn mark(&self) -> Mark {
        Mark(self.log.lock().unwrap().iter().map(Vec::len).collect())
    }

    /// What has come since, by connection.
    pub fn since(&self, mark: &Mark) -> Vec<Vec<u8>> {
        let log = self.log.lock().unwrap();
        let before = mark.0.iter().copied().chain(std::iter::repeat(0));
        let new = log
            .iter()
            .zip(before)
            .map(|(all, from)| all[from..].to_vec());
        new.filter(|bytes| !bytes.is_empty()).collect()
    }
}

async fn serve(mut stream: TcpStream, number: usize, log: &Log) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut some = vec![0; 65_536];
    let mut unread = Vec::new();
    let mut plain = true;
    loop {
        let length = stream.read(&mut some).await?;
        if length == 0 {
            return Ok(());
        }
        log.lock().unwrap()[number].extend_from_slice(&some[..length]);
        if !plain {
            continue;
        }
        unread.extend_from_slice(&some[..length]);
        match read_all(&unread) {
            Ok((messages, left)) => {
                unread.drain(..unread.len() - left);
                for message in messages {
                    stream.write_all(&answer(&message)).await?;
                    if message.all("connection") == [b"close"] {
                        return Ok(());
                    }
                }
            }
            // Only listens from here on: what it would be is found out later.
            Err(_) => plain = false,
        }
    }
}

/// Every whole request, and how many bytes are left.
pub fn read_all(mut bytes: &[u8]) -> Result<(Vec<Message>, usize), String> {
    let mut messages = Vec::new();
    while let Some((message, length)) = strict::read(bytes)? {
        messages.push(message);
        bytes = &bytes[length..];
    }
    Ok((messages, bytes.len()))
}

fn answer(message: &Message) -> Vec<u8> {
    let body = format!("{} {}", message.method, message.target);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    match message.method.as_str() {
        "HEAD" => head.into_bytes(),
        _ => (head + &body).into_bytes(),
    }
}
