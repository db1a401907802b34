//! How all cases are written: blocks of keys and values, and texts with escapes.

use super::strict::Message;
use std::path::Path;

/// A case's keys, each with its lines.
pub type Block = Vec<(String, Vec<String>)>;

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

/// Every case of every file in a folder of `tests/hostile/`, in order; each has
/// a name of its own.
pub fn read(folder: &str) -> Vec<Block> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile");
    let entries = std::fs::read_dir(all.join(folder)).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "txt"));
    files.sort();
    let texts = files
        .iter()
        .map(|file| std::fs::read_to_string(file).unwrap());
    let cases: Vec<Block> = texts.flat_map(|text| blocks(&text)).collect();
    let mut names: Vec<_> = cases.iter().map(|case| &case[0].1[0]).collect();
    names.sort();
    let twice = names.windows(2).find(|pair| pair[0] == pair[1]);
    assert_eq!(twice, None, "two cases have one name");
    cases
}

/// Lines with their ends; a closing `\` stands for none.
pub fn joined(lines: &[String]) -> String {
    let ended = lines.iter().map(|line| match line.strip_suffix('\\') {
        Some(line) if !line.ends_with('\\') => line.to_owned(),
        _ => format!("{line}\\r\\n"),
    });
    ended.collect()
}

/// `METHOD /target body`.
pub fn request(value: &str) -> Expected {
    let mut words = value.splitn(3, ' ');
    let mut word = || words.next().unwrap_or_default();
    let (method, target, body) = (word().into(), word(), word().into());
    Expected {
        method,
        target: String::from_utf8(expand(target, "")).unwrap(),
        body,
    }
}

/// A request that must never be served.
const SMUGGLED: &str = r"GET /api/smuggled HTTP/1.1\r\nHost: @\r\n\r\n";

/// The bytes that a text stands for, where the server has this address.
pub fn expand(text: &str, host: &str) -> Vec<u8> {
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
const INDENT: &str = "      ";

/// Keys and values; lines that are indented, or empty within them, belong to
/// the value before.
fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let last = blocks.last_mut().and_then(|block| block.last_mut());
        if line.is_empty() || line.starts_with(INDENT) {
            if let Some((_, lines)) = last {
                lines.push(line.strip_prefix(INDENT).unwrap_or("").to_owned());
            }
            continue;
        }
        let (key, value) = line.split_once(' ').unwrap_or_else(|| panic!("{line:?}"));
        if key == "case" {
            blocks.push(Vec::new());
        }
        let block = blocks.last_mut().expect("`case` comes first");
        block.push((key.to_owned(), vec![value.trim_start().to_owned()]));
    }
    blocks
}
