//! Reads a source tree and lists what each file mentions.

use crate::resolve::{ModulePath, Names, Target};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// One source file.
pub struct File {
    /// Relative to the tree's root.
    pub name: String,
    /// The first component under the root, or the file's own name for `lib.rs` and `main.rs`.
    pub top: String,
    pub lines_of_code: usize,
    pub mentions: Vec<Mention>,
    /// Lines of modules that say where their file is.
    pub path_attributes: Vec<usize>,
}

/// A path in a file.
pub struct Mention {
    pub line: usize,
    pub module: ModulePath,
    pub target: Target,
    pub kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Path,
    /// The type of a struct's field.
    Field,
    Glob,
    ReExport,
}

/// Reads every `.rs` file under `root`.
pub fn read(root: &Path, crate_name: &str) -> Vec<File> {
    let mut sources: Vec<Source> = rust_files(root)
        .into_iter()
        .map(|path| Source::parse(root, &path))
        .collect();
    sources.sort_by(|a, b| a.name.cmp(&b.name));
    let names = bind_names(&sources, crate_name);
    sources.iter().map(|source| source.facts(&names)).collect()
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found
}

struct Source {
    name: String,
    module: ModulePath,
    text: String,
    syntax: syn::File,
}

impl Source {
    fn parse(root: &Path, path: &Path) -> Self {
        let name = path.strip_prefix(root).unwrap().to_str().unwrap();
        let text = fs::read_to_string(path).unwrap();
        let syntax = syn::parse_file(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        Self {
            name: name.into(),
            module: module_of(name),
            text,
            syntax,
        }
    }

    fn facts(&self, names: &Names) -> File {
        let mut visitor = Visitor::new(names, self.module.clone());
        visitor.visit_file(&self.syntax);
        let code = |l: &&str| !l.trim().is_empty() && !l.trim().starts_with("//");
        File {
            name: self.name.clone(),
            top: self.module.first().unwrap_or(&self.name).clone(),
            lines_of_code: self.text.lines().filter(code).count(),
            mentions: visitor.mentions,
            path_attributes: visitor.path_attributes,
        }
    }
}

/// `a/mod.rs` and `a.rs` are `a`; `lib.rs` and `main.rs` are the root.
fn module_of(name: &str) -> ModulePath {
    let parts = name.trim_end_matches(".rs").split('/');
    let mut module: ModulePath = parts.map(str::to_owned).collect();
    if matches!(module.last().map(String::as_str), Some("mod"))
        || module.len() == 1 && is_root(name)
    {
        module.pop();
    }
    module
}

fn is_root(name: &str) -> bool {
    matches!(name, "lib.rs" | "main.rs")
}

/// Finds all modules, then what each `use` binds; a name may be bound through
/// another, so it goes round until nothing is new.
fn bind_names(sources: &[Source], crate_name: &str) -> Names {
    let mut names = Names {
        crate_name: crate_name.into(),
        ..Names::default()
    };
    for source in sources {
        names.modules.insert(source.module.clone());
        let mut visitor = Visitor::new(&names, source.module.clone());
        visitor.visit_file(&source.syntax);
        let inline = visitor.inline_modules;
        names.modules.extend(inline);
    }
    for _ in 0..4 {
        let mut aliases: HashMap<ModulePath, HashMap<String, Target>> = HashMap::new();
        for source in sources {
            let mut visitor = Visitor::new(&names, source.module.clone());
            visitor.visit_file(&source.syntax);
            for (module, name, target) in visitor.bound {
                aliases.entry(module).or_default().insert(name, target);
            }
        }
        names.aliases = aliases;
    }
    names
}

struct Visitor<'a> {
    names: &'a Names,
    module: ModulePath,
    in_field: bool,
    mentions: Vec<Mention>,
    bound: Vec<(ModulePath, String, Target)>,
    inline_modules: Vec<ModulePath>,
    path_attributes: Vec<usize>,
}

impl<'a> Visitor<'a> {
    fn new(names: &'a Names, module: ModulePath) -> Self {
        Self {
            names,
            module,
            in_field: false,
            mentions: Vec::new(),
            bound: Vec::new(),
            inline_modules: Vec::new(),
            path_attributes: Vec::new(),
        }
    }

    fn mention(&mut self, line: usize, target: Target, kind: Kind) {
        self.mentions.push(Mention {
            line,
            module: self.module.clone(),
            target,
            kind,
        });
    }

    fn import(&mut self, import: Import, public: bool) {
        let path = &import.path;
        let mut target = self.resolve_import(path, import.absolute);
        if let Some(name) = import.name {
            // `use a::b` must not resolve `a` through its own binding of `b`.
            if path.len() == 1 && path[0] == name && self.is_alias(&name) {
                target = Target::External(path.clone());
            }
            self.bound.push((self.module.clone(), name, target.clone()));
        } else {
            self.mention(import.line, target.clone(), Kind::Glob);
        }
        let kind = if public { Kind::ReExport } else { Kind::Path };
        self.mention(import.line, target, kind);
    }

    fn resolve_import(&self, path: &[String], absolute: bool) -> Target {
        self.names.resolve(&self.module, path, absolute)
    }

    fn is_alias(&self, name: &str) -> bool {
        let bound = self.names.aliases.get(&self.module);
        bound.is_some_and(|b| b.contains_key(name))
    }

    fn path(&mut self, line: usize, path: &[String], absolute: bool) {
        let target = self.names.resolve(&self.module, path, absolute);
        let kind = if self.in_field {
            Kind::Field
        } else {
            Kind::Path
        };
        self.mention(line, target, kind);
    }

    /// Paths in a macro's tokens: names joined by `::`, and groups after one.
    fn tokens(&mut self, tokens: TokenStream, prefix: &[String]) {
        let mut path: Vec<String> = prefix.to_vec();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(p) if p.as_char() == ':' => colons += 1,
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        path = prefix.to_vec();
                    }
                    path.push(ident.to_string());
                    colons = 0;
                    self.path(ident.span().start().line, &path, false);
                }
                TokenTree::Group(group) => {
                    let continued = colons == 2 && group.delimiter() == Delimiter::Brace;
                    let inner = if continued { path.clone() } else { Vec::new() };
                    self.tokens(group.stream(), &inner);
                    path = prefix.to_vec();
                    colons = 0;
                }
                TokenTree::Literal(literal) => self.literal(&literal),
                TokenTree::Punct(_) => {
                    path = prefix.to_vec();
                    colons = 0;
                }
            }
        }
    }

    /// A path in a text, as `#[serde(with = "crate::x")]` has it.
    fn literal(&mut self, literal: &proc_macro2::Literal) {
        let text = literal.to_string();
        let text = text.trim_matches('"');
        if text.starts_with("crate::") || text.starts_with("super::") {
            let path: Vec<String> = text.split("::").map(str::to_owned).collect();
            self.path(literal.span().start().line, &path, false);
        }
    }
}

impl<'ast> Visit<'ast> for Visitor<'_> {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let public = !matches!(item.vis, syn::Visibility::Inherited);
        let mut imports = Vec::new();
        flatten(&item.tree, &[], item.leading_colon.is_some(), &mut imports);
        for import in imports {
            self.import(import, public);
        }
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        let target = if item.ident == "self" {
            Target::Internal(Vec::new())
        } else {
            Target::External(vec![item.ident.to_string()])
        };
        let name = item.rename.as_ref().map_or(&item.ident, |(_, name)| name);
        self.bound
            .push((self.module.clone(), name.to_string(), target));
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if item.attrs.iter().any(|a| a.path().is_ident("path")) {
            self.path_attributes.push(item.span().start().line);
        }
        self.module.push(item.ident.to_string());
        if item.content.is_some() {
            self.inline_modules.push(self.module.clone());
        }
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        let line = path.span().start().line;
        self.path(line, &segments, path.leading_colon.is_some());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        self.visit_path(&mac.path);
        self.tokens(mac.tokens.clone(), &[]);
    }

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        self.visit_path(&list.path);
        self.tokens(list.tokens.clone(), &[]);
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        self.in_field = true;
        visit::visit_field(self, field);
        self.in_field = false;
    }
}

struct Import {
    line: usize,
    path: Vec<String>,
    /// What it is called here; `None` for a glob.
    name: Option<String>,
    absolute: bool,
}

fn flatten(tree: &syn::UseTree, prefix: &[String], absolute: bool, out: &mut Vec<Import>) {
    let line = tree.span().start().line;
    let with = |ident: &syn::Ident| [prefix, &[ident.to_string()]].concat();
    let mut leaf = |path: Vec<String>, name: Option<String>| {
        let import = Import {
            line,
            path,
            name,
            absolute,
        };
        out.push(import);
    };
    match tree {
        syn::UseTree::Path(p) => flatten(&p.tree, &with(&p.ident), absolute, out),
        syn::UseTree::Group(g) => {
            for item in &g.items {
                flatten(item, prefix, absolute, out);
            }
        }
        syn::UseTree::Name(n) if n.ident == "self" => {
            leaf(prefix.to_vec(), prefix.last().cloned());
        }
        syn::UseTree::Name(n) => leaf(with(&n.ident), Some(n.ident.to_string())),
        syn::UseTree::Rename(r) if r.ident == "self" && !prefix.is_empty() => {
            leaf(prefix.to_vec(), Some(r.rename.to_string()));
        }
        syn::UseTree::Rename(r) => leaf(with(&r.ident), Some(r.rename.to_string())),
        syn::UseTree::Glob(_) => leaf(prefix.to_vec(), None),
    }
}
