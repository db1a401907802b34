//! HTTP/1.1 messages, taken apart by hand so that nothing is tidied away.

pub type Headers = Vec<(String, String)>;

/// A request as a server got it.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The head's bytes, up to and with the empty line.
    pub head: Vec<u8>,
    pub method: String,
    pub target: String,
    pub headers: Headers,
    /// Without its chunk framing.
    pub body: Vec<u8>,
    /// Which connection of the server's it came on.
    pub connection: usize,
}

/// A response as a client got it.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Headers,
    pub body: Vec<u8>,
}

/// The value of the only field of that name.
fn only<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    let values = all(headers, name);
    assert!(values.len() < 2, "{name} came {} times", values.len());
    values.first().copied()
}

fn all<'a>(headers: &'a Headers, name: &str) -> Vec<&'a str> {
    let named = headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
    named.map(|(_, value)| value.as_str()).collect()
}

impl Request {
    /// Reads a head; what is not UTF-8 is replaced, `head` has the bytes.
    pub fn parse(head: &[u8], connection: usize) -> Self {
        let text = String::from_utf8_lossy(head);
        let mut lines = text.split("\r\n");
        let mut first = lines.next().unwrap_or_default().split(' ');
        Self {
            head: head.to_vec(),
            method: first.next().unwrap_or_default().into(),
            target: first.next().unwrap_or_default().into(),
            headers: parse_headers(lines),
            body: Vec::new(),
            connection,
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        only(&self.headers, name)
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        all(&self.headers, name)
    }

    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// What stands behind `Bearer `.
    pub fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    /// The form of the body, or the query of a GET, decoded.
    pub fn form(&self) -> Vec<(String, String)> {
        let query = self.target.split_once('?').map(|(_, q)| q.as_bytes());
        let bytes = match self.method.as_str() {
            "GET" => query.unwrap_or_default(),
            _ => &self.body,
        };
        url::form_urlencoded::parse(bytes).into_owned().collect()
    }
}

impl Response {
    /// Takes a whole connection's bytes as one response.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let end = head_end(bytes)?;
        let mut response = Self::parse_head(&bytes[..end])?;
        let body = &bytes[end..];
        response.body = if response.chunked() {
            unchunk(body)?
        } else {
            body.to_vec()
        };
        Some(response)
    }

    pub fn parse_head(head: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(head);
        let mut lines = text.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        Some(Self {
            status,
            headers: parse_headers(lines),
            body: Vec::new(),
        })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        only(&self.headers, name)
    }

    pub fn chunked(&self) -> bool {
        self.header("transfer-encoding") == Some("chunked")
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// The code of an answer that the proxy itself made, all of whose parts
    /// must agree.
    pub fn problem(&self) -> &str {
        let code = self.header("sidekey-error");
        let code = code.unwrap_or_else(|| panic!("no Sidekey-Error in {self:?}"));
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        let proxy_status = self.header("proxy-status").expect("Proxy-Status");
        assert!(proxy_status.starts_with("sidekey"), "{proxy_status}");
        assert_eq!(self.json()["status"], self.status, "{}", self.text());
        code
    }
}

fn parse_headers<'a>(lines: impl Iterator<Item = &'a str>) -> Headers {
    lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

/// Where the body begins.
pub fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .map(|p| p + 4)
}

/// The content of a complete chunked body.
pub fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|w| w == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..line]).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        rest = &rest[line + 2..];
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}
