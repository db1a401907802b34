//! WebSocket frames as they pass (RFC 6455, 5.2): where each ends is all that
//! matters here, and the few that we send ourselves.

use crate::base::crypto::random_bytes;
use zeroize::Zeroizing;

const FINAL: u8 = 0x80;
const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const MASKED: u8 = 0x80;

/// Follows one direction of a WebSocket; holds a head at most.
#[derive(Debug, Default)]
pub struct Frames {
    /// The first bytes of a frame, as many as are here.
    head: [u8; 10],
    length: u8,
    /// Bytes of the frame that are still to come, once its head is here.
    left: u64,
    closed: bool,
}

impl Frames {
    /// True between two frames.
    #[must_use]
    pub fn is_between(&self) -> bool {
        self.length == 0 && self.left == 0
    }

    /// True once a Close frame has begun to pass: nothing may follow it.
    #[must_use]
    pub fn has_closed(&self) -> bool {
        self.closed
    }

    /// Follows bytes that pass.
    pub fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = &bytes[self.one(bytes)..];
        }
    }

    /// Follows bytes up to the end of the frame under way; gives how many they
    /// are, which is none between two frames.
    pub fn finish(&mut self, bytes: &[u8]) -> usize {
        if self.is_between() {
            return 0;
        }
        self.one(bytes)
    }

    /// Follows bytes up to the end of one frame.
    fn one(&mut self, bytes: &[u8]) -> usize {
        let mut used = 0;
        while self.left == 0 {
            let Some(byte) = bytes.get(used) else {
                return used;
            };
            used += 1;
            self.head[usize::from(self.length)] = *byte;
            self.length += 1;
            if let Some(left) = self.after_head() {
                self.closed |= self.head[0] & 0x0f == CLOSE;
                self.length = 0;
                self.left = left;
                if left == 0 {
                    return used;
                }
            }
        }
        let here = (bytes.len() - used) as u64;
        let taken = here.min(self.left);
        self.left -= taken;
        used + taken as usize
    }

    /// What follows a head, its mask included, once the head is whole.
    fn after_head(&self) -> Option<u64> {
        let length = usize::from(self.length);
        let [_, second, rest @ ..] = &self.head;
        if length < 2 {
            return None;
        }
        let extended = match second & !MASKED {
            126 => 2,
            127 => 8,
            short => return Some(u64::from(short) + mask_length(*second)),
        };
        if length < 2 + extended {
            return None;
        }
        let bytes = rest[..extended].iter();
        let payload = bytes.fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        Some(payload.saturating_add(mask_length(*second)))
    }
}

fn mask_length(second: u8) -> u64 {
    if second & MASKED == 0 { 0 } else { 4 }
}

/// To whom a frame goes: what a client sends is masked (RFC 6455, 5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    Client,
    Server,
}

/// A Close frame; the reason has at most 123 bytes.
#[must_use]
pub fn close(to: To, code: u16, reason: &str) -> Vec<u8> {
    debug_assert!(reason.len() <= 123, "a control frame is short");
    let payload = [&code.to_be_bytes(), reason.as_bytes()].concat();
    std::mem::take(&mut *frame(to, CLOSE, &payload))
}

/// A whole text message.
#[must_use]
pub fn text(to: To, message: &str) -> Zeroizing<Vec<u8>> {
    frame(to, TEXT, message.as_bytes())
}

fn frame(to: To, opcode: u8, payload: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut frame = Zeroizing::new(Vec::with_capacity(payload.len() + 14));
    let masked = match to {
        To::Client => 0,
        To::Server => MASKED,
    };
    frame.push(FINAL | opcode);
    match payload.len() {
        short @ 0..126 => frame.push(masked | short as u8),
        medium @ 126..65_536 => {
            frame.push(masked | 126);
            frame.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            frame.push(masked | 127);
            frame.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    match to {
        To::Client => frame.extend_from_slice(payload),
        To::Server => {
            let mask = mask();
            frame.extend_from_slice(&mask);
            let bytes = payload.iter().zip(mask.iter().cycle());
            frame.extend(bytes.map(|(byte, mask)| byte ^ mask));
        }
    }
    frame
}

/// A system without randomness is no reason to leave a peer without a word.
fn mask() -> [u8; 4] {
    random_bytes().unwrap_or_else(|_| fastrand::u32(..).to_ne_bytes())
}

#[cfg(test)]
mod tests {
    use super::{CLOSE, FINAL, Frames, TEXT, To, close, frame, text};
    use proptest::prelude::{any, proptest};
    use proptest::{collection::vec, prop_oneof, strategy::Strategy};

    fn payload_length() -> impl Strategy<Value = usize> {
        prop_oneof![0..300_usize, 65_500..65_600_usize]
    }

    proptest! {
        /// However the bytes come, each frame ends where it ends.
        #[test]
        fn ends_are_found(
            frames in vec((any::<bool>(), payload_length()), 1..4),
            cuts in vec(1..70_000_usize, 1..8),
        ) {
            let mut bytes = Vec::new();
            let mut ends = vec![0];
            for (masked, length) in frames {
                let to = if masked { To::Server } else { To::Client };
                bytes.extend_from_slice(&frame(to, TEXT, &vec![0x88; length]));
                ends.push(bytes.len());
            }
            let (mut followed, mut at) = (Frames::default(), 0);
            for cut in cuts.into_iter().cycle() {
                assert_eq!(followed.is_between(), ends.contains(&at), "at {at}");
                if at == bytes.len() {
                    break;
                }
                let next = bytes.len().min(at + cut);
                let mut other = Frames { ..followed };
                let rest = other.finish(&bytes[at..next]);
                let end = ends.iter().find(|end| **end >= at).unwrap();
                assert_eq!(rest, (*end).min(next) - at);
                followed.pass(&bytes[at..next]);
                at = next;
            }
            assert!(!followed.has_closed());
        }

        #[test]
        fn noise_is_followed_too(noise in vec(any::<u8>(), 0..200)) {
            let mut frames = Frames::default();
            frames.pass(&noise);
            let mut one_by_one = Frames::default();
            for byte in &noise {
                one_by_one.pass(std::slice::from_ref(byte));
            }
            assert_eq!(frames.is_between(), one_by_one.is_between());
            assert_eq!(frames.has_closed(), one_by_one.has_closed());
        }
    }

    #[test]
    fn a_close_frame_is_noticed_by_its_head() {
        let bytes = close(To::Server, 1001, "bye");
        let mut frames = Frames::default();
        frames.pass(&bytes[..1]);
        assert!(!frames.has_closed());
        frames.pass(&bytes[1..2]);
        assert!(frames.has_closed() && !frames.is_between());
        frames.pass(&bytes[2..]);
        assert!(frames.is_between());
    }

    #[test]
    fn a_close_frame_holds_its_code_and_reason() {
        assert_eq!(
            close(To::Client, 1001, "bye"),
            [&[FINAL | CLOSE, 5, 0x03, 0xe9], &b"bye"[..]].concat()
        );
    }

    #[test]
    fn what_goes_to_a_server_is_masked() {
        let bytes = text(To::Server, "hello");
        assert_eq!(bytes[..2], [FINAL | TEXT, 0x80 | 5]);
        let (mask, masked) = bytes[2..].split_at(4);
        let plain: Vec<u8> = masked.iter().zip(mask).map(|(b, m)| b ^ m).collect();
        assert_eq!(plain, b"hell");
        assert_eq!(masked[4] ^ mask[0], b'o');
    }

    /// RFC 6455, 5.2: the highest bit of a length is not set; one that has it
    /// set is a frame without end, not one of no length.
    #[test]
    fn a_length_past_all_bounds_never_ends() {
        let mut frames = Frames::default();
        frames.pass(&[FINAL | TEXT, 0xff]);
        frames.pass(&[0xff; 8]);
        assert_eq!(frames.finish(&[0; 1000]), 1000);
        assert!(!frames.is_between());
    }
}
