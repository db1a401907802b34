//! The pages that connecting needs, and the sign-in.

use super::page::Frame;
use crate::base::secret::Secret;
use crate::connect::Preview;
use askama::Template;

#[derive(Template)]
#[template(path = "message.html")]
struct Message<'a> {
    frame: Frame,
    title: &'a str,
    lines: &'a [String],
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn<'a> {
    frame: Frame,
    account: Option<&'a str>,
    again: bool,
}

#[derive(Template)]
#[template(path = "connect.html")]
struct Connect<'a> {
    frame: Frame,
    csrf: &'a str,
    preview: &'a Preview,
    scope: &'a str,
}

#[derive(Template)]
#[template(path = "onward.html")]
struct Onward<'a> {
    frame: Frame,
    account: &'a str,
    address: &'a str,
}

/// A page with a title and paragraphs.
pub fn notice(prefix: &str, title: &str, paragraphs: &[String]) -> String {
    let page = Message {
        frame: Frame::new(prefix, None, ""),
        title,
        lines: paragraphs,
    };
    page.render().unwrap_or_default()
}

/// Asks for the admin token; `account` is where to go on to.
pub fn sign_in(prefix: &str, account: Option<&str>, again: bool) -> String {
    let page = SignIn {
        frame: Frame::new(prefix, None, ""),
        account,
        again,
    };
    page.render().unwrap_or_default()
}

/// Says what connecting will do, and does it at the press of a button.
pub fn preview(prefix: &str, preview: &Preview, csrf: &Secret) -> String {
    let page = Connect {
        frame: Frame::new(prefix, Some(csrf), ""),
        csrf: csrf.expose(),
        preview,
        scope: preview.scope.as_deref().unwrap_or("none"),
    };
    page.render().unwrap_or_default()
}

/// Sends the browser on. A redirect would not do: a browser that follows one
/// from a form holds each of its steps against the form's policy.
pub fn onward(prefix: &str, account: &str, address: &str) -> String {
    let page = Onward {
        frame: Frame::new(prefix, None, ""),
        account,
        address,
    };
    page.render().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{notice, onward, sign_in};

    #[test]
    fn nothing_that_is_said_becomes_markup() {
        let odd = "<script>alert(\"&'".to_owned();
        for page in [
            notice("", &odd, std::slice::from_ref(&odd)),
            sign_in("", Some(&odd), true),
            onward("", &odd, &odd),
        ] {
            assert!(!page.contains("<script>alert"), "{page}");
            assert!(
                page.contains("&#60;script&#62;alert(&#34;&#38;&#39;"),
                "{page}"
            );
        }
    }
}
