//! The sidekey that is demonstrated: this very program, run as a process of
//! its own with a configuration file, like any other.

use super::screen::Screen;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{ChildStderr, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Until it says where it listens.
const START: Duration = Duration::from_secs(10);
/// Until the last of what it said has been shown.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The process; killed when dropped.
pub struct Child {
    process: tokio::process::Child,
    heard: watch::Receiver<Heard>,
    listening: JoinHandle<()>,
}

/// What it has said about where it listens.
#[derive(Clone, Copy, Default)]
struct Heard {
    proxy: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    /// The last part of its announcement has begun.
    accounts: bool,
}

impl Child {
    /// Starts it; what it says is shown line by line.
    pub fn start(configuration: &Path, screen: &Screen) -> Result<Self, String> {
        let failed = |why: io::Error| format!("sidekey can't be started: {why}");
        let program = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(program);
        command.arg("run").arg("--config").arg(configuration);
        // What the caller's environment says about its own sidekey is not meant here.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SIDEKEY_") {
                command.env_remove(name);
            }
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut process = command.kill_on_drop(true).spawn().map_err(failed)?;
        let errors = process
            .stderr
            .take()
            .ok_or("sidekey's output can't be read")?;
        let (hear, heard) = watch::channel(Heard::default());
        let listening = tokio::spawn(listen(errors, hear, *screen));
        Ok(Self {
            process,
            heard,
            listening,
        })
    }

    /// Where applications and administrators call, once all is announced.
    pub async fn addresses(&mut self) -> Result<(SocketAddr, SocketAddr), String> {
        let mut heard = self.heard.clone();
        let all = heard.wait_for(|heard| heard.accounts);
        let said = timeout(START, all)
            .await
            .ok()
            .and_then(Result::ok)
            .map(|heard| *heard);
        match said {
            Some(Heard {
                proxy: Some(proxy),
                admin: Some(admin),
                ..
            }) => Ok((proxy, admin)),
            _ => {
                let _ = timeout(LAST_WORDS, &mut self.listening).await;
                Err("sidekey did not start; what it said stands above".into())
            }
        }
    }

    /// Waits until it ends by itself.
    pub async fn ended(&mut self) -> String {
        match self.process.wait().await {
            Ok(status) => describe(status),
            Err(why) => why.to_string(),
        }
    }
}

fn describe(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("exit code {code}"),
        None => "killed".into(),
    }
}

async fn listen(errors: ChildStderr, hear: watch::Sender<Heard>, screen: Screen) {
    let mut lines = BufReader::new(errors).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        screen.heard(&line);
        hear.send_modify(|heard| {
            heard.proxy = heard.proxy.or_else(|| address(&line, "applications"));
            heard.admin = heard.admin.or_else(|| address(&line, "administration"));
            heard.accounts |= line.starts_with("Accounts");
        });
    }
}

/// The address in `… http://127.0.0.1:7480 for applications`.
fn address(line: &str, callers: &str) -> Option<SocketAddr> {
    let before = line
        .trim_end()
        .strip_suffix(callers)?
        .strip_suffix(" for ")?;
    before.rsplit_once("http://")?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn the_announcement_is_understood() {
        let line = "Listening http://127.0.0.1:7480 for applications";
        assert_eq!(
            address(line, "applications"),
            Some(([127, 0, 0, 1], 7480).into())
        );
        assert_eq!(address(line, "administration"), None);
    }
}
