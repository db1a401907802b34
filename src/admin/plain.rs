//! The few pages that connecting needs, as plain as can be: no script, no
//! style of their own.

use crate::base::secret::Secret;
use crate::connect::Preview;

/// A page with a title and paragraphs, both escaped here; `more` is HTML.
pub fn notice(title: &str, paragraphs: &[String], more: &str) -> String {
    let title = escape(title);
    let text: String = paragraphs
        .iter()
        .map(|paragraph| format!("<p>{}</p>\n", escape(paragraph)))
        .collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title} – sidekey</title>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n\
         {text}{more}</main>\n</body>\n</html>\n"
    )
}

/// Asks for the admin token; `account` is where to go on to.
pub fn sign_in(prefix: &str, account: Option<&str>, again: bool) -> String {
    let mut paragraphs = Vec::new();
    if again {
        paragraphs.push("That is not the admin token.".to_owned());
    }
    paragraphs.push(
        "Open the link that `sidekey connect` prints or opens, or give the admin token here: \
         it is what admin.token says, or lies in the file admin-token in the state directory."
            .to_owned(),
    );
    let account = account.map_or(String::new(), |account| {
        let account = escape(account);
        format!("<input type=\"hidden\" name=\"account\" value=\"{account}\">\n")
    });
    let form = format!(
        "<form method=\"post\" action=\"{}/session\">\n{account}\
         <p><label>Admin token <input type=\"password\" name=\"token\" autocomplete=\"off\" \
         required></label></p>\n<p><button>Sign in</button></p>\n</form>\n",
        escape(prefix)
    );
    notice("Sign in", &paragraphs, &form)
}

/// Says what connecting will do, and does it at the press of a button.
pub fn preview(prefix: &str, preview: &Preview, csrf: &Secret) -> String {
    let scope = preview.scope.as_deref().unwrap_or("none");
    let rows = [
        ("Integration", preview.integration.as_str()),
        ("Authorization server", preview.server.as_str()),
        ("Scope", scope),
        (
            "Redirect URI, as it must be registered",
            preview.redirect_uri.as_str(),
        ),
    ];
    let rows: String = rows
        .iter()
        .map(|(name, value)| format!("<dt>{name}</dt>\n<dd>{}</dd>\n", escape(value)))
        .collect();
    let form = format!(
        "<dl>\n{rows}</dl>\n<form method=\"post\" action=\"{}/connect/{}\">\n\
         <input type=\"hidden\" name=\"csrf\" value=\"{}\">\n\
         <p><button>Connect</button></p>\n</form>\n",
        escape(prefix),
        escape(&preview.account),
        escape(csrf.expose())
    );
    let what = "You will be sent to the authorization server, sign in there and give consent. \
                Every application behind sidekey can then use this account.";
    notice(
        &format!("Connect {}", preview.account),
        &[what.to_owned()],
        &form,
    )
}

/// Sends the browser on. A redirect would not do: a browser that follows one
/// from a form holds each of its steps against the form's policy.
pub fn onward(account: &str, address: &str) -> String {
    let address = escape(address);
    let more = format!(
        "<meta http-equiv=\"refresh\" content=\"0; url={address}\">\n\
         <p><a href=\"{address}\">Go on to the authorization server</a></p>\n"
    );
    notice(&format!("Connecting {account}"), &[], &more)
}

/// A list of the accounts, each with a way to connect it.
pub fn home(prefix: &str, accounts: &[(String, &'static str, bool)], csrf: &Secret) -> String {
    let items: String = accounts
        .iter()
        .map(|(key, state, personal)| {
            let key = escape(key);
            let link = format!(
                " – <a href=\"{}/connect/{key}\">connect</a>",
                escape(prefix)
            );
            let link = if *personal { link } else { String::new() };
            format!("<li>{key}: {state}{link}</li>\n")
        })
        .collect();
    let more = format!(
        "<ul>\n{items}</ul>\n<form method=\"post\" action=\"{}/session/end\">\n\
         <input type=\"hidden\" name=\"csrf\" value=\"{}\">\n\
         <p><button>Sign out</button></p>\n</form>\n",
        escape(prefix),
        escape(csrf.expose())
    );
    notice("Accounts", &[], &more)
}

/// A way back to the list.
pub fn back(prefix: &str) -> String {
    format!("<p><a href=\"{}/\">All accounts</a></p>\n", escape(prefix))
}

/// Text that means itself in HTML, also inside an attribute's quotes.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::{notice, sign_in};

    #[test]
    fn nothing_that_is_said_becomes_markup() {
        let odd = "<script>\"&'".to_owned();
        let page = notice(&odd, std::slice::from_ref(&odd), "");
        assert!(!page.contains("<script"), "{page}");
        let page = sign_in("", Some(&odd), true);
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("&quot;&amp;&#39;\""), "{page}");
    }
}
