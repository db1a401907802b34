//! Who is at the other end of a client's connection, as far as the system and
//! TLS have said.

use crate::net::listen;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::cell::OnceCell;
use std::rc::Rc;

/// What the access log would have to escape at each request is written so that it
/// need not.
const ODD: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'\\').add(b'%');

/// The other end.
pub struct Peer {
    /// For the log: the client's address, or the user of a Unix socket's.
    text: Box<str>,
    /// Of the process that called over a Unix socket.
    credentials: Option<listen::Credentials>,
    shown: OnceCell<Shown>,
}

/// What a client's certificate has brought.
struct Shown {
    names: Rc<[Box<str>]>,
    /// For the log: `agent.example@10.0.0.7`.
    text: Box<str>,
}

impl Peer {
    #[must_use]
    pub fn new(peer: listen::Peer) -> Self {
        let (text, credentials) = match peer {
            listen::Peer::Tcp(ip) => (ip.to_canonical().to_string(), None),
            listen::Peer::Unix(Some(who)) => (format!("unix:uid={}", who.uid), Some(who)),
            listen::Peer::Unix(None) => ("unix".to_owned(), None),
        };
        Self {
            text: text.into(),
            credentials,
            shown: OnceCell::new(),
        }
    }

    /// Keeps the verified names of its certificate; none where it has shown none.
    pub fn has_shown(&self, names: Vec<String>) {
        if let Some(first) = names.first() {
            let text = format!("{}@{}", utf8_percent_encode(first, ODD), self.text).into();
            let names = names.into_iter().map(Box::from).collect();
            // There is one handshake on a connection.
            let _ = self.shown.set(Shown { names, text });
        }
    }

    /// For the log.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self.shown.get() {
            None => &self.text,
            Some(shown) => &shown.text,
        }
    }

    /// Its address alone.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.text
    }

    /// The verified names of its certificate.
    #[must_use]
    pub fn names(&self) -> Rc<[Box<str>]> {
        let shown = self.shown.get();
        shown.map(|shown| shown.names.clone()).unwrap_or_default()
    }

    /// The user and group of the process that called over a Unix socket.
    #[must_use]
    pub fn credentials(&self) -> Option<listen::Credentials> {
        self.credentials
    }
}

#[cfg(test)]
mod tests {
    use super::Peer;
    use crate::net::listen::{self, Credentials};

    #[test]
    fn it_is_called_by_its_best_name() {
        let peer = Peer::new(listen::Peer::Tcp("::ffff:10.0.0.7".parse().unwrap()));
        assert_eq!((peer.as_str(), peer.names().len()), ("10.0.0.7", 0));
        peer.has_shown(Vec::new());
        assert_eq!(peer.as_str(), "10.0.0.7");
        peer.has_shown(vec!["a.example".into(), "spiffe://example/a".into()]);
        assert_eq!(peer.as_str(), "a.example@10.0.0.7");
        assert_eq!(peer.address(), "10.0.0.7");
        assert_eq!(&*peer.names()[1], "spiffe://example/a");
        let peer = Peer::new(listen::Peer::Tcp("10.0.0.7".parse().unwrap()));
        peer.has_shown(vec!["some \"one\" é".into()]);
        assert_eq!(peer.as_str(), "some%20%22one%22%20%C3%A9@10.0.0.7");
        let process = Credentials { uid: 7, gid: 8 };
        let peer = Peer::new(listen::Peer::Unix(Some(process)));
        assert_eq!(peer.as_str(), "unix:uid=7");
        assert_eq!(peer.credentials(), Some(process));
    }
}
