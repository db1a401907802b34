//! The log: one line an event on standard error, as text or JSON, written by a
//! thread of its own.
//!
//! Libraries underneath see every request and every token; at their more
//! talkative levels some print headers and addresses. So a level below `warn`
//! counts for sidekey's own targets only, whatever the directives say.

use super::Format;
use super::lines::Lines;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// The end of the log that the process keeps, to write the last lines.
pub struct Log(Lines);

/// Why the log could not be started.
#[derive(Debug)]
pub enum StartError {
    /// The level is neither a level nor a list of directives.
    Level { written: String, what: String },
    /// The writing thread can't be made.
    Thread(io::Error),
    /// The process has a log already.
    AlreadyStarted,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Level { written, what } => write!(
                f,
                "the log level {written:?} can't be read ({what}); expected error, warn, info, \
                 debug or trace, or directives such as info,sidekey::refresh=debug"
            ),
            Self::Thread(why) => write!(f, "the log's thread can't be started: {why}"),
            Self::AlreadyStarted => f.write_str("the log was started twice"),
        }
    }
}

impl std::error::Error for StartError {}

/// Starts the process's log on standard error.
///
/// # Errors
/// When the level can't be read, or the log was started before.
pub fn start(level: &str, format: Format) -> Result<Log, StartError> {
    let filter = filter(level)?;
    let lines = Lines::start("log", Box::new(io::stderr())).map_err(StartError::Thread)?;
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    subscriber(filter, format, colour, Pen(lines.clone()))
        .try_init()
        .map_err(|_| StartError::AlreadyStarted)?;
    Ok(Log(lines))
}

/// Sends panics to the log from now on, so that it stays JSON throughout.
pub fn take_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        tracing::error!(target: "sidekey", thread, "{panic}");
    }));
}

impl Log {
    /// Waits until the lines so far are written, at most `limit`.
    pub fn flush(&self, limit: Duration) {
        self.0.flush(limit);
    }

    /// Lines lost so far.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.dropped()
    }
}

fn filter(level: &str) -> Result<EnvFilter, StartError> {
    EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .parse(level)
        .map_err(|e| StartError::Level {
            written: level.to_owned(),
            what: e.to_string(),
        })
}

fn subscriber(
    filter: EnvFilter,
    format: Format,
    colour: bool,
    pen: Pen,
) -> impl Subscriber + Send + Sync {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(pen)
        .with_ansi(colour);
    let lines = match format {
        Format::Text => lines.boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(filter_fn(may_be_told))
        .with(lines)
}

/// The ceiling for libraries' targets.
fn may_be_told(event: &Metadata<'_>) -> bool {
    let target = event.target();
    let ours = target == "sidekey" || target.starts_with("sidekey::");
    ours || *event.level() <= Level::WARN
}

/// Makes a writer per event.
struct Pen(Lines);

/// Collects one event; hands it over when dropped.
struct Line<'a> {
    lines: &'a Lines,
    bytes: Vec<u8>,
}

impl<'a> MakeWriter<'a> for Pen {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line {
            lines: &self.0,
            bytes: Vec::new(),
        }
    }
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        self.lines.send(std::mem::take(&mut self.bytes), 1);
    }
}

#[cfg(test)]
mod tests {
    use super::super::lines::{Lines, tests::Shelf};
    use super::{Format, Pen, filter, subscriber};
    use std::time::Duration;

    fn logged(level: &str, format: Format, work: impl FnOnce()) -> String {
        let shelf = Shelf::default();
        let lines = Lines::start("log", Box::new(shelf.clone())).unwrap();
        let log = subscriber(filter(level).unwrap(), format, false, Pen(lines.clone()));
        tracing::subscriber::with_default(log, work);
        lines.flush(Duration::from_secs(10));
        shelf.text()
    }

    #[test]
    fn libraries_stay_quiet_below_warn_whatever_is_asked_for() {
        let text = logged("trace,hyper=trace", Format::Text, || {
            tracing::trace!(target: "hyper::proto", "authorization: Bearer hidden");
            tracing::debug!(target: "reqwest", "hidden too");
            tracing::info!(target: "sidekeyish", "hidden as well");
            tracing::warn!(target: "hyper", "a warning");
            tracing::trace!(target: "sidekey::refresh", "ours");
        });
        assert!(!text.contains("hidden"), "{text}");
        assert!(
            text.contains("a warning") && text.contains("ours"),
            "{text}"
        );
    }

    #[test]
    fn directives_choose_among_our_own() {
        let text = logged("warn,sidekey::refresh=debug", Format::Text, || {
            tracing::info!(target: "sidekey::proxy", "left out");
            tracing::debug!(target: "sidekey::refresh", "kept");
        });
        assert!(
            text.contains("kept") && !text.contains("left out"),
            "{text}"
        );
    }

    #[test]
    fn json_is_one_object_a_line() {
        let text = logged("info", Format::Json, || {
            tracing::info!(account = "crm\"Dev", "two\nlines");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(event["message"], "two\nlines");
        assert_eq!(event["account"], "crm\"Dev");
        assert_eq!(event["level"], "INFO");
    }

    #[test]
    fn a_level_that_cannot_be_read_says_what_was_expected() {
        let error = filter("sidekey=loud").unwrap_err().to_string();
        assert!(error.contains("expected error, warn, info"), "{error}");
    }
}
