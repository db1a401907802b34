use super::{Asked, Begun, Framing, Size, put, put_trailers};
use crate::proxy::http1::spelled::Spelled;
use bytes::Bytes;
use http::header::{DATE, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode, response};

const ASKED: Asked = Asked {
    is_http10: false,
    is_head: false,
    is_connect: false,
    keep_alive: true,
    wants_trailers: false,
    expects: false,
    spells: false,
};

const LENGTHS: [u64; 4] = [0, 1, 9, 4096];

fn head(status: u16, fields: &[(&'static str, &'static str)]) -> response::Parts {
    let (mut head, ()) = Response::new(()).into_parts();
    head.status = StatusCode::from_u16(status).unwrap();
    for (name, value) in fields {
        let name = HeaderName::from_static(name);
        head.headers.append(name, HeaderValue::from_static(value));
    }
    head.headers.insert(DATE, HeaderValue::from_static("d"));
    head
}

fn written(head: &response::Parts, asked: &Asked, size: Size, keeps: bool) -> (String, Begun) {
    let mut out = Vec::new();
    let begun = put(&mut out, head, asked, size, keeps);
    (String::from_utf8(out).unwrap(), begun)
}

#[test]
fn an_ordinary_answer_has_a_length() {
    for length in LENGTHS {
        let length = Size::Exactly(length);
        let (text, begun) = written(&head(200, &[("x-a", "1")]), &ASKED, length, true);
        let Size::Exactly(length) = length else {
            unreachable!()
        };
        let rest = format!("x-a: 1\r\ndate: d\r\ncontent-length: {length}\r\n\r\n");
        assert_eq!(text, format!("HTTP/1.1 200 OK\r\n{rest}"));
        assert_eq!(begun.framing, Framing::Length(length));
        assert!(begun.keeps);
    }
}

#[test]
fn an_answer_of_unknown_length_is_in_chunks_or_ends_the_connection() {
    let head_of = head(200, &[("transfer-encoding", "gzip")]);
    let (text, begun) = written(&head_of, &ASKED, Size::Unknown, true);
    assert!(
        text.ends_with("transfer-encoding: chunked\r\n\r\n"),
        "{text}"
    );
    assert_eq!(text.matches("transfer").count(), 1);
    assert_eq!(begun.framing, Framing::Chunks(vec![]));
    let old = Asked {
        is_http10: true,
        ..ASKED
    };
    let (text, begun) = written(&head_of, &old, Size::Unknown, true);
    assert_eq!(text, "HTTP/1.0 200 OK\r\ndate: d\r\n\r\n");
    assert_eq!((begun.framing, begun.keeps), (Framing::ToTheEnd, false));
    let (text, begun) = written(&head_of, &old, Size::Exactly(2), true);
    assert!(text.contains("connection: keep-alive\r\n"), "{text}");
    assert!(begun.keeps);
}

#[test]
fn what_has_no_content_is_framed_as_such() {
    for (status, asked, length) in [
        (204, ASKED, false),
        (304, ASKED, false),
        (
            200,
            Asked {
                is_connect: true,
                ..ASKED
            },
            false,
        ),
        (
            200,
            Asked {
                is_head: true,
                ..ASKED
            },
            true,
        ),
        (
            304,
            Asked {
                is_head: true,
                ..ASKED
            },
            true,
        ),
        (
            204,
            Asked {
                is_head: true,
                ..ASKED
            },
            false,
        ),
    ] {
        let with_length = head(status, &[("content-length", "100")]);
        for size in [Size::Nothing, Size::Exactly(100), Size::Unknown] {
            let (text, begun) = written(&with_length, &asked, size, true);
            assert_eq!(
                text.contains("content-length: 100"),
                length,
                "{status} {text}"
            );
            assert!(!text.contains("transfer-encoding"));
            assert_eq!(begun.framing, Framing::Length(0));
        }
    }
    let (text, _) = written(&head(404, &[]), &ASKED, Size::Nothing, true);
    assert!(text.contains("content-length: 0\r\n"));
    let switch = head(101, &[("connection", "Upgrade")]);
    let (text, begun) = written(&switch, &ASKED, Size::Nothing, true);
    assert!(
        text.contains("connection: Upgrade\r\n") && !text.contains("length"),
        "{text}"
    );
    assert!(!begun.keeps);
}

#[test]
fn the_end_of_a_connection_is_said_once() {
    for (fields, keeps, line) in [
        (&[][..], false, "connection: close\r\n"),
        (
            &[("connection", "close")][..],
            true,
            "connection: close\r\n",
        ),
        (
            &[("connection", "close")][..],
            false,
            "connection: close\r\n",
        ),
        (
            &[("connection", "x")][..],
            false,
            "connection: x, close\r\n",
        ),
    ] {
        let (text, begun) = written(&head(200, fields), &ASKED, Size::Nothing, keeps);
        assert!(text.contains(line), "{text}");
        assert_eq!(text.matches("connection").count(), 1);
        assert!(!begun.keeps);
    }
    let old = Asked {
        is_http10: true,
        ..ASKED
    };
    let (text, _) = written(&head(200, &[]), &old, Size::Nothing, false);
    assert!(!text.contains("connection"));
}

#[test]
fn trailers_are_those_that_are_announced_and_may_be() {
    let announced = head(200, &[("trailer", "X-A, x-b"), ("trailer", "set-cookie")]);
    let wants = Asked {
        wants_trailers: true,
        ..ASKED
    };
    let (text, begun) = written(&announced, &wants, Size::Unknown, true);
    assert!(text.contains("trailer: X-A, x-b, set-cookie\r\n"), "{text}");
    let Framing::Chunks(named) = begun.framing else {
        panic!("{:?}", begun.framing)
    };
    let mut trailers = HeaderMap::new();
    for name in ["x-a", "set-cookie", "x-c"] {
        trailers.insert(HeaderName::from_static(name), HeaderValue::from_static("1"));
    }
    let mut out = Vec::new();
    put_trailers(&mut out, &trailers, &named, false);
    assert_eq!(out, b"0\r\nx-a: 1\r\n\r\n");
    let (_, begun) = written(&announced, &ASKED, Size::Unknown, true);
    assert_eq!(begun.framing, Framing::Chunks(vec![]), "nobody wants them");
}

#[test]
fn names_are_spelt_where_that_is_kept() {
    let mut of = head(299, &[("x-odd", "1"), ("etag", "2")]);
    let names = vec![(
        HeaderName::from_static("x-odd"),
        Bytes::from_static(b"x-ODD"),
    )];
    of.extensions.insert(Spelled::new(names));
    let asked = Asked {
        spells: true,
        ..ASKED
    };
    let (text, _) = written(&of, &asked, Size::Nothing, true);
    let lines: Vec<_> = text.lines().collect();
    let expected = ["HTTP/1.1 299 <none>", "x-ODD: 1", "Etag: 2", "Date: d"];
    assert_eq!(lines[..4], expected);
}
