//! A streamed answer that ends when the token it was asked for with is no
//! longer good: an event stream between two events, anything else by a cut.

use super::lease::{Lease, Standing};
use super::received::{ReceiveError, Received};
use super::upstream::Return;
use crate::telemetry::requests::StreamEnd;
use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http_body::{Frame, SizeHint};
use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// An upstream's answer under a lease.
pub struct Leased {
    incoming: Received,
    back: Return,
    lease: Rc<Lease>,
    kind: Kind,
    is_over: bool,
}

enum Kind {
    Events(Events),
    /// An event stream whose events we can't see.
    Coded,
    Other,
}

/// Why a caller gets no more of an answer.
#[derive(Debug)]
pub enum BodyError {
    /// The upstream's side failed.
    Upstream(ReceiveError),
    /// The token is no longer good: on HTTP/2, the stream is reset with this.
    Cut(h2::Error),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream(error) => write!(f, "the upstream's body failed: {error}"),
            Self::Cut(_) => f.write_str("the token of this answer is no longer good"),
        }
    }
}

impl std::error::Error for BodyError {
    /// hyper resets a stream of HTTP/2 with the reason that it finds here.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Upstream(error) => Some(error),
            Self::Cut(reset) => Some(reset),
        }
    }
}

impl Leased {
    #[must_use]
    pub fn new(incoming: Received, back: Return, lease: Rc<Lease>, headers: &HeaderMap) -> Self {
        Self {
            incoming,
            back,
            lease,
            kind: Kind::of(headers),
            is_over: false,
        }
    }

    pub fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let standing = self.lease.standing(cx);
        let is_between = matches!(&self.kind, Kind::Events(events) if events.is_between());
        match standing {
            Standing::Ending(why) if is_between => return self.end(why),
            Standing::Overdue(why) => return self.end(why),
            Standing::Ending(_) | Standing::Good => {}
        }
        let Some(frame) = ready!(self.back.poll_frame(&mut self.incoming, cx)) else {
            self.back.ended();
            return Poll::Ready(None);
        };
        let frame = frame.map_err(BodyError::Upstream)?;
        if self.incoming.is_end_stream() {
            self.back.ended();
        }
        Poll::Ready(Some(Ok(self.passed(frame, standing))))
    }

    /// Follows the events of a frame; of an ending stream it keeps no more than
    /// the event under way.
    fn passed(&mut self, frame: Frame<Bytes>, standing: Standing) -> Frame<Bytes> {
        let (Kind::Events(events), Some(data)) = (&mut self.kind, frame.data_ref()) else {
            return frame;
        };
        if let Standing::Ending(why) = standing
            && let Some(end) = events.finish(data)
        {
            self.lease.close(why);
            self.is_over = true;
            return Frame::data(data.slice(..end));
        }
        events.pass(data);
        frame
    }

    fn end(&mut self, why: StreamEnd) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.lease.close(why);
        self.is_over = true;
        match self.kind {
            Kind::Events(_) | Kind::Coded => Poll::Ready(None),
            Kind::Other => Poll::Ready(Some(Err(BodyError::Cut(h2::Reason::CANCEL.into())))),
        }
    }

    #[must_use]
    pub fn is_end_stream(&self) -> bool {
        self.is_over || self.incoming.is_end_stream()
    }

    #[must_use]
    pub fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Kind {
    fn of(headers: &HeaderMap) -> Self {
        let kind = headers.get(CONTENT_TYPE).map(|value| value.as_bytes());
        let kind = kind.and_then(|kind| kind.split(|b| *b == b';').next());
        let is_events =
            kind.is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream"));
        match (is_events, headers.contains_key(CONTENT_ENCODING)) {
            (true, false) => Self::Events(Events::default()),
            (true, true) => Self::Coded,
            (false, _) => Self::Other,
        }
    }
}

/// Where the events of a `text/event-stream` end: at an empty line, whose end is
/// CR LF, LF or CR (HTML, 9.2.5).
#[derive(Debug)]
pub struct Events {
    /// Nothing of a line has come.
    line_is_empty: bool,
    after_cr: bool,
    between: bool,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            line_is_empty: true,
            after_cr: false,
            between: true,
        }
    }
}

impl Events {
    /// True between two events.
    #[must_use]
    pub fn is_between(&self) -> bool {
        self.between
    }

    /// Follows bytes that pass.
    pub fn pass(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.take(*byte));
    }

    /// Where the event under way ends in these bytes; follows them when it does
    /// not.
    pub fn finish(&mut self, bytes: &[u8]) -> Option<usize> {
        let end = bytes.iter().position(|byte| {
            self.take(*byte);
            self.between
        })?;
        // The second half of a CR LF belongs to it.
        let is_pair = self.after_cr && bytes.get(end + 1) == Some(&b'\n');
        Some(end + 1 + usize::from(is_pair))
    }

    fn take(&mut self, byte: u8) {
        let is_second_half = std::mem::take(&mut self.after_cr) && byte == b'\n';
        if is_second_half {
            return;
        }
        let ends_line = matches!(byte, b'\n' | b'\r');
        self.after_cr = byte == b'\r';
        self.between = ends_line && self.line_is_empty;
        self.line_is_empty = ends_line;
    }
}

#[cfg(test)]
mod tests {
    use super::{Events, Kind};
    use http::HeaderMap;
    use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};

    #[test]
    fn events_end_at_an_empty_line() {
        for (bytes, end) in [
            ("a\n\nb", 3),
            ("a\r\n\r\nb", 5),
            ("a\r\rb", 3),
            (": x\ndata: y\n\n", 13),
            ("a\n\r\nb", 4),
        ] {
            let mut events = Events::default();
            events.pass(b"id: 1\ndata: ");
            assert_eq!(events.finish(bytes.as_bytes()), Some(end), "{bytes:?}");
        }
        let mut events = Events::default();
        events.pass(b"data: x");
        assert_eq!(events.finish(b"y\r\nz\n"), None);
        assert!(!events.is_between());
    }

    #[test]
    fn it_is_the_same_however_the_bytes_come() {
        let mut events = Events::default();
        assert!(events.is_between(), "before the first");
        let mut between = Vec::new();
        for byte in b"a\r\n\r\n\r\nb\n\n" {
            events.pass(&[*byte]);
            between.push(events.is_between());
        }
        let t = true;
        let f = false;
        assert_eq!(between, [f, f, f, t, t, t, t, f, f, t]);
    }

    #[test]
    fn events_that_are_coded_are_not_looked_for() {
        let of = |kind: &'static str, coding: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            if let Some(coding) = coding {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
            }
            Kind::of(&headers)
        };
        assert!(matches!(
            of("Text/Event-Stream; charset=utf-8", None),
            Kind::Events(_)
        ));
        assert!(matches!(of("text/event-stream", Some("gzip")), Kind::Coded));
        assert!(matches!(of("application/json", None), Kind::Other));
    }
}
