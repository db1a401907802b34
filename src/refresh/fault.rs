//! Named points of a rotation at which a test holds the process, to kill it
//! there. They exist only in builds with the feature `fault-points`, which no
//! build for users has: there a point is an empty function.

#[cfg(feature = "fault-points")]
use std::io::Write;
#[cfg(feature = "fault-points")]
use std::sync::atomic::{AtomicU64, Ordering};

/// The points, in the order in which a rotation passes them. The request is
/// written between the second and the third, where the test's server knows best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    BeforeIntent,
    AfterIntent,
    AnswerReceived,
    BeforeWrite,
    AfterWrite,
    AfterPublish,
}

/// Nothing, in builds for users.
#[cfg(not(feature = "fault-points"))]
pub fn pass(_: Point) {}

/// Says on standard error where the process is, when `SIDEKEY_FAULT_POINT` is
/// set. With `NAME:N` the process is held for ever at that point of its Nth
/// rotation: whoever watches kills it there.
#[cfg(feature = "fault-points")]
pub fn pass(point: Point) {
    static ROTATIONS: AtomicU64 = AtomicU64::new(0);
    let Ok(wanted) = std::env::var("SIDEKEY_FAULT_POINT") else {
        return;
    };
    if point == Point::BeforeIntent {
        ROTATIONS.fetch_add(1, Ordering::SeqCst);
    }
    let rotation = ROTATIONS.load(Ordering::SeqCst);
    let here = format!("{}:{rotation}", point.name());
    let held = here == wanted;
    let what = if held { "held at" } else { "passing" };
    let _ = writeln!(std::io::stderr(), "fault point: {what} {here}");
    if held {
        loop {
            std::thread::park();
        }
    }
}

#[cfg(feature = "fault-points")]
impl Point {
    fn name(self) -> &'static str {
        match self {
            Self::BeforeIntent => "before_intent",
            Self::AfterIntent => "after_intent",
            Self::AnswerReceived => "answer_received",
            Self::BeforeWrite => "before_write",
            Self::AfterWrite => "after_write",
            Self::AfterPublish => "after_publish",
        }
    }
}
