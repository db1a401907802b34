//! What a path means: resolves `crate`, `self`, `super`, child modules and
//! aliases to a path from the crate's root, or to one of another crate.

use std::collections::{HashMap, HashSet};

pub type ModulePath = Vec<String>;

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// From the crate's root.
    Internal(Vec<String>),
    /// Another crate's, or a local name.
    External(Vec<String>),
}

impl Target {
    fn join(&self, rest: &[String]) -> Self {
        let joined = |base: &[String]| [base, rest].concat();
        match self {
            Self::Internal(base) => Self::Internal(joined(base)),
            Self::External(base) => Self::External(joined(base)),
        }
    }
}

/// All modules of the crate and the names that `use` binds in each.
#[derive(Default)]
pub struct Names {
    pub crate_name: String,
    pub modules: HashSet<ModulePath>,
    pub aliases: HashMap<ModulePath, HashMap<String, Target>>,
}

impl Names {
    /// Resolves a path written in `module`; `absolute` when it began with `::`.
    pub fn resolve(&self, module: &[String], path: &[String], absolute: bool) -> Target {
        let Some(first) = path.first() else {
            return Target::External(Vec::new());
        };
        if absolute {
            return Target::External(path.to_vec());
        }
        match first.as_str() {
            "crate" => Target::Internal(path[1..].to_vec()),
            "self" => Target::Internal([module, &path[1..]].concat()),
            "super" => self.above(module, path),
            _ => self.by_name(module, path),
        }
    }

    fn above(&self, module: &[String], path: &[String]) -> Target {
        let ups = path.iter().take_while(|s| *s == "super").count();
        let base = &module[..module.len().saturating_sub(ups)];
        let rest = &path[ups..];
        // `super::alias::x` goes on through a name that the parent bound.
        match rest.first() {
            Some(_) => self.by_name_or(base, rest, || Target::Internal([base, rest].concat())),
            None => Target::Internal(base.to_vec()),
        }
    }

    fn by_name(&self, module: &[String], path: &[String]) -> Target {
        self.by_name_or(module, path, || {
            if path[0] == self.crate_name {
                Target::Internal(path[1..].to_vec())
            } else {
                Target::External(path.to_vec())
            }
        })
    }

    fn by_name_or(
        &self,
        module: &[String],
        path: &[String],
        otherwise: impl FnOnce() -> Target,
    ) -> Target {
        if let Some(target) = self.aliases.get(module).and_then(|a| a.get(&path[0])) {
            return target.join(&path[1..]);
        }
        let child = [module, &path[..1]].concat();
        if self.modules.contains(&child) {
            return Target::Internal([module, path].concat());
        }
        otherwise()
    }
}
