//! How the names of a message's fields are spelt, beside the message: it travels in
//! its extensions. Names mean the same in any case of letters (RFC 9110, 5.1).

use bytes::Bytes;
use http::header::HeaderName;
use std::sync::Arc;

/// The names as they came, in their order.
#[derive(Clone, Debug, Default)]
pub struct Spelled(Arc<Vec<(HeaderName, Bytes)>>);

impl Spelled {
    /// Of names with their spellings, in the order of the fields.
    #[must_use]
    pub fn new(names: Vec<(HeaderName, Bytes)>) -> Self {
        Self(Arc::new(names))
    }

    /// The spelling of a field of this name: the first one has the number 0.
    #[must_use]
    pub fn of(&self, name: &HeaderName, number: usize) -> Option<&[u8]> {
        let mut same = self.0.iter().filter(|(other, _)| other == name);
        same.nth(number).map(|(_, spelling)| &**spelling)
    }
}

/// Writes the names of one head, each in its spelling; those that have none begin
/// each of their words with a capital.
pub struct Speller<'a> {
    spelled: Option<&'a Spelled>,
    /// The name that was written last, and how often.
    last: Option<(HeaderName, usize)>,
}

impl<'a> Speller<'a> {
    #[must_use]
    pub fn new(spelled: Option<&'a Spelled>) -> Self {
        Self {
            spelled,
            last: None,
        }
    }

    /// Writes the name of the next field; fields of one name come one behind the other.
    pub fn put(&mut self, out: &mut Vec<u8>, name: &HeaderName) {
        let number = match &mut self.last {
            Some((last, number)) if last == name => {
                *number += 1;
                *number
            }
            last => {
                *last = Some((name.clone(), 0));
                0
            }
        };
        match self.spelled.and_then(|spelled| spelled.of(name, number)) {
            Some(spelling) => out.extend_from_slice(spelling),
            None => capitalize(out, name),
        }
    }
}

/// Writes fields, a line each.
pub struct Lines<'a> {
    pub out: &'a mut Vec<u8>,
    names: Option<Speller<'a>>,
}

impl<'a> Lines<'a> {
    /// `names`: where they are not simply in lower case.
    #[must_use]
    pub fn new(out: &'a mut Vec<u8>, names: Option<Speller<'a>>) -> Self {
        Self { out, names }
    }

    /// The beginning of a line.
    pub fn name(&mut self, name: &HeaderName) {
        match &mut self.names {
            None => self.out.extend_from_slice(name.as_str().as_bytes()),
            Some(names) => names.put(self.out, name),
        }
        self.out.extend_from_slice(b": ");
    }

    pub fn put(&mut self, name: &HeaderName, value: &[u8]) {
        self.name(name);
        self.out.extend_from_slice(value);
        self.out.extend_from_slice(b"\r\n");
    }
}

fn capitalize(out: &mut Vec<u8>, name: &HeaderName) {
    let mut begins = true;
    out.extend(name.as_str().bytes().map(|byte| {
        let first = std::mem::replace(&mut begins, byte == b'-');
        match first {
            true => byte.to_ascii_uppercase(),
            false => byte,
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::{Spelled, Speller};
    use bytes::Bytes;
    use http::header::{ETAG, HeaderName, SET_COOKIE};

    #[test]
    fn each_field_has_its_own_spelling_or_capitals() {
        let names = [
            (SET_COOKIE, "SET-cookie"),
            (ETAG, "eTag"),
            (SET_COOKIE, "Set-COOKIE"),
        ];
        let names = names.map(|(name, text)| (name, Bytes::from_static(text.as_bytes())));
        let spelled = Spelled::new(names.to_vec());
        let mut speller = Speller::new(Some(&spelled));
        let mut out = Vec::new();
        let own = HeaderName::from_static("x-sidekey--own");
        for name in [&SET_COOKIE, &SET_COOKIE, &SET_COOKIE, &ETAG, &own] {
            speller.put(&mut out, name);
            out.push(b' ');
        }
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "SET-cookie Set-COOKIE Set-Cookie eTag X-Sidekey--Own "
        );
    }
}
