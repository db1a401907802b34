//! The pages that show accounts.

use super::frame::Frame;
use super::parts::{Maker, parameters};
use super::say;
use super::site::{ShownRoute, Site, grant};
use crate::admin::api::rfc3339;
use crate::base::clock::Wall;
use crate::base::template::UrlTemplate;
use crate::config::checked::{GrantType, Integration};
use crate::refresh::{AccountStatus, Handle};
use askama::Template;

/// Rows on one page; a search finds the others.
const ROWS: usize = 200;
/// From so many accounts on there is a search.
const MANY: usize = 12;

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    frame: Frame,
    summary: String,
    filter: Option<String>,
    hidden: usize,
    groups: Vec<Group>,
    activity: String,
    routes: Vec<ShownRoute>,
}

struct Group {
    key: String,
    name: String,
    grant: &'static str,
    rows: Vec<String>,
    filtered: bool,
    facts: Vec<(&'static str, String)>,
    redirect_uri: Option<String>,
}

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    frame: Frame,
    key: String,
    notice: Option<Notice>,
    row: String,
    facts: Vec<(String, String)>,
    routes: Vec<ShownRoute>,
    can_reconnect: bool,
    can_revoke: bool,
    can_disconnect: bool,
    is_configured: bool,
    activity: String,
}

/// What has just happened.
pub struct Notice {
    /// `good` or `bad`.
    pub class: &'static str,
    pub text: String,
}

/// Every account under its integration, those that need a person first.
pub fn overview(site: &Site, handle: &Handle, frame: Frame, now: Wall, search: &str) -> String {
    let (csrf, base) = (frame.csrf(), frame.base.clone());
    let maker = Maker {
        site,
        base: &base,
        csrf: &csrf,
        now,
    };
    let accounts = handle.accounts();
    let mut found: Vec<_> = accounts.iter().filter(|a| fits(a, search)).collect();
    found.sort_by_key(|account| !say::needs_attention(account.state));
    let hidden = found.len().saturating_sub(ROWS);
    found.truncate(ROWS);
    let groups = site.integrations.iter().map(|integration| {
        let own = found.iter().filter(|a| a.integration == integration.key);
        let rows = own.map(|account| maker.row(account)).collect();
        group(integration, rows, !search.is_empty(), &site.public_url)
    });
    let page = Overview {
        summary: maker.summary(&accounts),
        filter: (accounts.len() > MANY || !search.is_empty()).then(|| search.to_owned()),
        hidden,
        groups: groups.collect(),
        activity: maker.activity(handle, None),
        routes: site.shown_routes(None),
        frame,
    };
    page.render().unwrap_or_default()
}

/// One account with everything that can be told of it.
pub fn account(
    site: &Site,
    handle: &Handle,
    frame: Frame,
    account: &AccountStatus,
    now: Wall,
    notice: Option<Notice>,
) -> String {
    let (csrf, base) = (frame.csrf(), frame.base.clone());
    let maker = Maker {
        site,
        base: &base,
        csrf: &csrf,
        now,
    };
    let integration = site.integration(&account.integration);
    let can_revoke = integration.is_some_and(|i| i.oauth2.revocation_endpoint.is_some());
    let is_personal = site.is_personal(&account.integration);
    let is_configured = !handle.is_created(&account.key);
    let has_tokens = account.refreshed_at.is_some();
    let page = AccountPage {
        key: account.key.to_string(),
        notice,
        row: maker.row(account),
        facts: facts(integration.map(|i| &**i), account),
        routes: site.shown_routes(Some(&account.key)),
        can_reconnect: is_personal && !say::needs_attention(account.state),
        can_revoke: has_tokens && can_revoke,
        can_disconnect: is_personal && has_tokens || !is_configured,
        is_configured,
        activity: maker.activity(handle, Some(&account.key)),
        frame,
    };
    page.render().unwrap_or_default()
}

fn fits(account: &AccountStatus, search: &str) -> bool {
    let search = search.to_lowercase();
    let holds = |text: &str| text.to_lowercase().contains(&search);
    let values = account.parameters.iter().filter_map(|(_, v)| v.as_deref());
    holds(account.key.as_str())
        || holds(&account.integration)
        || holds(account.state.as_str())
        || values.into_iter().any(holds)
}

fn group(integration: &Integration, rows: Vec<String>, filtered: bool, public_url: &str) -> Group {
    let oauth = &integration.oauth2;
    let mut facts = vec![("Key", integration.key.clone())];
    let mut add = |term, value: Option<String>| facts.extend(value.map(|value| (term, value)));
    let authorization = oauth.authorization_endpoint.as_ref();
    add("Authorization endpoint", authorization.map(shown));
    add("Token endpoint", Some(shown(&oauth.token_endpoint)));
    let revocation = oauth.revocation_endpoint.as_ref();
    add("Revocation endpoint", revocation.map(shown));
    add("Scope", oauth.scope.as_ref().map(ToString::to_string));
    let own = oauth.redirect_uri.as_ref().map(ToString::to_string);
    let is_personal = oauth.grant_type == GrantType::AuthorizationCode;
    let redirect = || own.unwrap_or_else(|| format!("{public_url}/oauth/callback"));
    Group {
        key: integration.key.clone(),
        name: integration.name.clone(),
        grant: grant(oauth.grant_type),
        rows,
        filtered,
        facts,
        redirect_uri: is_personal.then(redirect),
    }
}

fn facts(integration: Option<&Integration>, account: &AccountStatus) -> Vec<(String, String)> {
    let name = integration.map_or(account.integration.as_str(), |i| &i.name);
    let grants = integration.map_or("", |i| grant(i.oauth2.grant_type));
    let mut facts = vec![
        ("Integration".to_owned(), format!("{name}, {grants}")),
        (
            "Scope".to_owned(),
            account
                .scope
                .clone()
                .unwrap_or_else(|| "none asked for".into()),
        ),
        (
            "Refresh token".to_owned(),
            if account.has_refresh_token {
                "held"
            } else {
                "none"
            }
            .to_owned(),
        ),
        ("Generation".to_owned(), account.generation.to_string()),
    ];
    let time = |at: Option<Wall>| at.map_or_else(|| "–".to_owned(), rfc3339);
    facts.push(("Token expires".to_owned(), time(account.expires_at)));
    facts.push(("Last new token".to_owned(), time(account.refreshed_at)));
    facts.extend(
        parameters(account)
            .into_iter()
            .map(|(name, value)| (format!("Parameter {name}"), value)),
    );
    facts
}

/// An endpoint without its query, which may hold what is not for everyone.
fn shown(url: &UrlTemplate) -> String {
    let text = url.to_string();
    let end = text.find(['?', '#']).unwrap_or(text.len());
    text[..end].to_owned()
}
