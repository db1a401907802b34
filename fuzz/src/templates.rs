//! Templates of text and of URLs: no value leaves its place.

use sidekey::base::template::{Template, UrlTemplate, encode_pair, encode_strict};

/// The template on the first line, the value of every parameter behind it.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (template, value) = text.split_once('\n').unwrap_or((text, "a"));
    text_template(template, value);
    url_template(template, value);
    encoded(template, value);
}

fn text_template(text: &str, value: &str) {
    let written = Template::literal(text).expand(&|_| None);
    assert_eq!(written.as_deref(), Ok(text));
    match Template::parse(text) {
        Ok(template) => {
            let count = template.parameters().count();
            let literals = template.expand(&|_| Some("")).unwrap();
            let full = template.expand(&|_| Some(value)).unwrap();
            assert_eq!(full.len(), literals.len() + count * value.len());
            assert_eq!(template.expand(&|_| None).is_ok(), count == 0);
            let filled = template.fill(&|_| Some(value));
            assert_eq!(filled.expand(&|_| None).as_deref(), Ok(full.as_str()));
            for (name, offset) in template.parameter_places() {
                let written = format!("{{{name}}}");
                assert_eq!(text.get(offset..offset + written.len()), Some(&*written));
            }
        }
        Err(error) => assert!(error.offset <= text.len()),
    }
}

fn url_template(text: &str, value: &str) {
    let Ok(template) = UrlTemplate::parse(text) else {
        return;
    };
    let (Ok(plain), Ok(url)) = (
        template.expand(&|_| Some("1")),
        template.expand(&|_| Some(value)),
    ) else {
        return;
    };
    assert_eq!(url.scheme(), plain.scheme());
    assert_eq!((url.username(), url.password()), ("", None));
    let segments = |url: &url::Url| url.path_segments().map(Iterator::count);
    assert_eq!(segments(&url), segments(&plain), "{url}");
    let pairs = |url: &url::Url| url.query().map(|query| query.matches('&').count());
    assert_eq!(pairs(&url), pairs(&plain), "{url}");
    assert_eq!(url.fragment().is_some(), plain.fragment().is_some());
    if template.authority_parameters().next().is_none() {
        assert_eq!(url.origin(), plain.origin());
    } else if template.has_fixed_suffix() && !value.contains('.') {
        let suffix = |url: &url::Url| {
            let host = url.host_str().unwrap_or_default().trim_end_matches('.');
            let kept = if host.ends_with(".localhost") { 1 } else { 2 };
            let labels: Vec<_> = host.rsplit('.').take(kept).map(str::to_owned).collect();
            labels
        };
        assert_eq!(suffix(&url), suffix(&plain), "{url}");
    }
}

fn encoded(name: &str, value: &str) {
    let plain = |text: &str| {
        percent_encoding::percent_decode_str(text)
            .decode_utf8_lossy()
            .into_owned()
    };
    assert_eq!(plain(&encode_strict(value)), value);
    let pair = encode_pair(name, value);
    let read: Vec<_> = url::form_urlencoded::parse(pair.as_bytes()).collect();
    assert_eq!(read, [(name.into(), value.into())], "{pair}");
}
