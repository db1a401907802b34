//! Scalars that are more than text: durations, sizes, numbers, addresses. Each
//! parser says what it expects, so that a mistake can.

use std::net::SocketAddr;
use std::time::Duration;

pub(super) const DURATION: &str = "a duration such as `250ms`, `5s`, `30m` or `1h30m`";
pub(super) const SIZE: &str = "a size such as `64KiB`, `1MiB` or a number of bytes";
pub(super) const BOOL: &str = "`true` or `false`";
pub(super) const ADDRESS: &str =
    "an IP address and a port, such as `127.0.0.1:7480` or `[::]:7480`";

pub(super) const LISTENING: &str = "an IP address and a port, such as `127.0.0.1:7480` or `[::]:7480`, \
     a Unix socket `unix:/path`, or a socket that was handed over: `fd:3`, `systemd:NAME`";
pub(super) const MODE: &str = "permission bits in octal, such as `\"0660\"`";

/// Ten years: longer is a slip, and sums of durations can't overflow.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// `250ms`, `5s`, `1h30m`, `0`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let units = &rest[digits..];
        let unit = &units[..units
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(units.len())];
        let number: u64 = rest[..digits].parse().ok()?;
        total = total.checked_add(scaled(number, unit)?)?;
        rest = &units[unit.len()..];
    }
    (!text.is_empty() && total <= LONGEST).then_some(total)
}

fn scaled(number: u64, unit: &str) -> Option<Duration> {
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

/// `65536`, `64KiB`, `1MiB`, `1GiB`.
pub(super) fn size(text: &str) -> Option<usize> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: usize = text[..digits].parse().ok()?;
    let scale = match text[digits..].trim_start() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(scale)
}

pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// Digits only; `_` may group them.
pub(super) fn number(text: &str) -> Option<u64> {
    let plain = text.replace('_', "");
    let digits = !plain.is_empty() && plain.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| plain.parse().ok()).flatten()
}

pub(super) fn address(text: &str) -> Option<SocketAddr> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{address, duration, number, size};
    use std::time::Duration;

    #[test]
    fn durations() {
        let cases = [
            ("0", 0),
            ("0s", 0),
            ("250ms", 250),
            ("5s", 5_000),
            ("30m", 1_800_000),
            ("1h30m", 5_400_000),
            ("1d", 86_400_000),
        ];
        for (text, millis) in cases {
            assert_eq!(
                duration(text),
                Some(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for bad in [
            "",
            "5",
            "s",
            "5 s",
            "-5s",
            "1.5s",
            "5sec",
            "99999999999999999999s",
            "11000000h",
        ] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(size("65536"), Some(65_536));
        assert_eq!(size("64KiB"), Some(65_536));
        assert_eq!(size("64 KiB"), Some(65_536));
        assert_eq!(size("1MiB"), Some(1 << 20));
        for bad in ["", "KiB", "64kb", "-1", "1.5MiB", "99999999999999999999GiB"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }

    #[test]
    fn numbers_and_addresses() {
        assert_eq!(number("10_000"), Some(10_000));
        assert_eq!(number("-1"), None);
        assert!(address("[::]:7480").is_some());
        assert!(address("127.0.0.1:7480").is_some());
        assert!(address("localhost:7480").is_none());
        assert!(address("127.0.0.1").is_none());
    }
}
