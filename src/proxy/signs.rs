//! What is to be seen of an HTTP/2 connection from outside: where its frames
//! begin and end, whether a head is under way, and how much of it is noise.
//!
//! h2 looks after each frame. It does not look at the clock, and some frames
//! cost it work though they carry nothing; so they are counted here.

use crate::config::checked::Limits;
use std::cell::Cell;
use std::fmt;
use std::time::{Duration, Instant};

/// Frames between two sweeps, a tenth of a second or more, that carry nothing:
/// SETTINGS, PING, PRIORITY, WINDOW_UPDATE, CONTINUATION, empty DATA, unknown ones.
const MOST_NOISE: usize = 10_000;
/// One more for so many bytes of answers, for whoever takes much says so often.
const BYTES_FOR_ONE: usize = 1024;
/// Streams reset between two sweeps, where few are allowed at once.
const MOST_RESETS: usize = 200;

/// What a sweep looks at. HTTP/2 alone has it.
#[derive(Default)]
pub struct Signs {
    /// The preface and the first frame are here.
    greeted: Cell<bool>,
    /// Of HEADERS, or of CONTINUATION, something is missing.
    in_head: Cell<bool>,
    /// When a sweep first saw the head that is under way.
    head_since: Cell<Option<Instant>>,
    /// When a sweep first saw it without streams.
    idle_since: Cell<Option<Instant>>,
    noise: Cell<usize>,
    resets: Cell<usize>,
    sent: Cell<usize>,
}

/// What the connection does when it is looked at.
pub struct Doing<'a> {
    /// Requests are being answered.
    pub running: bool,
    /// Something written may still be on its way.
    pub unflushed: bool,
    /// GOAWAY has been sent.
    pub closing: bool,
    /// When a sweep first saw that the caller takes nothing; cleared with
    /// every byte that it takes.
    pub taking: &'a Cell<Option<Instant>>,
}

/// What is to become of the connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Stay,
    /// With GOAWAY, after the streams that are running.
    GoAway,
    End,
}

/// Too many frames that carry nothing, or too many streams reset.
#[derive(Debug)]
pub struct Flood;

impl fmt::Display for Flood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many frames that carry nothing")
    }
}

impl std::error::Error for Flood {}

impl Signs {
    /// A request has come.
    pub fn asked(&self) {
        self.idle_since.set(None);
    }

    /// So many bytes went out.
    pub fn wrote(&self, bytes: usize) {
        self.sent.set(self.sent.get().saturating_add(bytes));
    }

    /// Judges, and begins to count anew.
    pub fn sweep(&self, now: Instant, limits: &Limits, doing: &Doing<'_>) -> Verdict {
        self.noise.set(0);
        self.resets.set(0);
        self.sent.set(0);
        if self.in_head.get() || !self.greeted.get() {
            if waited(&self.head_since, now) >= limits.header_timeout {
                return Verdict::End;
            }
        } else {
            self.head_since.set(None);
        }
        let ends_after = match doing {
            Doing {
                running: true,
                unflushed: true,
                ..
            } => Some(limits.idle_timeout),
            Doing { running: true, .. } => None,
            // It has to acknowledge, which takes no longer than a head.
            Doing { closing: true, .. } => Some(limits.header_timeout),
            Doing {
                unflushed: true, ..
            } => Some(limits.idle_timeout),
            _ => None,
        };
        match ends_after {
            Some(limit) if waited(doing.taking, now) >= limit => return Verdict::End,
            Some(_) => {}
            None => doing.taking.set(None),
        }
        if doing.running || doing.closing {
            self.idle_since.set(None);
        } else if waited(&self.idle_since, now) >= limits.idle_timeout {
            return Verdict::GoAway;
        }
        Verdict::Stay
    }

    fn is_flooded(&self, most_resets: usize) -> bool {
        self.resets.get() > most_resets
            || self.noise.get() > MOST_NOISE + self.sent.get() / BYTES_FOR_ONE
    }
}

/// For how long a sweep has seen something, this time included.
fn waited(since: &Cell<Option<Instant>>, now: Instant) -> Duration {
    let first = since.get().unwrap_or(now);
    since.set(Some(first));
    now.saturating_duration_since(first)
}

const PREFACE: usize = 24;
const FRAME_HEAD: usize = 9;

// RFC 9113, 6 and 11.2.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Follows the frames that a caller sends, and notes what it sees.
pub struct Frames {
    /// Bytes to come before the next frame begins.
    left: usize,
    head: [u8; FRAME_HEAD],
    /// How many bytes of `head` are here.
    have: usize,
    most_resets: usize,
}

impl Frames {
    /// At the beginning of a connection, before the preface, with so many
    /// streams at once.
    #[must_use]
    pub fn new(streams: usize) -> Self {
        Self {
            left: PREFACE,
            head: [0; FRAME_HEAD],
            have: 0,
            // A caller may well give up all of them, and do so again.
            most_resets: MOST_RESETS.max(2 * streams),
        }
    }

    /// Follows what was read.
    ///
    /// # Errors
    /// [`Flood`], after which the connection is not worth keeping.
    pub fn follow(&mut self, mut bytes: &[u8], signs: &Signs) -> Result<(), Flood> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let skipped = self.left.min(bytes.len());
                self.left -= skipped;
                bytes = &bytes[skipped..];
            } else {
                let taken = (FRAME_HEAD - self.have).min(bytes.len());
                self.head[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
                self.have += taken;
                bytes = &bytes[taken..];
                if self.have == FRAME_HEAD {
                    self.begins(signs);
                }
            }
            if self.left == 0 && self.have == FRAME_HEAD {
                self.have = 0;
                self.ends(signs);
            }
        }
        match signs.is_flooded(self.most_resets) {
            true => Err(Flood),
            false => Ok(()),
        }
    }

    fn begins(&mut self, signs: &Signs) {
        let [l0, l1, l2, kind, flags, ..] = self.head;
        self.left = usize::from(l0) << 16 | usize::from(l1) << 8 | usize::from(l2);
        match kind {
            HEADERS => signs.in_head.set(true),
            DATA if self.left > 0 || flags & END_STREAM != 0 => {}
            RST_STREAM => signs.resets.set(signs.resets.get() + 1),
            _ => signs.noise.set(signs.noise.get() + 1),
        }
    }

    fn ends(&self, signs: &Signs) {
        let [_, _, _, kind, flags, ..] = self.head;
        signs.greeted.set(true);
        if matches!(kind, HEADERS | CONTINUATION) && flags & END_HEADERS != 0 {
            signs.in_head.set(false);
            signs.head_since.set(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Doing, Frames, MOST_NOISE, MOST_RESETS, Signs, Verdict};
    use crate::config::checked::Limits;
    use std::cell::Cell;
    use std::time::{Duration, Instant};

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    const PING: &[u8] = &[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    const HALF_HEAD: &[u8] = &[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82];
    const REST: &[u8] = &[0, 0, 1, 9, 4, 0, 0, 0, 1, 0x86];
    const RESET: &[u8] = &[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8];

    fn limits() -> Limits {
        Limits {
            replay_buffer_total: 0,
            connections: 1,
            connections_per_caller: None,
            requests: 1,
            header_bytes: 1,
            header_count: 1,
            uri_bytes: 1,
            max_body: 1,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
            http2_streams: 100,
            pool_connections_per_origin: None,
            pool_queue: 1,
            pool_idle_per_origin: 1,
            pool_idle_timeout: Duration::ZERO,
            max_connection_age: Duration::ZERO,
            http2_ping_after: Duration::ZERO,
        }
    }

    fn after(signs: &Signs, start: Instant, seconds: u64, running: bool, closing: bool) -> Verdict {
        let taking = Cell::new(closing.then_some(start));
        let doing = Doing {
            running,
            unflushed: false,
            closing,
            taking: &taking,
        };
        signs.sweep(start + Duration::from_secs(seconds), &limits(), &doing)
    }

    #[test]
    fn a_head_is_under_way_until_its_last_frame_ends_wherever_it_is_split() {
        let whole = [PREFACE, SETTINGS, HALF_HEAD, PING, REST].concat();
        for step in 1..whole.len() {
            let (signs, mut frames) = (Signs::default(), Frames::new(100));
            let mut at = 0;
            for bytes in whole.chunks(step) {
                frames.follow(bytes, &signs).unwrap();
                at += bytes.len();
                let begun = PREFACE.len() + SETTINGS.len() + 9;
                assert_eq!(signs.in_head.get(), at >= begun && at < whole.len(), "{at}");
                assert_eq!(signs.greeted.get(), at >= PREFACE.len() + SETTINGS.len());
            }
        }
    }

    #[test]
    fn silence_ends_it_where_it_has_no_streams() {
        let (signs, start) = (Signs::default(), Instant::now());
        assert_eq!(after(&signs, start, 0, false, false), Verdict::Stay);
        assert_eq!(after(&signs, start, 9, false, false), Verdict::Stay);
        assert_eq!(
            after(&signs, start, 10, false, false),
            Verdict::End,
            "no preface"
        );

        let (signs, mut frames) = (Signs::default(), Frames::new(100));
        let greeting = [PREFACE, SETTINGS].concat();
        frames.follow(&greeting, &signs).unwrap();
        assert_eq!(after(&signs, start, 0, false, false), Verdict::Stay);
        assert_eq!(after(&signs, start, 119, false, false), Verdict::Stay);
        assert_eq!(after(&signs, start, 120, false, false), Verdict::GoAway);
        assert_eq!(after(&signs, start, 500, true, false), Verdict::Stay);
        assert_eq!(after(&signs, start, 501, false, false), Verdict::Stay);
        assert_eq!(after(&signs, start, 10, false, true), Verdict::End);

        frames.follow(HALF_HEAD, &signs).unwrap();
        assert_eq!(after(&signs, start, 0, true, false), Verdict::Stay);
        assert_eq!(after(&signs, start, 10, true, false), Verdict::End);
        frames.follow(REST, &signs).unwrap();
        assert_eq!(after(&signs, start, 20, true, false), Verdict::Stay);
    }

    #[test]
    fn floods_are_noticed_and_what_is_spread_out_is_none() {
        for (frame, most) in [
            (PING, MOST_NOISE),
            (SETTINGS, MOST_NOISE),
            (RESET, MOST_RESETS),
        ] {
            let (signs, mut frames) = (Signs::default(), Frames::new(100));
            frames.follow(PREFACE, &signs).unwrap();
            frames.follow(&frame.repeat(most), &signs).unwrap();
            assert!(frames.follow(frame, &signs).is_err());
            after(&signs, Instant::now(), 0, false, false);
            frames.follow(&frame.repeat(most), &signs).unwrap();
        }
        let (signs, mut frames) = (Signs::default(), Frames::new(100));
        frames.follow(PREFACE, &signs).unwrap();
        signs.wrote(10 << 20);
        frames.follow(&PING.repeat(2 * MOST_NOISE), &signs).unwrap();
    }
}
