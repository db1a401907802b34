//! That attaching a token allocates nothing.

use super::attach::Outbound;
use super::hop::Noted;
use super::route::{WorkerRoute, tests};
use super::sample;
use crate::base::counting::allocations;
use crate::base::secret::Secret;
use crate::config::checked::PathMatch;
use crate::token::{Announced, Attach, Granted, Published, Shared, TokenPlace, Way, slot};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HOST, USER_AGENT};
use http::{HeaderName, HeaderValue, Request, Uri, request};
use std::rc::Rc;
use std::sync::Arc;

struct Sample;

impl Way for Sample {
    fn attach(&self, _: &Secret) -> Result<Attach, String> {
        Ok(attach())
    }
}

fn attach() -> Attach {
    let token = HeaderValue::from_str(&format!("Bearer {}", "t".repeat(900))).unwrap();
    let tenant = HeaderName::from_bytes(b"x-tenant-of-the-integration").unwrap();
    Attach {
        token: TokenPlace::Header {
            name: AUTHORIZATION,
            value: token,
        },
        headers: vec![(tenant, HeaderValue::from_str("dev").unwrap())],
        query: Vec::new(),
    }
}

fn route(shared: &Shared) -> WorkerRoute {
    let route = sample::route(
        "crm",
        tests::matcher(None, PathMatch::Prefix(String::new())),
    );
    WorkerRoute {
        credential: shared.reader(),
        ..Rc::into_inner(route).unwrap()
    }
}

/// A caller's request as it comes, with a header of our name in it.
fn head() -> request::Parts {
    // Part of a buffer that others have parts of, too.
    let target = Bytes::from_owner(b"/v1/reports?year=2026".to_vec());
    let target = Uri::from_maybe_shared(target).unwrap();
    let request = Request::get(target)
        .header(HOST, "127.0.0.1:7480")
        .header(USER_AGENT, "curl/8")
        .header(ACCEPT, "*/*")
        .header(AUTHORIZATION, "Bearer of the caller");
    request.body(()).unwrap().into_parts().0
}

#[test]
fn attaching_token_and_request_headers_allocates_nothing() {
    let (publisher, shared) = slot();
    publisher.publish(Announced::Valid(Granted {
        generation: 1,
        expiry: None,
        void_before: 0,
        token: Secret::new("x".to_owned()),
        way: Arc::new(Sample),
    }));
    let route = route(&shared);
    let mut written = Vec::with_capacity(4096);
    let mut counts = Vec::new();
    for _ in 0..3 {
        let mut head = head();
        let noted = Noted::in_fields(&head.headers);
        let outbound = Outbound::prepare(&mut head, noted, &route).unwrap();
        written.clear();
        let (count, content) = allocations(|| {
            let Published::Valid(credential) = route.credential.get() else {
                panic!("not published")
            };
            outbound.write(&credential.attach, None, None, &mut written)
        });
        assert!(content.unwrap().is_none());
        let token = format!("\r\nauthorization: Bearer {}\r\n", "t".repeat(900));
        let head = String::from_utf8(written.clone()).unwrap();
        assert!(
            head.starts_with("GET /v1/reports?year=2026 HTTP/1.1\r\n"),
            "{head}"
        );
        assert!(
            head.contains(&token) && head.ends_with("\r\n\r\n"),
            "{head}"
        );
        assert!(
            head.contains("\r\nx-tenant-of-the-integration: dev\r\n"),
            "{head}"
        );
        assert_eq!(head.matches("authorization").count(), 1, "{head}");
        counts.push(count);
    }
    // The first look at a new token makes this worker's copy of it.
    assert_eq!(counts[1..], [0, 0], "{counts:?}");
}
