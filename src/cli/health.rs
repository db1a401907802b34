//! `sidekey health`

use super::client::AddressArgs;
use super::terminal;
use std::process::ExitCode;
use std::time::Duration;

/// A probe that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(5);

/// Ask a running sidekey how it is
///
/// Exits with 0 when it is alive (with --ready: ready for traffic), and with 1
/// when it is not. Needs no token, and works on the probes listener as well;
/// made for a container's health check, where there is no curl.
#[derive(clap::Args)]
#[command(
    after_long_help = "EXAMPLES\n  sidekey health\n  sidekey health --ready\n  \
    sidekey health --ready --admin http://127.0.0.1:7482\n  \
    HEALTHCHECK CMD [\"/sidekey\", \"health\", \"--ready\"]"
)]
pub struct Args {
    /// Ask /readyz instead of /livez
    #[arg(long)]
    ready: bool,
    #[command(flatten)]
    address: AddressArgs,
}

/// Runs the command.
pub fn main(args: &Args) -> ExitCode {
    let path = if args.ready { "/readyz" } else { "/livez" };
    match args.address.get(path, LIMIT) {
        Ok(reply) => {
            let printed = terminal::print(&String::from_utf8_lossy(&reply.body));
            if reply.status == 200 {
                printed
            } else {
                ExitCode::FAILURE
            }
        }
        Err(why) => terminal::fail(why),
    }
}
