//! Signing in and out, and the pages for those who can't go on.

use super::form::{self, Fields};
use super::frame::Frame;
use super::{Page, Reply, Visit, reply};
use crate::admin::guard::Refusal;
use askama::Template;
use http::StatusCode;
use http::header::{HeaderValue, WWW_AUTHENTICATE};
use http::request::Parts;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn {
    frame: Frame,
    error: Option<String>,
    to: String,
}

#[derive(Template)]
#[template(path = "message.html")]
struct Message<'a> {
    frame: Frame,
    title: &'a str,
    lines: &'a [&'a str],
}

impl Page {
    /// By the admin token in a form, or by a one-time link.
    pub(super) fn sign_in(
        &self,
        is_post: bool,
        fields: &Fields,
        is_token: &(dyn Fn(&str) -> bool + Sync),
    ) -> Reply {
        let to = form::value(fields, "to");
        let link = form::value(fields, "link");
        if is_post && is_token(form::value(fields, "token").trim()) {
            return self.let_in(to);
        }
        if !is_post && !link.is_empty() && self.sessions.use_link(link) {
            return self.let_in(to);
        }
        let error = match (is_post, link.is_empty()) {
            (true, _) => Some("This is not the admin token of this sidekey."),
            (_, false) => Some(
                "This link was used already, or is too old. Ask for another one, or use the \
                 admin token.",
            ),
            _ => None,
        };
        let status = match error {
            Some(_) => StatusCode::UNAUTHORIZED,
            None => StatusCode::OK,
        };
        self.sign_in_page(status, error, to)
    }

    fn let_in(&self, to: &str) -> Reply {
        let place = format!("{}{}", self.base, own_path(to));
        match self.sessions.open() {
            Ok(cookie) => reply::with_cookie(reply::see(&place), cookie),
            Err(why) => self.message(
                StatusCode::INTERNAL_SERVER_ERROR,
                "No session can be opened",
                &[&why.to_string()],
            ),
        }
    }

    pub(super) fn ask_to_sign_in(&self, head: &Parts, is_post: bool) -> Reply {
        let to = if is_post { "/" } else { head.uri.path() };
        let to = to.strip_prefix(self.base.as_str()).unwrap_or(to);
        let error = is_post.then_some("Your session has ended. Sign in and press again.");
        self.sign_in_page(StatusCode::UNAUTHORIZED, error, to)
    }

    fn sign_in_page(&self, status: StatusCode, error: Option<&str>, to: &str) -> Reply {
        let page = SignIn {
            frame: Frame::new(&self.base, None, ""),
            error: error.map(str::to_owned),
            to: own_path(to).to_owned(),
        };
        let mut reply = reply::html(status, page.render().unwrap_or_default());
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"sidekey\"");
            reply.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        reply
    }

    pub(super) fn refused(&self, refusal: Refusal) -> Reply {
        match refusal {
            Refusal::BadHost => self.message(
                StatusCode::BAD_REQUEST,
                "The request can't be read",
                &["It needs exactly one Host field."],
            ),
            Refusal::ForeignHost => self.message(
                StatusCode::FORBIDDEN,
                "This address is not ours",
                &["Use localhost, an IP address, or the host of admin.public_url."],
            ),
            _ => self.message(
                StatusCode::FORBIDDEN,
                "Another site's page sent this",
                &["Nothing was done. Go to the page itself and press there."],
            ),
        }
    }

    pub(super) fn lost(&self) -> Reply {
        self.message(
            StatusCode::NOT_FOUND,
            "There is nothing here",
            &["The account or page may have been removed, or the address has a mistake in it."],
        )
    }

    pub(super) fn stale_form(&self) -> Reply {
        self.message(
            StatusCode::FORBIDDEN,
            "This form is too old",
            &["It belongs to a session that has ended. Nothing was done: go back, reload, and press again."],
        )
    }

    pub(super) fn too_long(&self) -> Reply {
        self.message(
            StatusCode::PAYLOAD_TOO_LARGE,
            "This form is too long",
            &["Nothing was done."],
        )
    }

    pub(super) fn message(&self, status: StatusCode, title: &str, lines: &[&str]) -> Reply {
        let page = Message {
            frame: Frame::new(&self.base, None, ""),
            title,
            lines,
        };
        reply::html(status, page.render().unwrap_or_default())
    }
}

impl Visit<'_> {
    pub(super) fn sign_out(&self) -> Reply {
        let reply = reply::see(&format!("{}/sign-in", self.page.base));
        match self.page.sessions.close(self.session) {
            Ok(cookie) => reply::with_cookie(reply, cookie),
            Err(_) => reply,
        }
    }
}

/// A path of ours; anything that a browser could take for another site's
/// address becomes the first page.
fn own_path(path: &str) -> &str {
    let is_plain = path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if path.starts_with('/') && !path.starts_with("//") && is_plain {
        path
    } else {
        "/"
    }
}

#[cfg(test)]
mod tests {
    use super::own_path;

    #[test]
    fn nobody_is_sent_elsewhere_after_signing_in() {
        assert_eq!(own_path("/accounts/a"), "/accounts/a");
        for foreign in [
            "",
            "//evil.example",
            "https://evil.example",
            "/\\evil",
            "/\t/x",
            "/a\r\nb",
        ] {
            assert_eq!(own_path(foreign), "/", "{foreign:?}");
        }
    }
}
