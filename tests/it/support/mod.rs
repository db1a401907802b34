//! What the tests are made with.

pub mod auth;
pub mod authority;
pub mod client;
pub mod conf;
pub mod consent;
pub mod feature;
pub mod frames;
pub mod gate;
pub mod http;
pub mod issuer;
pub mod outgoing;
pub mod peer;
pub mod people;
pub mod podman;
pub mod real;
pub mod relay;
pub mod rotation;
pub mod scripted;
pub mod server;
pub mod sidekey;
pub mod tls;

pub mod wait;

pub use auth::AuthServer;
pub use client::{Conn, call, connect, get};
pub use conf::Conf;
pub use consent::{Browser, Consent};
pub use gate::Gate;
pub use http::Response;
pub use scripted::Scripted;
pub use server::{Answer, Server};
pub use sidekey::Sidekey;
pub use wait::{eventually, eventually_some};

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};
use tokio::runtime::Runtime;

/// Where the in-process servers and the masses of clients run.
pub static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
});

/// Ports are below 32768, where the system hands out none by itself.
const BLOCKS: u16 = 6;
const PORTS_OF_A_BLOCK: u16 = 2_000;

/// The ports that are this process's: it listens beside them for as long as it
/// runs, so that no other process of these tests takes them.
static BLOCK: LazyLock<(u16, Option<TcpListener>)> = LazyLock::new(|| {
    let own = u16::try_from(std::process::id() % u32::from(BLOCKS)).unwrap();
    let mut blocks = (own..own + BLOCKS).map(|block| block % BLOCKS);
    let claimed = blocks.find_map(|block| {
        let claim = TcpListener::bind(local(19_900 + block)).ok()?;
        Some((block, Some(claim)))
    });
    claimed.unwrap_or((own, None))
});

/// A free port; another one at each call.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed) % PORTS_OF_A_BLOCK;
        let port = 20_000 + BLOCK.0 * PORTS_OF_A_BLOCK + offset;
        if TcpListener::bind(local(port)).is_ok() {
            return port;
        }
    }
}

/// A port on the loopback address.
pub fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
