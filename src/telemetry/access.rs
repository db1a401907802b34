//! The access log: lines are made on the worker, written by a thread of its
//! own. The queue is bounded; what doesn't fit is dropped and counted.

use super::Format;
use super::context::TraceId;
use super::lines::Lines;
use super::stamp::{Stamp, three_digits};
use std::io::{self, Write};
use std::time::{Duration, SystemTime};

/// Bytes that one worker collects between two of its ticks.
const BATCH_BYTES: usize = 2 * 1024 * 1024;

/// One request, as the access log tells it. Paths come without their query,
/// which may hold secrets of the caller.
pub struct Entry<'a> {
    /// The client's address as text, without its port.
    pub client: &'a str,
    pub method: &'a str,
    pub path: &'a str,
    /// Who called, where the route asks that.
    pub caller: Option<&'a str>,
    /// `None` when no route matched.
    pub labels: Option<&'a Labels>,
    pub status: u16,
    /// `Sidekey-Error` of an answer that the proxy itself made.
    pub error: Option<&'static str>,
    pub duration: Duration,
    pub upstream: Option<Duration>,
    pub replayed: bool,
    /// Where traces are configured.
    pub trace: Option<TraceId>,
    /// Of a WebSocket that has ended: bytes from and to the caller.
    pub tunnelled: Option<(u64, u64)>,
}

/// What every line of a route says alike, written once: route and account.
pub struct Labels(Box<[u8]>);

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
    batch: Vec<u8>,
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
            batch: Vec::new(),
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
    /// What the lines of one route have in common.
    #[must_use]
    pub fn labels(&self, route: &str, account: &str) -> Labels {
        let mut out = Vec::new();
        match self.format {
            Format::Text => {
                text_pair(&mut out, b" route=", route);
                text_pair(&mut out, b" account=", account);
            }
            Format::Json => {
                json_pair(&mut out, b",\"route\":", route);
                json_pair(&mut out, b",\"account\":", account);
            }
        }
        Labels(out.into())
    }

    /// Hands the batch to the writing thread; called on the worker's tick
    /// (every 100 ms) and at its end.
    pub fn flush(&mut self) {
        if self.count == 0 {
            return;
        }
        self.expected = self.batch.len();
        let bytes = std::mem::take(&mut self.batch);
        self.lines.send(bytes, std::mem::take(&mut self.count));
    }

    /// Adds a line to this worker's batch; no system call, no lock. True when
    /// it is the first, which [`flush`](Self::flush) has to follow.
    pub fn record(&mut self, entry: &Entry<'_>, at: SystemTime) -> bool {
        if self.batch.len() >= BATCH_BYTES {
            self.lines.count_dropped(1);
            return false;
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
        self.count == 1
    }
}

/// `2026-11-24T18:59:19.123Z 127.0.0.1 GET /crm/x 200 1.234ms route=crm …`
fn text_line(out: &mut Vec<u8>, time: &Stamp, entry: &Entry<'_>) {
    time.write(out);
    out.push(b' ');
    put(out, entry.client);
    text_pair(out, b" ", entry.method);
    text_pair(out, b" ", entry.path);
    out.push(b' ');
    three_digits(out, entry.status);
    out.push(b' ');
    milliseconds(out, entry.duration);
    out.extend_from_slice(b"ms");
    if let Some(Labels(labels)) = entry.labels {
        out.extend_from_slice(labels);
    }
    if let Some(caller) = entry.caller {
        text_pair(out, b" caller=", caller);
    }
    if let Some(error) = entry.error {
        text_pair(out, b" error=", error);
    }
    if let Some(upstream) = entry.upstream {
        out.extend_from_slice(b" upstream=");
        milliseconds(out, upstream);
        out.extend_from_slice(b"ms");
    }
    if entry.replayed {
        out.extend_from_slice(b" replayed");
    }
    if let Some((received, sent)) = entry.tunnelled {
        display(out, format_args!(" received={received} sent={sent}"));
    }
    if let Some(trace) = entry.trace {
        out.extend_from_slice(b" trace_id=");
        display(out, trace);
    }
    out.push(b'\n');
}

fn json_line(out: &mut Vec<u8>, time: &Stamp, entry: &Entry<'_>) {
    out.extend_from_slice(b"{\"time\":\"");
    time.write(out);
    out.push(b'"');
    json_pair(out, b",\"client\":", entry.client);
    json_pair(out, b",\"method\":", entry.method);
    json_pair(out, b",\"path\":", entry.path);
    if let Some(Labels(labels)) = entry.labels {
        out.extend_from_slice(labels);
    }
    if let Some(caller) = entry.caller {
        json_pair(out, b",\"caller\":", caller);
    }
    if let Some(error) = entry.error {
        json_pair(out, b",\"error\":", error);
    }
    out.extend_from_slice(b",\"status\":");
    three_digits(out, entry.status);
    out.extend_from_slice(b",\"duration_ms\":");
    milliseconds(out, entry.duration);
    if let Some(upstream) = entry.upstream {
        out.extend_from_slice(b",\"upstream_ms\":");
        milliseconds(out, upstream);
    }
    if let Some((received, sent)) = entry.tunnelled {
        display(
            out,
            format_args!(",\"received\":{received},\"sent\":{sent}"),
        );
    }
    out.extend_from_slice(if entry.replayed {
        b",\"replayed\":true".as_slice()
    } else {
        b",\"replayed\":false"
    });
    if let Some(trace) = entry.trace {
        out.extend_from_slice(b",\"trace_id\":\"");
        display(out, trace);
        out.push(b'"');
    }
    out.extend_from_slice(b"}\n");
}

/// A field of a text line: what would end the field or the line, or steer a
/// terminal, is written as an escape.
fn text_pair(out: &mut Vec<u8>, name: &[u8], text: &str) {
    out.extend_from_slice(name);
    if is_plain(text) {
        return put(out, text);
    }
    for c in text.chars() {
        match c {
            '\\' => put(out, "\\\\"),
            ' ' => display(out, c.escape_unicode()),
            c if c.is_control() => display(out, c.escape_default()),
            c => display(out, c),
        }
    }
}

fn json_pair(out: &mut Vec<u8>, name: &[u8], text: &str) {
    out.extend_from_slice(name);
    out.push(b'"');
    if is_plain(text) {
        put(out, text);
        return out.push(b'"');
    }
    for c in text.chars() {
        match c {
            '"' => put(out, "\\\""),
            '\\' => put(out, "\\\\"),
            c if c.is_control() => display(out, format_args!("\\u{:04x}", u32::from(c))),
            c => display(out, c),
        }
    }
    out.push(b'"');
}

/// True where neither format escapes anything: nearly always.
fn is_plain(text: &str) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
}

/// Milliseconds with three places.
fn milliseconds(out: &mut Vec<u8>, duration: Duration) {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    // Written by hand: the formatting machinery would be a tenth of what a
    // request costs us.
    match micros / 1_000 {
        millis @ 0..10 => out.push(b'0' + millis as u8),
        millis @ 10..100 => {
            out.extend_from_slice(&[b'0' + (millis / 10) as u8, b'0' + (millis % 10) as u8]);
        }
        millis @ 100..1_000 => three_digits(out, millis as u16),
        millis => display(out, millis),
    }
    out.push(b'.');
    three_digits(out, (micros % 1_000) as u16);
}

fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn display(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    // Writing to a Vec can't fail.
    let _ = write!(out, "{value}");
}

#[cfg(test)]
mod tests {
    use super::super::lines::tests::Shelf;
    use super::{AccessLog, BATCH_BYTES, Entry, Format, TraceId};
    use std::time::{Duration, UNIX_EPOCH};

    fn entry() -> Entry<'static> {
        Entry {
            client: "127.0.0.1",
            method: "GET",
            path: "/crm/x",
            caller: None,
            labels: None,
            status: 200,
            error: None,
            duration: Duration::from_nanos(1_234_567),
            upstream: Some(Duration::from_micros(1_100)),
            replayed: true,
            trace: None,
            tunnelled: None,
        }
    }

    fn logged(format: Format, entries: &[Entry<'_>]) -> String {
        let shelf = Shelf::default();
        let log = AccessLog::start(format, Box::new(shelf.clone())).unwrap();
        let mut writer = log.writer();
        let labels = writer.labels("crm", "crmDev");
        for (i, entry) in (0_u64..).zip(entries) {
            let at = Duration::from_millis(1_764_010_759_099 + i * 450);
            let labels = entry.error.is_none().then_some(&labels);
            let first = writer.record(&Entry { labels, ..*entry }, UNIX_EPOCH + at);
            assert_eq!(first, i == 0);
        }
        writer.flush();
        log.flush(Duration::from_secs(10));
        assert_eq!(log.dropped(), 0);
        shelf.text()
    }

    #[test]
    fn times_are_milliseconds_with_three_places() {
        for (micros, expected) in [
            (0, "0.000"),
            (7, "0.007"),
            (9_999, "9.999"),
            (10_000, "10.000"),
            (99_100, "99.100"),
            (120_005, "120.005"),
            (61_234_567, "61234.567"),
        ] {
            let mut out = Vec::new();
            super::milliseconds(&mut out, Duration::from_micros(micros));
            assert_eq!(out, expected.as_bytes());
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
    fn a_tunnels_line_has_its_bytes() {
        let tunnel = Entry {
            tunnelled: Some((12, 345)),
            ..entry()
        };
        let text = logged(Format::Text, &[Entry { ..tunnel }]);
        assert!(text.ends_with(" replayed received=12 sent=345\n"), "{text}");
        let json = logged(Format::Json, &[tunnel]);
        let line: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            (&line["received"], &line["sent"]),
            (&12.into(), &345.into())
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
                "time": "2025-11-24T18:59:19.099Z", "client": "127.0.0.1",
                "method": "GET", "path": "/crm/x", "error": "route_not_found", "status": 404, "duration_ms": 1.234, "replayed": false,
            })
        );
    }

    #[test]
    fn the_trace_is_named_where_there_is_one() {
        let traced = Entry {
            trace: Some(TraceId::new(0x0af7_6519_16cd_43dd, 0x8448_eb21_1c80_319c)),
            ..entry()
        };
        let text = logged(Format::Text, &[Entry { ..traced }]);
        assert!(
            text.ends_with(" replayed trace_id=0af7651916cd43dd8448eb211c80319c\n"),
            "{text}"
        );
        let json: serde_json::Value =
            serde_json::from_str(&logged(Format::Json, &[traced])).unwrap();
        assert_eq!(json["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    }

    #[test]
    fn a_worker_that_does_not_tick_keeps_no_more_than_a_batch() {
        let log = AccessLog::start(Format::Text, Box::new(std::io::sink())).unwrap();
        let mut writer = log.writer();
        let line = 100;
        for _ in 0..BATCH_BYTES / line * 2 {
            writer.record(&entry(), std::time::SystemTime::now());
        }
        assert!(log.dropped() > 0);
        assert!(writer.batch.len() < BATCH_BYTES + 200);
    }
}
