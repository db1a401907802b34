//! The lenient readings that request smuggling lives on: each has been seen in
//! some server or other. What is plain reads the same in all of them.

use super::strict::Message;

/// One server's way to read requests.
#[derive(Clone, Copy)]
pub struct Reading {
    /// Ends lines besides CR LF.
    ends: &'static [u8],
    /// What a field's name is compared by.
    name: fn(&[u8]) -> String,
    /// Whether a value of `Transfer-Encoding` means chunks.
    chunked: fn(&str) -> bool,
    /// Of both framings the length counts.
    length_wins: bool,
    /// Of several lengths the last counts.
    last_length: bool,
    /// A line that begins with white space is a field of its own.
    unfolds: bool,
    /// What a number of this radix is.
    number: fn(&str, u32) -> Option<u64>,
}

const PLAIN: Reading = Reading {
    ends: b"\n",
    name: trimmed,
    chunked: |value| value.trim().eq_ignore_ascii_case("chunked"),
    length_wins: false,
    last_length: false,
    unfolds: false,
    number: leading_digits,
};

pub const ALL: &[Reading] = &[
    PLAIN,
    Reading {
        length_wins: true,
        ..PLAIN
    },
    Reading {
        last_length: true,
        unfolds: true,
        ..PLAIN
    },
    Reading {
        chunked: holds_chunked,
        name: letters,
        ..PLAIN
    },
    Reading {
        chunked: holds_chunked,
        length_wins: true,
        unfolds: true,
        ..PLAIN
    },
    Reading {
        chunked: last_is_chunked,
        name: up_to_colon,
        ..PLAIN
    },
    Reading {
        ends: b"\r\n",
        unfolds: true,
        ..PLAIN
    },
    Reading {
        ends: b"",
        name: letters,
        ..PLAIN
    },
    Reading {
        number: wrapping,
        name: dashed,
        ..PLAIN
    },
];

fn trimmed(name: &[u8]) -> String {
    String::from_utf8_lossy(name.trim_ascii()).to_lowercase()
}

/// Up to the first white space or colon.
fn up_to_colon(name: &[u8]) -> String {
    trimmed(name)
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// Only what may stand in a name.
fn letters(name: &[u8]) -> String {
    let kept = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
    trimmed(name)
        .replace(' ', "-")
        .chars()
        .filter(kept)
        .collect()
}

/// As CGI has it: all that is no letter is the same.
fn dashed(name: &[u8]) -> String {
    trimmed(name).replace(['_', ' '], "-")
}

fn holds_chunked(value: &str) -> bool {
    value.to_lowercase().contains("chunk")
}

fn last_is_chunked(value: &str) -> bool {
    let last = value.rsplit(',').next().unwrap_or_default();
    last.trim_matches(|c: char| !c.is_ascii_alphanumeric())
        .eq_ignore_ascii_case("chunked")
}

/// As C's `strtol` reads it: white space, a sign, digits, and the rest is no matter.
fn leading_digits(text: &str, radix: u32) -> Option<u64> {
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\x0b');
    let text = text.trim_start_matches(['+', '"', ',']);
    let end = text
        .find(|c: char| !c.is_digit(radix))
        .unwrap_or(text.len());
    match text[..end].trim_start_matches('0') {
        "" => Some(0),
        digits => u64::from_str_radix(digits, radix).ok(),
    }
}

/// Without a look at overflow.
fn wrapping(text: &str, radix: u32) -> Option<u64> {
    let text = text.trim().trim_start_matches("0x");
    let digits = text.chars().map_while(|c| c.to_digit(radix));
    Some(digits.fold(0_u64, |sum, digit| {
        sum.wrapping_mul(radix.into()).wrapping_add(digit.into())
    }))
}

impl Reading {
    /// Every request that is whole, or whose end is the connection's.
    pub fn read(&self, mut bytes: &[u8]) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some((message, rest)) = self.first(bytes) {
            messages.push(message);
            bytes = rest;
        }
        messages
    }

    fn line<'b>(&self, bytes: &'b [u8]) -> Option<(&'b [u8], &'b [u8])> {
        let crlf = bytes
            .windows(2)
            .position(|w| w == b"\r\n")
            .map(|at| (at, 2));
        let other = bytes
            .iter()
            .position(|b| self.ends.contains(b))
            .map(|at| (at, 1));
        let (at, length) = crlf.into_iter().chain(other).min_by_key(|(at, _)| *at)?;
        Some((&bytes[..at], &bytes[at + length..]))
    }

    fn first<'b>(&self, mut rest: &'b [u8]) -> Option<(Message, &'b [u8])> {
        let mut line;
        loop {
            (line, rest) = self.line(rest)?;
            if !line.trim_ascii().is_empty() {
                break;
            }
        }
        let mut message = request_line(line)?;
        if message.target.is_empty() {
            return None;
        }
        // HTTP/0.9 has no fields.
        if line
            .split(u8::is_ascii_whitespace)
            .filter(|w| !w.is_empty())
            .count()
            > 2
        {
            rest = self.fields(rest, &mut message)?;
        }
        rest = self.body(rest, &mut message)?;
        Some((message, rest))
    }

    fn fields<'b>(&self, mut rest: &'b [u8], message: &mut Message) -> Option<&'b [u8]> {
        loop {
            let (line, after) = self.line(rest)?;
            rest = after;
            if line.is_empty() {
                return Some(rest);
            }
            let folded = line[0] == b' ' || line[0] == b'\t';
            if let (true, false, Some((_, value))) =
                (folded, self.unfolds, message.fields.last_mut())
            {
                value.extend_from_slice(line);
                continue;
            }
            let colon = line.iter().position(|b| *b == b':').unwrap_or(line.len());
            let value = line.get(colon + 1..).unwrap_or_default();
            message
                .fields
                .push(((self.name)(&line[..colon]), value.trim_ascii().to_vec()));
        }
    }

    fn body<'b>(&self, rest: &'b [u8], message: &mut Message) -> Option<&'b [u8]> {
        let texts = |name| -> Vec<String> {
            let values = message.all(name).into_iter();
            values
                .map(|value| String::from_utf8_lossy(value).into_owned())
                .collect()
        };
        let chunked = texts("transfer-encoding")
            .iter()
            .any(|value| (self.chunked)(value));
        let lengths = texts("content-length");
        let length = match self.last_length {
            true => lengths.last(),
            false => lengths.first(),
        };
        if chunked && !(self.length_wins && length.is_some()) {
            return self.chunks(rest, message);
        }
        let length = length.map_or(Some(0), |text| (self.number)(text, 10));
        let length = usize::try_from(length.unwrap_or(0)).ok()?;
        message.body = rest.get(..length)?.to_vec();
        Some(&rest[length..])
    }

    fn chunks<'b>(&self, mut rest: &'b [u8], message: &mut Message) -> Option<&'b [u8]> {
        loop {
            let (line, after) = self.line(rest)?;
            let size = (self.number)(&String::from_utf8_lossy(line), 16)?;
            let size = usize::try_from(size).ok()?;
            if size == 0 {
                rest = after;
                break;
            }
            message.body.extend_from_slice(after.get(..size)?);
            let end = &after[size..];
            rest = end.strip_prefix(b"\r\n").or_else(|| end.get(1..))?;
        }
        // Trailers, as if they were fields.
        self.fields(rest, message)
    }
}

fn request_line(line: &[u8]) -> Option<Message> {
    let text = String::from_utf8_lossy(line);
    let separator = |c: char| c.is_ascii_whitespace() || c == '\x0b' || c == '\0';
    let mut words = text.split(separator).filter(|word| !word.is_empty());
    Some(Message {
        method: words.next()?.to_owned(),
        target: words.next().unwrap_or_default().to_owned(),
        fields: Vec::new(),
        body: Vec::new(),
    })
}
