//! `sidekey store rekey|export|import`

use super::terminal;
use crate::app;
use crate::config;
use crate::config::checked;
use clap::Subcommand;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Change the store's key, or carry its records to another store
#[derive(clap::Args)]
#[command(after_long_help = "EXAMPLES\n  \
    After `store: {key: [NEW, OLD]}` and a restart, so that OLD can be removed:\n    \
    sidekey store rekey --config sidekey.yaml\n  \
    To another machine that has the same store.key:\n    \
    sidekey store export --config sidekey.yaml accounts.sealed\n    \
    sidekey store import --config sidekey.yaml accounts.sealed")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Seal every record with the first key of store.key
    Rekey(Common),
    /// Write every record into a new file, sealed with the first key
    Export(WithFile),
    /// Take in the records of such a file; those that are there already stay
    Import(WithFile),
}

#[derive(clap::Args)]
struct Common {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", env = "SIDEKEY_CONFIG")]
    config: PathBuf,
}

#[derive(clap::Args)]
struct WithFile {
    #[command(flatten)]
    common: Common,
    /// The export
    file: PathBuf,
}

/// Runs the command.
pub fn main(args: &Args) -> ExitCode {
    match &args.what {
        What::Rekey(common) => finish(rekey(common)),
        What::Export(args) => finish(export(args)),
        What::Import(args) => finish(import(args)),
    }
}

fn finish(done: Result<String, String>) -> ExitCode {
    match done {
        Ok(text) => terminal::print(&text),
        Err(why) => terminal::fail(why),
    }
}

fn rekey(args: &Common) -> Result<String, String> {
    let records = app::rekey(&args.store()?).map_err(|why| why.to_string())?;
    Ok(format!(
        "{records} records are sealed with the first key: the others can be removed from store.key\n"
    ))
}

fn export(args: &WithFile) -> Result<String, String> {
    let text = app::export(&args.common.store()?).map_err(|why| why.to_string())?;
    write_new(&args.file, &text)
        .map_err(|why| format!("{} can't be written: {why}", args.file.display()))?;
    Ok(format!("exported to {}\n", args.file.display()))
}

fn import(args: &WithFile) -> Result<String, String> {
    let text = std::fs::read_to_string(&args.file)
        .map_err(|why| format!("{} can't be read: {why}", args.file.display()))?;
    let imported = app::import(&args.common.store()?, &text).map_err(|why| why.to_string())?;
    let (written, kept) = imported;
    Ok(format!(
        "{written} records were imported; {kept} were there already and stay as they are\n"
    ))
}

/// Never over another file.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

impl Common {
    fn store(&self) -> Result<checked::Store, String> {
        let env = |name: &str| std::env::var(name).ok();
        let colour = terminal::has_colour(&io::stderr());
        match config::load(&self.config, &env) {
            Ok(config) => Ok(config.store),
            Err(mistakes) => Err(format!(
                "the configuration can't be used\n\n{}",
                mistakes.render(colour)
            )),
        }
    }
}
