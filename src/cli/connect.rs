//! `sidekey connect`

use super::accounts::refused;
use super::client::{AdminArgs, CallError, parse};
use super::terminal;
use crate::admin::api::{AttemptView, CallbackBody, Connecting, Done, Link};
use crate::base::id::AccountKey;
use std::io::{self, BufRead, Write};
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

const CALL_LIMIT: Duration = Duration::from_secs(10);
/// The code is exchanged meanwhile.
const EXCHANGE_LIMIT: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(500);

/// Connect an account: sign in and give consent in a browser
///
/// Opens the authorization server's page, or prints its address where there is
/// no browser, waits until you have been there, and says what happened. Over
/// SSH, open the address on your own machine; when the browser ends at an
/// address that it can't load, paste that address here. Without an account it
/// opens sidekey's own page.
///
/// Exits with 0 once the account is connected, else with 1 and the reason.
#[derive(clap::Args)]
#[command(after_long_help = "EXAMPLES\n  sidekey connect crmDev\n  \
    ssh gateway sidekey connect crmDev --no-browser\n  sidekey connect")]
pub struct Args {
    /// The account's key; without it, sidekey's page is opened
    #[arg(value_parser = AccountKey::new)]
    account: Option<AccountKey>,
    /// Print the address and open nothing
    #[arg(long)]
    no_browser: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Runs the command.
pub fn main(args: &Args) -> ExitCode {
    match &args.account {
        Some(account) => connect(args, account),
        None => page(args),
    }
}

fn page(args: &Args) -> ExitCode {
    let answer = args.admin.call("POST", "/api/links", CALL_LIMIT);
    match answer.and_then(|text| parse::<Link>(200, &text)) {
        Ok(link) => {
            let minutes = link.expires_in / 60;
            say(&format!(
                "This link opens the page once, within {minutes} min:"
            ));
            if !args.no_browser && open(&link.url) {
                say("A browser was opened.");
            }
            terminal::print(&format!("{}\n", link.url))
        }
        Err(why) => terminal::fail(why),
    }
}

fn connect(args: &Args, account: &AccountKey) -> ExitCode {
    let path = format!("/api/accounts/{account}/connect");
    let answer = args.admin.call("POST", &path, CALL_LIMIT);
    let begun = match answer.and_then(|text| parse::<Connecting>(200, &text)) {
        Ok(begun) => begun,
        Err(why) => return refused(account, &why),
    };
    tell(args, &begun);
    match wait(args, account, &begun) {
        Ok(Ok(message)) => terminal::print(&format!("{message}\n")),
        Ok(Err(why)) => terminal::fail(why),
        Err(why) => refused(account, &why),
    }
}

fn tell(args: &Args, begun: &Connecting) {
    say(&format!(
        "The redirect URI, as it must be registered: {}",
        begun.redirect_uri
    ));
    let opened = !args.no_browser && open(&begun.authorization_url);
    say(match opened {
        true => "A browser was opened at this address:",
        false => "Open this address in a browser:",
    });
    say(&format!("\n  {}\n", begun.authorization_url));
    say(&format!(
        "Waiting for up to {} min. If the browser ends at an address that it can't load, paste \
         that address here.",
        begun.expires_in / 60
    ));
}

/// Waits for the callback, or for its address to be pasted.
fn wait(
    args: &Args,
    account: &AccountKey,
    begun: &Connecting,
) -> Result<Result<String, String>, CallError> {
    let pasted = lines();
    let deadline = Instant::now() + Duration::from_secs(begun.expires_in) + EXCHANGE_LIMIT;
    let path = format!("/api/accounts/{account}/connect/{}", begun.id);
    while Instant::now() < deadline {
        if let Some(address) = next(&pasted) {
            match bring(args, account, address) {
                // Not the address that was asked for: the right one may follow.
                Err(CallError::Refused(problem)) => say(&format!("{}\n", problem.detail)),
                Err(why) => return Err(why),
                Ok(message) => return Ok(Ok(message)),
            }
        }
        let text = args.admin.call("GET", &path, CALL_LIMIT)?;
        let attempt: AttemptView = parse(200, &text)?;
        match attempt.outcome.as_str() {
            "pending" => {}
            "connected" => {
                let advice = attempt.message.map(|advice| format!(", but {advice}"));
                let advice = advice.unwrap_or_default();
                return Ok(Ok(format!("{account} is connected{advice}")));
            }
            _ => return Ok(Err(attempt.message.unwrap_or_default())),
        }
    }
    Ok(Err(format!("{account} was not connected in time")))
}

fn bring(args: &Args, account: &AccountKey, address: String) -> Result<String, CallError> {
    let path = format!("/api/accounts/{account}/callback");
    let body = CallbackBody { address };
    let text = args.admin.post(&path, &body, EXCHANGE_LIMIT)?;
    parse::<Done>(200, &text).map(|done| done.message)
}

/// What is written on standard input, line by line.
fn lines() -> Receiver<String> {
    let (sender, receiver) = mpsc::sync_channel(1);
    // It ends with the process, or with its input.
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

fn next(lines: &Receiver<String>) -> Option<String> {
    match lines.recv_timeout(LOOK) {
        Ok(line) => Some(line.trim().to_owned()).filter(|line| !line.is_empty()),
        Err(RecvTimeoutError::Timeout) => None,
        Err(RecvTimeoutError::Disconnected) => {
            thread::sleep(LOOK);
            None
        }
    }
}

/// True when a browser seems to have been opened.
fn open(address: &str) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let opener = match std::env::var("BROWSER") {
        Ok(browser) if !browser.is_empty() => browser,
        // A browser on this machine would be no use.
        _ if set("SSH_CONNECTION") => return false,
        _ if cfg!(target_os = "macos") => "open".to_owned(),
        _ if set("DISPLAY") || set("WAYLAND_DISPLAY") => "xdg-open".to_owned(),
        _ => return false,
    };
    Command::new(opener)
        .arg(address)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .is_ok()
}

/// To the person, beside the result.
fn say(text: &str) {
    // Where nobody listens, the exit code still tells.
    let _ = writeln!(io::stderr(), "{text}");
}
