//! One reading of HTTP/1.1 requests that forgives nothing (RFC 9112): what
//! passes here, every server reads in the same way.

/// A whole request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub method: String,
    pub target: String,
    /// Trailers too.
    pub fields: Vec<(String, Vec<u8>)>,
    /// Without its chunks' framing.
    pub body: Vec<u8>,
}

impl Message {
    pub fn all(&self, name: &str) -> Vec<&[u8]> {
        let named = self.fields.iter();
        let named = named.filter(|(n, _)| n.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_slice()).collect()
    }
}

/// Why bytes are not one plain request.
pub type Fault = String;

/// Reads the first request: with its length, or `None` when more is to come.
pub fn read(bytes: &[u8]) -> Result<Option<(Message, usize)>, Fault> {
    let Some(end) = find(bytes, b"\r\n\r\n") else {
        return Ok(None);
    };
    let mut message = head(&bytes[..end])?;
    let rest = &bytes[end + 4..];
    let Some(length) = body(&mut message, rest)? else {
        return Ok(None);
    };
    Ok(Some((message, end + 4 + length)))
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|w| w == what)
}

fn head(bytes: &[u8]) -> Result<Message, Fault> {
    let mut lines = lines(bytes)?.into_iter();
    let (method, target) = request_line(lines.next().unwrap_or_default())?;
    let fields = lines.map(field).collect::<Result<_, _>>()?;
    let message = Message {
        method,
        target,
        fields,
        body: Vec::new(),
    };
    if message.all("host").len() != 1 {
        return Err(format!("not one Host: {message:?}"));
    }
    Ok(message)
}

/// Lines end with CR LF, and neither stands anywhere else.
fn lines(bytes: &[u8]) -> Result<Vec<&[u8]>, Fault> {
    let mut lines = Vec::new();
    let mut rest = bytes;
    while let Some(end) = find(rest, b"\r\n") {
        lines.push(&rest[..end]);
        rest = &rest[end + 2..];
    }
    lines.push(rest);
    match lines
        .iter()
        .find(|l| l.contains(&b'\r') || l.contains(&b'\n'))
    {
        Some(line) => Err(fault("a bare CR or LF", line)),
        None => Ok(lines),
    }
}

fn fault(what: &str, bytes: &[u8]) -> Fault {
    format!("{what}: {:?}", String::from_utf8_lossy(bytes))
}

fn is_token(bytes: &[u8]) -> bool {
    let fits = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    !bytes.is_empty() && bytes.iter().all(fits)
}

fn request_line(line: &[u8]) -> Result<(String, String), Fault> {
    let words: Vec<&[u8]> = line.split(|b| *b == b' ').collect();
    let [method, target, b"HTTP/1.1"] = words[..] else {
        return Err(fault("not a request line", line));
    };
    let visible = target.iter().all(|b| b.is_ascii_graphic() || *b >= 0x80);
    if !is_token(method) || !visible || !target.starts_with(b"/") || target.contains(&b'#') {
        return Err(fault("not a request line", line));
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((text(method), text(target)))
}

fn field(line: &[u8]) -> Result<(String, Vec<u8>), Fault> {
    let Some(colon) = line.iter().position(|b| *b == b':') else {
        return Err(fault("a field without a colon", line));
    };
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if !is_token(name) {
        return Err(fault("not a field name", line));
    }
    if value.iter().any(|b| b.is_ascii_control() && *b != b'\t') {
        return Err(fault("a control character in a value", line));
    }
    let name = String::from_utf8_lossy(name).into_owned();
    Ok((name, value.trim_ascii().to_vec()))
}

/// Reads the body; gives its length with its framing.
fn body(message: &mut Message, bytes: &[u8]) -> Result<Option<usize>, Fault> {
    let codings = message.all("transfer-encoding");
    match (codings.as_slice(), message.all("content-length").as_slice()) {
        ([], []) => Ok(Some(0)),
        ([], [length]) => {
            let length = number(length, 10)?;
            let Some(body) = bytes.get(..length) else {
                return Ok(None);
            };
            message.body = body.to_vec();
            Ok(Some(length))
        }
        ([b"chunked"], []) => chunks(message, bytes),
        _ => Err(format!("two framings, or an unknown one: {message:?}")),
    }
}

fn number(text: &[u8], radix: u32) -> Result<usize, Fault> {
    let text = std::str::from_utf8(text).unwrap_or_default();
    let plain = text.bytes().all(|b| b.is_ascii_hexdigit());
    match usize::from_str_radix(text, radix) {
        Ok(number) if plain => Ok(number),
        _ => Err(format!("not a length: {text:?}")),
    }
}

fn chunks(message: &mut Message, bytes: &[u8]) -> Result<Option<usize>, Fault> {
    let mut at = 0;
    loop {
        let rest = &bytes[at..];
        let Some(end) = find(rest, b"\r\n") else {
            return Ok(None);
        };
        let size = number(&rest[..end], 16)?;
        if size == 0 {
            let trailers = trailers(message, &rest[end..])?;
            return Ok(trailers.map(|length| at + end + length));
        }
        let Some(chunk) = rest[end + 2..].get(..size + 2) else {
            return Ok(None);
        };
        if !chunk.ends_with(b"\r\n") {
            return Err(fault("a chunk of another length", chunk));
        }
        message.body.extend_from_slice(&chunk[..size]);
        at += end + 2 + size + 2;
    }
}

/// From the line end of the last chunk's size; gives their length with it.
fn trailers(message: &mut Message, bytes: &[u8]) -> Result<Option<usize>, Fault> {
    let Some(end) = find(bytes, b"\r\n\r\n") else {
        return Ok(None);
    };
    for line in lines(&bytes[..end])?.into_iter().skip(1) {
        let (name, value) = field(line)?;
        let name = name.to_ascii_lowercase();
        if [
            "host",
            "content-length",
            "transfer-encoding",
            "authorization",
        ]
        .contains(&&*name)
        {
            return Err(fault(
                "a trailer that frames, addresses or authorizes",
                line,
            ));
        }
        message.fields.push((name, value));
    }
    Ok(Some(end + 4))
}
