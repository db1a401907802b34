use super::UrlTemplate;
use proptest::prelude::{ProptestConfig, any, prop_oneof, proptest};
use proptest::strategy::Strategy;

fn expand(template: &str, value: &str) -> Result<String, String> {
    UrlTemplate::parse(template)
        .unwrap()
        .expand(&|name| (name == "x").then_some(value))
        .map(|url| url.to_string())
        .map_err(|error| error.what)
}

#[test]
fn each_place_has_its_escaping() {
    let cases = [
        (
            "https://{x}.example.com/token",
            "dev",
            "https://dev.example.com/token",
        ),
        ("http://{x}:8080/", "10.0.0.1", "http://10.0.0.1:8080/"),
        ("http://h:{x}/", "8081", "http://h:8081/"),
        ("http://[::1]:{x}/", "8081", "http://[::1]:8081/"),
        (
            "https://h/{x}/token",
            "a/b?c#d%",
            "https://h/a%2Fb%3Fc%23d%25/token",
        ),
        (
            "https://h?q={x}&r=1",
            "a b&c=d#",
            "https://h/?q=a%20b%26c%3Dd%23&r=1",
        ),
        ("https://h/?{x}=1", "a=b", "https://h/?a%3Db=1"),
        ("https://h/#{x}", "é", "https://h/#%C3%A9"),
        ("HTTPS://h/{{x}}", "", "https://h/%7Bx%7D"),
    ];
    for (template, value, url) in cases {
        assert_eq!(expand(template, value).as_deref(), Ok(url), "{template}");
    }
}

#[test]
fn values_that_would_leave_their_place_name_the_parameter() {
    let cases = [
        ("https://{x}.example.com/", "evil.com/"),
        ("https://{x}.example.com/", "evil.com#"),
        ("https://{x}.example.com/", "a@evil.com"),
        ("https://{x}.example.com/", "evil.com:1"),
        ("https://{x}/", "[::1]"),
        ("https://{x}/", ""),
        ("https://{x}/", "a\tb"),
        ("https://h:{x}/", "80/"),
        ("https://h:{x}/", ""),
        ("https://h/{x}/a", ".."),
        ("https://h/{x}/a", "."),
    ];
    for (template, value) in cases {
        let error = expand(template, value).unwrap_err();
        assert!(
            error.contains("parameter `x`"),
            "{template} {value}: {error}"
        );
        assert!(value.len() < 3 || !error.contains(value), "{error}");
    }
}

#[test]
fn what_a_url_parser_would_read_differently_is_refused() {
    let cases = [
        ("https://{x}/", "0x7f.1"),
        ("https://{x}/", "2130706433"),
        ("https://h:{x}/", "99999"),
        ("https://h:{x}/", "0"),
        ("https://h/.{x}/a", ""),
        ("https://h/%2e{x}/a", ""),
        ("https://h/{x}{x}", "."),
    ];
    for (template, value) in cases {
        assert!(expand(template, value).is_err(), "{template} {value}");
    }
}

#[test]
fn templates_that_are_no_urls_say_where() {
    let cases = [
        ("{x}://h/", 0),
        ("{x}", 0),
        ("ftp://h/", 0),
        ("http{x}://h/", 0),
        ("https:/h/", 0),
        ("https://", 8),
        ("https:///path", 8),
        ("https://u:p@h/", 8),
        ("https://{x}@h/", 8),
        ("https://h:/", 8),
        ("https://h:x/", 0),
        ("https://h:1:2/", 0),
        ("https://[{x}]/", 8),
        ("https://[::1]x/", 13),
        ("https://h h/", 9),
        ("https://h\\x/", 9),
        ("https://h/../{x}", 0),
        ("https://h/{x", 10),
        ("", 0),
    ];
    for (template, offset) in cases {
        let error = UrlTemplate::parse(template).unwrap_err();
        assert!(
            error.offset == offset || offset == 0,
            "{template}: {error:?}"
        );
    }
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-z0-9./?#@:%\\\\\\[\\] \t&=+-]{0,12}",
        "[a-z0-9.-]{1,8}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_value_leaves_its_place(value in value()) {
        let template = "https://{x}.example.com:8443/a/{x}/b?q={x}&r=1#{x}";
        if let Ok(url) = UrlTemplate::parse(template).unwrap().expand(&|_| Some(&value)) {
            assert_eq!(url.scheme(), "https");
            assert_eq!(url.username(), "");
            assert_eq!(url.password(), None);
            assert_eq!(url.port(), Some(8443));
            assert!(url.host_str().unwrap().ends_with(".example.com"));
            assert_eq!(url.path().matches('/').count(), 3);
        }
    }

    #[test]
    fn what_goes_into_path_and_query_comes_out(value in any::<String>()) {
        let template = UrlTemplate::parse("https://h/a/{x}/b?{x}={x}&r=1").unwrap();
        if value == "." || value == ".." {
            return Ok(());
        }
        let url = template.expand(&|_| Some(&value)).unwrap();
        let segments: Vec<_> = url.path_segments().unwrap().collect();
        assert_eq!(segments.len(), 3);
        let decoded = percent_encoding::percent_decode_str(segments[1]);
        assert_eq!(decoded.decode_utf8().unwrap(), value);
        let pairs: Vec<_> = url.query_pairs().collect();
        assert_eq!(pairs[0], (value.as_str().into(), value.as_str().into()));
        assert_eq!(pairs[1], ("r".into(), "1".into()));
    }

    #[test]
    fn parsing_never_panics(text in any::<String>(), tail in "[a-z0-9./?#@:%{}\\[\\]-]{0,20}") {
        let _ = UrlTemplate::parse(&text);
        if let Ok(template) = UrlTemplate::parse(&format!("https://{tail}")) {
            let _ = template.expand(&|_| Some("a"));
        }
    }
}
