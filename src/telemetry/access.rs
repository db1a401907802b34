//! The access log: lines are made on the worker, written by a thread of its
//! own. The queue is bounded; what doesn't fit is dropped and counted.

use super::Format;
use super::lines::Lines;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes that one worker collects between two of its ticks.
const BATCH_BYTES: usize = 2 * 1024 * 1024;

/// One request, as the access log tells it. Paths come without their query,
/// which may hold secrets of the caller.
pub struct Entry<'a> {
    pub client: Option<IpAddr>,
    pub method: &'a str,
    pub path: &'a str,
    /// `None` when no route matched.
    pub route: Option<&'a str>,
    pub account: Option<&'a str>,
    pub status: u16,
    /// `Sidekey-Error` of an answer that the proxy itself made.
    pub error: Option<&'static str>,
    pub duration: Duration,
    pub upstream: Option<Duration>,
    pub replayed: bool,
}

/// The log; one per process, shared by all workers.
#[derive(Clone)]
pub struct AccessLog {
    lines: Lines,
    format: Format,
}

/// One worker's end of the log: collects lines, hands them over in batches.
pub struct AccessWriter {
    lines: Lines,
    format: Format,
    batch: String,
    count: u64,
    /// How long the last batch became: what to allocate for the next.
    expected: usize,
    time: Stamp,
}

impl AccessLog {
    /// Starts the log's thread, which writes to `sink`.
    ///
    /// # Errors
    /// When the thread can't be made.
    pub fn start(format: Format, sink: Box<dyn Write + Send>) -> io::Result<Self> {
        let lines = Lines::start("access-log", sink)?;
        Ok(Self { lines, format })
    }

    /// An end for the calling worker.
    #[must_use]
    pub fn writer(&self) -> AccessWriter {
        AccessWriter {
            lines: self.lines.clone(),
            format: self.format,
            batch: String::new(),
            count: 0,
            expected: 0,
            time: Stamp::default(),
        }
    }

    /// Lines dropped so far because the writer could not keep up.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.lines.dropped()
    }

    /// Waits until the batches so far are written, at most `limit`. Blocks.
    pub fn flush(&self, limit: Duration) {
        self.lines.flush(limit);
    }
}

impl AccessWriter {
    /// Adds a line to this worker's batch; no system call, no lock.
    pub fn record(&mut self, entry: &Entry<'_>) {
        self.record_at(entry, SystemTime::now());
    }

    /// Hands the batch to the writing thread; called on the worker's tick
    /// (every 100 ms) and at its end.
    pub fn flush(&mut self) {
        if self.count == 0 {
            return;
        }
        self.expected = self.batch.len();
        let bytes = std::mem::take(&mut self.batch).into_bytes();
        self.lines.send(bytes, std::mem::take(&mut self.count));
    }

    fn record_at(&mut self, entry: &Entry<'_>, at: SystemTime) {
        if self.batch.len() >= BATCH_BYTES {
            self.lines.count_dropped(1);
            return;
        }
        if self.batch.capacity() == 0 {
            self.batch.reserve(self.expected + self.expected / 4);
        }
        self.time.set(at);
        match self.format {
            Format::Text => text_line(&mut self.batch, &self.time, entry),
            Format::Json => json_line(&mut self.batch, &self.time, entry),
        }
        self.count += 1;
    }
}

/// `2026-11-24T18:59:19.123Z 127.0.0.1 GET /crm/x 200 1.234ms route=crm …`
fn text_line(out: &mut String, time: &Stamp, entry: &Entry<'_>) {
    time.write(out);
    out.push(' ');
    match entry.client {
        Some(client) => display(out, client),
        None => out.push('-'),
    }
    out.push(' ');
    text_field(out, entry.method);
    out.push(' ');
    text_field(out, entry.path);
    out.push(' ');
    digits(out, u64::from(entry.status), 1);
    out.push(' ');
    milliseconds(out, entry.duration);
    out.push_str("ms");
    for (name, value) in [
        (" route=", entry.route),
        (" account=", entry.account),
        (" error=", entry.error),
    ] {
        if let Some(value) = value {
            out.push_str(name);
            text_field(out, value);
        }
    }
    if let Some(upstream) = entry.upstream {
        out.push_str(" upstream=");
        milliseconds(out, upstream);
        out.push_str("ms");
    }
    if entry.replayed {
        out.push_str(" replayed");
    }
    out.push('\n');
}

fn json_line(out: &mut String, time: &Stamp, entry: &Entry<'_>) {
    out.push_str("{\"time\":\"");
    time.write(out);
    out.push('"');
    if let Some(client) = entry.client {
        display(out, format_args!(",\"client\":\"{client}\""));
    }
    for (name, value) in [
        (",\"method\":", Some(entry.method)),
        (",\"path\":", Some(entry.path)),
        (",\"route\":", entry.route),
        (",\"account\":", entry.account),
        (",\"error\":", entry.error),
    ] {
        if let Some(value) = value {
            out.push_str(name);
            json_string(out, value);
        }
    }
    out.push_str(",\"status\":");
    digits(out, u64::from(entry.status), 1);
    out.push_str(",\"duration_ms\":");
    milliseconds(out, entry.duration);
    if let Some(upstream) = entry.upstream {
        out.push_str(",\"upstream_ms\":");
        milliseconds(out, upstream);
    }
    out.push_str(if entry.replayed {
        ",\"replayed\":true}\n"
    } else {
        ",\"replayed\":false}\n"
    });
}

/// A field of a text line: what would end the field or the line, or steer a
/// terminal, is written as an escape.
fn text_field(out: &mut String, text: &str) {
    if is_plain(text) {
        return out.push_str(text);
    }
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            ' ' => display(out, c.escape_unicode()),
            c if c.is_control() => display(out, c.escape_default()),
            c => out.push(c),
        }
    }
}

/// True where neither format escapes anything: nearly always.
fn is_plain(text: &str) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
}

fn json_string(out: &mut String, text: &str) {
    out.push('"');
    if is_plain(text) {
        out.push_str(text);
        return out.push('"');
    }
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => display(out, format_args!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Milliseconds with three places.
fn milliseconds(out: &mut String, duration: Duration) {
    let micros = duration.subsec_micros();
    digits(
        out,
        duration.as_secs() * 1_000 + u64::from(micros / 1_000),
        1,
    );
    out.push('.');
    digits(out, u64::from(micros % 1_000), 3);
}

/// A number with at least `width` digits; a line holds five of them, and the
/// formatting machinery would be a tenth of what a request costs us.
fn digits(out: &mut String, mut value: u64, width: usize) {
    let mut buffer = [b'0'; 20];
    let mut at = buffer.len();
    while value > 0 {
        at -= 1;
        buffer[at] = b'0' + (value % 10) as u8;
        value /= 10;
    }
    let start = at.min(buffer.len() - width);
    out.push_str(std::str::from_utf8(&buffer[start..]).unwrap_or_default());
}

fn display(out: &mut String, value: impl std::fmt::Display) {
    // Writing to a String can't fail.
    let _ = write!(out, "{value}");
}

/// A time in RFC 3339; the part down to the second is made once a second.
#[derive(Default)]
struct Stamp {
    second: u64,
    text: String,
    millis: u32,
}

impl Stamp {
    fn set(&mut self, at: SystemTime) {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        self.millis = since.subsec_millis();
        if since.as_secs() != self.second || self.text.is_empty() {
            self.second = since.as_secs();
            self.text = i64::try_from(self.second)
                .ok()
                .and_then(|second| jiff::Timestamp::from_second(second).ok())
                .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
                .to_string();
            // "…:19Z": the fraction goes before the Z.
            self.text.pop();
        }
    }

    fn write(&self, out: &mut String) {
        out.push_str(&self.text);
        out.push('.');
        digits(out, u64::from(self.millis), 3);
        out.push('Z');
    }
}

#[cfg(test)]
mod tests {
    use super::super::lines::tests::Shelf;
    use super::{AccessLog, BATCH_BYTES, Entry, Format};
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::{Duration, UNIX_EPOCH};

    fn entry() -> Entry<'static> {
        Entry {
            client: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            method: "GET",
            path: "/crm/x",
            route: Some("crm"),
            account: Some("crmDev"),
            status: 200,
            error: None,
            duration: Duration::from_nanos(1_234_567),
            upstream: Some(Duration::from_micros(1_100)),
            replayed: true,
        }
    }

    fn logged(format: Format, entries: &[Entry<'_>]) -> String {
        let shelf = Shelf::default();
        let log = AccessLog::start(format, Box::new(shelf.clone())).unwrap();
        let mut writer = log.writer();
        for (i, entry) in (0_u64..).zip(entries) {
            let at = Duration::from_millis(1_764_010_759_099 + i * 450);
            writer.record_at(entry, UNIX_EPOCH + at);
        }
        writer.flush();
        log.flush(Duration::from_secs(10));
        assert_eq!(log.dropped(), 0);
        shelf.text()
    }

    #[test]
    fn numbers_have_at_least_their_width() {
        for (value, width, expected) in [
            (0, 1, "0"),
            (7, 3, "007"),
            (1_234, 3, "1234"),
            (u64::MAX, 1, "18446744073709551615"),
        ] {
            let mut out = String::new();
            super::digits(&mut out, value, width);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn a_text_line() {
        assert_eq!(
            logged(Format::Text, &[entry()]),
            "2025-11-24T18:59:19.099Z 127.0.0.1 GET /crm/x 200 1.234ms route=crm account=crmDev \
             upstream=1.100ms replayed\n"
        );
    }

    #[test]
    fn the_time_moves_on_within_and_over_a_second() {
        let text = logged(Format::Text, &[entry(), entry(), entry(), entry()]);
        let times: Vec<_> = text.lines().map(|line| &line[17..23]).collect();
        assert_eq!(times, ["19.099", "19.549", "19.999", "20.449"]);
    }

    #[test]
    fn a_path_can_neither_break_a_line_nor_steer_a_terminal() {
        let path = "/a b\n\u{1b}[31m\\x\u{9b}\"é";
        let text = logged(Format::Text, &[Entry { path, ..entry() }]);
        assert_eq!(text.lines().count(), 1);
        assert!(
            !text.contains('\u{1b}') && !text.contains('\u{9b}'),
            "{text:?}"
        );
        assert!(
            text.contains(r#" /a\u{20}b\n\u{1b}[31m\\x\u{9b}"é 200 "#),
            "{text:?}"
        );

        let json = logged(Format::Json, &[Entry { path, ..entry() }]);
        assert_eq!(json.lines().count(), 1);
        let line: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(line["path"], path);
    }

    #[test]
    fn a_json_line_holds_what_is_known() {
        let refused = Entry {
            client: None,
            route: None,
            account: None,
            status: 404,
            error: Some("route_not_found"),
            upstream: None,
            replayed: false,
            ..entry()
        };
        let line: serde_json::Value =
            serde_json::from_str(&logged(Format::Json, &[refused])).unwrap();
        assert_eq!(
            line,
            serde_json::json!({
                "time": "2025-11-24T18:59:19.099Z", "method": "GET", "path": "/crm/x",
                "error": "route_not_found", "status": 404, "duration_ms": 1.234, "replayed": false,
            })
        );
    }

    #[test]
    fn a_worker_that_does_not_tick_keeps_no_more_than_a_batch() {
        let log = AccessLog::start(Format::Text, Box::new(std::io::sink())).unwrap();
        let mut writer = log.writer();
        let line = 100;
        for _ in 0..BATCH_BYTES / line * 2 {
            writer.record(&entry());
        }
        assert!(log.dropped() > 0);
        assert!(writer.batch.len() < BATCH_BYTES + 200);
    }
}
