//! The command line: one file a command.

mod accounts;
mod ca;
mod callers;
mod check;
mod client;
mod connect;
mod connection;
mod demo;
mod grant;
mod health;
mod run;
mod schema;
mod shell;
mod store;
mod terminal;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The command line as clap knows it; also the source of completions and man pages.
#[derive(Parser)]
#[command(
    name = "sidekey",
    version,
    about = "A sidecar reverse proxy that injects OAuth tokens",
    long_about = "sidekey is a reverse proxy that runs beside an application. The application \
        calls it without any credential; sidekey gets OAuth 2.0 access tokens, keeps them fresh, \
        writes one into each request and sends it on to the API.",
    after_long_help = "EXIT CODES\n  0    done; for run: asked to end, and drained\n  \
        1    what was asked for failed: the reason is on standard error\n  \
        2    the command line can't be read\n  \
        130  ended at once by a second Ctrl-C; 143 by a second SIGTERM\n\n\
        EXAMPLES\n  See it work, without any configuration:\n    sidekey demo\n  \
        Run it:\n    sidekey check --config sidekey.yaml && sidekey run --config sidekey.yaml\n  \
        Call an API through it:\n    curl http://127.0.0.1:7480/crm/contacts",
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Args),
    Check(check::Args),
    Demo(demo::Args),
    Health(health::Args),
    Accounts(accounts::ListArgs),
    Callers(callers::Args),
    Ca(ca::Args),
    Connect(connect::Args),
    Refresh(accounts::RefreshArgs),
    Revoke(grant::RevokeArgs),
    Disconnect(grant::DisconnectArgs),
    Token(grant::TokenArgs),
    Store(store::Args),
    Schema(schema::Args),
    Completions(shell::CompletionsArgs),
    Man(shell::ManArgs),
}

/// The whole command line.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(args) => run::main(args),
        Command::Check(args) => check::main(&args),
        Command::Demo(args) => demo::main(&args),
        Command::Health(args) => health::main(&args),
        Command::Accounts(args) => accounts::list(&args),
        Command::Callers(args) => callers::main(&args),
        Command::Ca(args) => ca::main(&args),
        Command::Connect(args) => connect::main(&args),
        Command::Refresh(args) => accounts::refresh(&args),
        Command::Revoke(args) => grant::revoke(&args),
        Command::Disconnect(args) => grant::disconnect(&args),
        Command::Token(args) => grant::token(&args),
        Command::Store(args) => store::main(&args),
        Command::Schema(args) => schema::main(&args),
        Command::Completions(args) => shell::completions(&args),
        Command::Man(args) => shell::man(&args),
    }
}
