//! `sidekey schema`

use super::terminal;
use crate::config::keys::schema::schema;
use std::process::ExitCode;

/// Print the JSON Schema of the configuration file
///
/// Editors that know YAML use it to complete keys and to show what they mean.
#[derive(clap::Args)]
#[command(
    after_long_help = "EXAMPLES\n  sidekey schema > sidekey.schema.json\n  \
    Then, as the first line of a configuration file:\n    \
    # yaml-language-server: $schema=./sidekey.schema.json"
)]
pub struct Args {}

/// Runs the command.
pub fn main(_: &Args) -> ExitCode {
    terminal::print(&schema())
}
