//! `sidekey revoke`, `sidekey disconnect` and `sidekey token`

use super::accounts::refused;
use super::client::{AdminArgs, CallError, parse};
use super::terminal;
use crate::admin::api::{Done, TokenView};
use crate::base::id::AccountKey;
use std::process::ExitCode;
use std::time::Duration;

/// Two calls of the authorization server.
const LIMIT: Duration = Duration::from_secs(120);

/// Revoke an account's tokens at the authorization server
///
/// Both tokens (RFC 7009); where that has worked they are forgotten here too,
/// and a person has to connect the account again. Exits with 1, and the account
/// stays connected, when the server does not revoke them or the integration
/// names no `revocation_endpoint`.
#[derive(clap::Args)]
#[command(after_long_help = "EXAMPLES\n  sidekey revoke crmDev")]
pub struct RevokeArgs {
    /// The account's key
    #[arg(value_parser = AccountKey::new)]
    account: AccountKey,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Forget an account's tokens
///
/// Revokes them as well where the authorization server takes that, and says
/// when it does not. An account that was created by page or API is removed.
/// Exits with 0 once the tokens are forgotten, durably, else with 1.
#[derive(clap::Args)]
#[command(after_long_help = "EXAMPLES\n  sidekey disconnect crmDev")]
pub struct DisconnectArgs {
    /// The account's key
    #[arg(value_parser = AccountKey::new)]
    account: AccountKey,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Print an account's access token
///
/// The value alone, on standard output, for scripts that can't call through
/// sidekey. Exits with 1 and prints nothing when there is no valid one.
#[derive(clap::Args)]
#[command(
    after_long_help = "EXAMPLES\n  curl -H \"Authorization: Bearer $(sidekey token crmDev)\" https://dev.example.com/api/"
)]
pub struct TokenArgs {
    /// The account's key
    #[arg(value_parser = AccountKey::new)]
    account: AccountKey,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Runs `revoke`.
pub fn revoke(args: &RevokeArgs) -> ExitCode {
    let path = format!("/api/accounts/{}/revoke", args.account);
    done(&args.account, args.admin.call("POST", &path, LIMIT))
}

/// Runs `disconnect`.
pub fn disconnect(args: &DisconnectArgs) -> ExitCode {
    let path = format!("/api/accounts/{}", args.account);
    done(&args.account, args.admin.call("DELETE", &path, LIMIT))
}

/// Runs `token`.
pub fn token(args: &TokenArgs) -> ExitCode {
    let path = format!("/api/accounts/{}/token", args.account);
    let answer = args.admin.call("POST", &path, LIMIT);
    match answer.and_then(|text| parse::<TokenView>(200, &text)) {
        Ok(token) => terminal::print(&format!("{}\n", token.access_token)),
        Err(why) => refused(&args.account, &why),
    }
}

fn done(account: &AccountKey, answer: Result<String, CallError>) -> ExitCode {
    match answer.and_then(|text| parse::<Done>(200, &text)) {
        Ok(done) => terminal::print(&format!("{account}: {}\n", done.message)),
        Err(why) => refused(account, &why),
    }
}
