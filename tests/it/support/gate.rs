//! A barrier: whoever comes waits until it is opened, and is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::watch;

#[derive(Clone)]
pub struct Gate {
    open: Arc<watch::Sender<bool>>,
    came: Arc<AtomicUsize>,
}

impl Gate {
    pub fn closed() -> Self {
        Self {
            open: Arc::new(watch::Sender::new(false)),
            came: Arc::default(),
        }
    }

    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// How many have come so far.
    pub fn came(&self) -> usize {
        self.came.load(Ordering::SeqCst)
    }

    pub async fn pass(&self) {
        self.came.fetch_add(1, Ordering::SeqCst);
        let mut open = self.open.subscribe();
        // The sender lives as long as this gate.
        let _ = open.wait_for(|open| *open).await;
    }
}
