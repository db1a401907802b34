//! What an account takes of the process's memory besides its token, counted in the
//! bytes that are allocated once every account has one: resident memory is less
//! exact, and another on every machine.
//!
//! Without a test harness: each count is made by a process of its own, which has its
//! accounts from the start as a user's has.

#[path = "account_memory/live.rs"]
mod live;
#[path = "allocations/servers.rs"]
mod servers;

use servers::{Client, free_port};
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// Bytes that an account may take besides one copy of its token, a few more than it
/// takes.
const MOST_IN_MEMORY: usize = 1_500;
const MOST_WITH_SQLITE: usize = 1_120;
const ROUNDS: usize = 3;

/// More than get metrics of their own, and so many that both fill a table of hashes
/// equally.
const FEW: usize = 1_200;
const MANY: usize = 2 * FEW;
/// Of the server's tokens.
const TOKEN: usize = 900;

/// Set for a process that counts: the store, and how many accounts.
const STORE: &str = "SIDEKEY_ACCOUNT_MEMORY_STORE";
const COUNT: &str = "SIDEKEY_ACCOUNT_MEMORY_COUNT";

const PATIENCE: Duration = Duration::from_secs(300);

fn main() {
    if let (Ok(store), Ok(count)) = (env::var(STORE), env::var(COUNT)) {
        // The access log goes to standard output.
        eprintln!("{}", allocated(&store, count.parse().expect("a number")));
        return;
    }
    for (name, most) in [("memory", MOST_IN_MEMORY), ("SQLite", MOST_WITH_SQLITE)] {
        // A connection more to the authorization server is some bytes for each account.
        let mut rounds = (0..ROUNDS).map(|_| beyond_token(name));
        assert!(rounds.any(|beyond| beyond <= most), "more than {most}");
    }
}

/// Bytes for each account that one process has more than the other.
fn beyond_token(store: &str) -> usize {
    // In memory, where there is such a place: each account waits for the disk twice.
    let memory = tempfile::tempdir_in("/dev/shm");
    let folder = memory.or_else(|_| tempfile::tempdir()).expect("a folder");
    let few = counted(store, FEW, folder.path());
    let more = counted(store, MANY, folder.path()).saturating_sub(few);
    let beyond = (more / (MANY - FEW)).saturating_sub(TOKEN);
    eprintln!("an account with its store in {store}: {beyond} bytes besides its token");
    beyond
}

/// By another process.
fn counted(store: &str, count: usize, folder: &Path) -> usize {
    let store = match store {
        "memory" => "{memory: true}".to_owned(),
        _ => format!(
            "{{path: {}/{count}.db, key: {}}}",
            folder.display(),
            "0".repeat(64)
        ),
    };
    let mut counting = Command::new(env::current_exe().expect("this program"));
    counting.env(STORE, store).env(COUNT, count.to_string());
    let ended = counting.stdout(Stdio::null()).output().expect("it runs");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}");
    let last = said.lines().last().and_then(|line| line.parse().ok());
    last.unwrap_or_else(|| panic!("no count: {said}"))
}

/// Bytes that are allocated once all of so many accounts have their tokens.
fn allocated(store: &str, count: usize) -> usize {
    let (proxy, admin, upstream) = (free_port(), free_port(), servers::start());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("sidekey.yaml");
    let text = configuration(store, count, proxy, admin, upstream);
    fs::write(&file, text).expect("a file");
    let read = file.clone();
    let source = sidekey::app::Source::new(&file, move || sidekey::config::load(&read, &|_| None));
    let reading = source.read();
    let config = reading.config;
    let config = config.unwrap_or_else(|mistakes| panic!("{}", mistakes.render(false)));
    thread::spawn(move || {
        let ended = sidekey::app::run(config, source, reading.watched, false);
        panic!("sidekey has ended: {ended:?}");
    });
    Client::connect(proxy).get(1);
    let began = Instant::now();
    let all = format!("sidekey_accounts{{state=\"connected\"}} {count}\n");
    while !metrics(admin).contains(&all) {
        assert!(began.elapsed() < PATIENCE, "some have no token");
        thread::sleep(Duration::from_millis(20));
    }
    settled(began)
}

/// Once nothing changes any more for a while.
fn settled(began: Instant) -> usize {
    let (mut same, mut first) = (0, live::bytes());
    while same < 10 {
        assert!(began.elapsed() < PATIENCE, "it never settles");
        thread::sleep(Duration::from_millis(20));
        let now = live::bytes();
        same += 1;
        if now.abs_diff(first) >= 1024 {
            (same, first) = (0, now);
        }
    }
    first
}

fn metrics(admin: u16) -> String {
    let mut answer = String::new();
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, admin)).expect("it listens");
    let request =
        format!("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:{admin}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).expect("sent");
    connection.read_to_string(&mut answer).expect("an answer");
    answer
}

fn configuration(store: &str, count: usize, proxy: u16, admin: u16, upstream: u16) -> String {
    let mut text = format!(
        r#"
listen: 127.0.0.1:{proxy}
admin: {{listen: "127.0.0.1:{admin}", token: a-token-of-the-test-alone}}
store: {store}
workers: {{count: 1, io: epoll}}
log: {{level: error}}
integrations:
  - key: crm
    parameters: [tenant]
    oauth2:
      grant_type: client_credentials
      token_endpoint: http://127.0.0.1:{upstream}/token
      client_id: "{{tenant}}"
      client_secret: b
routes: [{{name: crm, path: /, upstream: "http://127.0.0.1:{upstream}/", account: a000000}}]
accounts:
"#
    );
    for at in 0..count {
        let account =
            format!("{{key: a{at:06}, integration: crm, parameters: {{tenant: t{at:06}}}}}");
        writeln!(text, "  - {account}").expect("it is a String");
    }
    text
}
