//! The routes that a listener serves, where it does not serve all of them: a table
//! of its own, so that the others are for its callers as if they did not exist.

use super::route::Routes;
use crate::config::checked::served::Served;
use std::cell::RefCell;
use std::rc::{Rc, Weak};

/// A listener's share of the worker's routes.
#[derive(Default)]
pub struct Share(RefCell<Option<Own>>);

struct Own {
    named: Served,
    /// The worker's routes, of which these are some.
    all: Weak<Routes>,
    routes: Rc<Routes>,
}

impl Share {
    #[must_use]
    pub fn new(named: Option<Served>) -> Self {
        let share = Self::default();
        share.name(named);
        share
    }

    /// Serves these alone once it [follows](Self::follow) a worker's routes, and
    /// nothing until then; `None`: all of them.
    pub fn name(&self, named: Option<Served>) {
        let mut own = self.0.borrow_mut();
        if own.as_ref().map(|own| &own.named) == named.as_ref() {
            return;
        }
        *own = named.map(|named| Own {
            named,
            all: Weak::new(),
            routes: Rc::default(),
        });
    }

    /// Takes its share of the worker's routes of now.
    pub fn follow(&self, all: &Rc<Routes>) {
        if let Some(own) = &mut *self.0.borrow_mut()
            && own.all.as_ptr() != Rc::as_ptr(all)
        {
            own.routes = Rc::new(all.only(&own.named));
            own.all = Rc::downgrade(all);
        }
    }

    /// `None` where it serves all routes.
    #[must_use]
    pub fn routes(&self) -> Option<Rc<Routes>> {
        self.0.borrow().as_ref().map(|own| own.routes.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::{Served, Share};
    use crate::config::checked::PathMatch;
    use crate::proxy::route::Routes;
    use crate::proxy::route::tests::matcher;
    use crate::proxy::sample::route;
    use std::rc::Rc;

    fn names(share: &Share) -> Vec<String> {
        let routes = share.routes().unwrap();
        routes.iter().map(|route| route.name.to_string()).collect()
    }

    fn all(names: &[&str]) -> Rc<Routes> {
        let routes = names.iter().map(|name| {
            let path = PathMatch::Prefix(format!("/{name}"));
            route(name, matcher(None, path))
        });
        Rc::new(Routes::new(routes.collect()))
    }

    #[test]
    fn a_share_follows_names_and_routes() {
        let of = |name: &str| Some(Served::new([name.to_owned()].into()));
        let share = Share::new(of("a"));
        assert!(names(&share).is_empty());
        let first = all(&["a", "b"]);
        share.follow(&first);
        assert_eq!(names(&share), ["a"]);
        let before = share.routes().unwrap();
        share.name(of("a"));
        share.follow(&first);
        assert!(Rc::ptr_eq(&before, &share.routes().unwrap()));
        share.name(of("b"));
        share.follow(&first);
        assert_eq!(names(&share), ["b"]);
        share.follow(&all(&["a"]));
        assert!(names(&share).is_empty());
        share.name(None);
        assert!(share.routes().is_none());
    }
}
