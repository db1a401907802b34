//! Which routes a listener serves, where it does not serve all of them.

use super::Route;
use super::callers::Speaks;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// Names of routes, as they are in the configuration; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served(Arc<BTreeSet<String>>);

/// Longer lists are cut where they are said.
const SHOWN: usize = 8;

impl Served {
    #[must_use]
    pub fn new(names: BTreeSet<String>) -> Self {
        Self(Arc::new(names))
    }

    /// Also of what serves each caller of a route that is named.
    #[must_use]
    pub fn serves(&self, route: &Route) -> bool {
        match &route.speaks {
            Speaks::For { route: lead, .. } => self.names(lead),
            _ => self.names(&route.name),
        }
    }

    /// True for one of the names.
    #[must_use]
    pub fn names(&self, route: &str) -> bool {
        self.0.contains(route)
    }

    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// `crm, files`
impl fmt::Display for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in self.0.iter().take(SHOWN).enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            write!(f, "{comma}{name}")?;
        }
        match self.count().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Served;

    #[test]
    fn long_lists_are_cut() {
        let of = |count: u32| Served::new((0..count).map(|i| format!("r{i}")).collect());
        assert_eq!(of(2).to_string(), "r0, r1");
        assert_eq!(
            of(10).to_string(),
            "r0, r1, r2, r3, r4, r5, r6, r7 and 2 more"
        );
    }
}
