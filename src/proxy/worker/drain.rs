//! The end of a worker: nothing new begins, and what runs has its time.

use super::Worker;
use crate::proxy::connection::cut_off;
use crate::proxy::lease::FAREWELL;
use std::time::Duration;

impl Worker {
    /// Gives the number of connections that are left at the limit.
    pub(super) async fn drain(&self, limit: Duration) -> usize {
        self.draining.set(true);
        self.doors.call();
        for connection in self.connections.borrow().values() {
            connection.let_go();
        }
        // What has to say goodbye before it ends gets the last part of the time.
        let last = FAREWELL.min(limit / 4);
        if !self.emptied(limit - last).await {
            for connection in self.connections.borrow().values() {
                connection.say_farewell();
            }
            self.emptied(last).await;
        }
        let left: Vec<_> = self.connections.borrow().values().cloned().collect();
        cut_off(&left, &self.deadlines).await;
        self.flush();
        left.len()
    }

    /// Waits until no connection is left; false when one is at the limit.
    async fn emptied(&self, limit: Duration) -> bool {
        let empty = async {
            while !self.connections.borrow().is_empty() {
                self.connection_ended.notified().await;
            }
        };
        self.deadlines.within(limit, empty).await.is_ok()
    }
}
