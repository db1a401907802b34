//! An attempt to open a shared connection, once for all requests that wait for it.

use super::refusal::{Code, Fault, Refusal};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use tokio::sync::Notify;

/// The attempt that is under way, if one is.
pub type UnderWay = RefCell<Option<Rc<Attempt>>>;

/// An attempt to connect, which others wait for.
#[derive(Default)]
pub struct Attempt {
    over: Cell<bool>,
    failed: RefCell<Option<Refusal>>,
    ended: Notify,
}

impl Attempt {
    /// Waits for its end.
    ///
    /// # Errors
    /// Its own, which is everyone's; of the address it is noted once, by who has
    /// tried. One that was given up has none.
    pub async fn wait(&self) -> Result<(), Refusal> {
        while !self.over.get() {
            self.ended.notified().await;
        }
        let failed = self.failed.borrow().clone();
        failed.map_or(Ok(()), |refusal| Err(refusal.with(Fault::Spared)))
    }
}

/// The right to connect, for all who wait.
pub struct Begun<'a> {
    under_way: &'a UnderWay,
    attempt: Rc<Attempt>,
}

impl<'a> Begun<'a> {
    /// Says that an attempt is under way while what is given lives.
    pub fn of(under_way: &'a UnderWay) -> Self {
        let attempt = Rc::<Attempt>::default();
        under_way.replace(Some(attempt.clone()));
        Self { under_way, attempt }
    }
}

impl Begun<'_> {
    /// Tells the others why there is no connection. Where the time of this one has
    /// run out they have their own.
    pub fn failed(&self, refusal: &Refusal) {
        if refusal.code != Code::UpstreamTimeout {
            self.attempt.failed.replace(Some(refusal.clone()));
        }
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.under_way.replace(None);
        self.attempt.over.set(true);
        self.attempt.ended.notify_waiters();
    }
}
