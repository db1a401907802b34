//! Load and upstream of the comparison with other proxies, in one process and one
//! event loop: whatever is measured on the other core is the proxy's.
//!
//! Commands come as lines on standard input, each is answered with a line of JSON:
//!   upstream PORT [tls CERTIFICATE KEY] [shares UPSTREAM] [lives SHORTEST LONGEST]
//!   pool PORT[,PORT…] CONNECTIONS METHOD PATH BODY_BYTES [token] [numbers COUNT]
//! With `numbers`, `#####` in the path is another one of so many in every request.
//!   run POOL MILLISECONDS
//!   rate POOL MILLISECONDS PER_SECOND
//!   storm POOL MILLISECONDS UPSTREAM EVERY_MILLISECONDS
//!   once POOL
//!   revoke UPSTREAM | drop UPSTREAM | close POOL | stats UPSTREAM

mod client;
mod epoll;
mod histogram;
mod http;
mod socket;
mod upstream;
mod world;

use client::{Pace, Run};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::error::Error;
use std::io::BufRead;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use world::World;

type Reply = Result<String, Box<dyn Error>>;

fn main() -> Result<(), Box<dyn Error>> {
    let token = std::env::args().nth(1).ok_or("usage: peers-load TOKEN")?;
    let mut world = World::new()?;
    let stdin = std::io::stdin();
    let mut line = String::new();
    loop {
        if !world.epoll.wait_or_stdin()? {
            world.turn(0)?;
            continue;
        }
        line.clear();
        if stdin.lock().read_line(&mut line)? == 0 {
            return Ok(());
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        match command(&mut world, &words, &token) {
            Ok(reply) => println!("{reply}"),
            Err(error) => println!(
                r#"{{"error":"{}"}}"#,
                error.to_string().replace(['"', '\\'], "'")
            ),
        }
    }
}

fn command(world: &mut World, words: &[&str], token: &str) -> Reply {
    match *words {
        ["upstream", port, ref options @ ..] => listen(world, port, options, token),
        [
            "pool",
            ports,
            connections,
            method,
            path,
            body,
            ref options @ ..,
        ] => {
            let token = options.contains(&"token").then_some(token);
            let request = request(method, path, body.parse()?, token);
            let ports = ports.split(',').map(local).collect::<Result<Vec<_>, _>>()?;
            let pool = world.open(&ports, connections.parse()?, request)?;
            if let Some(at) = options.iter().position(|word| *word == "numbers") {
                let count = options.get(at + 1).ok_or("numbers: how many?")?;
                world.pools[pool].number(count.parse()?)?;
            }
            Ok(format!(r#"{{"pool":{pool}}}"#))
        }
        ["run", pool, ms] => finish(world, pool, ms, Pace::Closed, None),
        ["rate", pool, ms, per_second] => {
            finish(world, pool, ms, world::rate(per_second.parse()?), None)
        }
        ["storm", pool, ms, upstream, every] => {
            let revoke = (upstream.parse()?, millis(every)?);
            finish(world, pool, ms, Pace::Closed, Some(revoke))
        }
        ["once", pool] => finish(world, pool, "60000", Pace::Once { rest: Vec::new() }, None),
        ["revoke", upstream] => {
            world.upstreams[upstream.parse::<usize>()?].tokens.revoke();
            Ok("{}".into())
        }
        ["drop", upstream] => {
            world.drop_connections(upstream.parse()?);
            Ok("{}".into())
        }
        ["close", pool] => {
            world.close(pool.parse()?);
            Ok("{}".into())
        }
        ["stats", upstream] => Ok(stats(world, upstream.parse()?)),
        _ => Err(format!("not a command: {}", words.join(" ")).into()),
    }
}

fn listen(world: &mut World, port: &str, options: &[&str], token: &str) -> Reply {
    let (mut tls, mut shares, mut lives) = (None, None, None);
    let mut rest = options;
    loop {
        match *rest {
            [] => break,
            ["tls", certificate, key, ref more @ ..] => {
                tls = Some(server_config(certificate, key)?);
                rest = more;
            }
            ["shares", other, ref more @ ..] => {
                shares = Some(other.parse()?);
                rest = more;
            }
            ["lives", shortest, longest, ref more @ ..] => {
                lives = Some((shortest.parse()?, longest.parse()?));
                rest = more;
            }
            _ => return Err("upstream: an unknown option".into()),
        }
    }
    let upstream = world.listen(local(port)?, tls, shares, token.as_bytes())?;
    if let Some(lives) = lives {
        world.upstreams[upstream].tokens.live(lives);
    }
    Ok(format!(r#"{{"upstream":{upstream}}}"#))
}

/// TLS 1.3 only, and tickets so that every proxy may resume.
fn server_config(certificate: &str, key: &str) -> Result<Arc<ServerConfig>, Box<dyn Error>> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.ticketer = rustls::crypto::ring::Ticketer::new()?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn request(method: &str, path: &str, body: usize, token: Option<&str>) -> Vec<u8> {
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: peers-load\r\nAccept: */*\r\n"
    );
    if let Some(token) = token {
        head += &format!("Authorization: Bearer {token}\r\n");
    }
    if body > 0 {
        head += &format!("Content-Type: text/plain\r\nContent-Length: {body}\r\n");
    }
    [head.as_bytes(), b"\r\n", &vec![b'y'; body]].concat()
}

fn finish(
    world: &mut World,
    pool: &str,
    ms: &str,
    pace: Pace,
    revoke: Option<(usize, Duration)>,
) -> Reply {
    let run = Run::new(pool.parse()?, Instant::now() + millis(ms)?, pace);
    let (run, revocations) = world.run(run, revoke)?;
    let mut reply = run.json();
    reply.insert_str(1, &format!(r#""revocations":{revocations},"#));
    Ok(reply)
}

fn stats(world: &World, upstream: usize) -> String {
    let at = &world.upstreams[upstream];
    let (counts, tokens) = (&at.counts, &world.upstreams[at.authority].tokens);
    let first_wrong = counts
        .first_wrong
        .as_deref()
        .unwrap_or("")
        .replace(['"', '\\'], "'");
    format!(
        r#"{{"requests":{},"rejected":{},"wrong":{},"first_wrong":"{first_wrong}","issued":{},"handshakes":{},"resumed":{}}}"#,
        counts.requests,
        counts.rejected,
        counts.wrong,
        tokens.issued(),
        counts.handshakes,
        counts.resumed
    )
}

fn local(port: &str) -> Result<SocketAddr, Box<dyn Error>> {
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse()?)))
}

fn millis(text: &str) -> Result<Duration, Box<dyn Error>> {
    Ok(Duration::from_millis(text.parse()?))
}
