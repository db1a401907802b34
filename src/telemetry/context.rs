//! W3C Trace Context: who a request belongs to, and whether that is recorded.

use std::fmt::{self, Write};

/// `trace-id`: 16 bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceId(u128);

/// `parent-id`: 8 bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SpanId(u64);

/// What `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    pub trace: TraceId,
    pub span: SpanId,
    pub flags: Flags,
}

/// `trace-flags`, of which two are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u8);

/// The part of all traces that is recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// A trace is recorded from this value of its last 7 bytes on.
    threshold: u64,
}

/// Characters of a `traceparent` of version 00.
pub const LENGTH: usize = 55;

impl Context {
    /// Reads a `traceparent` of version 00, or of a later one as far as this
    /// version knows it (Trace Context, 4.3); `None` for what is not valid.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (fields, rest) = text.split_at_checked(LENGTH)?;
        let version = number(&fields[..2])?;
        let ends_well = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.first().is_none_or(|b| *b == b'-'),
        };
        let separated = [2, 35, 52].iter().all(|at| fields[*at] == b'-');
        let context = Self {
            trace: TraceId(number(&fields[3..35])?),
            span: SpanId(u64::try_from(number(&fields[36..52])?).ok()?),
            flags: Flags(u8::try_from(number(&fields[53..])?).ok()?).known(),
        };
        let ids = context.trace.0 != 0 && context.span.0 != 0;
        (ends_well && separated && ids).then_some(context)
    }

    /// As it is written, in version 00.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::with_capacity(LENGTH);
        let Self { trace, span, flags } = self;
        // Writing to a String can't fail.
        let _ = write!(text, "00-{trace}-{span}-{:02x}", flags.0);
        text
    }
}

impl Flags {
    const SAMPLED: u8 = 1;
    /// The last 7 bytes of the trace's id are random (Trace Context, level 2).
    const RANDOM: u8 = 2;

    fn known(self) -> Self {
        Self(self.0 & (Self::SAMPLED | Self::RANDOM))
    }

    /// The caller records its part of the trace, or we do.
    #[must_use]
    pub fn sampled(self) -> bool {
        self.0 & Self::SAMPLED != 0
    }

    /// The same with the trace recorded, or not.
    #[must_use]
    pub fn with_sampled(self, sampled: bool) -> Self {
        Self(self.0 & !Self::SAMPLED | u8::from(sampled))
    }

    /// As they are written.
    #[must_use]
    pub fn bits(self) -> u8 {
        self.0
    }
}

impl Ratio {
    /// `ratio` is 0 (none) to 1 (all).
    #[must_use]
    pub fn new(ratio: f64) -> Self {
        // No value is past 2^56, which a float holds exactly.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let threshold = ((1.0 - ratio.clamp(0.0, 1.0)) * (1_u64 << 56) as f64).round() as u64;
        Self { threshold }
    }

    /// By the last 7 bytes of the id, so that all who record the same part of
    /// all traces record the same ones (OpenTelemetry, `TraceIdRatioBased`).
    #[must_use]
    pub fn records(self, trace: TraceId) -> bool {
        #[allow(clippy::cast_possible_truncation)]
        let random = trace.0 as u64 & ((1 << 56) - 1);
        random >= self.threshold
    }
}

impl TraceId {
    /// An id of random bits.
    #[must_use]
    pub fn new(high: u64, low: u64) -> Self {
        // Zero is no id.
        Self((u128::from(high) << 64 | u128::from(low)).max(1))
    }

    #[must_use]
    pub fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl SpanId {
    /// An id of random bits.
    #[must_use]
    pub fn new(random: u64) -> Self {
        Self(random.max(1))
    }

    #[must_use]
    pub fn bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Hexadecimal digits in lower case, up to 32 of them.
fn number(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::{Context, Flags, Ratio, SpanId, TraceId};
    use proptest::prelude::{any, prop_assert_eq, proptest};

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_valid_one_is_read_and_written() {
        let context = Context::parse(VALID.as_bytes()).unwrap();
        assert_eq!(context.to_text(), VALID);
        assert!(context.flags.sampled());
        assert_eq!(context.flags.with_sampled(false).bits(), 0);
    }

    #[test]
    fn what_is_not_valid_is_none() {
        for bad in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "0F-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.more",
        ] {
            assert_eq!(Context::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        for later in [
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-fd",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-comes",
        ] {
            let context = Context::parse(later.as_bytes()).unwrap();
            assert_eq!(context.to_text(), VALID, "{later}");
        }
    }

    #[test]
    fn the_ratio_goes_by_the_last_seven_bytes() {
        let with = |low: u64| TraceId::new(u64::MAX, low);
        let half = Ratio::new(0.5);
        assert!(!half.records(with(0xff7f_ffff_ffff_ffff)));
        assert!(half.records(with(0x0080_0000_0000_0000)));
        for low in [0, 1, u64::MAX] {
            assert!(Ratio::new(1.0).records(with(low)) && !Ratio::new(0.0).records(with(low)));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(high in any::<u64>(), low in any::<u64>(), span in any::<u64>(), flags in 0_u8..4) {
            let (trace, span) = (TraceId::new(high, low), SpanId::new(span));
            let context = Context { trace, span, flags: Flags(flags) };
            prop_assert_eq!(Context::parse(context.to_text().as_bytes()), Some(context));
        }

        #[test]
        fn reading_never_panics(noise in any::<Vec<u8>>(), near in "[0-9a-f-]{50,60}") {
            let _ = (Context::parse(&noise), Context::parse(near.as_bytes()));
        }
    }
}
