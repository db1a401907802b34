//! `Expect: 100-continue` (RFC 9110, 10.1.1): the caller waits for a word before
//! it sends its body. It goes on to the upstream, whose word it is to give.

use super::hop::Noted;
use super::replay::Upload;
use super::worker::Worker;
use http::header::EXPECT;
use http::{Version, request};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Not every server gives it: after this the body is sent unasked.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// Closed until the upstream, or its silence, says that the body may come.
#[derive(Clone, Default)]
pub struct Gate(Arc<AtomicBool>);

impl Gate {
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub fn open(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Has the body of a request wait for the upstream's word, if its caller does.
pub fn arrange(head: &request::Parts, noted: &mut Noted, upload: Option<&Upload>) {
    let Some(upload) = upload else { return };
    let mut values = head.headers.get_all(EXPECT).iter();
    let only = values.next().filter(|_| values.next().is_none());
    let expects = only.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if expects && head.version == Version::HTTP_11 {
        upload.expect();
        noted.goes_on.expect = true;
    }
}

/// Opens the gate of the sending that begins now, after a while.
pub fn be_patient(worker: &Worker, upload: &Upload) {
    let Some(waiting) = upload.waiting() else {
        return;
    };
    let deadlines = worker.deadlines.clone();
    crate::net::worker::spawn_local(async move {
        let pause = std::future::pending::<()>();
        let _ = deadlines.within(PATIENCE, pause).await;
        waiting.give_up();
    });
}
