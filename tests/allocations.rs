//! How often a worker allocates for a proxied GET, counted over real sockets in
//! this very process, with everything on that is on by default.
//!
//! Without a test harness: the access log goes to standard output, so the
//! counting is done by a second process, whose standard output leads nowhere.

#[path = "allocations/counting.rs"]
mod counting;
#[path = "allocations/servers.rs"]
mod servers;

use servers::{Client, free_port};
use std::process::{Command, ExitCode, Stdio};
use std::{env, fs, thread};

/// Allocations of a GET of 1 KiB on warm connections: two each for the bytes of the
/// request's head and for those of the answer. None of them is a read buffer.
const PER_GET: f64 = 4.0;
const READ_BUFFERS: f64 = 0.0;

/// Requests in a row. What the worker does ten times a second on the side
/// comes on top, and is far less than half an allocation a request.
const REQUESTS: u32 = 500;
const ROUNDS: usize = 20;
const WARM_UP: u32 = 200;

/// Set for the process that counts.
const INSIDE: &str = "SIDEKEY_COUNT_ALLOCATIONS";

fn main() -> ExitCode {
    if env::var_os(INSIDE).is_some() {
        count();
        return ExitCode::SUCCESS;
    }
    let program = env::current_exe().expect("this program");
    let mut counting = Command::new(program);
    counting.env(INSIDE, "1").stdout(Stdio::null());
    let status = counting.status().expect("the counting process");
    match status.success() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn count() {
    let upstream = servers::start();
    let proxy = free_port();
    let text = configuration(proxy, free_port(), upstream);
    let file = "allocations.yaml";
    let read = move || sidekey::config::load_text(file, &text, &|_| None);
    let source = sidekey::app::Source::new(file.as_ref(), read);
    let reading = source.read();
    let config = reading.config;
    let config = config.unwrap_or_else(|mistakes| panic!("{}", mistakes.render(false)));
    thread::spawn(move || {
        let ended = sidekey::app::run(config, source, reading.watched, false);
        panic!("sidekey has ended: {ended:?}");
    });
    let mut client = Client::connect(proxy);
    client.get(WARM_UP);
    counting::watch(worker_thread());
    let rounds = (0..ROUNDS).map(|_| {
        let before = counting::counts();
        client.get(REQUESTS);
        let after = counting::counts();
        (after.0 - before.0, after.1 - before.1)
    });
    // The quietest round: nothing makes a worker allocate less than it must.
    let (all, buffers) = rounds.min().expect("some rounds");
    let per_get = |count: u64| (count as f64 / f64::from(REQUESTS)).round();
    let found = (per_get(all), per_get(buffers));
    eprintln!(
        "allocations per GET: {}, {} of them read buffers ({all} of {REQUESTS})",
        found.0, found.1
    );
    assert_eq!(found, (PER_GET, READ_BUFFERS));
}

fn configuration(proxy: u16, admin: u16, upstream: u16) -> String {
    format!(
        r#"
listen: 127.0.0.1:{proxy}
admin: {{listen: "127.0.0.1:{admin}", token: a-token-of-the-test-alone}}
store: {{memory: true}}
workers: {{count: 1, io: epoll}}
integrations:
  - key: crm
    oauth2:
      grant_type: client_credentials
      token_endpoint: http://127.0.0.1:{upstream}/token
      client_id: a
      client_secret: b
    request_parameters: [{{in: header, name: X-Tenant, value: dev}}]
accounts: [{{key: crmDev, integration: crm}}]
routes: [{{name: crm, path: /, upstream: "http://127.0.0.1:{upstream}/", account: crmDev}}]
"#
    )
}

/// The kernel's number of the one worker.
fn worker_thread() -> i32 {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux");
    let names = tasks.map(|task| task.expect("a thread").path());
    let worker = names.into_iter().find(|task| {
        let name = fs::read_to_string(task.join("comm")).unwrap_or_default();
        name.starts_with("worker-")
    });
    let worker = worker.expect("a worker");
    let number = worker.file_name().and_then(|name| name.to_str());
    number.and_then(|n| n.parse().ok()).expect("a number")
}
