//! As much of HTTP/1.1 as load and upstream need: heads, and bodies of a known length.

const MAX_HEADERS: usize = 64;

pub struct Request<'a> {
    pub head_len: usize,
    pub body_len: usize,
    pub path: &'a str,
    pub authorization: Option<&'a [u8]>,
}

pub struct Response {
    pub head_len: usize,
    pub body_len: usize,
    pub status: u16,
}

/// None where the head is not complete yet.
pub fn request(bytes: &[u8]) -> Result<Option<Request<'_>>, String> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let head_len = match parsed.parse(bytes).map_err(|error| error.to_string())? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial => return Ok(None),
    };
    let mut authorization = None;
    for header in parsed.headers.iter() {
        if header.name.eq_ignore_ascii_case("authorization") {
            if authorization.is_some() {
                return Err("two Authorization headers".into());
            }
            authorization = Some(header.value);
        }
    }
    let body_len = body_len(parsed.headers)?.unwrap_or(0);
    Ok(Some(Request {
        head_len,
        body_len,
        path: parsed.path.unwrap_or(""),
        authorization,
    }))
}

pub fn response(bytes: &[u8]) -> Result<Option<Response>, String> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut headers);
    let head_len = match parsed.parse(bytes).map_err(|error| error.to_string())? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial => return Ok(None),
    };
    let body_len = body_len(parsed.headers)?.ok_or("a response without Content-Length")?;
    Ok(Some(Response {
        head_len,
        body_len,
        status: parsed.code.unwrap_or(0),
    }))
}

fn body_len(headers: &[httparse::Header]) -> Result<Option<usize>, String> {
    for header in headers {
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err("a body of unknown length".into());
        }
        if header.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(header.value).map_err(|error| error.to_string())?;
            return text
                .trim()
                .parse()
                .map(Some)
                .map_err(|_| format!("Content-Length: {text}"));
        }
    }
    Ok(None)
}
