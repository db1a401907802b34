//! Traces: where spans go, and which.

use crate::base::secret::Secret;
use crate::config::mistakes::Mistake;
use crate::config::reader::Reader;
use crate::config::scalar::{Context, Scalar, resolve};
use crate::config::traces::Traces;
use http::{HeaderName, HeaderValue};
use url::{Host, Url};

pub(super) fn read(reader: &Reader<'_, '_>) -> Option<Traces> {
    reader.node("traces")?;
    let traces = reader.section("traces")?;
    let endpoint = traces.text("endpoint").and_then(|s| endpoint(&traces, &s));
    let ratio = traces
        .text("ratio")
        .or_else(|| traces.default_scalar("ratio"));
    let ratio = ratio.and_then(|scalar| self::ratio(traces.ctx, &scalar));
    let headers = headers(&traces);
    let resource = resource(&traces);
    let endpoint = endpoint?;
    if !headers.is_empty() && endpoint.scheme() == "http" && !is_loopback(&endpoint) {
        let what = "the headers for the collector go over plain HTTP to another machine";
        let place = traces.key_place("endpoint");
        traces.ctx.report(Mistake::warning(place, what));
    }
    Some(Traces {
        endpoint: endpoint.into(),
        headers,
        ratio: ratio?,
        resource,
    })
}

fn endpoint(traces: &Reader<'_, '_>, scalar: &Scalar) -> Option<Url> {
    let url = Url::parse(&scalar.text).ok().filter(|url| {
        let bare = url.query().is_none() && url.fragment().is_none();
        let nobody = url.username().is_empty() && url.password().is_none();
        matches!(url.scheme(), "http" | "https") && bare && nobody
    });
    let Some(mut url) = url else {
        let what = format!("`endpoint` can't be {}", scalar.named());
        let expected = "an `http` or `https` URL without user, query and fragment, such as `http://127.0.0.1:4318`";
        let mistake = Mistake::error(scalar.place, what);
        traces.ctx.report(mistake.expected(expected));
        return None;
    };
    let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Some(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Digits and a point: `0`, `0.25`, `1`.
fn ratio(ctx: &Context<'_>, scalar: &Scalar) -> Option<f64> {
    let text = &scalar.text;
    let is_plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let ratio = text.parse().ok();
    let ratio = ratio.filter(|ratio| is_plain && (0.0..=1.0).contains(ratio));
    if ratio.is_none() {
        let what = format!("`ratio` can't be {}", scalar.named());
        let mistake = Mistake::error(scalar.place, what);
        ctx.report(mistake.expected("a number from 0 to 1, such as `0.1`"));
    }
    ratio
}

fn headers(traces: &Reader<'_, '_>) -> Vec<(HeaderName, Secret)> {
    let mut headers = Vec::new();
    for (word, node) in traces.pairs("headers") {
        let name = HeaderName::from_bytes(word.text.as_bytes()).ok();
        if name.is_none() {
            let what = "not a valid header name";
            traces.ctx.report(Mistake::error(word.place, what));
        }
        let value = resolve(traces.ctx, node, true);
        let bad = |value: &Scalar| HeaderValue::from_str(&value.text).is_err();
        if let Some(value) = value.as_ref().filter(|value| bad(value)) {
            let what = "this value is no header value";
            traces.ctx.report(Mistake::error(value.place, what));
        }
        if let (Some(name), Some(value)) = (name, value) {
            headers.push((name, Secret::new(value.text)));
        }
    }
    headers
}

/// `service.name` first; `resource` may say it, too, and then has the last word.
fn resource(traces: &Reader<'_, '_>) -> Vec<(String, String)> {
    let own = traces
        .pairs("resource")
        .into_iter()
        .filter_map(|(word, node)| {
            let value = resolve(traces.ctx, node, false)?;
            Some((word.text.clone(), value.text))
        });
    let own: Vec<_> = own.collect();
    let service = traces.text("service_name");
    let service = service.or_else(|| traces.default_scalar("service_name"));
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let given = [
        service.map(|scalar| ("service.name".to_owned(), scalar.text)),
        Some(("service.version".to_owned(), version)),
    ];
    let given = given.into_iter().flatten();
    let mut all: Vec<_> = given
        .filter(|(name, _)| own.iter().all(|(other, _)| other != name))
        .collect();
    all.extend(own);
    all
}
