//! The listeners of one worker, as the configuration names them now.

use super::Listening;
use super::callers::Listener;
use crate::net::listen::Acceptor;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use tokio::sync::Notify;

/// Names a listener among those of the process; none is used twice.
pub type ListenerId = u64;

/// The listeners that are open.
#[derive(Default)]
pub struct Doors {
    open: RefCell<BTreeMap<ListenerId, Rc<Listener>>>,
    changed: Notify,
    /// How many listeners are accepted at: closed ones, too, for a moment.
    accepting: Cell<usize>,
    left: Notify,
}

impl Doors {
    /// What a listener lets in; `None` where it is closed.
    pub fn find(&self, id: ListenerId) -> Option<Rc<Listener>> {
        self.open.borrow().get(&id).cloned()
    }

    pub fn is_open(&self, id: ListenerId) -> bool {
        self.open.borrow().contains_key(&id)
    }

    /// False for a listener that is closed, or lets in others now.
    pub fn are_of(&self, listener: &Rc<Listener>) -> bool {
        let open = self.open.borrow();
        open.values().any(|known| Rc::ptr_eq(known, listener))
    }

    /// Whoever accepts looks again whether it still should.
    pub fn call(&self) {
        self.changed.notify_waiters();
    }

    /// Waits for the next [`Doors::call`].
    pub async fn called(&self) {
        self.changed.notified().await;
    }

    /// One of them is accepted at no more, and its socket is closed.
    pub fn leave(&self) {
        self.accepting.set(self.accepting.get() - 1);
        self.left.notify_waiters();
    }

    /// Waits until the sockets of all closed ones are closed, so that their
    /// addresses can be had again.
    pub async fn settled(&self) {
        loop {
            let left = self.left.notified();
            if self.accepting.get() <= self.open.borrow().len() {
                return;
            }
            left.await;
        }
    }

    /// From now on these are open and no others; gives those to accept at.
    ///
    /// # Errors
    /// When the event loop can't watch one; nothing is changed then.
    pub fn change(&self, wanted: Vec<Listening>) -> io::Result<Vec<(ListenerId, Acceptor)>> {
        let mut open = BTreeMap::new();
        let mut new = Vec::new();
        for listening in wanted {
            let id = listening.id;
            let known = self.find(id).filter(|l| l.hosts == listening.hosts);
            let listener =
                known.unwrap_or_else(|| Rc::new(Listener::new(listening.address, listening.hosts)));
            if let Some(socket) = listening.socket {
                new.push((id, Acceptor::new(socket)?));
            }
            open.insert(id, listener);
        }
        self.open.replace(open);
        self.accepting.set(self.accepting.get() + new.len());
        self.call();
        Ok(new)
    }
}
