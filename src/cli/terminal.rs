//! Writing to the terminal, or to whatever stands in its place.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

/// Writes a result to standard output.
pub fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        // `sidekey … | head` has all it wants.
        Err(why) if why.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(why) => fail(why),
    }
}

/// Writes why a command failed to standard error.
pub fn fail(why: impl Display) -> ExitCode {
    // Where nobody listens, the exit code still tells.
    let _ = writeln!(io::stderr(), "sidekey: {why}");
    ExitCode::FAILURE
}

/// True where colours make sense.
pub fn has_colour(stream: &impl IsTerminal) -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !refused
}
