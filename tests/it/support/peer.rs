//! An upstream that does on each connection what a script says.

use super::local;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

pub struct Peer {
    pub address: SocketAddr,
    opened: Arc<AtomicUsize>,
}

impl Peer {
    /// `script` gets each connection with its number, from 0.
    pub fn start(script: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(local(0)).unwrap();
        let address = listener.local_addr().unwrap();
        let opened = Arc::<AtomicUsize>::default();
        let count = opened.clone();
        let script = Arc::new(script);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let (stream, script) = (stream.unwrap(), script.clone());
                thread::spawn(move || script(number, stream));
            }
        });
        Self { address, opened }
    }

    /// The same, for HTTP/2 known beforehand.
    pub fn h2c_url(&self) -> String {
        format!("h2c://{}/", self.address)
    }

    /// Connections so far.
    pub fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }
}
