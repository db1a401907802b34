//! Holds the facts against the rules.

use crate::facts::{File, Kind, Mention};
use crate::resolve::Target;
use std::collections::{BTreeMap, BTreeSet};

/// A text that is part of every message of its kind.
pub const KINDS: &[&str] = &[
    "may not import",
    "is in no row of the table",
    "glob import of a parent",
    "re-export across modules",
    "names a runtime",
    "lines of code",
    "#[path]",
    "cycle",
];

pub struct Rules {
    pub table: &'static [(&'static str, &'static [&'static str])],
    pub no_runtime: NoRuntime,
    pub max_lines: usize,
}

/// A module that may name only some parts of some crates.
#[derive(Clone, Copy)]
pub struct NoRuntime {
    pub module: &'static str,
    pub crates: &'static [&'static str],
    pub allowed: &'static [&'static str],
    pub allowed_as_field: &'static str,
}

impl Rules {
    /// Every violation, one line each, the first of its kind in a file.
    pub fn violations(&self, files: &[File]) -> Vec<String> {
        let mut found = Vec::new();
        let tops: BTreeSet<&str> = files.iter().map(|f| f.top.as_str()).collect();
        for file in files {
            self.check_file(file, &tops, &mut found);
        }
        let edges: Vec<(String, String)> = files
            .iter()
            .flat_map(|f| imports(f, &tops).map(|(to, _)| (f.top.clone(), to.to_owned())))
            .collect();
        found.extend(cycles(&edges));
        found
    }

    fn check_file(&self, file: &File, tops: &BTreeSet<&str>, found: &mut Vec<String>) {
        let mut said = BTreeSet::new();
        let mut say = |line: usize, what: String| {
            if said.insert(what.clone()) {
                found.push(format!("{}:{line}: {what}", file.name));
            }
        };
        if file.lines_of_code > self.max_lines {
            say(1, format!("more than {} lines of code", self.max_lines));
        }
        for line in &file.path_attributes {
            say(*line, "a module with #[path]".into());
        }
        match self.table.iter().find(|(name, _)| *name == file.top) {
            Some((_, allowed)) => {
                for (to, mention) in imports(file, tops).filter(|(to, _)| !allowed.contains(to)) {
                    say(mention.line, format!("{} may not import {to}", file.top));
                }
            }
            None => say(1, format!("{} is in no row of the table", file.top)),
        }
        for mention in &file.mentions {
            if let Some(what) = self.check_mention(file, mention) {
                say(mention.line, what);
            }
        }
    }

    fn check_mention(&self, file: &File, mention: &Mention) -> Option<String> {
        match (&mention.target, mention.kind) {
            (Target::Internal(path), Kind::Glob) if mention.module.starts_with(path) => {
                Some("glob import of a parent".into())
            }
            (Target::Internal(path), Kind::ReExport) if path.first() != Some(&file.top) => {
                Some(format!("re-export across modules: {}", path.join("::")))
            }
            (Target::External(path), kind) if file.top == self.no_runtime.module => {
                self.no_runtime.check(path, kind)
            }
            _ => None,
        }
    }
}

impl NoRuntime {
    fn check(&self, path: &[String], kind: Kind) -> Option<String> {
        let text = path.join("::");
        let free = |a: &str| text == a || text.starts_with(&format!("{a}::"));
        let named = path.len() > 1 && self.crates.contains(&path[0].as_str());
        let as_field = kind == Kind::Field && text == self.allowed_as_field;
        let refused = named && !self.allowed.iter().any(|a| free(a)) && !as_field;
        refused.then(|| format!("{} names a runtime: {}", self.module, path[..2].join("::")))
    }
}

/// The modules that a file imports, each mention of it.
fn imports<'a>(
    file: &'a File,
    tops: &'a BTreeSet<&str>,
) -> impl Iterator<Item = (&'a str, &'a Mention)> {
    file.mentions.iter().filter_map(|mention| {
        let Target::Internal(path) = &mention.target else {
            return None;
        };
        let to = path.first()?.as_str();
        (to != file.top && tops.contains(to)).then_some((to, mention))
    })
}

/// Each circle of imports once, beginning with its first name.
pub fn cycles(edges: &[(String, String)]) -> Vec<String> {
    let mut graph: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (from, to) in edges {
        graph.entry(from).or_default().insert(to);
    }
    let mut found = BTreeSet::new();
    for start in graph.keys() {
        walk(&graph, &mut vec![*start], &mut found);
    }
    found.into_iter().collect()
}

fn walk<'a>(
    graph: &BTreeMap<&'a str, BTreeSet<&'a str>>,
    path: &mut Vec<&'a str>,
    found: &mut BTreeSet<String>,
) {
    let start = path[0];
    let Some(next) = path.last().and_then(|last| graph.get(last)) else {
        return;
    };
    for to in next {
        if *to == start {
            found.insert(format!("cycle: {} -> {start}", path.join(" -> ")));
        } else if *to > start && !path.contains(to) {
            path.push(to);
            walk(graph, path, found);
            path.pop();
        }
    }
}
