//! What heads, and what follows them, have alike on both sides.

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    HOST, HeaderName, HeaderValue, InvalidHeaderValue, MAX_FORWARDS, SET_COOKIE, TE, TRAILER,
    TRANSFER_ENCODING,
};

/// A number of digits and nothing else (RFC 9110, 8.6).
#[must_use]
pub fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| byte - b'0')?;
        sum.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// A field's value, not looked at byte by byte once more where it is ASCII.
///
/// # Errors
/// Where it can't be one.
///
/// # Safety
/// It is one that httparse has found in a head.
pub unsafe fn value(found: Bytes) -> Result<HeaderValue, InvalidHeaderValue> {
    match found.is_ascii() {
        // SAFETY: ASCII is UTF-8, and of it httparse lets pass what a value may hold:
        // what can be seen, spaces and tabs.
        true => Ok(unsafe { HeaderValue::from_maybe_shared_unchecked(found) }),
        false => HeaderValue::from_maybe_shared(found),
    }
}

/// True when what is behind `seen` ends a head, or might: so one that comes byte by
/// byte costs no more than its length.
#[must_use]
pub fn may_be_whole(bytes: &[u8], seen: usize) -> bool {
    let from = seen.saturating_sub(3);
    memchr::memchr_iter(b'\n', &bytes[from..]).any(|at| {
        let behind = &bytes[from + at + 1..];
        behind.starts_with(b"\n") || behind.starts_with(b"\r\n")
    })
}

/// True for what a trailer may say (RFC 9110, 6.5.1): nothing that frames or routes
/// a message, says who sends it, or how its content is to be read.
#[must_use]
pub fn may_trail(name: &HeaderName) -> bool {
    !matches!(
        *name,
        AUTHORIZATION
            | CACHE_CONTROL
            | CONTENT_ENCODING
            | CONTENT_LENGTH
            | CONTENT_RANGE
            | CONTENT_TYPE
            | HOST
            | MAX_FORWARDS
            | SET_COOKIE
            | TRAILER
            | TRANSFER_ENCODING
            | TE
    )
}

#[cfg(test)]
mod tests {
    use super::value;
    use bytes::Bytes;
    use http::HeaderValue;
    use httparse::{EMPTY_HEADER, Request, Response};

    /// Where the parser looks at one byte, and at eight and at 32 at once.
    #[test]
    fn no_value_passes_the_parser_that_is_none() {
        for (byte, before) in (0..=u8::MAX).flat_map(|byte| [0, 5, 20, 70].map(|b| (byte, b))) {
            let text = [vec![b'a'; before], vec![byte], vec![b'b'; 40]].concat();
            let field = [b"X: ", &*text, b"\r\n\r\n"].concat();
            let request = [b"GET / HTTP/1.1\r\n", &*field].concat();
            let mut fields = [EMPTY_HEADER; 4];
            let mut parsed = Request::new(&mut fields);
            let is_request = parsed.parse(&request).is_ok();
            let found = parsed.headers.iter().map(|field| field.value.to_vec());
            let of_request: Vec<Vec<u8>> = found.filter(|_| is_request).collect();
            let response = [b"HTTP/1.1 200 OK\r\n", &*field].concat();
            let mut fields = [EMPTY_HEADER; 4];
            let mut parsed = Response::new(&mut fields);
            let is_response = parsed.parse(&response).is_ok();
            assert_eq!(is_request, is_response, "{byte}");
            let found = parsed.headers.iter().map(|field| field.value.to_vec());
            let of_response = found.filter(|_| is_response);
            let mut count = 0;
            for found in of_request.into_iter().chain(of_response) {
                let checked = HeaderValue::from_bytes(&found).unwrap();
                // SAFETY: the parser has found it.
                let unchecked = unsafe { value(Bytes::from(found)) };
                assert_eq!(unchecked.unwrap(), checked);
                count += 1;
            }
            let may_be = HeaderValue::from_bytes(&text).is_ok();
            assert!(may_be || byte == b'\n' || count == 0, "{byte}");
        }
    }
}
