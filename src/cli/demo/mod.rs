//! `sidekey demo`: an authorization server and an API of its own, and a
//! sidekey between them that is started like any other.

mod child;
mod files;
mod ledger;
mod person;
mod screen;
mod servers;
mod sign_in;
mod stage;
mod story;

use super::terminal;
use child::Child;
use clap::ValueEnum;
use files::Files;
use ledger::Ledger;
use screen::Screen;
use servers::Servers;
use stage::Stage;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How long the demonstration's tokens live: long enough to see a refresh
/// ahead of expiry, short enough not to wait for it.
const TOKEN_LIFE: Duration = Duration::from_secs(6);
/// For `--once` as a whole, whatever hangs.
const WHOLE: Duration = Duration::from_secs(40);

/// See sidekey at work, without any configuration
///
/// Starts a small authorization server and an API that demands its tokens,
/// both for demonstration only and on loopback; writes a configuration file and
/// shows it; starts `sidekey run` with it as a process of its own; and calls
/// the API through it without any credential. You see requests going through,
/// a token being refreshed ahead of its expiry, a revoked token cured by one
/// replay, and how long sidekey itself took. Then it goes on, and you can connect
/// an account as a person would, on sidekey's page in your browser.
#[derive(clap::Args)]
#[command(
    after_long_help = "EXAMPLES\n  sidekey demo\n  sidekey demo --once\n  \
    sidekey demo --port-base 9000"
)]
pub struct Args {
    /// End after one round: with 0 when its servers saw all of it, else with 1 and what was missing
    #[arg(long)]
    once: bool,
    /// The first of four ports: applications, admin, authorization server, API (0: any free ports)
    #[arg(long, value_name = "PORT", default_value_t = 7480, value_parser = clap::value_parser!(u16).range(..=65_532))]
    port_base: u16,
    /// No colours (NO_COLOR works too)
    #[arg(long)]
    no_color: bool,
    /// For tests: what goes wrong
    #[arg(long = "break", value_name = "WHAT", hide = true)]
    fault: Option<Fault>,
}

/// What goes wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Fault {
    /// The authorization server refuses after its first token.
    Refresh,
    /// The API answers 401 to everything.
    Api,
}

/// Runs the command.
pub fn main(args: &Args) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(why) => return terminal::fail(why),
    };
    match runtime.block_on(until_interrupted(args)) {
        Ok(code) => code,
        Err(why) => terminal::fail(why),
    }
}

/// Whatever ends it, the child is dropped here, and dies with that.
async fn until_interrupted(args: &Args) -> Result<ExitCode, String> {
    let refused = |why| format!("signals can't be received: {why}");
    let mut terminate = signal(SignalKind::terminate()).map_err(refused)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(refused)?;
    // The child takes it for a wish to read its configuration again.
    let mut hangup = signal(SignalKind::hangup()).map_err(refused)?;
    let interrupted = |code| {
        Ok(if args.once {
            ExitCode::from(code)
        } else {
            ExitCode::SUCCESS
        })
    };
    tokio::select! {
        ended = demonstrate(args) => ended,
        _ = interrupt.recv() => interrupted(130),
        _ = terminate.recv() => interrupted(143),
        _ = hangup.recv() => interrupted(129),
    }
}

async fn demonstrate(args: &Args) -> Result<ExitCode, String> {
    let screen = Screen::new(!args.no_color);
    let ledger = Arc::new(Ledger::new(TOKEN_LIFE, args.fault));
    let port = |offset| {
        if args.port_base == 0 {
            0
        } else {
            args.port_base + offset
        }
    };
    let servers = Servers::start(port(2), port(3), &ledger).await?;
    let files = Files::write(port(0), port(1), &servers)?;
    introduce(&screen, &servers, &files);
    let mut child = Child::start(&files.configuration, &screen)?;
    let (proxy, admin) = child.addresses().await.map_err(|why| advise(&why))?;
    let admin_token = files.admin_token.clone();
    let stage = Stage::new(proxy, admin, admin_token, servers.api, ledger, screen);

    let missing = tokio::select! {
        missing = tokio::time::timeout(WHOLE, story::tell(&stage)) => missing,
        code = child.ended() => return Err(format!("sidekey ended by itself ({code})")),
    };
    let missing = missing.unwrap_or_else(|_| vec!["an end within the time it has"]);
    let shown = stage.conclude(&missing);
    if !args.once {
        tokio::select! {
            () = story::go_on(&stage) => {}
            code = child.ended() => return Err(format!("sidekey ended by itself ({code})")),
        }
    }
    Ok(shown)
}

fn introduce(screen: &Screen, servers: &Servers, files: &Files) {
    let Servers { token, api } = servers;
    let life = TOKEN_LIFE.as_secs();
    let configuration = files.configuration.display();
    screen.title("An authorization server and an API, for demonstration only");
    screen.line(&format!(
        "http://{token}/token gives tokens that live {life} s"
    ));
    screen.line(&format!(
        "http://{api}/ answers only requests that carry a live one"
    ));
    screen.title(&format!("The configuration, {configuration}"));
    screen.quote(&files.text);
    screen.title("sidekey, a process of its own");
    screen.command(&format!("sidekey run --config {configuration}"));
}

fn advise(why: &str) -> String {
    format!("{why}\nIf a port is in use, choose others: sidekey demo --port-base PORT")
}
