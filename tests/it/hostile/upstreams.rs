//! Upstreams of either version that answer as a case says, and well otherwise:
//! with the body that they were sent.

use super::answers::Case;
use super::notation::expand;
use super::recorder::read_all;
use crate::support::frames::{DATA, END_HEADERS, END_STREAM, Frames, HEADERS, frame};
use crate::support::{eventually, local};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What the next request is answered with.
#[derive(Clone, Default)]
pub struct Script(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    case: Option<Arc<Case>>,
    /// Of the connection on which the case was answered last.
    stream: Option<TcpStream>,
    /// Connections that the other side has closed.
    closed: Vec<SocketAddr>,
}

impl Script {
    pub fn set(&self, case: Option<Arc<Case>>) {
        self.0.lock().unwrap().case = case;
    }

    /// The case to answer with.
    fn take(&self, stream: &TcpStream) -> Option<Arc<Case>> {
        let mut state = self.0.lock().unwrap();
        let case = state.case.clone()?;
        state.stream = stream.try_clone().ok();
        if case.once {
            state.case = None;
        }
        Some(case)
    }

    fn closed(&self, peer: SocketAddr) {
        self.0.lock().unwrap().closed.push(peer);
    }

    /// Sends bytes that nobody asked for, and waits until that has ended the connection.
    pub fn say(&self, text: &str) {
        let stream = self.0.lock().unwrap().stream.take();
        let mut stream = stream.expect("a connection");
        let Ok(peer) = stream.peer_addr() else {
            return;
        };
        let _ = stream.write_all(&expand(text, ""));
        eventually("the connection is closed", || {
            self.0.lock().unwrap().closed.contains(&peer)
        });
    }
}

/// Starts an upstream that plays the script on every connection.
pub fn start(script: &Script, is_http2: bool) -> SocketAddr {
    let listener = TcpListener::bind(local(0)).unwrap();
    let address = listener.local_addr().unwrap();
    let script = script.clone();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let script = script.clone();
            thread::spawn(move || {
                let peer = stream.peer_addr().unwrap();
                if is_http2 {
                    serve_http2(stream, &script);
                } else {
                    // A peer that goes away is no concern of the server's.
                    drop(serve(stream, &script));
                }
                script.closed(peer);
            });
        }
    });
    address
}

fn serve(mut stream: TcpStream, script: &Script) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut unread = Vec::new();
    let mut some = vec![0; 65_536];
    loop {
        let length = stream.read(&mut some)?;
        if length == 0 {
            return Ok(());
        }
        unread.extend_from_slice(&some[..length]);
        let (messages, left) = read_all(&unread).expect("plain requests");
        unread.drain(..unread.len() - left);
        for message in messages {
            if let Some(case) = script.take(&stream) {
                stream.write_all(&case.bytes(0))?;
                if case.closes {
                    return stream.shutdown(Shutdown::Both);
                }
                continue;
            }
            let length = message.body.len();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            stream.write_all(&[head.as_bytes(), &message.body].concat())?;
        }
    }
}

fn serve_http2(stream: TcpStream, script: &Script) {
    let mut peer = Frames::of_upstream(stream, &[]);
    let mut body = Vec::new();
    while let Some(came) = peer.next() {
        let ends = came.flags & END_STREAM != 0;
        match came.kind {
            HEADERS => body.clear(),
            DATA => body.extend(&came.payload),
            _ => continue,
        }
        if !ends {
            continue;
        }
        if let Some(case) = script.take(&peer.stream) {
            peer.try_send(case.bytes(came.stream));
            if case.closes {
                drop(peer.stream.shutdown(Shutdown::Both));
                return;
            }
            continue;
        }
        let head = frame(HEADERS, END_HEADERS, came.stream, &[0x88]);
        let data = frame(DATA, END_STREAM, came.stream, &body);
        peer.try_send([head, data].concat());
    }
}
