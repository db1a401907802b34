use super::{Fault, Framing, Head, Most, parse};
use crate::proxy::http1::framing::may_be_whole;
use crate::proxy::http1::spelled::Spelled;
use http::header::{CONTENT_LENGTH, HOST};
use http::{Method, Version};
use proptest::collection::vec;
use proptest::prelude::{any, proptest};

const MOST: Most = Most {
    bytes: 8192,
    fields: 50,
};

fn parsed(bytes: &[u8]) -> Result<Option<Head>, Fault> {
    let mut head = Head::new();
    let length = parse(bytes, MOST, false, &mut head)?;
    Ok(length.map(|_| head))
}

fn whole(lines: &str) -> Result<Head, Fault> {
    let head = format!("POST /a HTTP/1.1\r\nHost: b\r\n{lines}\r\nbehind");
    parsed(head.as_bytes()).map(|head| head.expect("a whole head"))
}

#[test]
fn a_head_is_what_it_says() {
    let bytes = b"\r\nGET /a?b HTTP/1.1\r\nHost: c\r\nX-A: 1\r\nx-a:\t2 \r\n\r\nGET";
    let mut head = Head::new();
    let length = parse(bytes, MOST, false, &mut head).unwrap();
    assert_eq!(length, Some(bytes.len() - 3));
    assert_eq!(head.parts.method, Method::GET);
    assert_eq!(head.parts.uri, "/a?b");
    assert_eq!(head.parts.version, Version::HTTP_11);
    assert_eq!(head.parts.headers[HOST], "c");
    let both: Vec<_> = head.parts.headers.get_all("x-a").iter().collect();
    assert_eq!(both, ["1", "2"]);
    assert_eq!(head.framing, Framing::Nothing);
    assert!(head.asked.keep_alive && !head.asked.is_http10);
}

#[test]
fn bodies_are_framed_in_one_way() {
    for (lines, framing) in [
        ("", Framing::Nothing),
        ("Content-Length: 0\r\n", Framing::Nothing),
        ("Content-Length: 010\r\n", Framing::Length(10)),
        (
            "Content-Length: 2\r\nContent-Length: 2\r\n",
            Framing::Length(2),
        ),
        ("Transfer-Encoding: ChunKed\r\n", Framing::Chunks),
        (
            "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
            Framing::Chunks,
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
            Framing::Chunks,
        ),
    ] {
        let head = whole(lines).unwrap();
        assert_eq!(head.framing, framing, "{lines:?}");
        let lengths = head.parts.headers.get_all(CONTENT_LENGTH).iter().count();
        let both = lines.contains("Transfer") && lines.contains("Length");
        assert_eq!(lengths == 0, framing == Framing::Chunks || lines.is_empty());
        assert_eq!(head.asked.keep_alive, !both, "{lines:?}");
    }
    for (lines, fault) in [
        ("Content-Length: +1\r\n", Fault::Malformed),
        ("Content-Length:\r\n", Fault::Malformed),
        ("Content-Length: 1, 1\r\n", Fault::Malformed),
        (
            "Content-Length: 1\r\nContent-Length: 2\r\n",
            Fault::Malformed,
        ),
        ("Content-Length: 18446744073709551616\r\n", Fault::Malformed),
        ("Content-Length: 18446744073709551615\r\n", Fault::TooLarge),
        ("Transfer-Encoding: gzip\r\n", Fault::Malformed),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n",
            Fault::Malformed,
        ),
        (
            "Transfer-Encoding:\r\nContent-Length: 5\r\n",
            Fault::Malformed,
        ),
        ("X-A: b\r\n c\r\n", Fault::Malformed),
        ("X-A : b\r\n", Fault::Malformed),
        ("X-A: b\rc\r\n", Fault::Malformed),
        ("X-A: \0\r\n", Fault::Malformed),
        (": b\r\n", Fault::Malformed),
    ] {
        assert_eq!(whole(lines).unwrap_err(), fault, "{lines:?}");
    }
    let old = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(parsed(old).unwrap_err(), Fault::Malformed);
}

#[test]
fn connections_are_kept_where_both_want_it() {
    for (version, line, keeps) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: keep-alive, Close\r\n", false),
        (
            "1.1",
            "Connection: close\r\nConnection: keep-alive\r\n",
            false,
        ),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        (
            "1.0",
            "Connection: keep-alive\r\nConnection: close\r\n",
            false,
        ),
    ] {
        let head = format!("GET / HTTP/{version}\r\n{line}\r\n");
        let head = parsed(head.as_bytes()).unwrap().unwrap();
        assert_eq!(head.asked.keep_alive, keeps, "{version} {line:?}");
    }
}

#[test]
fn only_who_waits_with_a_body_is_told_to_go_on() {
    let expects = |lines: &str| whole(lines).unwrap().asked.expects;
    assert!(expects("Expect: 100-Continue\r\nContent-Length: 1\r\n"));
    assert!(!expects("Expect: 100-continue\r\n"));
    assert!(!expects("Expect: 100-continue, x\r\nContent-Length: 1\r\n"));
}

#[test]
fn what_is_too_large_is_told_apart() {
    let many = "X: y\r\n".repeat(MOST.fields);
    assert_eq!(whole(&many).unwrap_err(), Fault::TooLarge);
    assert!(whole(&many[6..]).is_ok());
    let long = format!("X: {}\r\n", "y".repeat(MOST.bytes));
    assert_eq!(whole(&long).unwrap_err(), Fault::TooLarge);
}

#[test]
fn spellings_are_noted_where_somebody_asks() {
    let bytes = b"GET / HTTP/1.1\r\nhOST: a\r\n\r\n";
    let mut head = Head::new();
    parse(bytes, MOST, true, &mut head).unwrap().unwrap();
    let spelled = head.parts.extensions.get::<Spelled>().unwrap();
    assert_eq!(spelled.of(&HOST, 0), Some(&b"hOST"[..]));
    assert!(whole("").unwrap().parts.extensions.is_empty());
}

#[test]
fn nothing_is_left_of_the_head_before() {
    let first = b"POST /a HTTP/1.0\r\nA: secret\r\nContent-Length: 3\r\n\r\n";
    let mut head = Head::new();
    parse(first, MOST, true, &mut head).unwrap().unwrap();
    head.forget();
    assert!(!format!("{head:?}").contains("secret"));
    let second = b"GET /b HTTP/1.1\r\nHost: b\r\n\r\n";
    parse(second, MOST, false, &mut head).unwrap().unwrap();
    let alone = parsed(second).unwrap().unwrap();
    assert_eq!(format!("{head:?}"), format!("{alone:?}"));
}

proptest! {
    /// A head is whole where its empty line is, and not before, and what says
    /// that it might be never misses that.
    #[test]
    fn heads_end_where_they_end(
        fields in vec(("[a-z]{1,8}", "[ -~]{0,12}"), 0..6),
        line_end in proptest::sample::select(vec!["\r\n", "\n"]),
        seen in any::<proptest::sample::Index>(),
    ) {
        let mut text = format!("GET /a HTTP/1.1{line_end}");
        for (name, value) in fields {
            text.push_str(&format!("x{name}: {value}{line_end}"));
        }
        text.push_str(line_end);
        let bytes = text.as_bytes();
        for length in 0..bytes.len() {
            assert!(parsed(&bytes[..length]).unwrap().is_none(), "{length}");
        }
        let length = parse(bytes, MOST, false, &mut Head::new()).unwrap();
        assert_eq!(length, Some(bytes.len()));
        assert!(may_be_whole(bytes, seen.index(bytes.len())));
    }

    #[test]
    fn noise_never_panics(bytes in vec(any::<u8>(), 0..200)) {
        let _ = parsed(&bytes);
        let _ = parsed(&[&b"GET / HTTP/1.1\r\n"[..], &bytes].concat());
    }
}
