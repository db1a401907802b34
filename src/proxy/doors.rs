//! The listeners of one worker, as the configuration names them now.

use super::Listening;
use super::callers::Listener;
use super::crowd::Seat;
use super::route::Routes;
use crate::net::listen::{Accepted, Acceptor, Peer};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use tokio::sync::Notify;

/// Names a listener among those of the process; none is used twice.
pub type ListenerId = u64;

/// A connection that another worker accepted.
type Early = (std::net::TcpStream, (Peer, Seat), ListenerId);

/// The listeners that are open.
#[derive(Default)]
pub struct Doors {
    open: RefCell<BTreeMap<ListenerId, Rc<Listener>>>,
    /// Those that a change is about to open.
    watched: RefCell<BTreeMap<ListenerId, Acceptor>>,
    /// Of those: another worker has opened one already.
    early: RefCell<Vec<Early>>,
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

    /// Has each take its share of these routes.
    pub fn follow(&self, routes: &Rc<Routes>) {
        for listener in self.open.borrow().values() {
            listener.share.follow(routes);
        }
    }

    /// False for a listener that is closed, or lets in others now.
    pub fn are_of(&self, listener: &Rc<Listener>) -> bool {
        let open = self.open.borrow();
        open.values().any(|known| Rc::ptr_eq(known, listener))
    }

    /// The next connection, or `None` once the worker is `draining` or the
    /// listener is closed.
    pub async fn accept(
        &self,
        id: ListenerId,
        acceptor: &Acceptor,
        draining: &Cell<bool>,
    ) -> Option<io::Result<(Accepted, Peer)>> {
        let mut accept = pin!(acceptor.accept());
        loop {
            let mut called = pin!(self.changed.notified());
            let next = poll_fn(|cx| {
                if draining.get() || !self.open.borrow().contains_key(&id) {
                    return Poll::Ready(Some(None));
                }
                if called.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(None);
                }
                let accepted = accept.as_mut().poll(cx);
                accepted.map(|accepted| Some(Some(accepted)))
            });
            if let Some(next) = next.await {
                return next;
            }
        }
    }

    /// Whoever accepts looks again whether it still should.
    pub fn call(&self) {
        self.changed.notify_waiters();
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

    /// Watches the new ones among these, for a [change](Self::change) that follows.
    ///
    /// # Errors
    /// When the event loop can't watch one.
    pub fn watch(&self, wanted: &mut [Listening]) -> io::Result<()> {
        for listening in wanted {
            if let Some(socket) = listening.socket.take() {
                let acceptor = Acceptor::new(socket)?;
                self.watched.borrow_mut().insert(listening.id, acceptor);
            }
        }
        Ok(())
    }

    /// True for a listener that a change is about to open.
    pub fn is_watched(&self, id: ListenerId) -> bool {
        self.watched.borrow().contains_key(&id)
    }

    /// Keeps a connection until the change.
    pub fn keep_early(&self, early: Early) {
        self.early.borrow_mut().push(early);
    }

    /// What was kept.
    pub fn take_early(&self) -> Vec<Early> {
        self.early.take()
    }

    /// Lets go of what is watched and not open.
    pub fn forget(&self) {
        self.watched.borrow_mut().clear();
    }

    /// From now on these are open and no others; gives those to accept at,
    /// which were watched before.
    pub fn change(&self, wanted: &[Listening]) -> Vec<(ListenerId, Acceptor)> {
        let mut open = BTreeMap::new();
        let mut new = Vec::new();
        for listening in wanted {
            let id = listening.id;
            let known = self.find(id).inspect(|known| {
                known.lets_in(listening.callers.clone());
                known.share.name(listening.routes.clone());
            });
            let known = known.filter(|known| known.lets_in_as(listening));
            let listener = match known {
                Some(known) => {
                    known.shows(listening.tls.clone());
                    known
                }
                None => Rc::new(Listener::new(listening)),
            };
            if let Some(acceptor) = self.watched.borrow_mut().remove(&id) {
                new.push((id, acceptor));
            }
            open.insert(id, listener);
        }
        self.forget();
        self.open.replace(open);
        self.accepting.set(self.accepting.get() + new.len());
        self.call();
        new
    }
}
