//! Who may import whom: reads `src/` with `syn` and holds it against the table
//! below. It proves itself on `fixtures/architecture`, a tree with one
//! violation of each kind.

#[path = "architecture/facts.rs"]
mod facts;
#[path = "architecture/resolve.rs"]
mod resolve;
#[path = "architecture/rules.rs"]
mod rules;

use rules::Rules;
use std::path::Path;

/// Module, and what it may import besides outside crates.
const TABLE: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("net", &["base"]),
    ("telemetry", &["base"]),
    ("config", &["base"]),
    ("store", &["base"]),
    ("account", &["config", "base"]),
    ("token", &["base"]),
    (
        "proxy",
        &["token", "account", "config", "telemetry", "net", "base"],
    ),
    ("oauth", &["account", "config", "net", "base"]),
    (
        "refresh",
        &[
            "oauth",
            "store",
            "token",
            "account",
            "config",
            "telemetry",
            "base",
        ],
    ),
    (
        "connect",
        &["refresh", "oauth", "account", "config", "base"],
    ),
    (
        "admin",
        &[
            "connect",
            "refresh",
            "account",
            "config",
            "telemetry",
            "net",
            "base",
        ],
    ),
    (
        "app",
        &[
            "admin",
            "connect",
            "refresh",
            "oauth",
            "proxy",
            "token",
            "account",
            "store",
            "config",
            "telemetry",
            "net",
            "base",
        ],
    ),
    ("cli", &["app", "config", "admin", "account", "base"]),
    // `lib.rs` declares modules and imports nothing.
    ("lib.rs", &[]),
    ("main.rs", &["cli", "base"]),
];

/// `proxy/` names no runtime: sockets, spawning and time come from `net/`.
/// Channels run on any runtime; the cold runtime's handle may pass through as
/// a field and not be used.
const NO_RUNTIME: rules::NoRuntime = rules::NoRuntime {
    module: "proxy",
    crates: &["tokio", "tokio_rustls", "hyper_util"],
    allowed: &["tokio::sync"],
    allowed_as_field: "tokio::runtime::Handle",
};

const MAX_LINES_OF_CODE: usize = 400;

fn rules() -> Rules {
    Rules {
        table: TABLE,
        no_runtime: NO_RUNTIME,
        max_lines: MAX_LINES_OF_CODE,
    }
}

#[test]
fn the_table_has_no_cycle() {
    let edges: Vec<(String, String)> = TABLE
        .iter()
        .flat_map(|(from, to)| to.iter().map(|to| ((*from).into(), (*to).into())))
        .collect();
    assert_eq!(rules::cycles(&edges), Vec::<String>::new());
}

#[test]
fn the_source_keeps_to_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = facts::read(&root, "sidekey");
    assert!(files.len() > 20, "only {} files were found", files.len());
    let found = rules().violations(&files);
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// The fixture's files say in their last line what is wrong with them:
/// `// VIOLATION: line: rule`, one line for each, or nothing at all.
#[test]
fn one_violation_of_each_kind_is_found() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/architecture");
    let files = facts::read(&root, "sidekey");
    let mut found = rules().violations(&files);
    found.sort();
    let mut expected = Vec::new();
    for file in &files {
        let text = std::fs::read_to_string(root.join(&file.name)).unwrap();
        let marks = text
            .lines()
            .filter_map(|l| l.strip_prefix("// VIOLATION: "));
        expected.extend(marks.map(|mark| format!("{}:{mark}", file.name)));
    }
    expected.push("cycle: oauth -> token -> oauth".into());
    expected.sort();
    assert_eq!(found, expected, "\nfound:\n{}", found.join("\n"));
    for kind in rules::KINDS {
        assert!(found.iter().any(|f| f.contains(kind)), "no case of: {kind}");
    }
}
