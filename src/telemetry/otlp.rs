//! Spans in OTLP's protobuf encoding (opentelemetry-proto, `trace/v1`), written
//! field by field: a span is some thirty of them, and only ever written.

use super::context::{SpanId, TraceId};

/// A finished span.
pub struct Span<'a> {
    pub trace: TraceId,
    pub id: SpanId,
    pub parent: Option<SpanId>,
    /// The parent is another process's.
    pub remote_parent: bool,
    /// `trace-flags`.
    pub flags: u8,
    /// `tracestate`.
    pub state: &'a str,
    pub kind: Kind,
    /// Its name: these, with a space between them.
    pub name: (&'a str, Option<&'a str>),
    /// In nanoseconds since 1970, as all times here.
    pub start: u64,
    pub end: u64,
    pub attributes: &'a [Attribute<'a>],
    pub events: &'a [Event],
    /// Its status is "error".
    pub failed: bool,
}

/// On which side of a request the span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Server = 2,
    Client = 3,
}

/// A name of the semantic conventions, or our own, and its value.
pub type Attribute<'a> = (&'static str, Value<'a>);

/// An attribute's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Cut after [`LONGEST_TEXT`] bytes.
    Text(&'a str),
    Number(u64),
    Float(f64),
}

/// Something that happened within a span.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    pub at: u64,
    pub name: &'static str,
    /// Its one attribute, a number of seconds.
    pub seconds: (&'static str, f64),
}

/// Bytes of a text that are kept: a path may be long.
pub const LONGEST_TEXT: usize = 1024;

/// Whose spans these are; comes before each request's spans.
pub struct Resource(Vec<u8>);

/// The conventions that our attributes' names are of.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.27.0";

impl Resource {
    /// The process's own attributes.
    #[must_use]
    pub fn new(attributes: &[(String, String)]) -> Self {
        let mut resource = Vec::new();
        for (name, value) in attributes {
            field_of_attribute(&mut resource, 1, name, Value::Text(value));
        }
        let mut out = Vec::new();
        message(&mut out, 1, &resource);
        Self(out)
    }

    /// An `ExportTraceServiceRequest` of spans that [`encode`] has written.
    #[must_use]
    pub fn request(&self, spans: &[u8]) -> Vec<u8> {
        let mut scope = Vec::new();
        text(&mut scope, 1, "sidekey");
        text(&mut scope, 2, env!("CARGO_PKG_VERSION"));
        let mut scope_spans = Vec::with_capacity(spans.len() + 128);
        message(&mut scope_spans, 1, &scope);
        scope_spans.extend_from_slice(spans);
        text(&mut scope_spans, 3, SCHEMA);
        let mut resource_spans = Vec::with_capacity(scope_spans.len() + self.0.len() + 8);
        resource_spans.extend_from_slice(&self.0);
        message(&mut resource_spans, 2, &scope_spans);
        let mut request = Vec::with_capacity(resource_spans.len() + 8);
        message(&mut request, 1, &resource_spans);
        request
    }
}

/// Appends a span as one more field of `ScopeSpans`; `scratch` is emptied, and
/// kept by the caller for the next.
pub fn encode(out: &mut Vec<u8>, scratch: &mut Vec<u8>, span: &Span<'_>) {
    scratch.clear();
    bytes(scratch, 1, &span.trace.bytes());
    bytes(scratch, 2, &span.id.bytes());
    text(scratch, 3, span.state);
    if let Some(parent) = span.parent {
        bytes(scratch, 4, &parent.bytes());
    }
    name(scratch, span.name);
    number(scratch, 6, span.kind as u64);
    fixed64(scratch, 7, span.start);
    fixed64(scratch, 8, span.end);
    for (name, value) in span.attributes {
        field_of_attribute(scratch, 9, name, *value);
    }
    for event in span.events {
        message(scratch, 11, &encoded_event(event));
    }
    if span.failed {
        // Status, its code: STATUS_CODE_ERROR.
        message(scratch, 15, &[3 << 3, 2]);
    }
    // Whether the parent is remote is known (bit 8), and is so (bit 9).
    let flags = u32::from(span.flags) | 1 << 8 | u32::from(span.remote_parent) << 9;
    key(scratch, 16, FIXED32);
    scratch.extend_from_slice(&flags.to_le_bytes());
    message(out, 2, scratch);
}

/// How many spans an `ExportTraceServiceResponse` says were refused; 0 for what
/// can't be read.
#[must_use]
pub fn rejected(response: &[u8]) -> u64 {
    let Some(Found::Bytes(partial_success)) = find(response, 1) else {
        return 0;
    };
    match find(partial_success, 1) {
        Some(Found::Number(rejected)) => rejected,
        _ => 0,
    }
}

enum Found<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The first field of this number.
fn find(mut message: &[u8], wanted: u64) -> Option<Found<'_>> {
    while !message.is_empty() {
        let key = take_varint(&mut message)?;
        let length = match key & 7 {
            VARINT => {
                let number = take_varint(&mut message)?;
                if key >> 3 == wanted {
                    return Some(Found::Number(number));
                }
                continue;
            }
            FIXED64 => 8,
            FIXED32 => 4,
            LENGTH_DELIMITED => usize::try_from(take_varint(&mut message)?).ok()?,
            _ => return None,
        };
        let (field, rest) = message.split_at_checked(length)?;
        if key >> 3 == wanted {
            return Some(Found::Bytes(field));
        }
        message = rest;
    }
    None
}

fn take_varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for place in 0..10 {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f).checked_shl(7 * place)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH_DELIMITED: u64 = 2;
const FIXED32: u64 = 5;

fn name(out: &mut Vec<u8>, (first, second): (&str, Option<&str>)) {
    let first = shortened(first);
    let second = second.map(shortened);
    key(out, 5, LENGTH_DELIMITED);
    varint(
        out,
        (first.len() + second.map_or(0, |s| s.len() + 1)) as u64,
    );
    out.extend_from_slice(first.as_bytes());
    if let Some(second) = second {
        out.push(b' ');
        out.extend_from_slice(second.as_bytes());
    }
}

fn encoded_event(event: &Event) -> Vec<u8> {
    let mut out = Vec::new();
    fixed64(&mut out, 1, event.at);
    text(&mut out, 2, event.name);
    let (name, seconds) = event.seconds;
    field_of_attribute(&mut out, 3, name, Value::Float(seconds));
    out
}

/// A `KeyValue` as a field, without a buffer of its own.
fn field_of_attribute(out: &mut Vec<u8>, field: u64, name: &str, value: Value<'_>) {
    let (name, value) = (shortened(name), value.shortened());
    let value_length = value.length();
    let length = prefixed(name.len()) + prefixed(value_length);
    key(out, field, LENGTH_DELIMITED);
    varint(out, length as u64);
    bytes(out, 1, name.as_bytes());
    key(out, 2, LENGTH_DELIMITED);
    varint(out, value_length as u64);
    // `AnyValue`: one of these, also when it is empty.
    match value {
        Value::Text(text) => bytes(out, 1, text.as_bytes()),
        Value::Number(n) => number(out, 3, n),
        Value::Float(float) => fixed64(out, 4, float.to_bits()),
    }
}

impl Value<'_> {
    fn shortened(self) -> Self {
        match self {
            Self::Text(text) => Self::Text(shortened(text)),
            other => other,
        }
    }

    /// Bytes of its `AnyValue`.
    fn length(self) -> usize {
        match self {
            Self::Text(text) => prefixed(text.len()),
            Self::Number(n) => 1 + varint_length(n),
            Self::Float(_) => 9,
        }
    }
}

/// Bytes of a field of so many bytes, with its key and its length.
fn prefixed(length: usize) -> usize {
    1 + varint_length(length as u64) + length
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_TEXT)]
}

/// Empty ones are left out, as proto3 does.
fn text(out: &mut Vec<u8>, field: u64, text: &str) {
    if !text.is_empty() {
        bytes(out, field, shortened(text).as_bytes());
    }
}

fn message(out: &mut Vec<u8>, field: u64, encoded: &[u8]) {
    bytes(out, field, encoded);
}

fn bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    key(out, field, LENGTH_DELIMITED);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn number(out: &mut Vec<u8>, field: u64, number: u64) {
    key(out, field, VARINT);
    varint(out, number);
}

fn fixed64(out: &mut Vec<u8>, field: u64, value: u64) {
    key(out, field, FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

fn key(out: &mut Vec<u8>, field: u64, wire_type: u64) {
    varint(out, field << 3 | wire_type);
}

/// Seven bits a byte, the lowest first.
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint_length(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::super::context::{SpanId, TraceId};
    use super::{Event, Kind, LONGEST_TEXT, Resource, Span, Value, encode, rejected};
    use proptest::prelude::{any, proptest};
    use std::io::Write;
    use std::path::Path;
    use std::process::{Command, Stdio};

    /// What OpenTelemetry's own decoder reads, a span as it is compared with.
    const DECODER: &str = r#"
import json, sys
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
request = ExportTraceServiceRequest.FromString(sys.stdin.buffer.read())
value = lambda v: getattr(v, v.WhichOneof("value"))
pairs = lambda attributes: [[a.key, value(a.value)] for a in attributes]
[of] = request.resource_spans
[scope] = of.scope_spans
spans = [
    [s.trace_id.hex(), s.span_id.hex(), s.parent_span_id.hex(), s.trace_state, s.name, s.kind,
     s.start_time_unix_nano, s.end_time_unix_nano, pairs(s.attributes),
     [[e.time_unix_nano, e.name, pairs(e.attributes)] for e in s.events], s.status.code, s.flags]
    for s in scope.spans
]
print(json.dumps({"resource": pairs(of.resource.attributes), "scope": scope.scope.name, "spans": spans}))
"#;

    fn decoded(request: &[u8]) -> serde_json::Value {
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/.venv/bin/python");
        let mut child = Command::new(python)
            .args(["-c", DECODER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("tests/real/.venv: ./test makes it");
        child.stdin.take().unwrap().write_all(request).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// A text of any length and any characters.
    fn some_text(random: &mut fastrand::Rng) -> String {
        let length = [0, 1, 20, 126, 127, 128, 300, 2_000][random.usize(..8)];
        (0..length).map(|_| random.char(..)).collect()
    }

    fn kept(text: &str) -> &str {
        &text[..text.floor_char_boundary(LONGEST_TEXT)]
    }

    /// Encodes a span of any content; gives what a decoder must say of it.
    fn some_span(random: &mut fastrand::Rng, out: &mut Vec<u8>) -> serde_json::Value {
        let texts: Vec<String> = (0..5).map(|_| some_text(random)).collect();
        let number = random.u64(..) >> random.u32(1..64);
        let attributes = [
            ("a.text", Value::Text(&texts[0])),
            ("a.number", Value::Number(number)),
            ("another.text", Value::Text(&texts[1])),
            ("a.float", Value::Float(0.25)),
        ];
        let attributes = &attributes[..random.usize(..=4)];
        let events = [Event {
            at: random.u64(..),
            name: "an event",
            seconds: ("its.seconds", f64::from(random.u16(..)) / 4.0),
        }];
        let events = &events[..random.usize(..=1)];
        let has = |which: usize| texts[4].len() & which != 0;
        let span = Span {
            trace: TraceId::new(random.u64(..), random.u64(..)),
            id: SpanId::new(random.u64(..)),
            parent: has(1).then(|| SpanId::new(7)),
            remote_parent: has(1),
            flags: 1,
            state: &texts[2],
            kind: Kind::Server,
            name: ("GET", has(2).then_some(&*texts[3])),
            start: random.u64(..),
            end: random.u64(..),
            attributes,
            events,
            failed: has(4),
        };
        encode(out, &mut Vec::new(), &span);
        let values = attributes.iter().map(|(name, value)| match value {
            Value::Text(text) => serde_json::json!([name, kept(text)]),
            Value::Number(n) => serde_json::json!([name, n]),
            Value::Float(f) => serde_json::json!([name, f]),
        });
        let events = events.iter().map(|e| {
            let attributes = [(e.seconds.0, e.seconds.1)];
            serde_json::json!([e.at, e.name, attributes])
        });
        serde_json::json!([
            span.trace.to_string(),
            span.id.to_string(),
            span.parent.map_or(String::new(), |p| p.to_string()),
            kept(span.state),
            span.name
                .1
                .map_or("GET".into(), |n| format!("GET {}", kept(n))),
            2,
            span.start,
            span.end,
            values.collect::<Vec<_>>(),
            events.collect::<Vec<_>>(),
            if span.failed { 2 } else { 0 },
            0x101 + if span.remote_parent { 0x200 } else { 0 },
        ])
    }

    #[test]
    fn opentelemetrys_own_decoder_reads_what_is_written() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut out = Vec::new();
        let expected: Vec<_> = (0..300).map(|_| some_span(&mut random, &mut out)).collect();
        let resource = [("service.name", "né \"x\""), ("a", "")];
        let resource = resource.map(|(n, v)| (n.to_owned(), v.to_owned()));
        let found = decoded(&Resource::new(&resource).request(&out));
        assert_eq!(found["resource"], serde_json::json!(resource));
        assert_eq!(found["scope"], "sidekey");
        let found = found["spans"].as_array().unwrap();
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_partial_success_says_how_many_were_refused() {
        assert_eq!(rejected(&[]), 0);
        assert_eq!(rejected(&[0x0a, 0x02, 0x08, 0x05]), 5);
        assert_eq!(
            rejected(&[0x0a, 0x06, 0x12, 0x01, b'x', 0x08, 0xac, 0x02]),
            300
        );
        assert_eq!(rejected(&[0x0a, 0x03, 0x12, 0x01, b'x']), 0);
        assert_eq!(rejected(&[0x0a, 0x7f, 0x08]), 0);
    }

    proptest! {
        #[test]
        fn reading_an_answer_never_panics(noise in any::<Vec<u8>>()) {
            let _ = rejected(&noise);
        }
    }
}
