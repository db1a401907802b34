//! Callers that send a JWT, and whom to believe it from.

use crate::base::client_tls::{ClientTls, Pem};
use crate::base::hosts::is_loopback;
use crate::base::issuer::{KeysFrom, TrustedIssuer};
use crate::base::jwt::keys::KeySet;
use crate::config::checked::callers::{ByJwt, NameOf};
use crate::config::mistakes::Mistake;
use crate::config::reader::Reader;
use crate::config::scalar::{Scalar, is_source, read_file, resolve};
use crate::config::written::Node;
use http::HeaderName;
use std::sync::Arc;
use url::Url;

/// What is written under `jwt`; `name` is what is written beside it.
pub(super) fn read(caller: &Reader<'_, '_>, name: Option<&str>) -> Option<ByJwt> {
    let jwt = caller.section("jwt")?;
    // All of them before the first `?`: a mistake in one must not hide another's.
    let issuer = issuer(&jwt);
    let audiences = jwt.node("audience").map(|node| texts(&jwt, node));
    let claims = claims(&jwt);
    let header = header(&jwt);
    let audiences = audiences?;
    if audiences.is_empty() {
        let mistake = Mistake::error(jwt.value_place("audience"), "`audience` is nobody");
        jwt.ctx.report(mistake.expected("a name, or several"));
    }
    Some(ByJwt {
        issuer: Arc::new(issuer?),
        audiences,
        claims,
        name: match name {
            Some(name) => NameOf::Given(name.into()),
            None => NameOf::Claim(or_default(&jwt, "name_claim")?.text),
        },
        header: header?,
    })
}

fn or_default(jwt: &Reader<'_, '_>, name: &str) -> Option<Scalar> {
    match jwt.node(name) {
        Some(_) => jwt.text(name),
        None => jwt.default_scalar(name),
    }
}

fn issuer(jwt: &Reader<'_, '_>) -> Option<TrustedIssuer> {
    let name = jwt.text("issuer");
    let keys = keys(jwt, name.as_ref());
    let ca = jwt.text("ca").map(|file| ca(jwt, &file));
    let token_file = jwt.text("token_file").map(|file| jwt.ctx.path(&file.text));
    if matches!(keys, Some(KeysFrom::Given(_))) {
        for other in ["ca", "token_file"] {
            if jwt.node(other).is_some() {
                let what = format!("`{other}` says nothing beside `jwks_file`");
                let mistake = Mistake::error(jwt.key_place(other), what);
                jwt.ctx.report(mistake.expected("one of the two"));
            }
        }
    }
    Some(TrustedIssuer {
        name: name?.text,
        keys: keys?,
        ca: match ca {
            None => None,
            Some(ca) => Some(ca?),
        },
        token_file,
    })
}

fn keys(jwt: &Reader<'_, '_>, issuer: Option<&Scalar>) -> Option<KeysFrom> {
    match (jwt.text("jwks_uri"), jwt.text("jwks_file")) {
        (Some(_), Some(file)) => {
            let mistake = Mistake::error(file.place, "both `jwks_uri` and `jwks_file`");
            jwt.ctx.report(mistake.expected("one of the two"));
            None
        }
        (Some(address), None) => fetched(jwt, "jwks_uri", &address).map(KeysFrom::Address),
        (None, Some(file)) => given(jwt, &file),
        // To be asked, it must be an address itself (OpenID Connect Discovery, 4).
        (None, None) => fetched(jwt, "issuer", issuer?).map(|_| KeysFrom::Discovery),
    }
}

/// What is fetched in the clear, anybody on the way may change.
fn fetched(jwt: &Reader<'_, '_>, key: &str, address: &Scalar) -> Option<Url> {
    let url = Url::parse(&address.text).ok();
    let url = url.filter(|url| {
        let in_the_clear = url.scheme() == "http" && url.host_str().is_some_and(is_loopback);
        let nobody = url.username().is_empty() && url.password().is_none();
        (url.scheme() == "https" || in_the_clear) && nobody && url.fragment().is_none()
    });
    if url.is_none() {
        let what = format!("keys can't be fetched by `{key}` {}", address.named());
        let mistake = Mistake::error(address.place, what);
        let expected = "an `https` URL (or `http` to this machine), or `jwks_file`";
        jwt.ctx.report(mistake.expected(expected));
    }
    url
}

fn given(jwt: &Reader<'_, '_>, file: &Scalar) -> Option<KeysFrom> {
    let content = read_file(jwt.ctx, file)?;
    match KeySet::read(&content) {
        Ok(_) => Some(KeysFrom::Given(Arc::from(content.as_slice()))),
        Err(why) => {
            let what = format!("{}: {why}", jwt.ctx.path(&file.text).display());
            let mistake = Mistake::error(file.place, what);
            let expected = "the issuer's public keys, as its `jwks_uri` gives them";
            jwt.ctx.report(mistake.expected(expected));
            None
        }
    }
}

fn ca(jwt: &Reader<'_, '_>, file: &Scalar) -> Option<Arc<[u8]>> {
    let content = read_file(jwt.ctx, file)?;
    let tls = ClientTls::new(&Pem {
        ca: Some(&content),
        identity: None,
        server_name: None,
    });
    if tls.is_err() {
        let path = jwt.ctx.path(&file.text);
        let what = format!("the file {} holds no authority", path.display());
        let mistake = Mistake::error(file.place, what);
        jwt.ctx
            .report(mistake.expected("certificates of authorities, in PEM"));
        return None;
    }
    Some(Arc::from(content.as_slice()))
}

fn claims(jwt: &Reader<'_, '_>) -> Vec<(String, Vec<String>)> {
    let mut claims = Vec::new();
    for (word, node) in jwt.pairs("claims") {
        let values = texts(jwt, node);
        if values.is_empty() {
            let mistake = Mistake::error(word.place, "a claim with no value lets nobody in");
            jwt.ctx.report(mistake.expected("a value, or several"));
        }
        claims.push((word.text.clone(), values));
    }
    claims
}

/// One text, or a list of them.
fn texts(jwt: &Reader<'_, '_>, node: &Node) -> Vec<String> {
    let items = match node {
        Node::Sequence(_, items) => items.as_slice(),
        Node::Map(..) if !is_source(node) => {
            let mistake = Mistake::error(node.place(), "a map is no text");
            jwt.ctx
                .report(mistake.expected("a text, or a list of them"));
            return Vec::new();
        }
        one => std::slice::from_ref(one),
    };
    let texts = items.iter().filter_map(|one| resolve(jwt.ctx, one, false));
    texts.map(|one| one.text).collect()
}

/// What a message can't do without when the token is taken away.
const NEVER: [&str; 8] = [
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "sidekey-caller-key",
    "transfer-encoding",
    "upgrade",
];

fn header(jwt: &Reader<'_, '_>) -> Option<HeaderName> {
    let written = or_default(jwt, "header")?;
    let name = HeaderName::from_bytes(written.text.as_bytes()).ok();
    let name = name.filter(|name| !NEVER.contains(&name.as_str()));
    if name.is_none() {
        let what = format!("{} can't hold a token", written.named());
        let mistake = Mistake::error(written.place, what);
        let expected = "`Authorization`, or a field of its own such as `Sidekey-Caller-Token`";
        jwt.ctx.report(mistake.expected(expected));
    }
    name
}
