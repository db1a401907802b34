//! `sidekey completions` and `sidekey man`

use super::{Cli, terminal};
use clap::CommandFactory;
use clap_complete::Shell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

/// Print shell completions
#[derive(clap::Args)]
#[command(after_long_help = "EXAMPLES\n  \
    sidekey completions bash > ~/.local/share/bash-completion/completions/sidekey\n  \
    sidekey completions zsh > ~/.zfunc/_sidekey\n  \
    sidekey completions fish > ~/.config/fish/completions/sidekey.fish")]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Print the manual page
///
/// In roff, as man(1) reads it; with --dir a page for each command as well.
#[derive(clap::Args)]
#[command(after_long_help = "EXAMPLES\n  sidekey man | man -l -\n  \
    sidekey man --dir /usr/local/share/man/man1")]
pub struct ManArgs {
    /// Write sidekey.1, sidekey-run.1 and so on into this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Runs `completions`.
pub fn completions(args: &CompletionsArgs) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "sidekey", &mut text);
    terminal::print(&String::from_utf8_lossy(&text))
}

/// Runs `man`.
pub fn man(args: &ManArgs) -> ExitCode {
    let written = match &args.dir {
        Some(directory) => pages(directory).map(|()| Vec::new()),
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command())
                .render(&mut page)
                .map(|()| page)
        }
    };
    match written {
        Ok(page) => terminal::print(&String::from_utf8_lossy(&page)),
        Err(why) => terminal::fail(format_args!("the manual can't be written: {why}")),
    }
}

fn pages(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    clap_mangen::generate_to(Cli::command(), directory)
}
