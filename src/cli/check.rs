//! `sidekey check`

use super::terminal;
use crate::config;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

/// Check a configuration file
///
/// Reads the file as `run` would and names every mistake with its line and
/// column. Nothing listens and nothing is called. Exits with 0 when `run`
/// could start with it, else with 1.
#[derive(clap::Args)]
#[command(
    after_long_help = "EXAMPLES\n  sidekey check --config sidekey.yaml\n  \
    for f in config/*.yaml; do sidekey check --config \"$f\"; done"
)]
pub struct Args {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", env = "SIDEKEY_CONFIG")]
    config: PathBuf,
}

/// Runs the command.
pub fn main(args: &Args) -> ExitCode {
    let env = |name: &str| std::env::var(name).ok();
    let colour = terminal::has_colour(&io::stdout());
    let (report, good) = config::check_report(&args.config, &env, colour);
    let printed = terminal::print(&report);
    if good { printed } else { ExitCode::FAILURE }
}
