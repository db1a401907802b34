//! The cases of `tests/hostile/`, whose README says how they are written.

use super::strict::Message;
use std::path::Path;

/// One connection of a caller's.
#[derive(Debug)]
pub struct Case {
    pub name: String,
    send: String,
    /// What may reach the upstream.
    pub reach: Vec<Expected>,
    /// Fields that may not reach it.
    pub gone: Vec<String>,
    pub status: Option<u16>,
    pub end: End,
    pub then: Then,
}

/// A request as it may reach the upstream.
#[derive(Clone, Debug)]
pub struct Expected {
    pub method: String,
    pub target: String,
    body: String,
}

impl Expected {
    pub fn get(target: &str) -> Self {
        Self {
            method: "GET".into(),
            target: target.into(),
            body: String::new(),
        }
    }

    /// True when this is the request, sent to a server at this address.
    pub fn is(&self, message: &Message, host: &str) -> bool {
        self.method == message.method
            && self.target == message.target
            && expand(&self.body, host) == message.body
    }
}

/// Whether the next request on the connection is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Open,
    Close,
    Any,
}

/// What the caller does when it has sent that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Sends a well-formed request.
    GoesOn,
    /// Sends no more, and waits.
    Waits,
    /// Sends no more, and says so.
    Ends,
}

impl Case {
    /// What is sent to a server at this address.
    pub fn bytes(&self, host: &str) -> Vec<u8> {
        expand(&self.send, host)
    }

    pub fn is_head(&self) -> bool {
        self.send.starts_with("HEAD ")
    }
}

/// Every case of every file, in order.
pub fn read() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile");
    let entries = std::fs::read_dir(&folder).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "txt"));
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        cases.extend(blocks(&text).into_iter().map(case));
    }
    let mut names: Vec<_> = cases.iter().map(|case| &case.name).collect();
    names.sort();
    let twice = names.windows(2).find(|pair| pair[0] == pair[1]);
    assert_eq!(twice, None, "two cases have one name");
    cases
}

const INDENT: &str = "      ";

/// Keys and values; lines that are indented, or empty within them, belong to
/// the value before.
fn blocks(text: &str) -> Vec<Vec<(String, Vec<&str>)>> {
    let mut blocks: Vec<Vec<(String, Vec<&str>)>> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let last = blocks.last_mut().and_then(|block| block.last_mut());
        if line.is_empty() || line.starts_with(INDENT) {
            if let Some((_, lines)) = last {
                lines.push(line.strip_prefix(INDENT).unwrap_or(""));
            }
            continue;
        }
        let (key, value) = line.split_once(' ').unwrap_or_else(|| panic!("{line:?}"));
        if key == "case" {
            blocks.push(Vec::new());
        }
        let block = blocks.last_mut().expect("`case` comes first");
        block.push((key.to_owned(), vec![value.trim_start()]));
    }
    blocks
}

fn case(block: Vec<(String, Vec<&str>)>) -> Case {
    let mut case = Case {
        name: String::new(),
        send: String::new(),
        reach: Vec::new(),
        gone: Vec::new(),
        status: None,
        end: End::Close,
        then: Then::GoesOn,
    };
    for (key, lines) in block {
        let value = lines[0];
        match (key.as_str(), value) {
            ("case", _) => case.name = value.to_owned(),
            ("rfc", _) => assert!(value.split(' ').count() == 2, "{}: {value}", case.name),
            ("send", _) => case.send = joined(&lines),
            ("reach", "nothing") | ("gets", "close") => {}
            ("reach", _) => case.reach.push(request(value)),
            ("gone", _) => case.gone = value.split(' ').map(str::to_owned).collect(),
            ("gets", _) => (case.status, case.end) = gets(value),
            ("then", "waits") => case.then = Then::Waits,
            ("then", "ends") => case.then = Then::Ends,
            _ => panic!("{}: {key} {value}", case.name),
        }
    }
    case
}

/// Lines with their ends; a closing `\` stands for none.
fn joined(lines: &[&str]) -> String {
    let ended = lines.iter().map(|line| match line.strip_suffix('\\') {
        Some(line) if !line.ends_with('\\') => line.to_owned(),
        _ => format!("{line}\\r\\n"),
    });
    ended.collect()
}

fn request(value: &str) -> Expected {
    let mut words = value.splitn(3, ' ');
    let mut word = || words.next().unwrap_or_default();
    let (method, target, body) = (word().into(), word(), word().into());
    Expected {
        method,
        target: String::from_utf8(expand(target, "")).unwrap(),
        body,
    }
}

fn gets(value: &str) -> (Option<u16>, End) {
    let (status, end) = value.split_once(' ').expect("STATUS open|close|any");
    let end = match end {
        "open" => End::Open,
        "close" => End::Close,
        "any" => End::Any,
        _ => panic!("{value}"),
    };
    (Some(status.parse().unwrap()), end)
}

/// A request that must never be served.
const SMUGGLED: &str = r"GET /api/smuggled HTTP/1.1\r\nHost: @\r\n\r\n";

fn expand(text: &str, host: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let after = &rest[next.len_utf8()..];
        rest = match next {
            '\\' => escape(after, &mut out),
            '@' => {
                out.extend_from_slice(host.as_bytes());
                after
            }
            '<' => {
                let (inside, after) = after.split_once('>').expect("`<` is closed by `>`");
                repeat(inside, host, &mut out);
                after
            }
            _ => {
                out.extend_from_slice(&rest.as_bytes()[..next.len_utf8()]);
                after
            }
        };
    }
    out
}

/// The byte of an escape; gives what follows.
fn escape<'t>(text: &'t str, out: &mut Vec<u8>) -> &'t str {
    let (kind, after) = text.split_at(1);
    let byte = match kind {
        "r" => b'\r',
        "n" => b'\n',
        "t" => b'\t',
        "0" => 0,
        "s" => b' ',
        "\\" | "@" | "<" => kind.as_bytes()[0],
        "x" => {
            out.push(u8::from_str_radix(&after[..2], 16).unwrap());
            return &after[2..];
        }
        _ => panic!("\\{kind} is no escape"),
    };
    out.push(byte);
    after
}

fn repeat(inside: &str, host: &str, out: &mut Vec<u8>) {
    let smuggled = || expand(SMUGGLED, host);
    match inside {
        "smuggled" => return out.extend(smuggled()),
        "smuggled length" => return out.extend(smuggled().len().to_string().bytes()),
        "smuggled size" => return out.extend(format!("{:x}", smuggled().len()).bytes()),
        _ => {}
    }
    let (count, text) = inside.split_once('*').expect("<COUNT*text>");
    out.extend(expand(text, host).repeat(count.parse().unwrap()));
}
