//! `sidekey accounts` and `sidekey refresh`

use super::client::{AdminArgs, CallError, parse};
use super::terminal;
use crate::admin::api::{AccountList, AccountView};
use crate::base::id::AccountKey;
use std::process::ExitCode;
use std::time::Duration;

const LIST_LIMIT: Duration = Duration::from_secs(10);
/// A refresh takes as long as its authorization server.
const REFRESH_LIMIT: Duration = Duration::from_secs(120);

/// List the connected accounts of a running sidekey
#[derive(clap::Args)]
#[command(after_long_help = "EXAMPLES\n  sidekey accounts\n  \
    sidekey accounts --json | jq -r '.accounts[] | select(.state != \"connected\") | .key'")]
pub struct ListArgs {
    /// Print what the API answers
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Get a new token for an account now
///
/// Whatever the schedule says. Exits with 0 once the new token is in use,
/// else with 1 and the reason.
#[derive(clap::Args)]
#[command(after_long_help = "EXAMPLES\n  sidekey refresh crmDev")]
pub struct RefreshArgs {
    /// The account's key
    #[arg(value_parser = AccountKey::new)]
    account: AccountKey,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Runs `accounts`.
pub fn list(args: &ListArgs) -> ExitCode {
    let text = match args.admin.call("GET", "/api/accounts", LIST_LIMIT) {
        Ok(text) => text,
        Err(why) => return terminal::fail(why),
    };
    if args.json {
        return terminal::print(&text);
    }
    match parse::<AccountList>(200, &text) {
        Ok(list) => terminal::print(&table(&list.accounts)),
        Err(why) => terminal::fail(why),
    }
}

/// Runs `refresh`.
pub fn refresh(args: &RefreshArgs) -> ExitCode {
    let path = format!("/api/accounts/{}/refresh", args.account);
    let refreshed = args.admin.call("POST", &path, REFRESH_LIMIT);
    match refreshed.and_then(|text| parse::<AccountView>(200, &text)) {
        Ok(account) => {
            let until = account.expires_at.as_deref().unwrap_or("an unknown time");
            terminal::print(&format!(
                "{} has a new token, valid until {until}\n",
                account.key
            ))
        }
        Err(why) => refused(&args.account, &why),
    }
}

/// Says why a call about an account was not answered as hoped.
pub fn refused(account: &AccountKey, why: &CallError) -> ExitCode {
    match why {
        CallError::Refused(problem) if problem.code == "account_not_found" => terminal::fail(
            format_args!("there is no account {account}; `sidekey accounts` lists them"),
        ),
        why => terminal::fail(why),
    }
}

fn table(accounts: &[AccountView]) -> String {
    let heads = ["ACCOUNT", "INTEGRATION", "STATE", "TOKEN UNTIL"].map(str::to_owned);
    let rows = accounts.iter().map(|account| {
        let until = account.expires_at.as_deref().unwrap_or("-");
        [&account.key, &account.integration, &account.state, until].map(str::to_owned)
    });
    let rows: Vec<_> = std::iter::once(heads).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let (key, integration, state) = (width(0), width(1), width(2));
    let mut text = String::new();
    for [a, b, c, d] in &rows {
        text.push_str(&format!("{a:key$}  {b:integration$}  {c:state$}  {d}\n"));
    }
    for account in accounts {
        if let Some(error) = &account.last_error {
            let AccountView { key, .. } = account;
            text.push_str(&format!("\n{key}, at {}: {}\n", error.at, error.message));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::table;
    use crate::admin::api::{AccountView, ErrorView};

    #[test]
    fn the_table_shows_what_is_wrong_below() {
        let account = AccountView {
            key: "crmDev".into(),
            integration: "crm".into(),
            parameters: [].into(),
            state: "misconfigured".into(),
            scope: None,
            expires_at: None,
            refreshed_at: None,
            generation: 0,
            has_refresh_token: false,
            reconnect_at_expiry: false,
            last_error: Some(ErrorView {
                at: "2025-11-24T18:59:19Z".into(),
                message: "invalid_client".into(),
            }),
            short_life: false,
        };
        assert_eq!(
            table(&[account]),
            "ACCOUNT  INTEGRATION  STATE          TOKEN UNTIL\n\
             crmDev   crm          misconfigured  -\n\
             \n\
             crmDev, at 2025-11-24T18:59:19Z: invalid_client\n"
        );
    }
}
