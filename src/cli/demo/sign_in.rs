//! What the demonstration's authorization server answers on behalf of a person:
//! a page to agree on, the way back with a code, and tokens for it.

use super::person::{CLIENT_ID, Person, Tokens};
use super::servers::{Reply, json};
use bytes::Bytes;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, LOCATION};
use http::{Request, StatusCode};
use std::collections::HashMap;
use url::Url;
use url::form_urlencoded;

const PAGE: &str = r#"<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>Demonstration sign-in</title>
<style>body{font:17px/1.5 system-ui,sans-serif;max-width:32rem;margin:4rem auto;padding:0 1rem;color-scheme:light dark}
a{display:inline-block;padding:.6rem 1.2rem;border-radius:.4rem;background:#1f4fd8;color:#fff;text-decoration:none}</style>
<h1>Demonstration sign-in</h1>
<p>This stands for a service's own sign-in page. sidekey asks for access to Ada's profile; there is no
password, for there is nothing to guard.</p>
<p><a href="AGREE">Agree as Ada</a></p></html>"#;

/// `GET /authorize` (RFC 6749, 4.1.1): the page to agree on.
pub fn page(request: &Request<Bytes>) -> Reply {
    let query = request.uri().query().unwrap_or_default();
    let agree = format!("/agree?{query}");
    // A query holds no quotes or angle brackets that a browser did not encode;
    // whoever sends others gets them encoded here.
    let agree = agree
        .replace('&', "&amp;")
        .replace('"', "%22")
        .replace('<', "%3C");
    let mut reply = Reply::new(Bytes::from(PAGE.replace("AGREE", &agree)).into());
    let headers = reply.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'"),
    );
    reply
}

/// `GET /agree`: back to the client with a code (RFC 6749, 4.1.2).
pub fn agree(person: &Person, request: &Request<Bytes>) -> Reply {
    let query = request.uri().query().unwrap_or_default();
    let asked: HashMap<_, _> = form_urlencoded::parse(query.as_bytes()).collect();
    let of = |name: &str| asked.get(name).map_or("", |value| value.as_ref());
    let back = Url::parse(of("redirect_uri")).ok();
    let back = back.filter(|url| is_loopback(url) && of("client_id") == CLIENT_ID);
    let Some(mut back) = back else {
        return json(
            StatusCode::BAD_REQUEST,
            r#"{"error":"invalid_request"}"#.into(),
        );
    };
    let code = person.agree(of("redirect_uri"), of("code_challenge"));
    back.query_pairs_mut()
        .append_pair("code", &code)
        .append_pair("state", of("state"));
    let mut reply = json(StatusCode::FOUND, "{}".into());
    if let Ok(back) = HeaderValue::from_str(back.as_str()) {
        reply.headers_mut().insert(LOCATION, back);
    }
    reply
}

/// Codes go to this machine only.
fn is_loopback(url: &Url) -> bool {
    url.scheme() == "http" && matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"))
}

/// The token request of a public client; `None` when it is another's.
pub fn tokens(person: &Person, body: &Bytes) -> Option<Reply> {
    let form: HashMap<_, _> = form_urlencoded::parse(body).collect();
    let of = |name: &str| form.get(name).map_or("", |value| value.as_ref());
    if of("client_id") != CLIENT_ID {
        return None;
    }
    let tokens = match of("grant_type") {
        "authorization_code" => person.redeem(of("code"), of("redirect_uri"), of("code_verifier")),
        "refresh_token" => person.refresh(of("refresh_token")),
        _ => None,
    };
    Some(tokens.map_or_else(
        || {
            json(
                StatusCode::BAD_REQUEST,
                r#"{"error":"invalid_grant"}"#.into(),
            )
        },
        granted,
    ))
}

fn granted(tokens: Tokens) -> Reply {
    let body = serde_json::json!({
        "access_token": tokens.access,
        "refresh_token": tokens.refresh,
        "token_type": "Bearer",
        "expires_in": tokens.life.as_secs(),
        "scope": "profile offline_access",
    });
    json(StatusCode::OK, body.to_string())
}
